"""Buys what a scan has found once it rises above the session's VWAP, and sells it at a loss or before the close."""

import numpy as np

from barray import Strategy


class Ride(Strategy):
    """`stake`: of the account, a symbol; `loss`: at which one is sold, 0.01 for 1 %; `most`: symbols at a time."""

    stake: float = 0.1
    loss: float = 0.01
    most: int = 4

    def indicators(self):
        """What is looked at beside bars."""
        return {"vwap": "SESSION_VWAP"}

    def on_window(self, view):
        """Called at each window's end, with those that are full then."""
        if view.minutes_to_close < 15:
            for symbol in view.positions:
                view.order_target(symbol, 0)
            return
        rising = np.flatnonzero(view.close > view.indicators["vwap"])
        for i in rising[: max(self.most - len(view.positions), 0)].tolist():
            symbol, price = view.symbols[i], float(view.close[i])
            if symbol not in view.positions and not view.orders(symbol):
                stop = round(price * (1 - self.loss), 2)
                view.order(symbol, view.equity * self.stake // price, stop_loss=stop)
