"""Where accounts stood as they went through sessions: what fills had cost, and what was held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.orders.fills import Fills

_DUST = 1e-12
"""Share of the largest position below which one is rounding."""


@dataclass(frozen=True, eq=False)
class Courses:
    """Where accounts stood in sessions, one day of a symbol after another: before it and after each of its fills.
    `spent`: cash that fills have cost so far, commissions included; `position`: shares, what is but rounding of one is
    none; float64 (days + fills,).
    """

    spent: FloatArray
    position: FloatArray


@dataclass(frozen=True, eq=False)
class Passage:
    """How symbols went through sessions. `counts`: how many fills each had in each, int64 (sessions, symbols).

    `spent`: cash that fills have cost so far, and `shares`, the sum of all fills: before a symbol's first and after
    each, float64 (symbols, most + 1); beyond its own it stays.
    """

    counts: IntArray
    spent: FloatArray
    shares: FloatArray

    @classmethod
    def of(cls, fills: Fills, counts: IntArray, spent: FloatArray, shares: FloatArray) -> Passage:
        """From fills, one symbol's after another's, each in order of time. `spent`, `shares`: before all of them,
        float64 (symbols,).
        """
        lengths = counts.sum(axis=0)
        costs = running(fills.quantity * fills.price + fills.commission, lengths, spent)
        return cls(counts, costs, running(fills.quantity, lengths, shares))

    @cached_property
    def done(self) -> IntArray:
        """How many fills there were before each session, and after the last: int64 (sessions + 1, symbols)."""
        done = np.zeros((len(self.counts) + 1, self.counts.shape[1]), np.int64)
        np.cumsum(self.counts, axis=0, out=done[1:])
        return done

    @property
    def shares_before(self) -> FloatArray:
        """The sum of all fills before each session, float64 (sessions, symbols)."""
        return self._at(self.shares, self.done[:-1])

    @property
    def spent_after(self) -> FloatArray:
        """What fills have cost by each session's end, float64 (sessions, symbols)."""
        return self._at(self.spent, self.done[1:])

    @property
    def held_after(self) -> FloatArray:
        """Positions at each session's end, float64 (sessions, symbols)."""
        return held_of(self._at(self.shares, self.done[1:]), self._largest())

    def courses(self, session: IntArray, symbol: IntArray) -> Courses:
        """Of days, by numbers of session and symbol."""
        fills = self.counts[session, symbol]
        columns = np.arange(int(fills.max(initial=0)) + 1)
        there = columns <= fills[:, None]
        places = np.minimum(self.done[session, symbol][:, None] + columns, self.shares.shape[1] - 1)
        held = self.shares[symbol[:, None], places]
        largest = np.maximum.accumulate(np.abs(held), axis=1)
        return Courses(self.spent[symbol[:, None], places][there], held_of(held, largest)[there])

    def _at(self, values: FloatArray, places: IntArray) -> FloatArray:
        found: FloatArray = values[np.arange(len(values)), places]
        return found

    def _largest(self) -> FloatArray:
        """The largest position of each symbol in each session, float64 (sessions, symbols)."""
        n, k = self.shares.shape
        size = np.append(np.abs(self.shares).ravel(), 0.0)
        edges = np.stack((self.done[:-1], self.done[1:] + 1), axis=-1) + (np.arange(n) * k)[:, None]
        largest: FloatArray = np.maximum.reduceat(size, edges.ravel())[::2].reshape(self.counts.shape)
        return largest


def held_of(shares: FloatArray, largest: FloatArray) -> FloatArray:
    """Shares, what is but rounding of the `largest` position being none."""
    return np.where(np.abs(shares) > _DUST * largest, shares, 0.0)


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
