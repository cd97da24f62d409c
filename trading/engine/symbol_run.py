"""One symbol's backtest: its bars laid on a range of sessions, and a strategy run over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cached_property
from hashlib import blake2b
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import Bars, FloatArray, IntArray, Prices
from barray.market.calendar import Sessions
from barray.market.daily import DailyHistory, between
from barray.market.errors import NoDataError
from barray.market.interval import DAY, Interval
from barray.market.jumps import check_jumps, first_warnings
from barray.market.known_table import SymbolTables
from barray.market.series import IntervalBars, lay_on_sessions
from barray.market.session_range import SessionRange, SourceSpan
from barray.market.symbol_data import Lineage
from barray.market.validation import Reason
from barray.trading.engine.commands import Plan
from barray.trading.engine.event_run import Outcome, run_symbol
from barray.trading.orders.broker import Account
from barray.trading.orders.fills import Fills
from barray.trading.orders.order_columns import in_turn
from barray.trading.results.equity import EquityCurve, equity_on_grid, session_closes, session_pnl
from barray.trading.results.ledger import LoadedBars, longest
from barray.trading.results.logs import MOST_LINES, Logs
from barray.trading.results.result import SymbolResult, Trades
from barray.trading.results.trades import round_trips
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.data import SymbolData, prepare
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.range_bars import DailyPast, RangeBars


@dataclass(frozen=True, eq=False)
class LoadedRange:
    """A symbol's bars of a range. `skipped`: sessions it can't run, with the reason. `traded`: rows of the others.

    `spans`: which source served which sessions, where there are several. `dataset`: see Lineage. `warnings`: moves of
    prices that are suspected. `daily`: daily bars of sessions before those with base bars. `tables`: what the user's
    tables say of the symbol.
    """

    symbol: str
    source: str
    session_range: SessionRange
    base: IntervalBars
    traded: IntArray
    skipped: Mapping[str, str]
    spans: tuple[SourceSpan, ...] = ()
    dataset: str | None = None
    warnings: tuple[Reason, ...] = ()
    daily: DailyHistory | None = None
    tables: SymbolTables = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """What tells these bars from others: 32 hex digits over all that a run goes by, bars as laid, sessions that are
        traded, their history, and tables. Where they come from is not in it.
        """
        base, sessions = self.base, self.session_range.sessions
        bars = base.bars
        digest = blake2b(f"{base.interval} {sorted(self.session_range.history.items())}".encode(), digest_size=16)
        columns: list[NDArray[Any]] = [bars.start_ns, base.end_ns, base.session, *_values(bars)]
        columns += [self.traded, *_bounds(sessions)]
        if self.daily is not None:
            days = self.daily.every
            digest.update(f"daily {sorted(self.session_range.daily.items())}".encode())
            columns += [days.bars.start_ns, days.session, *_values(days.bars)]
        for name, table in self.tables.items():
            digest.update(f"table {name}".encode() + table.digest)
        for column in columns:
            digest.update(f"{column.dtype} {len(column)}".encode())
            digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()

    def prepare(self, strategy: Strategy, computed: Computed | None = None) -> SymbolData:
        """Everything that a strategy needs of it; `computed`: see barray.trading.strategy.data.prepare.

        ConfigError where an indicator or interval can't be read.
        """
        return self.prepare_for(strategy.needs(), computed)

    def prepare_for(self, needs: Needs, computed: Computed | None = None) -> SymbolData:
        """The same for given needs."""
        made_of = self.made_of
        sessions, history, past = made_of.sessions, made_of.history, made_of.past
        data = prepare(self.symbol, self.base, needs, sessions, self.traded, history, computed, past)
        return replace(data, tables=self.tables) if self.tables else data

    @property
    def without_days(self) -> dict[date, str]:
        """Sessions that lack too many of the daily bars before theirs, with the reason."""
        return self.session_range.without_daily(self.daily.every.session) if self.daily else {}

    @property
    def made_of(self) -> RangeBars:
        """What its derived bars and indicators are made of."""
        past = DailyPast(self.daily.every, self.session_range.daily) if self.daily else None
        return RangeBars(self.base, self.session_range.sessions, self.session_range.history, past)


def _values(bars: Bars) -> tuple[FloatArray, ...]:
    return bars.open, bars.high, bars.low, bars.close, bars.volume


def _bounds(sessions: Sessions) -> tuple[IntArray, IntArray]:
    return sessions.open_ns, sessions.close_ns


def lay_range(
    symbol: str,
    bars: Bars,
    interval: Interval,
    session_range: SessionRange,
    source: str,
    skipped: Mapping[date, str],
    prices: Prices = "positive",
    spans: tuple[SourceSpan, ...] = (),
    daily: DailyHistory | None = None,
) -> LoadedRange:
    """Lay bars on the range; DataError where they can't be right, NoDataError where no session has any."""
    first = int(session_range.rows[0])
    base = lay_on_sessions(bars, interval, session_range.sessions, first, symbol=symbol, source=source, prices=prices)
    low = int(np.searchsorted(base.session, session_range.first_row))
    base = base.take(slice(low, int(np.searchsorted(base.session, int(session_range.rows[-1]) + 1))))
    present = np.isin(session_range.rows, base.session)
    reasons = {day.isoformat(): skipped[day] for day in session_range.dates if day in skipped}
    for day, there in zip(session_range.dates, present.tolist(), strict=True):
        if not there:
            reasons.setdefault(day.isoformat(), f"no bars in the {session_range.hours} hours of {day}")
    for day, reason in session_range.without_history(base.session, interval).items():
        reasons.setdefault(day.isoformat(), reason)
    without_days = session_range.without_daily(daily.every.session) if daily else {}
    have_bars = any(day.isoformat() not in reasons for day in session_range.dates)
    for day, reason in without_days.items():
        reasons.setdefault(day.isoformat(), reason)
    wanted = np.array([day.isoformat() not in reasons for day in session_range.dates], np.bool_)
    traded = session_range.rows[wanted]
    if not len(traded) and daily and have_bars:
        raise NoDataError(
            f"no session of {len(session_range.rows)} can be run: {next(iter(without_days.values()))}",
            symbol=symbol,
            interval=str(DAY),
            source=daily.source,
            remedy="add the data, or allow history.max_missing_days",
            code="no_daily_history",
        )
    if not len(traded):
        raise NoDataError(
            f"no session of {len(session_range.rows)} can be run",
            symbol=symbol,
            interval=str(interval),
            source=source,
            remedy="check the dates, and the stamps in the source",
            code="no_session_data",
        )
    reasons = dict(sorted(reasons.items()))
    return LoadedRange(symbol, source, session_range, base, traded, reasons, spans, daily=daily)


def judge_prices(loaded: LoadedRange, *, anew: bool = False) -> LoadedRange:
    """The range with what its base bars' prices are suspected of; DataError where such prices are refused.

    `anew`: every session is judged by itself, with its own history, as it is run: a night that nothing is held over
    does no harm, and in how many parts sessions are run makes no difference.
    """
    session_range, base = loaded.session_range, loaded.base
    found: list[Reason] = []
    for first, last in _judged_together(loaded, anew=anew):
        rows = slice(*np.searchsorted(base.session, (first, last + 1)).tolist())
        rule, symbol = session_range.suspect_jump, loaded.symbol
        found += check_jumps(base.take(rows), session_range.sessions, rule, symbol=symbol, source=loaded.source)
    return replace(loaded, warnings=first_warnings(found))


def judge_daily(loaded: LoadedRange, *, anew: bool = False) -> LoadedRange:
    """The range with what its daily bars are suspected of besides, as `judge_prices`; no other base bars mend them."""
    session_range, base, daily = loaded.session_range, loaded.base, loaded.daily
    if daily is None:
        return loaded
    found = list(loaded.warnings)
    for first, last in _judged_together(loaded, anew=anew):
        rows = slice(*np.searchsorted(base.session, (first, last + 1)).tolist())
        own, rule = _own_daily(daily, session_range, first, last), session_range.suspect_jump
        found += own.check(base.take(rows), session_range.sessions, last, rule, loaded.symbol)
    return replace(loaded, warnings=first_warnings(found))


def _judged_together(loaded: LoadedRange, *, anew: bool) -> list[tuple[int, int]]:
    """First and last rows of sessions whose prices are one series."""
    session_range = loaded.session_range
    if anew:
        return [(session_range.history[row], row) for row in loaded.traded.tolist()]
    return [(session_range.first_row, int(session_range.rows[-1]))]


def _own_daily(daily: DailyHistory, session_range: SessionRange, first: int, last: int) -> DailyHistory:
    """As the sessions from `first` to `last` see it, of which the latter is run."""
    began = session_range.daily[last] if first == session_range.history[last] else 0
    return replace(daily, every=between(daily.every, began, last), base_row=first)


def loaded_bars(loaded: LoadedRange) -> LoadedBars:
    """What there is of the bars, by session, and what of it is run."""
    base, spans = loaded.base, loaded.spans
    rows, first, counts = np.unique(base.session, return_index=True, return_counts=True)
    last = first + counts - 1
    origins: list[tuple[str, str | None]] = [(loaded.source, loaded.dataset)] * len(rows)
    if spans:
        ends = np.array([np.datetime64(span.last) for span in spans])
        at = np.searchsorted(ends, loaded.session_range.sessions.dates[rows])
        origins = [(spans[number].source, spans[number].dataset) for number in np.minimum(at, len(spans) - 1).tolist()]
    return LoadedBars(
        source=loaded.source,
        interval=base.interval,
        rows=rows.astype(np.int64),
        counts=counts.astype(np.int64),
        first_ns=base.bars.start_ns[first],
        last_ns=base.bars.start_ns[last],
        first_open=base.bars.open[first],
        last_close=base.bars.close[last],
        origins=tuple(origins),
        traded=loaded.traded,
        skipped=loaded.skipped,
        dataset=loaded.dataset,
        warnings=loaded.warnings,
        daily=loaded.daily.lineage if loaded.daily else None,
    )


def run_range(loaded: LoadedRange, plan: Plan, grid_ns: IntArray) -> SymbolResult:
    """Run a strategy over all its sessions and say what came of it; errors as in `run_loaded`. `grid_ns`: see
    SymbolResult.equity.
    """
    began = perf_counter()
    outcome = run_loaded(loaded, plan)
    return summarise(loaded, plan.account, outcome, grid_ns, perf_counter() - began)


def run_loaded(loaded: LoadedRange, plan: Plan, computed: Computed | None = None) -> Outcome:
    """Run a strategy over all its sessions. The strategy's errors are in the outcome; ConfigError for what it needs."""
    strategy, timezone = plan.strategy(), loaded.session_range.timezone
    data = loaded.prepare(strategy, computed)
    return run_symbol(
        strategy,
        data,
        plan.market,
        plan.account,
        form=plan.form,
        timezone=timezone,
        call_timeout_s=plan.call_timeout_s,
    )


def join_results(parts: Sequence[SymbolResult], grid_session: IntArray) -> SymbolResult:
    """One symbol's sessions, each of which began anew, as a whole; `parts` in order of time, see `summarise`.

    `grid_session`: which session of the run each stamp of the parts' grids, one after another, lies in. Each session's
    profit is added to the next one's capital here, and here only, so that it does not matter how they were split.
    """
    pnl = np.concatenate([part.session_pnl for part in parts])
    before = np.concatenate(([0.0], np.cumsum(pnl)))
    closes = np.concatenate([part.session_close for part in parts])
    known = np.maximum.accumulate(np.where(np.isnan(closes), 0, np.arange(len(closes))))
    return replace(
        _together(parts),
        curve=EquityCurve.joined([part.curve for part in parts]).raised(before[grid_session]),
        session_close=closes[known],
        session_pnl=pnl,
    )


def skipping(result: SymbolResult, days: Iterable[date], why: str) -> SymbolResult:
    """The result of a symbol that was in some of these sessions, with `why` it was not in the others."""
    absent = [label for day in days if (label := day.isoformat()) not in result.sessions]
    return replace(result, skipped=dict(sorted({**dict.fromkeys(absent, why), **result.skipped}.items())))


def _together(parts: Sequence[SymbolResult]) -> SymbolResult:
    """The last part, with all that is a list in any. Rows of fills count in no bars that all have, and are -1."""
    first, last, capital = parts[0], parts[-1], parts[0].capital
    fills, orders = in_turn([(part.fills, part.orders) for part in parts])
    columns = {c.name: np.concatenate([getattr(part.trades, c.name) for part in parts]) for c in fields(Trades)}
    failed = next((part for part in parts if part.error), None)
    return replace(
        last,
        fills=replace(fills, row=np.full(len(fills), -1)),
        orders=orders,
        trades=Trades(**columns),
        cash=float(capital + sum(part.cash - capital for part in parts)),
        first_price=first.first_price,
        bars=sum(part.bars for part in parts),
        refusals=tuple(refusal for part in parts for refusal in part.refusals),
        skipped={day: reason for part in parts for day, reason in part.skipped.items()},
        error=failed.error if failed else None,
        error_ns=failed.error_ns if failed else None,
        logs=Logs.together(part.logs for part in parts).first(MOST_LINES),
        lineage=_joined_lineage(parts),
        daily=longest(part.daily for part in parts),
        sources=_joined_sources(parts),
        sessions=tuple(sorted({day for part in parts for day in part.sessions})),
        warnings=first_warnings(warning for part in parts for warning in part.warnings),
        engine_s=sum(part.engine_s for part in parts),
    )


def _joined_lineage(parts: Sequence[SymbolResult]) -> Lineage | None:
    """Of all parts; bars that one only read as history are not counted."""
    first, last = parts[0].lineage, parts[-1].lineage
    if first is None or last is None:
        return None
    source = " + ".join(dict.fromkeys(one.source for one in _shares(parts)))
    return replace(last, source=source, first_ns=first.first_ns, bars=sum(part.bars for part in parts))


def _joined_sources(parts: Sequence[SymbolResult]) -> tuple[Lineage, ...]:
    """What each source gave, in order of time; () where there is one."""
    known = _shares(parts)
    if len(parts) == 1:
        return parts[0].sources
    if len({one.source for one in known}) == 1:
        return ()
    joined = known[:1]
    for one in known[1:]:
        last = joined[-1]
        if one.source == last.source:
            joined[-1] = replace(last, last_ns=one.last_ns, bars=last.bars + one.bars)
        else:
            joined.append(one)
    return tuple(joined)


def _shares(parts: Sequence[SymbolResult]) -> list[Lineage]:
    """What each part has of each of its sources."""
    return [one for part in parts if part.lineage for one in part.sources or (replace(part.lineage, bars=part.bars),)]


def _sources(loaded: LoadedRange) -> tuple[Lineage, ...]:
    """What each source gave of the bars; () where there is one."""
    base, dates = loaded.base, loaded.session_range.sessions.dates
    ends = [
        int(np.searchsorted(base.session, np.searchsorted(dates, np.datetime64(span.last), side="right")))
        for span in loaded.spans
    ]
    shares = zip(loaded.spans, [0, *ends[:-1]], ends, strict=False)
    return tuple(
        _lineage(span.source, base.take(slice(start, end)), span.dataset) for span, start, end in shares if start < end
    )


def _lineage(source: str, base: IntervalBars, dataset: str | None) -> Lineage:
    stamps = base.bars.start_ns
    return Lineage(source, base.interval, int(stamps[0]), int(stamps[-1]), len(stamps), dataset)


def summarise(
    loaded: LoadedRange,
    account: Account,
    outcome: Outcome,
    grid_ns: IntArray,
    engine_s: float,
) -> SymbolResult:
    """Trades, equity and the rest, from what was filled.

    Where the account does not carry over, equity begins with the capital in every session: `join_results` adds up.
    """
    base, session_range, fills, capital = loaded.base, loaded.session_range, outcome.fills, account.capital
    closes_ns = session_range.sessions.close_ns[session_range.rows]
    number = np.minimum(np.searchsorted(closes_ns, grid_ns), len(closes_ns) - 1)
    if account.carry:
        curve = equity_on_grid(fills, base, capital, grid_ns)
        by_session = session_pnl(curve.equity, number, len(closes_ns), capital)
    else:
        curve, by_session = _anew(loaded, capital, fills, grid_ns, number)
    first = int(np.searchsorted(base.session, int(loaded.traded[0])))
    last = len(base) - 1
    return SymbolResult(
        symbol=loaded.symbol,
        capital=capital,
        fills=fills,
        orders=outcome.orders,
        trades=round_trips(fills, base.bars, last),
        curve=curve,
        session_close=session_closes(base, first, closes_ns),
        session_pnl=by_session,
        cash=capital - float((fills.quantity * fills.price + fills.commission).sum()),
        position=float(fills.quantity.sum()),
        hold_capital=capital,
        first_price=float(base.bars.open[first]),
        last_price=float(base.bars.close[last]),
        bars=len(base) - first,
        refusals=outcome.refusals,
        skipped=loaded.skipped,
        error=outcome.error,
        error_ns=outcome.error_ns,
        logs=outcome.logs,
        lineage=_lineage(loaded.source, base, loaded.dataset),
        daily=loaded.daily.lineage if loaded.daily else None,
        sources=_sources(loaded),
        sessions=_gone_through(loaded, account, outcome),
        warnings=loaded.warnings,
        engine_s=engine_s,
    )


def _gone_through(loaded: LoadedRange, account: Account, outcome: Outcome) -> tuple[str, ...]:
    """Labels of the sessions that were begun before the strategy failed, which where accounts begin anew is no end."""
    sessions = loaded.session_range.sessions
    rows = loaded.traded
    if outcome.error is not None and account.carry:
        rows = rows[sessions.open_ns[rows] <= (-1 if outcome.error_ns is None else outcome.error_ns)]
    return tuple(day.item().isoformat() for day in sessions.dates[rows])


def _anew(
    loaded: LoadedRange, capital: float, fills: Fills, grid_ns: IntArray, number: NDArray[np.int64]
) -> tuple[EquityCurve, FloatArray]:
    """Equity and exposure, and profit by session, each session from the capital."""
    sessions = loaded.base.session[fills.row]
    curves, by_session = [], []
    for position, row in enumerate(loaded.session_range.rows.tolist()):
        own = equity_on_grid(fills.take(sessions == row), loaded.base, capital, grid_ns[number == position])
        curves.append(own)
        by_session.append(own.equity[-1] - capital if len(own) else 0.0)
    return EquityCurve.joined(curves), np.array(by_session)
