"""Many parameter sets on one symbol's bars: what a sweep's table needs of each, and no more."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.series import IntervalBars
from barray.trading.engine.commands import Plan
from barray.trading.engine.event_run import Outcome
from barray.trading.engine.symbol_run import LoadedRange, run_loaded
from barray.trading.orders.fills import Fills
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.results.trades import Lots, match_alternating, match_fifo
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.needs import Needs
from barray.trading.sweeps.parameter_sets import ParameterSet

_DUST = 1e-9
MOST_LINES = 20
"""Kept of a set on a symbol."""
_COLUMNS = ("pnl", "gross_profit", "gross_loss", "commission", "slippage", "max_drawdown")
_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class SetTable:
    """What parameter sets achieved on one symbol, one row a set; float64 (n_sets,) but where another type is named.

    `pnl`: after costs, an open position at the last close. Trades are those of
    barray.trading.results.trades, open ones included, so that `gross_profit` - `gross_loss` is `pnl`; neither is
    negative. `n_trades`, `n_open`, `wins` int64: trades, those still open, those with a profit. `commission`,
    `slippage`: of all fills. `session_pnl` float64 (n_sets, n_sessions): change of equity from close to close;
    `max_drawdown`: deepest fall of equity below its highest session close (or the capital), in currency, never
    negative. `errors`: why a set has no figures (NaN, and 0 trades), or None. `data`: the digest of the bars. `logs`:
    the first of what was printed and logged with the first set, and with those in error; nothing of the others.
    """

    symbol: str
    sets: tuple[ParameterSet, ...]
    n_trades: IntArray
    n_open: IntArray
    wins: IntArray
    pnl: FloatArray
    gross_profit: FloatArray
    gross_loss: FloatArray
    commission: FloatArray
    slippage: FloatArray
    max_drawdown: FloatArray
    session_pnl: FloatArray
    errors: tuple[str | None, ...]
    data: str
    logs: tuple[Logs, ...]

    def __len__(self) -> int:
        return len(self.sets)

    @classmethod
    def concat(cls, parts: Sequence[SetTable]) -> SetTable:
        """Tables of one symbol as one, one after another; `data` is empty where they are not of the same bars."""
        sets = tuple(one for part in parts for one in part.sets)
        errors = tuple(error for part in parts for error in part.errors)
        logs = tuple(one for part in parts for one in part.logs)
        arrays = [c.name for c in fields(cls) if c.name not in ("symbol", "sets", "errors", "data", "logs")]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
        made_of = {part.data for part in parts}
        data = made_of.pop() if len(made_of) == 1 else ""
        return cls(symbol=parts[0].symbol, sets=sets, errors=errors, data=data, logs=logs, **columns)


def needs_of_all(
    strategy: type[Strategy], sets: Sequence[ParameterSet], fixed: Mapping[str, Any] = _NO_PARAMETERS
) -> Needs:
    """What the sets need together, as Step 0 requires it; those in error need nothing."""
    intervals: set[Interval] = set()
    specs: dict[IndicatorSpec, None] = {}
    made_by: dict[str, Mapping[str, Any]] = {}
    for one in sets:
        try:
            needs = strategy(**{**fixed, **one}).needs()
        except Exception:  # noqa: S112  # evaluate_sets reports it
            continue
        intervals.update(needs.intervals)
        specs.update(dict.fromkeys(needs.indicators.values()))
        made_by.update({spec.key: {**fixed, **one} for spec in needs.indicators.values() if spec.own})
    return Needs.together(intervals, specs, made_by)


def with_functions(needs: Needs, strategy: type[Strategy]) -> Needs:
    """The same where own indicators came here without their functions: a strategy of the same code makes them anew."""
    indicators = dict(needs.indicators)
    for key, parameters in needs.made_by.items():
        if key in indicators:
            found = {spec.key: spec for spec in strategy(**parameters).needs().indicators.values()}
            indicators[key] = found.get(key, indicators[key])
    return replace(needs, indicators=indicators)


def evaluate_sets(
    loaded: LoadedRange, plan: Plan, sets: Sequence[ParameterSet], computed: Computed | None = None
) -> SetTable:
    """Run every set on one symbol, each as a run of its own, sharing derived bars and indicator values in `computed`.

    `plan.parameters` are those that the sets leave alone. `session_pnl` has a column for each session of the range,
    skipped ones too. A set that is in error, or whose code raises, has no figures; the others go on.
    """
    closes = _Closes.of(loaded.base, loaded.session_range.rows, plan.account.capital)
    computed = computed or Computed()
    counts = np.zeros((len(sets), 3), np.int64)
    sums = np.full((len(sets), len(_COLUMNS)), np.nan)
    session_pnl = np.full((len(sets), len(closes.rows)), np.nan)
    errors: list[str | None] = []
    logs: list[Logs] = []
    for number, one in enumerate(sets):
        outcome = _outcome(loaded, replace(plan, parameters={**plan.parameters, **one}), computed)
        errors.append(outcome.error)
        logs.append(outcome.logs.first(MOST_LINES) if number == 0 or outcome.error else NO_LOGS)
        if outcome.error is None:
            session_pnl[number] = by_session = closes.session_pnl(outcome.fills)
            counts[number], sums[number] = _sums(outcome.fills, closes, by_session)
    n_trades, n_open, wins = counts.T.copy()
    figures = dict(zip(_COLUMNS, sums.T.copy(), strict=True))
    return SetTable(
        loaded.symbol,
        tuple(sets),
        n_trades,
        n_open,
        wins,
        session_pnl=session_pnl,
        errors=tuple(errors),
        data=loaded.digest,
        logs=tuple(logs),
        **figures,
    )


def _outcome(loaded: LoadedRange, plan: Plan, computed: Computed) -> Outcome:
    try:
        return run_loaded(loaded, plan, computed)
    except Exception:  # the user's code or an impossible set: its own error, not the sweep's
        return Outcome(Fills.of([]), error=traceback.format_exc(limit=-6))


@dataclass(frozen=True, eq=False)
class _Closes:
    """The last base row up to each session's end, -1 for none, and the close there (0 where none)."""

    rows: IntArray
    price: FloatArray
    capital: float

    @classmethod
    def of(cls, base: IntervalBars, sessions: IntArray, capital: float) -> _Closes:
        rows = np.searchsorted(base.session, sessions, side="right") - 1
        price = np.where(rows >= 0, base.bars.close[rows], 0.0) if len(base) else np.zeros(len(rows))
        return cls(rows, price, capital)

    def session_pnl(self, fills: Fills) -> FloatArray:
        n = len(fills)
        paid, position = np.zeros(n + 1), np.zeros(n + 1)
        np.cumsum(fills.quantity * fills.price + fills.commission, out=paid[1:])
        np.cumsum(fills.quantity, out=position[1:])
        held = np.abs(position)
        position[held <= _DUST * held.max()] = 0.0
        known = np.searchsorted(fills.row, self.rows, side="right")
        profit = position[known] * self.price - paid[known]
        profit[1:] -= profit[:-1].copy()
        return profit


def _sums(fills: Fills, closes: _Closes, by_session: FloatArray) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Figures of one set: n_trades, n_open and wins, and those of _COLUMNS."""
    equity = np.cumsum(by_session)
    pnl = float(equity[-1]) if len(equity) else 0.0
    deepest = float((np.maximum.accumulate(np.maximum(equity, 0.0)) - equity).max(initial=0.0))
    lots = match_alternating(fills.quantity) or match_fifo(fills.quantity)
    last = closes.price[-1] if len(closes.price) else 0.0
    profit = profits_of(lots, fills.quantity, fills.price, fills.commission, last)
    won = profit > 0
    gained = float(profit[won].sum())
    counts = (len(profit), int((lots.exit < 0).sum()), int(won.sum()))
    costs = float(fills.commission.sum()), float(fills.slippage.sum())
    return counts, (pnl, gained, gained - float(profit.sum()), *costs, deepest)


def profits_of(
    lots: Lots, filled: FloatArray, price: FloatArray, commission: FloatArray, last: FloatArray | float
) -> FloatArray:
    """What each lot brought after commissions, float64 (n_lots,). `filled`, `price`, `commission`: of the fills, (n,);
    `last`: the price that open lots are valued at, or each lot's own.
    """
    entry, exit_, quantity = lots
    if not len(entry):
        return np.empty(0, np.float64)
    is_open, shares = exit_ < 0, np.abs(quantity)
    per_share = commission / np.abs(filled)
    paid = per_share[entry] * shares + np.where(is_open, 0.0, per_share[exit_] * shares)
    exit_price = np.where(is_open, last, price[exit_])
    profit: FloatArray = quantity * (exit_price - price[entry]) - paid
    return profit
