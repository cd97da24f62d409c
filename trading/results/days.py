"""What one session did to the symbols of a portfolio: enough to make whole results of all sessions, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Refusal

_DUST = 1e-12
"""Share of the largest position below which one is rounding."""


@dataclass(frozen=True, eq=False)
class Courses:
    """Where accounts stood in a session, one symbol after the other: before it and after each of its fills. `spent`:
    cash that fills have cost so far, commissions included; `position`: shares, what is but rounding of one is none;
    float64 (n + fills,). `spent_after`, `shares_after`: at its end, shares being the sum of all fills; float64 (n,).
    """

    spent: FloatArray
    position: FloatArray
    spent_after: FloatArray
    shares_after: FloatArray


@dataclass(frozen=True, eq=False)
class SessionPrices:
    """Bars of a session, float64 (n, k): a row a symbol, a column a stamp of its grid, NaN where there is no bar.

    `last_close`: the last one known at each stamp. `is_whole`: there is no NaN.
    """

    open: FloatArray
    high: FloatArray
    low: FloatArray
    last_close: FloatArray
    is_whole: bool = False


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


@dataclass(frozen=True, slots=True, eq=False)
class SymbolDay:
    """A session of a symbol that had fills or held something, one of those of `session`: made when it is asked for."""

    session: SessionDays
    number: int

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What was refused."""
        return self.session.refusals.get(self.session.symbols[self.number], ())

    @property
    def merged(self) -> MergedBars:
        """Its bars."""
        return self.session.merged.take(self._of(self.session.merged_bounds))

    @property
    def fills(self) -> Fills:
        """Its fills; rows count in `merged`."""
        fills = self.session.fills.take(self._of(self.session.fill_bounds))
        return replace(fills, row=fills.row - self.session.merged_bounds[self.number])

    @property
    def has_fills(self) -> bool:
        """Whether there is any."""
        own = self._of(self.session.fill_bounds)
        return bool(own.stop > own.start)

    @property
    def goes_on(self) -> bool:
        """Whether something was held when it began, so that its account is that of the session before."""
        return bool(self.session.is_held[int(self.session.fill_bounds[self.number]) + self.number])

    def curves(self) -> tuple[FloatArray, FloatArray]:
        """Equity and exposure, float64 (k,) each: on the session's grid, as in SymbolResult."""
        session, fills = self.session, self._of(self.session.fill_bounds)
        own = slice(fills.start + self.number, fills.stop + self.number + 1)  # one more: before the first
        spans = session.spans[own]
        value = np.zeros(int(spans.sum()))
        value[np.repeat(session.is_held[own], spans)] = session.values[self._of(session.value_bounds)]
        return session.capital - np.repeat(session.spent[own], spans) + value, value

    def _of(self, bounds: IntArray) -> slice:
        return slice(*bounds[self.number : self.number + 2].tolist())


@dataclass(frozen=True, eq=False)
class SessionDays:
    """The same of all such symbols, in few arrays, symbol by symbol: `fills`, `merged` and `values` from `fill_bounds`,
    `merged_bounds` and `value_bounds`, int64 (n + 1,), on; `fills.row` counts in all of `merged`.

    `spans`: for how many stamps of the grid each account stood as it did before the session, and after each fill, int64
    (n + fills,); `spent`: cash that fills had cost; `is_held`: whether there was a position, of which `values` are what
    it was worth, stamp by stamp. `capital`: what each began with.
    """

    symbols: tuple[str, ...]
    capital: float
    spans: IntArray
    spent: FloatArray
    is_held: NDArray[np.bool_]
    values: FloatArray
    value_bounds: IntArray
    fills: Fills
    fill_bounds: IntArray
    merged: MergedBars
    merged_bounds: IntArray
    refusals: Mapping[str, tuple[Refusal, ...]]

    def days(self) -> dict[str, SymbolDay]:
        """Each symbol's."""
        return {symbol: SymbolDay(self, number) for number, symbol in enumerate(self.symbols)}


def days_of(
    symbols: Sequence[str],
    fills: Fills,
    lengths: IntArray,
    stamps: IntArray,
    prices: SessionPrices,
    courses: Courses,
    capital: float,
    refusals: Mapping[str, tuple[Refusal, ...]],
) -> SessionDays:
    """What a session did to symbols. `fills`: one symbol's after another's, `lengths`: how many each has; `stamps`: at
    which stamp of the grid each was; both int64. `courses`: of their accounts; `capital`: what each began with.
    """
    n, k = prices.last_close.shape
    at = np.repeat(np.arange(n) * k, lengths) + stamps
    spans = np.diff(np.sort(np.concatenate((np.arange(n + 1) * k, at)), kind="stable"))
    fill_bounds = np.concatenate(([0], np.cumsum(lengths)))
    is_held = courses.position != 0
    held_for, begins = spans[is_held], (np.cumsum(spans) - spans)[is_held]
    held_at = np.arange(held_for.sum()) + np.repeat(begins - (np.cumsum(held_for) - held_for), held_for)
    values = np.repeat(courses.position[is_held], held_for) * prices.last_close.ravel()[held_at]
    values[np.isnan(values)] = 0.0  # nothing is held before the first price
    merged, first = _merged(prices, at)
    return SessionDays(
        tuple(symbols),
        capital,
        spans,
        courses.spent,
        is_held,
        values,
        np.concatenate(([0], np.cumsum(spans * is_held)))[fill_bounds + np.arange(n + 1)],
        replace(fills, row=np.searchsorted(first, at)),
        fill_bounds,
        merged,
        np.searchsorted(first, np.arange(n + 1) * k),
        refusals,
    )


def courses_of(fills: Fills, lengths: IntArray, spent: FloatArray, shares: FloatArray) -> Courses:
    """Where accounts stood that had cost `spent` and held `shares` before a session, float64 (n,), and had these fills
    in it: one symbol's after another's, `lengths` int64 (n,) of each.
    """
    n, most = len(lengths), int(lengths.max(initial=0))
    places = np.arange(len(fills)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = np.repeat(np.arange(n), lengths) * (most + 1) + places + 1
    costs, held = np.zeros((n, most + 1)), np.zeros((n, most + 1))
    costs[:, 0], held[:, 0] = spent, shares
    costs.ravel()[at] = fills.quantity * fills.price + fills.commission
    held.ravel()[at] = fills.quantity
    costs, held = np.cumsum(costs, axis=1), np.cumsum(held, axis=1)  # one after another, as they came
    largest = np.maximum.accumulate(np.abs(held), axis=1)
    there = np.arange(most + 1) <= lengths[:, None]
    position = np.where(np.abs(held) > _DUST * largest, held, 0.0)
    return Courses(costs[there], position[there], costs[:, -1], held[:, -1])


def _merged(prices: SessionPrices, at: IntArray) -> tuple[MergedBars, IntArray]:
    """Merged bars of all symbols, one symbol after another, and where each begins, counted through all their stamps.

    `at`: where fills are, counted so.
    """
    n, k = prices.last_close.shape
    starts = np.zeros(n * k + 1, np.bool_)
    starts[np.arange(n) * k] = starts[at] = starts[at + 1] = True
    first = np.flatnonzero(starts[:-1])
    last = np.append(first[1:], n * k) - 1
    high, low = prices.high.ravel(), prices.low.ravel()
    open_, close = prices.open.ravel()[first], prices.last_close.ravel()[last]
    if prices.is_whole:
        bounds = np.maximum.reduceat(high, first), np.minimum.reduceat(low, first)
        return MergedBars(open_, *bounds, close, last - first + 1), first
    counts = np.add.reduceat(~np.isnan(high), first, dtype=np.int64)
    merged = MergedBars(open_, np.fmax.reduceat(high, first), np.fmin.reduceat(low, first), close, counts)
    kept = counts > 0
    return merged.take(kept), first[kept]
