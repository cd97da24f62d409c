"""The sweep in backtesting.py: `Backtest.optimize` over the grid, which uses all cores."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import time  # noqa: E402
from typing import Any  # noqa: E402

import backtesting  # noqa: E402
from backtesting import Backtest  # noqa: E402

from bench.peers.backtesting_cross import Cross, frame  # noqa: E402

backtesting.backtesting._tqdm = lambda rows=None, **_: rows  # no progress bar


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    bars = work.read(options.root, options.symbols)
    began = time.perf_counter()
    pnl: dict[tuple[int, int], float] = {}
    for columns in bars.values():
        tested = Backtest(frame(columns), Cross, cash=work.CASH, finalize_trades=False)
        _, found = tested.optimize(
            fast_window=list(work.FASTS), slow_window=list(work.SLOWS), maximize=_profit, return_heatmap=True
        )
        for windows, value in found.items():
            pnl[windows] = pnl.get(windows, 0.0) + float(value)
    taken = time.perf_counter() - began
    work.report_sweep(taken, len(bars), sum(len(columns["close"]) for columns in bars.values()), pnl)


def _profit(stats: Any) -> float:
    return float(stats["Equity Final [$]"]) - work.CASH


if __name__ == "__main__":
    main()
