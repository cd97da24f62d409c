"""What one session did to the symbols of a portfolio: enough to make whole results of all sessions, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

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


class SessionPrices(Protocol):
    """Bars of symbols (by number) in a session, read where they are asked for, by stamps of its grid.

    `stamps`: how many it has.
    """

    stamps: int

    def over(self, names: Sequence[str], symbols: IntArray, first: IntArray, stop: IntArray) -> list[FloatArray]:
        """Columns of bars over runs of stamps, one run after another, NaN where there is no bar; `last_close`: the last
        one known.
        """
        ...

    def last_close(self, symbols: IntArray, stamps: IntArray) -> FloatArray:
        """The last closes known at stamps, NaN before there is one."""
        ...

    def counts(self, symbols: IntArray, first: IntArray, stop: IntArray) -> IntArray:
        """How many bars there are in runs of stamps."""
        ...


@dataclass(frozen=True, eq=False)
class MergedBars:
    """Bars of one symbol, those between two fills merged into one; arrays (n,). `counts`: how many each is made of.
    Open, high and low are NaN where nothing was held.
    """

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


_NO_PRICES = np.empty(0, np.float64)
_NO_BARS = MergedBars(_NO_PRICES, _NO_PRICES, _NO_PRICES, _NO_PRICES, np.empty(0, np.int64))
_NO_FILLS = Fills.of([])
_BAR_COLUMNS, _FILL_COLUMNS = ([column.name for column in fields(kind)] for kind in (MergedBars, Fills))


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
    def fills(self) -> Fills:
        """Its fills; rows count in the session's bars of all symbols."""
        return self.session.fills.take(self.fill_places)

    @property
    def has_fills(self) -> bool:
        """Whether there is any."""
        return bool(self.fill_places.stop > self.fill_places.start)

    @property
    def fill_places(self) -> slice:
        """Where its fills are among all symbols'."""
        return slice(*self.session.fill_limits[self.number : self.number + 2])

    @property
    def bar_places(self) -> slice:
        """Where its bars are."""
        return slice(*self.session.merged_limits[self.number : self.number + 2])

    @property
    def value_places(self) -> slice:
        """Where what its positions were worth is."""
        return slice(*self.session.value_limits[self.number : self.number + 2])

    @property
    def account_places(self) -> slice:
        """Where its accounts are: one more than its fills, that before the first."""
        own = self.fill_places
        return slice(own.start + self.number, own.stop + self.number + 1)

    @property
    def goes_on(self) -> bool:
        """Whether something was held when it began, so that its account is that of the session before."""
        return bool(self.session.is_held[int(self.session.fill_bounds[self.number]) + self.number])

    def curves(self) -> tuple[FloatArray, FloatArray]:
        """Equity and exposure, float64 (k,) each: on the session's grid, as in SymbolResult."""
        return curves_of([self])


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

    @cached_property
    def fill_limits(self) -> list[int]:
        """`fill_bounds`, for looking up one by one."""
        limits: list[int] = self.fill_bounds.tolist()
        return limits

    @cached_property
    def merged_limits(self) -> list[int]:
        """The same of `merged_bounds`."""
        limits: list[int] = self.merged_bounds.tolist()
        return limits

    @cached_property
    def value_limits(self) -> list[int]:
        """The same of `value_bounds`."""
        limits: list[int] = self.value_bounds.tolist()
        return limits

    def days(self) -> dict[str, SymbolDay]:
        """Each symbol's."""
        return {symbol: SymbolDay(self, number) for number, symbol in enumerate(self.symbols)}


def curves_of(days: Sequence[SymbolDay]) -> tuple[FloatArray, FloatArray]:
    """Equity and exposure of one symbol, on its sessions' grids one after another: float64 (k,) each."""
    if not days:
        return _NO_PRICES, _NO_PRICES
    own = [(day.session, day.account_places) for day in days]
    spans = np.concatenate([session.spans[places] for session, places in own])
    is_held = np.concatenate([session.is_held[places] for session, places in own])
    cash = np.concatenate([session.capital - session.spent[places] for session, places in own])
    value = np.zeros(int(spans.sum()))
    value[np.repeat(is_held, spans)] = np.concatenate([day.session.values[day.value_places] for day in days])
    return np.repeat(cash, spans) + value, value


class JoinedDays(NamedTuple):
    """One symbol's sessions one after another: their fills, whose rows count in `merged`, and how many of both each
    session has, int64 (n,).
    """

    fills: Fills
    merged: MergedBars
    fill_counts: IntArray
    bar_counts: IntArray

    def spent(self) -> FloatArray:
        """What fills have cost before the first and after each, one after another, commissions included."""
        costs = self.fills.quantity * self.fills.price + self.fills.commission
        return np.cumsum(np.concatenate(([0.0], costs)))


def joined(days: Sequence[SymbolDay]) -> JoinedDays:
    """Sessions of one symbol, in order of time, together."""
    filled, bars = [day.fill_places for day in days], [day.bar_places for day in days]
    fill_counts, bar_counts, began = (
        np.array(numbers, np.int64)
        for numbers in (
            [at.stop - at.start for at in filled],
            [at.stop - at.start for at in bars],
            [at.start for at in bars],
        )
    )
    fills = Fills(*_columns(_NO_FILLS, [day.session.fills for day in days], filled, _FILL_COLUMNS))
    merged = MergedBars(*_columns(_NO_BARS, [day.session.merged for day in days], bars, _BAR_COLUMNS))
    moved = np.cumsum(bar_counts) - bar_counts - began
    rows = fills.row + np.repeat(moved, fill_counts)
    return JoinedDays(replace(fills, row=rows), merged, fill_counts, bar_counts)


def _columns(nothing: Any, parts: Sequence[Any], places: Sequence[slice], names: Sequence[str]) -> Iterator[Any]:
    """Columns of the parts, cut, one after another."""
    cut = list(zip(parts, places, strict=True))
    for name in names:
        yield np.concatenate([getattr(nothing, name), *(getattr(part, name)[at] for part, at in cut)])


def held_of(shares: FloatArray, largest: FloatArray) -> FloatArray:
    """Shares, what is but rounding of the `largest` position being none."""
    return np.where(np.abs(shares) > _DUST * largest, shares, 0.0)


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
    n, k = len(symbols), prices.stamps
    at = np.repeat(np.arange(n) * k, lengths) + stamps
    spans = np.diff(np.sort(np.concatenate((np.arange(n + 1) * k, at)), kind="stable"))
    fill_bounds = np.concatenate(([0], np.cumsum(lengths)))
    is_held = courses.position != 0
    merged, first, values = _read(prices, at, spans, courses.position)
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
    costs = running(fills.quantity * fills.price + fills.commission, lengths, spent)
    held = running(fills.quantity, lengths, shares)
    there = np.arange(costs.shape[1]) <= lengths[:, None]
    largest = np.maximum.accumulate(np.abs(held), axis=1)
    return Courses(costs[there], held_of(held, largest)[there], costs[:, -1], held[:, -1])


def running(values: FloatArray, lengths: IntArray, before: FloatArray) -> FloatArray:
    """What rows of values sum up to, before the first and after each, added as they came, float64 (n, most + 1); beyond
    a row's own it stays. `values`: one row's after another's, `lengths` int64 (n,) of each; `before` float64 (n,).
    """
    n, most = len(lengths), int(lengths.max(initial=0))
    sums = np.zeros((n, most + 1))
    sums[:, 0] = before
    places = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    sums.ravel()[np.repeat(np.arange(n), lengths) * (most + 1) + places + 1] = values
    return np.cumsum(sums, axis=1, out=sums)


def _read(
    prices: SessionPrices, at: IntArray, spans: IntArray, position: FloatArray
) -> tuple[MergedBars, IntArray, FloatArray]:
    """Merged bars of all symbols, one symbol after another, where each begins, and what was held was worth, stamp by
    stamp. Stamps are counted through all symbols: `at`: where fills are; `spans`: how many there are before, between
    and after them, in which `position` was held. What no position saw is not read.
    """
    k, begins = prices.stamps, np.cumsum(spans) - spans
    starts, is_filled = np.zeros((2, int(spans.sum()) + 1), np.bool_)
    starts[::k] = starts[at] = starts[at + 1] = is_filled[at] = True
    bounds = np.flatnonzero(starts)
    first, stop = bounds[:-1], bounds[1:]
    symbols = first // k
    held = position[np.searchsorted(begins, first, side="right") - 1]
    seen = np.flatnonzero((held != 0) | is_filled[first])
    follows = np.zeros(len(seen), np.bool_)
    follows[1:] = (np.diff(seen) == 1) & (np.diff(symbols[seen]) == 0)
    heads = np.flatnonzero(~follows)
    tails = np.append(heads[1:], len(seen))[: len(heads)] - 1
    of, base = symbols[seen[heads]], symbols[seen[heads]] * k
    names = ("open", "high", "low", "last_close")
    open_, high, low, last = prices.over(names, of, first[seen[heads]] - base, stop[seen[tails]] - base)
    lengths = (stop - first)[seen]
    offsets, worth = np.cumsum(lengths) - lengths, np.repeat(held[seen], lengths)
    values = (worth * last)[worth != 0]
    values[np.isnan(values)] = 0.0  # nothing is held before the first price
    extremes = np.full((3, len(first)), np.nan)
    extremes[:, seen] = open_[offsets], np.fmax.reduceat(high, offsets), np.fmin.reduceat(low, offsets)
    stamps = first - symbols * k
    close = prices.last_close(symbols, stamps + (stop - first) - 1)
    counts = prices.counts(symbols, stamps, stamps + stop - first)
    merged = MergedBars(extremes[0], extremes[1], extremes[2], close, counts)
    kept = merged.counts > 0
    return (merged, first, values) if kept.all() else (merged.take(kept), first[kept], values)
