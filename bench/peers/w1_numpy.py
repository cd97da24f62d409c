"""W1 in plain NumPy and whole cents: exact, and what all others are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.peers import work
from bench.peers.work import FAST, QUANTITY, SLOW, Columns

Run = list[tuple[int, int, int]]
"""Fills of one symbol: row of the base bar, shares (negative sold), price in cents."""


def crosses(
    open_: NDArray[np.float64], close: NDArray[np.float64], fast_window: int = FAST, slow_window: int = SLOW
) -> Run:
    """Crosses as arrays, then a loop over those that trade. Neither average is divided, so nothing is rounded."""
    cents = np.rint(close * 100.0).astype(np.int64)
    opens = np.rint(open_ * 100.0).astype(np.int64)
    total = np.concatenate(([0], np.cumsum(cents)))
    slow = total[slow_window:] - total[:-slow_window]
    fast = (total[fast_window:] - total[:-fast_window])[slow_window - fast_window :]
    diff = fast * slow_window - slow * fast_window
    before, now = diff[:-1], diff[1:]
    up = (before <= 0) & (now > 0)
    rows = np.flatnonzero(up | ((before >= 0) & (now < 0)))
    run: Run = []
    position, last = 0, len(cents) - 1
    for row, rises in zip((rows + slow_window).tolist(), up[rows].tolist(), strict=True):
        if rises == bool(position) or row == last:
            continue
        quantity = -position or QUANTITY
        position += quantity
        run.append((row + 1, quantity, int(opens[row + 1])))
    return run


def profit_cents(run: Run, last_close: float) -> int:
    """Of all fills, what is still held at the last close."""
    held = sum(quantity for _, quantity, _ in run)
    return held * round(last_close * 100) - sum(quantity * price for _, quantity, price in run)


def main() -> None:
    """Do the work and print it."""
    options, clock = work.asked(), work.Clock()
    clock.mark("import_s")
    bars: dict[str, Columns] = work.read(options.root, options.symbols)
    clock.mark("read_s")
    runs = {symbol: crosses(columns["open"], columns["close"]) for symbol, columns in bars.items()}
    cents = sum(profit_cents(run, float(bars[symbol]["close"][-1])) for symbol, run in runs.items())
    clock.mark("engine_s")
    trades = {
        symbol: work.pair((int(bars[symbol]["start_ns"][row]), price / 100) for row, _, price in run)
        for symbol, run in runs.items()
    }
    work.report(clock, sum(len(columns["close"]) for columns in bars.values()), trades, cents / 100)


if __name__ == "__main__":
    main()
