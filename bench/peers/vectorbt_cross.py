"""W1's strategy as vectorbt has it: signals of all columns as arrays, one simulation over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import vectorbt as vbt
from numpy.typing import NDArray

from bench.peers.work import CASH, QUANTITY, TIE


def signals(diff: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Entries and exits of (rows, columns), each a row after the cross, so that the fill is at that row's open."""
    entries, exits = np.zeros(diff.shape, np.bool_), np.zeros(diff.shape, np.bool_)
    before, now = diff[:-2], diff[1:-1]
    np.logical_and(before <= TIE, now > TIE, out=entries[2:])
    np.logical_and(before >= -TIE, now < -TIE, out=exits[2:])
    return entries, exits


def simulate(close: Any, open_: Any, entries: Any, exits: Any) -> Any:
    """Vectorbt's portfolio of every column by itself, no costs."""
    return vbt.Portfolio.from_signals(
        close,
        entries,
        exits,
        price=open_,
        size=QUANTITY,
        size_type="amount",
        init_cash=CASH,
        accumulate=False,
        freq="1min",
    )
