"""Credentials leave this process's environment: what it starts gets none of them, and /proc shows none. Imports little.

`os.environ` is a copy. What the kernel gave this process at its start stays readable in /proc for everyone of this
user, whatever is deleted from the copy; so there the values are overwritten.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PREFIXES = ("APCA_", "SCHWAB_")
"""Of the variables that are taken: the vendors' keys, and whatever else they call so."""
_STARTS, _ENDS = 50, 51  # fields of /proc/self/stat, by their numbers in proc(5): where the variables lie in memory

_taken: dict[str, str] = {}
WITH_TAKEN: Mapping[str, str] = ChainMap(os.environ, _taken)
"""The environment as if nothing had been taken."""


def take_credentials() -> None:
    """Keep credentials in this process's memory alone from now on: `WITH_TAKEN` has them, `os.environ` does not."""
    found = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    _taken.update(found)
    if found:
        _overwrite()
    for name in found:
        del os.environ[name]


@contextmanager
def without_credentials() -> Iterator[None]:
    """Within, processes are started without credentials; afterwards `os.environ`, a program's own, is as it was."""
    before = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    take_credentials()
    try:
        yield
    finally:
        os.environ.update(before)
        for name in before:
            del _taken[name]


def _overwrite() -> None:
    """Put zeros over the credentials among the variables that this process was started with; only Linux shows them."""
    try:
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()  # from the third on
    except OSError:
        return
    import ctypes  # takes longer than all else here

    place, end = (int(fields[number - 3]) for number in (_STARTS, _ENDS))
    while place < end:
        text = ctypes.string_at(place)
        name, _, value = text.partition(b"=")
        if os.fsdecode(name).startswith(PREFIXES):
            ctypes.memset(place + len(name) + 1, 0, len(value))
        place += len(text) + 1
