"""Buy when a fast moving average crosses above a slow one, sell when it crosses below."""

import numpy as np

from barray import Signals, Strategy, parameter


class SmaCross(Strategy):
    """Long or flat, on bars of one minute. Written in both forms; they trade the same."""

    fast: int = parameter(10, low=2, high=500)
    slow: int = parameter(30, low=3, high=1000)
    size: int = parameter(100, low=1)

    def indicators(self):
        return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

    def on_start(self, ctx):
        self.fast_sma, self.slow_sma = ctx.indicators["fast"], ctx.indicators["slow"]
        self.before = self.difference() if ctx.bar else float("nan")

    def difference(self):
        difference = self.fast_sma[-1] - self.slow_sma[-1]
        return 0.0 if -1e-6 < difference < 1e-6 else difference  # prices are whole cents: less than this is a tie

    def on_bar(self, ctx):
        before, self.before = self.before, self.difference()
        if before <= 0 < self.before and not ctx.position:
            ctx.buy(self.size)
        elif before >= 0 > self.before and ctx.position:
            ctx.sell(ctx.position)

    def signals(self, data):
        difference = data.indicators["fast"] - data.indicators["slow"]
        difference[np.abs(difference) < 1e-6] = 0.0
        before, now = difference[:-1], difference[1:]
        entries, exits = np.zeros(len(data.close), bool), np.zeros(len(data.close), bool)
        entries[1:] = (before <= 0) & (now > 0)
        exits[1:] = (before >= 0) & (now < 0)
        return Signals(entries, exits, size=self.size)
