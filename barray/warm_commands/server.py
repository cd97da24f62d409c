"""Imports what commands need, once; then forks a process for each command that `client` hands over.

Run as a process of its own by what holds a warm Ray, with a pipe from that as standard input: it ends with its holder.
It never connects to Ray, and has one thread. Only this user can reach its socket.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from barray.actors.forkserver.launcher import SERVER_ENVIRONMENT
from barray.actors.forkserver.server import draw_alike, thread_count
from barray.cli.here import run_here
from barray.coordinator import runtime
from barray.local.user_folder import notes_folder
from barray.warm_commands.client import COLD, GO, MAX_BYTES, SOCKET
from barray.warm_commands.origin import Origin, difference, origin

_HOLDER = 0
_MODULES = (
    *("typer", "rich.console", "rich.markup", "rich.progress", "rich.table", "orjson"),
    *("pyarrow.parquet", "pyarrow.compute", "pydantic.v1"),
    *(
        "barray.coordinator.config.file",
        "barray.coordinator.windowed_backtest",
        "barray.actors.options",
        "barray.actors.handles",
    ),
    *("barray.run_backtest", "barray.report.files", "barray.trading.results.numbers", "barray.session", "barray.check"),
    *(
        "barray.run_sweep",
        "barray.report.sweep_page",
        "barray.analysis",
        "barray.dump.validate",
        "barray.dump.violations",
    ),
)
"""Not `barray.cli.app`, which looks at the terminal when it is imported."""
_REQUEST_S = 2.0
_FAREWELL_S = 5.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_Stamp = tuple[int, int, int] | None
"""When a file was last changed in any way, its size and number; None if it is gone."""
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Request:
    """A command: the client's `sys.argv`, `sys.orig_argv`, `sys.path`, umask and environment.

    `descriptors`: what becomes 0, 1, 2, and its directory.
    """

    argv: list[str]
    orig_argv: list[str]
    path: list[str]
    umask: int
    environment: dict[str, str]
    origin: Origin
    descriptors: list[int]


@dataclass(frozen=True)
class _Run:
    pid: int
    process: int
    """A pidfd."""
    connection: socket.socket


class Server:
    """Accepts requests; forks, watches and reaps the commands."""

    def __init__(self, path: Path, ours: Origin, began_ns: int) -> None:
        self._origin = ours
        self._code = _stamps()
        self._is_outdated = any(stamp is None or stamp[0] >= began_ns for stamp in self._code.values())
        self._path = path
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()
        self.begins_anew = False
        self._runs: dict[int, _Run] = {}
        """By the descriptor of the process, and by that of the connection."""
        self._poll = select.poll()
        self._poll.register(_HOLDER, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)

    def serve(self) -> Request | None:
        """Returns the request in each forked child, and None at the end of service."""
        while self._runs or not self.begins_anew:
            for descriptor, _ in self._poll.poll():
                if descriptor == _HOLDER:
                    self._farewell()
                    self.begins_anew = False
                    return None
                if descriptor == self._listener.fileno():
                    if (request := self._accept()) is not None:
                        return request
                elif (run := self._runs.get(descriptor)) is not None:
                    if descriptor == run.process:
                        self._reap(run)
                    else:  # nobody waits for it any more: the client was killed, and so is the command
                        self._poll.unregister(descriptor)
                        os.kill(run.pid, signal.SIGKILL)
        self._listener.close()
        return None

    def _accept(self) -> Request | None:
        connection = self._listener.accept()[0]
        request = None
        try:
            request = receive(connection)
            if reason := self._objection(request):
                _log(f"declined: {reason}")
                connection.sendall(json.dumps({"declined": reason}).encode() + b"\n")
                connection.close()
            elif self._fork(connection):
                return request
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log(f"a request failed: {type(error).__name__}")
            connection.close()
        if request is not None:
            for descriptor in request.descriptors:
                os.close(descriptor)
        return None

    def _objection(self, request: Request) -> str | None:
        if reason := difference(self._origin, request.origin):
            return reason
        if self._is_outdated or self._code != _stamps():
            self._is_outdated = self.begins_anew = True
            return "the code has changed since"
        return None if thread_count() == 1 else f"{thread_count()} threads"

    def _fork(self, connection: socket.socket) -> bool:
        """True in the child, once it may go on."""
        parent = os.getpid()
        pid = os.fork()
        if pid:
            process = os.pidfd_open(pid)
            run = _Run(pid, process, connection)
            self._runs |= {process: run, connection.fileno(): run}
            self._poll.register(process, select.POLLIN)
            self._poll.register(connection, select.POLLRDHUP)
            with suppress(OSError):  # the client is gone, which the child sees
                socket.send_fds(connection, [b"{}\n"], [process])
            return False
        goes_on = False
        try:
            _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
            self._listener.close()
            for run in {run.pid: run for run in self._runs.values()}.values():
                os.close(run.process)
                run.connection.close()
            goes_on = os.getppid() == parent and connection.recv(1) == GO
            connection.close()
        finally:
            if not goes_on:
                os._exit(1)
        return True

    def _reap(self, run: _Run) -> None:
        _, status = os.waitpid(run.pid, 0)
        for descriptor in (run.process, run.connection.fileno()):
            with suppress(KeyError):
                self._poll.unregister(descriptor)
            del self._runs[descriptor]
        with suppress(OSError):
            run.connection.sendall(b"%d" % status)
        run.connection.close()
        os.close(run.process)

    def _farewell(self) -> None:
        """Waits for the commands, which see that their Ray is gone, then ends those that did not."""
        self._path.unlink(missing_ok=True)
        self._poll.unregister(_HOLDER)
        self._poll.unregister(self._listener)
        deadline = time.monotonic() + _FAREWELL_S
        while self._runs:
            left = max(0.0, deadline - time.monotonic())
            ready = self._poll.poll(left * 1000)
            for run in {run.pid: run for run in self._runs.values()}.values():
                if not left:
                    os.kill(run.pid, signal.SIGKILL)
                if not left or (run.process, select.POLLIN) in ready:
                    self._reap(run)


def receive(connection: socket.socket) -> Request:
    """Reads one request; with whatever error, the descriptors it brought are closed."""
    connection.settimeout(_REQUEST_S)
    data, descriptors, *_ = socket.recv_fds(connection, 4, 4)
    try:
        if len(data) != 4 or len(descriptors) != 4 or (size := int.from_bytes(data, "big")) > MAX_BYTES:
            raise ValueError("not a request")
        body = bytearray()
        while len(body) < size:
            if not (chunk := connection.recv(size - len(body))):
                raise ValueError("a truncated request")
            body += chunk
        return Request(**json.loads(body), descriptors=descriptors)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def become(request: Request) -> None:
    """Make this forked process what the client would be, had it run the command itself."""
    os.setpgid(0, 0)
    *standard, folder = request.descriptors
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
    os.fchdir(folder)
    for descriptor in request.descriptors:
        os.close(descriptor)
    os.umask(request.umask)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv, sys.path[:] = request.argv, request.path
    sys.orig_argv[:] = request.orig_argv
    for stream, target in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.reconfigure(line_buffering=target == 2 or os.isatty(target))  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()  # `random` reseeds itself after a fork, uuid and secrets ask the kernel
    runtime.name_process(" ".join(["barray", *request.argv[1:]]))
    gc.enable()


def run_command(request: Request) -> NoReturn:
    """Run the command in this forked process, to its end."""
    become(request)
    try:
        run_here()
    except runtime.BegunForLoopback:
        os.execve(sys.executable, request.orig_argv, {**os.environ, COLD: "1"})  # noqa: S606
    sys.exit()


def _stamps() -> dict[str, _Stamp]:
    """Every file that was imported, as it is now."""
    stamps: dict[str, _Stamp] = {}
    for module in list(sys.modules.values()):
        if path := getattr(module, "__file__", None):
            try:
                status = os.stat(path)
                stamps[path] = status.st_ctime_ns, status.st_size, status.st_ino
            except OSError:
                stamps[path] = None
    return stamps


def _log(message: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), "commands:", message, file=sys.stderr, flush=True)


def main() -> None:
    """Import, serve; in each forked child, run the command. Begins anew where the code has changed."""
    began_ns = time.time_ns()
    environment, ours = dict(os.environ), origin()
    os.environb.update(SERVER_ENVIRONMENT)
    gc.disable()
    runtime.load_for_loopback()
    for name in _MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # keeps the collector from writing to, and so copying, the pages that commands share
    if thread_count() != 1 or draw_alike():
        _log("no fork is safe: an import has started a thread or drawn ids of Ray")
        return
    server = Server(notes_folder() / SOCKET, ours, began_ns)
    if (request := server.serve()) is not None:
        run_command(request)
    if server.begins_anew:
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606


if __name__ == "__main__":
    main()
