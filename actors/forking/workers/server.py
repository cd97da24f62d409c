"""Imports what every worker needs, once; then forks a Ray worker for each request of `launcher`.

`server.main(SOCKET, SCRIPT, MODULES, PATHS)`, with the listening socket as descriptor 3 and a pidfd of the raylet as 4;
or `server.early(CHANNEL, MODULES, PATHS)` before there is a raylet.
Serves one raylet and one environment, because Ray's library reads its environment when it is loaded, and ends with the
raylet. Its workers belong to no job when they register, as those that Ray itself starts ahead, and are given to one
with their first task: so one server does for all jobs. Where the code has changed on disk since, no further job has
workers of it: it begins anew as soon as it has none, and until then Ray's own are taken.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import glob
import importlib
import os
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import Any

from ..become import differing, set_oom_score
from ..handshake import BORN, SERVER_ENVIRONMENT
from ..loaded_code import LoadedCode
from ..request import Request, decode
from ..safety import draw_alike, keep_pages_shared, thread_count
from ..server import Server, log
from .launcher import JOB_ID, NO_JOB, take_places

LISTENER, RAYLET = 3, 4
PRELOAD_LIMIT_S = 20
PR_SET_PDEATHSIG = 1
# Workers see within a second that their raylet is gone; one that does not is ended by us.
FAREWELL_S = 3.0
GLANCE_S = 2.0  # how often a server that waits looks whether its socket is there still
READY = "ready for raylet"
MOST_TOLD_BYTES = 1 << 18


class WorkerRules:
    """Which workers are forked: those that a fresh interpreter would not do better."""

    def __init__(self, raylet_pid: int, environment: Mapping[bytes, bytes], code: LoadedCode) -> None:
        self.raylet_pid = raylet_pid
        self.environment = environment
        self.code = code
        self.begins_anew = False
        self.draws_alike = draw_alike()
        self._jobs: set[bytes] = set()
        """Those whose workers come of the code as it was imported."""

    def objection(self, request: Request) -> str | None:
        """Why this request should become a stock worker, if it should."""
        if self.draws_alike:
            return "an imported module has called ray.remote or drawn Ray ids: forked workers would all draw the same"
        names = set(differing(self.environment, request.environment)) - {JOB_ID, *SERVER_ENVIRONMENT}
        if names:
            return f"environment differs from this server's in {', '.join(map(os.fsdecode, sorted(names)))}"
        if os.getppid() == self.raylet_pid:
            return "the raylet is a subreaper and would kill this server and its workers as strangers"
        job = request.environment.get(JOB_ID, NO_JOB)
        if job not in self._jobs and self.code.has_changed():
            return "the code has changed since, and workers of other jobs are there still"
        self._jobs.add(job)
        return None

    def is_over(self, *, asked: bool) -> bool:
        """Whether workers should come of the code of now; it is looked at when one is asked for and none is left."""
        self.begins_anew = self.begins_anew or (asked and self.code.has_changed())
        return self.begins_anew


def preload(modules: Sequence[str], paths: Sequence[str]) -> None:
    """Imports the modules; one that fails is noted and left to the workers. `paths` are searched last, and only now."""
    signal.alarm(PRELOAD_LIMIT_S)  # kills: launchers waiting for a module that hangs get their answer
    added = [path for path in paths if path not in sys.path]
    sys.path.extend(added)
    for name in modules:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):
            log(f"could not preload {name}: {traceback.format_exc()}")
        if thread_count() != 1:
            log(f"{thread_count()} threads after importing {name}: no fork is safe")
    for path in added:
        sys.path.remove(path)
    signal.alarm(0)


def leave_folders_closed() -> None:
    """A worker would open its session's folder to everybody, which `ray_start` has closed."""
    if node := sys.modules.get("ray._private.node"):
        vars(node)["try_to_create_directory"] = functools.partial(os.makedirs, exist_ok=True)


def tell_when_born(client: socket.socket, script: str) -> None:
    """Has the launcher, which waits for it, told as soon as the raylet knows of this worker."""

    def tell() -> None:
        with contextlib.suppress(OSError), client:
            client.sendall(BORN)

    rays = sys.modules.get("ray._private.workers.default_worker")
    if rays is None or not os.path.samefile(script, str(rays.__file__)):
        tell()  # when another script has connected, nothing says
        return
    worker: Any = sys.modules["ray._private.worker"]
    connect = worker.connect

    def connect_and_tell(*arguments: object, **options: object) -> None:
        worker.connect = connect
        connect(*arguments, **options)
        tell()

    worker.connect = connect_and_tell


def run_worker(code: types.CodeType, argv: list[str], ours: Sequence[str]) -> None:
    """Runs the worker's script as `python argv...` would, without the modules `ours`: a user's may be named so."""
    for name in ours:
        del sys.modules[name]
    sys.argv = argv
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=argv[0], __builtins__=__builtins__)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 (Ray's own script)


def remove_files(path: str, raylet_pid: int, *, is_held: bool) -> None:
    """Removes a server's lock; if its raylet is gone all its sockets and locks, also of servers killed before.

    So with logs, but for one that says more than that a server was ready.
    """
    folder = glob.escape(os.path.dirname(path))
    names = glob.escape(path.removesuffix(".sock")) if is_held else f"{folder}/{raylet_pid}-*"
    for left in [f"{path}.lock"] if is_held else glob.glob(f"{names}.sock*"):
        with contextlib.suppress(OSError):
            os.unlink(left)
    for left in glob.glob(f"{names}.log"):
        with contextlib.suppress(OSError), open(left) as file:
            if all(line.rstrip().endswith(f"{READY} {raylet_pid}") for line in file):
                os.unlink(left)


def main(path: str, script: str, modules: str, paths: str) -> None:
    """Preloads, serves, and in each forked child runs the worker; `modules` have commas, `paths` colons between."""
    environment, began_ns = dict(os.environb), time.time_ns()
    gc.disable()
    preload_all(script, modules, paths)
    serve(path, script, environment, began_ns)


def early(channel: str, modules: str, paths: str) -> None:
    """Preloads what knows nothing of Ray before there is a raylet, then is the server of the one that comes: a launcher
    sends, once, what it would have begun `main` with, by the socket of this number. Ends with the process that began
    it, until then.
    """
    end_with_parent(yes=True)
    os.setpgid(0, 0)
    began_ns = time.time_ns()
    sys.path[:1] = []
    gc.disable()
    preload(listed(modules, ","), listed(paths, os.pathsep))
    with socket.socket(fileno=int(channel)) as waiting:
        told, handles, *_ = socket.recv_fds(waiting, MOST_TOLD_BYTES, 4)
    if not told:
        return
    end_with_parent(yes=False)
    command = decode(told[4:], list(handles))
    take_places(handles)
    for name in os.environb.keys() - command.environment.keys():
        del os.environb[name]
    os.environb.update(command.environment)
    sys.orig_argv[:] = command.argv
    path, script, modules, paths = command.argv[-4:]
    sys.path[:0] = [""]  # which main's command line has there
    preload_all(script, modules, paths)
    serve(path, script, command.environment, began_ns)


def end_with_parent(*, yes: bool) -> None:
    """Whether this process is killed when the one that began it ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL if yes else 0, 0, 0, 0)
    if yes and os.getppid() != parent:
        os._exit(0)


def listed(text: str, separator: str) -> list[str]:
    """What stands between separators."""
    return list(filter(None, text.split(separator)))


def preload_all(script: str, modules: str, paths: str) -> None:
    """Imports Ray, its worker, and the modules."""
    sys.path[:1] = [] if sys.flags.safe_path else [os.path.dirname(script)]
    preload(["ray", "ray._private.workers.default_worker", *listed(modules, ",")], listed(paths, os.pathsep))
    leave_folders_closed()


def serve(path: str, script: str, environment: Mapping[bytes, bytes], began_ns: int) -> None:
    """Serves, and in each forked child runs the worker. `began_ns`: when the imports began, by the wall clock."""
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec")
    # in each worker, to look through them all would cost 1.5 MB of shared pages
    ours = [name for name in sys.modules if name.partition(".")[0] == __name__.partition(".")[0]]
    keep_pages_shared()
    raylet_pid = int(environment[b"RAY_RAYLET_PID"])
    rules = WorkerRules(raylet_pid, environment, LoadedCode(began_ns))
    server = Server(
        path,
        socket.socket(fileno=LISTENER),
        RAYLET,
        rules,
        environment,
        attended=False,
        farewell_s=FAREWELL_S,
        glance_s=GLANCE_S,
    )
    # The launcher's, hence ours, says "kill me first". If it must stay so, a killed server is started anew.
    with contextlib.suppress(OSError), open(f"/proc/{raylet_pid}/oom_score_adj") as file:
        set_oom_score(int(file.read()))
    os.truncate(path + ".lock", 0)
    log(f"{READY} {raylet_pid}")
    if request := server.serve():
        assert server.client
        tell_when_born(server.client, script)
        run_worker(code, request.argv, ours)
    elif rules.begins_anew and server.is_held:  # who asks meanwhile waits in the queue of the socket
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 (no shell wanted)
    else:
        server.close()
        remove_files(path, raylet_pid, is_held=server.is_held)
