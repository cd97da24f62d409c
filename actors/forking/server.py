"""Serves one private socket: checks each request, forks, watches, reaps; ends with the process that holds it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .become import become
from .handshake import DECLINED, DECLINED_AGAIN, FORKED, GO, MAX_ANSWER_BYTES
from .request import Request, close_all, receive
from .safety import thread_count

_GO_TIMEOUT_S = 30.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Rules(Protocol):
    """What differs from server to server."""

    def objection(self, request: Request) -> str | None:
        """Why this request is better not served, if it is."""

    def is_over(self, *, asked: bool) -> bool:
        """Whether a server without children should end. `asked`: somebody asks, and is not answered then."""


@dataclass(frozen=True)
class _Child:
    pid: int
    process: int
    """A pidfd."""
    client: socket.socket | None
    """Who waits for its end."""


class Server:
    """Accepts requests, forks, and reaps what it forked.

    `path`, `listener`: the socket. `holder`: a descriptor to poll, readable or closed once nothing holds this server.
    `environment`: what this process was started with. `attended`: clients wait for the end of what was forked for them;
    it ends with its client, and with this process. `glance_s`: how often it is looked in the quiet whether it is over.
    """

    def __init__(
        self,
        path: str,
        listener: socket.socket,
        holder: int,
        rules: Rules,
        environment: Mapping[bytes, bytes],
        *,
        attended: bool,
        farewell_s: float,
        glance_s: float | None = None,
    ) -> None:
        self._path, self._listener, self._holder = path, listener, holder
        self._rules, self._environment = rules, environment
        self._attended, self._farewell_s, self._glance_s = attended, farewell_s, glance_s
        self._socket_file = _file_number(path)
        self._pid = os.getpid()
        self._libc = ctypes.CDLL(None) if attended else None
        self._children: dict[int, _Child] = {}
        """By pidfd, and by the descriptor of who waits."""
        self._has_declined = False
        self.is_held = True
        self.client: socket.socket | None = None
        """In a forked child that is not attended: who asked for it, and may wait to hear of it."""
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._poll.register(holder, select.POLLIN)

    def serve(self) -> Request | None:
        """Returns the request in each forked child, and None at the end of service, which leaves the socket open."""
        while not self._is_over(asked=False):
            ready = self._wait(None if self._children else self._glance_s)
            if self._holder in ready:
                self.is_held = False
                self._farewell()
                return None
            self._look_after_children(ready)
            if self._listener.fileno() in ready and not self._is_over(asked=True) and (request := self._answer()):
                return request
        return None

    def _wait(self, seconds: float | None) -> set[int]:
        return {descriptor for descriptor, _ in self._poll.poll(None if seconds is None else seconds * 1000)}

    def _is_over(self, *, asked: bool) -> bool:
        return not self._children and (not self._is_reachable() or self._rules.is_over(asked=asked))

    def _is_reachable(self) -> bool:
        """Not if somebody has removed the socket, maybe while things were imported, or put another in its place."""
        return self._socket_file is not None and _file_number(self._path) == self._socket_file

    def close(self) -> None:
        """Close the socket: clients that are in the queue by now get a reset; others find nobody."""
        if self._is_reachable():
            os.unlink(self._path)
        self._listener.close()

    def _answer(self) -> Request | None:
        """Answers the next connection; returns its request in the forked child, and None in the server."""
        connection, _ = self._listener.accept()
        try:
            request = receive(connection)
        except (OSError, EOFError, ValueError, RecursionError) as error:
            if not isinstance(error, EOFError):  # somebody only wanted to know whether a server is here
                log(f"dropped a request: {error!r}")
            connection.close()
            return None
        pid = self._fork(connection, request)
        if pid == 0:
            self._take_over(connection, request)
            return request
        close_all(request.descriptors)
        if not (pid and self._attended):
            connection.close()
        return None

    def _fork(self, connection: socket.socket, request: Request) -> int | None:
        """The child's pid, 0 in the child; None if it is not to be, or failed."""
        try:
            if reason := self._objection(request):
                log(f"declined: {reason}")
                answer = DECLINED_AGAIN if self._has_declined else DECLINED
                self._has_declined = True
                connection.sendall((answer + reason.encode(errors="replace"))[:MAX_ANSWER_BYTES])
                return None
            pid = os.fork()
            if pid:
                self._watch(pid, connection if self._attended else None)
        except OSError as error:
            log(f"could not fork: {error}")
            return None
        return pid

    def _objection(self, request: Request) -> str | None:
        if (count := thread_count()) != 1:
            return f"{count} threads"
        try:
            return self._rules.objection(request)
        except (AttributeError, KeyError, TypeError) as error:
            return f"what it says makes no sense: {error!r}"

    def _watch(self, pid: int, client: socket.socket | None) -> None:
        try:
            process = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        child = _Child(pid, process, client)
        self._children[child.process] = child
        self._poll.register(child.process, select.POLLIN)
        if client:
            self._children[client.fileno()] = child
            self._poll.register(client, select.POLLRDHUP)

    def _take_over(self, connection: socket.socket, request: Request) -> None:
        """In the child: becomes what was asked for, once the client has given way to it."""
        taken = False
        try:
            if self._libc:
                self._libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
                if os.getppid() != self._pid:  # it was too late
                    return
            self._listener.close()
            for child in set(self._children.values()):
                _release(child)
            if self._holder:  # 0 is about to become the client's
                os.close(self._holder)
            become(request, self._environment)
            connection.settimeout(_GO_TIMEOUT_S)
            self._tell_forked(connection)
            taken = connection.recv(1) == GO
            if self._attended:
                connection.close()
            else:
                self.client = connection
        finally:
            if not taken:  # whatever went wrong, no child goes on as a server
                os._exit(1)

    def _tell_forked(self, connection: socket.socket) -> None:
        if not self._attended:
            connection.sendall(FORKED)
            return
        process = os.pidfd_open(os.getpid())
        socket.send_fds(connection, [FORKED], [process])
        os.close(process)

    def _look_after_children(self, ready: set[int]) -> None:
        for descriptor in ready & self._children.keys():
            child = self._children.get(descriptor)
            if child is None:  # reaped by its other descriptor
                continue
            if descriptor == child.process:
                self._reap(child)
            else:  # nobody waits for it any more: its client was killed
                self._poll.unregister(descriptor)
                os.kill(child.pid, signal.SIGKILL)

    def _reap(self, child: _Child) -> None:
        """Tells how it ended, to who waits for that."""
        _, status = os.waitpid(child.pid, 0)
        self._forget(child.process)
        if child.client:
            self._forget(child.client.fileno())
            with contextlib.suppress(OSError):
                child.client.sendall(b"%d" % status)
        _release(child)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)
        del self._children[descriptor]

    def _farewell(self) -> None:
        """Waits for the children, which see that their holder is gone, then ends those that did not."""
        self._poll.unregister(self._holder)
        self._poll.unregister(self._listener)
        self.close()
        deadline = time.monotonic() + self._farewell_s
        while self._children:
            left = deadline - time.monotonic()
            if left <= 0:
                for child in self._children.values():
                    os.kill(child.pid, signal.SIGKILL)
            self._look_after_children(self._wait(left if left > 0 else None))


def _file_number(path: str) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_ino
    return None


def _release(child: _Child) -> None:
    os.close(child.process)
    if child.client:
        child.client.close()


def log(message: str) -> None:
    """Writes to the server's log file, which is its stderr."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), os.getpid(), message, file=sys.stderr, flush=True)
