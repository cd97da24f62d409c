"""Session clocks. Everything that needs the time gets a clock; this is the one module that reads the wall clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from barray.market.bars import format_ns
from barray.market.errors import IllegalTransition


class Clock(Protocol):
    """Tells session time: UTC nanoseconds since 1970."""

    def now_ns(self) -> int:
        """The current session time."""
        ...


class SimulatedClock:
    """Stands still until it is told to go on; never goes back."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The time last advanced to."""
        return self._now_ns

    def advance_to(self, to_ns: int) -> None:
        """Go on to `to_ns`; IllegalTransition if that lies in the past."""
        if to_ns < self._now_ns:
            raise IllegalTransition(
                f"the session clock stands at {format_ns(self._now_ns)} and cannot go back to {format_ns(to_ns)}",
                remedy="start the session again to see an earlier time",
            )
        self._now_ns = to_ns


class WallClock:
    """The real time."""

    def now_ns(self) -> int:
        """Real UTC time."""
        return time.time_ns()

    def seconds_until(self, to_ns: int) -> float:
        """Real seconds until then; negative if it is past."""
        return (to_ns - self.now_ns()) / 1e9


@dataclass(frozen=True)
class PracticeClock:
    """The real time, moved and sped up: it was `start_ns` at the real `origin_ns`, and goes `speed` times as fast.

    For live sessions over a day of the past. `jumps`: a file by which it can jump ahead too, for all processes of a
    machine that have it.
    """

    start_ns: int
    origin_ns: int
    speed: float = 1.0
    jumps: str = ""

    def now_ns(self) -> int:
        """Practice time."""
        return self.start_ns + int((time.time_ns() - self.origin_ns) * self.speed) + self._jumped_ns()

    def seconds_until(self, to_ns: int) -> float:
        """Real seconds until then, without jumps; negative if it is past."""
        return (to_ns - self.now_ns()) / 1e9 / self.speed

    def jump_to(self, to_ns: int) -> None:
        """Be there at once. It never goes back."""
        ahead_ns = to_ns - self.now_ns()
        if ahead_ns > 0:
            told = Path(f"{self.jumps}.new")
            told.write_text(str(self._jumped_ns() + ahead_ns))
            told.replace(self.jumps)  # at once, for all who look

    def _jumped_ns(self) -> int:
        path = Path(self.jumps)
        return int(path.read_text()) if self.jumps and path.exists() else 0


def monotonic_s() -> float:
    """Seconds from an arbitrary origin, for measuring how long work took and for deadlines."""
    return time.monotonic()
