"""Columns for whoever goes on in a data frame: NumPy here, Arrow and pandas where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import IntArray
from barray.market.html import NOTHING, figure, html_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ENDS = 5
"""Rows that a long table shows of its beginning, and of its end."""


@dataclass(frozen=True, eq=False)
class Column:
    """Values of one kind, (n,): numbers and flags as they are; `stamp`: int64, UTC ns; `day`: int32, days since 1970;
    `text`: int32, positions in `labels`. `unknown` bool (n,): where there is no value.
    """

    values: NDArray[Any]
    kind: Literal["number", "stamp", "day", "text"] = "number"
    unknown: NDArray[np.bool_] | None = None
    labels: tuple[str, ...] = ()

    def to_arrow(self) -> pa.Array:
        """An Arrow array over the same memory: timestamp[ns, UTC], date32, dictionary of strings, or numbers."""
        import pyarrow as pa

        from barray.market.arrow_arrays import arrow_numbers, arrow_texts

        array = arrow_numbers(self.values, self.unknown)
        if self.kind == "text":
            return pa.DictionaryArray.from_arrays(array, arrow_texts(self.labels))
        if self.kind == "number":
            return array
        return array.view(pa.timestamp("ns", "UTC") if self.kind == "stamp" else pa.date32())

    def to_pandas(self) -> Any:
        """What a DataFrame takes as a column; numbers over the same memory, NaN or NaT where there is no value."""
        import pandas as pd

        if self.kind == "text":
            codes = self.values if self.unknown is None else np.where(self.unknown, -1, self.values)
            return pd.Categorical.from_codes(codes, pd.Index(self.labels, dtype="str"))
        if self.kind == "stamp":
            return pd.DatetimeIndex(self._times("datetime64[ns]"), tz="UTC")
        return self._times("datetime64[D]").astype("datetime64[s]") if self.kind == "day" else self.values

    def shown(self, row: int) -> str:
        """One value as a person reads it."""
        value = self.values[row].item()
        if self.unknown is not None and self.unknown[row]:
            return NOTHING
        match self.kind:
            case "text":
                return self.labels[int(value)]
            case "stamp":
                return f"{np.datetime64(value, 'ns').astype('datetime64[s]')}Z"
            case "day":
                return str(np.datetime64(value, "D"))
        return figure(value)

    def _times(self, unit: str) -> NDArray[Any]:
        times = (self.values if self.kind == "stamp" else self.values.astype(np.int64)).view(unit)
        return times if self.unknown is None else np.where(self.unknown, np.datetime64("NaT"), times)


def stamps(stamps_ns: IntArray, unknown: NDArray[np.bool_] | None = None) -> Column:
    """A column of UTC nanoseconds."""
    return Column(stamps_ns, "stamp", unknown)


def floats_known(values: NDArray[np.float64]) -> Column:
    """Numbers of which NaN means that there is none."""
    unknown = np.isnan(values)
    return Column(values, unknown=unknown if unknown.any() else None)


def texts(values: Sequence[str | None]) -> Column:
    """A column of texts; None where there is none."""
    labels = {text: place for place, text in enumerate(dict.fromkeys(t for t in values if t is not None))}
    codes = np.array([0 if text is None else labels[text] for text in values], np.int32)
    unknown = np.array([text is None for text in values], np.bool_)
    return Column(codes, "text", unknown if unknown.any() else None, tuple(labels))


def repeated(labels: Sequence[str], counts: Sequence[int]) -> Column:
    """Each label as often as `counts` says, one after another."""
    return Column(np.repeat(np.arange(len(labels), dtype=np.int32), counts), "text", None, tuple(labels))


class Table:
    """Columns of one length by name, read by anything that speaks Arrow's C stream, over the same memory.

        trades = result.tables.trades
        polars.DataFrame(trades)
        duckdb.sql("from trades where pnl < 0")
        pyarrow.table(trades)
        pandas.DataFrame.from_arrow(trades)

    Numbers, stamps and days are not copied for it, flags and texts are. `to_pandas` needs no Arrow, and shares the
    numbers. What is read from a table is not for writing: ask `to_pandas(copy=True)` for a frame of one's own.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns = dict(columns)

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).values) if self.columns else 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column's plain values; see Column for what they mean."""
        return self.columns[name].values

    def without(self, *names: str) -> Table:
        """The table but for these columns."""
        return Table({name: column for name, column in self.columns.items() if name not in names})

    def to_arrow(self) -> pa.Table:
        """A pyarrow.Table over the same memory."""
        import pyarrow as pa

        return pa.table({name: column.to_arrow() for name, column in self.columns.items()})

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_pandas(self, *, copy: bool = False) -> pd.DataFrame:
        """A DataFrame: stamps in UTC, texts as categories. Its numbers are read-only, unless it is a copy."""
        import pandas as pd

        frame = pd.DataFrame({name: column.to_pandas() for name, column in self.columns.items()}, copy=False)
        return frame.copy() if copy else frame

    def __repr__(self) -> str:
        return f"Table({len(self)} rows: {', '.join(self.names)})"

    def _repr_html_(self) -> str:
        rows = range(len(self))
        chosen = list(rows) if len(self) <= 2 * _ENDS else [*rows[:_ENDS], None, *rows[-_ENDS:]]
        cells = ([_cell(column, row) for column in self.columns.values()] for row in chosen)
        return html_table(self.names, cells, f"{len(self):,} rows")


def _cell(column: Column, row: int | None) -> str:
    return "…" if row is None else column.shown(row)
