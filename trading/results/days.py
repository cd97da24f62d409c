"""What one session did to the symbols of a portfolio: enough to make whole results of all sessions, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.trading.orders.broker import Refusal
from barray.trading.orders.fills import Fill, Fills

_DUST = 1e-12
"""Share of the largest position below which one is rounding."""


@dataclass(frozen=True)
class Standing:
    """Where a symbol's account stood. `spent`: cash that fills have cost so far, commissions included; `position`:
    shares, the sum of all fills.
    """

    spent: float = 0.0
    position: float = 0.0

    def after(self, fills: Sequence[Fill]) -> Standing:
        """Where it stands after these."""
        spent, position = self.spent, self.position
        for fill in fills:
            spent += fill.quantity * fill.price + fill.commission
            position += fill.quantity
        return Standing(spent, position)


@dataclass(frozen=True, eq=False)
class SessionPrices:
    """Bars of a session, float64 (k, n): a row a stamp of its grid, a column a symbol, NaN where there is no bar.

    `last_close`: the last one known at each stamp.
    """

    open: FloatArray
    high: FloatArray
    low: FloatArray
    last_close: FloatArray


@dataclass(frozen=True, eq=False)
class MergedBars:
    """Bars of one symbol, those between two fills merged into one; arrays (n,). `counts`: how many each is made of."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    counts: IntArray

    def __len__(self) -> int:
        return len(self.open)

    def take(self, rows: slice | NDArray[np.bool_]) -> MergedBars:
        """The chosen ones."""
        return MergedBars(*(getattr(self, column.name)[rows] for column in fields(self)))

    @classmethod
    def concat(cls, parts: Sequence[MergedBars]) -> MergedBars:
        """The parts one after another."""
        nothing = np.empty(0, np.float64)
        none = cls(nothing, nothing, nothing, nothing, np.empty(0, np.int64))
        columns = [[getattr(part, column.name) for part in (none, *parts)] for column in fields(cls)]
        return cls(*map(np.concatenate, columns))


@dataclass(frozen=True, eq=False)
class SymbolDay:
    """A session of a symbol that had fills or held something.

    `fills.row` counts in `merged`. `equity`, `exposure` float64 (k,): on the session's grid, as in SymbolResult.
    """

    fills: Fills
    refusals: tuple[Refusal, ...]
    equity: FloatArray
    exposure: FloatArray
    merged: MergedBars


@dataclass(frozen=True, eq=False)
class SessionDays:
    """The same of all such symbols, in few arrays. `equity`, `exposure`: (k, n); `fills`, `merged`: symbol by symbol,
    from `fill_bounds` and `merged_bounds`, int64 (n + 1,), on; `fills.row` counts in all of `merged`.
    """

    symbols: tuple[str, ...]
    equity: FloatArray
    exposure: FloatArray
    fills: Fills
    fill_bounds: IntArray
    merged: MergedBars
    merged_bounds: IntArray
    refusals: Mapping[str, tuple[Refusal, ...]]

    def days(self) -> dict[str, SymbolDay]:
        """Each symbol's."""
        found = {}
        fill_bounds, merged_bounds = self.fill_bounds.tolist(), self.merged_bounds.tolist()
        for number, symbol in enumerate(self.symbols):
            first = merged_bounds[number]
            fills = self.fills.take(slice(fill_bounds[number], fill_bounds[number + 1]))
            found[symbol] = SymbolDay(
                replace(fills, row=fills.row - first),
                self.refusals.get(symbol, ()),
                self.equity[:, number],
                self.exposure[:, number],
                self.merged.take(slice(first, merged_bounds[number + 1])),
            )
        return found


def days_of(
    symbols: Sequence[str],
    fills: Sequence[Sequence[Fill]],
    stamps: IntArray,
    prices: SessionPrices,
    before: Sequence[Standing],
    capital: float,
    refusals: Mapping[str, tuple[Refusal, ...]],
) -> SessionDays:
    """What a session did to symbols. `fills`: each one's, and `stamps` int64: at which stamp of the grid each of all
    these was; `before`: where each stood; `capital`: what each began with.
    """
    k, n = prices.open.shape
    every = Fills.of([fill for one in fills for fill in one])
    lengths = np.array([len(one) for one in fills], np.int64)
    number = np.repeat(np.arange(n), lengths)
    changes = np.zeros((k + 1, n))
    changes[0] = [standing.position for standing in before]
    np.add.at(changes, (stamps + 1, number), every.quantity)
    position = np.cumsum(changes, axis=0)[1:]
    changes[:] = 0.0
    changes[0] = [standing.spent for standing in before]
    np.add.at(changes, (stamps + 1, number), every.quantity * every.price + every.commission)
    spent = np.cumsum(changes, axis=0)[1:]
    dust = _DUST * np.abs(position).max(axis=0, initial=0.0)
    value = np.where(np.abs(position) > dust, position * prices.last_close, 0.0)
    at = number * k + stamps
    merged, first = _merged(prices, at)
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    rows = np.searchsorted(first, at)
    return SessionDays(
        tuple(symbols),
        capital - spent + value,
        np.abs(value),
        replace(every, row=rows),
        bounds,
        merged,
        np.searchsorted(first, np.arange(n + 1) * k),
        refusals,
    )


def _merged(prices: SessionPrices, at: IntArray) -> tuple[MergedBars, IntArray]:
    """Merged bars of all symbols, one symbol after another, and where each begins, counted through all their stamps.

    `at`: where fills are, counted so.
    """
    k, n = prices.open.shape
    first = np.unique(np.concatenate((np.arange(n) * k, at, at + 1)))
    first = first[first < n * k]
    last = np.append(first[1:], n * k) - 1
    high, low = (getattr(prices, name).T.ravel() for name in ("high", "low"))
    there = ~np.isnan(high)
    counts = np.add.reduceat(there.astype(np.int64), first)
    merged = MergedBars(
        prices.open.T.ravel()[first],
        np.fmax.reduceat(high, first),
        np.fmin.reduceat(low, first),
        prices.last_close.T.ravel()[last],
        counts,
    )
    kept = counts > 0
    return merged.take(kept), first[kept]
