"""Whether the Ray that this process is connected to is there still. One on this machine never comes back."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from barray.market.errors import BarrayError

_CONNECT_S = 5.0
_VITAL = ("gcs_server", "raylet")
_SOCKETS = Path("/proc/net/unix")
_seen: set[str] = set()
"""Sockets of raylets that this process has joined and seen open."""


def require_ray() -> None:
    """BarrayError (`ray_lost`) where a process has ended that it can't do without, and that ran on this machine."""
    import ray

    node: Any = ray._private.worker._global_node  # none if it was left meanwhile
    if node is None:
        return
    if node.all_processes:
        ended = next((kind for kind in _VITAL if _has_ended(node, kind)), None)
    elif not _listens(node.gcs_address):
        ended = _VITAL[0]
    else:
        ended = None if _is_open(node.raylet_socket_name) else _VITAL[1]
    if ended:
        raise BarrayError(
            f"Ray's {ended} has ended, and what ran on this Ray with it",
            remedy=f"it was killed, by hand or for want of memory, or {node.get_logs_dir_path()} says why; start again",
            code="ray_lost",
        )


def has_ended() -> bool:
    """Whether `require_ray` raises."""
    try:
        require_ray()
    except BarrayError:
        return True
    return False


def _has_ended(node: Any, kind: str) -> bool:
    """Whether a process of a Ray that this one started has."""
    return any(started.process.poll() is not None for started in node.all_processes.get(kind, ()))


def _listens(address: str) -> bool:
    """Whether there is a control store at an address; assumed elsewhere than on loopback."""
    host, _, port = address.rpartition(":")
    if not host.startswith("127."):
        return True
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_S):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return True


def _is_open(path: str) -> bool:
    """Whether a socket of this machine that was seen open still is; assumed where none has been seen."""
    try:
        there = any(line.endswith(f" {path}\n") for line in _SOCKETS.open(encoding="utf-8", errors="replace"))
    except OSError:
        return True
    if there:
        _seen.add(path)
    return there or path not in _seen
