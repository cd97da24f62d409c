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
from barray.trading.results.courses import Courses
from barray.trading.results.equity import EquityCurve


class DayPrices(Protocol):
    """Bars of symbols in sessions, read where they are asked for, by days (a symbol's session each, by number) and
    stamps of their grids.

    `stamps`: how many each day has, int64 (days,).
    """

    stamps: IntArray

    def over(self, names: Sequence[str], days: IntArray, first: IntArray, stop: IntArray) -> list[FloatArray]:
        """Columns of bars over runs of stamps, one run after another, NaN where there is no bar; `last_close`: the last
        one known.
        """
        ...

    def last_close(self, days: IntArray, stamps: IntArray) -> FloatArray:
        """The last closes known at stamps, NaN before there is one."""
        ...

    def counts(self, days: IntArray, first: IntArray, stop: IntArray) -> IntArray:
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

    def curve(self) -> EquityCurve:
        """Equity and exposure on the session's grid."""
        return curve_of([self])


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

    def part(self, first: int, stop: int, refusals: Mapping[str, tuple[Refusal, ...]]) -> SessionDays:
        """Some of the symbols in a row alone. `refusals`: theirs."""
        fills, bars, values = (
            slice(limits[first], limits[stop]) for limits in (self.fill_limits, self.merged_limits, self.value_limits)
        )
        accounts, bounds = slice(fills.start + first, fills.stop + stop), slice(first, stop + 1)
        own = self.fills.take(fills)
        return SessionDays(
            self.symbols[first:stop],
            self.capital,
            self.spans[accounts],
            self.spent[accounts],
            self.is_held[accounts],
            self.values[values],
            self.value_bounds[bounds] - values.start,
            replace(own, row=own.row - bars.start),
            self.fill_bounds[bounds] - fills.start,
            self.merged.take(bars),
            self.merged_bounds[bounds] - bars.start,
            refusals,
        )

    def days(self) -> dict[str, SymbolDay]:
        """Each symbol's."""
        return {symbol: SymbolDay(self, number) for number, symbol in enumerate(self.symbols)}


def curve_of(days: Sequence[SymbolDay]) -> EquityCurve:
    """Equity and exposure of one symbol, on its sessions' grids one after another."""
    if not days:
        return EquityCurve.of(_NO_PRICES, _NO_PRICES)
    own = [(day.session, day.account_places) for day in days]
    spans = np.concatenate([session.spans[places] for session, places in own])
    is_held = np.concatenate([session.is_held[places] for session, places in own])
    cash = np.concatenate([session.capital - session.spent[places] for session, places in own])
    values = np.concatenate([day.session.values[day.value_places] for day in days])
    return EquityCurve(spans, cash, is_held, values, np.zeros(len(spans)))


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


def days_of(
    symbols: Sequence[str],
    fills: Fills,
    lengths: IntArray,
    stamps: IntArray,
    prices: DayPrices,
    courses: Courses,
    capital: float,
) -> SessionDays:
    """What sessions did to symbols, each day's, as if they were all of one session; see SessionDays.part. `symbols`: of
    the days. `fills`: one day's after another's, `lengths`: how many each has; `stamps`: at which stamp of the day's
    grid each was; both int64. `courses`: of their accounts; `capital`: what each began with.
    """
    begins = np.concatenate(([0], np.cumsum(prices.stamps)))
    at = np.repeat(begins[:-1], lengths) + stamps
    spans = np.diff(np.sort(np.concatenate((begins, at)), kind="stable"))
    fill_bounds = np.concatenate(([0], np.cumsum(lengths)))
    is_held = courses.position != 0
    merged, first, values = _read(prices, begins, at, spans, courses.position)
    return SessionDays(
        tuple(symbols),
        capital,
        spans,
        courses.spent,
        is_held,
        values,
        np.concatenate(([0], np.cumsum(spans * is_held)))[fill_bounds + np.arange(len(begins))],
        replace(fills, row=np.searchsorted(first, at)),
        fill_bounds,
        merged,
        np.searchsorted(first, begins),
        {},
    )


def _read(
    prices: DayPrices, begins: IntArray, at: IntArray, spans: IntArray, position: FloatArray
) -> tuple[MergedBars, IntArray, FloatArray]:
    """Merged bars of all days, one day after another, where each begins, and what was held was worth, stamp by stamp.
    Stamps are counted through all days, which begin at `begins`, the last being their end: `at`: where fills are;
    `spans`: how many there are before, between and after them, in which `position` was held. What no position saw is
    not read.
    """
    starts, is_filled = np.zeros((2, int(begins[-1]) + 1), np.bool_)
    starts[begins] = starts[at] = starts[at + 1] = is_filled[at] = True
    bounds = np.flatnonzero(starts)
    first, stop = bounds[:-1], bounds[1:]
    days = np.searchsorted(begins, first, side="right") - 1
    held = position[np.searchsorted(np.cumsum(spans) - spans, first, side="right") - 1]
    seen = np.flatnonzero((held != 0) | is_filled[first])
    follows = np.zeros(len(seen), np.bool_)
    follows[1:] = (np.diff(seen) == 1) & (np.diff(days[seen]) == 0)
    heads = np.flatnonzero(~follows)
    tails = np.append(heads[1:], len(seen))[: len(heads)] - 1
    of = days[seen[heads]]
    names = ("open", "high", "low", "last_close")
    open_, high, low, last = prices.over(names, of, first[seen[heads]] - begins[of], stop[seen[tails]] - begins[of])
    lengths = (stop - first)[seen]
    offsets, worth = np.cumsum(lengths) - lengths, np.repeat(held[seen], lengths)
    values = (worth * last)[worth != 0]
    values[np.isnan(values)] = 0.0  # nothing is held before the first price
    extremes = np.full((3, len(first)), np.nan)
    extremes[:, seen] = open_[offsets], np.fmax.reduceat(high, offsets), np.fmin.reduceat(low, offsets)
    stamps = first - begins[days]
    close = prices.last_close(days, stamps + (stop - first) - 1)
    counts = prices.counts(days, stamps, stamps + stop - first)
    merged = MergedBars(extremes[0], extremes[1], extremes[2], close, counts)
    kept = merged.counts > 0
    return (merged, first, values) if kept.all() else (merged.take(kept), first[kept], values)
