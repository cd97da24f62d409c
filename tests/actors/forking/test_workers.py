"""The forkserver without a cluster: a raylet's commands, and real forks for a raylet that the test plays."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from barray.actors.forking import handshake
from barray.actors.forking.become import differing
from barray.actors.forking.workers import launcher, server
from barray.actors.ray_start.forked_workers import _LAUNCHER

SCRIPT = "/site/ray/_private/workers/default_worker.py"
PLAIN = [SCRIPT, "--node-id=ab", "--temp-dir=/tmp/ray", "--session-name=s1", "--runtime-env-hash=0"]


NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def test_a_plain_worker_is_recognised_with_its_interpreter_flags() -> None:
    assert launcher.split_worker_command(["-u", "-s", *PLAIN]) == (["-u", "-s"], PLAIN)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["-u"],
        ["/site/ray/_private/workers/setup_worker.py", *PLAIN],
        ["/site/ray/dashboard/agent.py", "--node-id=ab"],
        ["-m", "memray", *PLAIN],
        [*PLAIN, "--worker-type=SPILL_WORKER"],
        [*PLAIN, "--runtime-env-hash=77"],
        [*PLAIN, "--enable-resource-isolation=true"],
        [*PLAIN, "--ray-debugger-external"],
        [*PLAIN, "-Dray.address=1"],
        [*PLAIN, "stray"],
    ],
)
def test_anything_but_a_plain_worker_is_left_to_the_interpreter(argv: list[str]) -> None:
    assert launcher.split_worker_command(argv) is None


def test_any_difference_in_the_environment_asks_for_another_server() -> None:
    key = launcher.server_key([], SCRIPT, {b"A": b"1", b"B": b"2"})
    assert key == launcher.server_key([], SCRIPT, {b"B": b"2", b"A": b"1"})
    assert key == launcher.server_key([], SCRIPT, {b"A": b"1", b"B": b"2", b"RAY_JOB_ID": b"02000000"}), "one for all"
    assert key != launcher.server_key([], SCRIPT, {b"A": b"2", b"B": b"2"})
    assert key != launcher.server_key(["-u"], SCRIPT, {b"A": b"1", b"B": b"2"})
    assert differing({b"A": b"1", b"B": b"2"}, {b"A": b"1", b"B": b"3", b"C": b"4"}) == [b"B", b"C"]


SETUP = "/site/ray/_private/workers/setup_worker.py"


def test_the_script_that_makes_an_environment_is_left_out_where_there_is_none_to_be_made() -> None:
    assert launcher.without_setup([SETUP, *PLAIN, "--language=PYTHON"]) == PLAIN
    wanted = [SETUP, *PLAIN, "--language=PYTHON", "--serialized-runtime-env-context={}"]
    assert launcher.without_setup(wanted) == wanted
    assert launcher.without_setup(PLAIN) == PLAIN
    assert launcher.without_setup([]) == []


@pytest.mark.parametrize(
    ("said", "raylet", "counts_as"),
    [
        (handshake.BORN, os.getppid(), handshake.FORKED),
        (b"", os.getppid(), launcher.UNBORN),
        (b"", os.getpid(), handshake.FORKED),
    ],
    ids=["born", "ended unborn", "ended with its raylet"],
)
def test_what_became_of_a_forked_worker(
    monkeypatch: pytest.MonkeyPatch, said: bytes, raylet: int, counts_as: bytes
) -> None:
    """The test plays the server and the worker; the launcher's parent is the raylet, or the raylet is gone."""
    monkeypatch.setenv("RAY_RAYLET_PID", str(raylet))
    ours, theirs = socket.socketpair()
    with theirs, theirs.makefile("rb") as asked:
        theirs.sendall(handshake.FORKED)
        ours.settimeout(10)
        waiting = ThreadPoolExecutor(1).submit(launcher.hand_over, ours, b"request")
        assert asked.read(8) == b"request" + handshake.GO
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        assert waiting.result(10)[0] == counts_as


# From here on the test plays the raylet: it starts the launcher, whose server forks this "default worker".
WORKER = """
import os, signal, sys, threading, random, uuid
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
report = {
    "argv": sys.argv, "flags": str(sys.flags), "path": sys.path, "executable": sys.executable, "file": __file__,
    "name": __name__, "environ": dict(os.environ), "cwd": os.getcwd(), "nice": os.nice(0), "sid": os.getsid(0),
    "own_group": os.getpgid(0) == os.getpid(), "umask": status["Umask"], "groups": status["Groups"],
    "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")], "threads": threading.active_count(),
    "main_thread": threading.current_thread() is threading.main_thread(),
    "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) < 10
            and os.path.exists(f"/proc/self/fd/{fd}")},
    "oom": open("/proc/self/oom_score_adj").read(), "stdout": str(sys.stdout),
    "limits": open("/proc/self/limits").read(),
    "ours": [name for name in sys.modules if name.partition(".")[0] == "forking"],
}
unique = {"random": random.random(), "uuid": str(uuid.uuid4()), "pid": os.getpid(), "ppid": os.getppid()}
if "numpy" in sys.modules:
    import numpy
    unique["numpy"] = float(numpy.random.random())
import json
with open(os.environ["REPORT"], "w") as file:
    json.dump([report, unique], file)
os.rename(os.environ["REPORT"], os.environ["REPORT"] + ".done")
print("to stdout")
print("to stderr", file=sys.stderr)
end = [argument for argument in sys.argv if argument.startswith("--worker-preload-modules=")]
if end:
    import time
    time.sleep(60)
"""


class Node:
    """A node whose raylet is this process; the forkservers seen are ended with the test."""

    def __init__(self, root: Path, preload: tuple[str, ...] = ()) -> None:
        self.root = root
        self.script = root / "ray/_private/workers/default_worker.py"
        self.script.parent.mkdir(parents=True)
        self.script.write_text(WORKER)
        (root / "modules").mkdir()
        self.directory = root / "sockets"
        self.directory.mkdir(mode=0o700)
        self.environment = {**os.environ, "RAY_RAYLET_PID": str(os.getpid()), "PYTHONPATH": str(root / "modules")}
        self.environment["REPORT"] = str(root / "report")
        self.preload = preload

    def command(self, *more: str) -> list[str]:
        return [*self.launcher(), str(self.script), f"--temp-dir={self.root}", "--session-name=s1", *more]

    def launcher(self) -> list[str]:
        return [*_LAUNCHER, str(self.directory), ",".join(self.preload)]

    def request(self, **changes: Any) -> bytes:
        """What a launcher would ask for, but for the `changes`."""
        environment = {os.fsencode(name): os.fsencode(value) for name, value in self.environment.items()}
        words = [str(self.script), f"--temp-dir={self.root}"]
        asked = {"argv": words, "environment": environment, "umask": 0o022, "group": 0, "oom_score_adj": 0}
        return handshake.encode_request(**{**asked, "blocked": [], **changes})

    def ask(self, request: bytes, directory: str = "/") -> tuple["socket.socket", bytes]:
        """A connection that has asked for this, and the first byte of the answer."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(next(self.directory.glob("*.sock"))))
        opened = os.open(directory, os.O_RDONLY)
        socket.send_fds(connection, [request], [0, 1, 2, opened])
        os.close(opened)
        return connection, connection.recv(1)

    def launch(self, *more: str, python: str = "", **options: Any) -> "subprocess.Popen[bytes]":
        command = self.command(*more)
        if python:
            command = [python, *command[len(self.launcher()) :]]
        options = {"env": self.environment, "process_group": 0, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, **options)

    def report(self) -> tuple[dict[str, Any], dict[str, Any]]:
        done = self.root / "report.done"
        wait_until(done.exists)
        report, unique = json.loads(done.read_text())
        done.unlink()
        return report, unique

    def run(self, *more: str, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        process = self.launch(*more, **options)
        assert process.stderr is None or b"barray" not in process.stderr.read()
        assert process.wait() == 0
        return self.report()

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.directory.glob("*.log"))

    def servers(self) -> list[psutil.Process]:
        """Forkservers of this node. A worker that was forked has the same command line, but no pidfd."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(word.startswith(f"{self.directory}/") for word in process.info["cmdline"] or []):
                with contextlib.suppress(OSError):
                    if "pidfd" in os.readlink(f"/proc/{process.pid}/fd/{server.RAYLET}"):
                        found.append(process)
        return found


def wait_until(condition: Callable[[], object], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    for process in node.servers():
        for child in process.children():
            child.kill()
        process.kill()


@pytest.mark.long
def test_a_forked_worker_is_what_a_fresh_interpreter_would_be(node: Node) -> None:
    node.environment |= {"EMPTY": "", "ODD": "a\nb=c \udcff", "LONG": "x" * 100_000, "MALLOC_ARENA_MAX": "3"}
    out = node.root / "out"
    seen = []
    for python in (sys.executable, ""):
        with out.open("w") as stdout, (node.root / "err").open("w") as stderr:
            options: dict[str, Any] = {"stdout": stdout, "stderr": stderr, "stdin": subprocess.DEVNULL, "cwd": "/usr"}
            seen.append(node.run("--webui=", "--node-id=a b", python=python, **options)[0])
        wait_until(lambda: out.read_text() == "to stdout\n")
        assert (node.root / "err").read_text() == "to stderr\n"
    stock, forked = seen
    # What `import ray` leaves in the environment and path is in a stock worker's too, by the time it works.
    left_by_ray = {name for name in forked["environ"] if name not in stock["environ"]}
    assert left_by_ray <= {"SPT_NOENV", "RAY_CLIENT_MODE"}
    for name in left_by_ray:
        del forked["environ"][name]
    forked["path"] = [entry for entry in forked["path"] if "ray/thirdparty_files" not in entry]
    assert forked == stock


@pytest.mark.long
def test_a_worker_inherits_the_raylets_blocked_signals_and_memory_score(node: Node) -> None:
    def like_a_raylet() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        Path("/proc/self/oom_score_adj").write_text("500")

    report, _ = node.run(preexec_fn=like_a_raylet)
    assert report["signals"][0] == f"{1 << (signal.SIGINT - 1):016x}"
    assert report["oom"] == "500\n"
    assert (
        Path(f"/proc/{node.servers()[0].pid}/oom_score_adj").read_text() == Path("/proc/self/oom_score_adj").read_text()
    )


@pytest.mark.ray
def test_siblings_draw_different_random_numbers(tmp_path: Path) -> None:
    node = Node(tmp_path, preload=("numpy", "numpy.random"))
    drawn = [node.run()[1] for _ in range(2)]
    assert drawn[0]["ppid"] == drawn[1]["ppid"] == node.servers()[0].pid
    assert all(drawn[0][name] != drawn[1][name] for name in ("random", "numpy", "uuid", "pid"))
    node.servers()[0].kill()


@pytest.mark.long
def test_preloaded_modules_that_fail_are_noted_and_survived(node: Node) -> None:
    (node.root / "modules/raising.py").write_text("import sys\nraise RuntimeError('no luck')")
    (node.root / "modules/leaving.py").write_text("import sys\nsys.exit(3)")
    node.preload = ("raising", "leaving", "not_there")
    node.run()
    log = node.logs()
    assert all(text in log for text in ("no luck", "could not preload leaving", "No module named 'not_there'"))


@pytest.mark.ray
def test_a_process_with_threads_does_not_fork(node: Node) -> None:
    (node.root / "modules/threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()"
    )
    node.preload = ("threaded",)
    for expected in (1, 0):
        process = node.launch()
        assert process.stderr
        assert process.stderr.read().count(b"declines to fork") == expected
        assert node.report()[1]["pid"] == process.pid, "the real interpreter took over, in the same process"
        process.wait()
    assert "2 threads after importing threaded" in node.logs()


@pytest.mark.ray
def test_a_server_that_dies_while_it_imports_is_tried_twice_and_then_left_alone(node: Node) -> None:
    (node.root / "modules/deadly.py").write_text("import os\nos.abort()")
    node.preload = ("deadly",)
    for _ in range(2):
        process = node.launch()
        assert process.stderr
        assert b"does not start" in process.stderr.read()
        assert node.report()[1]["pid"] == process.pid
        process.wait()
    assert node.logs().count("\n") < 50


@pytest.mark.ray
def test_a_preloaded_module_that_hangs_costs_the_fork_and_no_worker(node: Node) -> None:
    (node.root / "modules/impatient.py").write_text("import signal\nassert signal.alarm(1) > 10")  # the server's own
    (node.root / "modules/hanging.py").write_text("import time\ntime.sleep(99)")
    node.preload = ("impatient", "hanging")
    node.environment.pop("REPORT")
    node.script.write_text("import os\nprint(os.getpid())\ninput()")
    errors = node.root / "errors"
    with errors.open("w") as stderr:
        workers = [node.launch(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr) for _ in range(3)]
        for worker in workers:
            assert worker.stdout
            assert int(worker.stdout.readline()) == worker.pid, "the real interpreter took over"
        for worker in workers:
            worker.communicate(b"\n")
    assert errors.read_text().count("does not start") == 1
    wait_until(lambda: node.servers() == [])


@pytest.mark.ray
def test_workers_that_start_rays_own_way_side_by_side_warn_once_a_job(node: Node) -> None:
    """The directory is not private, as where it could not be made: there is no place for a marker, nor for a socket."""
    node.directory.chmod(0o755)
    node.environment.pop("REPORT")
    node.script.write_text("input()")
    errors = node.root / "errors"
    with errors.open("w") as stderr:
        for job in ("01", "02"):
            node.environment["RAY_JOB_ID"] = job
            workers = [node.launch(stderr=stderr, stdin=subprocess.PIPE) for _ in range(4)]
            for worker in workers:
                # empty while it becomes the real interpreter
                wait_until(lambda pid=worker.pid: "-ISc" not in (psutil.Process(pid).cmdline() or ["-ISc"]))
            for worker in workers:
                worker.communicate(b"\n")
                assert worker.returncode == 0
    assert errors.read_text().count("Workers start Ray's own, slower way") == 2


@pytest.mark.ray
def test_workers_that_start_while_the_server_is_killed_all_start(node: Node) -> None:
    node.environment.pop("REPORT")
    marks = node.root / "marks"
    marks.mkdir()
    node.script.write_text(f"import os\nopen(f'{marks}/{{os.getpid()}}', 'x')")
    launchers = [node.launch() for _ in range(10)]
    killed = 0
    while any(process.poll() is None for process in launchers):
        if killed < 2 and (servers := node.servers()):
            servers[0].kill()
            killed += 1
        if len(launchers) < 40:
            launchers.append(node.launch())
    wait_until(lambda: len(list(marks.iterdir())) >= len(launchers))
    assert killed == 2
    time.sleep(0.3)
    assert len(list(marks.iterdir())) == len(launchers), "each worker started once"


@pytest.mark.ray
def test_many_restarts_leave_nothing_behind(node: Node) -> None:
    node.script.write_text("")
    node.environment.pop("REPORT")
    node.launch().communicate()
    (server_process,) = node.servers()
    wait_until(lambda: not server_process.children())
    before = server_process.num_fds()
    for _ in range(60):
        assert node.launch(stderr=None).wait() == 0
    wait_until(lambda: not server_process.children())
    assert server_process.num_fds() == before
    assert node.servers() == [server_process]
    assert sorted(path.suffix for path in node.directory.iterdir() if path.suffix != ".log") == [".lock", ".sock"]


@pytest.mark.ray
def test_a_worker_whose_launcher_is_gone_gives_up(node: Node) -> None:
    node.run()
    connection, answer = node.ask(node.request())
    assert answer == handshake.FORKED
    connection.close()
    wait_until(lambda: not node.servers()[0].children())
    assert not (node.root / "report.done").exists()


@pytest.mark.ray
def test_a_request_with_another_environment_is_declined(node: Node) -> None:
    node.run()
    connection, answer = node.ask(node.request(environment={b"A": b"B"}))
    assert answer == handshake.DECLINED
    assert b"environment differs" in connection.recv(100)
    connection.close()
    assert "environment differs" in node.logs()


@pytest.mark.ray
def test_a_child_that_cannot_become_the_worker_ends_and_the_server_stays(node: Node) -> None:
    node.run()
    (before,) = node.servers()
    connection, answer = node.ask(node.request(), directory=os.devnull)
    assert answer == b""
    connection.close()
    wait_until(lambda: not before.children())
    node.run()
    assert node.servers() == [before]


@pytest.mark.ray
def test_noise_on_the_socket_does_not_harm_the_server(node: Node) -> None:
    node.run()
    path = str(next(node.directory.glob("*.sock")))
    for noise in (b"", b"\0", b"\0\0\0\x04nope", b"\xff" * 5000, b"GET / HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(noise)
    (before,) = node.servers()
    node.run()
    assert node.servers() == [before]


SEND_AS_NOBODY = f"""
import os, socket, sys
request = sys.stdin.buffer.read()
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
with socket.socket(socket.AF_UNIX) as connection:
    try:
        connection.connect(sys.argv[1])
        socket.send_fds(connection, [request], [0, 1, 2, 0])
        print(connection.recv(1))
    except OSError as error:
        print(type(error).__name__)
"""


@as_root
@pytest.mark.ray
def test_another_user_reaches_no_server_and_is_refused_where_a_directory_was_opened_by_mistake() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o755)
        node = Node(Path(folder))
        node.run()
        path = next(node.directory.glob("*.sock"))
        request = node.request()

        def send() -> str:
            command = [sys.executable, "-c", SEND_AS_NOBODY, str(path)]
            return subprocess.run(command, input=request, capture_output=True, check=True).stdout.decode().strip()

        assert send() == "PermissionError"
        node.directory.chmod(0o755)
        path.chmod(0o777)
        assert send() in ("b''", "ConnectionResetError", "BrokenPipeError")
        assert "a request of another user" in node.logs()
        node.directory.chmod(0o700)
        (before,) = node.servers()
        assert not before.children()
        node.run()
        assert node.servers() == [before]
        before.kill()
        before.wait(10)


@pytest.mark.ray
def test_different_environments_get_servers_of_their_own_up_to_a_limit(node: Node) -> None:
    for number in range(launcher.MAX_SERVERS + 1):
        node.environment["VARIANT"] = str(number)
        node.launch().communicate()
        report, _ = node.report()
        assert report["environ"]["VARIANT"] == str(number)
    assert len(node.servers()) == launcher.MAX_SERVERS


@pytest.mark.ray
def test_workers_of_all_jobs_come_of_one_server_and_each_jobs_of_the_code_it_began_with(node: Node) -> None:
    """A job that begins after an edit has Ray's own, until the server has none left, and begins anew."""
    module = node.root / "modules/edited.py"
    module.write_text("value = 'before'")
    node.preload = ("edited",)
    node.script.write_text(WORKER.replace('"name": __name__', '"name": __import__("edited").value'))

    def seen(job: str) -> tuple[str, str, bool]:
        """Of a worker of this job: its job, its code, and whether it is a fork of the one server."""
        node.environment["RAY_JOB_ID"] = job
        node.launch().communicate()
        report, unique = node.report()
        (one,) = node.servers()
        return report["environ"]["RAY_JOB_ID"], report["name"], unique["ppid"] == one.pid

    node.environment["RAY_JOB_ID"] = "01000000"
    sleeping = node.launch("--worker-preload-modules=x")
    node.report()
    (server_process,) = node.servers()
    assert seen("02000000") == ("02000000", "before", True)
    module.write_text("value = 'after the edit'")
    assert seen("03000000") == ("03000000", "after the edit", False)
    assert seen("01000000") == ("01000000", "before", True)
    for worker in server_process.children():
        worker.kill()
    sleeping.communicate()
    wait_until(lambda: not server_process.children())
    assert seen("03000000") == ("03000000", "after the edit", True)
    assert node.servers() == [server_process]


@pytest.mark.ray
def test_a_server_whose_socket_was_removed_ends_after_its_workers(node: Node) -> None:
    worker = node.launch("--worker-preload-modules=x")  # sleeps
    node.report()
    (before,) = node.servers()
    (socket_file,) = node.directory.glob("*.sock")
    socket_file.unlink()
    (sleeper,) = before.children()
    sleeper.kill()
    wait_until(lambda: not node.servers())
    assert list(node.directory.iterdir()) == []
    worker.wait()


@pytest.mark.ray
def test_a_server_whose_socket_is_removed_while_it_imports_ends_quietly(node: Node) -> None:
    (node.root / "modules/dismissed.py").write_text("import os, sys\nos.unlink(sys.argv[1])")
    node.preload = ("dismissed",)
    order = [*node.launcher(), "--prewarm", str(node.script)]
    subprocess.run(order, env=node.environment, check=True)
    wait_until(
        lambda: not node.servers() and not list(node.directory.iterdir())
    )  # a log that has more to say would stay


@pytest.mark.long
def test_where_the_directory_is_full_workers_start_as_usual(node: Node) -> None:
    node.directory.chmod(0o500)
    if os.geteuid() == 0:
        node.directory.chmod(0o755)  # root may write anywhere: a directory open to others serves as well
    process = node.launch()
    assert process.stderr
    assert b"no forked worker" in process.stderr.read()
    assert node.report()[1]["pid"] == process.pid
    process.wait()
    node.directory.chmod(0o700)


@pytest.mark.ray
def test_a_worker_whose_raylet_is_gone_does_not_start_rays_own_way(node: Node) -> None:
    (node.root / "modules/slow.py").write_text("import time\ntime.sleep(60)")
    node.preload = ("slow",)
    code = "import os, subprocess, sys\nos.environ['RAY_RAYLET_PID'] = str(os.getpid())\nsubprocess.run(sys.argv[1:])"
    raylet = subprocess.Popen([sys.executable, "-c", code, *node.command()], env=node.environment)
    wait_until(node.servers)
    started = psutil.Process(raylet.pid).children()
    raylet.kill()
    raylet.wait()
    node.servers()[0].kill()
    _, alive = psutil.wait_procs(started, timeout=30)
    assert not alive
    assert not (node.root / "report.done").exists()


@pytest.mark.ray
def test_the_server_ends_with_its_raylet_and_takes_stray_workers_with_it(node: Node) -> None:
    """The raylet is a process in between, which is killed while its worker sleeps."""
    code = "import os, subprocess, sys\nos.environ['RAY_RAYLET_PID'] = str(os.getpid())\n"
    code += "subprocess.run(sys.argv[1:])\ninput()"
    command = node.command("--worker-preload-modules=sleep")
    raylet = subprocess.Popen([sys.executable, "-c", code, *command], env=node.environment, stdin=subprocess.PIPE)
    _, unique = node.report()
    worker, forkserver_process = psutil.Process(unique["pid"]), psutil.Process(unique["ppid"])
    (node.directory / f"{raylet.pid}-0badcafe.sock.lock").touch()  # of a server that was idle, or killed, before
    raylet.kill()
    raylet.communicate()
    _, alive = psutil.wait_procs([worker, forkserver_process], timeout=10)
    assert not alive
    assert list(node.directory.iterdir()) == []
