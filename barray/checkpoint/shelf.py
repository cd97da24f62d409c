"""Where a checkpoint lies: what its owner asks of a folder, or of an object store."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Protocol

import orjson

from barray.market.clock import WallClock
from barray.market.errors import ConfigError

LOCK = "lock"


class Shelf(Protocol):
    """Segments of a journal by number, and files beside it. All that is written is on disk before a call returns.

    ConfigError (`cannot_write`) where it can't be written, and as each says.
    """

    where: str

    def take(self) -> None:
        """Become its owner; ConfigError (`checkpoint_held`) where another process is."""
        ...

    def segments(self) -> dict[int, bytes]:
        """All of them; nothing where there is none."""
        ...

    def begin(self, number: int, content: bytes) -> None:
        """Begin a segment, and write to it from now on; ConfigError (`checkpoint_held`) where somebody has begun it."""
        ...

    def append(self, content: bytes) -> None:
        """Add to the segment; ConfigError (`checkpoint_held`) where somebody has begun the next."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """A file beside it, there whole or not at all."""
        ...

    def get(self, name: str) -> bytes:
        """A file's content; DataError (`checkpoint_damaged`) where there is none."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def release(self) -> None:
        """Be its owner no longer."""
        ...


def owner() -> bytes:
    """Who this process is, for others who want what it holds."""
    since = datetime.fromtimestamp(WallClock().now_ns() // 1_000_000_000, UTC).isoformat()
    return orjson.dumps({"host": os.uname().nodename, "pid": os.getpid(), "since": since})


def held(where: str, by: bytes) -> ConfigError:
    """The error of a checkpoint that another process has."""
    try:
        told = orjson.loads(by)
        who = f"process {told['pid']} on {told['host']}, since {told['since']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return ConfigError(
        f"{where}: {who}, goes on with this run",
        remedy="let it, or end it and resume then",
        code="checkpoint_held",
    )
