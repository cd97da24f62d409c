"""A checkpoint in a folder of this machine, or one that machines share."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from barray.checkpoint.shelf import LOCK, held, owner
from barray.data_sources.atomic_file import cannot_write, replacing, writing
from barray.market.errors import DataError

_SEGMENT = re.compile(r"(\d{8})\.journal")
_OTHER = "give --checkpoint another"


class Folder:
    """See Shelf. Its owner holds a lock that ends with the process, however that ends; it is made when it is taken.

    Only this user can read it, unless the folder was there before and says otherwise.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path
        self._lock: int | None = None
        self._segment: int | None = None
        self._number = 0

    def take(self) -> None:
        """See Shelf."""
        with writing(self._path, _OTHER):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            by = os.pread(lock, 4096, 0)
            os.close(lock)
            raise held(self.where, by) from None
        except OSError as error:
            os.close(lock)
            raise cannot_write(self._path / LOCK, error, _OTHER) from error
        self._lock = lock
        os.ftruncate(lock, 0)
        os.pwrite(lock, owner(), 0)

    def segments(self) -> dict[int, bytes]:
        """See Shelf."""
        try:
            names = {name: match for name in os.listdir(self._path) if (match := _SEGMENT.fullmatch(name))}
            return {int(match[1]): (self._path / name).read_bytes() for name, match in names.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unreadable(str(self._path), error) from error

    def begin(self, number: int, content: bytes) -> None:
        """See Shelf."""
        path, flags = self._place(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            segment = os.open(path, flags, 0o600)
        except FileExistsError:
            raise self._held() from None
        except OSError as error:
            raise cannot_write(path, error, _OTHER) from error
        self._segment, self._number = segment, number
        self._write(content)
        self._sync_folder()

    def append(self, content: bytes) -> None:
        """See Shelf."""
        if self._place(self._number + 1).exists():
            raise self._held()
        self._write(content)

    def put(self, name: str, content: bytes) -> None:
        """See Shelf."""
        with replacing(self._path / name, _OTHER) as draft:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                _write_all(file, content)
                os.fsync(file)
            finally:
                os.close(file)
        self._sync_folder()

    def get(self, name: str) -> bytes:
        """See Shelf."""
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise self._unreadable(str(self._path / name), error) from error

    def remove(self, name: str) -> None:
        """See Shelf."""
        with suppress(OSError):
            (self._path / name).unlink()

    def release(self) -> None:
        """See Shelf."""
        for file in (self._segment, self._lock):
            if file is not None:
                os.close(file)
        self._segment = self._lock = None

    def _place(self, number: int) -> Path:
        return self._path / f"{number:08d}.journal"

    def _held(self) -> Exception:
        return held(self.where, self.get(LOCK))

    def _write(self, content: bytes) -> None:
        segment = self._segment
        if segment is None:
            raise RuntimeError("no segment was begun, or half a record is its last")
        self._segment = None  # unless all of it gets there, nothing may stand behind it
        with writing(self._place(self._number), _OTHER):
            try:
                _write_all(segment, content)
                os.fdatasync(segment)
            except OSError:
                os.close(segment)
                raise
        self._segment = segment

    def _sync_folder(self) -> None:
        with writing(self._path, _OTHER):
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _unreadable(self, path: str, error: OSError) -> DataError:
        return DataError(
            f"{path} can't be read: {error.strerror}", remedy="put it back as it was", code="checkpoint_damaged"
        )


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
