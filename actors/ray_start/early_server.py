"""A forkserver that a command begins before Ray: it imports beside the command's own imports, which take as long.

What it is to serve is told it once there is a raylet. Only then does it load Ray, whose library reads its environment
as it is loaded. Where the rest of that is not as it was, or where it is gone, another is started as ever.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from barray.actors.forking.handshake import SERVER_ENVIRONMENT
from barray.actors.forking.workers import launcher
from barray.data_sources.environment import STORAGE

_MODULES = (
    # Ray's own, of others.
    "asyncio",
    "click",
    "filelock",
    "google.protobuf.json_format",
    "jsonschema",
    "msgpack",
    "pydantic.v1",
    "requests",
    "yaml",
    # Of DEFAULT_PRELOAD and the coordinators, what imports no Ray.
    "numpy",
    "pyarrow.json",
    "pyarrow.parquet",
    "pyarrow.compute",
    "barray.market.talib_light",
    "barray.data_sources.parquet.source",
    "barray.trading.engine.symbol_run",
    "barray.trading.engine.portfolio",
    "barray.coordinator.messages",
    "barray.coordinator.config.file",
)
"""Two thirds of what a forkserver takes to begin. One that isn't there is passed over."""
_LATER = {b"SPT_NOENV", launcher.JOB_ID, *map(str.encode, STORAGE)}
"""Which none of them reads, beside Ray's."""


@dataclass(eq=False)
class _Early:
    process: subprocess.Popen[bytes]
    channel: socket.socket | None
    environment: Mapping[bytes, bytes]


_begun: list[_Early] = []


def begin() -> None:
    """Begin one, if there is a core for it; OSError where that fails."""
    if len(os.sched_getaffinity(0)) < 2:
        return
    environment = {**SERVER_ENVIRONMENT, **os.environb}
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            launcher.server_command("early", (), str(its.fileno()), ",".join(_MODULES)),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(its.fileno(),),
        )
    _begun.append(_Early(process, ours, environment))


def taken(environment: Mapping[bytes, bytes]) -> socket.socket | None:
    """The way to the one that was begun, if it is as workers with this environment want it; it is told of once."""
    for early in _begun:
        channel, early.channel = early.channel, None
        if channel is not None and _suits(early.environment, {**SERVER_ENVIRONMENT, **environment}):
            return channel
        if channel is not None:
            channel.close()  # which ends it
    return None


def _suits(before: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes]) -> bool:
    differ = {name for name in wanted.keys() | before.keys() if wanted.get(name) != before.get(name)}
    return all(name.startswith(b"RAY_") for name in differ - _LATER)
