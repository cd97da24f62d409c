"""Whether the Ray that this process is connected to is there still. What ran on this machine never comes back, but for
a control store that keeps its tables elsewhere than in memory.
"""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import Any

from barray.market.errors import BarrayError

logger = logging.getLogger(__name__)
_CONNECT_S = 5.0
_COMES_BACK_S = 60.0
"""How long a control store with Redis or RocksDB is waited for: Ray's own processes end themselves after that
(`RAY_gcs_rpc_server_reconnect_timeout_s`).
"""
_VITAL = ("gcs_server", "raylet")
_SOCKETS = Path("/proc/net/unix")
_seen: set[str] = set()
"""Sockets of raylets that this process has joined and seen open."""
_tables: dict[str, str] = {}
"""Where control stores that were seen keep their tables, by address: memory, redis or rocksdb."""
_away: dict[str, float] = {}
"""Since when (monotonic seconds) control stores have been away that may come back, by address."""


def require_ray() -> None:
    """BarrayError (`ray_lost`) where a process has ended that it can't do without, and that ran on this machine."""
    import ray

    node: Any = ray._private.worker._global_node  # none if it was left meanwhile
    if node is None:
        return
    if node.all_processes:
        ended = next((kind for kind in _VITAL if _has_ended(node, kind)), None)
    elif _is_lost(node):
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


def _is_lost(node: Any) -> bool:
    """Whether the control store that was joined has ended, and does not come back."""
    address = node.gcs_address
    if _listens(address):
        _away.pop(address, None)
        if address not in _tables:
            _tables[address] = _kept_in(node)
        return False
    if _tables.get(address, "memory") == "memory":
        return True
    if address not in _away:
        logger.warning("Ray's gcs_server is away; it keeps its tables in %s, and is waited for", _tables[address])
    return time.monotonic() - _away.setdefault(address, time.monotonic()) > _COMES_BACK_S


def _kept_in(node: Any) -> str:
    """Where a control store keeps its tables, as its head has noted."""
    try:
        found = node.get_gcs_client().internal_kv_get(
            b"extra_usage_tag_gcs_storage", b"usage_stats", timeout=_CONNECT_S
        )
    except Exception as error:  # of any kind: then nobody waits for it
        logger.debug("where Ray's tables are is not known: %s", error)
        return "memory"
    return bytes(found or b"memory").decode()


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
