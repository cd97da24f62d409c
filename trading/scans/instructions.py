"""What a scan's findings ask of a session: each with the time, the scans that want it, and why."""

from __future__ import annotations

from dataclasses import dataclass

from barray.market.indicators import IndicatorSpec


@dataclass(frozen=True)
class Instruction:
    """For a symbol, at a time (UTC ns). `by`: names of the scans that it comes from. `reason`: for people to read."""

    symbol: str
    at_ns: int
    by: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class AddAdhoc(Instruction):
    """Have the symbol as an adhoc one, with these indicators."""

    indicators: tuple[IndicatorSpec, ...] = ()


@dataclass(frozen=True)
class PromoteSymbol(Instruction):
    """Have the symbol as a full one, with these indicators."""

    indicators: tuple[IndicatorSpec, ...] = ()


@dataclass(frozen=True)
class AlsoWanted(Instruction):
    """A full or adhoc symbol is wanted by one more scan, with these indicators besides."""

    indicators: tuple[IndicatorSpec, ...] = ()


@dataclass(frozen=True)
class Evict(Instruction):
    """The symbol is no longer wanted as a full one."""


@dataclass(frozen=True)
class LetGo(Instruction):
    """The symbol is no longer wanted as an adhoc one."""
