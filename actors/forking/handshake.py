"""What a process says to have another forked in its place, and what it is told.

    asks: the request, with descriptors 0, 1, 2 and its directory       told: FORKED, or DECLINED and the reason
    says: GO                                                            the forked process goes on
                                                                        a worker: BORN, once its raylet knows of it

Without GO it ends: one of the two goes on, and never both. `request` is the server's half.

It imports next to nothing: `_socket` and `_json` instead of `socket` and `json`, types only when checked.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii
from _signal import SIG_BLOCK, pthread_sigmask  # type: ignore[import-not-found]
from _socket import AF_UNIX, CMSG_SPACE, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER_ENVIRONMENT = {
    # Statistics of Ray's event loops, for its debug log alone. Idle CPU 0.43 -> 0.35 % of a core (medians of 3, noisy).
    b"RAY_event_stats": b"0",
    b"MALLOC_ARENA_MAX": b"2",
    # Without these an import would start threads, and a process with threads cannot fork safely.
    b"OPENBLAS_NUM_THREADS": b"1",
    b"OMP_NUM_THREADS": b"1",
    b"JE_ARROW_MALLOC_CONF": b"background_thread:false",
}
"""What a server gets on top of its environment, unless that sets it. Taken away again in each forked process."""
FORKED, DECLINED, DECLINED_AGAIN, GO, BORN = b"F", b"D", b"d", b"G", b"B"
MAX_ANSWER_BYTES = 1000


def encode_request(
    argv: Sequence[str],
    environment: Mapping[bytes, bytes],
    umask: int,
    group: int,
    oom_score_adj: int,
    blocked: Sequence[int],
    more: str = "null",
) -> bytes:
    """The request as length and JSON. Bytes travel as Latin-1 text, which keeps each of them whatever the locale.

    `group` 0 asks for a process group of its own, `blocked` are signal numbers, `more` is JSON for who runs it.
    """

    def text(value: bytes) -> str:
        return encode_basestring_ascii(value.decode("latin-1"))

    words = ",".join(text(os.fsencode(argument)) for argument in argv)
    pairs = ",".join(f"{text(name)}:{text(value)}" for name, value in environment.items())
    numbers = f'"umask":{umask},"group":{group},"oom_score_adj":{oom_score_adj},"blocked":{list(blocked)}'
    body = f'{{"argv":[{words}],"environment":{{{pairs}}},{numbers},"more":{more}}}'.encode()
    return len(body).to_bytes(4, "big") + body


def describe_us(argv: Sequence[str], group: int, more: str = "null") -> bytes:
    """The request for a process that is what this one would be if it ran `argv` itself."""
    umask = os.umask(0o077)
    os.umask(umask)
    with open("/proc/self/oom_score_adj") as file:
        oom_score_adj = int(file.read())
    blocked = sorted(map(int, pthread_sigmask(SIG_BLOCK, ())))
    return encode_request(argv, os.environb, umask, group, oom_score_adj, blocked, more)


def connect(path: str, timeout_s: float) -> socket | None:
    """A connection, whose every operation takes at most `timeout_s`; None if nobody listens there."""
    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def ask(connection: socket, request: bytes) -> tuple[bytes, str, int | None]:
    """FORKED, DECLINED, DECLINED_AGAIN or nothing if the server died; the reason; and a pidfd of what was forked.

    The pidfd is that of a server which tells how its processes end. OSError.
    """
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY)
    try:
        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2, directory))
        sent = connection.sendmsg([request], [(SOL_SOCKET, SCM_RIGHTS, numbers)])
    finally:
        os.close(directory)
    if rest := request[sent:]:  # to send nothing is an error where the answer is there and the other end closed
        connection.sendall(rest)
    answer, ancillary, *_ = connection.recvmsg(MAX_ANSWER_BYTES, CMSG_SPACE(4))
    process = int.from_bytes(ancillary[0][2], sys.byteorder) if ancillary else None
    return answer[:1], answer[1:].decode(errors="replace"), process
