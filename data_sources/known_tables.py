"""Reads the tables that a configuration names: values by symbol, each known from a time on, from CSV or Parquet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import fs

from barray.data_sources.parquet.tree import translated
from barray.data_sources.parquet.values import floats, numpy_values
from barray.market.bars import IntArray, format_ns
from barray.market.errors import DataError, NoDataError
from barray.market.known_table import KnownTable
from barray.market.reason_codes import ReasonCode
from barray.market.table import Column

ENDINGS = (".csv", ".csv.gz", ".parquet", ".pq")
_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True)
class TableFile:
    """Where a table lies, and how it is to be read. `name` is the config's. `known_at`, `symbol`: names of the columns
    that say from when on a row is known, and of whom. `timezone`: that of times without one; None refuses them.
    """

    name: str
    path: str
    known_at: str = "known_at"
    symbol: str = "symbol"
    timezone: str | None = None

    def read(self) -> KnownTable:
        """The whole table, by symbol and time.

        `known_at` is a time, or a day, which means the open of its session (times without a zone that are all at
        midnight are days). DataError, naming the row, where columns are missing or of no use, where a row has no symbol
        or time, and where two have the same; NoDataError where there is no file, SourceUnavailable without permission.
        """
        data = self._arrow()
        names = data.column_names
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise self._bad(f"has two columns {twice!r}", "rename one", "wrong_columns")
        if missing := [name for name in (self.known_at, self.symbol) if name not in names]:
            keys = {self.known_at: "known_at", self.symbol: "symbol"}
            raise self._bad(
                f"has no column {missing[0]!r}; it has {', '.join(names) or 'none'}",
                f"name it under {self._key}.{keys[missing[0]]}",
                "wrong_columns",
            )
        codes, labels = self._symbols(data.column(self.symbol))
        known, by_day = self._known(data.column(self.known_at))
        order = np.lexsort((known, codes))
        codes, known = codes[order], known[order]
        same = np.flatnonzero((np.diff(codes) == 0) & (np.diff(known) == 0))
        if len(same):
            first = int(same[0])
            shown = np.datetime64(int(known[first]), "D") if by_day else format_ns(int(known[first]))
            raise self._bad(
                f"has two rows for {labels[codes[first]]} at {shown}, rows {_row(order[first])} and"
                f" {_row(order[first + 1])}",
                "leave one, or say in known_at which came later",
                "duplicate_stamps",
            )
        bounds = np.searchsorted(codes, np.arange(len(labels) + 1)).tolist()
        rows = {label: slice(*bounds[at : at + 2]) for at, label in enumerate(labels)}
        values = {
            name: self._column(name, data.column(name), order)
            for name in names
            if name not in (self.known_at, self.symbol)
        }
        if not values:
            raise self._bad("has no column besides symbol and time", "add the values", "wrong_columns")
        return KnownTable(self.name, rows, known, by_day, values)

    def _arrow(self) -> pa.Table:
        if "://" in self.path:
            with translated(self.path, self._key, "table"):
                filesystem, path = fs.FileSystem.from_uri(self.path)
        else:
            filesystem, path = fs.LocalFileSystem(), self.path
        if ".csv" in self.path.lower():
            from pyarrow import csv

            options = csv.ConvertOptions(column_types={self.symbol: pa.string()})
            with translated(self.path, self._key, "CSV"), filesystem.open_input_stream(path) as stream:
                return csv.read_csv(stream, convert_options=options)
        import pyarrow.parquet as pq

        with translated(self.path, self._key):
            return pq.ParquetFile(path, filesystem=filesystem).read()

    def _symbols(self, column: pa.ChunkedArray) -> tuple[IntArray, tuple[str, ...]]:
        """Positions in the symbols, and these, sorted."""
        codes, labels = self._texts(self.symbol, column)
        missing = np.flatnonzero(codes < 0)
        if len(missing):
            raise self._bad(f"row {_row(missing[0])} has no {self.symbol}", "fill it in, or leave the row out")
        if not len(codes):
            raise NoDataError(f"{self.path} has no rows", source=self._key, remedy="add rows", code="empty_file")
        return codes, labels

    def _known(self, column: pa.ChunkedArray) -> tuple[IntArray, bool]:
        """From when on each row is known: UTC ns, or days since 1970."""
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = self._parsed(column)
        kind = column.type
        if not pa.types.is_date(kind) and not pa.types.is_timestamp(kind):
            raise self._bad(
                f"{self.known_at} is {kind}, no time",
                "write times such as 2024-07-01T20:15:00Z, or days",
                "wrong_types",
            )
        if column.null_count:
            missing = next(at for at, value in enumerate(column) if not value.is_valid)
            raise self._bad(f"row {_row(missing)} has no {self.known_at}", "fill it in, or leave the row out")
        if pa.types.is_date(kind):
            return numpy_values(column.cast(pa.date32()), np.int32).astype(np.int64), True
        try:
            known = numpy_values(column.cast(pa.timestamp("ns", kind.tz)), np.int64)
        except pa.ArrowException as error:
            raise self._bad(f"{self.known_at}: {error}", "give times of this century", "bad_stamps") from error
        if kind.tz is not None:
            return known, False
        if self.timezone is not None:
            return self._zoned(column), False
        if (known % _DAY_NS == 0).all():
            return known // _DAY_NS, True
        raise self._bad(
            f"{self.known_at} has no time zone",
            f"write times as 2024-07-01T20:15:00Z, or say {self._key}.timezone: America/New_York",
            "naive_stamps",
        )

    def _parsed(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        for kind in (pa.date32(), pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
            try:
                return column.cast(kind)
            except pa.ArrowException:
                continue
        raise self._bad(
            f"{self.known_at} can't be read as times: {column[0].as_py()!r} in row {_row(0)}",
            "write all as days, 2024-07-01, or all as times with a zone, 2024-07-01T20:15:00Z",
            "bad_stamps",
        )

    def _zoned(self, column: pa.ChunkedArray) -> IntArray:
        import pyarrow.compute as pc

        try:
            zoned = pc.assume_timezone(column, self.timezone, ambiguous="latest", nonexistent="latest")
        except pa.ArrowException as error:
            raise self._bad(f"{self.known_at}: {error}", f"correct {self._key}.timezone", "bad_stamps") from error
        return numpy_values(zoned.cast(pa.timestamp("ns", "UTC")), np.int64)

    def _column(self, name: str, column: pa.ChunkedArray, order: IntArray) -> Column:
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_null(kind):
            return Column(np.full(len(order), np.nan))
        if pa.types.is_boolean(kind):
            column, kind = column.cast(pa.int8()), pa.int8()
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return Column(floats(column)[order])
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_temporal(kind)):
            raise self._bad(f"{name} is {kind}", "take numbers or texts, or leave the column out", "wrong_types")
        codes, labels = self._texts(name, column)
        return Column(codes[order].astype(np.int32), "text", labels=labels)

    def _texts(self, name: str, column: pa.ChunkedArray) -> tuple[IntArray, tuple[str, ...]]:
        """Positions in the different texts, -1 where there is none, and these, sorted."""
        try:
            encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        except pa.ArrowException as error:
            raise self._bad(f"{name} is {column.type}, no text: {error}", "write it as text", "wrong_types") from error
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        codes = numpy_values(pa.chunked_array([encoded.indices.fill_null(-1)]), np.int32)
        found = encoded.dictionary.to_pylist()
        labels = tuple(sorted(filter(None, found)))
        place = {label: at for at, label in enumerate(labels)}
        return np.array([*(place.get(label, -1) for label in found), -1], np.int64)[codes], labels

    @property
    def _key(self) -> str:
        return f"tables.{self.name}"

    def _bad(self, what: str, remedy: str, code: ReasonCode = "bad_values") -> DataError:
        return DataError(f"{self.path}: {what}", source=self._key, remedy=remedy, code=code)


def _row(at: int | np.integer) -> int:
    """A row as people count them, the first after the header is 1."""
    return int(at) + 1
