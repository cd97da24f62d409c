"""What an account is worth over time, on a grid of stamps that all symbols share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.series import IntervalBars
from barray.trading.orders.fills import Fills

_DUST = 1e-12
"""Share of the largest position below which one is rounding."""


@dataclass(frozen=True, eq=False)
class EquityCurve:
    """Equity and exposure at every stamp of a grid, kept as what changes: a symbol that is held one day in ten takes a
    tenth of the memory.

    `spans`: for how many stamps there was the same cash, and a position all the while or none, int64 (k,); `cash` then,
    float64 (k,); `is_held`, bool (k,). `values`: what positions were worth, at the stamps of the spans with one alone,
    float64. `level`: added to cash and position, float64 (k,): what earlier sessions brought, where each begins anew.
    """

    spans: IntArray
    cash: FloatArray
    is_held: NDArray[np.bool_]
    values: FloatArray
    level: FloatArray

    @classmethod
    def of(cls, cash: FloatArray, exposure: FloatArray) -> EquityCurve:
        """From both at every stamp, float64 (n_grid,) each."""
        is_held = exposure != 0
        begins = np.flatnonzero(np.append(True, (cash[1:] != cash[:-1]) | (is_held[1:] != is_held[:-1]))[: len(cash)])
        spans = np.diff(begins, append=len(cash))
        return cls(spans, cash[begins], is_held[begins], exposure[is_held], np.zeros(len(begins)))

    @classmethod
    def joined(cls, parts: Sequence[EquityCurve]) -> EquityCurve:
        """Grids one after another."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def __len__(self) -> int:
        return int(self.spans.sum())

    @property
    def exposure(self) -> FloatArray:
        """Position × close, float64 (n_grid,), made anew."""
        exposure = np.zeros(len(self))
        exposure[np.repeat(self.is_held, self.spans)] = self.values
        return exposure

    @property
    def equity(self) -> FloatArray:
        """Cash and position, float64 (n_grid,), made anew."""
        own: FloatArray = np.repeat(self.cash, self.spans) + self.exposure
        own += np.repeat(self.level, self.spans)
        return own

    def raised(self, by_stamp: FloatArray) -> EquityCurve:
        """The same with so much more at each stamp, float64 (n_grid,), the same throughout each span."""
        return replace(self, level=self.level + by_stamp[np.cumsum(self.spans) - self.spans])


def equity_on_grid(fills: Fills, base: IntervalBars, capital: float, grid_ns: IntArray) -> EquityCurve:
    """One symbol's equity (cash and position) and exposure (position × close) at each stamp.

    A stamp knows the bars with `end_ns` up to it, their fills and the last one's close, which stays until the next bar;
    before the first bar there is the capital alone. `capital` 0 gives the profit.
    """
    rows = _last_closed(base.end_ns, grid_ns)
    cash = np.concatenate(([capital], capital - np.cumsum(fills.quantity * fills.price + fills.commission)))
    position = np.concatenate(([0.0], np.cumsum(fills.quantity)))
    position[np.abs(position) <= _DUST * np.abs(position).max()] = 0.0
    spans = np.diff(np.concatenate(([0], fills.row, [len(base)])))  # bars from each fill to the next, none in one bar
    exposure = np.repeat(position, spans) * base.bars.close
    cash = np.repeat(cash, spans)
    if isinstance(rows, slice):
        return EquityCurve.of(cash[rows], exposure[rows])
    known = rows >= 0
    if not len(base):
        return EquityCurve.of(np.full(len(rows), float(capital)), np.zeros(len(rows)))
    return EquityCurve.of(np.where(known, cash[rows], capital), np.where(known, exposure[rows], 0.0))


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
