"""The sweep in vectorbt, warm: all is compiled by a first run, and the best of three more counts. It uses one core.

Tried: the whole grid of all symbols in one broadcast call, and a call a symbol; the faster one counts, and is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import vectorbt as vbt
from numpy.typing import NDArray

from bench.peers import work
from bench.peers.vectorbt_cross import signals, simulate

Prices = NDArray[np.float64]
SETS = [(fast, slow) for fast in work.FASTS for slow in work.SLOWS]


def sweep(close: Prices, opens: Prices) -> Prices:
    """Profit by set and symbol, (sets, symbols), of the symbols in the columns."""
    rows, symbols = close.shape
    frame = pd.DataFrame(close)
    averages = {window: vbt.MA.run(frame, window).ma.to_numpy() for window in dict.fromkeys((*work.FASTS, *work.SLOWS))}
    diff = np.empty((rows, len(SETS), symbols))
    for number, (fast, slow) in enumerate(SETS):
        np.subtract(averages[fast], averages[slow], out=diff[:, number])
    entries, exits = signals(diff.reshape(rows, -1))
    every = np.tile(close, len(SETS)), np.tile(opens, len(SETS))
    profit = simulate(*every, entries, exits).total_profit()
    return np.asarray(profit).reshape(len(SETS), symbols)


def at_once(close: Prices, opens: Prices) -> Prices:
    """One call."""
    return sweep(close, opens)


def by_symbol(close: Prices, opens: Prices) -> Prices:
    """A call a symbol: what one of them needs stays in the processor's cache."""
    return np.hstack([sweep(close[:, [n]], opens[:, [n]]) for n in range(close.shape[1])])


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    bars = work.read(options.root, options.symbols)
    close = np.column_stack([columns["close"] for columns in bars.values()])
    opens = np.column_stack([columns["open"] for columns in bars.values()])
    forms: tuple[Callable[[Prices, Prices], Prices], ...] = (at_once, by_symbol)
    taken: dict[str, float] = {}
    for form in forms:
        form(close, opens)
        taken[form.__name__] = float("inf")
        for _ in range(3):
            began = time.perf_counter()
            profit = form(close, opens)
            taken[form.__name__] = min(taken[form.__name__], time.perf_counter() - began)
    best = min(taken, key=taken.__getitem__)
    pnl = dict(zip(SETS, profit.sum(axis=1).tolist(), strict=True))
    work.report_sweep(taken[best], len(bars), close.size, pnl, form=best, **{f"{n}_s": s for n, s in taken.items()})


if __name__ == "__main__":
    main()
