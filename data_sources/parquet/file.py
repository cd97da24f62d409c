"""One Parquet file of bars: its columns checked and read as NumPy, without pandas ever being imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from barray.market.arrow_arrays import arrow_numbers, arrow_texts
from barray.market.bars import COLUMNS, Bars, FloatArray, IntArray
from barray.market.errors import DataError, NoDataError, SourceUnavailable
from barray.market.reason_codes import ReasonCode

_NUMPY_TYPES = {
    pa.float64(): np.float64,
    pa.float32(): np.float32,
    pa.int64(): np.int64,
    pa.int32(): np.int32,
    pa.uint64(): np.uint64,
    pa.uint32(): np.uint32,
}
_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS = 86_400 * 1_000_000_000
_EPOCH = datetime(1970, 1, 1)
_REMOTE = ("AWS", "google::cloud", "GCS", "Azure", "HDFS", "curl", "timed out", "onnection")
"""What the reasons of remote file systems say; like those of a corrupt file they carry no errno."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns in the files. `timezone` is that of stamps stored without one; None refuses them.

    `stamp`: whether a stamp is the bar's `start` or its `end`.
    """

    timestamp: str = "timestamp"
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    volume: str = "volume"
    symbol: str = "symbol"
    timezone: str | None = None
    stamp: str = "start"

    @property
    def required(self) -> tuple[str, ...]:
        """Columns every file must have, timestamp first."""
        return (self.timestamp, *(getattr(self, name) for name in COLUMNS))


@contextmanager
def translated(path: str, source: str) -> Iterator[None]:
    """Turn what pyarrow and the file system raise into our errors, naming the file.

    SourceUnavailable without permission or reach, NoDataError where there is no file, DataError for what is no Parquet.
    """
    try:
        yield
    except PermissionError as error:
        raise SourceUnavailable(
            f"no permission to read {path}", source=source, remedy="allow this user to read it", code="no_permission"
        ) from error
    except FileNotFoundError as error:
        raise NoDataError(f"{path} does not exist", source=source, remedy="add the file") from error
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:  # a corrupt footer can raise any of these
        reason = str(error).strip().partition("\n")[0][:200]
        if isinstance(error, OSError) and (error.errno or any(mark in reason for mark in _REMOTE)):
            raise SourceUnavailable(
                f"{path} cannot be read: {reason}", source=source, remedy="see whether its storage can be reached"
            ) from error
        raise DataError(
            f"{path} is no readable Parquet file: {reason}",
            source=source,
            remedy="write it again",
            code="unreadable_file",
        ) from error


class BarFile:
    """An open file of bars; reading its footer checks that the columns are there and have a usable type.

    DataError where they are not, NoDataError where the file has no rows or is not there, SourceUnavailable where it
    cannot be read.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str, shown: str, source: str, columns: Columns) -> None:
        self._columns, self._shown, self._source = columns, shown, source
        self._filesystem, self._path = filesystem, path
        with translated(shown, source):
            self._file = pq.ParquetFile(path, filesystem=filesystem, memory_map=False, pre_buffer=False)
            self._schema: pa.Schema = self._file.schema_arrow
            self._check_columns()
        if self._file.metadata.num_rows == 0:
            raise NoDataError(
                f"{shown} has no rows", source=source, remedy="write its bars, or remove it", code="empty_file"
            )

    def _check_columns(self) -> None:
        columns, schema = self._columns, self._schema
        counts = {name: len(schema.get_all_field_indices(name)) for name in (*columns.required, columns.symbol)}
        if missing := [name for name in columns.required if counts[name] == 0]:
            raise self._bad(
                f"lacks {', '.join(missing)} among its columns {', '.join(schema.names)}",
                "wrong_columns",
                "map the names under the source's columns, or write the file again",
            )
        if twice := [name for name, count in counts.items() if count > 1]:
            raise self._bad(f"has the column {twice[0]} twice", "wrong_columns", "write it again with one")
        stamp = schema.field(columns.timestamp).type
        if not pa.types.is_timestamp(stamp) and not pa.types.is_date(stamp):
            raise self._bad(
                f"{columns.timestamp} is {stamp}, not a timestamp", "wrong_types", "store it as timestamp in UTC"
            )
        if pa.types.is_timestamp(stamp) and stamp.tz is None and columns.timezone is None:
            raise self._bad(
                f"{columns.timestamp} has no time zone",
                "naive_stamps",
                "store it as timestamp in UTC, or name the source's columns.timezone",
            )
        for name in columns.required[1:]:
            kind = schema.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
                raise self._bad(f"{name} is {kind}, not a number", "wrong_types", "store it as float64")
        if self.has_symbols and not _is_text(kind := schema.field(columns.symbol).type):
            raise self._bad(f"{columns.symbol} is {kind}, not text", "wrong_types", "store the symbols as strings")

    def _bad(self, reason: str, code: ReasonCode, remedy: str) -> DataError:
        return DataError(f"{self._shown} {reason}", source=self._source, remedy=remedy, code=code)

    @property
    def has_symbols(self) -> bool:
        """Whether a symbol column is there."""
        return bool(self._schema.get_field_index(self._columns.symbol) >= 0)

    @cached_property
    def symbols(self) -> frozenset[str | None]:
        """The distinct values of the file's symbol column; read only where the footer doesn't tell."""
        name = self._columns.symbol
        with translated(self._shown, self._source):
            told = [self._only_symbol(group) for group in range(self._file.metadata.num_row_groups)]
            unclear = [group for group, symbol in enumerate(told) if symbol is None]
            known = {symbol for symbol in told if symbol is not None}
            if not unclear:
                return frozenset(known)
            file = pq.ParquetFile(  # as a dictionary: five times faster than as strings
                self._path, filesystem=self._filesystem, metadata=self._file.metadata, read_dictionary=[name]
            )
            column = file.read_row_groups(unclear, columns=[name], use_threads=False).column(0)
            return frozenset(known.union(column.unique().to_pylist()))

    def read(self, symbol: str | None, first_ns: int, last_ns: int) -> Bars:
        """Bars with stamps from `first_ns` to `last_ns` (UTC ns, both included; row groups outside are skipped, so more
        may come), in file order; of `symbol` alone in a file of many, None where the file names none.
        """
        names = list(self._columns.required) + ([self._columns.symbol] if symbol is not None else [])
        with translated(self._shown, self._source):
            groups = [
                group
                for group in range(self._file.metadata.num_row_groups)
                if self._overlaps(group, symbol, first_ns, last_ns)
            ]
            table = self._file.read_row_groups(groups, columns=names, use_threads=False)
            if symbol is not None:
                import pyarrow.compute as pc

                table = table.filter(pc.equal(table.column(self._columns.symbol), arrow_texts([symbol])[0]))
            return Bars(
                self._stamps(table.column(self._columns.timestamp)),
                *(_floats(table.column(getattr(self._columns, name))) for name in COLUMNS),
            )

    def stamp_range(self) -> tuple[int, int]:
        """First and last stamp (UTC ns), by the footer's statistics where it has them."""
        with translated(self._shown, self._source):
            ranges = [self._stamp_statistics(group) for group in range(self._file.metadata.num_row_groups)]
            known = [found for found in ranges if found is not None]
            if len(known) == len(ranges):
                return min(low for low, _ in known), max(high for _, high in known)
            name = self._columns.timestamp
            stamps = self._stamps(self._file.read(columns=[name], use_threads=False).column(0))
            return int(stamps.min()), int(stamps.max())

    def _overlaps(self, group: int, symbol: str | None, first_ns: int, last_ns: int) -> bool:
        stamps = self._stamp_statistics(group)
        if stamps is not None and (stamps[0] > last_ns or stamps[1] < first_ns):
            return False
        found = self._statistics(group, self._columns.symbol) if symbol is not None else None
        return found is None or found.min <= symbol <= found.max

    def _only_symbol(self, group: int) -> str | None:
        """The symbol of all rows of a row group, where its statistics show that it is one."""
        found = self._statistics(group, self._columns.symbol)
        if found is None or found.min != found.max or not found.has_null_count or found.null_count:
            return None
        return str(found.min)

    def _stamp_statistics(self, group: int) -> tuple[int, int] | None:
        found = self._statistics(group, self._columns.timestamp)
        if found is None:
            return None
        # the raw integers: as objects nanoseconds would be pandas.Timestamp, at the price of importing pandas
        kind, low, high = self._schema.field(self._columns.timestamp).type, int(found.min_raw), int(found.max_raw)
        unit_ns = _DAY_NS if pa.types.is_date(kind) else _UNIT_NS[kind.unit]
        return self._utc(low * unit_ns, fold=0), self._utc(high * unit_ns, fold=1)

    def _utc(self, stamp_ns: int, *, fold: int) -> int:
        """A stored stamp in UTC; `fold` chooses between two where the zone's clocks were set back."""
        if self._zone is None:
            return stamp_ns
        wall = (_EPOCH + timedelta(microseconds=stamp_ns // 1_000)).replace(fold=fold)
        offset = ZoneInfo(self._zone).utcoffset(wall) or timedelta()
        return stamp_ns - offset // timedelta(microseconds=1) * 1_000

    @cached_property
    def _zone(self) -> str | None:
        """The zone of the stamps where that is not UTC."""
        kind = self._schema.field(self._columns.timestamp).type
        naive = pa.types.is_timestamp(kind) and kind.tz is None
        return self._columns.timezone if naive and self._columns.timezone != "UTC" else None

    def _statistics(self, group: int, column: str) -> Any:
        """The footer's statistics of a column in a row group, if it has any with bounds."""
        position = self._positions.get(column)
        if position is None:
            return None
        statistics = self._file.metadata.row_group(group).column(position).statistics
        return statistics if statistics is not None and statistics.has_min_max else None

    @cached_property
    def _positions(self) -> dict[str, int]:
        schema = self._file.metadata.schema
        return {schema.column(i).path: i for i in range(len(schema))}

    def _stamps(self, column: pa.ChunkedArray) -> IntArray:
        name, kind = self._columns.timestamp, column.type
        if column.null_count:
            raise self._bad(f"has {column.null_count} rows without {name}", "bad_values", "fill or remove these rows")
        if pa.types.is_date(kind):
            column, kind = column.cast(pa.timestamp("ms", tz="UTC")), pa.timestamp("ms", tz="UTC")
        elif self._zone is not None:
            import pyarrow.compute as pc

            try:
                column = pc.assume_timezone(column, self._zone)
            except pa.ArrowInvalid as error:  # an hour that the clocks skip or repeat
                raise self._bad(f"{name}: {error}", "bad_stamps", "store the stamps in UTC") from error
        return _numpy(column, np.int64) * _UNIT_NS[kind.unit]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _floats(column: pa.ChunkedArray) -> FloatArray:
    """float64 (n,), NaN where there is no value: the checks of bars tell which bar that is."""
    plain = _NUMPY_TYPES.get(column.type)
    if plain is not None and not column.null_count:
        return _numpy(column, plain).astype(np.float64, copy=False)  # Arrow's cast would first import pyarrow.compute
    if not pa.types.is_float64(column.type):
        column = column.cast(pa.float64())
    if column.null_count:
        column = column.fill_null(arrow_numbers(np.array([np.nan]))[0])
    return _numpy(column, np.float64)


def _numpy(column: pa.ChunkedArray, dtype: Any) -> NDArray[Any]:
    """The values of a column without nulls; no copy where they lie in one piece. (to_numpy would import pandas.)"""
    chunks = [
        np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    if not chunks:
        return np.empty(0, dtype)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
