"""What an account is worth over time, on a grid of stamps that all symbols share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.series import IntervalBars
from barray.trading.orders.fills import Fills

_DUST = 1e-12
"""Share of the largest position below which one is rounding."""


def equity_on_grid(
    fills: Fills, base: IntervalBars, capital: float, grid_ns: IntArray
) -> tuple[FloatArray, FloatArray]:
    """One symbol's equity (cash and position) and exposure (position × close) at each stamp, float64 (n_grid,) each.

    A stamp knows the bars with `end_ns` up to it, their fills and the last one's close, which stays until the next bar;
    before the first bar there is the capital alone. `capital` 0 gives the profit.
    """
    rows = _last_closed(base.end_ns, grid_ns)
    cash = np.concatenate(([capital], capital - np.cumsum(fills.quantity * fills.price + fills.commission)))
    position = np.concatenate(([0.0], np.cumsum(fills.quantity)))
    position[np.abs(position) <= _DUST * np.abs(position).max()] = 0.0
    spans = np.diff(np.concatenate(([0], fills.row, [len(base)])))  # bars from each fill to the next, none in one bar
    exposure = np.repeat(position, spans) * base.bars.close
    equity = np.repeat(cash, spans) + exposure
    if isinstance(rows, slice):
        return equity[rows], exposure[rows]
    known = rows >= 0
    if not len(base):
        return np.full(len(rows), float(capital)), np.zeros(len(rows))
    return np.where(known, equity[rows], capital), np.where(known, exposure[rows], 0.0)


def session_closes(base: IntervalBars, first_row: int, closes_ns: IntArray) -> FloatArray:
    """The last close, from base bar `first_row` on, at each of `closes_ns` (UTC ns): float64 (n,), NaN for none."""
    rows = np.searchsorted(base.end_ns, closes_ns, side="right") - 1
    known = np.full(len(closes_ns), np.nan)
    seen = rows >= first_row
    known[seen] = base.bars.close[rows[seen]]
    return known


def session_pnl(equity: FloatArray, grid_session: NDArray[np.int32], n_sessions: int, capital: float) -> FloatArray:
    """Change of equity from each session's end to the next, the first from `capital`: float64 (n_sessions,).

    `equity` float64 (n_grid,), `grid_session` int32 (n_grid,) ascending, in range(n_sessions). A session without
    stamps changes nothing.
    """
    stamps = np.searchsorted(grid_session, np.arange(n_sessions), side="right")
    ends = np.concatenate(([capital], equity))[stamps]
    pnl: FloatArray = np.diff(ends, prepend=capital)
    return pnl


def _last_closed(end_ns: IntArray, grid_ns: IntArray) -> slice | IntArray:
    """Row of the last bar closed at each stamp, -1 for none; as a slice where the grid is a run of the bars itself."""
    if len(grid_ns):
        first = int(np.searchsorted(end_ns, grid_ns[0]))
        same = slice(first, first + len(grid_ns))
        if np.array_equal(end_ns[same], grid_ns):
            return same
    return np.searchsorted(end_ns, grid_ns, side="right") - 1
