"""Bars of one interval laid on the trading sessions, and coarser bars derived from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, FloatArray, IntArray, Prices, check_order, check_values, format_ns
from barray.market.calendar import DateArray, Sessions
from barray.market.errors import DataError
from barray.market.interval import Interval

CountArray = NDArray[np.int32]
_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, eq=False)
class IntervalBars:
    """Bars of one interval, oldest first, history and session in one series.

    `end_ns` int64 (n,): when each bar closes and may be seen: start + interval, or the session close if that is
    earlier; for 1d the session close, for 1w the last close of the week. `session` int32 (n,): position of the bar's
    session in the sessions the series was laid on (of the week's first one for 1w). `expected` and `actual` int32 (n,):
    base bars that the calendar expects inside the bar, and those present. `history`: number of leading bars that closed
    before the session opened. `derived_from` is None for bars as the source gave them. `given`: number of leading bars
    that a source gave where the others are derived; each counts as 1 of 1 expected. All arrays are read-only.
    """

    interval: Interval
    bars: Bars
    end_ns: IntArray
    session: CountArray
    expected: CountArray
    actual: CountArray
    history: int
    derived_from: Interval | None = None
    given: int = 0

    def __post_init__(self) -> None:
        for column in (self.end_ns, self.session, self.expected, self.actual):
            column.flags.writeable = False

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether every expected base bar is in it: bool (n,)."""
        return self.actual >= self.expected

    def __len__(self) -> int:
        return len(self.bars)

    def closed_by(self, now_ns: int) -> int:
        """How many leading bars have closed by `now_ns`."""
        return int(np.searchsorted(self.end_ns, now_ns, side="right"))

    def take(self, rows: slice) -> IntervalBars:
        """The chosen rows (a slice with step 1)."""
        start, stop, _ = rows.indices(len(self))
        return IntervalBars(
            self.interval,
            self.bars.take(rows),
            self.end_ns[rows],
            self.session[rows],
            self.expected[rows],
            self.actual[rows],
            min(max(self.history - start, 0), max(stop - start, 0)),
            self.derived_from,
            min(max(self.given - start, 0), max(stop - start, 0)),
        )


def lay_on_sessions(
    bars: Bars,
    interval: Interval,
    sessions: Sessions,
    session_row: int,
    *,
    symbol: str,
    source: str,
    prices: Prices = "positive",
    columns: Collection[str] = COLUMNS,
) -> IntervalBars:
    """Keep the bars that lie in the sessions' hours and check them: stamps in order, on the grid, values sane.

    Intraday bars outside the hours (pre-market in a regular session, midday break) are left out. A stamp that is not
    open + k * interval raises DataError, as do unsorted or duplicate stamps and impossible values. Bars of 1d and 1w
    carry the session open (of the week's first session) as their start; see `stamp_daily`. `columns`: those that are
    there to be checked.
    """
    check_order(bars.start_ns, symbol=symbol, interval=str(interval), source=source)
    starts = bars.start_ns
    first = np.searchsorted(starts, sessions.open_ns)  # a few sessions in many stamps, not the other way round
    counts = np.diff(np.concatenate(([0], first, [len(starts)])))
    row = np.repeat(np.arange(-1, len(sessions), dtype=np.int32), counts)
    inside, at = in_hours(starts, row, interval, sessions), np.maximum(row, 0)
    if not inside.all():
        bars, at = bars.take(inside), at[inside]
    check_values(bars, prices, symbol=symbol, interval=str(interval), source=source, columns=columns)
    off = off_grid(bars.start_ns, at, interval, sessions)
    if off.any():
        bad = int(np.argmax(off))
        raise _off_grid(int(bars.start_ns[bad]), int(sessions.open_ns[at[bad]]), interval, symbol, source)
    end_ns = ends_of(bars.start_ns, at, interval, sessions)
    ones = np.ones(len(bars), np.int32)
    return IntervalBars(interval, bars, end_ns, at, ones, ones, _history(end_ns, sessions, session_row))


def in_hours(starts: IntArray, row: NDArray[np.integer], interval: Interval, sessions: Sessions) -> NDArray[np.bool_]:
    """Which bars with these starts lie in the hours of session `row` (-1: before the first), and not in its break."""
    inside: NDArray[np.bool_] = starts < sessions.close_ns[row]
    if interval.is_intraday and (sessions.break_start_ns < sessions.close_ns).any():
        inside &= (starts < sessions.break_start_ns[row]) | (starts + interval.ns > sessions.break_end_ns[row])
    inside &= row >= 0
    return inside


def off_grid(starts: IntArray, row: NDArray[np.integer], interval: Interval, sessions: Sessions) -> NDArray[np.bool_]:
    """Which bars with these starts, each in session `row`, start where no bar of the interval does."""
    if interval.unit == "w":
        row = _first_of_week(sessions, row)
    offset = starts - sessions.open_ns[row]
    off: NDArray[np.bool_] = (offset % interval.ns if interval.is_intraday else offset) != 0
    return off


def ends_of(starts: IntArray, row: NDArray[np.integer], interval: Interval, sessions: Sessions) -> IntArray:
    """When bars with these starts, each in session `row`, close: UTC ns (n,)."""
    last = _last_of_week(sessions, row) if interval.unit == "w" else row
    ends: IntArray = sessions.close_ns[last]
    if interval.is_intraday:
        ends = np.minimum(starts + interval.ns, ends)
    return ends


def _off_grid(start_ns: int, open_ns: int, interval: Interval, symbol: str, source: str) -> DataError:
    stamp, opens = format_ns(start_ns), format_ns(open_ns)
    reason = f"the bar at {stamp} does not start a whole number of {interval} after the session open, {opens}"
    remedy = "stamp bars with their start, or load a finer interval and let this one be derived"
    if start_ns % interval.ns == 0:
        reason += f": its {interval} are the clock's"
        remedy = f"load a finer interval, from which {interval} counted from the open are derived"
    return DataError(reason, symbol=symbol, interval=str(interval), source=source, remedy=remedy, code="off_grid")


def derive(base: IntervalBars, target: Interval, sessions: Sessions, session_row: int) -> IntervalBars:
    """Bars of `target` from `base`: open of the first, close of the last, highest high, lowest low, summed volume.

    Buckets are anchored to the session open and cut at the close; an empty bucket gives no bar. `base` holds bars as
    the source gave them (not derived ones), so that `expected` and `actual` count base bars. Raises ValueError where
    `target` doesn't derive from the base interval.
    """
    if not base.interval.derives(target):
        raise ValueError(f"{target} does not derive from {base.interval}")
    if target == base.interval:
        return base
    made = aggregate(base.bars, base.session, base.interval, target, sessions)
    history = _history(made.end_ns, sessions, session_row)
    return IntervalBars(
        target, made.bars, made.end_ns, made.session, made.expected, made.actual, history, base.interval
    )


class Buckets(NamedTuple):
    """Bars made of others, columns as in IntervalBars. `first` (n,): position of the first base bar of each."""

    bars: Bars
    end_ns: IntArray
    session: CountArray
    expected: CountArray
    actual: CountArray
    first: NDArray[np.intp]


def aggregate(
    source: Bars,
    session: CountArray,
    interval: Interval,
    target: Interval,
    sessions: Sessions,
    *,
    symbol_starts: NDArray[np.integer] | None = None,
    columns: Collection[str] = COLUMNS,
) -> Buckets:
    """The buckets of `derive`, from bars of `interval` in sessions `session`. Where a symbol starts, so does a bucket.

    `columns`: those that are there; the others are NaN.
    """
    if target.is_intraday:
        # the bucket's number, counted in base steps: small integers divide fast
        step = (source.start_ns - sessions.open_ns[session]) // interval.ns
        bucket = step.astype(np.int32) // np.int32(target.ns // interval.ns)
        new = (np.diff(bucket) != 0) | (np.diff(session) != 0)
    else:
        group = sessions.week[session] if target.unit == "w" else session
        new = np.diff(group) != 0
    if symbol_starts is not None:
        new[symbol_starts - 1] = True
    first = np.concatenate((np.zeros(min(len(source), 1), np.intp), np.flatnonzero(new) + 1))
    counts = np.diff(np.append(first, len(source))).astype(np.int32)
    at = session[first]
    if target.is_intraday:
        start_ns = sessions.open_ns[at] + bucket[first].astype(np.int64) * target.ns
        end_ns = np.minimum(start_ns + target.ns, sessions.close_ns[at])
        expected = _slots(sessions, start_ns, end_ns, at, interval.ns)
    else:
        weekly = target.unit == "w"
        from_row, to_row = (_first_of_week(sessions, at), _last_of_week(sessions, at)) if weekly else (at, at)
        start_ns, end_ns = sessions.open_ns[from_row], sessions.close_ns[to_row]
        total = np.concatenate(([0], np.cumsum(_slots_per_session(sessions, interval))))
        expected, at = total[to_row + 1] - total[from_row], from_row.astype(np.int32)
    made = {name: _AGGREGATES[name](getattr(source, name), first, counts) for name in COLUMNS if name in columns}
    bars = Bars.partial(start_ns, made)
    return Buckets(bars, end_ns, at, expected.astype(np.int32), counts, first)


def _reduced(by: np.ufunc) -> _Aggregate:
    return lambda values, first, counts: by.reduceat(values, first) if len(first) else values[:0]


_Aggregate = Callable[[FloatArray, NDArray[np.intp], CountArray], FloatArray]
_AGGREGATES: Mapping[str, _Aggregate] = {
    "open": lambda values, first, counts: values[first],
    "high": _reduced(np.maximum),
    "low": _reduced(np.minimum),
    "close": lambda values, first, counts: values[first + counts - 1],
    "volume": _reduced(np.add),
}


def stamp_daily(start_ns: IntArray, interval: Interval, sessions: Sessions) -> IntArray:
    """Move stamps of 1d or 1w bars, which vendors put at some midnight, to the session open that the bar starts with.

    Which day a stamp names: see `daily_labels`. Stamps on days without a session stay as they are and are refused or
    left out later.
    """
    days, last = daily_labels(start_ns, sessions), len(sessions) - 1
    if interval.unit == "w":
        weeks = (days.astype(np.int64) + 3) // 7
        row = np.minimum(np.searchsorted(sessions.week, weeks), last)
        return np.where(sessions.week[row] == weeks, sessions.open_ns[row], start_ns)
    row = np.minimum(np.searchsorted(sessions.dates, days), last)
    return np.where(sessions.dates[row] == days, sessions.open_ns[row], start_ns)


def daily_labels(start_ns: IntArray, sessions: Sessions) -> DateArray:
    """The day that each stamp of a 1d or 1w bar names: datetime64[D] (n,).

    A midnight, in UTC or in whatever zone, names the day that it begins; a stamp in the hours of a session that
    session's. The hours of days that are not among the sessions are taken to be those of the nearest before.
    """
    rounded = np.where(start_ns % _DAY_NS == 0, start_ns, start_ns + _DAY_NS // 2)
    midnights: DateArray = (rounded // _DAY_NS).astype("datetime64[D]")
    if not len(sessions):
        return midnights
    at = np.clip(np.searchsorted(sessions.open_ns, start_ns, side="right") - 1, 0, len(sessions) - 1)
    days_on, since_open_ns = np.divmod(start_ns - sessions.open_ns[at], _DAY_NS)
    in_hours = since_open_ns <= (sessions.close_ns - sessions.open_ns).max()
    in_hours &= start_ns % _DAY_NS != 0  # US extended hours run past midnight UTC in winter
    return np.where(in_hours, sessions.dates[at] + days_on, midnights)


def _history(end_ns: IntArray, sessions: Sessions, session_row: int) -> int:
    return int(np.searchsorted(end_ns, sessions.open_ns[session_row], side="right"))


def _slots(sessions: Sessions, start_ns: IntArray, end_ns: IntArray, at: CountArray, step_ns: int) -> IntArray:
    rows = at.astype(np.intp)
    return sessions.slots_before(end_ns, rows, step_ns) - sessions.slots_before(start_ns, rows, step_ns)


def _slots_per_session(sessions: Sessions, interval: Interval) -> IntArray:
    if not interval.is_intraday:
        return np.ones(len(sessions), np.int64)
    return sessions.slots_before(sessions.close_ns, slice(None), interval.ns)


def _first_of_week(sessions: Sessions, rows: NDArray[np.integer]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.searchsorted(sessions.week, sessions.week[rows], side="left")
    return found


def _last_of_week(sessions: Sessions, rows: NDArray[np.integer]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.searchsorted(sessions.week, sessions.week[rows], side="right") - 1
    return found
