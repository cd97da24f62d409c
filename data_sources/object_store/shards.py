"""Objects kept on this node: many processes read the same files, and each is asked for once.

BARRAY_SHARDS=/nvme/shards      where (default: ~/.cache/barray/shards)
BARRAY_SHARDS_MB=1024           how much; 0 keeps nothing
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from barray.data_sources.atomic_file import replacing
from barray.data_sources.object_store.store import ObjectStore
from barray.market.errors import ConfigError

_WHOLE_BYTES = 128_000_000
"""Larger objects are not copied: what is needed of them is read where they lie."""
_IN_USE_S = 60.0
_MAGIC = b"PAR1"


@dataclass(frozen=True)
class ShardCache:
    """Copies of Parquet objects in a local folder, about `bound` bytes at most: those unused for longest go first.

    A copy's name is made of the object's place and its ETag, and of the CRC of what was written, which is looked at
    before each use: an object that changed, or a copy that did, is read anew.
    """

    folder: Path
    bound: int

    def copy(self, store: ObjectStore, path: str) -> Path | None:
        """The local copy of an object, made if there is none; None where it is too large, or nothing can be kept here.

        NoDataError where there is no such object, SourceUnavailable where it can't be read.
        """
        etag, size = _told(store, path)
        if size > min(_WHOLE_BYTES, self.bound // 4):
            return None
        text = "\n".join((store.endpoint, store.base, path, etag, str(size)))
        key = hashlib.sha256(text.encode()).hexdigest()[:40]
        place = self.folder / key[:2]
        try:
            with _turn(place):
                return _found(place, key) or self._kept(place, key, _parquet(store, path))
        except (OSError, ConfigError):  # no room, or none for this user: it is a cache
            return None

    def _kept(self, place: Path, key: str, content: bytes) -> Path:
        path = place / f"{key}.{zlib.crc32(content):08x}"
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        self._sweep()
        return path

    def _sweep(self) -> None:
        """Remove the copies that were not used for longest, where there are too many; none that was used just now."""
        held: list[tuple[float, int, str]] = []
        for entry in _entries(self.folder):
            with suppress(FileNotFoundError):  # another process sweeps too
                found = entry.stat()
                held.append((found.st_mtime, found.st_size, entry.path))
        total = sum(size for _, size, _ in held)
        if total <= self.bound:
            return
        for used_s, size, path in sorted(held):
            if total <= 0.8 * self.bound or used_s > time.time() - _IN_USE_S:
                return
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size


def node_cache() -> ShardCache | None:
    """The cache of this node, as the environment says; None where nothing is to be kept."""
    try:
        bound = int(os.environ.get("BARRAY_SHARDS_MB") or 1024) * 1_000_000
    except ValueError:
        bound = 0
    if bound <= 0 or os.environ.get("BARRAY_NO_CACHE"):
        return None
    named = os.environ.get("BARRAY_SHARDS")
    if named:
        return ShardCache(Path(named), bound)
    with suppress(RuntimeError):  # the user has no home
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return ShardCache(Path(caches) / "barray" / "shards", bound)
    return None


def _told(store: ObjectStore, path: str) -> tuple[str, int]:
    """An object's ETag and size in bytes: one request."""
    filesystem = store.filesystem

    def ask() -> tuple[str, int]:
        with filesystem.open_input_file(f"{store.base}/{path}") as file:
            told = file.metadata()
            return bytes(told.get("ETag", b"")).decode(), int(file.size())

    return store.patiently(ask, path)


def _parquet(store: ObjectStore, path: str) -> bytes:
    """The object's content; read once more where it isn't whole, as it is replaced just now."""
    content = store.read(path)
    return content if content.endswith(_MAGIC) else store.read(path)


def _found(place: Path, key: str) -> Path | None:
    """The copy of that key, if its content is what was written."""
    for path in place.glob(f"{key}.*"):
        if _crc(path) == path.suffix[1:]:
            os.utime(path)
            return path
        path.unlink(missing_ok=True)
    return None


def _crc(path: Path) -> str:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return ""
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return f"{zlib.crc32(content):08x}"


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as below:
        for directory in list(below):
            with os.scandir(directory.path) as found:
                yield from (entry for entry in list(found) if not entry.name.startswith("."))


@contextmanager
def _turn(place: Path) -> Iterator[None]:
    """One process at a time looks for, and makes, copies there: the others find what it made."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
