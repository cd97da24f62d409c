"""Credentials leave this process's environment: what it starts gets none of them, and /proc shows none. Imports little.

`os.environ` is a copy. What the kernel gave this process at its start stays readable in /proc for everyone of this
user, whatever is deleted from the copy; so there the values are overwritten.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

PREFIXES = ("APCA_", "SCHWAB_")
"""Of the variables that are taken: the vendors' keys, and whatever else they call so."""
STORAGE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Taken too, but given to Ray: its processes read object stores. Each takes them before it runs others' code."""
_STARTS, _ENDS = 50, 51  # fields of /proc/self/stat, by their numbers in proc(5): where the variables lie in memory

_taken: dict[str, str] = {}
WITH_TAKEN: Mapping[str, str] = ChainMap(os.environ, _taken)
"""The environment as if nothing had been taken."""


def take_credentials() -> None:
    """Keep credentials in this process's memory alone from now on: `WITH_TAKEN` has them, `os.environ` does not."""
    _take(lambda name: name.startswith(PREFIXES) or name in STORAGE)


def storage_keys() -> dict[str, str]:
    """What was taken of `STORAGE`, by name; nothing where there was none, or they are in the environment still."""
    return {name: _taken[name] for name in STORAGE if name in _taken}


@contextmanager
def without_credentials() -> Iterator[None]:
    """Within, processes are started without vendors' keys, and with those of `STORAGE`; afterwards `os.environ`, a
    program's own, is as it was.
    """
    before = dict(os.environ)
    given = {name: value for name, value in storage_keys().items() if name not in before}
    _take(lambda name: name.startswith(PREFIXES))
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        own = {name: value for name, value in before.items() if name.startswith(PREFIXES)}
        os.environ.update(own)
        for name in own:
            del _taken[name]


def _take(is_meant: Callable[[str], bool]) -> None:
    found = {name: value for name, value in os.environ.items() if is_meant(name)}
    _taken.update(found)
    if found:
        _overwrite(is_meant)
    for name in found:
        del os.environ[name]


def _overwrite(is_meant: Callable[[str], bool]) -> None:
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
        if is_meant(os.fsdecode(name)):
            ctypes.memset(place + len(name) + 1, 0, len(value))
        place += len(text) + 1
