"""Bars fetched from a vendor, kept in Parquet files, with a record of which ranges are known.

    ROOT/alpaca-iex-raw/AAPL/1m/2024-07.parquet      rows sorted, one a stamp
    ROOT/alpaca-iex-raw/AAPL/1m/manifest.json        what was fetched when

Missing minutes are normal, so what is known can't be read off the rows: the manifest says it. A range is recorded after
its rows are on the disk; a crash between the two costs a fetch, never a bar. Any Parquet reader can read the files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field, replace
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from barray.data_sources.atomic_file import replacing
from barray.data_sources.fetching.ranges import Range, subtracted
from barray.data_sources.fetching.vendor import Dataset
from barray.data_sources.parquet.file import BarFile, Columns
from barray.data_sources.parquet.layout import Layout
from barray.market.arrow_arrays import arrow_numbers
from barray.market.bars import COLUMNS, Bars, check_order, check_values, format_ns, parse_ns
from barray.market.calendar import local_ns
from barray.market.errors import ConfigError, DataError
from barray.market.interval import NS_PER_DAY, NS_PER_SECOND, Interval
from barray.market.symbols import symbol_problem

STORE_LAYOUT = Layout("{symbol}/{interval}/{month}.parquet")
_VERSION = 1
_STAMPS = ("start", "end", "fetched_at")
_MANIFEST = "manifest.json"
_LOCK = ".lock"
_STAMP = pa.timestamp("ns", tz="UTC")
EXCHANGE = ZoneInfo("America/New_York")
"""Whose months the files are named by: a session's late hours belong to its own day."""


@dataclass(frozen=True)
class Fetched:
    """A range `[start_ns, end_ns)` that is known, and when it was fetched; UTC nanoseconds."""

    start_ns: int
    end_ns: int
    fetched_ns: int


@dataclass(frozen=True)
class BarStore:
    """The bars of one dataset below `root`, a local folder. Processes and threads may share it: writes take turns.

    Every method raises ConfigError where the folder can't be used, and DataError where what it holds can't be right.
    """

    root: Path
    dataset: Dataset

    @property
    def folder(self) -> Path:
        """The dataset's folder: a tree of Parquet files in `STORE_LAYOUT`."""
        return self.root / self.dataset.folder

    def fetched(self, symbol: str, interval: Interval) -> tuple[Fetched, ...]:
        """What is known of a symbol's bars, oldest first; ranges neither overlap nor, of one day's fetching, touch."""
        place = self._place(symbol, interval)
        return _Manifest.read(place / _MANIFEST, symbol, interval).checked(place).fetched

    def missing(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> list[Range]:
        """What of `[start_ns, end_ns)` is not known yet, in order. A file that was removed or cut is not known."""
        known = ((entry.start_ns, entry.end_ns) for entry in self.fetched(symbol, interval))
        return subtracted((start_ns, end_ns), known)

    def write(self, symbol: str, interval: Interval, start_ns: int, end_ns: int, bars: Bars, fetched_ns: int) -> None:
        """See DatasetStore."""
        self._check(symbol, interval, start_ns, bars)
        last_ns = max(end_ns, int(bars.start_ns[-1]) + 1) if len(bars) else end_ns
        place = self._place(symbol, interval)
        with self._turn(place):
            manifest = _Manifest.read(place / _MANIFEST, symbol, interval).checked(place)
            sizes = dict(manifest.sizes)
            for month in _months(start_ns, last_ns):
                path = place / f"{month}.parquet"
                first, last = _span(month)
                old = self._month(path, symbol, interval) if month in sizes else Bars.empty()
                kept = old.take((old.start_ns < start_ns) | (old.start_ns >= last_ns))
                new = bars.take((bars.start_ns >= first) & (bars.start_ns < last))
                if not len(new) and len(kept) == len(old):
                    continue
                whole = Bars.concat([kept, new])
                if len(whole):
                    sizes[month] = _write(path, whole)
                else:
                    path.unlink()
                    del sizes[month]
            manifest.adding(Fetched(start_ns, end_ns, fetched_ns), sizes).write(place / _MANIFEST, self.dataset)

    def holds(self, symbol: str, interval: Interval) -> bool:
        """Whether there are any of its bars."""
        place = self._place(symbol, interval)
        return bool(_Manifest.read(place / _MANIFEST, symbol, interval).checked(place).sizes)

    def forget(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> None:
        """See DatasetStore."""
        place = self._place(symbol, interval)
        with self._turn(place):
            manifest = _Manifest.read(place / _MANIFEST, symbol, interval).checked(place)
            left = manifest.without((start_ns, end_ns))
            if left != manifest:
                left.write(place / _MANIFEST, self.dataset)

    def read(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> Bars:
        """The bars that start in `[start_ns, end_ns)`, oldest first; known or not."""
        place = self._place(symbol, interval)
        paths = [place / f"{month}.parquet" for month in _months(start_ns, end_ns)]
        bars = Bars.concat([self._month(path, symbol, interval) for path in paths if path.exists()])
        return bars.take((bars.start_ns >= start_ns) & (bars.start_ns < end_ns))

    def _place(self, symbol: str, interval: Interval) -> Path:
        if problem := symbol_problem(symbol):
            raise ConfigError(problem, symbol=symbol, source=self.dataset.vendor)
        return self.folder / symbol / str(interval)

    def _month(self, path: Path, symbol: str, interval: Interval) -> Bars:
        shown = str(path)
        try:
            file = BarFile(fs.LocalFileSystem(), shown, shown, self.dataset.vendor, Columns())
            return file.read(None, *file.stamp_range())
        except DataError as error:
            remedy = f"remove {path}: it will be fetched again"
            raise DataError(
                error.reason,
                symbol=symbol,
                interval=str(interval),
                source=self.dataset.vendor,
                remedy=remedy,
                code=error.code,
            ) from error

    def _check(self, symbol: str, interval: Interval, start_ns: int, bars: Bars) -> None:
        text, source = str(interval), self.dataset.vendor
        check_order(bars.start_ns, symbol=symbol, interval=text, source=source)
        check_values(bars, symbol=symbol, interval=text, source=source)
        if len(bars) and bars.start_ns[0] < start_ns:
            raise DataError(
                f"the first bar, at {format_ns(bars.start_ns[0])}, is before the range from {format_ns(start_ns)}",
                symbol=symbol,
                interval=text,
                source=source,
            )

    @contextmanager
    def _turn(self, place: Path) -> Iterator[None]:
        try:
            place.mkdir(parents=True, exist_ok=True)
            lock = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigError(
                f"cannot write below {place}: {error.strerror}",
                source=self.dataset.vendor,
                remedy="give the source a store that can be written to",
                code="cannot_write",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


@dataclass(frozen=True)
class _Manifest:
    """What is known of one symbol's bars. `sizes`: bytes of each month's file as it was written."""

    symbol: str
    interval: Interval
    fetched: tuple[Fetched, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, symbol: str, interval: Interval) -> _Manifest:
        """Read a manifest; an empty one where there is no file, DataError where it can't be read as one."""
        try:
            held = orjson.loads(path.read_bytes())
            fetched = tuple(Fetched(*(parse_ns(entry[name]) for name in _STAMPS)) for entry in held["fetched"])
            sizes = {str(month): int(size) for month, size in held["files"].items()}
            if held["version"] != _VERSION:
                raise ValueError(f"its version is {held['version']!r}")
        except (FileNotFoundError, NotADirectoryError):
            return cls(symbol, interval)
        except OSError as error:
            raise ConfigError(
                f"cannot read {path}: {error.strerror}",
                remedy="give the source a store of your own",
                code="cannot_read",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} is no manifest: {error}",
                symbol=symbol,
                interval=str(interval),
                remedy=f"remove {path.parent}: its bars will be fetched again",
                code="bad_manifest",
            ) from error
        return cls(symbol, interval, fetched, sizes)

    def checked(self, place: Path) -> _Manifest:
        """The manifest without the months whose file isn't the one that was written: nothing of them is known now."""
        whole = {month: size for month, size in self.sizes.items() if _size(place / f"{month}.parquet") == size}
        lost = [_span(month) for month in self.sizes.keys() - whole.keys()]
        return replace(self.without(*lost), sizes=whole)

    def without(self, *lost: Range) -> _Manifest:
        """The manifest with nothing known of these ranges."""
        fetched = tuple(
            Fetched(start, end, entry.fetched_ns)
            for entry in self.fetched
            for start, end in subtracted((entry.start_ns, entry.end_ns), lost)
        )
        return replace(self, fetched=fetched)

    def adding(self, new: Fetched, sizes: Mapping[str, int]) -> _Manifest:
        """The manifest with one more range, which wins over older ones.

        Ranges of one day's fetching that touch become one.
        """
        entries = list(self.without((new.start_ns, new.end_ns)).fetched)
        if new.end_ns > new.start_ns:
            entries.append(new)
        joined: list[Fetched] = []
        for one in sorted(entries, key=lambda one: one.start_ns):
            last = joined[-1] if joined else None
            if last and last.end_ns == one.start_ns and last.fetched_ns // NS_PER_DAY == one.fetched_ns // NS_PER_DAY:
                joined[-1] = Fetched(last.start_ns, one.end_ns, max(last.fetched_ns, one.fetched_ns))
            else:
                joined.append(one)
        return replace(self, fetched=tuple(joined), sizes=sizes)

    def write(self, path: Path, dataset: Dataset) -> None:
        """Write the manifest in the place of the old one."""
        held = {
            "version": _VERSION,
            "symbol": self.symbol,
            "interval": str(self.interval),
            **asdict(dataset),
            "fetched": [
                {name: format_ns(stamp) for name, stamp in zip(_STAMPS, astuple(entry), strict=True)}
                for entry in self.fetched
            ],
            "files": dict(sorted(self.sizes.items())),
        }
        with replacing(path) as temporary:
            temporary.write_bytes(orjson.dumps(held, option=orjson.OPT_INDENT_2))


def _write(path: Path, bars: Bars) -> int:
    """Write a file of these bars, sorted; returns its size. It is on the disk when this returns."""
    order = np.argsort(bars.start_ns, kind="stable")
    stamps = arrow_numbers(bars.start_ns[order]).cast(_STAMP)
    columns = {name: arrow_numbers(getattr(bars, name)[order]) for name in COLUMNS}
    with replacing(path) as temporary:
        pq.write_table(pa.table({"timestamp": stamps, **columns}), temporary, compression="zstd")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _months(start_ns: int, end_ns: int) -> list[str]:
    """The months that `[start_ns, end_ns)` lies in, in order."""
    if end_ns <= start_ns:
        return []
    month = datetime.fromtimestamp(start_ns // NS_PER_SECOND, EXCHANGE).strftime("%Y-%m")
    found = [month]
    while _span(month)[1] < end_ns:
        month = _next(month)
        found.append(month)
    return found


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


@cache
def _span(month: str) -> Range:
    """First instant of a month and of the next, UTC ns."""
    start, end = (date.fromisoformat(f"{name}-01") for name in (month, _next(month)))
    return midnight_ns(start), midnight_ns(end)


@cache
def midnight_ns(day: date) -> int:
    """When a day begins at the exchange, UTC ns."""
    return local_ns(day, time(), EXCHANGE)
