"""What a strategy reads besides its bars: files, connections and programs, as Python and its libraries open them."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, FrameType
from typing import Any

_CONNECTS = {
    "socket.connect": lambda arguments: f"a connection to {arguments[1]}",
    "sqlite3.connect": lambda arguments: _told(arguments[0]),
    "subprocess.Popen": lambda arguments: f"the program {arguments[0]}",
}
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dylib")
_SYSTEM = tuple(
    {os.path.realpath(folder) + os.sep for folder in (sys.prefix, sys.base_prefix)}
    | {"/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo/"}
)
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_WRITES = ("to_", "write", "save", "sink", "dump")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")

_watched: dict[int, set[str]] = {}
"""What was seen so far, by the thread that is watched."""


@contextmanager
def watching() -> Iterator[set[str]]:
    """A set that fills with what this thread opens for reading within the block, in words.

    Python tells of every file, connection and program that it opens itself. Libraries that open files in C or Rust
    (pyarrow, Polars, DuckDB's functions) are seen by their being called with the name of a file that exists. Code, the
    system's own files and what is written only don't count. What another thread reads, and a path that is handed
    straight to compiled code (a method of a DuckDB connection), is not seen.
    """
    _hook()
    seen = _watched.setdefault(threading.get_ident(), set())
    before = sys.getprofile()
    sys.setprofile(_called)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        _watched.pop(threading.get_ident(), None)


@cache
def _hook() -> None:
    """Have Python tell what it opens; once, for a hook can't be taken away."""
    sys.addaudithook(_audited)


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" and event not in _CONNECTS:
        return
    seen = _watched.get(threading.get_ident())
    if seen is None:
        return
    if event in _CONNECTS:
        seen.add(_CONNECTS[event](arguments))
        return
    path, mode, flags = arguments
    reads = flags & os.O_ACCMODE != os.O_WRONLY if mode is None else "r" in mode or "+" in mode
    if reads and _is_data(path):
        seen.add(_told(path))


def _called(frame: FrameType, event: str, _: object) -> None:
    """Look at the arguments with which a library's function is called."""
    if event != "call" or not _is_library(frame.f_code):
        return
    seen = _watched.get(threading.get_ident())
    values = [value for value in frame.f_locals.values() if isinstance(value, str | os.PathLike)]
    found = {path for value in values for path in _files_in(value)}
    if seen is not None and found and not _writes(frame):
        seen.update(map(_told, found))


@cache
def _is_library(code: CodeType) -> bool:
    return any(folder in code.co_filename for folder in _LIBRARIES)


def _writes(frame: FrameType | None) -> bool:
    """Whether a library's function that writes is under way, such as DataFrame.to_csv."""
    while frame is not None and _is_library(frame.f_code):
        if frame.f_code.co_name.lstrip("_").startswith(_WRITES):
            return True
        frame = frame.f_back
    return False


def _files_in(value: object) -> list[str]:
    """The files that an argument names: itself, or in quotes as in SQL."""
    try:
        text = os.fsdecode(value)  # type: ignore[arg-type]  # a TypeError is answered
    except TypeError:
        return []
    named = [text, *(one or other for one, other in _QUOTED.findall(text))] if _names_a_file(text) else []
    return [path for path in named if _names_a_file(path) and _is_data(path) and _exists(path)]


def _names_a_file(text: str) -> bool:
    """Whether it looks like a path: a word that happens to be a folder's name, or a mark that separates, does not."""
    return ("." in text or os.sep in text) and bool(text.strip("." + os.sep))


def _exists(path: str) -> bool:
    try:
        return os.path.exists(path)
    except ValueError:  # a NUL inside
        return False


def _is_data(path: object) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False  # the number of a file that is open already
    text = os.path.realpath(os.fsdecode(path))
    return not (text.endswith(_CODE) or text.startswith(_SYSTEM) or any(folder in text for folder in _LIBRARIES))


def _told(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
