"""Bars in Parquet files, below a local folder or a file system URI, laid out as a template says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import fs

from barray.data_sources.parquet.catalog import Catalog, Entries, FileEntry
from barray.data_sources.parquet.file import BarFile, Columns, translated
from barray.data_sources.parquet.layout import Layout
from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, ConfigError, DataError, NoDataError, SourceUnavailable, shorten
from barray.market.interval import Interval
from barray.market.series import stamp_daily
from barray.market.symbols import symbol_problem
from barray.market.validation import Coverage, Reason

DEFAULT_LAYOUT = Layout("{symbol}/{interval}/{date}.parquet")
DEFAULT_COLUMNS = Columns()
_HOUR_NS = 3_600 * 1_000_000_000
_DAY_NS = 24 * _HOUR_NS


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files below `root`, a local path or a URI such as `s3://bucket/bars`.

    `layout` is a template (see Layout); `interval` names the bars' interval where the layout doesn't;
    `interval_names` maps the tree's own names (`1Min`) to ours. Nothing is listed or opened until a question needs
    it; each directory is then listed once for the life of the object, so a new session, which gets a new object, sees
    new files.
    """

    root: str
    name: str = "parquet"
    layout: Layout = DEFAULT_LAYOUT
    columns: Columns = DEFAULT_COLUMNS
    interval: Interval | None = None
    interval_names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "{interval}" not in self.layout.template and self.interval is None:
            raise ConfigError(
                f"layout {self.layout.template!r} names no interval",
                source=self.name,
                remedy="give the source's interval",
            )
        for ours in self.interval_names.values():
            Interval.parse(ours)

    def __reduce__(self) -> tuple[object, ...]:
        settings = (self.root, self.name, self.layout, self.columns, self.interval, dict(self.interval_names))
        return ParquetSource, settings  # the settings travel, what was listed stays

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, bool]:
        """See DataSource."""
        return {symbol: bool(self._entries(symbol, sessions)) for symbol in symbols}

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, tuple[Interval, ...]]:
        """See DataSource."""
        return {symbol: tuple(self._entries(symbol, sessions)) for symbol in symbols}

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, days: Sequence[date]
    ) -> dict[str, Coverage]:
        """See DataSource. Days are judged by the files present and, where a file holds more than a day, its footer."""
        return {symbol: self._coverage(symbol, interval, days) for symbol in symbols}

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> dict[str, Reason | None]:
        """See DataSource. Judged by the footer of the session's file: columns, types, rows, first and last stamp."""
        return {symbol: self._session_problem(symbol, interval, session) for symbol in symbols}

    def check_parquet_data(self, symbol: str, interval: Interval, session: Sessions) -> bool:
        """Whether there is a usable file with bars of this one session."""
        return self._session_problem(symbol, interval, session) is None

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        """See DataSource. A day without a file is left out; a file that can't be read raises."""
        entries = self._files(symbol).get(interval, {})
        wanted = {self.layout.period_of(day): None for day in _days(sessions)}
        found = [entries[period] for period in wanted if period in entries]
        if not found:
            raise NoDataError("no file", symbol=symbol, interval=str(interval), source=self.name)
        first_ns, last_ns = int(sessions.open_ns[0]), int(sessions.close_ns[-1])
        if not interval.is_intraday:  # vendors stamp these with some midnight, up to a week before the close
            first_ns, last_ns = first_ns - 8 * _DAY_NS, last_ns + _DAY_NS
        try:
            bars = Bars.concat([self._read(entry, symbol, first_ns, last_ns + interval.ns) for entry in found])
        except BarrayError as error:
            error.symbol, error.interval = symbol, str(interval)
            raise
        return self._in_sessions(bars, interval, sessions)

    @cached_property
    def _filesystem(self) -> tuple[fs.FileSystem, str]:
        if "://" in self.root:
            try:
                filesystem, base = fs.FileSystem.from_uri(self.root)
            except (pa.ArrowException, ValueError) as error:
                raise SourceUnavailable(
                    f"{self.root} is no usable URI: {error}", source=self.name, remedy="correct the source's root"
                ) from error
        else:
            filesystem, base = fs.LocalFileSystem(), os.path.abspath(self.root)
        with translated(self.root, self.name):
            kind = filesystem.get_file_info(base).type
        is_local = isinstance(filesystem, fs.LocalFileSystem)
        if kind == fs.FileType.Directory or (kind == fs.FileType.NotFound and not is_local):
            return filesystem, base.rstrip("/")  # object stores have no directories to find
        what = "does not exist" if kind == fs.FileType.NotFound else "is a file, not a folder"
        raise SourceUnavailable(f"{self.root} {what}", source=self.name, remedy="correct the source's root")

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self.layout, self._list, self.interval, self.interval_names)

    def _list(self, directory: str) -> dict[str, bool]:
        filesystem, base = self._filesystem
        path = f"{base}/{directory}".rstrip("/")
        if isinstance(filesystem, fs.LocalFileSystem):  # five times faster than a FileSelector
            try:
                with translated(path, self.name), os.scandir(path) as found:
                    return {entry.name: entry.is_dir() for entry in found}
            except (NoDataError, SourceUnavailable) as error:
                if isinstance(error, NoDataError) or isinstance(error.__cause__, NotADirectoryError):
                    return {}
                raise
        with translated(path, self.name):
            listed = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return {entry.base_name: entry.type == fs.FileType.Directory for entry in listed}

    def _files(self, symbol: str) -> Entries:
        """Files that are, or may be, the symbol's."""
        if symbol_problem(symbol):
            return {}  # never let such a name near a path
        self._filesystem  # noqa: B018  # raises where the root is missing: that concerns all symbols
        try:
            return self._catalog.entries(symbol if self.layout.has_symbol else None)
        except BarrayError as error:
            error.symbol = symbol
            raise

    def _entries(self, symbol: str, sessions: Sessions) -> Entries:
        """Files that hold the symbol; of many symbols a file, those of the sessions. An unreadable one may hold it."""
        files = self._files(symbol)
        if self.layout.has_symbol:
            return files
        periods = dict.fromkeys(map(self.layout.period_of, _days(sessions)))
        held = {
            interval: {p: entries[p] for p in periods if p in entries and self._looked(entries[p]).may_hold(symbol)}
            for interval, entries in files.items()
        }
        return {interval: entries for interval, entries in held.items() if entries}

    def _looked(self, entry: FileEntry) -> _Look:
        if entry.path not in self._looks:
            try:
                file = self._open(entry)
                symbols = frozenset() if self.layout.has_symbol else file.symbols
                look = _Look(file.stamp_range(), symbols)
            except BarrayError as error:
                look = _Look(problem=Reason.of(error, self.name))
            self._looks[entry.path] = look
        return self._looks[entry.path]

    @cached_property
    def _looks(self) -> dict[str, _Look]:
        return {}

    def _open(self, entry: FileEntry) -> BarFile:
        if entry.is_directory:
            raise DataError(
                f"{entry.path} is a folder, not a file", source=self.name, remedy="remove it", code="unreadable_file"
            )
        filesystem, base = self._filesystem
        file = BarFile(filesystem, f"{base}/{entry.path}", entry.path, self.name, self.columns)
        if not self.layout.has_symbol and not file.has_symbols:
            raise DataError(
                f"{entry.path} has no column {self.columns.symbol}, which a file of many symbols needs",
                source=self.name,
                remedy="name it under columns, or put {symbol} into the layout",
                code="wrong_columns",
            )
        return file

    def _read(self, entry: FileEntry, symbol: str, first_ns: int, last_ns: int) -> Bars:
        file = self._open(entry)
        if self.layout.has_symbol and file.has_symbols and file.symbols != {symbol}:
            others = ", ".join(sorted(str(shorten(str(name))) for name in file.symbols - {symbol})[:3])
            raise DataError(
                f"{entry.path} holds bars of {others}",
                source=self.name,
                remedy="put each symbol into its own file",
                code="other_symbol",
            )
        return file.read(symbol if not self.layout.has_symbol else None, first_ns, last_ns)

    def _in_sessions(self, bars: Bars, interval: Interval, sessions: Sessions) -> Bars:
        """The bars of these sessions, stamped with their start. What else a file holds must not matter."""
        stamps, at_end = bars.start_ns, self.columns.stamp == "end"
        row = np.minimum(np.searchsorted(sessions.close_ns, stamps), len(sessions) - 1)
        open_ns, close_ns = sessions.open_ns[row], sessions.close_ns[row]
        if interval.is_intraday:
            if at_end:
                rest = (close_ns - open_ns) % interval.ns  # the length of a session's last bar, where cut at the close
                stamps = stamps - np.where((stamps == close_ns) & (rest > 0), rest, interval.ns)
            inside = (stamps >= sessions.open_ns[0]) & (stamps < sessions.close_ns[-1])
        else:
            if at_end:  # at the close or a later midnight, in UTC up to 19 h later (New Zealand)
                in_time = stamps < sessions.close_ns[-1] + 20 * _HOUR_NS
                in_session = (stamps > open_ns) & (stamps <= close_ns)
                stamps = np.where(in_session, open_ns, np.where(in_time, stamps - _DAY_NS, stamps))
            stamps = stamp_daily(stamps, interval, sessions)
            inside = np.isin(stamps, sessions.open_ns)
        if stamps is not bars.start_ns:
            bars = Bars(stamps, bars.open, bars.high, bars.low, bars.close, bars.volume)
        return bars if inside.all() else bars.take(inside)

    def _coverage(self, symbol: str, interval: Interval, days: Sequence[date]) -> Coverage:
        files = self._files(symbol).get(interval, {})
        if not self.layout.has_symbol:
            periods = dict.fromkeys(map(self.layout.period_of, days))
            files = {p: files[p] for p in periods if p in files and symbol in self._looked(files[p]).symbols}
        if self.layout.period is None:
            files = {p: entry for p, entry in files.items() if self._looked(entry).stamps}
        if not files:
            return Coverage(None, None, tuple(days))
        (first, _), (_, last) = (self._days_held(files[period], interval) for period in (min(files), max(files)))
        missing = [day for day in days if self.layout.period_of(day) not in files or not first <= day <= last]
        return Coverage(first, last, tuple(missing))

    def _days_held(self, entry: FileEntry, interval: Interval) -> tuple[date, date]:
        """First and last day in a file: by its name where that names a day, else by its footer, if it can be read."""
        if self.layout.period == "date":
            return self.layout.days_of(entry.period)
        look = self._looked(entry)
        return self._days_between(look.stamps, interval) if look.stamps else self.layout.days_of(entry.period)

    def _days_between(self, stamps: tuple[int, int], interval: Interval) -> tuple[date, date]:
        """Days on which bars with these stamps (first and last, UTC ns) lie.

        Stamps of 1d and 1w bars are some midnight, maybe one in Tokyo: there a day too many is better than one too few.
        """
        low, high = stamps
        if not interval.is_intraday:
            shift = _DAY_NS if self.columns.stamp == "end" else 0
            low, high = low - shift, high - shift + _DAY_NS // 2
        first, last = (np.datetime64(ns, "ns").astype("datetime64[D]").item() for ns in (low, high))
        if interval.unit == "w":
            return first - timedelta(days=first.weekday()), last + timedelta(days=6 - last.weekday())
        return first, last

    def _session_problem(self, symbol: str, interval: Interval, session: Sessions) -> Reason | None:
        day = _days(session)[0]
        entry = self._entries(symbol, session).get(interval, {}).get(self.layout.period_of(day))
        if entry is None:
            return Reason("no_session_data", f"has no {interval} bars for {day}", "add the session's data", self.name)
        look = self._looked(entry)
        if look.stamps is None:
            return look.problem
        if interval.is_intraday:
            first_ns, last_ns = int(session.open_ns[0]), int(session.close_ns[0]) + interval.ns
            inside = look.stamps[1] >= first_ns and look.stamps[0] < last_ns
        else:
            first, last = self._days_between(look.stamps, interval)
            inside = first <= day <= last
        if inside:
            return None
        message = f"{entry.path} holds no bar of the session on {day}"
        return Reason("no_session_data", message, "put the session's bars into it", self.name)


@dataclass(frozen=True)
class _Look:
    """What one look at a file told: first and last stamp (UTC ns) and symbols (of a file of many), or what is wrong."""

    stamps: tuple[int, int] | None = None
    symbols: frozenset[str | None] = frozenset()
    problem: Reason | None = None

    def may_hold(self, symbol: str) -> bool:
        """Whether bars of `symbol` are in it; nobody knows of a file that can't be read."""
        return self.problem is not None or symbol in self.symbols


def local_source(root: str | Path) -> ParquetSource:
    """A source over a local folder in the default layout."""
    return ParquetSource(str(root))


def _days(sessions: Sessions) -> list[date]:
    return [stamp.item() for stamp in sessions.dates]
