"""What a portfolio holds of its symbols, as columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from barray.market.bars import FloatArray, IntArray

_COLUMNS = ("position", "cash", "placed", "spent", "shares")


class Holdings:
    """A row a symbol, its slot. Float64 (n,), or int64; some rows may be nobody's.

    `position`: shares, negative short. `cash`: of the symbol's own account; where one is shared, what its fills have
    brought. `placed` int64: how many orders there were. `spent`, `shares`: see Courses, as of the last session's end.
    `positions`, `cashes`, `numbers` are the first three, for looking at and changing one at a time.
    """

    def __init__(self) -> None:
        self._free: list[int] = []
        self.position, self.cash, self.spent, self.shares = (np.zeros(0) for _ in range(4))
        self.placed = np.zeros(0, np.int64)
        self._grow(64)

    def __getstate__(self) -> dict[str, Any]:
        """The columns."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, memoryview)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._look()

    def take_slot(self) -> int:
        """A row that is nobody's, all 0."""
        if not self._free:
            self._grow(2 * len(self.position))
        slot = self._free.pop()
        for name in _COLUMNS:
            getattr(self, name)[slot] = 0
        return slot

    def let_go(self, slot: int) -> None:
        """Have it be nobody's."""
        self._free.append(slot)

    def begin_anew(self, slot: int) -> None:
        """Forget what there was in sessions before."""
        self.spent[slot] = self.shares[slot] = 0.0

    def _grow(self, n: int) -> None:
        before = len(self.position)
        for name in _COLUMNS:
            column: FloatArray | IntArray = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.zeros(n - before, column.dtype))))
        self._free += range(n - 1, before - 1, -1)
        self._look()

    def _look(self) -> None:
        self.positions: Any = self.position.data
        self.cashes: Any = self.cash.data
        self.numbers: Any = self.placed.data
