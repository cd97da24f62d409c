"""What one set did to a portfolio: gathered session by session, and told as a row of the sweep's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isnan

import numpy as np

from barray.market.bars import FloatArray
from barray.trading.orders.fills import Fill
from barray.trading.results.logs import Logs
from barray.trading.results.trades import match_each
from barray.trading.sweeps.evaluate import profits_of
from barray.trading.sweeps.parameter_sets import ParameterSet
from barray.trading.sweeps.table import SetRow


@dataclass(eq=False)
class PortfolioFigures:
    """Money and trades of a portfolio. `capital`: of the account, if that is `shared`, else of each symbol's. `anew`:
    every session begins with that. The figures are those of the same portfolio's backtest.
    """

    capital: float
    shared: bool
    anew: bool
    _closing: list[dict[str, float]] = field(default_factory=list)
    _fills: dict[str, list[float]] = field(default_factory=dict)
    """Quantity, price, commission and slippage of one after another: a set has thousands, and a sweep many sets."""
    _last_close: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> float:
        """What a symbol's account begins with; its share in one that is shared is its profit."""
        return 0.0 if self.shared else self.capital

    def begin_session(self) -> None:
        """What is added from now on, is of the next session."""
        self._closing.append({})

    def add(self, symbol: str, fills: list[Fill], spent: float, held: float, last_close: float) -> None:
        """Take note of what a session did to a symbol that was filled or held something. `spent`, `held`: see Standing,
        at its end; `last_close`: the last one known, NaN before there is one.
        """
        value = held * last_close
        self._closing[-1][symbol] = self.own - spent + (0.0 if isnan(value) else value)
        self._last_close[symbol] = last_close
        if fills:
            known = self._fills.setdefault(symbol, [])
            for fill in fills:
                known += (fill.quantity, fill.price, fill.commission, fill.slippage)

    def row(self, parameters: ParameterSet, symbols: Sequence[str], data: Mapping[str, str], logs: Logs) -> SetRow:
        """The whole, of all `symbols` of the portfolio, sorted; for `data` and `logs` see SetRow."""
        index = {symbol: number for number, symbol in enumerate(symbols)}
        capital = self.capital if self.shared else self.capital * len(symbols)
        closing = self._closing_equity(index)
        first = np.full((len(closing), 1), self.capital if self.shared else 0.0)
        equity = np.cumsum(np.hstack((first, closing)), axis=1)[:, -1]  # one symbol after another, as a backtest adds
        fills = [self._fills.get(symbol, []) for symbol in symbols]
        quantity, price, commission, slippage = np.array([*chain.from_iterable(fills)], np.float64).reshape(-1, 4).T
        lots = match_each([own[::4] for own in fills])
        bounds = np.cumsum([0, *(len(own) // 4 for own in fills)])
        last = np.array([self._last_close.get(symbol, np.nan) for symbol in symbols])
        symbol_of_lot = np.searchsorted(bounds, lots.entry, side="right") - 1
        profit = profits_of(lots, quantity, price, commission, last[symbol_of_lot])
        won = profit > 0
        gained = float(profit[won].sum())
        by_symbol = closing[-1] - self.own if len(closing) else np.zeros(len(symbols))
        return SetRow(
            parameters,
            trades=len(profit),
            wins=int(won.sum()),
            pnl=float(equity[-1] - capital) if len(equity) else 0.0,
            gross_profit=gained,
            gross_loss=gained - float(profit.sum()),
            commission=float(commission.sum()),
            slippage=float(slippage.sum()),
            session_pnl=np.diff(equity, prepend=capital),
            symbol_pnl=dict(zip(symbols, by_symbol.tolist(), strict=True)),
            data=data,
            logs=logs,
        )

    def _closing_equity(self, index: Mapping[str, int]) -> FloatArray:
        """Each symbol's equity at each session's close, float64 (n_sessions, n_symbols)."""
        closing, now = np.empty((len(self._closing), len(index))), np.full(len(index), self.own)
        for number, equity in enumerate(self._closing):
            at, values = [index[symbol] for symbol in equity], np.array(list(equity.values()), np.float64)
            now[at] = values + (now[at] - self.own) if self.anew else values
            closing[number] = now
        return closing
