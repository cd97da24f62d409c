"""W1 in backtesting.py: a run a symbol."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import backtesting  # noqa: E402
from backtesting import Backtest  # noqa: E402

from bench.peers.backtesting_cross import Cross, frame  # noqa: E402

backtesting.backtesting._tqdm = lambda rows=None, **_: rows  # no progress bar


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    CLOCK.mark("import_s")
    bars = work.read(options.root, options.symbols)
    CLOCK.mark("read_s")
    runs = {
        symbol: Backtest(frame(columns), Cross, cash=work.CASH, finalize_trades=False).run()
        for symbol, columns in bars.items()
    }
    CLOCK.mark("engine_s")
    trades, pnl = {}, 0.0
    for symbol, stats in runs.items():
        done = stats["_trades"]
        closed = zip(
            done.EntryTime.astype("int64"), done.EntryPrice, done.ExitTime.astype("int64"), done.ExitPrice, strict=True
        )
        unit = 1 if done.EntryTime.dtype == "M8[ns]" else 1000
        still = [(one.entry_time.as_unit("ns").value, one.entry_price, -1, 0.0) for one in stats["_strategy"].trades]
        trades[symbol] = [(a * unit, b, c * unit, d) for a, b, c, d in closed] + still
        pnl += stats["Equity Final [$]"] - work.CASH
    work.report(CLOCK, sum(len(columns["close"]) for columns in bars.values()), trades, pnl)


if __name__ == "__main__":
    main()
