"""How much of the tape is there: the share of bars that the exchange calendar expects, and where the gaps are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from barray.market.bars import IntArray
from barray.market.calendar import Sessions
from barray.market.interval import Interval


@dataclass(frozen=True)
class Gap:
    """Consecutive missing bars inside one session: `[start_ns, end_ns)`, UTC nanoseconds, and how many bars."""

    start_ns: int
    end_ns: int
    missing: int


@dataclass(frozen=True)
class Quality:
    """Expected and present bars of an interval, with the gaps, oldest first.

    A missing minute is a fact about the tape (no trade), not an error; nothing is invented to fill it.
    """

    expected: int
    actual: int
    gaps: tuple[Gap, ...]

    @property
    def share(self) -> float | None:
        """Present ÷ expected, 0 to 1; None before the first bar is expected."""
        return self.actual / self.expected if self.expected else None


def measure_quality(start_ns: IntArray, interval: Interval, sessions: Sessions, rows: range, until_ns: int) -> Quality:
    """Quality over the sessions at positions `rows`, counting the bars that should have closed by `until_ns`.

    `start_ns` (n,): starts of the bars present, sorted; bars outside the grid or not yet closed do not count.
    For 1w a week counts at its last session.
    """
    full, others = _complete(start_ns, interval, sessions, rows, until_ns)
    expected = actual = full
    gaps: list[Gap] = []
    for row in _closing_rows(sessions, others, interval):
        starts, ends = sessions.expected_starts(row, interval, until_ns)
        if interval.unit == "w":
            starts = sessions.open_ns[[int(np.searchsorted(sessions.week, sessions.week[row]))]][: len(ends)]
        expected += len(starts)
        if not len(starts):
            continue
        low, high = np.searchsorted(start_ns, (starts[0], starts[-1] + 1))
        if high - low == len(starts):  # every stamp lies on the grid (checked on loading), so none is missing
            actual += len(starts)
            continue
        missing = ~np.isin(starts, start_ns[low:high], assume_unique=True)
        actual += int(len(starts) - np.count_nonzero(missing))
        edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False]))))
        gaps += [
            Gap(int(starts[a]), int(ends[b - 1]), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)
        ]
    return Quality(expected, actual, tuple(gaps))


def _complete(
    start_ns: IntArray, interval: Interval, sessions: Sessions, rows: range, until_ns: int
) -> tuple[int, Sequence[int]]:
    """Bars of the closed sessions that lack none, counted for all at once, and the other sessions' rows.

    Most sessions are complete, and a year has 252 of them. A midday break takes the careful way.
    """
    if interval.unit == "w":
        return 0, rows
    chosen = slice(rows.start, rows.stop)
    open_ns, close_ns = sessions.open_ns[chosen], sessions.close_ns[chosen]
    slots = -((open_ns - close_ns) // interval.ns) if interval.is_intraday else np.ones(len(rows), np.int64)
    present = np.searchsorted(start_ns, close_ns) - np.searchsorted(start_ns, open_ns)
    full = (close_ns <= until_ns) & (sessions.break_start_ns[chosen] == close_ns) & (present == slots)
    return int(slots[full].sum()), np.arange(rows.start, rows.stop)[~full].tolist()


def _closing_rows(sessions: Sessions, rows: Sequence[int], interval: Interval) -> list[int]:
    """Sessions at whose close a bar ends: each one, or the last of each week for 1w."""
    if interval.unit != "w":
        return list(rows)
    week = sessions.week
    return [row for row in rows if row + 1 >= len(week) or week[row + 1] != week[row]]
