"""Stands in for the Python interpreter when a raylet starts a worker.

A raylet runs it as `<stub> .../default_worker.py --node-id=...`, where the stub (written by `barray.actors.forkserver`)
calls `main`. It hands argv, environment, directory and the standard descriptors to this raylet's forkserver, starting
that on first use, and exits once a forked process has taken over. Whatever it does not know, and whatever goes wrong,
goes to the real interpreter.

It runs once per worker, so it imports next to nothing: `_socket` and `_json` instead of `socket` and `json`, types
only when checked (25 ms less).
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii
from _signal import SIG_BLOCK, pthread_sigmask  # type: ignore[import-not-found]
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PREWARM, DISMISS = ORDERS = ("--prewarm", "--dismiss")
WORKER_SCRIPT = "/ray/_private/workers/default_worker.py"
INTERPRETER_FLAGS = frozenset({"-u", "-s", "-S"})
WORKER_FLAGS = frozenset(
    {
        "--cluster-id",
        "--gcs-address",
        "--logging-rotate-backup-count",
        "--logging-rotate-bytes",
        "--metrics-agent-port",
        "--node-id",
        "--node-ip-address",
        "--node-manager-port",
        "--object-store-name",
        "--raylet-name",
        "--redis-address",
        "--redis-password",
        "--redis-username",
        "--runtime-env-agent-port",
        "--runtime-env-hash",
        "--session-name",
        "--temp-dir",
        "--webui",
        "--worker-id",
        "--worker-launch-time-ms",
        "--worker-preload-modules",
    }
)
# What the server gets on top of a worker's environment, unless that sets it. Taken away again in each worker.
SERVER_ENVIRONMENT = {
    # Statistics of Ray's event loops, for its debug log alone. Idle CPU 0.43 -> 0.35 % of a core (medians of 3, noisy).
    b"RAY_event_stats": b"0",
    b"MALLOC_ARENA_MAX": b"2",
    # Without these an import would start threads, and a process with threads cannot fork safely.
    b"OPENBLAS_NUM_THREADS": b"1",
    b"OMP_NUM_THREADS": b"1",
    b"JE_ARROW_MALLOC_CONF": b"background_thread:false",
}
FORKED, DECLINED, DECLINED_AGAIN, GO = b"F", b"D", b"d", b"G"
# A raylet gives a worker 60 s to register. Waiting for the server has to leave time for a stock start.
REPLY_TIMEOUT_S = 25.0
MAX_FAILED_STARTS = 2
MAX_SERVERS = 8  # of one raylet: an environment that differs from worker to worker must not pile up servers


def split_worker_command(argv: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Interpreter flags and the rest (script first) if this command starts a plain Python worker, else None."""
    count = 0
    while count < len(argv) and argv[count] in INTERPRETER_FLAGS:
        count += 1
    flags, command = list(argv[:count]), list(argv[count:])
    if not command or not command[0].endswith(WORKER_SCRIPT):
        return None
    for argument in command[1:]:
        name, equals, value = argument.partition("=")
        if not equals or name not in WORKER_FLAGS or (name == "--runtime-env-hash" and value != "0"):
            return None
    return flags, command


def option(command: Sequence[str], name: str) -> str:
    """The value of `name=value` in a command; ValueError if it has none."""
    for argument in command:
        if argument.startswith(name + "="):
            return argument[len(name) + 1 :]
    raise ValueError(f"the command has no {name}")


def server_key(flags: Sequence[str], script: str, environment: Mapping[bytes, bytes]) -> str:
    """Same key, same server. All of the environment counts: modules and Ray's library read it when they are loaded."""
    parts = [*(flag.encode() for flag in flags), os.fsencode(script)]
    parts += [name + b"=" + environment[name] for name in sorted(environment)]
    return f"{crc32(bytes(1).join(parts)):08x}"


def encode_request(
    command: Sequence[str],
    environment: Mapping[bytes, bytes],
    cwd: bytes,
    group: int,
    oom_score_adj: int,
    blocked: Sequence[int],
) -> bytes:
    """The request as length and JSON. Bytes travel as Latin-1 text, which keeps each of them whatever the locale.

    `group` 0 asks for a process group of its own, `blocked` are signal numbers.
    """

    def text(value: bytes) -> str:
        return encode_basestring_ascii(value.decode("latin-1"))

    argv = ",".join(text(os.fsencode(argument)) for argument in command)
    pairs = ",".join(f"{text(name)}:{text(value)}" for name, value in environment.items())
    numbers = f'"group":{group},"oom_score_adj":{oom_score_adj},"blocked":{list(blocked)}'
    body = f'{{"argv":[{argv}],"env":{{{pairs}}},"cwd":{text(cwd)},{numbers}}}'.encode()
    return len(body).to_bytes(4, "big") + body


def describe_us(command: Sequence[str]) -> bytes:
    """The request for a worker that is what the real interpreter would be if it took this process over."""
    with open("/proc/self/oom_score_adj") as file:
        oom_score_adj = int(file.read())
    group = 0 if os.getpgid(0) == os.getpid() else os.getpgid(0)
    blocked = sorted(map(int, pthread_sigmask(SIG_BLOCK, ())))
    return encode_request(command, os.environb, os.getcwdb(), group, oom_score_adj, blocked)


def check_private(directory: str) -> None:
    """Raises unless the directory is ours alone: who can write to it could pose as the server."""
    status = os.lstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode != 0o040700:
        raise PermissionError(f"{directory} must be a directory of uid {os.geteuid()} with mode 0700")


def connect(path: str) -> socket | None:
    """A connection, or None if nobody listens there."""
    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.settimeout(REPLY_TIMEOUT_S)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def start_server(path: str, raylet: int, arguments: Sequence[str], log_path: str) -> socket | None:
    """A connection to a new server, or to one that another launcher started meanwhile; None if it keeps failing.

    The socket listens before the server runs, so launchers queue on it while it imports. The lock file holds a byte
    for each start since a server was last ready.
    """
    import fcntl

    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return start_server_locked(path, lock, raylet, arguments, log_path)
    finally:
        os.close(lock)


def start_server_locked(path: str, lock: int, raylet: int, arguments: Sequence[str], log_path: str) -> socket | None:
    """`start_server`, while no other launcher can be in it."""
    parent = os.getppid()
    if connection := connect(path):
        return connection
    if os.fstat(lock).st_size >= MAX_FAILED_STARTS:
        return None
    if os.path.lexists(path):
        os.unlink(path)
    names = os.listdir(os.path.dirname(path))
    if sum(name.startswith(f"{raylet}-") and name.endswith(".sock") for name in names) >= MAX_SERVERS:
        return None
    os.write(lock, b".")
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(path)
    listener.listen(4096)
    raylet_handle = os.pidfd_open(raylet)
    if os.getppid() != parent:  # the raylet, or the process that started it: the pid may be another's by now
        raise ProcessLookupError("the raylet ended")
    # Forked twice, so that the server has no parent that would have to wait for it.
    child = os.fork()
    if child == 0:
        try:
            if os.fork() == 0:
                exec_server(listener.fileno(), raylet_handle, arguments, log_path)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    listener.close()
    return connect(path)


def exec_server(listener: int, raylet_handle: int, arguments: Sequence[str], log_path: str) -> NoReturn:
    """Becomes the server: descriptor 3 is the listening socket, 4 the raylet's pidfd; nothing else stays open."""
    import fcntl

    os.setpgid(0, 0)  # the launcher's group would keep the launcher's pid taken
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    # Out of the way first: a source may have the number of a target.
    moved = [fcntl.fcntl(source, fcntl.F_DUPFD, 10) for source in (null, log, log, listener, raylet_handle)]
    for target, source in enumerate(moved):
        os.dup2(source, target)
    os.closerange(5, os.sysconf("SC_OPEN_MAX"))
    os.execve(arguments[0], list(arguments), {**SERVER_ENVIRONMENT, **os.environb})  # noqa: S606 (no shell wanted)


def hand_over(connection: socket, request: bytes) -> bytes:
    """The server's answer; empty if it died.

    The forked process answers FORKED and waits for GO, so that it or we become the worker, and never both.
    """
    try:
        descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
        sent = connection.sendmsg([request], [(SOL_SOCKET, SCM_RIGHTS, descriptors)])
        connection.sendall(request[sent:])
        answer = connection.recv(1)
        if answer == FORKED:
            connection.sendall(GO)
        return answer
    except ConnectionError:
        return b""
    finally:
        connection.close()


class Forkserver:
    """The forkserver of one raylet and environment: those that started this process."""

    def __init__(self, node: Node, flags: Sequence[str], command: Sequence[str]) -> None:
        check_private(node.directory)
        self.raylet = int(os.environ["RAY_RAYLET_PID"])
        name = f"{self.raylet}-{server_key(flags, command[0], os.environb)}"
        self.path = f"{node.directory}/{name}.sock"
        session = f"{option(command, '--temp-dir')}/{option(command, '--session-name')}"
        self.log_path = f"{session}/logs/forkserver-{name}.log"
        modules, paths = ",".join(node.preload), os.pathsep.join(node.paths)
        self.arguments = [node.python, *flags, node.server, self.path, command[0], modules, paths]

    def connect(self) -> socket | None:
        """A connection to the server, which is started if need be; None if it keeps failing."""
        return connect(self.path) or start_server(self.path, self.raylet, self.arguments, self.log_path)

    def dismiss(self) -> None:
        """Nobody will want this server again; without its socket it ends, once it has no workers."""
        if os.path.lexists(self.path):
            os.unlink(self.path)

    def spawn(self, request: bytes) -> bool:
        """Whether a forked worker has taken over."""
        for _ in range(2):  # a server that was killed, or left because it was idle, is started anew
            connection = self.connect()
            answer = hand_over(connection, request) if connection else b""
            if answer == FORKED:
                return True
            if answer == DECLINED:
                warn(f"the forkserver declines to fork, its log says why: {self.log_path}")
            if answer:
                return False
        warn(f"the forkserver does not start, its log may say why: {self.log_path}")
        return False


class Node:
    """What the stub knows: the interpreter, a private directory for sockets, `server.py`, and what to preload."""

    def __init__(self, python: str, directory: str, server: str, preload: Sequence[str], paths: Sequence[str]) -> None:
        self.python, self.directory, self.server, self.preload, self.paths = python, directory, server, preload, paths


def warn(message: str) -> None:
    """Writes to what is still the raylet's stderr, which Ray shows to the driver as "(raylet) ...".

    Once a node and job, as long as the first worker that warned lives: it keeps a name of the kernel's, which needs
    no disk, as that may be full.
    """
    mark = socket(AF_UNIX, SOCK_STREAM)
    told = f"{sys.argv[0]} {os.getppid()} {os.environ.get('RAY_JOB_ID')}"
    try:
        mark.bind(f"\0barray-{crc32(os.fsencode(told)):08x}")
    except OSError:
        return
    os.set_inheritable(mark.detach(), True)
    os.write(2, f"barray: {message}. Workers start Ray's own, slower way.\n".encode())


def main(node: Node) -> NoReturn:
    """`<stub> --prewarm SCRIPT ...` only starts the server that workers with this environment will want; `--dismiss`
    ends it.
    """
    argv = sys.argv[1:]
    order = argv[0] if argv and argv[0] in ORDERS else None
    done = False
    try:
        if parsed := split_worker_command(argv[1:] if order else argv):
            flags, command = parsed
            if order == PREWARM:
                Forkserver(node, flags, command).connect()
            elif order == DISMISS:
                Forkserver(node, flags, command).dismiss()
            elif os.environ.get("RAY_RAYLET_PID") == str(os.getppid()):
                done = Forkserver(node, flags, command).spawn(describe_us(command))
    except Exception as error:  # whatever it is, the real interpreter still starts the worker
        if not order:
            warn(f"no forked worker: {error!r}")
    if done or order:
        os._exit(0)  # skips the interpreter's clean-up
    os.execv(node.python, [node.python, *argv])  # noqa: S606 (no shell wanted)
