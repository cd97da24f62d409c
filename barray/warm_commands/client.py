"""Has a command run by a process forked for it, and stands in for that: its terminal, its signals, its end."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from barray.actors.forking.handshake import FORKED, GO, ask, connect, describe_us
from barray.data_sources.environment import take_credentials
from barray.local.user_folder import notes_folder
from barray.market.errors import ConfigError
from barray.warm_commands.origin import origin

if TYPE_CHECKING:
    from _socket import socket

COMMANDS = (
    "attach",
    "backtest",
    "check",
    "fetch",
    "lookahead",
    "replay-day",
    "run",
    "sweep",
    "validate-dump",
    "warmup",
)
"""Those that may be forked. The others start and end what the server belongs to, or ask for a password."""
SOCKET = "commands.sock"
COLD = "BARRAY_COLD"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_ANSWER_S = 2.0


def run_warm() -> int | None:
    """Have the command of `sys.argv` run, and wait: its exit status, or None if it has to run here.

    A command that dies of a signal takes this process along, by the same signal.
    """
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS or os.environ.get(COLD):
        return None
    try:
        path = notes_folder() / SOCKET
        if not path.exists():
            return None
        request = _request()  # before it connects: the server waits for nobody to think
        take_credentials()
        connection = connect(str(path), _ANSWER_S)
    except (OSError, ConfigError):  # it is not to be trusted
        return None
    if connection is None:
        return None
    try:
        answer, reason, process = _ask(connection, request)
        if answer == FORKED and process is not None:
            return _stand_in(connection, process)
    finally:
        connection.close()
    if os.environ.get("BARRAY_DEBUG"):
        print(f"not run by the process that `barray up` keeps: {reason}", file=sys.stderr)
    return None


def _ask(connection: socket, request: bytes) -> tuple[bytes, str, int | None]:
    try:
        return ask(connection, request)
    except OSError as error:  # the server is gone by now, or a descriptor of ours is closed
        return b"", f"it does not answer: {error}", None


def _request() -> bytes:
    more = {"orig_argv": sys.orig_argv, "path": sys.path, "origin": origin()}
    return describe_us(sys.argv, 0, json.dumps(more))


def _stand_in(connection: socket, process: int) -> int:
    """Wait for the process, a pidfd, to end; pass on signals meanwhile."""
    _pass_on_signals(process)
    connection.settimeout(None)
    status = b""
    with suppress(OSError):
        connection.sendall(GO)
        status = connection.recv(16)
    if not status:
        _send(process, signal.SIGKILL)
        print("error: the process that `barray up` keeps is gone, and this command with it", file=sys.stderr)
        return 1
    return _end_alike(os.waitstatus_to_exitcode(int(status)))


def _pass_on_signals(process: int) -> None:
    def pass_on(number: int, _: FrameType | None) -> None:
        _send(process, number)

    def stop(*_: object) -> None:
        _send(process, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)

    handlers: dict[signal.Signals, Any] = dict.fromkeys(_PASSED_ON, pass_on)
    handlers |= {signal.SIGTSTP: stop, signal.SIGCONT: pass_on}
    for number, handler in handlers.items():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def _end_alike(code: int) -> int:
    """The exit status; where it was a signal, this process ends by it, too."""
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
