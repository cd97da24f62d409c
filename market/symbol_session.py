"""One symbol's session as a deterministic state machine: commands in, reports out. No clock, no I/O, no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import Enum

import numpy as np

from barray.market.adhoc import adhoc_series, place
from barray.market.appending import by_time, taken_in
from barray.market.bars import Bar, Bars, Prices, format_ns
from barray.market.commands import (
    Accepted,
    AddAdhocBar,
    AddAdhocIndicator,
    AppendBars,
    Appended,
    Command,
    Load,
    Loaded,
    Provision,
    Provisioned,
    Rejected,
    Report,
    SnapshotTaken,
    TakeSnapshot,
    prices_of,
)
from barray.market.daily import DailyHistory, daily_warnings, derive_beside, history_of
from barray.market.errors import DataError, IllegalTransition, NoDataError
from barray.market.indicators import IndicatorData, IndicatorSpec, compute
from barray.market.interval import DAY, Interval
from barray.market.jumps import check_jumps, jump_warnings
from barray.market.quality import Quality, measure_quality
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions
from barray.market.symbol_data import AdhocConflict, Lineage, SymbolMetadata, SymbolSessionData
from barray.market.validation import Reason


class SymbolState(Enum):
    """Where a symbol stands. EMPTY until the first command; nothing leads back."""

    EMPTY = "empty"
    ADHOC = "adhoc"
    FULL = "full"


_MOVES: Mapping[SymbolState, tuple[type, ...]] = {
    SymbolState.EMPTY: (Provision, Load),
    SymbolState.ADHOC: (Provision, Load, AddAdhocBar, AddAdhocIndicator, TakeSnapshot),
    SymbolState.FULL: (Provision, Load, AppendBars, AddAdhocBar, AddAdhocIndicator, TakeSnapshot),
}


@dataclass(frozen=True, eq=False)
class _Record:
    """What was loaded: the base bars as the source gave them, and what the config wants of them."""

    source: str
    base: IntervalBars
    intervals: tuple[Interval, ...]
    indicators: tuple[IndicatorSpec, ...]
    prices: Prices
    dataset: str | None = None
    daily: DailyHistory | None = None

    def lineage(self, until_ns: int) -> Lineage:
        """Of the bars closed by `until_ns`: a snapshot must not tell how many are still to come."""
        stamps = self.base.bars.start_ns[: self.base.closed_by(until_ns)]
        first_ns, last_ns = (int(stamps[0]), int(stamps[-1])) if len(stamps) else (None, None)
        return Lineage(self.source, self.base.interval, first_ns, last_ns, len(stamps), self.dataset)

    def warnings(self, context: SessionContext, until_ns: int) -> tuple[Reason, ...]:
        """Of the bars closed by `until_ns`, judged by these alone."""
        closed = self.base.take(slice(0, self.base.closed_by(until_ns)))
        found = jump_warnings(closed, context.sessions, context.suspect_jump, self.source)
        if self.daily is None:
            return found
        days = self.derived(DAY, closed, context)
        days = days.take(slice(0, days.closed_by(until_ns)))
        return *found, *daily_warnings(days, context.sessions, context.suspect_jump, self.daily.source)

    def derived(self, interval: Interval, base: IntervalBars, context: SessionContext) -> IntervalBars:
        """Bars of `interval` from `base`, with daily ones before them where these were loaded."""
        daily = self.daily.bars if self.daily else None
        return derive_beside(base, daily, interval, context.sessions, context.row)


class SymbolSession:
    """Bars, indicators, quality and metadata of one symbol for one session date.

    Everything is computed once over history and session as one series; what has closed by the symbol's time is visible,
    and its time is that of the last command. The same commands give the same state, wherever and how often they are
    applied, and what comes between two of them is the same however much time was seen to pass there.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.state = SymbolState.EMPTY
        self._context: SessionContext
        self._metadata = SymbolMetadata()
        self._now_ns = 0
        self._record: _Record | None = None
        self._adhoc_bars: dict[Interval, dict[int, Bar]] = {}
        self._adhoc_indicators: dict[str, IndicatorSpec] = {}
        self._conflicts: tuple[AdhocConflict, ...] = ()
        self._series: dict[Interval, IntervalBars] = {}
        self._indicators: dict[str, IndicatorData] = {}

    def apply(self, command: Command, bars: Bars | None = None, daily: Bars | None = None) -> Report:
        """Carry out one command. `bars` and `daily` are what `Load.read` gave, for `Load` only.

        Raises IllegalTransition where the state has no move for it or time would go back, DataError where bars can't be
        right, and then changes nothing.
        """
        if not isinstance(command, _MOVES[self.state]):
            raise IllegalTransition(
                f"{type(command).__name__} means nothing to a symbol that is {self.state.value}", symbol=self.symbol
            )
        if command.at_ns < self._now_ns:
            raise IllegalTransition(
                f"stands at {format_ns(self._now_ns)} and cannot go back to {format_ns(command.at_ns)}",
                symbol=self.symbol,
            )
        report = self._carry_out(command, bars or Bars.empty(), daily or Bars.empty())
        self._now_ns = command.at_ns
        return report

    def _carry_out(self, command: Command, bars: Bars, daily: Bars) -> Report:
        match command:
            case Provision():
                return self._provision(command)
            case Load():
                return self._load(command, bars, daily)
            case AppendBars():
                return self._append(command)
            case AddAdhocBar():
                return self._add_bar(command)
            case AddAdhocIndicator():
                return self._add_indicator(command)
            case TakeSnapshot():
                return SnapshotTaken(self._snapshot(command.at_ns))

    def laid(self) -> tuple[SessionContext, IntervalBars, DailyHistory | None]:
        """What a full symbol was loaded with: where its session stands, the source's base bars of history and the whole
        session, and daily ones of sessions before. IllegalTransition where it is none.
        """
        if self._record is None:
            raise IllegalTransition("is not loaded", symbol=self.symbol)
        return self._context, self._record.base, self._record.daily

    def needs_bars(self, command: Command) -> bool:
        """Whether `command` is a load that will use bars, so that they have to be read first."""
        return isinstance(command, Load) and self.state is not SymbolState.FULL

    def _provision(self, command: Provision) -> Provisioned:
        if self.state is not SymbolState.EMPTY:
            return Provisioned(new=False)
        self._context = command.context
        self._metadata = SymbolMetadata(
            added_by="adhoc",
            auto_provisioned=True,
            added_at=_utc(command.at_ns),
            added_mid_session=command.at_ns > command.context.open_ns,
            provisioned_reason=command.reason,
        )
        self.state = SymbolState.ADHOC
        return Provisioned(new=True)

    def _load(self, command: Load, bars: Bars, daily: Bars) -> Loaded:
        if self.state is SymbolState.FULL and self._record:
            return Loaded(new=False, lineage=self._record.lineage(self._context.close_ns))
        context, interval, source = command.context, command.base_interval, command.reader.name
        if command.live:  # a vendor may show the minute that is still running
            bars = bars.take((bars.start_ns < context.open_ns) | (bars.start_ns + interval.ns <= command.at_ns))
        prices = prices_of(command.reader)
        base = _laid(bars, interval, context, self.symbol, source, prices)
        base = base.take(slice(*_within(base, context)))
        if len(base) == base.history and not command.live:
            raise NoDataError(
                f"no bars in the {context.hours} hours of {context.session_date}",
                symbol=self.symbol,
                interval=str(interval),
                source=source,
                remedy="check the stamps in the source",
                code="no_session_data",
            )
        self._check_history(base, context, source)
        warnings = check_jumps(base, context.sessions, context.suspect_jump, symbol=self.symbol, source=source)
        dataset: str | None = getattr(command.reader, "dataset", None)
        record = _Record(source, base, command.intervals, command.indicators, prices, dataset)
        if command.daily is not None and context.daily_row is not None:
            own = history_of(daily, command.daily, context, self.symbol)
            record = replace(record, daily=own)
            warnings += own.check(base, context.sessions, context.row, context.suspect_jump, self.symbol)
        upgraded = self.state is SymbolState.ADHOC
        conflicts, kept = _overrule(self._adhoc_bars, record, context)
        self._series, self._indicators = _compute(self.symbol, context, record, kept, self._adhoc_indicators)
        self._context, self._record, self._adhoc_bars, self._conflicts = context, record, kept, conflicts
        self._metadata = replace(
            self._metadata,
            meets_session_config_requirements=True,
            added_by=command.added_by,
            auto_provisioned=False,
            added_at=_utc(command.at_ns),
            added_mid_session=command.at_ns > context.open_ns,
            upgraded_from_adhoc=upgraded,
        )
        self.state = SymbolState.FULL
        return Loaded(new=True, lineage=record.lineage(context.close_ns), conflicts=conflicts, warnings=warnings)

    def _check_history(self, base: IntervalBars, context: SessionContext, source: str) -> None:
        """NoDataError where sessions of the history have no bar, more than may be: a file's name may promise a day."""
        lacking = [day.isoformat() for day in _sessions_lacking(base, context)]
        if context.max_missing_days is None or len(lacking) <= context.max_missing_days:
            return
        listed = ", ".join(lacking[:5]) + (" …" if len(lacking) > 5 else "")
        raise NoDataError(
            f"no bars in the {context.hours} hours of {len(lacking)} of the {len(context.history_dates)} trailing "
            f"sessions ({listed})",
            symbol=self.symbol,
            interval=str(base.interval),
            source=source,
            remedy="add the data, or allow history.max_missing_days",
            code="no_history",
        )

    def _append(self, command: AppendBars) -> Appended | Rejected:
        context, record = self._context, self._record
        if record is None:
            raise IllegalTransition("has no base bars to append to", symbol=self.symbol)
        interval = record.base.interval
        try:
            taken = taken_in(record.base, command.bars, context, self.symbol, record.source, record.prices)
        except DataError as error:
            return Rejected(str(error))
        if taken is None:
            return Appended(0, 0, 0)
        fresh, is_new, base = taken.fresh, taken.is_new, taken.base
        record = replace(record, base=base)
        conflicts, adhoc = _filled(fresh, self._adhoc_bars, interval)
        self._series, self._indicators = _compute(self.symbol, context, record, adhoc, self._adhoc_indicators)
        self._record, self._adhoc_bars, self._conflicts = record, adhoc, (*self._conflicts, *conflicts)
        late = is_new & (fresh.start_ns + interval.ns <= command.since_ns)
        return Appended(int((is_new & ~late).sum()), int(late.sum()), int((~is_new).sum()))

    def _add_bar(self, command: AddAdhocBar) -> Accepted | Rejected:
        interval, bar = command.interval, place(command.bar, command.interval, self._context)
        base = self._record.base.interval if self._record else None
        if base and base != interval and base.derives(interval):
            return Rejected(f"{interval} of {self.symbol} is derived from {base}; add {base} bars instead")
        context = self._context
        if base == interval and bar.start_ns < context.sessions.open_ns[context.history_row]:
            return Rejected(f"{format_ns(bar.start_ns)} is before the history that {self.symbol} was loaded with")
        present = self._series.get(interval)
        if present is not None and bar.start_ns in present.bars.start_ns:
            return Rejected(f"{self.symbol} {interval} already has a bar at {format_ns(bar.start_ns)}")
        adhoc = {**self._adhoc_bars, interval: {**self._adhoc_bars.get(interval, {}), bar.start_ns: bar}}
        try:
            self._series, self._indicators = _compute(
                self.symbol, self._context, self._record, adhoc, self._adhoc_indicators
            )
        except DataError as error:
            return Rejected(str(error))
        self._adhoc_bars = adhoc
        return Accepted(self._still_empty(interval))

    def _add_indicator(self, command: AddAdhocIndicator) -> Accepted | Rejected:
        spec = command.spec
        if spec.key in self._indicators:
            return Rejected(f"{self.symbol} already has {spec.key}")
        base = self._record.base.interval if self._record else None
        if base and not base.derives(spec.interval) and spec.interval not in self._series:
            return Rejected(f"{self.symbol} has no {spec.interval} bars, and they cannot be derived from {base}")
        finer = [interval for interval in self._adhoc_bars if interval.derives(spec.interval)]
        if base is None and finer and spec.interval not in finer:
            return Rejected(
                f"{self.symbol} has {min(finer)} bars, all added by hand, of which no others are derived; "
                f"add {spec.interval} bars first, or add_symbol to load it whole"
            )
        added = {**self._adhoc_indicators, spec.key: spec}
        self._series, self._indicators = _compute(self.symbol, self._context, self._record, self._adhoc_bars, added)
        self._adhoc_indicators = added
        return Accepted()

    def _still_empty(self, added: Interval) -> str:
        """Which adhoc indicators wait for bars that the bars added do not make."""
        waiting = [
            key
            for key, spec in self._adhoc_indicators.items()
            if spec.interval != added and added.derives(spec.interval) and not len(self._series[spec.interval])
        ]
        named = ", ".join(waiting)
        return f"{named} stays empty: of bars added by hand no others are derived, add its own" if waiting else ""

    def snapshot(self) -> SymbolSessionData:
        """The visible state: only what has closed by the symbol's time. Arrays are shared and read-only."""
        return self._snapshot(self._now_ns)

    def _snapshot(self, now: int) -> SymbolSessionData:
        context = self._context
        rows = {interval: slice(0, series.closed_by(now)) for interval, series in self._series.items()}
        bars = {str(interval): series.take(rows[interval]) for interval, series in sorted(self._series.items())}

        def measured(until_ns: int, *, history: bool = False) -> dict[str, Quality]:
            found: dict[str, Quality] = {}
            for name, series in bars.items():
                first, stop = (context.first_row(series.interval), 0) if history else (context.row, 1)
                days = range(first, context.row + stop)
                found[name] = measure_quality(series.bars.start_ns, series.interval, context.sessions, days, until_ns)
            return found

        return SymbolSessionData(
            self.symbol,
            **self._metadata.__dict__,
            session_date=context.session_date,
            now_ns=now,
            base_interval=self._record.base.interval if self._record else None,
            bars=bars,
            indicators={key: data.take(rows[data.spec.interval]) for key, data in self._indicators.items()},
            quality=measured(now),
            history_quality=measured(context.open_ns, history=True) if self._record else {},
            adhoc_bars={
                str(interval): tuple(sorted(added)) for interval, added in sorted(self._adhoc_bars.items()) if added
            },
            adhoc_indicators=tuple(self._adhoc_indicators),
            conflicts=self._conflicts,
            lineage=self._record.lineage(now) if self._record else None,
            daily_lineage=self._record.daily.lineage if self._record and self._record.daily else None,
            warnings=self._record.warnings(context, now) if self._record else (),
        )


def _within(base: IntervalBars, context: SessionContext) -> tuple[int, int]:
    """Rows of the bars in the sessions that are to be loaded; a source may give more."""
    if base.interval.unit == "w":
        week = context.sessions.week
        first = int(np.searchsorted(week, week[context.history_row]))
    else:
        first = context.history_row
    low, high = np.searchsorted(base.session, (first, context.row + 1))
    return int(low), int(high)


def _sessions_lacking(base: IntervalBars, context: SessionContext) -> list[date]:
    """Labels of the history's sessions, or of those whose week, has no bar of the base interval."""
    sessions, rows = context.sessions, np.arange(context.history_row, context.row)
    place = sessions.week if base.interval.unit == "w" else np.arange(len(sessions))
    held = np.isin(place[rows], place[base.session])
    labels: list[date] = sessions.dates[rows[~held]].tolist()
    return labels


def _overrule(
    adhoc: Mapping[Interval, Mapping[int, Bar]], record: _Record, context: SessionContext
) -> tuple[tuple[AdhocConflict, ...], dict[Interval, dict[int, Bar]]]:
    """Where the source of record serves an interval its bars win: the conflicts, and the adhoc bars that stay."""
    conflicts: list[AdhocConflict] = []
    kept: dict[Interval, dict[int, Bar]] = {}
    for interval, added in sorted(adhoc.items()):
        if not record.base.interval.derives(interval):
            kept[interval] = dict(added)
            continue
        series = record.derived(interval, record.base, context).bars
        for start_ns, bar in sorted(added.items()):
            row = int(np.searchsorted(series.start_ns, start_ns))
            known = series[row] if row < len(series) and series.start_ns[row] == start_ns else None
            if known != bar:
                conflicts.append(AdhocConflict(interval, bar, known))
    return tuple(conflicts), kept


def _filled(
    fresh: Bars, adhoc: Mapping[Interval, Mapping[int, Bar]], interval: Interval
) -> tuple[list[AdhocConflict], dict[Interval, dict[int, Bar]]]:
    """The source's own bars have come for gaps that adhoc ones filled: the conflicts, and the adhoc bars that stay."""
    record = {bar.start_ns: bar for bar in (fresh[row] for row in range(len(fresh)))}
    own = adhoc.get(interval, {})
    gone = [AdhocConflict(interval, bar, record[at]) for at, bar in own.items() if at in record and bar != record[at]]
    kept = {
        of: {at: bar for at, bar in added.items() if of != interval or at not in record} for of, added in adhoc.items()
    }
    return gone, kept


def _compute(
    symbol: str,
    context: SessionContext,
    record: _Record | None,
    adhoc: Mapping[Interval, Mapping[int, Bar]],
    adhoc_indicators: Mapping[str, IndicatorSpec],
) -> tuple[dict[Interval, IntervalBars], dict[str, IndicatorData]]:
    """All series and indicators, over history and the whole session; causal, so a prefix is what was known then."""
    series = {
        interval: adhoc_series(symbol, interval, list(added.values()), context) for interval, added in adhoc.items()
    }
    specs = {**({spec.key: spec for spec in record.indicators} if record else {}), **adhoc_indicators}
    if record:
        base = record.base
        if base.interval in series:
            both = by_time(base.bars, series[base.interval].bars)  # adhoc ones fill its gaps
            base = _laid(both, base.interval, context, symbol, "adhoc", context.prices)
        series[base.interval] = base
        wanted = (*record.intervals, *(spec.interval for spec in specs.values()), *((DAY,) if record.daily else ()))
        for interval in wanted:
            if interval not in series and base.interval.derives(interval):
                series[interval] = record.derived(interval, base, context)
    for spec in specs.values():
        if spec.interval not in series:
            series[spec.interval] = _laid(Bars.empty(), spec.interval, context, symbol, "adhoc", context.prices)
    return series, {key: compute(spec, series[spec.interval]) for key, spec in specs.items()}


def _laid(
    bars: Bars, interval: Interval, context: SessionContext, symbol: str, source: str, prices: Prices
) -> IntervalBars:
    return lay_on_sessions(bars, interval, context.sessions, context.row, symbol=symbol, source=source, prices=prices)


def _utc(stamp_ns: int) -> datetime:
    return datetime.fromtimestamp(stamp_ns / 1_000_000_000, UTC)
