"""Ray's session folders, some 80 files each that Ray never removes: those that we had made go when their Ray has gone.

A mark within, made with the folder, says that it is one of ours.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MARK = "barray"
_LATEST = "session_latest"
_OLD_S = 24 * 3600.0
_MOST_AT_ONCE = 50
"""Folders: a sweep is to hold nobody up."""
_ATTEMPTS = 3


def mark(folder: str) -> None:
    """Say that the folder is one of ours. OSError if that can't be."""
    os.close(os.open(f"{folder}/{_MARK}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))


def remove(folder: Path) -> None:
    """Remove the folder with all in it, if it is one of ours, and Ray's link to it. What can't be removed stays."""
    if _age_s(folder, 0.0) is None:
        return
    for _ in range(_ATTEMPTS):  # a worker that is just ending may make a file meanwhile
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
    else:
        with suppress(OSError):
            mark(str(folder))  # for the next sweep
    latest = folder.parent / _LATEST
    with suppress(OSError):
        if os.readlink(latest) == str(folder):
            latest.unlink()


def sweep(sessions: Path, now_s: float) -> None:
    """Remove what processes that were killed have left in the folder of all sessions: ours, a day old, not in use."""
    old = [folder for folder in sessions.glob("session_*") if (_age_s(folder, now_s) or 0.0) > _OLD_S][:_MOST_AT_ONCE]
    if old:
        used = {name for command in _commands() for name in re.findall(r"session_[\w-]+", command)}
        for folder in old:
            if folder.name not in used:
                remove(folder)


def _age_s(folder: Path, now_s: float) -> float | None:
    """Since the folder was marked; None where it is not one of ours."""
    try:
        status, marked = os.lstat(folder), os.lstat(folder / _MARK)
    except OSError:
        return None
    ours = stat.S_ISDIR(status.st_mode) and stat.S_ISREG(marked.st_mode)
    return now_s - marked.st_mtime if ours and status.st_uid == marked.st_uid == os.geteuid() else None


def _commands() -> Iterator[str]:
    """Command lines of all processes: those of Ray's servers name their session."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_text(errors="replace")
