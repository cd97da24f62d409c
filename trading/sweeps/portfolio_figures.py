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


@dataclass(frozen=True, eq=False)
class Closing:
    """Where symbols that were filled or held stood at the closes of sessions, matrices (sessions, symbols).

    `there` bool: it was so in that session; `fresh` bool: with an account that began with nothing held, and knows of
    nothing before.
    `spent`, `held`: see Courses; `last_close`: the last ones known, NaN before there is one.
    """

    symbols: Sequence[str]
    there: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    spent: FloatArray
    held: FloatArray
    last_close: FloatArray

    @property
    def value(self) -> FloatArray:
        """What positions were worth."""
        value = self.held * self.last_close
        value[np.isnan(value)] = 0.0
        return value

    def last_closes(self) -> dict[str, float]:
        """By symbol, in the last session that each was there in."""
        last = len(self.there) - 1 - np.argmax(self.there[::-1], axis=0)
        closes = self.last_close[last, np.arange(len(self.symbols))]
        return dict(zip(self.symbols, closes.tolist(), strict=True))


@dataclass(eq=False)
class PortfolioFigures:
    """Money and trades of a portfolio. `capital`: of the account, if that is `shared`, else of each symbol's. `anew`:
    every session begins with that. The figures are those of the same portfolio's backtest.
    """

    capital: float
    shared: bool
    anew: bool
    _closing: list[Closing] = field(default_factory=list)
    _fills: list[tuple[Sequence[str], IntArray, FloatArray]] = field(default_factory=list)
    """Symbols, how many fills each has, and of all these quantity, price, commission and slippage, float64 (4, n)."""
    _last_close: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> float:
        """What a symbol's account begins with; its share in one that is shared is its profit."""
        return 0.0 if self.shared else self.capital

    @property
    def symbols(self) -> set[str]:
        """Those that anything was done to."""
        return {symbol for closing in self._closing for symbol in closing.symbols}

    def add(self, closing: Closing, fills: Fills, lengths: IntArray) -> None:
        """Take note of what sessions did: `lengths` of the `fills` are each symbol's."""
        self._closing.append(closing)
        self._last_close.update(closing.last_closes())
        if len(fills):
            told = np.array((fills.quantity, fills.price, fills.commission, fills.slippage))
            self._fills.append((closing.symbols, lengths, told))

    def row(self, parameters: ParameterSet, symbols: Sequence[str], data: Mapping[str, str], logs: Logs) -> SetRow:
        """The whole, of all `symbols` of the portfolio, sorted; for `data` and `logs` see SetRow."""
        index = {symbol: number for number, symbol in enumerate(symbols)}
        capital = self.capital if self.shared else self.capital * len(symbols)
        closing = self._closing_equity(index)
        first = np.full((len(closing), 1), self.capital if self.shared else 0.0)
        equity = np.cumsum(np.hstack((first, closing)), axis=1)[:, -1]  # one symbol after another, as a backtest adds
        quantity, price, commission, slippage, bounds = self._fills_of(index)
        lots = match_each(quantity, bounds)
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
        now, before, found = np.full(len(index), self.own), np.zeros(len(index)), [np.empty((0, len(index)))]
        for closing in self._closing:
            at = np.array([index[symbol] for symbol in closing.symbols], np.intp)
            values = self.own - closing.spent + closing.value
            for own, there, fresh in zip(values, closing.there, closing.fresh, strict=True):
                before[at[fresh]] = now[at[fresh]] - self.own
                now[at[there]] = own[there] + before[at[there]]
                found.append(now[None].copy())
        return np.concatenate(found)
