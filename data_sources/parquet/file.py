"""One Parquet file of bars: its columns checked, and read as NumPy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from barray.data_sources.parquet.tree import translated
from barray.data_sources.parquet.values import floats, numpy_values
from barray.market.arrow_arrays import arrow_texts
from barray.market.bars import COLUMNS, Bars, FloatArray, IntArray
from barray.market.errors import DataError, NoDataError
from barray.market.reason_codes import ReasonCode

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS = 86_400 * 1_000_000_000
_FIRST_NS, _LAST_NS = -120 * 365 * _DAY_NS, 230 * 365 * _DAY_NS
"""Years 1850 to 2200: no arithmetic with stamps between them overflows."""
_FIRST_EPOCH_NS = 365 * _DAY_NS
"""A number of 1971 or later is a stamp in one unit only: the largest in seconds is below the smallest in ms."""
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Columns:
    """Names of the columns in the files. `timezone` is that of stamps stored without one; None refuses them.

    `stamp`: whether a stamp is the bar's `start` or its `end`. `unit`: `s`, `ms`, `us` or `ns`, of stamps stored as
    whole numbers (since 1970, UTC); None tells it by their size. `max_rows`: how many may be read at once, in the row
    groups that bars of a symbol and its sessions lie in; two megabytes can hold more than a machine.
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
    unit: str | None = None
    max_rows: int = 25_000_000

    @property
    def required(self) -> tuple[str, ...]:
        """Columns every file must have, timestamp first."""
        return (self.timestamp, *(getattr(self, name) for name in COLUMNS))


_SMALL_BYTES = 256 * 1024
_GOOD: dict[Columns, pa.Schema] = {}
"""The schema that was found good last: files of one tree have the same."""


class GroupRows(NamedTuple):
    """Rows of many symbols. `codes` (n,): position of each row's symbol in `symbols`; `values`: float64 (n,) by column.

    `stamps`: UTC ns (n,); None where some of them cannot be stamps.
    """

    symbols: list[str | None]
    codes: NDArray[np.integer]
    stamps: IntArray | None
    values: dict[str, FloatArray]


class BarFile:
    """An open file of bars; reading its footer checks that the columns are there and have a usable type.

    DataError where they are not, NoDataError where the file has no rows or is not there, SourceUnavailable where it
    cannot be read.

    `shown` is its path in errors. `footer`: `metadata` of the same file, opened before.
    """

    def __init__(
        self, filesystem: fs.FileSystem, path: str, shown: str, source: str, columns: Columns, footer: Any = None
    ) -> None:
        self._columns, self._shown, self._source = columns, shown, source
        self._filesystem, self._path = filesystem, path
        with translated(shown, source):
            options = {"metadata": footer} if footer is not None else {}
            self._file = pq.ParquetFile(path, filesystem=filesystem, memory_map=False, pre_buffer=False, **options)
            self._schema: pa.Schema = self._file.schema_arrow
            known = _GOOD.get(columns)
            if known is None or not self._schema.equals(known):
                self._check_columns()
                _GOOD[columns] = self._schema
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
        is_stamp = pa.types.is_timestamp(stamp) or pa.types.is_date(stamp) or pa.types.is_integer(stamp)
        if not is_stamp or pa.types.is_uint64(stamp):
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
            if pa.types.is_float16(kind):
                raise self._bad(
                    f"{name} is {kind}, three digits exact: too coarse", "wrong_types", "store it as float64"
                )
        if self.has_symbols and not _is_text(kind := schema.field(columns.symbol).type):
            raise self._bad(f"{columns.symbol} is {kind}, not text", "wrong_types", "store the symbols as strings")

    def _bound(self, groups: Iterable[int]) -> None:
        """DataError where these row groups have more rows than may be read at once: the footer tells, not the size."""
        rows, bound = sum(self._file.metadata.row_group(group).num_rows for group in groups), self._columns.max_rows
        if rows > bound:
            raise self._bad(
                f"has {rows:,} rows to be read at once, the bound is {bound:,}",
                "too_many_rows",
                "write it in smaller files or row groups, sorted by symbol and time, or raise the source's "
                "columns.max_rows",
            )

    def _bad(self, reason: str, code: ReasonCode, remedy: str) -> DataError:
        return DataError(f"{self._shown} {reason}", source=self._source, remedy=remedy, code=code)

    @property
    def metadata(self) -> Any:
        """The footer, as pyarrow has it."""
        return self._file.metadata

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
            self._bound(unclear)
            column = self._dictionaries.read_row_groups(unclear, columns=[name], use_threads=False).column(0)
            return frozenset(known.union(column.unique().to_pylist()))

    def read(self, symbol: str | None, first_ns: int, last_ns: int, columns: Collection[str] = COLUMNS) -> Bars:
        """Bars with stamps from `first_ns` to `last_ns` (UTC ns, both included; row groups outside are skipped, so more
        may come), in file order; of `symbol` alone in a file of many, None where the file names none. Of these columns.
        """
        return self.bars(self.rows(symbol, first_ns, last_ns, columns), columns)

    def rows(self, symbol: str | None, first_ns: int, last_ns: int, columns: Collection[str]) -> pa.Table:
        """The same as they are stored."""
        names = self._names(columns) + ([self._columns.symbol] if symbol is not None else [])
        with translated(self._shown, self._source):
            groups = [
                group
                for group in range(self._file.metadata.num_row_groups)
                if self._overlaps(group, symbol, first_ns, last_ns)
            ]
            self._bound(groups)
            table = self._read_groups(self._file, groups, names)
            if symbol is not None:
                import pyarrow.compute as pc

                table = table.filter(pc.equal(table.column(self._columns.symbol), arrow_texts([symbol])[0]))
            return table

    def bars(self, table: pa.Table, columns: Collection[str]) -> Bars:
        """Bars of rows as they are stored, in this file or in one that is `alike`."""
        with translated(self._shown, self._source):
            return Bars.partial(self._stamps(table.column(self._columns.timestamp)), self._values(table, columns))

    def alike(self, other: BarFile) -> bool:
        """Whether what is stored in both means the same: columns and types are, and the type tells what a stamp is."""
        return self._tells_stamps and bool(self._schema.equals(other._schema))

    @cached_property
    def _tells_stamps(self) -> bool:
        return not pa.types.is_integer(self._schema.field(self._columns.timestamp).type)

    def read_alike(self, filesystem: fs.FileSystem, path: str, columns: Collection[str]) -> pa.Table | None:
        """All rows of another small file as they are stored, opened with as little ado as can be. None where it is not
        alike, names symbols, is no file of one row group, lacks a stamp or can't be read: BarFile tells what it is.
        """
        if self.has_symbols or not self._tells_stamps:
            return None
        reader = pq.core.ParquetReader()
        try:
            file = filesystem.open_input_file(path)
            if file.size() <= _SMALL_BYTES:  # to have columns fetched ahead by other threads takes as long as to read
                reader.open(pa.BufferReader(file.read_buffer()), pre_buffer=False)
            else:
                reader.open(file)
            footer = reader.metadata
            if footer.num_row_groups != 1 or not 0 < footer.num_rows <= self._columns.max_rows:
                return None
            if not reader.schema_arrow.equals(self._schema):
                return None
            table = reader.read_row_groups([0], column_indices=self._places(tuple(columns)), use_threads=False)
        except (pa.ArrowException, OSError, ValueError):
            return None
        return None if self.lacks_stamps(table) else table

    def _places(self, columns: tuple[str, ...]) -> list[int]:
        if columns not in self._placed:
            self._placed[columns] = [self._positions[name] for name in dict.fromkeys(self._names(columns))]
        return self._placed[columns]

    @cached_property
    def _placed(self) -> dict[tuple[str, ...], list[int]]:
        return {}

    def lacks_stamps(self, table: pa.Table) -> bool:
        """Whether one of these rows has none."""
        return bool(table.column(self._columns.timestamp).null_count)

    def again(self) -> BarFile:
        """The same file, for another thread to read."""
        return BarFile(self._filesystem, self._path, self._shown, self._source, self._columns, self.metadata)

    def groups(self, symbols: Collection[str] | None, first_ns: int, last_ns: int) -> list[int]:
        """Row groups of a file of many that may hold bars of these symbols (None: of all) with such stamps.

        DataError where they have more rows than may be read at once.
        """
        found = [
            group
            for group in range(self._file.metadata.num_row_groups)
            if self._overlaps(group, None, first_ns, last_ns) and (symbols is None or self._may_hold(group, symbols))
        ]
        self._bound(found)
        return found

    def read_group(self, group: int, columns: Collection[str]) -> GroupRows:
        """All rows of a row group of a file of many; DataError, SourceUnavailable where it cannot be read."""
        with translated(self._shown, self._source):
            names = [*self._names(columns), self._columns.symbol]
            table = self._read_groups(self._dictionaries, [group], names)
            symbols, codes = _coded(table.column(self._columns.symbol))
            values = self._values(table, columns)
            try:
                stamps = self._stamps(table.column(self._columns.timestamp))
            except DataError:
                stamps = None
        return GroupRows(symbols, codes, stamps, values)

    def _read_groups(self, file: pq.ParquetFile, groups: list[int], names: list[str]) -> pa.Table:
        """These columns of row groups; by their positions, since looking for names takes as long as to read."""
        places = [self._positions[name] for name in dict.fromkeys(names)]
        return file.reader.read_row_groups(groups, column_indices=places, use_threads=False)

    def _names(self, columns: Collection[str]) -> list[str]:
        return [self._columns.timestamp, *(getattr(self._columns, name) for name in columns)]

    def _values(self, table: pa.Table, columns: Collection[str]) -> dict[str, FloatArray]:
        return {name: floats(table.column(getattr(self._columns, name))) for name in columns}

    def stamp_range(self) -> tuple[int, int]:
        """First and last stamp (UTC ns), by the footer's statistics where it has them."""
        with translated(self._shown, self._source):
            ranges = [self._stamp_statistics(group) for group in range(self._file.metadata.num_row_groups)]
            known = [found for found in ranges if found is not None]
            if len(known) == len(ranges):
                return min(low for low, _ in known), max(high for _, high in known)
            name = self._columns.timestamp
            self._bound(range(len(ranges)))
            stamps = self._stamps(self._file.read(columns=[name], use_threads=False).column(0))
            return int(stamps.min()), int(stamps.max())

    def group_stamps(
        self, symbols: Collection[str] | None, first_ns: int, last_ns: int, spans: Callable[[int, int], bool]
    ) -> Iterator[tuple[str | None, IntArray]]:
        """Stamps (UTC ns) of each of the symbols (None: of the file's only one), a row group at a time.

        Row groups outside `first_ns` to `last_ns` are left out. Of one that holds a single symbol, first and last stamp
        are given by the footer, unless something `spans` lies between them: then, as of the others, all are read.
        """
        for group in range(self._file.metadata.num_row_groups):
            known = self._stamp_statistics(group)
            if known is not None and (known[0] > last_ns or known[1] < first_ns):
                continue
            only = self._only_symbol(group) if symbols is not None else None
            if symbols is not None and only is not None and only not in symbols:
                continue
            if known is not None and (symbols is None or only is not None) and not spans(*known):
                yield only, np.array(known, np.int64)
            elif symbols is None or only is not None or self._may_hold(group, symbols):
                yield from self._read_stamps(group, None if symbols is None or only else symbols, only)

    def _may_hold(self, group: int, symbols: Collection[str]) -> bool:
        found = self._statistics(group, self._columns.symbol)
        return found is None or any(found.min <= symbol <= found.max for symbol in symbols)

    def _read_stamps(
        self, group: int, symbols: Collection[str] | None, only: str | None
    ) -> Iterator[tuple[str | None, IntArray]]:
        names = [self._columns.timestamp] + ([self._columns.symbol] if symbols is not None else [])
        with translated(self._shown, self._source):
            self._bound([group])
            file = self._file if symbols is None else self._dictionaries
            table = file.read_row_group(group, columns=names, use_threads=False)
            stamps = self._stamps(table.column(self._columns.timestamp))
            if symbols is None:
                yield only, stamps
                return
            found, codes = _coded(table.column(self._columns.symbol))
        for code, symbol in enumerate(found):
            if symbol in symbols:
                yield symbol, stamps[codes == code]

    @cached_property
    def _dictionaries(self) -> pq.ParquetFile:
        """The file, its symbols to be read as a dictionary: five times faster than as strings."""
        return pq.ParquetFile(
            self._path,
            filesystem=self._filesystem,
            metadata=self._file.metadata,
            pre_buffer=False,
            read_dictionary=[self._columns.symbol],
        )

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
        low, high = int(found.min_raw) * self._unit_ns, int(found.max_raw) * self._unit_ns
        self._reachable(low, high)
        return self._utc(low, fold=0), self._utc(high, fold=1)

    @cached_property
    def _unit_ns(self) -> int:
        """Nanoseconds that a stored stamp counts by."""
        kind = self._schema.field(self._columns.timestamp).type
        if pa.types.is_date(kind):
            return _DAY_NS
        return self._epoch_unit_ns(kind) if pa.types.is_integer(kind) else _UNIT_NS[kind.unit]

    def _epoch_unit_ns(self, kind: pa.DataType) -> int:
        name = self._columns.timestamp
        if self._columns.unit is not None:
            return _UNIT_NS[self._columns.unit]
        groups = [self._statistics(group, name) for group in range(self._file.metadata.num_row_groups)]
        known = [found for found in groups if found is not None]
        if known and len(known) == len(groups):
            low, high = min(int(found.min_raw) for found in known), max(int(found.max_raw) for found in known)
        else:
            numbers = self._whole_numbers(self._file.read(columns=[name], use_threads=False).column(0))
            low, high = int(numbers.min()), int(numbers.max())
        for unit_ns in _UNIT_NS.values():
            if low * unit_ns >= _FIRST_EPOCH_NS and high * unit_ns <= _LAST_NS:
                return unit_ns
        raise self._bad(
            f"{name} is {kind}, not a timestamp: {low} to {high} are no s, ms, us or ns since 1970",
            "wrong_types",
            "store it as timestamp in UTC, or name the source's columns.unit",
        )

    def _reachable(self, low: int, high: int) -> None:
        if low < _FIRST_NS or high > _LAST_NS:
            raise self._bad(
                f"{self._columns.timestamp} reaches beyond the years 1850 to 2200",
                "bad_stamps",
                "see whether the stamps, or the source's columns.unit, are what they should be",
            )

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
        return {".".join(path): i for i, path in enumerate(self._file.reader.column_paths)}

    def _stamps(self, column: pa.ChunkedArray) -> IntArray:
        """UTC ns (n,) of a column as it is stored."""
        name = self._columns.timestamp
        if self._zone is not None:
            import pyarrow.compute as pc

            try:
                column = pc.assume_timezone(column, self._zone)
            except pa.ArrowInvalid as error:  # an hour that the clocks skip or repeat
                raise self._bad(f"{name}: {error}", "bad_stamps", "store the stamps in UTC") from error
        numbers = self._whole_numbers(column)
        if len(numbers):
            self._reachable(int(numbers.min()) * self._unit_ns, int(numbers.max()) * self._unit_ns)
        return numbers * self._unit_ns

    def _whole_numbers(self, column: pa.ChunkedArray) -> IntArray:
        """The stamps as the integers that they are stored as: int64 (n,)."""
        if column.null_count:
            name = self._columns.timestamp
            raise self._bad(f"has {column.null_count} rows without {name}", "bad_values", "fill or remove these rows")
        width = column.type.bit_width
        if pa.types.is_date64(column.type):
            return numpy_values(column, np.int64) // (_DAY_NS // 1_000_000)
        signed = "u" if pa.types.is_unsigned_integer(column.type) else "i"
        return numpy_values(column, np.dtype(f"{signed}{width // 8}")).astype(np.int64, copy=False)


def _coded(texts: pa.ChunkedArray) -> tuple[list[str | None], NDArray[np.integer]]:
    """The distinct texts of a column, None among them, and the position of each row's."""
    if not pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_encode()
    known: list[str | None] = []
    codes: list[NDArray[np.integer]] = []
    for chunk in texts.chunks:
        own = [*chunk.dictionary.to_pylist(), None]
        indices = chunk.indices.fill_null(len(own) - 1) if chunk.null_count else chunk.indices
        found = numpy_values(pa.chunked_array([indices]), indices.type.to_pandas_dtype()).astype(np.int32, copy=False)
        codes.append(found + len(known) if known else found)
        known += own
    return known, codes[0] if len(codes) == 1 else np.concatenate([np.empty(0, np.int32), *codes])


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
