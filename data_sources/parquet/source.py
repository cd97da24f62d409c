"""Bars in Parquet files, below a local folder or a file system URI, laid out as a template says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from barray.data_sources.object_store.store import ObjectStore, is_object_uri
from barray.data_sources.parquet.catalog import Catalog, Entries, FileEntry
from barray.data_sources.parquet.file import BarFile, Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.stamps import sessions_held, starts_of, within
from barray.data_sources.parquet.tree import State, Tree
from barray.market.bars import COLUMNS, Bars, IntArray, Prices
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, ConfigError, DataError, NoDataError, SourceUnavailable, shorten
from barray.market.interval import Interval
from barray.market.series import daily_labels
from barray.market.symbols import symbol_problem
from barray.market.validation import Coverage, Reason

DEFAULT_LAYOUT = Layout("{symbol}/{interval}/{date}.parquet")
DEFAULT_COLUMNS = Columns()
_DAY_NS = 86_400 * 1_000_000_000
_EXAMPLES = 8
"""Symbols that are listed to see how files are called."""
Held = dict[str, NDArray[np.bool_]]
"""By symbol, of some sessions: which it has bars in, bool (n_sessions,)."""


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files below `root`, a local path or a URI such as `s3://bucket/bars`.

    `layout` is a template (see Layout); `interval` names the bars' interval where the layout doesn't;
    `interval_names` maps the tree's own names (`1Min`) to ours. `prices`: `any` lets them be zero and negative. Nothing
    is listed or opened until a question needs it; each directory is then listed once for the life of the object, so a
    new session, which gets a new object, sees new files. ConfigError where neither layout nor `interval` says which
    bars they are, and for a URI that can't be meant.
    """

    root: str
    name: str = "parquet"
    layout: Layout = DEFAULT_LAYOUT
    columns: Columns = DEFAULT_COLUMNS
    interval: Interval | None = None
    interval_names: Mapping[str, str] = field(default_factory=dict)
    prices: Prices = "positive"

    def __post_init__(self) -> None:
        if "{interval}" not in self.layout.template and self.interval is None:
            raise ConfigError(
                f"layout {self.layout.template!r} names no interval",
                source=self.name,
                remedy="give the source's interval",
            )
        for ours in self.interval_names.values():
            Interval.parse(ours)
        if is_object_uri(self.root):
            ObjectStore(self.root, self.name)

    def __reduce__(self) -> tuple[object, ...]:
        names = dict(self.interval_names)
        settings = (self.root, self.name, self.layout, self.columns, self.interval, names, self.prices)
        return ParquetSource, settings  # the settings travel, what was listed stays

    def unopened(self) -> ParquetSource:
        """The same with what was listed, and without what was read of files, which may be others by now."""
        other = replace(self)
        if "_catalog" in self.__dict__:
            other.__dict__["_catalog"] = self._catalog
        return other

    @property
    def copied(self) -> bool:
        """Whether the node that reads a symbol keeps copies of its files."""
        return is_object_uri(self.root) and self.layout.has_symbol

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, bool]:
        """See DataSource. DataError where no file of the tree fits the layout."""
        found = {symbol: bool(self._entries(symbol, sessions)) for symbol in symbols}
        if not any(found.values()) and (path := self._catalog.misfit()):
            raise DataError(
                f"no file found below {self.root} fits the layout {self.layout.template}; there is {path}, for example",
                source=self.name,
                remedy="write the source's layout as the files lie, and its interval_names as the tree calls them",
                code="layout_misfit",
            )
        return found

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, tuple[Interval, ...]]:
        """See DataSource."""
        return {symbol: tuple(self._entries(symbol, sessions)) for symbol in symbols}

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> dict[str, Coverage]:
        """See DataSource. Judged by the names of files that hold a day each, by the stamps in larger ones."""
        judged = self._named if self.layout.period == "date" else self._held
        held = judged(symbols, interval, sessions)
        return {symbol: self._coverage(symbol, interval, sessions, held[symbol]) for symbol in symbols}

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> dict[str, Reason | None]:
        """See DataSource. Judged by the file's footer, and by the stamps in it where the footer doesn't tell."""
        problems = {symbol: self._file_problem(symbol, interval, session) for symbol in symbols}
        readable = [symbol for symbol, problem in problems.items() if problem is None]
        for symbol, held in self._held(readable, interval, session).items():
            if not held.any():
                [day] = _days(session)
                path = self._entries(symbol, session)[interval][self.layout.period_of(day)].path
                message = f"{path} holds no bar of the session on {day}"
                problems[symbol] = Reason("no_session_data", message, "put the session's bars into it", self.name)
        return problems

    def check_parquet_data(self, symbol: str, interval: Interval, session: Sessions) -> bool:
        """Whether there is a usable file with bars of this one session."""
        return self.session_problems([symbol], interval, session)[symbol] is None

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        """See DataSource. A day without a file is left out; NoDataError if none has one, DataError for a bad file."""
        return self.read_columns(symbol, interval, sessions, COLUMNS)

    def read_columns(self, symbol: str, interval: Interval, sessions: Sessions, columns: Collection[str]) -> Bars:
        """The same of these columns alone, the others NaN. NoDataError, DataError and SourceUnavailable as there."""
        found = self._wanted(symbol, interval, sessions)
        if not found:
            raise NoDataError("no file", symbol=symbol, interval=str(interval), source=self.name)
        try:
            bounds = reach(interval, sessions)
            bars = self._read_together(found, *bounds, columns)
            if bars is None:
                bars = Bars.concat([self._read(entry, symbol, *bounds, columns) for entry in found], columns)
            starts = starts_of(bars.start_ns, interval, sessions, at_end=self.columns.stamp == "end")
        except BarrayError as error:
            self._tell_of(error, symbol, interval)
            raise
        if starts is not bars.start_ns:
            bars = replace(bars, start_ns=starts)
        inside = within(starts, interval, sessions)  # what else a file holds must not matter
        return bars if inside.all() else bars.take(inside)

    def symbols(self) -> set[str]:
        """Those that files or folders of a layout with {symbol} are named for."""
        return {symbol for symbol in self._catalog.symbols() if not symbol_problem(symbol)}

    def shared_intervals(self) -> tuple[Interval, ...]:
        """Intervals that files of many symbols hold, finest first; SourceUnavailable where the root is missing."""
        self._tree.place  # noqa: B018
        return tuple(self._catalog.entries(None))

    def shared_files(self, interval: Interval, sessions: Sessions) -> list[list[BarFile]]:
        """Files of many symbols that may hold bars of these sessions, oldest first; each is given as its parts.

        NoDataError if there are none, DataError for a bad one, SourceUnavailable for one that can't be reached.
        """
        self._tree.place  # noqa: B018  # raises where the root is missing
        try:
            entries = self._catalog.entries(None).get(interval, {})
            periods = dict.fromkeys(map(self.layout.period_of, _days(sessions)))
            files = [self.open(entries[period]) for period in periods if period in entries]
            if not files:
                raise NoDataError("no file")
        except BarrayError as error:
            error.interval, error.source = str(interval), self.name
            raise
        return files

    def stated(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, list[State]]:
        """How the files stand that may hold bars of these sessions: by symbol, or by path where a file holds many.

        A symbol whose files can't be told has none. SourceUnavailable where the tree can't be reached.
        """
        periods = set(map(self.layout.period_of, _days(sessions)))
        found: dict[str, list[State]] = {}
        for symbol in symbols if self.layout.has_symbol else symbols[:1]:
            with suppress(ConfigError, DataError):
                places = [file for held in self._files(symbol).values() for file in held.values()]
                paths = [path for file in places if file.period in periods for path in file.paths]
                found[symbol] = self._tree.stated(sorted(paths))
        if self.layout.has_symbol:
            return found
        return {one.path: [one] for states in found.values() for one in states}

    def _tell_of(self, error: BarrayError, symbol: str, interval: Interval) -> None:
        error.symbol, error.interval, error.source = symbol, str(interval), self.name

    @cached_property
    def _tree(self) -> Tree:
        return Tree(self.root, self.name)

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self.layout, self._tree.names, self.interval, self.interval_names)

    def _files(self, symbol: str) -> Entries:
        """Files that are, or may be, the symbol's."""
        if symbol_problem(symbol):
            return {}  # never let such a name near a path
        self._tree.place  # noqa: B018  # raises where the root is missing: that concerns all symbols
        try:
            return self._catalog.entries(symbol if self.layout.has_symbol else None)
        except BarrayError as error:
            error.symbol, error.source = symbol, self.name
            raise

    def places(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> tuple[Callable[[str], Sequence[FileEntry]], BarFile] | None:
        """Says where the files of these sessions lie for a symbol if they are called as another's, and gives such a
        file. None where none of the first symbols has them all, or where only listing tells.
        """
        periods = set(map(self.layout.period_of, _days(sessions)))
        for symbol in symbols[:_EXAMPLES]:
            with suppress(BarrayError):  # it is told when the symbol itself is read
                known = self._wanted(symbol, interval, sessions)
                likes = [like for entry in known if (like := self._catalog.like(entry))]
                if len(likes) == len(periods):
                    [example] = self.open(known[0])
                    return partial(_places, tuple(likes)), example
        return None

    def stored(
        self, entries: Sequence[FileEntry], example: BarFile, first_ns: int, last_ns: int, columns: Collection[str]
    ) -> list[pa.Table]:
        """The rows of a symbol's files as they are stored, see BarFile; none where one isn't made as the example is.

        DataError, NoDataError, SourceUnavailable where one is bad, or isn't there.
        """
        tables: list[pa.Table] = []
        for entry in entries:
            table = example.read_alike(*self._tree.readable(entry.path), columns)
            if table is None:
                [file] = self.open(entry)
                if file.has_symbols or not file.alike(example):
                    return []
                table = file.rows(None, first_ns, last_ns, columns)
                if file.lacks_stamps(table):
                    return []
            tables.append(table)
        return tables

    def _wanted(self, symbol: str, interval: Interval, sessions: Sessions) -> Sequence[FileEntry]:
        """The files that may hold bars of these sessions, oldest first."""
        entries = self._files(symbol).get(interval, {})
        periods = dict.fromkeys(map(self.layout.period_of, _days(sessions)))
        return [entries[period] for period in periods if period in entries]

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
                files = self.open(entry)
                symbols = frozenset() if self.layout.has_symbol else frozenset().union(*(f.symbols for f in files))
                ranges = [file.stamp_range() for file in files]
                span = min(low for low, _ in ranges), max(high for _, high in ranges)
                look = _Look(span, symbols, tuple(file.metadata for file in files))
            except BarrayError as error:
                if isinstance(error, SourceUnavailable) and self._tree.is_remote:
                    raise  # of all files, not of this one
                look = _Look(problem=Reason.of(error, self.name))
            self._looks[entry.path] = look
        return self._looks[entry.path]

    @cached_property
    def _looks(self) -> dict[str, _Look]:
        return {}

    def open(self, entry: FileEntry) -> list[BarFile]:
        """The file, or its parts; a footer that was read is not read again.

        DataError, NoDataError, SourceUnavailable where one is bad, or isn't there.
        """
        look = self._looks.get(entry.path)
        footers = look.footers if look and look.footers else (None,) * len(entry.paths)
        return [
            self._open_part(path, footer, is_directory=path in entry.directories)
            for path, footer in zip(entry.paths, footers, strict=True)
        ]

    def _open_part(self, path: str, footer: Any, *, is_directory: bool) -> BarFile:
        if is_directory:
            raise self._folder(path)
        file = BarFile(*self._tree.readable(path), path, self.name, self.columns, footer)
        if not self.layout.has_symbol and not file.has_symbols:
            raise DataError(
                f"{path} has no column {self.columns.symbol}, which a file of many symbols needs",
                source=self.name,
                remedy="name it under columns, or put {symbol} into the layout",
                code="wrong_columns",
            )
        return file

    def _folder(self, path: str) -> DataError:
        """What to say of a folder where the layout has a file: writers of several parts make one."""
        held = sorted(self._tree.names(f"{path}/"))
        what = f"with {held[0]} in it" if held else "with nothing in it"
        remedy = f"write the source's layout as {self.layout.template}/*.parquet" if held else "remove it"
        return DataError(f"{path} is a folder {what}, not a file", source=self.name, remedy=remedy, code="is_folder")

    def _read_together(
        self, entries: Sequence[FileEntry], first_ns: int, last_ns: int, columns: Collection[str]
    ) -> Bars | None:
        """Bars of a symbol's files, their rows made one table first, which is less work where they are small. None
        where each has to be read by itself: they are not made alike, or one is at fault, and has to be told of.
        """
        if not self.layout.has_symbol or self.layout.has_parts or len(entries) == 1:
            return None
        with suppress(DataError, NoDataError):
            [example] = self.open(entries[0])
            tables = self.stored(entries, example, first_ns, last_ns, columns)
            return example.bars(pa.concat_tables(tables).combine_chunks(), columns) if tables else None
        return None

    def _read(self, entry: FileEntry, symbol: str, first_ns: int, last_ns: int, columns: Collection[str]) -> Bars:
        files = self.open(entry)
        for path, file in zip(entry.paths, files, strict=True):
            if self.layout.has_symbol and file.has_symbols and file.symbols != {symbol}:
                others = ", ".join(sorted(str(shorten(str(name))) for name in file.symbols - {symbol})[:3])
                raise DataError(
                    f"{path} holds bars of {others}",
                    source=self.name,
                    remedy="put each symbol into its own file",
                    code="other_symbol",
                )
        only = symbol if not self.layout.has_symbol else None
        bars = Bars.concat([file.read(only, first_ns, last_ns, columns) for file in files], columns)
        # the parts of a file have no order among themselves
        return bars.take(np.argsort(bars.start_ns, kind="stable")) if len(files) > 1 else bars

    def _named(self, symbols: Sequence[str], interval: Interval, sessions: Sessions) -> Held:
        """Sessions held, by the names of files that hold a day each, and the symbols in those of many."""
        periods = [self.layout.period_of(day) for day in _days(sessions)]
        entries = {symbol: self._entries(symbol, sessions).get(interval, {}) for symbol in symbols}
        return {symbol: np.array([p in entries[symbol] for p in periods], np.bool_) for symbol in symbols}

    def _held(self, symbols: Sequence[str], interval: Interval, sessions: Sessions) -> Held:
        """Sessions held, by the stamps in the files; of a file that can't be read nobody knows that it holds none."""
        held = {symbol: np.zeros(len(sessions), np.bool_) for symbol in symbols}
        sharing: defaultdict[FileEntry, list[str]] = defaultdict(list)
        for symbol in symbols if len(sessions) else ():
            for entry in self._wanted(symbol, interval, sessions):
                sharing[entry].append(symbol)
        for entry, some in sharing.items():
            if self._looked(entry).problem is None:
                for symbol, stamps in self._stamps(entry, some, interval, sessions):
                    held[symbol][self._rows(symbol, stamps, interval, sessions)] = True
            elif self.layout.period is not None:
                named = np.array([self.layout.period_of(day) == entry.period for day in _days(sessions)])
                for symbol in some:
                    held[symbol] |= named
        return held

    def _stamps(
        self, entry: FileEntry, symbols: list[str], interval: Interval, sessions: Sessions
    ) -> list[tuple[str, IntArray]]:
        """Stamps of the symbols in the file: enough of them to tell which of the sessions are held."""
        at_end = self.columns.stamp == "end"

        def spans(low: int, high: int) -> bool:
            if not interval.is_intraday:
                return True
            after = sessions.open_ns >= low if at_end else sessions.open_ns > low
            before = sessions.close_ns < high if at_end else sessions.close_ns <= high
            return bool((after & before).any())

        whole = self._looked(entry).stamps
        if self.layout.has_symbol and whole and not spans(*whole):
            return [(symbols[0], np.array(whole, np.int64))]
        asked = None if self.layout.has_symbol else frozenset(symbols)
        return [
            (symbol or symbols[0], stamps)
            for file in self.open(entry)
            for symbol, stamps in file.group_stamps(asked, *reach(interval, sessions), spans)
        ]

    def _rows(self, symbol: str, stamps: IntArray, interval: Interval, sessions: Sessions) -> NDArray[np.intp]:
        try:
            starts = starts_of(stamps, interval, sessions, at_end=self.columns.stamp == "end")
        except BarrayError as error:
            self._tell_of(error, symbol, interval)
            raise
        if interval.unit == "w":  # a week's bar starts with the week's first session
            return np.flatnonzero(np.isin(sessions.week, sessions.week[sessions_held(starts, sessions)]))
        return sessions_held(starts, sessions)

    def _coverage(self, symbol: str, interval: Interval, sessions: Sessions, held: NDArray[np.bool_]) -> Coverage:
        files = self._files(symbol).get(interval, {})
        if not self.layout.has_symbol:
            periods = dict.fromkeys(map(self.layout.period_of, _days(sessions)))
            files = {p: files[p] for p in periods if p in files and symbol in self._looked(files[p]).symbols}
        if self.layout.period is None:
            files = {p: entry for p, entry in files.items() if self._looked(entry).stamps}
        missing = tuple(day for day, is_held in zip(_days(sessions), held.tolist(), strict=True) if not is_held)
        if not files:
            return Coverage(None, None, missing)
        spans = [self._days_held(files[period], interval, sessions) for period in (min(files), max(files))]
        return Coverage(spans[0][0], spans[1][1], missing)

    def _days_held(self, entry: FileEntry, interval: Interval, sessions: Sessions) -> tuple[date, date]:
        """First and last day in a file: by its name where that names a day, else by its footer, if it can be read."""
        if self.layout.period == "date":
            return self.layout.days_of(entry.period)
        stamps = self._looked(entry).stamps
        if stamps is None:
            return self.layout.days_of(entry.period)
        low, high = stamps
        if interval.is_intraday:
            first, last = (np.datetime64(ns, "ns").astype("datetime64[D]").item() for ns in (low, high))
            return first, last
        shift = _DAY_NS if self.columns.stamp == "end" else 0
        first, last = daily_labels(np.array([low - shift, high - shift], np.int64), sessions).tolist()
        if interval.unit == "w":
            return first - timedelta(days=first.weekday()), last + timedelta(days=6 - last.weekday())
        return first, last

    def _file_problem(self, symbol: str, interval: Interval, session: Sessions) -> Reason | None:
        """Why the session's file can't be used, judged by its footer."""
        [day] = _days(session)
        entry = self._entries(symbol, session).get(interval, {}).get(self.layout.period_of(day))
        if entry is None:
            return Reason("no_session_data", f"has no {interval} bars for {day}", "add the session's data", self.name)
        return self._looked(entry).problem


@dataclass(frozen=True)
class _Look:
    """What one look at a file told: first and last stamp (UTC ns), symbols (of a file of many) and the footers of its
    parts; or what is wrong.
    """

    stamps: tuple[int, int] | None = None
    symbols: frozenset[str | None] = frozenset()
    footers: tuple[Any, ...] = ()
    problem: Reason | None = None

    def may_hold(self, symbol: str) -> bool:
        """Whether bars of `symbol` are in it; nobody knows of a file that can't be read."""
        return self.problem is not None or symbol in self.symbols


def _places(likes: Sequence[Callable[[str], FileEntry]], symbol: str) -> list[FileEntry]:
    return [] if symbol_problem(symbol) else [like(symbol) for like in likes]


def _days(sessions: Sessions) -> list[date]:
    return [stamp.item() for stamp in sessions.dates]


def reach(interval: Interval, sessions: Sessions) -> tuple[int, int]:
    """First and last stamp (UTC ns) that bars of these sessions may have."""
    first_ns, last_ns = int(sessions.open_ns[0]), int(sessions.close_ns[-1]) + interval.ns
    if interval.is_intraday:
        return first_ns, last_ns
    return first_ns - 8 * _DAY_NS, last_ns + _DAY_NS  # vendors stamp these with some midnight, up to a week before
