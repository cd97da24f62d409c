"""How much of the tape is there: the share of bars that the exchange calendar expects, and where the gaps are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.bars import IntArray
from market.calendar import Sessions
from market.interval import Interval


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
    expected = actual = 0
    gaps: list[Gap] = []
    for row in _closing_rows(sessions, rows, interval):
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


def _closing_rows(sessions: Sessions, rows: range, interval: Interval) -> list[int]:
    """Sessions at whose close a bar ends: each one, or the last of each week for 1w."""
    if interval.unit != "w":
        return list(rows)
    week = sessions.week
    return [row for row in rows if row + 1 >= len(week) or week[row + 1] != week[row]]
