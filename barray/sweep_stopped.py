"""What a sweep says where it is stopped before its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("barray")


@contextmanager
def telling_how_far(done: Sized, asked: int, journal: Path) -> Iterator[None]:
    """Where the block is left by an error or an interrupt: how many sets are `done`, and how to go on."""
    try:
        yield
    except BaseException:
        logger.warning(
            "stopped after %d of %d sets, which are kept in %s; the same sweep goes on from there",
            len(done),
            asked,
            journal,
        )
        raise
