"""What a session's bars come to by each time: high, low, volume, VWAP so far, volume against earlier sessions'."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.universe.bars import UniverseBars
from barray.market.universe.rows import rows_of
from barray.trading.scans.bars import Positions, ScanBars, closed_by
from barray.trading.scans.operators import BoolArray


class SessionSoFar:
    """Some symbols' bars of a session by their slots: the place of a bar among those that the calendar's hours hold.

    All values are running ones along the slots, in each symbol one addition after another, so a symbol's value is the
    same alone and among others, and whatever other times are looked at. `times_ns` ascend.
    """

    def __init__(self, bars: ScanBars, who: Positions, times_ns: IntArray) -> None:
        self._bars, self._base, self._who, self._times_ns = bars, bars.base, who, times_ns
        self._day = _Day(bars.sessions, bars.base, who, bars.row, times_ns - bars.open_ns)
        self._made: dict[tuple[str, int], FloatArray] = {}

    def value(self, name: str, n: int = 0) -> FloatArray:
        """A value by its name in the language of scans, or `last`, the newest close: float64 (times, symbols), NaN
        before a symbol's first bar.
        """
        if (name, n) not in self._made:
            with np.errstate(all="ignore"):
                self._made[name, n] = self._compute(name, n)
        return self._made[name, n]

    def _compute(self, name: str, n: int) -> FloatArray:
        day, bars = self._day, self._base.bars
        if name == "session_open":
            return np.where(day.traded, day.first(bars.open), np.nan)
        if name == "last":
            return day.last(bars.close)
        if name == "session_high":
            return np.where(day.traded, day.running(bars.high.__getitem__, np.maximum, -np.inf), np.nan)
        if name == "session_low":
            return np.where(day.traded, day.running(bars.low.__getitem__, np.minimum, np.inf), np.nan)
        if name == "session_volume":
            return np.where(day.traded, day.running(bars.volume.__getitem__, np.add, 0.0), np.nan)
        if name == "session_range":
            return (self.value("session_high") - self.value("session_low")) / self.value("session_open")
        if name == "change_since_open":
            return self.value("last") / self.value("session_open") - 1.0
        if name == "vwap":
            traded = self.value("session_volume")
            return np.where(traded > 0, day.running(self._paid, np.add, 0.0) / traded, np.nan)
        return self._relative_volume(n)

    def _paid(self, rows: IntArray) -> FloatArray:
        bars = self._base.bars
        return (bars.high[rows] + bars.low[rows] + bars.close[rows]) / 3.0 * bars.volume[rows]

    def _relative_volume(self, n: int) -> FloatArray:
        bars = self._bars
        if n in bars.usual:
            usual = bars.usual[n][self._day.elapsed][:, self._who]
        else:
            usual = _usual(bars, self._who, n, self._times_ns - bars.open_ns)
        return np.where(usual > 0, self.value("session_volume") / usual, np.nan)


def usual_volumes(bars: ScanBars, n: int) -> FloatArray:
    """What `relative_volume(n)` compares with, for `ScanBars.usual`: float64 (slots + 1, symbols), by how many slots of
    the session have passed. All that is looked at lies before the session.
    """
    length_ns = bars.close_ns - bars.open_ns
    step_ns = min(bars.base.interval.ns, length_ns)
    elapsed_ns = np.minimum(np.arange(-(-length_ns // step_ns) + 1) * step_ns, length_ns)
    with np.errstate(all="ignore"):
        return _usual(bars, np.arange(len(bars.symbols)), n, elapsed_ns)


def _usual(bars: ScanBars, who: Positions, n: int, elapsed_ns: IntArray) -> FloatArray:
    """Mean volume up to these times after the open in those of the `n` sessions before that had any, (times, who)."""
    total = np.zeros((len(elapsed_ns), len(who)))
    counted = np.zeros_like(total)
    for row in range(max(bars.row - n, 0), bars.row):
        if bars.past is None:
            volumes, traded = volumes_of(bars.base, who, bars.sessions, row, elapsed_ns)
        else:
            volumes, traded = bars.past.volumes([bars.symbols[i] for i in who.tolist()], row, elapsed_ns)
        total += volumes
        counted += traded
    mean: FloatArray = total / counted
    return mean


def volumes_of(
    base: UniverseBars, who: Positions, sessions: Sessions, row: int, elapsed_ns: IntArray
) -> tuple[FloatArray, BoolArray]:
    """What symbols of a stack have traded in a session (its row) so long after its open, ascending: volumes, float64
    (times, symbols), and whether there was any bar.
    """
    day = _Day(sessions, base, who, row, elapsed_ns)
    return day.running(base.bars.volume.__getitem__, np.add, 0.0), day.traded


class _Day:
    """One session's bars, up to the last time that is looked at. `elapsed` (times,): how many slots have passed by
    each; `traded`: whether a symbol has any bar by then.

    Most symbols have every bar of a session, so that a bar's slot is its place; the others' slots are looked up.
    """

    def __init__(self, sessions: Sessions, base: UniverseBars, who: Positions, row: int, elapsed_ns: IntArray) -> None:
        opens_ns, closes_ns = int(sessions.open_ns[row]), int(sessions.close_ns[row])
        begin, end = base.offsets[who], base.offsets[who + 1]
        step_ns = min(base.interval.ns, closes_ns - opens_ns)
        slots = -(-(closes_ns - opens_ns) // step_ns)
        elapsed = np.where(elapsed_ns >= closes_ns - opens_ns, slots, elapsed_ns // step_ns)
        self._slots = int(elapsed.max(initial=0))
        self.elapsed = elapsed
        self._first = closed_by(base.end_ns, begin, end, opens_ns)
        latest_ns = min(opens_ns + int(elapsed_ns.max(initial=0)), closes_ns)
        stop = closed_by(base.end_ns, self._first, np.minimum(end, self._first + slots), latest_ns)
        whole = stop - self._first == self._slots
        self._whole, self._holed = np.flatnonzero(whole), np.flatnonzero(~whole)
        self._rows, _ = rows_of(self._first[self._holed], stop[self._holed])
        self._owner = np.repeat(self._holed, stop[self._holed] - self._first[self._holed])
        self._slot = np.minimum((base.bars.start_ns[self._rows] - opens_ns) // step_ns, slots - 1)
        self._counts = np.empty((len(elapsed), len(who)), np.int64)
        self._counts[:] = elapsed[:, None]
        if len(self._holed):
            counts = np.zeros((len(who), self._slots + 1), np.int64)
            counts[self._owner, self._slot + 1] = 1
            self._counts[:, self._holed] = counts[self._holed].cumsum(axis=1)[:, elapsed].T
        self.traded = self._counts > 0

    def running(self, values: Callable[[IntArray], FloatArray], operation: np.ufunc, empty: float) -> FloatArray:
        """The operation over all bars by each time, (times, symbols). `values`: of bars, by their rows."""
        matrix = np.full((len(self._first), self._slots + 1), empty)
        matrix[self._owner, self._slot + 1] = values(self._rows)
        if len(self._whole):
            rows = self._first[self._whole, None] + np.arange(self._slots)
            matrix[self._whole if len(self._holed) else slice(None), 1:] = values(rows)
        made: FloatArray = operation.accumulate(matrix, axis=1, out=matrix)[:, self.elapsed].T
        return made

    def first(self, column: FloatArray) -> FloatArray:
        """A column of the first bar, (symbols,); what it is where there is none means nothing."""
        return column[np.minimum(self._first, len(column) - 1)] if len(column) else np.full(len(self._first), np.nan)

    def last(self, column: FloatArray) -> FloatArray:
        """A column of the newest bar by each time, (times, symbols), NaN where there is none."""
        if not len(column):
            return np.full(self.traded.shape, np.nan)
        rows = self._first + self._counts - 1
        return np.where(self.traded, column[np.clip(rows, 0, len(column) - 1)], np.nan)
