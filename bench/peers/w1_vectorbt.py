"""W1 in vectorbt: all symbols in one simulation. The first run of a process, as a command is."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import vectorbt as vbt  # noqa: E402

from bench.peers.vectorbt_cross import signals, simulate  # noqa: E402


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    CLOCK.mark("import_s")
    bars = work.read(options.root, options.symbols)
    CLOCK.mark("read_s")
    stamps = next(iter(bars.values()))["start_ns"]
    index = pd.DatetimeIndex(stamps.view("M8[ns]"))
    close = pd.DataFrame({symbol: columns["close"] for symbol, columns in bars.items()}, index=index)
    opens = np.column_stack([columns["open"] for columns in bars.values()])
    fast, slow = vbt.MA.run(close, work.FAST).ma, vbt.MA.run(close, work.SLOW).ma
    portfolio = simulate(close, opens, *signals(fast.to_numpy() - slow.to_numpy()))
    pnl = float(np.sum(portfolio.total_profit()))
    records = portfolio.orders.values
    CLOCK.mark("engine_s")
    trades = {}
    for column, symbol in enumerate(bars):
        own = records[records["col"] == column]
        trades[symbol] = work.pair(zip(stamps[own["idx"]].tolist(), own["price"].tolist(), strict=True))
    work.report(CLOCK, close.size, trades, pnl)


if __name__ == "__main__":
    main()
