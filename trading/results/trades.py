"""Round trips from fills: lots matched first in, first out, and how far each went for and against the position.

What a position saw of the bars of its entry and exit depends on when in the bar these filled. A bar doesn't tell the
way between its prices; where that leaves open whether an extreme came while the position was held, the adverse one
counts and the favourable one doesn't, as in barray.trading.orders.broker:

- Bars between entry and exit count whole; the entry bar's close and the exit bar's open count in any case, so do the
  prices of entry and exit.
- Entry at the open: the whole bar. Within the bar: its adverse extreme, and its favourable one where the fill lay on
  the way there (a stop). At the close: nothing of the bar.
- Exit at the open: nothing of the bar. Within it: only up to the exit's price, and the adverse extreme where the exit
  lay on the other side of the open (a limit). At the close, and marking an open position: the whole bar.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import Bars, FloatArray, IntArray
from barray.trading.orders.fills import Fills
from barray.trading.results.result import Trades

_DUST = 1e-12
"""Share of the largest fill below which a quantity is rounding."""
_EXACT = 1e11
"""Whole numbers below this have no dust."""
_SAME_PRICE = 1e-9
"""Share of a price below which a difference is rounding."""


class Lots(NamedTuple):
    """Which fill closed how much of which, by entry: positions in Fills, int64 (n,), `exit` -1 while open; `quantity`
    float64 (n,), positive long, negative short.
    """

    entry: IntArray
    exit: IntArray
    quantity: FloatArray


def round_trips(fills: Fills, base: Bars, last_row: int, numbers: IntArray | None = None) -> Trades:
    """The trades that one symbol's fills make, those still open valued at the close of base bar `last_row`.

    `numbers` int64 (n,): where bars between fills were merged, the number of each row's first bar among all bars.

    A trade is one entry fill met by one exit fill: an order filled in parts gives several trades, and a fill that turns
    the position round ends some and begins one. Commissions are split by quantity; a trade's is that of both ends. Its
    `bars` are whole bars: an end at the close counts its bar, one at the open or within doesn't.
    """
    lots = match_alternating(fills.quantity)
    number = np.arange(len(base)) if numbers is None else numbers
    return _measured(lots if lots is not None else match_fifo(fills.quantity), fills, base, last_row, number)


def match_alternating(quantity: FloatArray) -> Lots | None:
    """Lots where every second fill closes exactly what the one before opened, all at once; None where any doesn't."""
    n = len(quantity)
    closed = n // 2
    opening = quantity[0::2]
    if not np.array_equal(opening[:closed], -quantity[1::2]) or not (np.abs(opening) > _dust(quantity)).all():
        return None
    exits = np.full(n - closed, -1, np.int64)
    exits[:closed] = np.arange(1, n, 2)
    return Lots(np.arange(0, n, 2), exits, opening)


def match_fifo(quantity: FloatArray) -> Lots:
    """Lots of any fills, signed `quantity` float64 (n,), one after another; what is less than rounding is dropped."""
    return match_each(quantity, np.array([0, len(quantity)]))


def match_each(quantity: FloatArray, bounds: IntArray) -> Lots:
    """The same of several symbols' fills, each by itself: a symbol's are those from one of `bounds` to the next, int64
    (symbols + 1,). Positions count through all of them.
    """
    lots = _match_whole(quantity, bounds)
    return lots if lots is not None else match_one_by_one(quantity, bounds)


def _match_whole(quantity: FloatArray, bounds: IntArray) -> Lots | None:
    """Lots of whole shares in positions that are never short, all at once, for sums of whole numbers are exact; None of
    any others.
    """
    held = np.concatenate(([0.0], np.cumsum(quantity)))
    before, after = held[bounds[:-1]], held[bounds[1:]]
    if (np.trunc(quantity) != quantity).any() or not np.abs(quantity).sum() < _EXACT:
        return None
    if (held[1:] < np.repeat(before, np.diff(bounds))).any():
        return None
    bought, sold, is_open = np.flatnonzero(quantity > 0), np.flatnonzero(quantity < 0), after > before
    at = np.searchsorted(sold, bounds[1:][is_open])  # what stays open ends after the symbol's sales
    exits, amounts = np.insert(sold, at, -1), np.insert(-quantity[sold], at, (after - before)[is_open])
    entered, left = np.cumsum(quantity[bought]), np.cumsum(amounts)
    ends = np.sort(np.concatenate((entered, left)))
    ends = ends[np.diff(ends, prepend=0.0) > 0.0]  # each once; np.unique would import numpy.ma: 20 ms in each process
    return Lots(bought[np.searchsorted(entered, ends)], exits[np.searchsorted(left, ends)], np.diff(ends, prepend=0.0))


def match_one_by_one(quantity: FloatArray, bounds: IntArray) -> Lots:
    """What `match_each` is, of any fills."""
    matched: list[tuple[int, int, float]] = []
    for first, stop in pairwise(bounds.tolist()):
        own = quantity[first:stop].tolist()
        waiting: deque[tuple[int, float]] = deque()  # fills and what is left of each, all of one sign
        dust = _DUST * max(map(abs, own), default=0.0)
        for number, filled in enumerate(own, first):
            left = filled
            while abs(left) > dust and waiting and waiting[0][1] * left < 0:
                entry, held = waiting.popleft()
                closed = held if abs(held) <= abs(left) else -left
                matched.append((entry, number, closed))
                left += closed
                if abs(held - closed) > dust:
                    waiting.appendleft((entry, held - closed))
            if abs(left) > dust:
                waiting.append((number, left))
        matched.extend((entry, -1, left) for entry, left in waiting)
    entries, exits, lots = zip(*matched, strict=True) if matched else ((), (), ())
    return Lots(np.array(entries, np.int64), np.array(exits, np.int64), np.array(lots, np.float64))


def _dust(quantity: FloatArray) -> float:
    return _DUST * float(np.abs(quantity).max(initial=0.0))


def _measured(lots: Lots, fills: Fills, base: Bars, last_row: int, number: IntArray) -> Trades:
    entry, exit_, quantity = lots
    if not len(entry):
        none, never = np.empty(0, np.float64), np.empty(0, np.int64)
        return Trades(never, none, never, none, none, none, none, none, none, never)
    is_open = exit_ < 0
    entry_price = fills.price[entry]
    exit_price = np.where(is_open, base.close[last_row], fills.price[exit_])
    shares, filled = np.abs(quantity), np.abs(fills.quantity)
    commission = fills.commission[entry] * (shares / filled[entry])
    commission += np.where(is_open, 0.0, fills.commission[exit_] * (shares / filled[exit_]))
    held = _Held.of(lots, fills, base, last_row)
    lowest, highest = held.extremes(base, entry_price, exit_price)
    down, up = quantity * (lowest - entry_price), quantity * (highest - entry_price)
    return Trades(
        entry_ns=fills.bar_ns[entry],
        entry_price=entry_price,
        exit_ns=np.where(is_open, -1, fills.bar_ns[exit_]),
        exit_price=exit_price,
        quantity=quantity,
        pnl=quantity * (exit_price - entry_price) - commission,
        commission=commission,
        mae=np.minimum(np.minimum(down, up), 0.0),
        mfe=np.maximum(np.maximum(down, up), 0.0),
        bars=number[held.exit_row] - number[held.entry_row] + held.exit_at_close - fills.at_close[entry],
    )


class _Held(NamedTuple):
    """Over which base rows each trade was held, and whose lows and highs count at both ends; arrays (n,)."""

    entry_row: IntArray
    exit_row: IntArray
    exit_at_close: NDArray[np.bool_]
    low_after_entry: NDArray[np.bool_]
    high_after_entry: NDArray[np.bool_]
    low_before_exit: NDArray[np.bool_]
    high_before_exit: NDArray[np.bool_]

    @classmethod
    def of(cls, lots: Lots, fills: Fills, base: Bars, last_row: int) -> _Held:
        entry, exit_, quantity = lots
        long, at_close = quantity > 0, fills.at_close
        above, below = _beside_open(fills, base)
        ends_at_close = (exit_ < 0) | at_close[exit_]
        starts_before_close = ~at_close[entry]
        return cls(
            fills.row[entry],
            np.where(exit_ < 0, last_row, fills.row[exit_]),
            ends_at_close,
            starts_before_close & (long | ~above[entry]),
            starts_before_close & ~(long & below[entry]),
            ends_at_close | (long & above[exit_]),
            ends_at_close | (~long & below[exit_]),
        )

    def extremes(self, base: Bars, entry_price: FloatArray, exit_price: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest price while held, float64 (n,) each."""
        rows = self.entry_row, self.exit_row
        low = _over(np.minimum, base.low, *rows, ~self.low_after_entry, self.low_before_exit)
        high = _over(np.maximum, base.high, *rows, ~self.high_after_entry, self.high_before_exit)
        through = self.exit_row > self.entry_row
        points = (
            entry_price,
            exit_price,
            np.where(through, base.close[self.entry_row], entry_price),
            np.where(through, base.open[self.exit_row], entry_price),
        )
        for point in points:
            low, high = np.fmin(low, point), np.fmax(high, point)
        return low, high


def _beside_open(fills: Fills, base: Bars) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which fills took place above and which below their bar's open, before slippage, within the bar: bool (n,)."""
    open_ = base.open[fills.row]
    reference = fills.price - fills.slippage / fills.quantity
    away, rounding = reference - open_, _SAME_PRICE * open_
    return (away > rounding) & ~fills.at_close, (away < -rounding) & ~fills.at_close


def _over(
    extreme: np.ufunc,
    column: FloatArray,
    entry_row: IntArray,
    exit_row: IntArray,
    without_entry: NDArray[np.bool_],
    with_exit: NDArray[np.bool_],
) -> FloatArray:
    """Extreme of a column over each trade's rows, float64 (n,); NaN where there are none."""
    first, last = entry_row + without_entry, exit_row + with_exit - 1
    none = last < first
    edges = np.empty(2 * len(first), np.int64)
    edges[0::2] = np.where(none, entry_row, first)
    edges[1::2] = np.where(none, entry_row, last)
    found = extreme.reduceat(column[: edges.max() + 1], edges)[0::2]  # all but the last row, at least the first
    return np.where(none, np.nan, extreme(found, column[edges[1::2]]))
