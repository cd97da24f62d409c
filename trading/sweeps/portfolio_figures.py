"""What one set did to a portfolio: gathered session by session, and told as a row of the sweep's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.trading.orders.fills import Fills
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
    _closing: list[tuple[Sequence[str], FloatArray, NDArray[np.bool_]]] = field(default_factory=list)
    _fills: list[tuple[Sequence[str], IntArray, FloatArray]] = field(default_factory=list)
    """By session: symbols, how many fills each has, and of all these quantity, price, commission and slippage, float64
    (4, n).
    """
    _last_close: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> float:
        """What a symbol's account begins with; its share in one that is shared is its profit."""
        return 0.0 if self.shared else self.capital

    @property
    def symbols(self) -> set[str]:
        """Those that anything was done to."""
        return {symbol for symbols, _, _ in self._closing for symbol in symbols}

    def add_session(
        self,
        symbols: Sequence[str],
        fills: Fills,
        lengths: IntArray,
        spent: FloatArray,
        held: FloatArray,
        last_close: FloatArray,
        fresh: NDArray[np.bool_],
    ) -> None:
        """Take note of what a session did to symbols that were filled or held something: `lengths` of the `fills` are
        each one's. `spent`, `held`: see Courses, at its end; `last_close`: the last ones known, NaN before there is
        one. `fresh`: whose accounts began with nothing held, and know of nothing before.
        """
        value = held * last_close
        value[np.isnan(value)] = 0.0
        self._closing.append((symbols, self.own - spent + value, fresh))
        self._last_close.update(zip(symbols, last_close.tolist(), strict=True))
        if len(fills):
            told = np.array((fills.quantity, fills.price, fills.commission, fills.slippage))
            self._fills.append((symbols, lengths, told))

    def row(self, parameters: ParameterSet, symbols: Sequence[str], data: Mapping[str, str], logs: Logs) -> SetRow:
        """The whole, of all `symbols` of the portfolio, sorted; for `data` and `logs` see SetRow."""
        index = {symbol: number for number, symbol in enumerate(symbols)}
        capital = self.capital if self.shared else self.capital * len(symbols)
        closing = self._closing_equity(index)
        first = np.full((len(closing), 1), self.capital if self.shared else 0.0)
        equity = np.cumsum(np.hstack((first, closing)), axis=1)[:, -1]  # one symbol after another, as a backtest adds
        quantity, price, commission, slippage, bounds = self._fills_of(index)
        lots = match_each([own.tolist() for own in np.split(quantity, bounds[1:-1])])
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

    def _fills_of(self, index: Mapping[str, int]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]:
        """What `_fills` has, one symbol's after another's, and where each begins; the last is where all end."""
        nothing = np.empty(0, np.intp)
        of = [np.repeat([index[symbol] for symbol in symbols], lengths) for symbols, lengths, _ in self._fills]
        symbol = np.concatenate([nothing, *of]).astype(np.intp)
        told = np.concatenate([np.empty((4, 0)), *(one for _, _, one in self._fills)], axis=1)
        quantity, price, commission, slippage = told[:, np.argsort(symbol, kind="stable")]
        bounds = np.concatenate(([0], np.cumsum(np.bincount(symbol, minlength=len(index)))))
        return quantity, price, commission, slippage, bounds

    def _closing_equity(self, index: Mapping[str, int]) -> FloatArray:
        """Each symbol's equity at each session's close, float64 (n_sessions, n_symbols)."""
        closing, now = np.empty((len(self._closing), len(index))), np.full(len(index), self.own)
        before = np.zeros(len(index))
        for number, (symbols, values, fresh) in enumerate(self._closing):
            at = np.array([index[symbol] for symbol in symbols], np.intp)
            before[at[fresh]] = now[at[fresh]] - self.own
            now[at] = values + before[at]
            closing[number] = now
        return closing
