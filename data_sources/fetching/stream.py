"""Bars as minutes close: what a vendor's stream does for the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from barray.market.bars import Bars


@dataclass(frozen=True)
class Heard:
    """What came since this was last asked for.

    `bars`: of one minute each, in the order they came, by symbol; a later bar of a stamp corrects an earlier one.
    `connections`: how often the stream has been connected in all; each but the first follows a gap. `silent_s`: seconds
    since the last bar or, before any, the first subscription. `refused`: bars that cannot be, as texts. `problem`: what
    the server said that keeps bars from coming.
    """

    bars: Mapping[str, Bars] = field(default_factory=dict)
    connected: bool = False
    connections: int = 0
    silent_s: float = 0.0
    refused: tuple[str, ...] = ()
    problem: str = ""


class BarStream(Protocol):
    """A connection that collects bars until it is closed. Threads may share it."""

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Listen to these too."""
        ...

    def drain(self) -> Heard:
        """What came since the last time."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...
