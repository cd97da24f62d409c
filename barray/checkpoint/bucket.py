"""A checkpoint in an object store: a segment is a folder of numbered objects, each put whole.

s3://bucket/kept/journal/00000002/00000007    what was added at the seventh time
s3://bucket/kept/lock                         who has it, and until when unless that is renewed
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import orjson

from barray.checkpoint.shelf import LOCK, held, owner
from barray.data_sources.object_store.store import ObjectStore
from barray.market.clock import WallClock, monotonic_s
from barray.market.errors import BarrayError, ConfigError, DataError, NoDataError, SourceUnavailable

_LEASE_S, _RENEWED_S = 12.0, 4.0
_JOURNAL = "journal"


class Bucket:
    """See Shelf. Its owner renews a lease; who comes later waits until that runs out, or sees that it is renewed.

    Whatever clocks say, one process alone begins a segment: by a request that fails where there is one.
    """

    def __init__(self, uri: str) -> None:
        self._store = ObjectStore(uri)
        self.where = self._store.shown
        self._number = self._added = 0
        self._is_broken = False
        self._released = threading.Event()

    def take(self) -> None:
        """See Shelf. Takes as long as the lease of an owner that died."""
        by = self._lock()
        until_s = monotonic_s() + _left_s(by)
        while monotonic_s() < until_s:
            time.sleep(min(1.0, _RENEWED_S))
            if (now := self._lock()) != by:
                if _left_s(now) > 0:
                    raise held(self.where, now)
                break
        self._renew()
        threading.Thread(target=self._keep_renewing, daemon=True).start()

    def segments(self) -> dict[int, bytes]:
        """See Shelf."""
        found: dict[int, bytes] = {}
        for name, is_folder in self._store.names(_JOURNAL).items():
            if is_folder and name.isdecimal():
                folder = f"{_JOURNAL}/{name}"
                parts = sorted(part for part in self._store.names(folder) if part.isdecimal())
                found[int(name)] = b"".join(self._store.read(f"{folder}/{part}") for part in parts)
        return found

    def begin(self, number: int, content: bytes) -> None:
        """See Shelf."""
        with _writing():
            is_ours = self._store.put_new(_place(number, 0), content)
        if not is_ours:
            raise held(self.where, self._lock())
        self._number, self._added = number, 0

    def append(self, content: bytes) -> None:
        """See Shelf."""
        if f"{self._number + 1:08d}" in self._store.names(_JOURNAL):
            raise held(self.where, self._lock())
        if self._is_broken:
            raise RuntimeError("what is the last may be half a record, or none")
        self._is_broken = True  # unless all of it gets there, nothing may stand behind it
        self._put(_place(self._number, self._added + 1), content)
        self._added += 1
        self._is_broken = False

    def put(self, name: str, content: bytes) -> None:
        """See Shelf."""
        self._put(name, content)

    def get(self, name: str) -> bytes:
        """See Shelf; DataError where it is missing."""
        try:
            return self._store.read(name)
        except NoDataError as error:
            raise DataError(
                f"{self._store.at(name)} is missing", remedy="put it back as it was", code="checkpoint_damaged"
            ) from error

    def remove(self, name: str) -> None:
        """See Shelf."""
        with suppress(BarrayError):
            self._store.remove(name)

    def release(self) -> None:
        """See Shelf."""
        if not self._released.is_set():
            self._released.set()
            with suppress(BarrayError):
                self._store.remove(LOCK)

    def _put(self, path: str, content: bytes) -> None:
        with _writing():
            self._store.write(path, content)

    def _lock(self) -> bytes:
        try:
            return self._store.read(LOCK)
        except NoDataError:
            return b""

    def _renew(self) -> None:
        told = orjson.loads(owner())
        self._put(LOCK, orjson.dumps({**told, "until": _now_s() + _LEASE_S}))

    def _keep_renewing(self) -> None:
        while not self._released.wait(_RENEWED_S):
            with suppress(BarrayError):
                self._renew()


@contextmanager
def _writing() -> Iterator[None]:
    """Say what can't be written: ConfigError."""
    try:
        yield
    except SourceUnavailable as error:
        raise ConfigError(f"cannot write {error.reason}", remedy=error.remedy, code="cannot_write") from error


def _now_s() -> float:
    return WallClock().now_ns() / 1e9


def _left_s(by: bytes) -> float:
    """How long a lease runs yet, no longer than one does: clocks may differ."""
    try:
        return float(min(orjson.loads(by)["until"] - _now_s(), _LEASE_S))
    except (ValueError, KeyError, TypeError):
        return 0.0


def _place(number: int, part: int) -> str:
    return f"{_JOURNAL}/{number:08d}/{part:08d}"
