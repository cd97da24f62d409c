"""Values of terms that are a symbol's own, of the symbols that are still looked at, at all times of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from barray.market.bars import COLUMNS, FloatArray, IntArray
from barray.market.indicators import IndicatorSpec
from barray.market.interval import DAY, Interval
from barray.market.universe.bars import UniverseBars
from barray.market.universe.compute import compute_universe
from barray.market.universe.daily import days_beside
from barray.market.universe.derive import derive_universe
from barray.market.universe.rows import appended, chosen
from barray.trading.scans.bars import (
    Positions,
    ScanBars,
    closed_by,
    expected_ends,
    last_closed,
    with_today,
)
from barray.trading.scans.day_values import day_value
from barray.trading.scans.operators import BoolArray, Truth, Value, combined, constant
from barray.trading.scans.session_values import SessionSoFar
from barray.trading.scans.shared import SharedValues
from barray.trading.scans.tables import known_column, labels_of, numbers_of
from barray.trading.scans.terms import Column, Constant, DayValue, Indicator, LastBars, SessionValue, TableColumn, Term


class Local:
    """Some symbols at some times. Values are made when first asked for, and kept; `narrowed` goes on with fewer symbols
    and what is known of them.

    `who`: positions of the symbols in the bars, ascending. `times_ns`: UTC ns, ascending. `columns`: of the bars of an
    interval that are looked at, where not all are. `shared`: where several scans look at the same bars.
    """

    def __init__(
        self,
        bars: ScanBars,
        times_ns: IntArray,
        who: Positions,
        columns: Mapping[Interval, tuple[str, ...]] | None = None,
        wider: Local | None = None,
        kept: Positions | None = None,
        shared: SharedValues | None = None,
    ) -> None:
        self.bars = bars
        self.times_ns = times_ns
        self.who = who
        self._columns = columns or {}
        self._wider = wider
        self._kept = kept
        self._shared = shared
        self._values: dict[str, Value] = {}
        self._rows: dict[Interval, IntArray] = {}
        self._series: dict[Interval, tuple[UniverseBars, Positions]] = {}
        self._so_far: SessionSoFar | None = None

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbols."""
        return tuple(self.bars.symbols[i] for i in self.who.tolist())

    def narrowed(self, kept: BoolArray) -> Local:
        """The same for some of its symbols."""
        rows = np.flatnonzero(kept)
        return self._of(rows)

    def _of(self, rows: Positions) -> Local:
        return Local(self.bars, self.times_ns, self.who[rows], self._columns, self, rows, self._shared)

    def value(self, term: Term) -> Value:
        """A term's values: (times, symbols), or (1, symbols) where it is the same at all times; see Value. ConfigError
        for a table, or a column of it, that is not there.
        """
        if isinstance(term, Constant):
            return constant(term.value)
        found = self._known(term.text)
        if found is None:
            found = self._values[term.text] = self._made(term)
        return found

    def truth(self, term: Term) -> BoolArray:
        """Where a condition holds, (times or 1, symbols)."""
        yes: BoolArray = self.value(term).yes
        return yes

    def series(self, interval: Interval) -> tuple[UniverseBars, Positions]:
        """Bars of an interval, derived where they must be, and the positions of the symbols in them."""
        if interval not in self._series:
            wider = self._wider
            while wider is not None and interval not in wider._series:
                wider = wider._wider
            if wider is not None:
                stack, positions = wider._series[interval]
                self._series[interval] = stack, positions[np.searchsorted(wider.who, self.who)]
            else:
                self._series[interval] = self._made_series(interval)
        return self._series[interval]

    def rows(self, interval: Interval) -> IntArray:
        """The last bar of an interval that each symbol has by each time: (times, symbols), -1 for none."""
        if interval not in self._rows:
            if self._wider is not None and interval in self._wider._rows:
                self._rows[interval] = self._wider._rows[interval][:, self._kept]
            else:
                self._rows[interval] = last_closed(*self.series(interval), self.times_ns)
        return self._rows[interval]

    def day_rows(self) -> tuple[UniverseBars, Positions, IntArray]:
        """Daily bars as they are given, the positions of the symbols in them, and the row after the last one before the
        session.
        """
        stack, positions = self.series(DAY) if self.bars.days is None else (self.bars.days, self.who)
        begin, end = stack.offsets[positions], stack.offsets[positions + 1]
        return stack, positions, closed_by(stack.end_ns, begin, end, self.bars.open_ns)

    def _known(self, text: str) -> Value | None:
        if text in self._values or self._wider is None:
            return self._values.get(text)
        found = self._wider._known(text)
        if found is not None:
            self._values[text] = found = _columns(found, self._kept)
        return found

    def _made(self, term: Term) -> Value:
        if term.operands:
            return combined(term, [self.value(one) for one in term.operands])
        if self._shared is None or not isinstance(term, (Column, Indicator, SessionValue)):
            return self._leaf(term)
        every = len(self.who)
        return self._shared.value(
            term.text,
            self.times_ns,
            self.who,
            lambda rows: (self if len(rows) == every else self._of(rows))._leaf(term),
        )

    def _leaf(self, term: Term) -> Value:
        if isinstance(term, Column):
            stack, _ = self.series(term.interval or self.bars.base.interval)
            return _at(getattr(stack.bars, term.name), self.rows(stack.interval))
        if isinstance(term, Indicator):
            return self._indicator(term.spec, term.output)
        if isinstance(term, DayValue):
            return self._day_value(term.name, term.n)
        if isinstance(term, SessionValue):
            return self._session_value(term)
        if isinstance(term, TableColumn):
            return self._of_table(term)
        if isinstance(term, LastBars):
            return self._last_bars(term)
        raise TypeError(term.text)

    def _indicator(self, spec: IndicatorSpec, output: str | None) -> FloatArray:
        stack, positions = self.series(spec.interval)
        values = compute_universe(spec, stack, positions)
        name = output if output is not None else next(iter(values))
        return _at(values[name], self.rows(spec.interval))

    def _day_value(self, name: str, n: int) -> FloatArray:
        if name == "close" and n == 1 and self.bars.days is None and DAY not in self._series:
            base, who = self.series(self.bars.base.interval)
            begin, end = base.offsets[who], base.offsets[who + 1]
            row = closed_by(base.end_ns, begin, end, self.bars.open_ns) - 1
            return _at(base.bars.close, np.where(row < begin, -1, row)[None])
        return day_value(name, n, *self.day_rows())[None]

    def _session_value(self, term: SessionValue) -> Value:
        if self._so_far is None:
            self._so_far = SessionSoFar(self.bars, self.who, self.times_ns)
        made = self._so_far
        if term.name in ("gap", "change"):
            before = self.value(DayValue("close", 1))
            newest = made.value("session_open" if term.name == "gap" else "last")
            with np.errstate(all="ignore"):
                return newest / before - 1.0
        return made.value(term.name, term.n or 0)

    def _last_bars(self, term: LastBars) -> FloatArray:
        """(times, bars, symbols), a row a bar that the calendar expects."""
        stack, positions = self.series(term.interval or self.bars.base.interval)
        column, begin = getattr(stack.bars, term.name), stack.offsets[positions]
        found = np.full((len(self.times_ns), term.n, len(self.who)), np.nan)
        for k, (now_ns, rows) in enumerate(zip(self.times_ns.tolist(), self.rows(stack.interval), strict=True)):
            ends = expected_ends(self.bars, stack.interval, term.n, now_ns)
            own = rows - np.arange(term.n)[:, None]
            back, who = np.nonzero(own >= begin)
            own = own[back, who]
            at = np.searchsorted(ends, stack.end_ns[own])
            there = (at < len(ends)) & (ends[np.minimum(at, len(ends) - 1)] == stack.end_ns[own])
            found[k, term.n - len(ends) + at[there], who[there]] = column[own[there]]
        return found

    def _of_table(self, term: TableColumn) -> Value:
        bars = self.bars
        found = known_column(bars.tables, term.table, term.column, self.symbols, self.times_ns, bars.session_date)
        return numbers_of(found, term.text) if term.kind == "number" else labels_of(found)

    def _made_series(self, interval: Interval) -> tuple[UniverseBars, Positions]:
        bars = self.bars
        if interval == bars.base.interval:
            return bars.history_and_session(self.who)
        if interval in bars.derived:
            return bars.derived[interval], self.who
        if interval in bars.before:
            columns = self._columns.get(interval, COLUMNS)
            (history, who), (own, _) = (
                _some(bars.before[interval], self.who, columns),
                _some(bars.base, self.who, columns),
            )
            return appended(history, derive_universe(own, interval, bars.sessions, bars.row)), who
        if interval.is_intraday or bars.days is None:
            base, who = _some(*self.series(bars.base.interval), self._columns.get(interval, COLUMNS))
            return derive_universe(base, interval, bars.sessions, bars.row), who
        days, who = _some(bars.days, self.who)
        if bars.past is not None and bars.past.first_row < bars.row:
            history = bars.past.bars(days.symbols)
            days = days_beside(history, days, bars.sessions, bars.row, bars.past.first_row)
        if len(self.times_ns) and self.times_ns[-1] >= bars.close_ns and bars.base.interval != DAY:
            days = with_today(bars, _some(bars.base, self.who)[0], days)
        return derive_universe(days, interval, bars.sessions, bars.row), who


def _some(stack: UniverseBars, who: Positions, columns: Sequence[str] = COLUMNS) -> tuple[UniverseBars, Positions]:
    """The symbols' own bars, or everybody's where most are looked at: to copy theirs would take longer."""
    if 2 * len(who) > len(stack.symbols):
        return replace(stack, columns=tuple(name for name in stack.columns if name in columns)), who
    return chosen(stack, who, columns), np.arange(len(who))


def _at(values: FloatArray, rows: IntArray) -> FloatArray:
    """The values at these rows, NaN for -1."""
    if not len(values):
        return np.full(rows.shape, np.nan)
    return np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)


def _columns(value: Value, kept: Positions | None) -> Value:
    if isinstance(value, Truth):
        return Truth(_columns(value.yes, kept), _columns(value.no, kept))
    return value[..., kept]
