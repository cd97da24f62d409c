"""Bars of one interval of many symbols, one symbol after another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, IntArray
from barray.market.interval import Interval
from barray.market.series import CountArray, IntervalBars


@dataclass(frozen=True, eq=False)
class UniverseBars:
    """Bars of one interval, stacked: of each symbol oldest first, history and session in one series.

    `symbols` sorted; `offsets` int64 (n_symbols + 1,): symbol i has the bars from `offsets[i]` to before
    `offsets[i + 1]`, none where both are the same. `bars`, `end_ns`, `session`, `expected` and `actual`, (n_bars,)
    each: see IntervalBars. `open_ns`: when the session opens; what closed by then is history. `columns`: those that
    are there, the others of `bars` are NaN. All arrays are read-only.
    """

    interval: Interval
    symbols: tuple[str, ...]
    offsets: IntArray
    bars: Bars
    end_ns: IntArray
    session: CountArray
    expected: CountArray
    actual: CountArray
    open_ns: int
    derived_from: Interval | None = None
    columns: tuple[str, ...] = COLUMNS

    def __post_init__(self) -> None:
        for column in (self.offsets, self.end_ns, self.session, self.expected, self.actual):
            column.flags.writeable = False

    def __len__(self) -> int:
        """How many bars all symbols have."""
        return len(self.end_ns)

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each symbol stands among the symbols."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    def rows(self, symbol: str) -> slice:
        """Where the symbol's bars stand in the stack; KeyError where it isn't there."""
        i = self.position[symbol]
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def of(self, symbol: str) -> IntervalBars:
        """One symbol's bars, as `lay_on_sessions` and `derive` give them for it alone; KeyError where it isn't there.

        Nothing is copied.
        """
        rows = self.rows(symbol)
        end_ns = self.end_ns[rows]
        return IntervalBars(
            self.interval,
            self.bars.take(rows),
            end_ns,
            self.session[rows],
            self.expected[rows],
            self.actual[rows],
            int(np.searchsorted(end_ns, self.open_ns, side="right")),
            self.derived_from,
        )

    def known_by(self, times_ns: IntArray) -> IntArray:
        """Each symbol's last bar that has closed by each time: positions in the stack, int64 (n_times, n_symbols).

        -1 where a symbol has none by then.
        """
        begin = self.offsets[:-1]
        shape = (len(times_ns), len(begin))
        low, high = np.broadcast_to(begin, shape).copy(), np.broadcast_to(self.offsets[1:], shape).copy()
        times = np.asarray(times_ns, np.int64)[:, None]
        longest = int(np.diff(self.offsets).max(initial=0))
        for _ in range(longest.bit_length()):  # all at once: the first bar that closes later
            middle = (low + high) >> 1
            closed = self.end_ns[np.minimum(middle, len(self) - 1)] <= times
            closed &= middle < high
            low, high = np.where(closed, middle + 1, low), np.where(closed, high, middle)
        return np.where(low > begin, low - 1, -1)

    def symbol_of(self, rows: NDArray[np.integer]) -> NDArray[np.intp]:
        """Position of the symbol that each of these bars, positions in the stack, is of."""
        return np.searchsorted(self.offsets, rows, side="right") - 1
