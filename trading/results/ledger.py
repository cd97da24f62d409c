"""One symbol's result of a portfolio run, made of what each session brought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import Bars, FloatArray, IntArray
from barray.market.interval import NS_PER_SECOND, Interval
from barray.market.jumps import first_warnings
from barray.market.symbol_data import Lineage, SymbolMetadata
from barray.market.validation import Reason
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import NO_ORDERS, Orders
from barray.trading.results.days import JoinedDays, SymbolDay, curve_of, joined
from barray.trading.results.equity import EquityCurve, session_pnl
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.results.result import FROM_CONFIG, SymbolResult
from barray.trading.results.trades import round_trips


@dataclass(frozen=True, eq=False)
class LoadedBars:
    """What there was of a symbol's bars in a range of sessions, and what of it was run.

    By session that has bars, int64 or float64 (n,): `rows`, how many (`counts`), starts of the first and last (UTC ns),
    first open, last close; `origins`: source and dataset. `traded`: rows of the sessions that it is run for; `skipped`:
    why not, by ISO date. `daily`: of the daily bars of sessions before those, where a source gave any.
    """

    source: str
    interval: Interval
    rows: IntArray
    counts: IntArray
    first_ns: IntArray
    last_ns: IntArray
    first_open: FloatArray
    last_close: FloatArray
    origins: tuple[tuple[str, str | None], ...]
    traded: IntArray
    skipped: Mapping[str, str]
    dataset: str | None = None
    warnings: tuple[Reason, ...] = ()
    daily: Lineage | None = None

    def after(self, row: int) -> LoadedBars:
        """The same without the sessions up to `row`, which another has."""
        new = self.rows > row
        columns = ("rows", "counts", "first_ns", "last_ns", "first_open", "last_close")
        origins = tuple(origin for origin, kept in zip(self.origins, new.tolist(), strict=True) if kept)
        return replace(self, origins=origins, **{name: getattr(self, name)[new] for name in columns})


def longest(parts: Iterable[Lineage | None]) -> Lineage | None:
    """That of the most bars, None where there is none: what parts of a run were given of one history."""
    return max((part for part in parts if part is not None), key=lambda one: one.bars, default=None)


@dataclass(frozen=True, eq=False)
class Grid:
    """The run's grid. `ends_ns`: of each session's bars that the calendar expects; `rows`: the sessions' rows."""

    rows: IntArray
    dates: tuple[str, ...]
    lengths: IntArray

    @property
    def session(self) -> IntArray:
        """Which session of the run each stamp lies in."""
        return np.repeat(np.arange(len(self.rows)), self.lengths)


@dataclass(eq=False)
class Ledger:
    """Gathers what a run did to a symbol. `capital`: of its own account, 0 where it is shared. `anew`: every session
    begins with that; so does every stay of a symbol that was added. `orders`, `order_rows` int64: all of its orders,
    and the sessions that they ended in, or the last. `metadata`: how it came into the run.
    """

    symbol: str
    capital: float
    anew: bool
    bars: list[LoadedBars] = field(default_factory=list)
    days: dict[int, SymbolDay] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    starving: tuple[Refusal, ...] = ()
    error: tuple[str, int | None] | None = None
    logs: Logs = NO_LOGS
    orders: Orders = NO_ORDERS
    order_rows: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    metadata: SymbolMetadata = FROM_CONFIG

    def add_bars(self, bars: LoadedBars) -> None:
        """Take note of what was loaded, in order of time; what is known already changes nothing."""
        known = max((int(part.rows[-1]) for part in self.bars if len(part.rows)), default=-1)
        self.bars.append(bars.after(known))

    def note_added(self, at_ns: int, open_ns: int, by: str = "strategy", *, upgraded: bool = False) -> None:
        """Take note of when it was added, the first time, and by whom; `open_ns`: of that session. `upgraded`: it was
        there as an adhoc symbol.
        """
        if self.metadata is FROM_CONFIG:
            added_at = datetime.fromtimestamp(at_ns // NS_PER_SECOND, UTC)
            self.metadata = SymbolMetadata(
                meets_session_config_requirements=True,
                added_by=by,
                upgraded_from_adhoc=upgraded,
                added_at=added_at,
                added_mid_session=at_ns > open_ns,
            )

    @property
    def has_traded(self) -> bool:
        """Whether there was any fill."""
        return any(day.has_fills for day in self.days.values())

    def result(self, grid: Grid, hold_capital: float, *, guest: bool = False) -> SymbolResult:
        """The whole. `hold_capital`: see SymbolResult. `guest`: it was there for some sessions alone."""
        known = _Known.of(self.bars)
        rows = sorted(self.days)
        days = joined([self.days[row] for row in rows])
        curve, by_session = self._equity(grid, days)
        before = self._orders_before()
        merged, numbers = _bars_of(days, known.bars_before(rows))
        placed = np.array([before.get(row, 0) for row in rows], np.int64)
        fills = replace(days.fills, order=days.fills.order + np.repeat(placed, days.fill_counts))
        trades = round_trips(fills, merged, len(merged) - 1, numbers)
        first = int(np.searchsorted(known.rows, self.begun[0] if self.begun else known.traded[0]))
        costs, run_through = fills.quantity * fills.price + fills.commission, int(known.counts[first:].sum())
        return SymbolResult(
            symbol=self.symbol,
            capital=self.capital,
            fills=replace(fills, row=np.full(len(fills), -1) if guest else numbers[fills.row]),
            trades=trades,
            curve=curve,
            session_close=self._closes(grid, known, first, only_begun=guest),
            session_pnl=by_session,
            cash=self.capital - float(costs.sum()),
            position=float(fills.quantity.sum()),
            hold_capital=hold_capital,
            first_price=float(known.first_open[first]),
            last_price=float(known.last_close[-1]),
            bars=run_through,
            refusals=tuple(self._refusals()),
            orders=self._numbered(before),
            metadata=self.metadata,
            skipped=dict(sorted({**self.skipped, **known.skipped}.items())),
            error=self.error[0] if self.error else None,
            error_ns=self.error[1] if self.error else None,
            logs=self.logs,
            lineage=replace(known.lineage, bars=run_through) if self.anew else known.lineage,
            sources=known.sources,
            sessions=tuple(grid.dates[int(np.searchsorted(grid.rows, row))] for row in self.begun),
            warnings=first_warnings(warning for bars in self.bars for warning in bars.warnings),
            daily=longest(bars.daily for bars in self.bars),
        )

    def _orders_before(self) -> dict[int, int]:
        """How many orders there were in the sessions before each that has any, where their numbers begin anew in it."""
        before, start, placed = {}, 0, 0
        for row in sorted({*self.days, *self.order_rows.tolist()}) if self.anew else ():
            if row not in self.days or not self.days[row].goes_on:
                start = placed
            before[row] = start
            placed = max(placed, start + int(self.orders.number[self.order_rows == row].max(initial=0)))
        return before

    def _numbered(self, before: Mapping[int, int]) -> Orders:
        if not before:
            return self.orders
        return Orders.concat([self.orders.take(self.order_rows == row).numbered_after(n) for row, n in before.items()])

    def _refusals(self) -> Iterable[Refusal]:
        for _, day in sorted(self.days.items()):
            yield from day.refusals
        yield from self.starving

    def _equity(self, grid: Grid, joined: JoinedDays) -> tuple[EquityCurve, FloatArray]:
        """Equity and exposure on the grid, and the profit of every session."""
        there = np.array([row in self.days for row in grid.rows.tolist()], np.bool_)
        days = [self.days[row] for row in grid.rows[there].tolist()]
        own, done = curve_of(days), np.zeros(len(there), np.int64)
        done[there] = joined.fill_counts
        counts = np.ones(len(there), np.int64)  # of spans: where nothing was done or held, one
        counts[there] += joined.fill_counts
        session = np.repeat(np.arange(len(there)), counts)
        shown = there[session]
        if self.anew:
            levels, earned = self._in_turn(there, days, _last(own.equity, grid.lengths[there]))
            spent = np.zeros(len(there))
        else:
            levels, spent = np.zeros(len(there)), self.capital - joined.spent()[np.cumsum(done)]
        spans, cash, is_held = grid.lengths[session], spent[session], np.zeros(len(session), np.bool_)
        spans[shown], cash[shown], is_held[shown] = own.spans, own.cash, own.is_held
        curve = EquityCurve(spans, cash, is_held, own.values, levels[session])
        if self.anew:
            return curve, earned
        return curve, session_pnl(curve.equity, grid.session.astype(np.int32), len(there), self.capital)

    def _in_turn(
        self, there: NDArray[np.bool_], days: Sequence[SymbolDay], closes: Sequence[float | None]
    ) -> tuple[FloatArray, FloatArray]:
        """What is to be added to each session's own equity, or is the equity where it has no day, and the profit of
        each, where accounts begin anew; float64 (n,) each. `closes`: own equity at the days' ends, None without stamps.
        """
        levels, earned, before = np.zeros(len(there)), np.zeros(len(there)), 0.0
        own = zip(days, closes, strict=True)
        for number, is_there in enumerate(there.tolist()):
            so_far = float(earned[:number].sum())
            levels[number] = self.capital + so_far
            if is_there:
                day, close = next(own)
                if not day.goes_on:
                    before = so_far  # what an earlier session, or stay, had brought
                levels[number] = before
                earned[number] = close - self.capital + (before - so_far) if close is not None else 0.0
        return levels, earned

    def _closes(self, grid: Grid, known: _Known, first: int, *, only_begun: bool) -> FloatArray:
        """Last close known at each session's end, NaN before the first; of a guest in its own sessions alone."""
        at = np.searchsorted(known.rows, grid.rows, side="right") - 1
        closes = np.where(at >= first, known.last_close[at], np.nan)
        if only_begun:
            closes[~np.isin(grid.rows, self.begun)] = np.nan
        return closes


def _last(equity: FloatArray, lengths: IntArray) -> list[float | None]:
    """At the end of each session of so many stamps, None without any."""
    ends = zip(np.cumsum(lengths).tolist(), lengths.tolist(), strict=True)
    return [float(equity[end - 1]) if length else None for end, length in ends]


def _bars_of(days: JoinedDays, before: IntArray) -> tuple[Bars, IntArray]:
    """Merged bars that fills' rows count in, and the number of each among all bars. `before`: how many there are before
    each session.
    """
    merged = days.merged
    passed = np.concatenate(([0], np.cumsum(merged.counts)))  # bars merged before each
    began = passed[np.cumsum(days.bar_counts) - days.bar_counts]
    number = passed[:-1] + np.repeat(before - began, days.bar_counts)
    number[-1:] += merged.counts[-1:] - 1  # a trade that is open is held to the last bar
    no_stamps = np.zeros(len(merged), np.int64)
    return Bars(no_stamps, merged.open, merged.high, merged.low, merged.close, np.zeros(len(merged))), number


@dataclass(frozen=True, eq=False)
class _Known:
    """The bars of all ranges, by session."""

    rows: IntArray
    counts: IntArray
    first_open: FloatArray
    last_close: FloatArray
    traded: IntArray
    skipped: dict[str, str]
    lineage: Lineage
    sources: tuple[Lineage, ...]

    @classmethod
    def of(cls, parts: list[LoadedBars]) -> _Known:
        def joined(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        last, counts = parts[-1], joined("counts")
        source = " + ".join(dict.fromkeys(part.source for part in parts))
        first_ns, last_ns = joined("first_ns"), joined("last_ns")
        lineage = Lineage(source, last.interval, int(first_ns[0]), int(last_ns[-1]), int(counts.sum()), last.dataset)
        skipped = {day: reason for part in parts for day, reason in part.skipped.items()}
        origins = [origin for part in parts for origin in part.origins]
        sources = _in_turn(origins, last.interval, first_ns, last_ns, counts) if len(set(origins)) > 1 else ()
        opens, closes, traded = joined("first_open"), joined("last_close"), joined("traded")
        return cls(joined("rows"), counts, opens, closes, traded, skipped, lineage, sources)

    def bars_before(self, rows: Sequence[int]) -> IntArray:
        """How many bars there are before each of these sessions, int64 (n,)."""
        before: IntArray = np.concatenate(([0], np.cumsum(self.counts)))
        return before[np.searchsorted(self.rows, np.array(rows, np.int64))]


def _in_turn(
    origins: list[tuple[str, str | None]], interval: Interval, first_ns: IntArray, last_ns: IntArray, counts: IntArray
) -> tuple[Lineage, ...]:
    """What each source gave, one after another."""
    starts = [number for number in range(len(origins)) if number == 0 or origins[number] != origins[number - 1]]
    spans = zip(starts, [*starts[1:], len(origins)], strict=True)
    return tuple(
        Lineage(
            origins[start][0],
            interval,
            int(first_ns[start]),
            int(last_ns[stop - 1]),
            int(counts[start:stop].sum()),
            origins[start][1],
        )
        for start, stop in spans
    )
