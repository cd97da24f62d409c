"""W3 in PyBroker: a function before each minute's executions, which sees all symbols. It sells before it buys."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

from collections.abc import Mapping  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pybroker  # noqa: E402

from bench.peers import w3  # noqa: E402

COLUMNS = ("open", "high", "low", "close", "volume")


class Strongest:
    """Holds what rose most."""

    def __init__(self) -> None:
        self.bar = -1

    def __call__(self, contexts: Mapping[str, Any]) -> None:
        """A minute has ended."""
        self.bar += 1
        if not w3.decides(self.bar):
            return
        every = list(contexts.values())
        past = np.array([context.close[-1 - w3.LOOKBACK] for context in every])
        now = np.array([context.close[-1] for context in every])
        positions = [context.long_pos() for context in every]
        held = np.array([0.0 if position is None else float(position.shares) for position in positions])
        missing = w3.targets(past, now, float(every[0].total_equity)) - held
        for column in np.flatnonzero(missing).tolist():
            context, shares = every[column], int(missing[column])
            if shares > 0:
                context.buy_fill_price, context.buy_shares = pybroker.PriceType.OPEN, shares
            else:
                context.sell_fill_price, context.sell_shares = pybroker.PriceType.OPEN, -shares


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    CLOCK.mark("import_s")
    frames = []
    for name, columns in work.read(options.root, options.symbols).items():
        stamps = pd.DatetimeIndex(columns["start_ns"].view("M8[ns]"))
        frames.append(pd.DataFrame({"symbol": name, "date": stamps, **{one: columns[one] for one in COLUMNS}}))
    bars = pd.concat(frames, ignore_index=True)
    CLOCK.mark("read_s")
    pybroker.disable_logging()
    strategy = pybroker.Strategy(
        bars, bars["date"].min(), bars["date"].max(), pybroker.StrategyConfig(initial_cash=w3.CASH)
    )
    strategy.add_execution(None, options.symbols)
    strategy.set_before_exec(Strongest())
    found = strategy.backtest(calc_bootstrap=False)
    CLOCK.mark("engine_s")
    w3.report(CLOCK, len(bars), len(found.orders), float(found.portfolio["market_value"].iloc[-1]))


if __name__ == "__main__":
    main()
