"""The server's half of `handshake`: who asks, and what for."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_REQUEST_BYTES = 16 << 20
REQUEST_TIMEOUT_S = 2.0
"""For all of a request: a client can hold up the others by no more than this."""
_DESCRIPTORS = 4


@dataclass(frozen=True)
class Request:
    """What a forked process is to be; see `handshake.encode_request`.

    `descriptors`: what becomes 0, 1, 2, and its directory. `more`: what else the server and its client have agreed on.
    """

    argv: list[str]
    environment: dict[bytes, bytes]
    umask: int
    group: int
    oom_score_adj: int
    blocked: list[int]
    more: Any
    descriptors: list[int]


def receive(connection: socket.socket) -> Request:
    """Reads one request of a process of this user.

    OSError, EOFError (nothing was sent) or ValueError, with the descriptors it brought closed.
    """
    _check_peer(connection)
    descriptors: list[int] = []
    try:
        return decode(_read_body(connection, descriptors), descriptors)
    except BaseException:
        close_all(descriptors)
        raise
    finally:
        connection.settimeout(REQUEST_TIMEOUT_S)


def decode(body: bytes, descriptors: list[int]) -> Request:
    """ValueError (RecursionError) unless the body is just what `handshake.encode_request` makes."""
    fields = json.loads(body)
    try:
        argv = [os.fsdecode(_raw(argument)) for argument in fields["argv"]]
        environment = {_raw(name): _raw(value) for name, value in fields["environment"].items()}
        umask, group, oom_score_adj = numbers = [fields["umask"], fields["group"], fields["oom_score_adj"]]
        blocked = list(fields["blocked"])
        request = Request(argv, environment, umask, group, oom_score_adj, blocked, fields["more"], descriptors)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"malformed request: {error!r}") from error
    if any(type(number) is not int for number in (*numbers, *blocked)) or len(descriptors) != _DESCRIPTORS or not argv:
        raise ValueError("malformed request")
    return request


def close_all(descriptors: Iterable[int]) -> None:
    """Closes them."""
    for descriptor in descriptors:
        os.close(descriptor)


def _check_peer(connection: socket.socket) -> None:
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", peer)[1] != os.geteuid():
        raise PermissionError("a request of another user")


def _read_body(connection: socket.socket, descriptors: list[int]) -> bytes:
    """The body; what it brings is added to `descriptors`."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    data = bytearray()
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        if len(data) >= 4 and int.from_bytes(data[:4], "big") > MAX_REQUEST_BYTES:
            raise ValueError("request too long")
        connection.settimeout(max(0.001, deadline - time.monotonic()))  # 0 would mean: don't wait
        chunk, ancillary, *_ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(4 * _DESCRIPTORS))
        for level, kind, numbers in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.extend(array.array("i", numbers[: len(numbers) - len(numbers) % 4]))
        if not chunk and not data:
            raise EOFError
        if not chunk or time.monotonic() > deadline or len(descriptors) > _DESCRIPTORS:
            raise ValueError("truncated request")
        data += chunk
    return bytes(data[4:])


def _raw(text: object) -> bytes:
    if not isinstance(text, str) or "\0" in text:
        raise ValueError("not a text without NUL")
    return text.encode("latin-1")
