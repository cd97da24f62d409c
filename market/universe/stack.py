"""Bars of many symbols as a source has them, one symbol after another."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, IntArray


@dataclass(frozen=True, eq=False)
class Stack:
    """Bars of one interval: what `lay_universe` takes.

    `symbols` sorted; `offsets` int64 (n_symbols + 1,): symbol i has the bars from `offsets[i]` to before
    `offsets[i + 1]`, as the source gives them for it alone. `columns`: those that are there, the others are NaN.
    """

    symbols: tuple[str, ...]
    offsets: IntArray
    bars: Bars
    columns: tuple[str, ...] = COLUMNS

    @classmethod
    def of(cls, tapes: Mapping[str, Bars], columns: tuple[str, ...] = COLUMNS) -> Stack:
        """Bars by symbol, stacked."""
        symbols = tuple(sorted(tapes))
        offsets = np.cumsum([0, *(len(tapes[symbol]) for symbol in symbols)])
        return cls(symbols, offsets, Bars.concat([tapes[symbol] for symbol in symbols], columns), columns)

    def __len__(self) -> int:
        """How many bars all symbols have."""
        return len(self.bars)

    def take(self, rows: NDArray[np.bool_]) -> Stack:
        """The chosen rows, and the symbols that have one; this object where that is all."""
        if not rows.all():
            offsets = np.concatenate(([0], np.cumsum(rows)))[self.offsets]
            return replace(self, offsets=offsets, bars=self.bars.take(rows)).without_empty()
        return self.without_empty()

    def without_empty(self) -> Stack:
        """The symbols that have a bar."""
        held = np.diff(self.offsets) > 0
        if held.all():
            return self
        left = np.flatnonzero(held)
        symbols = tuple(self.symbols[i] for i in left.tolist())
        return replace(self, symbols=symbols, offsets=np.append(self.offsets[left], self.offsets[-1]))

    def bars_of(self, symbol: str) -> Bars:
        """One symbol's bars; KeyError where it isn't there."""
        i = bisect_left(self.symbols, symbol)
        if self.symbols[i : i + 1] != (symbol,):
            raise KeyError(symbol)
        return self.bars.take(slice(int(self.offsets[i]), int(self.offsets[i + 1])))
