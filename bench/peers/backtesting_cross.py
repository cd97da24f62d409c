"""W1's strategy as backtesting.py has it: `next` at every bar, averages made before."""

from __future__ import annotations

import os
import warnings
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

from bench.peers.work import FAST, QUANTITY, SLOW, TIE, Columns  # the clock starts in there

warnings.filterwarnings("ignore")

import pandas as pd  # noqa: E402
from backtesting import Strategy  # noqa: E402


def averaged(values: Any, window: int) -> Any:
    """Simple moving average; NaN before it is full."""
    return pd.Series(values).rolling(window).mean().to_numpy()


class Cross(Strategy):  # type: ignore[misc]  # the package has no types
    """Long or flat; `next` is first called when both averages have two values."""

    fast_window = FAST
    slow_window = SLOW

    def init(self) -> None:
        """Both averages."""
        self.fast = self.I(averaged, self.data.Close, self.fast_window, plot=False)
        self.slow = self.I(averaged, self.data.Close, self.slow_window, plot=False)

    def next(self) -> None:
        """One bar."""
        before, now = self.fast[-2] - self.slow[-2], self.fast[-1] - self.slow[-1]
        if self.position:
            if before >= -TIE and now < -TIE:
                self.position.close()
        elif before <= TIE and now > TIE:
            self.buy(size=QUANTITY)


def frame(columns: Columns) -> Any:
    """Bars as backtesting.py wants them."""
    prices = {name.capitalize(): columns[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(prices, index=pd.DatetimeIndex(columns["start_ns"].view("M8[ns]")))
