"""Stands in for the Python interpreter when a raylet starts a worker.

A raylet runs `python -ISc "… main()" FOLDER MODULES …/default_worker.py --node-id=…`, as `barray.actors.ray_start` has
told it to. The launcher hands argv, environment, directory and the standard descriptors to this raylet's forkserver,
whose socket lies in FOLDER, starting it on first use, and exits once a forked process has taken over and registered.
Whatever it does not know, and whatever goes wrong, goes to the real interpreter.

It runs once per worker, so it imports next to nothing (25 ms less).
"""

from __future__ import annotations

import os
import sys
import time
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, socket
from binascii import crc32

from ..handshake import (
    BORN,
    DECLINED,
    DECLINED_AGAIN,
    FORKED,
    GO,
    SERVER_ENVIRONMENT,
    ask,
    connect,
    describe_us,
    encode_request,
)
from ..private_folder import check_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PREWARM = "--prewarm"
JOB_ID, NO_JOB = b"RAY_JOB_ID", b"ffffffff"
"""Of a worker, and what it is of one that a raylet starts ahead, for whichever job comes to want it."""
WORKER_SCRIPT = "/ray/_private/workers/default_worker.py"
SETUP_SCRIPT = "/ray/_private/workers/setup_worker.py"
RUNTIME_ENV, FOR_SETUP = "--serialized-runtime-env-context=", "--language=PYTHON"
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
# A raylet gives a worker 60 s to register. Waiting for the server has to leave time for a stock start.
REPLY_TIMEOUT_S = 25.0
# Before a worker that was killed while it registered is replaced: the raylet may know it by now, and has to have seen
# it go when another of the same id comes, which it then refuses.
SETTLE_S = 1.0
UNBORN = b"U"
MAX_FAILED_STARTS = 2
MAX_SERVERS = 8  # of one raylet: an environment that differs from worker to worker must not pile up servers


def without_setup(argv: Sequence[str]) -> list[str]:
    """The command without Ray's script that makes a runtime environment, where there is none to be made.

    A raylet leaves the script out itself, but only where it is the second word of a command.
    """
    if not argv or not argv[0].endswith(SETUP_SCRIPT) or any(word.startswith(RUNTIME_ENV) for word in argv):
        return list(argv)
    return [word for word in argv[1:] if word != FOR_SETUP]


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
    """Same key, same server. All of the environment but the job counts: modules and Ray read it as they load."""
    parts = [*(flag.encode() for flag in flags), os.fsencode(script)]
    parts += [name + b"=" + environment[name] for name in sorted(environment) if name != JOB_ID]
    return f"{crc32(bytes(1).join(parts)):08x}"


def start_server(
    path: str, raylet: int, arguments: Sequence[str], log_path: str, early: int | None = None
) -> socket | None:
    """A connection to a new server, or to one that another launcher started meanwhile; None if it keeps failing.
    `early`: number of a socket at whose other end a server has begun to import, and waits for a raylet.

    The socket listens before the server runs, so launchers queue on it while it imports. The lock file holds a byte
    for each start since a server was last ready.
    """
    import fcntl

    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return start_server_locked(path, lock, raylet, arguments, log_path, early)
    finally:
        os.close(lock)


def start_server_locked(
    path: str, lock: int, raylet: int, arguments: Sequence[str], log_path: str, early: int | None
) -> socket | None:
    """`start_server`, while no other launcher can be in it."""
    parent = os.getppid()
    if connection := connect(path, REPLY_TIMEOUT_S):
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
    if early is None or not took_on(early, listener.fileno(), raylet_handle, arguments, log_path):
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
    return connect(path, REPLY_TIMEOUT_S)


def took_on(early: int, listener: int, raylet_handle: int, arguments: Sequence[str], log_path: str) -> bool:
    """Whether a server that has begun early is there to be told whose it is."""
    handles = [*standard_descriptors(log_path), listener, raylet_handle]
    numbers = b"".join(handle.to_bytes(4, sys.byteorder) for handle in handles)
    told = encode_request(arguments, server_environment(), 0, 0, 0, ())
    channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, early)
    try:
        channel.sendmsg([told], [(SOL_SOCKET, SCM_RIGHTS, numbers)])
    except OSError:
        return False
    finally:
        channel.close()
    return True


def standard_descriptors(log_path: str) -> tuple[int, int]:
    """For a server: nothing to read, and a log."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    return os.open(os.devnull, os.O_RDWR), log


def take_places(handles: Sequence[int]) -> None:
    """What to read, a log, the listening socket and the raylet come to be where a server has them, and nowhere else."""
    import fcntl

    # Out of the way first: a source may have the number of a target.
    null, log, listener, raylet_handle = moved = [fcntl.fcntl(handle, fcntl.F_DUPFD, 10) for handle in handles]
    for handle in handles:
        os.close(handle)
    for target, source in enumerate((null, log, log, listener, raylet_handle)):
        os.dup2(source, target)
    for handle in moved:
        os.close(handle)


def server_environment() -> dict[bytes, bytes]:
    """A server's, as of this process's."""
    return {**SERVER_ENVIRONMENT, **os.environb, JOB_ID: NO_JOB}


def exec_server(listener: int, raylet_handle: int, arguments: Sequence[str], log_path: str) -> NoReturn:
    """Becomes the server: descriptor 3 is the listening socket, 4 the raylet's pidfd; nothing else stays open."""
    os.setpgid(0, 0)  # the launcher's group would keep the launcher's pid taken
    take_places([*standard_descriptors(log_path), listener, raylet_handle])
    os.closerange(5, os.sysconf("SC_OPEN_MAX"))
    os.execve(arguments[0], list(arguments), server_environment())  # noqa: S606 (no shell wanted)


def hand_over(connection: socket, request: bytes) -> tuple[bytes, str]:
    """The server's answer, empty if it died, and its reason. If it is FORKED, this process is not to go on.

    UNBORN if the worker ended before its raylet, which lives, knew of it, and so would miss it only after a minute.
    """
    try:
        answer, reason, _ = ask(connection, request)
        if answer == FORKED:
            connection.sendall(GO)
            return (UNBORN if died_unborn(connection) else FORKED), ""
        return answer, reason
    except ConnectionError:
        return b"", ""
    finally:
        connection.close()


def died_unborn(connection: socket) -> bool:
    """Whether the worker at the other end ended before it said BORN, and its raylet still waits for it.

    False where it is merely slow.
    """
    try:
        return connection.recv(1) != BORN and os.environ["RAY_RAYLET_PID"] == str(os.getppid())
    except TimeoutError:
        return False


def describe_worker(command: Sequence[str]) -> bytes:
    """The request for a worker that is what the real interpreter would be if it took this process over."""
    return describe_us(command, 0 if os.getpgid(0) == os.getpid() else os.getpgid(0))


def server_command(entry: str, flags: Sequence[str], *arguments: str) -> list[str]:
    """Starts a server by one of its entries, with these arguments and where our packages lie."""
    actors = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    project = os.path.dirname(os.path.dirname(actors))
    # `-c` has the working directory searched first: not what lies there is meant
    code = f"import sys; sys.path[: not sys.flags.safe_path] = [{actors!r}]; from forking.workers import server; "
    code += f"server.{entry}(*sys.argv[1:])"
    return [sys.executable, *flags, "-c", code, *arguments, project]


class Forkserver:
    """The forkserver of one raylet and environment: those that started this process. `folder`: for its socket."""

    def __init__(self, folder: str, modules: str, flags: Sequence[str], command: Sequence[str]) -> None:
        check_private(folder)
        self.folder = folder
        self.raylet = int(os.environ["RAY_RAYLET_PID"])
        name = f"{self.raylet}-{server_key(flags, command[0], os.environb)}"
        self.path, self.log_path = f"{folder}/{name}.sock", f"{folder}/{name}.log"
        self.arguments = server_command("main", flags, self.path, command[0], modules)

    def connect(self, early: int | None = None) -> socket | None:
        """A connection to the server, which is started if need be; None if it keeps failing. `early`: see
        start_server.
        """
        found = connect(self.path, REPLY_TIMEOUT_S)
        return found or start_server(self.path, self.raylet, self.arguments, self.log_path, early)

    def spawn(self, request: bytes) -> bool:
        """Whether a forked worker has taken over."""
        for _ in range(2):  # a server that was killed, or whose socket is gone, is started anew
            connection = self.connect()
            answer, reason = hand_over(connection, request) if connection else (b"", "")
            if answer == FORKED:
                return True
            if answer == DECLINED:
                warn(f"the forkserver declines to fork: {reason}", self.folder)
            if answer in (DECLINED, DECLINED_AGAIN):
                return False
            if answer == UNBORN:
                time.sleep(SETTLE_S)
        failure = "has forked workers that ended at once" if answer == UNBORN else "does not start"
        warn(f"the forkserver {failure}, its log may say why: {self.log_path}", self.folder)
        return False


def warn(message: str, folder: str) -> None:
    """Writes to what is still the raylet's stderr, which Ray shows to the driver as "(raylet) ...".

    Once a node and job, as long as the first worker that warned lives: it keeps a name of the kernel's, which needs
    no disk, as that may be full.
    """
    mark = socket(AF_UNIX, SOCK_STREAM)
    told = f"{folder} {os.getppid()} {os.environ.get('RAY_JOB_ID')}"
    try:
        mark.bind(f"\0barray-{crc32(os.fsencode(told)):08x}")
    except OSError:
        return
    os.set_inheritable(mark.detach(), True)
    os.write(2, f"barray: {message}. Workers start Ray's own, slower way.\n".encode())


def main() -> NoReturn:
    """`… FOLDER MODULES --prewarm SCRIPT` only starts the server that workers with this environment will want, and
    `--prewarm=NUMBER` hands that to one that has begun early; see start_server.
    """
    folder, modules, *argv = sys.argv[1:]
    ahead, early = bool(argv) and argv[0].partition("=")[0] == PREWARM, None
    if ahead and "=" in argv[0]:
        early = int(argv[0].partition("=")[2])
    argv = without_setup(argv[ahead:])
    parent, done = os.getppid(), False
    is_raylets = os.environ.get("RAY_RAYLET_PID") == str(parent)
    try:
        if parsed := split_worker_command(argv):
            forkserver = Forkserver(folder, modules, *parsed)
            if ahead:
                forkserver.connect(early)
            elif is_raylets:
                done = forkserver.spawn(describe_worker(parsed[1]))
    except Exception as error:  # whatever it is, the real interpreter still starts the worker
        if not ahead:
            warn(f"no forked worker: {error!r}", folder)
    if done or ahead or (is_raylets and os.getppid() != parent):  # without its raylet nobody waits for a worker
        os._exit(0)  # skips the interpreter's clean-up
    os.execv(sys.executable, [sys.executable, *argv])  # noqa: S606 (no shell wanted)
