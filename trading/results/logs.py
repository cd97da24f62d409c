"""What a strategy said while it ran: lines it printed or logged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

MOST_LINES = 200
"""Kept of a symbol in a run."""
MOST_LINES_OVER_ALL = 5 * MOST_LINES
"""Kept of what a strategy over all symbols says in a run."""


@dataclass(frozen=True)
class LogLine:
    """One line. `now_ns`: session time, UTC ns; None of `signals`, which has no now. `symbol`: "" of all together."""

    now_ns: int | None
    symbol: str
    text: str

    def shown(self, timezone: str) -> str:
        """The line behind its stamp, session time in this zone."""
        if self.now_ns is None:
            return f"{self.symbol}: {self.text}"
        now = datetime.fromtimestamp(self.now_ns // 1_000_000_000, UTC).astimezone(ZoneInfo(timezone))
        return f"{self.symbol} {now:%Y-%m-%d %H:%M:%S %Z}: {self.text}".lstrip()


@dataclass(frozen=True)
class Logs:
    """Lines in the order in which they were said; `left_out`: how many more there were."""

    lines: tuple[LogLine, ...] = ()
    left_out: int = 0

    @classmethod
    def together(cls, parts: Iterable[Logs]) -> Logs:
        """All of these, one after another."""
        every = tuple(parts)
        return cls(tuple(line for part in every for line in part.lines), sum(part.left_out for part in every))

    def first(self, most: int) -> Logs:
        """The first `most` lines, the others left out."""
        return Logs(self.lines[:most], self.left_out + max(len(self.lines) - most, 0))


NO_LOGS = Logs()
