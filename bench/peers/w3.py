"""What every peer's script of W3 shares: the bars as matrices, the rule, and the line it prints.

W3: many symbols, one account. Every 30 minutes after a session's open, but not at its close, from the 61st bar of the
run on: the ten closes that rose most over 60 bars (ties in the symbols' order) are to be held for 9 % of the equity
each, in whole shares, and nothing of the others. All is ordered at once and fills at each symbol's next open, at no
cost. Equity is at closes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers import work

LOOKBACK, HOLD, WEIGHT, EVERY, CASH, MINUTES = 60, 10, 0.09, 30, 1_000_000.0, 390
Matrix = NDArray[np.float64]


def matrices(root: Path, symbols: Sequence[str]) -> tuple[NDArray[np.int64], Matrix, Matrix]:
    """Starts of the bars (UTC ns), opens and closes, a row a bar and a column a symbol."""
    bars = list(work.read(root, symbols).values())
    opens, closes = (np.column_stack([columns[name] for columns in bars]) for name in ("open", "close"))
    return bars[0]["start_ns"], opens, closes


LOOKBACKS, HOLDS = tuple(range(15, 151, 15)), (2, 4, 6, 8, 10)
"""The sets of a sweep: every pair of them, in place of LOOKBACK and HOLD."""


def decides(bar: int, lookback: int = LOOKBACK) -> bool:
    """Whether something is decided at the close of the run's bar with this number."""
    minute = bar % MINUTES + 1
    return bar >= lookback and minute % EVERY == 0 and minute < MINUTES


def targets(past: Matrix, now: Matrix, equity: float, hold: int = HOLD) -> Matrix:
    """Shares to hold after a decision: `past` and `now` are closes, float64 (symbols,)."""
    wanted = np.zeros_like(now)
    best = np.argsort(-(now / past), kind="stable")[:hold]
    wanted[best] = np.floor(WEIGHT * equity / now[best])
    return wanted


def report(clock: work.Clock, bars: int, fills: int, equity: float, **more: Any) -> None:
    """Print W3's line. `engine_s` is what `clock` calls so."""
    line = {"total_s": time.perf_counter() - work.BEGAN, **clock.marks, "bars": bars, "fills": fills}
    print(json.dumps({**line, "equity": round(equity, 2), **more}), flush=True)


def sweep(options: argparse.Namespace, run: Callable[[Matrix, Matrix, int, int], tuple[int, float]]) -> None:
    """Run every set, twice, and print the second time's line: the equity that each came to. `run`: a set's fills and
    equity, from opens, closes, lookback and hold.
    """
    _, opens, closes = matrices(options.root, options.symbols)
    pairs = [(lookback, hold) for lookback in LOOKBACKS for hold in HOLDS]
    for _ in range(2):
        began = time.perf_counter()
        found = [run(opens, closes, *pair) for pair in pairs]
        engine_s = time.perf_counter() - began
    sets = [[*pair, fills, round(equity, 2)] for pair, (fills, equity) in zip(pairs, found, strict=True)]
    rate = len(sets) * closes.size / engine_s
    print(json.dumps({"engine_s": engine_s, "set_bars_per_s": rate, "sets": sets}), flush=True)
