"""What a strategy may look at: columns of bars and indicators that end at now."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from barray.market.bars import FloatArray, floats


class Cursor:
    """How many bars of an interval have closed; shared by all columns of that interval."""

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end = 0


class Column:
    """A column, oldest first, that ends at the newest closed bar: `s[-1]` is its value, a float; `s[-20:]` a read-only
    float64 array; `len(s)` and `np.asarray(s)` tell the same. What comes later is not there: IndexError.
    """

    __slots__ = ("_cursor", "_floats", "_values")

    def __init__(self, values: FloatArray, cursor: Cursor) -> None:
        self._values = values
        self._floats = floats(values)
        self._cursor = cursor

    @overload
    def __getitem__(self, key: int) -> float: ...
    @overload
    def __getitem__(self, key: slice) -> FloatArray: ...
    def __getitem__(self, key: Any) -> Any:
        end = self._cursor.end
        try:
            row = key + end if key < 0 else key
        except TypeError:
            return self._values[:end][key]
        if 0 <= row < end:
            return self._floats[row]
        raise IndexError(f"bar {key} of {end} that have closed")

    def __len__(self) -> int:
        return self._cursor.end

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        values: FloatArray = np.asarray(self._values[: self._cursor.end], dtype=dtype)
        return values.copy() if copy else values


class BarColumns:
    """The columns of one interval's bars, each a Column; made when first looked at."""

    __slots__ = ("_columns", "_cursor", "_made")

    def __init__(self, columns: Any, cursor: Cursor) -> None:
        self._columns = columns
        self._cursor = cursor
        self._made: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        """The column of that name: open, high, low, close, volume."""
        if name not in self._made:
            self._made[name] = Column(getattr(self._columns, name), self._cursor)
        return self._made[name]

    open = property(lambda self: self.column("open"), doc="Opens.")
    high = property(lambda self: self.column("high"), doc="Highs.")
    low = property(lambda self: self.column("low"), doc="Lows.")
    close = property(lambda self: self.column("close"), doc="Closes.")
    volume = property(lambda self: self.column("volume"), doc="Volumes.")

    def __len__(self) -> int:
        return self._cursor.end
