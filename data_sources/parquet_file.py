"""One Parquet file of bars: its columns checked and read as NumPy, without pandas ever being imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from market.bars import COLUMNS, Bars, FloatArray, IntArray
from market.errors import DataError, NoDataError, SourceUnavailable

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


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
    """Turn what pyarrow and the file system raise into our errors, naming the file."""
    try:
        yield
    except PermissionError as error:
        raise SourceUnavailable(
            f"no permission to read {path}", source=source, mend="allow this user to read it"
        ) from error
    except FileNotFoundError as error:
        raise NoDataError(f"{path} does not exist", source=source, mend="add the file") from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(
            f"{path} is no readable Parquet file: {reason}",
            source=source,
            mend="write it again",
            code="unreadable_file",
        ) from error
    except OSError as error:
        reason = str(error).splitlines()[0][:200]
        if "Parquet" in reason or "Corrupt" in reason or "Unexpected end of stream" in reason:
            raise DataError(
                f"{path} is corrupt: {reason}", source=source, mend="write it again", code="unreadable_file"
            ) from error
        raise SourceUnavailable(f"{path} cannot be read: {reason}", source=source) from error


class BarFile:
    """An open file of bars; reading its footer checks that the columns are there and have a usable type."""

    def __init__(self, filesystem: fs.FileSystem, path: str, shown: str, source: str, columns: Columns) -> None:
        self._columns, self._shown, self._source = columns, shown, source
        with translated(shown, source):
            self._file = pq.ParquetFile(path, filesystem=filesystem, memory_map=False, pre_buffer=False)
        schema = self._file.schema_arrow
        missing = [name for name in columns.required if schema.get_field_index(name) < 0]
        if missing:
            raise self._bad(
                f"lacks {', '.join(missing)} among its columns {', '.join(schema.names)}",
                "wrong_columns",
                "map the names under the source's columns, or write the file again",
            )
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
        if self._file.metadata.num_rows == 0:
            raise NoDataError(
                f"{shown} has no rows", source=source, mend="write its bars, or remove it", code="empty_file"
            )

    def _bad(self, reason: str, code: str, mend: str) -> DataError:
        return DataError(f"{self._shown} {reason}", source=self._source, mend=mend, code=code)

    @property
    def has_symbols(self) -> bool:
        """Whether a symbol column is there."""
        return bool(self._file.schema_arrow.get_field_index(self._columns.symbol) >= 0)

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The distinct symbols in the file's symbol column."""
        with translated(self._shown, self._source):
            column = self._file.read(columns=[self._columns.symbol], use_threads=False).column(0)
            return frozenset(column.unique().to_pylist())

    def read(self, symbol: str | None, first_ns: int, last_ns: int) -> Bars:
        """Bars with stamps from `first_ns` to `last_ns` (UTC ns, both included; row groups outside are skipped, so more
        may come), in file order; of `symbol` alone in a file of many, None where the file names none.
        """
        groups = [
            index
            for index in range(self._file.metadata.num_row_groups)
            if self._overlaps(index, symbol, first_ns, last_ns)
        ]
        names = list(self._columns.required) + ([self._columns.symbol] if symbol is not None else [])
        with translated(self._shown, self._source):
            table = self._file.read_row_groups(groups, columns=names, use_threads=False)
            rows: NDArray[np.bool_] | slice = slice(None)
            if symbol is not None:
                rows = _equal(table.column(self._columns.symbol), symbol)
            return Bars(
                self._stamps(table.column(self._columns.timestamp))[rows],
                *(self._floats(table, getattr(self._columns, name))[rows] for name in COLUMNS),
            )

    def stamp_range(self) -> tuple[int, int] | None:
        """First and last stamp by the footer's statistics (UTC ns); None where the file has none."""
        ranges = [self._statistics(i, self._columns.timestamp) for i in range(self._file.metadata.num_row_groups)]
        known = [found for found in ranges if found is not None]
        if len(known) < len(ranges) or not known:
            return None
        return _ns(min(low for low, _ in known)), _ns(max(high for _, high in known))

    def _overlaps(self, group: int, symbol: str | None, first_ns: int, last_ns: int) -> bool:
        stamps = self._statistics(group, self._columns.timestamp)
        in_utc = self._columns.timezone in (None, "UTC")
        if stamps is not None and in_utc and (_ns(stamps[0]) > last_ns or _ns(stamps[1]) < first_ns):
            return False
        names = self._statistics(group, self._columns.symbol) if symbol is not None else None
        return names is None or names[0] <= symbol <= names[1]

    def _statistics(self, group: int, column: str) -> tuple[Any, Any] | None:
        position = self._positions.get(column)
        if position is None:
            return None
        statistics = self._file.metadata.row_group(group).column(position).statistics
        return (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else None

    @cached_property
    def _positions(self) -> dict[str, int]:
        schema = self._file.metadata.schema
        return {schema.column(i).path: i for i in range(len(schema))}

    def _stamps(self, column: pa.ChunkedArray) -> IntArray:
        kind = column.type
        if pa.types.is_date(kind):
            column, kind = column.cast(pa.timestamp("ms", tz="UTC")), pa.timestamp("ms", tz="UTC")
        elif kind.tz is None and self._columns.timezone not in (None, "UTC"):
            import pyarrow.compute as pc

            column = pc.assume_timezone(column, self._columns.timezone)
        return self._numpy(column, np.int64, self._columns.timestamp) * _UNIT_NS[kind.unit]

    def _floats(self, table: pa.Table, name: str) -> FloatArray:
        column = table.column(name)
        return self._numpy(column if pa.types.is_float64(column.type) else column.cast(pa.float64()), np.float64, name)

    def _numpy(self, column: pa.ChunkedArray, dtype: Any, name: str) -> NDArray[Any]:
        """The values without a copy where they lie in one piece. (pyarrow's to_numpy would import pandas.)"""
        if column.null_count:
            raise self._bad(f"has {column.null_count} rows without {name}", "bad_values", "fill or remove these rows")
        chunks = [
            np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
            for chunk in column.chunks
            if len(chunk)
        ]
        if not chunks:
            return np.empty(0, dtype)
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _equal(column: pa.ChunkedArray, symbol: str) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    mask = pc.equal(column, symbol).cast(pa.uint8()).fill_null(0)
    parts = [np.frombuffer(c.buffers()[1], np.uint8)[c.offset : c.offset + len(c)] for c in mask.chunks if len(c)]
    return (np.concatenate(parts) if parts else np.empty(0, np.uint8)).astype(np.bool_)


def _ns(value: Any) -> int:
    """A statistics value (aware or naive datetime in UTC, date, or integer nanoseconds) as UTC nanoseconds."""
    return int(np.datetime64(value.replace(tzinfo=None) if hasattr(value, "tzinfo") else value, "ns").astype(np.int64))
