"""What Ray needs of a machine, looked at before it starts: for want of it, Ray hangs, or dies without a word."""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

from barray.actors.forking.private_folder import user_folder
from barray.data_sources.atomic_file import cannot_write
from barray.market.errors import ConfigError

LEAST_FILES = 256
"""The raylet of 30 symbols had 149 descriptors open, that of three 74."""
_ROOM_BYTES, _NOTES_BYTES = 4 << 20, 64 << 10
_STORE_SHARE, _MOST_STORE_BYTES, _BESIDE_STORE_BYTES = 0.3, 200_000_000_000, 4 << 30
"""Of the memory, that Ray gives its object store, which the raylet maps twice; and what that maps beside it."""


def require_room(folder: str | None = None) -> None:
    """ConfigError where this process can't start a Ray, saying what to raise or to free.

    `folder`: for Ray's sessions, by default what Ray takes itself.
    """
    _require_limits()
    _require_place_for_token()
    _require_place(Path(folder) if folder else _ray_folder(), "have RAY_TMPDIR name another place")
    _require_place_for_sockets()


def _require_limits() -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < LEAST_FILES:
        raise ConfigError(
            f"a process may open {files} files here, and Ray opens {LEAST_FILES}, more with many symbols",
            remedy="raise the limit: ulimit -n 4096",
            code="limit_too_low",
        )
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    store = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _STORE_SHARE)
    needed = 2 * min(store, _MOST_STORE_BYTES) + _BESIDE_STORE_BYTES
    if space != resource.RLIM_INFINITY and space < needed:
        raise ConfigError(
            f"a process may map {space / 1e9:.1f} GB of memory here, and Ray maps {needed / 1e9:.0f} GB, unused for "
            "the most part",
            remedy="lift the limit: ulimit -v unlimited",
            code="limit_too_low",
        )


def _require_place_for_token() -> None:
    """Ray keeps the token by which its processes know each other below the home directory, unless there is one."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if given or os.environ.get("RAY_AUTH_MODE") == "disabled":
        return
    other = "have HOME name another place"
    try:
        token = Path.home() / ".ray" / "auth_token"
        if token.is_file():
            return
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"Ray has no place for its token: {error}", remedy=other, code="cannot_write") from error
    _require_place(token.parent, other)


def _ray_folder() -> Path:
    """As Ray 2.60 has it, without loading Ray: that takes more memory than there may be."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp", "ray")  # noqa: S108


def _require_place_for_sockets() -> None:
    """Those of forkservers, with their logs, and notes. Where the place is not safe, others than this will say so."""
    try:
        folder = user_folder()
    except OSError as error:
        if error.filename:
            raise cannot_write(Path(error.filename), error, "have XDG_RUNTIME_DIR name another place") from error
        return
    _require_place(Path(folder), "have XDG_RUNTIME_DIR name another place", _NOTES_BYTES)


def _require_place(folder: Path, other: str, room_bytes: int = _ROOM_BYTES) -> None:
    """ConfigError unless there is room for some files in the folder, or where it would be made. `other`: what helps."""
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            os.posix_fallocate(file.fileno(), 0, room_bytes)
    except OSError as error:
        raise cannot_write(folder, error, other) from error


def require_exporter() -> None:
    """ConfigError where Ray could export no metrics."""
    from ray._private.utils import get_dashboard_dependency_error

    if (error := get_dashboard_dependency_error()) is not None:
        raise ConfigError(
            f"ray.metrics_port: this Ray exports no metrics: {error}",
            remedy="pip install 'barray[cluster]', or leave metrics_port out",
            code="not_installed",
        )
