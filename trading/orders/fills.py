"""What happened to orders: single fills, and many as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray


class Fill(NamedTuple):
    """One execution, in the base bar that starts at `bar_ns` (UTC ns) and is row `row` of SymbolData.base.

    `quantity`: positive bought, negative sold. `price` includes slippage; `slippage` and `commission`: what they cost
    in currency, never negative. `at_close`: filled at the bar's close, as flat-at-close does.
    """

    row: int
    bar_ns: int
    quantity: float
    price: float
    commission: float
    slippage: float
    order: int
    at_close: bool = False


@dataclass(frozen=True, eq=False)
class Fills:
    """Fills of one symbol in order of time, as columns of one length; see Fill."""

    row: IntArray
    bar_ns: IntArray
    quantity: FloatArray
    price: FloatArray
    commission: FloatArray
    slippage: FloatArray
    order: IntArray
    at_close: NDArray[np.bool_]

    @classmethod
    def of(cls, fills: Sequence[Fill]) -> Fills:
        """Columns from single fills."""
        kinds = {"row": np.int64, "bar_ns": np.int64, "order": np.int64, "at_close": np.bool_}
        columns = zip(*fills, strict=True) if fills else [()] * len(Fill._fields)
        named = zip(Fill._fields, columns, strict=True)
        return cls(*(np.array(column, kinds.get(name, np.float64)) for name, column in named))

    @classmethod
    def concat(cls, parts: Sequence[Fills]) -> Fills:
        """The parts one after another; their orders are numbered through already."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def numbered_after(self, before: int) -> Fills:
        """The same with numbers of orders that go on after those of others."""
        return replace(self, order=self.order + before)

    def take(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Fills:
        """The chosen ones."""
        return Fills(*(getattr(self, column.name)[rows] for column in fields(self)))

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: int) -> Fill:
        return Fill(*(getattr(self, column.name)[index].item() for column in fields(self)))
