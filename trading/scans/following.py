"""What scans' findings come to in a session, time after time: hits in, what to ask of the session out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from barray.market.indicators import IndicatorSpec
from barray.trading.scans.follow import Followed, Kept, ScanStep, kept_of
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol
from barray.trading.scans.keeping import Rules
from barray.trading.scans.state import ScanState

BY = "scanner"
ALREADY_LOADED = "already loaded"
"""The reason of an addition that was none."""


@dataclass(frozen=True)
class Asked:
    """Something that an instruction asks of the session. `indicator`: that is to be added."""

    action: Literal["add_symbol", "add_indicator", "remove_symbol"]
    symbol: str
    indicator: IndicatorSpec | None = None


class ScanSteps:
    """A session's. What scans added they let go of; what the config, a strategy or somebody else added stays.

    `taken`: the steps so far.
    """

    def __init__(self, rules: Iterable[Rules]) -> None:
        self.rules = tuple(rules)
        self._state = ScanState(self.rules)
        self._own: set[str] = set()
        self._carried: dict[str, set[str]] = {}
        self._refused: dict[str, str] = {}
        self._there: set[str] = set()
        self._kept: list[Kept] = []
        self.taken: list[ScanStep] = []

    def step(self, at_ns: int, found: Sequence[tuple[str, Hits]], pinned: Collection[str]) -> tuple[Instruction, ...]:
        """What is to be done after these were found, all at one time. `pinned`: symbols that must stay full."""
        instructions = self._state.step(found, pinned)
        scans = self._state.scans
        self._kept += [row for name, hits in found for row in kept_of(name, hits, scans[name].kept)]
        leave = {one.name: one.keep.leave if one.keep else None for one in self.rules}
        told = tuple((name, hits.first(leave[name])) for name, hits in found)
        self._refused, self._there = {}, set()
        self.taken.append(ScanStep(at_ns, told, tuple(sorted(pinned)), instructions, self._refused, self._there))
        return instructions

    def asked(self, instruction: Instruction) -> list[Asked]:
        """What an instruction asks of the session; where one is refused, those after it are not asked any more."""
        symbol = instruction.symbol
        if isinstance(instruction, Evict | LetGo):
            return [Asked("remove_symbol", symbol)] if symbol in self._own else []
        if isinstance(instruction, PromoteSymbol):
            return [Asked("add_symbol", symbol)]  # with all that scans look at
        if not isinstance(instruction, AddAdhoc | AlsoWanted) or symbol in self._state.full:
            return []
        known = self._carried.setdefault(symbol, set())
        new = [spec for spec in instruction.indicators if spec.key not in known]
        known.update(spec.key for spec in new)
        return [Asked("add_indicator", symbol, spec) for spec in new]

    @staticmethod
    def is_others(asked: Asked, instruction: Instruction, full: Collection[str]) -> bool:
        """Whether somebody else than scans has made the symbol full, so that nothing is to be done."""
        return asked.symbol in full and not isinstance(instruction, Evict)

    def note(self, asked: Asked, reason: str | None = None) -> bool:
        """What came of it; whether to go on with those that belong to it. `reason`: why it was refused, None where it
        was done; ALREADY_LOADED where it was others'.
        """
        symbol = asked.symbol
        if reason == ALREADY_LOADED:
            self._there.add(symbol)
            self._own.discard(symbol)
        elif asked.action == "remove_symbol":
            self._own.discard(symbol)
            self._carried.pop(symbol, None)
        elif reason is None:
            self._own.add(symbol)
        elif asked.action == "add_symbol":
            self._state.refuse(symbol, reason)
            self._refused[symbol] = reason
            return False
        return True

    @property
    def full(self) -> frozenset[str]:
        """Symbols that scans have made full, and that are so now."""
        return frozenset(self._own & self._state.full.keys())

    @property
    def followed(self) -> Followed:
        """All that came of it so far."""
        done = tuple(one for step in self.taken for one in step.instructions)
        return Followed(tuple(self._kept), self._state.history, done)
