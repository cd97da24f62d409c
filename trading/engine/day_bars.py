"""Bars that days of symbols are told by, once sessions are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.strategy.panel import PanelBlock


class DayBars:
    """See DayPrices. `grids_ns`: when bars of each session's grid end, UTC ns; days are those of `symbol` in `session`,
    numbers of `symbols` and of grids. Of symbols that the block doesn't have there are the last closes `known` alone.
    """

    def __init__(
        self,
        block: PanelBlock | None,
        symbols: Sequence[str],
        grids_ns: Sequence[IntArray],
        known: Mapping[str, float],
        symbol: IntArray,
        session: IntArray,
    ) -> None:
        self.stamps = np.array([len(one) for one in grids_ns], np.int64)[session]
        self._block, self._symbols, self._known, self._symbol = block, symbols, known, symbol
        index = block.index if block is not None else {}
        self._columns = np.array([index.get(one, -1) for one in symbols], np.intp)[symbol]
        first = [block.closed_by(int(one[0]) - 1) if block is not None else 0 for one in grids_ns]
        self._first = np.array(first, np.int64)[session]
        self._has_all = self._columns.min(initial=0) >= 0

    def over(self, names: Sequence[str], days: IntArray, first: IntArray, stop: IntArray) -> list[FloatArray]:
        """See DayPrices."""
        block, row, every = self._block, self._first[days], np.repeat(days, stop - first)
        if block is None:
            found = [np.full(len(every), nan) for _ in names]
        else:
            found = block.over(names, self._columns[days], first + row, stop + row)
        return [self._known_of(name, values, every) for name, values in zip(names, found, strict=True)]

    def last_close(self, days: IntArray, stamps: IntArray) -> FloatArray:
        """See DayPrices."""
        if self._block is None:
            return self._known_of("last_close", np.full(len(days), nan), days)
        values = self._block.last_close[stamps + self._first[days], self._columns[days]]
        return self._known_of("last_close", values, days)

    def counts(self, days: IntArray, first: IntArray, stop: IntArray) -> IntArray:
        """See DayPrices."""
        block = self._block
        if block is not None and block.is_whole and self._has_all:
            return stop - first
        found, columns, row = np.zeros(len(days), np.int64), self._columns[days], self._first[days]
        order = np.argsort(columns, kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(columns[order])) + 1):
            column = columns[own].max(initial=-1).item()
            if block is not None and column >= 0:
                before = block.bars_before(column, first[own] + row[own])
                found[own] = block.bars_before(column, stop[own] + row[own]) - before
        return found

    def _known_of(self, name: str, values: FloatArray, days: IntArray) -> FloatArray:
        """Values of days, of those without bars none, and of last closes those known before."""
        if self._block is not None and not self._has_all:
            values[self._columns[days] < 0] = nan
        if name == "last_close" and (unknown := np.isnan(values)).any():
            before = np.array([self._known.get(symbol, nan) for symbol in self._symbols])
            values[unknown] = before[self._symbol[days[unknown]]]
        return values
