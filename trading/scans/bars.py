"""The bars that a scan of one session is evaluated on, and where in them each symbol stands at each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.interval import DAY, Interval
from barray.market.universe.bars import UniverseBars
from barray.market.universe.derive import derive_universe
from barray.market.universe.rows import appended, chosen, kept
from barray.trading.scans.tables import KnownRows

Positions = NDArray[np.intp]


class Past(Protocol):
    """Gives what is needed of the sessions before, when it is: most symbols are out before anything is."""

    @property
    def first_row(self) -> int:
        """The first session of which there are base bars; the session's own row where there is no history."""
        ...

    def bars(self, symbols: Sequence[str]) -> UniverseBars:
        """Base bars of the session's history, of these symbols (sorted), on the same sessions; of some maybe none."""
        ...

    def volumes(self, symbols: Sequence[str], row: int, elapsed_ns: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What these symbols had traded in a session (its row) so long after its open, ascending: volumes, float64
        (times, symbols), and whether there was any bar.
        """
        ...


@dataclass(frozen=True, eq=False)
class ScanBars:
    """Bars of many symbols for the scans of one session.

    `sessions`: those that the bars were laid on; `row`: the position of the session in them. `base`: bars of the base
    interval, history and session in one; where `past` gives the history, the session's alone. `days`: 1d bars of
    sessions before it, as far as the scans ask, as a source gives them: indicators on them see those that base bars of
    `past` make instead, as a full symbol's do. None where those of base bars are meant throughout. `timezone`: the
    calendar's. `tables`: by name. Made before, where a session is looked at more than once: `derived`, bars of further
    intervals, `before`, bars of further intervals of the history that `past` gives, and `usual`, by `n` what
    `usual_volumes` of barray.trading.scans.session_values gives. All have the same symbols.
    """

    sessions: Sessions
    row: int
    timezone: str
    base: UniverseBars
    days: UniverseBars | None = None
    past: Past | None = None
    tables: Mapping[str, KnownRows] = field(default_factory=dict)
    derived: Mapping[Interval, UniverseBars] = field(default_factory=dict)
    before: Mapping[Interval, UniverseBars] = field(default_factory=dict)
    usual: Mapping[int, FloatArray] = field(default_factory=dict)

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, sorted."""
        return self.base.symbols

    @property
    def session_date(self) -> date:
        """The session's label."""
        label: date = self.sessions.dates[self.row].item()
        return label

    @property
    def open_ns(self) -> int:
        """Open of the session, UTC ns."""
        return int(self.sessions.open_ns[self.row])

    @property
    def close_ns(self) -> int:
        """Close of the session, UTC ns."""
        return int(self.sessions.close_ns[self.row])

    def history_and_session(self, who: Positions) -> tuple[UniverseBars, Positions]:
        """Base bars from the first of history on, and where the symbols `who` stand in them."""
        if self.past is None:
            return self.base, who
        own = chosen(self.base, who)
        return appended(self.past.bars(own.symbols), own), np.arange(len(who))


def closed_by(end_ns: IntArray, low: IntArray, high: IntArray, time_ns: int) -> IntArray:
    """For each span of rows from `low` to before `high`: the first row that has not closed by `time_ns`.

    Most symbols have the same bars, so what holds of one is tried for all before the others are searched.
    """
    if not len(end_ns) or not len(low):
        return low.copy()
    longest = int(np.argmax(high - low))
    own = slice(int(low[longest]), int(high[longest]))
    found: IntArray = np.minimum(low + np.searchsorted(end_ns[own], time_ns, side="right"), high)
    last = len(end_ns) - 1
    right = (found == high) | (end_ns[np.minimum(found, last)] > time_ns)
    right &= (found == low) | (end_ns[np.maximum(found - 1, 0)] <= time_ns)
    if not right.all():
        others = np.flatnonzero(~right)
        found[others] = _searched(end_ns, low[others], high[others], time_ns)
    return found


def _searched(end_ns: IntArray, low: IntArray, high: IntArray, time_ns: int) -> IntArray:
    widest = int((high - low).max(initial=0))
    for _ in range(widest.bit_length()):
        middle = (low + high) >> 1
        closed = (end_ns[np.minimum(middle, len(end_ns) - 1)] <= time_ns) & (middle < high)
        low, high = np.where(closed, middle + 1, low), np.where(closed, high, middle)
    return low


def last_closed(stack: UniverseBars, who: Positions, times_ns: IntArray) -> IntArray:
    """The last bar of each of `who` that has closed by each time, int64 (times, who): a row of the stack, -1 for none.

    `times_ns` ascend.
    """
    begin, end = stack.offsets[who], stack.offsets[who + 1]
    found = np.empty((len(times_ns), len(who)), np.int64)
    low, before_ns = begin, None
    for k, time_ns in enumerate(times_ns.tolist()):
        high = end
        if before_ns is not None and stack.interval.is_intraday:  # no more bars close in between than fit
            high = np.minimum(end, low + (time_ns - before_ns) // stack.interval.ns + 2)
        low, before_ns = closed_by(stack.end_ns, low, high, time_ns), time_ns
        found[k] = np.where(low > begin, low - 1, -1)
    return found


def expected_ends(bars: ScanBars, interval: Interval, n: int, now_ns: int) -> IntArray:
    """Ends of the last `n` bars of an interval that the calendar expects to have closed by a time, ascending; fewer
    where the sessions have no more.
    """
    found: list[IntArray] = []
    have = 0
    for row in range(bars.row, -1, -1):
        _, ends = bars.sessions.expected_starts(row, interval, now_ns)
        found.insert(0, ends)
        have += len(ends)
        if have >= n:
            break
    return np.concatenate(found)[-n:]


def with_today(bars: ScanBars, base: UniverseBars, days: UniverseBars) -> UniverseBars:
    """The days before the session, and after them the session's own, made of its base bars so far."""
    today = derive_universe(kept(base, base.session == bars.row), DAY, bars.sessions, bars.row)
    return appended(kept(days, days.session < bars.row), today)
