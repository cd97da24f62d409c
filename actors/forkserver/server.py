"""Imports what every worker needs, once; then forks a Ray worker for each request of `launcher`.

`python server.py SOCKET SCRIPT MODULES PATHS`, with the listening socket as descriptor 3 and a pidfd of the raylet
as 4. Serves one raylet and one environment, because Ray's library reads its environment when it is loaded. Ends with
the raylet, or when it has had nothing to do for long.
"""

import array
import contextlib
import gc
import glob
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

if __package__:
    from barray.actors.forkserver import launcher
else:
    import launcher  # type: ignore[import-not-found,no-redef]  # run as a script: `sys.path` is not a worker's yet

LISTENER, RAYLET = 3, 4
MAX_REQUEST_BYTES = 16 << 20
REQUEST_TIMEOUT_S = 2.0
GO_TIMEOUT_S = 30.0
PRELOAD_LIMIT_S = 20
# Workers see within a second that their raylet is gone; one that does not is ended by us.
FAREWELL_S = 3.0
# A job that ended leaves a server without workers; one nobody has asked yet waits for its first job.
IDLE_S, UNUSED_S = 60.0, 900.0
GLANCE_S = 2.0  # how often a server that waits looks whether it was dismissed


@dataclass(frozen=True)
class Request:
    """What a worker is to be; see `launcher.encode_request`. `descriptors` become 0, 1, 2."""

    argv: list[str]
    env: dict[bytes, bytes]
    cwd: bytes
    group: int
    oom_score_adj: int
    blocked: list[int]
    descriptors: list[int]


def log(message: str) -> None:
    """Writes to the server's log file, which is its stderr."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), os.getpid(), message, file=sys.stderr, flush=True)


def decode_request(body: bytes, descriptors: list[int]) -> Request:
    """Raises ValueError unless the body is just what `launcher.encode_request` makes."""

    def raw(text: object) -> bytes:
        if not isinstance(text, str) or "\0" in text:
            raise ValueError("not a text without NUL")
        return text.encode("latin-1")

    fields = json.loads(body)
    try:
        argv = [os.fsdecode(raw(argument)) for argument in fields["argv"]]
        env = {raw(name): raw(value) for name, value in fields["env"].items()}
        numbers = [fields["group"], fields["oom_score_adj"], *fields["blocked"]]
        request = Request(argv, env, raw(fields["cwd"]), numbers[0], numbers[1], numbers[2:], descriptors)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"malformed request: {error!r}") from error
    if any(type(number) is not int for number in numbers) or len(descriptors) != 3 or not argv:
        raise ValueError("malformed request")
    return request


def receive(connection: socket.socket) -> Request:
    """Reads one request. Raises OSError, EOFError or ValueError, with the descriptors it brought closed."""
    connection.settimeout(REQUEST_TIMEOUT_S)
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", peer)[1] != os.geteuid():
        raise PermissionError("a request of another user")
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    descriptors: list[int] = []
    data = b""
    try:
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            if len(data) >= 4 and int.from_bytes(data[:4], "big") > MAX_REQUEST_BYTES:
                raise ValueError("request too long")
            chunk, ancillary, _, _ = connection.recvmsg(1 << 20, socket.CMSG_SPACE(3 * 4))
            for level, kind, numbers in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    whole = array.array("i", numbers[: len(numbers) - len(numbers) % 4])
                    descriptors.extend(whole)
            if not chunk and not data:
                raise EOFError
            if not chunk or time.monotonic() > deadline:
                raise ValueError("truncated request")
            data += chunk
        return decode_request(data[4:], descriptors)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def differing(ours: Mapping[bytes, bytes], theirs: Mapping[bytes, bytes]) -> list[bytes]:
    """Names whose values differ, apart from those that only the server has."""
    names = (ours.keys() | theirs.keys()) - launcher.SERVER_ENVIRONMENT.keys()
    return sorted(name for name in names if ours.get(name) != theirs.get(name))


def thread_count() -> int:
    """All threads of this process, the ones Python does not know included."""
    return len(os.listdir("/proc/self/task"))


def preload(modules: Sequence[str], paths: Sequence[str]) -> None:
    """Imports the modules; one that fails is noted and left to the workers. `paths` are searched last, and only now."""
    signal.alarm(PRELOAD_LIMIT_S)  # kills: launchers waiting for a module that hangs get their answer
    added = [path for path in paths if path not in sys.path]
    sys.path.extend(added)
    for name in ("ray", "ray._private.workers.default_worker", *modules):
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):
            log(f"could not preload {name}: {traceback.format_exc()}")
        if thread_count() != 1:
            log(f"{thread_count()} threads after importing {name}: no fork is safe")
    for path in added:
        sys.path.remove(path)
    signal.alarm(0)


def draw_alike() -> bool:
    """Whether forked processes would draw the same Ray ids, and so fall over each other: an import has drawn one here,
    as `ray.remote` does, and Ray's generator does not notice a fork.
    """
    return drawn_by_fork() == drawn_by_fork()


def drawn_by_fork() -> bytes:
    """What the first id would be that a worker draws."""
    import ray

    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            os.write(writing, ray.ObjectID.from_random().binary())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read()


class Server:
    """Accepts requests, forks and reaps the workers."""

    def __init__(self, path: str, environment: Mapping[bytes, bytes]) -> None:
        self.path = path
        self.environment = environment
        self.listener = socket.socket(fileno=LISTENER)
        self.raylet_pid = int(environment[b"RAY_RAYLET_PID"])
        self.children: dict[int, int] = {}  # pidfd: pid
        self.poll = select.poll()
        self.poll.register(LISTENER, select.POLLIN)
        self.poll.register(RAYLET, select.POLLIN)
        self.draws_alike = draw_alike()
        self.was_used = False
        self.has_declined = False

    def serve(self) -> Request | None:
        """Returns the request in each forked child, and None at the end of service."""
        busy_s = time.monotonic()
        while True:
            ready = {descriptor for descriptor, _ in self.poll.poll(None if self.children else GLANCE_S * 1000)}
            self.reap(ready)
            if RAYLET in ready:
                self.remove_files()
                self.farewell()
                return None
            if LISTENER in ready and (request := self.answer()):
                return request
            if ready:
                busy_s = time.monotonic()
            elif not os.path.lexists(self.path):
                with contextlib.suppress(OSError):
                    os.unlink(f"{self.path}.lock")
                return None
            elif time.monotonic() - busy_s > (IDLE_S if self.was_used else UNUSED_S):
                # Launchers that are in the queue by now get a reset, and start another server.
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
                return None

    def remove_files(self) -> None:
        """Removes this raylet's sockets and locks, those of servers that were killed or idle before its end too."""
        for path in glob.glob(f"{glob.escape(os.path.dirname(self.path))}/{self.raylet_pid}-*.sock*"):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def reap(self, ready: set[int]) -> None:
        """Waits for the children whose pidfds are ready."""
        for handle in ready & self.children.keys():
            os.waitpid(self.children.pop(handle), 0)
            self.poll.unregister(handle)
            os.close(handle)

    def answer(self) -> Request | None:
        """Answers the next connection; returns its request in the forked child, and None in the server."""
        connection, _ = self.listener.accept()
        with connection:
            try:
                request = receive(connection)
            except EOFError:  # somebody only wanted a server to be here
                return None
            except (OSError, ValueError, RecursionError) as error:
                log(f"dropped a request: {error!r}")
                return None
            try:
                return self.fork(connection, request)
            except OSError as error:
                log(f"could not fork: {error}")
                return None
            finally:
                for descriptor in request.descriptors:
                    os.close(descriptor)

    def fork(self, connection: socket.socket, request: Request) -> Request | None:
        """Forks if that is safe and right; returns the request in the child once the launcher has given way to it."""
        if reason := self.objection(request):
            log(f"declined: {reason}")
            connection.sendall(launcher.DECLINED_AGAIN if self.has_declined else launcher.DECLINED)
            self.has_declined = True
            return None
        self.was_used = True
        pid = os.fork()
        if pid:
            handle = os.pidfd_open(pid)
            self.children[handle] = pid
            self.poll.register(handle, select.POLLIN)
            return None
        taken = False
        try:
            for handle in (LISTENER, RAYLET, *self.children):
                os.close(handle)
            self.listener.detach()
            become(request)
            connection.settimeout(GO_TIMEOUT_S)
            connection.sendall(launcher.FORKED)
            taken = connection.recv(1) == launcher.GO
        finally:
            if not taken:  # the launcher starts a stock worker; whatever went wrong, no child goes on as a server
                os._exit(1)
        return request

    def objection(self, request: Request) -> str | None:
        """Why this request should become a stock worker, if it should."""
        if thread_count() != 1:
            return f"{thread_count()} threads"
        if self.draws_alike:
            return "an imported module has called ray.remote or drawn Ray ids: forked workers would all draw the same"
        if names := differing(self.environment, request.env):
            return f"environment differs from this server's in {', '.join(map(os.fsdecode, names))}"
        if os.getppid() == self.raylet_pid:
            return "the raylet is a subreaper and would kill this server and its workers as strangers"
        return None

    def farewell(self) -> None:
        """Waits for the workers, then ends those that did not notice that their raylet is gone."""
        self.poll.unregister(LISTENER)
        self.poll.unregister(RAYLET)
        deadline = time.monotonic() + FAREWELL_S
        while self.children and (left := deadline - time.monotonic()) > 0:
            self.reap({descriptor for descriptor, _ in self.poll.poll(left * 1000)})
        for pid in self.children.values():
            os.kill(pid, signal.SIGKILL)


def set_oom_score(value: int) -> None:
    """How readily the kernel kills this process when memory is short; -1000 never, 1000 first."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(value))


def become(request: Request) -> None:
    """Gives this forked child what the launcher would have passed to the real interpreter."""
    os.setpgid(0, request.group)
    set_oom_score(request.oom_score_adj)
    for target, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, target)
    os.chdir(request.cwd)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)
    # The rest of the environment is the same, or changed by an import, as it would be in a worker.
    for name in launcher.SERVER_ENVIRONMENT:
        os.environb.pop(name, None)
        if name in request.env:
            os.environb[name] = request.env[name]
    if mtrand := sys.modules.get("numpy.random"):
        mtrand.seed()  # `random` reseeds itself after a fork, uuid and secrets ask the kernel
    gc.enable()


def run_worker(code: types.CodeType, argv: list[str]) -> None:
    """Runs the worker's script as `python argv...` would."""
    sys.argv = argv
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=argv[0], __builtins__=__builtins__)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 (Ray's own script)


def main(path: str, script: str, modules: str, paths: str) -> None:
    """Preloads, serves, and in each forked child runs the worker; `modules` have commas, `paths` colons between."""
    environment = dict(os.environb)
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(script)
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec")
    gc.disable()
    preload(list(filter(None, modules.split(","))), list(filter(None, paths.split(os.pathsep))))
    gc.collect()
    gc.freeze()  # keeps the collector from writing to, and so copying, the pages that workers share
    server = Server(path, environment)
    # The launcher's, hence ours, says "kill me first". If it must stay so, a killed server is started anew.
    with contextlib.suppress(OSError), open(f"/proc/{server.raylet_pid}/oom_score_adj") as file:
        set_oom_score(int(file.read()))
    os.truncate(path + ".lock", 0)
    log(f"ready for raylet {server.raylet_pid}")
    if request := server.serve():
        run_worker(code, request.argv)


if __name__ == "__main__":
    main(*sys.argv[1:])
