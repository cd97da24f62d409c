"""Whether what a process has imported is still what lies on disk."""

from __future__ import annotations

import os
import sys
import time

_Stamp = tuple[int, int, int] | None
"""When a file was last changed in any way, its size and number; None if it is gone."""


class LoadedCode:
    """Every file that this process has imported, as it was then; to be made at the end of the imports.

    `began_ns`: when they began, by the wall clock. What was changed meanwhile may be either.
    """

    def __init__(self, began_ns: int) -> None:
        paths = filter(None, map(_file, list(sys.modules.values())))
        self._stamps = {path: _stamp(path) for path in paths}
        ended_ns = time.time_ns()
        self._has_changed = any(stamp is None or began_ns <= stamp[0] <= ended_ns for stamp in self._stamps.values())

    def has_changed(self) -> bool:
        """Whether a process that imports now would have other code; once it is so, it stays so."""
        self._has_changed = self._has_changed or any(_stamp(path) != then for path, then in self._stamps.items())
        return self._has_changed


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ctime_ns, status.st_size, status.st_ino


def _file(module: object) -> str | None:
    """A module's file, without loading a module that waits until it is used: that would import more."""
    try:
        found = object.__getattribute__(module, "__dict__").get("__file__")
    except AttributeError:  # an object that stands in place of a module
        return None
    return found if isinstance(found, str) else None
