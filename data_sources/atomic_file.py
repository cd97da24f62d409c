"""Writing a file so that it is there whole or not at all, and the folder for it."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from barray.market.errors import ConfigError

_HOST = re.sub(r"[^A-Za-z0-9-]", "-", os.uname().nodename)
_ELSEWHERE = "choose another place"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DRAFT = re.compile(rf"\..+\.{_HOST}\.(\d+)\.tmp")


@contextmanager
def replacing(path: Path, other: str = _ELSEWHERE) -> Iterator[Path]:
    """A path beside `path` to write to: it takes the place of `path` if the block ends well, and is removed otherwise.

    Raises ConfigError where the place cannot be written. `other`: see `cannot_write`.
    """
    temporary = path.with_name(draft_name(path.name))
    try:
        with writing(path, other):
            yield temporary
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def writing(path: Path, other: str = _ELSEWHERE) -> Iterator[None]:
    """Say what can't be written, and why, where the block that writes it raises OSError: ConfigError."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, other) from error


def draft_name(name: str) -> str:
    """What something is called until it is whole; it says who writes it."""
    return f".{name}.{_HOST}.{os.getpid()}.tmp"


def clear_leftovers(folder: Path) -> None:
    """Remove the drafts that processes of this machine left in a folder when they were killed."""
    with suppress(OSError):
        for entry in list(folder.iterdir()):
            drafted = _DRAFT.fullmatch(entry.name)
            if drafted and not _lives(int(drafted[1])):
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def cannot_write(path: Path, error: OSError, other: str = _ELSEWHERE) -> ConfigError:
    """The error of a place that can't be written. `other`: how to choose another."""
    is_full = error.errno in _FULL
    remedy = f"make room there, or {other}" if is_full else f"{other}, in a folder that is there and can be written to"
    reason = os.strerror(error.errno) if error.errno else error  # pyarrow's own text is a long one
    return ConfigError(f"cannot write {path}: {reason}", remedy=remedy, code="cannot_write")


def made(folder: Path) -> Path:
    """The folder, made with those above it if it is not there; ConfigError where it can't be."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
