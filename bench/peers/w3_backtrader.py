"""W3 in backtrader: `next` once a minute, over a feed a symbol. Sales are ordered first: a purchase that cash does not
pay for when its turn comes is refused whole, whatever is sold after it.
"""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

from typing import Any  # noqa: E402

import backtrader as bt  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from bench.peers import w3  # noqa: E402

COLUMNS = ("open", "high", "low", "close", "volume")


class Strongest(bt.Strategy):  # type: ignore[misc]
    """Holds what rose most."""

    def __init__(self) -> None:
        self.bar, self.fills = -1, 0

    def notify_order(self, order: Any) -> None:
        """Count fills; what does not fill would be another result."""
        if order.status in (order.Margin, order.Rejected, order.Canceled):
            raise SystemExit(f"an order was not filled: {order}")
        self.fills += order.status == order.Completed

    def next(self) -> None:
        """A minute has ended."""
        self.bar += 1
        if not w3.decides(self.bar):
            return
        past = np.array([data.close[-w3.LOOKBACK] for data in self.datas])
        now = np.array([data.close[0] for data in self.datas])
        held = np.array([self.getposition(data).size for data in self.datas])
        missing = w3.targets(past, now, self.broker.getvalue()) - held
        for column in np.argsort(missing * now, kind="stable").tolist():
            if missing[column]:
                (self.buy if missing[column] > 0 else self.sell)(
                    data=self.datas[column], size=abs(missing[column]), exectype=bt.Order.Market
                )


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    CLOCK.mark("import_s")
    cerebro = bt.Cerebro(stdstats=False)
    bars = 0
    for name, columns in work.read(options.root, options.symbols).items():
        starts = pd.DatetimeIndex(columns["start_ns"].view("M8[ns]"))
        frame = pd.DataFrame({column: columns[column] for column in COLUMNS}, index=starts)
        cerebro.adddata(bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes), name=name)
        bars += len(frame)
    cerebro.addstrategy(Strongest)
    cerebro.broker.setcash(w3.CASH)
    cerebro.broker.set_checksubmit(False)  # what is sold in the same bar pays too
    CLOCK.mark("read_s")
    (found,) = cerebro.run()
    CLOCK.mark("engine_s")
    w3.report(CLOCK, bars, found.fills, float(cerebro.broker.getvalue()))


if __name__ == "__main__":
    main()
