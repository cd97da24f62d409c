"""A symbol's bars in an object store: new objects first, the manifest that names them last, if nobody was faster.

s3://bucket/bars/alpaca-iex-raw/AAPL/1m/2024-07-5b1f….parquet    never written twice
s3://bucket/bars/alpaca-iex-raw/AAPL/1m/manifest.json            put where it is still the one that was read
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from barray.data_sources.fetching.manifest import MANIFEST, Manifest
from barray.data_sources.fetching.series_files import Series, bars_of, table_of
from barray.data_sources.object_store.shards import node_cache
from barray.data_sources.object_store.store import ObjectStore
from barray.market.bars import Bars
from barray.market.clock import WallClock
from barray.market.errors import BarrayError, NoDataError, SourceUnavailable
from barray.market.interval import NS_PER_SECOND

_STAYS_NS = 3_600 * NS_PER_SECOND
"""How long what was replaced stays for those who have read the manifest that named it."""
_TRIES, _PAUSE_S = 100, 0.2
_SUFFIX = ".parquet"


class BucketFiles:
    """See SeriesFiles. Who finds the manifest changed begins again with what it says now: a write is never lost.

    Writers need conditional requests (obstore), readers none. What a writer that died has put, and no manifest names,
    stays. SourceUnavailable where the store fails for longer than its patience.
    """

    def __init__(self, store: ObjectStore, folder: str, series: Series) -> None:
        self._store, self._folder, self._series = store, folder, series
        self._put: list[str] = []

    def known(self) -> Manifest:
        """See SeriesFiles."""
        return self._whole(self._manifest())

    def held(self, months: list[str]) -> list[Bars]:
        """See SeriesFiles."""
        manifest, found = self._manifest(), []
        for name in filter(None, map(manifest.file_of, months)):
            with suppress(NoDataError):  # it was removed: it will be fetched again
                found.append(self.read(name))
        return found

    def read(self, name: str) -> Bars:
        """See SeriesFiles. The object is copied to this node, if it can be; NoDataError where it isn't there."""
        path = self._path(name)
        cache = node_cache()
        copy = cache.copy(self._store, path) if cache else None
        if copy:
            return bars_of(fs.LocalFileSystem(), str(copy), self._store.at(path), self._series)
        return bars_of(self._store.filesystem, f"{self._store.base}/{path}", self._store.at(path), self._series)

    def put(self, month: str, bars: Bars) -> tuple[str, int]:
        """See SeriesFiles."""
        stream = pa.BufferOutputStream()
        pq.write_table(table_of(bars), stream, compression="zstd")
        content = stream.getvalue().to_pybytes()
        name = f"{month}-{secrets.token_hex(8)}"
        self._store.write(self._path(name), content)
        self._put.append(name)
        return name, len(content)

    def change(self, changed: Callable[[Manifest], Manifest | None]) -> None:
        """See SeriesFiles. Of writers at once one gets through each time: SourceUnavailable where never this one."""
        path = self._path(MANIFEST, "")
        for _ in range(_TRIES):
            in_vain, self._put = self._put, []
            content, etag = self._store.read_tagged(path) or (b"", "")
            held = self._decoded(content) if etag else self._empty()
            self._remove(name for name in in_vain if name not in held.sizes.keys() | held.replaced.keys())
            after = changed(self._whole(held))
            if after is None:
                return
            after, gone = self._swept(held, after)
            if self._store.put_over(path, after.encoded(self._series.dataset), etag):
                self._remove(gone)
                return
            time.sleep(random.uniform(0, _PAUSE_S))
        raise SourceUnavailable(
            f"{self._store.at(path)} was changed by others {_TRIES} times in a row",
            source=self._series.dataset.vendor,
            remedy="fetch the symbol from one place, and see whether the store knows If-Match",
        )

    def _swept(self, held: Manifest, after: Manifest) -> tuple[Manifest, list[str]]:
        """The manifest with what it no longer counts, and files that were replaced so long ago that none reads them."""
        now_ns = WallClock().now_ns()
        dropped = dict.fromkeys(held.sizes.keys() - after.sizes.keys(), now_ns)
        gone = [name for name, since_ns in held.replaced.items() if since_ns < now_ns - _STAYS_NS]
        left = {name: since_ns for name, since_ns in held.replaced.items() if name not in gone}
        return replace(after, replaced=left | dropped), gone

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(BarrayError):  # it stays, and nobody reads it
                self._store.remove(self._path(name))

    def _path(self, name: str, suffix: str = _SUFFIX) -> str:
        return f"{self._folder}/{name}{suffix}"

    def _empty(self) -> Manifest:
        return Manifest(self._series.symbol, self._series.interval)

    def _manifest(self) -> Manifest:
        try:
            return self._decoded(self._store.read(self._path(MANIFEST, "")))
        except NoDataError:
            return self._empty()

    def _decoded(self, content: bytes) -> Manifest:
        return Manifest.decoded(content, self._store.at(self._folder), self._series.symbol, self._series.interval)

    def _whole(self, manifest: Manifest) -> Manifest:
        if not manifest.sizes:
            return manifest
        sizes = self._store.sizes(self._folder)
        return manifest.where({name: sizes.get(f"{name}{_SUFFIX}") for name in manifest.sizes})
