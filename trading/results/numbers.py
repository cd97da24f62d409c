"""The figures of a whole backtest, computed once for the report and the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from barray.market.bars import FloatArray
from barray.trading.results.account_exposure import AccountExposure
from barray.trading.results.metrics import Statistics, drawdown, monthly_returns, statistics
from barray.trading.results.result import BacktestValues, SymbolResult

_SESSIONS_PER_YEAR = {"24/7": 365}
_USUAL_SESSIONS_PER_YEAR = 252


@dataclass(frozen=True, eq=False)
class ResultNumbers:
    """Statistics of the account (`total`) and of each symbol.

    `drawdown_pct` float64 (n_grid,): of the account, never above 0, NaN where its high isn't above 0. `hold_equity`
    float64 (n_sessions,): the capital held in all symbols, as much in each, at each session's close; None without
    symbols. `exposure`: the account's. `months`: return in per cent by `YYYY-MM`.
    """

    total: Statistics
    symbols: Mapping[str, Statistics]
    exposure: AccountExposure
    drawdown_pct: FloatArray
    hold_equity: FloatArray | None
    months: Mapping[str, float]

    @classmethod
    def of(cls, result: BacktestValues) -> ResultNumbers:
        """Compute everything."""
        parts = list(result.symbols.values())
        exposure = AccountExposure.of(result)
        hold = _hold_equity(result)
        total = statistics(
            result.account_equity,
            exposure.gross,
            result.grid_session,
            [part.trades for part in parts],
            result.capital,
            _sessions_per_year(result),
            hold,
            fills=[part.fills for part in parts],
        )
        return cls(
            total=total,
            symbols={part.symbol: _of_symbol(part, result) for part in parts},
            exposure=exposure,
            drawdown_pct=drawdown(result.account_equity, result.capital),
            hold_equity=hold,
            months=monthly_returns(result.account_equity, result.grid_session, result.dates, result.capital),
        )


def _of_symbol(part: SymbolResult, result: BacktestValues) -> Statistics:
    return statistics(
        part.equity,
        part.exposure,
        result.grid_session,
        part.trades,
        part.capital,
        _sessions_per_year(result),
        part.hold_equity,
        fills=part.fills,
    )


def _sessions_per_year(result: BacktestValues) -> int:
    return _SESSIONS_PER_YEAR.get(result.calendar, _USUAL_SESSIONS_PER_YEAR)


def _hold_equity(result: BacktestValues) -> FloatArray | None:
    """What holding all symbols is worth; capital of those that never ran stays cash."""
    parts = [part for part in result.symbols.values() if len(part.hold_equity) == len(result.dates)]
    if not parts or not result.dates:
        return None
    held: FloatArray = np.sum([part.hold_equity for part in parts], axis=0)
    return held + (result.capital - sum(part.hold_capital for part in parts))
