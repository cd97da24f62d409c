"""How much of an account is at stake over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.results.result import BacktestValues


@dataclass(frozen=True, eq=False)
class AccountExposure:
    """Of the account, or of all symbols' accounts together, on the run's grid, (n_grid,) each.

    `gross`: values of all positions without their signs, summed up; `net`: with them, so that longs are
    `(gross + net) / 2`. `positions` int64: how many symbols are held. `cash`: equity without positions. `leverage`:
    gross ÷ equity, NaN where that is not above 0.
    """

    gross: FloatArray
    net: FloatArray
    positions: IntArray
    cash: FloatArray
    leverage: FloatArray

    @classmethod
    def of(cls, result: BacktestValues) -> AccountExposure:
        """Sum the symbols' up."""
        equity = result.account_equity
        gross, net, positions = np.zeros(len(equity)), np.zeros(len(equity)), np.zeros(len(equity), np.int64)
        for part in result.symbols.values():
            exposure = part.exposure
            gross += np.abs(exposure)
            net += exposure
            positions += exposure != 0
        leverage = np.divide(gross, equity, out=np.full(len(equity), np.nan), where=equity > 0)
        return cls(gross, net, positions, equity - net, leverage)
