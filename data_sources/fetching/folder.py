"""A symbol's bars in a local folder, or one that machines share: writers take turns by its lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from pyarrow import fs

from barray.data_sources.atomic_file import replacing
from barray.data_sources.fetching.manifest import MANIFEST, Manifest
from barray.data_sources.fetching.series_files import Series, bars_of, table_of
from barray.market.bars import Bars
from barray.market.errors import ConfigError

_LOCK = ".lock"


class FolderFiles:
    """See SeriesFiles. A month's file is called by the month alone, and replaced in its place."""

    def __init__(self, folder: Path, series: Series) -> None:
        self._folder, self._series = folder, series

    def known(self) -> Manifest:
        """See SeriesFiles; ConfigError where the manifest can't be read."""
        manifest = self._manifest()
        return manifest.where({month: _size(self._path(month)) for month in manifest.sizes})

    def held(self, months: list[str]) -> list[Bars]:
        """See SeriesFiles."""
        return [self.read(month) for month in months if self._path(month).exists()]

    def read(self, name: str) -> Bars:
        """See SeriesFiles."""
        path = str(self._path(name))
        return bars_of(fs.LocalFileSystem(), path, path, self._series)

    def put(self, month: str, bars: Bars) -> tuple[str, int]:
        """See SeriesFiles. It is on the disk when this returns."""
        with replacing(self._path(month)) as temporary:
            pq.write_table(table_of(bars), temporary, compression="zstd")
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
                return month, os.fstat(file.fileno()).st_size

    def change(self, changed: Callable[[Manifest], Manifest | None]) -> None:
        """See SeriesFiles; ConfigError where the folder can't be written."""
        with self._turn():
            before = self.known()
            after = changed(before)
            if after is None:
                return
            for month in before.sizes.keys() - after.sizes.keys():
                self._path(month).unlink()
            with replacing(self._folder / MANIFEST) as temporary:
                temporary.write_bytes(after.encoded(self._series.dataset))

    def _path(self, month: str) -> Path:
        return self._folder / f"{month}.parquet"

    def _manifest(self) -> Manifest:
        path, series = self._folder / MANIFEST, self._series
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return Manifest(series.symbol, series.interval)
        except OSError as error:
            raise ConfigError(
                f"cannot read {path}: {error.strerror}",
                remedy="give the source a store of your own",
                code="cannot_read",
            ) from error
        return Manifest.decoded(content, str(self._folder), series.symbol, series.interval)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigError(
                f"cannot write below {self._folder}: {error.strerror}",
                source=self._series.dataset.vendor,
                remedy="give the source a store that can be written to",
                code="cannot_write",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
