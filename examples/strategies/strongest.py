"""Holds the symbols that rose most in the last hour, each with one share of the equity."""

import numpy as np

from barray import Strategy, parameter


class Strongest(Strategy):
    """Decides every `every` minutes, by the returns of `lookback` bars; ties go by the symbols' order.

    `sells_first`: buys with what the sales bring, in the same bar; else all orders go out together, and the account has
    to bear both for a moment.
    """

    lookback: int = parameter(60, low=1)
    hold: int = parameter(10, low=1)
    weight: float = parameter(0.09, low=0.0, high=1.0)
    every: int = parameter(30, low=1)
    sells_first: bool = True

    def indicators(self):
        """So that there are bars to look back at."""
        return {"enough": f"MOM({self.lookback})"}

    def on_window(self, view):
        """Order what is missing to the strongest, and nothing of the others."""
        if view.minute % self.every or not view.minutes_to_close:
            return
        past = view.history("close", self.lookback + 1)
        if len(past) <= self.lookback or np.isnan(past[0]).any():
            return
        best = np.argsort(-(past[-1] / past[0]), kind="stable")[: self.hold].tolist()
        if self.sells_first:
            view.rebalance({view.symbols[n]: self.weight for n in best})
            return
        targets = dict.fromkeys(view.positions, 0.0)
        targets |= {view.symbols[n]: float(np.floor(self.weight * view.equity / past[-1, n])) for n in best}
        for symbol, target in sorted(targets.items()):
            view.order_target(symbol, target)
