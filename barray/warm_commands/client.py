"""Has a command run by a process forked for it, and stands in for that: its terminal, its signals, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

from barray.local.user_folder import notes_folder
from barray.market.errors import ConfigError
from barray.warm_commands.origin import origin

COMMANDS = ("attach", "backtest", "check", "fetch", "lookahead", "run", "sweep", "validate-dump", "warmup")
"""Those that may be forked. The others start and end what the server belongs to, or ask for a password."""
SOCKET = "commands.sock"
COLD = "BARRAY_COLD"
GO = b"G"
MAX_BYTES = 16 << 20
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ANSWER_S = 2.0


def run_warm() -> int | None:
    """Have the command of `sys.argv` run, and wait: its exit status, or None if it has to run here.

    A command that dies of a signal takes this process along, by the same signal.
    """
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS or os.environ.get(COLD):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(notes_folder() / SOCKET))
            _ask(connection)
            answer, process = _answer(connection)
        except (OSError, ValueError, ConfigError):  # none is up, or it is not to be trusted, or a descriptor is closed
            return None
        if process is None:
            if os.environ.get("BARRAY_DEBUG"):
                print(f"not run by the process that `barray up` keeps: {answer.get('declined')}", file=sys.stderr)
            return None
        return _stand_in(connection, process)


def _ask(connection: socket.socket) -> None:
    umask = os.umask(0o077)
    os.umask(umask)
    request = {
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "path": sys.path,
        "umask": umask,
        "environment": dict(os.environ),
        "origin": origin(),
    }
    body = json.dumps(request).encode()
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        socket.send_fds(connection, [len(body).to_bytes(4, "big")], [0, 1, 2, folder])
    finally:
        os.close(folder)
    connection.sendall(body)


def _answer(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    """What the server says, and a pidfd of the process that waits for the word to go. OSError, ValueError."""
    line, descriptors, *_ = socket.recv_fds(connection, 1 << 16, 1)
    while line and not line.endswith(b"\n"):
        more = connection.recv(1 << 16)
        line = line + more if more else b""
    return json.loads(line), descriptors[0] if descriptors else None


def _stand_in(connection: socket.socket, process: int) -> int:
    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)

    def pass_on(number: int, _: FrameType | None) -> None:
        send(number)

    def stop(*_: object) -> None:
        send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)

    handlers: dict[signal.Signals, Any] = dict.fromkeys(_PASSED_ON, pass_on)
    handlers |= {signal.SIGTSTP: stop, signal.SIGCONT: pass_on}
    for number, handler in handlers.items():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    connection.settimeout(None)
    status = None
    with suppress(OSError):
        connection.sendall(GO)
        status = connection.recv(16)
    if not status:
        send(signal.SIGKILL)
        print("error: the process that `barray up` keeps is gone, and this command with it", file=sys.stderr)
        return 1
    code = os.waitstatus_to_exitcode(int(status))
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
