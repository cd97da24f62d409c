"""The user's own folder for sockets and notes: nobody else can enter it, change it, or put another in its place.

Nothing executable lies there. It may vanish, as XDG_RUNTIME_DIR does at the end of a login; then nobody is served.
"""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISVTX, S_IWGRP, S_IWOTH


def user_folder() -> str:
    """`barray-UID` below XDG_RUNTIME_DIR, or where that is not there or others' below the folder for temporary files.

    Made if need be, and checked from the root down. OSError if it is not safe.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if not base or not _can_keep(base):
        import tempfile

        base = tempfile.gettempdir()
    return private_folder(base, f"barray-{os.geteuid()}")


def private_folder(base: str, name: str) -> str:
    """The folder `name` in `base`, without links, made if need be; OSError unless it is this user's alone."""
    base = os.path.realpath(base)
    _check_ancestors(base)
    folder = os.path.join(base, name)
    try:  # noqa: SIM105 (contextlib is most of a launcher's time)
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    check_private(folder)
    return folder


def check_private(folder: str) -> None:
    """OSError unless `folder`, absolute and without links, is this user's alone, and only this user can move it."""
    _check_ancestors(os.path.dirname(folder))
    status = os.lstat(folder)
    if not S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(
            f"{folder} is not this user's alone: it must be a directory of uid {os.geteuid()} with mode 0700"
        )


def _can_keep(base: str) -> bool:
    """Whether what lies there stays there; not where `su` has left another user's directory in the environment."""
    try:
        _check_ancestors(os.path.realpath(base))
    except OSError:
        return False
    return True


def _check_ancestors(folder: str) -> None:
    """What lies in a folder can be exchanged by its owner, and by who may write to it unless it is sticky."""
    trusted = (0, os.geteuid(), os.stat("/").st_uid)  # whoever has the root has all (it is not 0 in some containers)
    while True:
        status = os.lstat(folder)
        exposed = status.st_mode & (S_IWGRP | S_IWOTH) and not status.st_mode & S_ISVTX
        if not S_ISDIR(status.st_mode) or status.st_uid not in trusted or exposed:
            raise PermissionError(f"others can change what lies in {folder}")
        if folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)
