"""Writing a file so that it is there whole or not at all, and the folder for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from barray.market.errors import ConfigError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: it takes the place of `path` if the block ends well, and is removed otherwise.

    Raises ConfigError where the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}",
            remedy="choose a file in a directory that exists and can be written to",
            code="cannot_write",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def made(folder: Path) -> Path:
    """The folder, made with those above it if it is not there; ConfigError where it can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {folder}: {error.strerror}", remedy="choose another directory", code="cannot_write"
        ) from error
    return folder
