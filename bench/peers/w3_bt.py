"""W3 in bt, as far as it can say it: bt trades at the closes that it decides at, not at the next opens, so its fills
have other prices, its equity differs, and with it the shares that a later decision asks for.
"""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

from typing import Any  # noqa: E402

import bt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from bench.peers import w3  # noqa: E402


class Strongest(bt.Algo):  # type: ignore[misc]
    """Says the weights of what rose most, when something is decided."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = -2  # bt goes by a row before the first, without prices

    def __call__(self, target: Any) -> bool:
        """Whether weights are given at this bar."""
        self.bar += 1
        if not w3.decides(self.bar):
            return False
        closes = target.universe.to_numpy()
        now = closes[-1]
        best = np.argsort(-(now / closes[-1 - w3.LOOKBACK]), kind="stable")[: w3.HOLD]
        target.temp["weights"] = dict.fromkeys(target.universe.columns[best], w3.WEIGHT)
        return True


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    CLOCK.mark("import_s")
    starts, _, closes = w3.matrices(options.root, options.symbols)
    prices = pd.DataFrame(closes, index=pd.DatetimeIndex(starts.view("M8[ns]")), columns=options.symbols)
    CLOCK.mark("read_s")
    strategy = bt.Strategy("w3", [Strongest(), bt.algos.Rebalance()])
    run = bt.Backtest(strategy, prices, initial_capital=w3.CASH, integer_positions=True, commissions=lambda q, p: 0.0)
    run.run()
    CLOCK.mark("engine_s")
    fills = int(np.count_nonzero(np.diff(run.positions.to_numpy(), axis=0, prepend=0.0)))
    w3.report(CLOCK, closes.size, fills, float(run.strategy.value))


if __name__ == "__main__":
    main()
