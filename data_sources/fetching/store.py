"""Bars fetched from a vendor, kept in Parquet files, with a record of which ranges are known.

    ROOT/alpaca-iex-raw/AAPL/1m/2024-07.parquet      rows sorted, one a stamp
    ROOT/alpaca-iex-raw/AAPL/1m/manifest.json        what was fetched when

Missing minutes are normal, so what is known can't be read off the rows: the manifest says it. A range is recorded after
its rows are there; a crash between the two costs a fetch, never a bar. Any Parquet reader can read the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from barray.data_sources.fetching.bucket import BucketFiles
from barray.data_sources.fetching.folder import FolderFiles
from barray.data_sources.fetching.manifest import Fetched, Manifest
from barray.data_sources.fetching.months import months_of, span_of
from barray.data_sources.fetching.ranges import Range, subtracted
from barray.data_sources.fetching.series_files import Series, SeriesFiles
from barray.data_sources.fetching.vendor import Dataset
from barray.data_sources.object_store.publish import below
from barray.data_sources.object_store.store import ObjectStore, is_object_uri
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.market.bars import Bars, check_order, check_values, format_ns
from barray.market.errors import ConfigError, DataError
from barray.market.interval import Interval
from barray.market.symbols import symbol_problem

STORE_LAYOUT = Layout("{symbol}/{interval}/{month}.parquet")
BUCKET_LAYOUT = Layout("{symbol}/{interval}/{month}-*.parquet")
"""Of a store in a bucket, where a month's file is never written twice; its manifest says which one counts."""


@dataclass(frozen=True)
class BarStore:
    """The bars of one dataset below `root`, a folder or `s3://bucket/path`. Processes and threads may share it.

    Every method raises ConfigError where the place can't be used, DataError where what it holds can't be right, and
    SourceUnavailable where a bucket can't be reached.
    """

    root: Path | str
    dataset: Dataset

    @property
    def place(self) -> str:
        """Where the dataset lies: a path or a URI."""
        return str(below(str(self.root), self.dataset.folder))

    @property
    def shown(self) -> str:
        """The same for people, without a URI's options."""
        return ObjectStore(self.place).shown if is_object_uri(self.place) else self.place

    def tree(self, name: str) -> ParquetSource:
        """Its files as they are now, as a source of that name."""
        return ParquetSource(self.place, name, BUCKET_LAYOUT if is_object_uri(self.place) else STORE_LAYOUT)

    def fetched(self, symbol: str, interval: Interval) -> tuple[Fetched, ...]:
        """What is known of a symbol's bars, oldest first; ranges neither overlap nor, of one day's fetching, touch."""
        return self._files(symbol, interval).known().fetched

    def missing(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> list[Range]:
        """What of `[start_ns, end_ns)` is not known yet, in order. A file that was removed or cut is not known."""
        known = ((entry.start_ns, entry.end_ns) for entry in self.fetched(symbol, interval))
        return subtracted((start_ns, end_ns), known)

    def write(self, symbol: str, interval: Interval, start_ns: int, end_ns: int, bars: Bars, fetched_ns: int) -> None:
        """See DatasetStore."""
        self._check(symbol, interval, start_ns, bars)
        last_ns = max(end_ns, int(bars.start_ns[-1]) + 1) if len(bars) else end_ns
        files = self._files(symbol, interval)

        def changed(manifest: Manifest) -> Manifest:
            sizes = dict(manifest.sizes)
            for month in months_of(start_ns, last_ns):
                first, last = span_of(month)
                name = manifest.file_of(month)
                old = files.read(name) if name else Bars.empty()
                kept = old.take((old.start_ns < start_ns) | (old.start_ns >= last_ns))
                new = bars.take((bars.start_ns >= first) & (bars.start_ns < last))
                if not len(new) and len(kept) == len(old):
                    continue
                if name:
                    del sizes[name]
                whole = Bars.concat([kept, new])
                if len(whole):
                    name, size = files.put(month, whole)
                    sizes[name] = size
            return manifest.adding(Fetched(start_ns, end_ns, fetched_ns), sizes)

        files.change(changed)

    def holds(self, symbol: str, interval: Interval) -> bool:
        """Whether there are any of its bars."""
        return bool(self._files(symbol, interval).known().sizes)

    def forget(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> None:
        """See DatasetStore."""

        def changed(manifest: Manifest) -> Manifest | None:
            left = manifest.without((start_ns, end_ns))
            return left if left != manifest else None

        self._files(symbol, interval).change(changed)

    def read(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> Bars:
        """The bars that start in `[start_ns, end_ns)`, oldest first; known or not."""
        bars = Bars.concat(self._files(symbol, interval).held(months_of(start_ns, end_ns)))
        return bars.take((bars.start_ns >= start_ns) & (bars.start_ns < end_ns))

    def _files(self, symbol: str, interval: Interval) -> SeriesFiles:
        if problem := symbol_problem(symbol):
            raise ConfigError(problem, symbol=symbol, source=self.dataset.vendor)
        series = Series(self.dataset, symbol, interval)
        if is_object_uri(self.place):
            return BucketFiles(ObjectStore(self.place, self.dataset.vendor), f"{symbol}/{interval}", series)
        return FolderFiles(Path(self.place) / symbol / str(interval), series)

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
