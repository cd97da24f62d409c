"""Hold the symbols that rose most lately, all of one weight, rebalanced through the day."""

import numpy as np

from barray import Strategy, parameter


class Momentum(Strategy):
    """Ranks all symbols by their rate of change; sees them together, once a window."""

    lookback: int = parameter(60, low=2)  # bars
    hold: int = parameter(2, low=1)
    every: int = parameter(60, low=1)  # minutes between rebalances

    def indicators(self):
        return {"change": f"ROC({self.lookback})"}

    def on_window(self, view):
        change = view.indicators["change"]
        if view.minute % self.every or np.isnan(change).all():
            return
        best = [n for n in np.argsort(-np.nan_to_num(change, nan=-np.inf))[: self.hold] if change[n] > 0]
        view.rebalance({view.symbols[n]: 0.95 / self.hold for n in best})
