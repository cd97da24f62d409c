"""Forked workers under a real Ray: one shared cluster, and small programs of their own where a cluster has to die."""

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from barray.actors.ray_start import patch
from barray.actors.ray_start.forked_workers import workers_folder
from barray.actors.ray_start.patch import altered_ray

pytestmark = pytest.mark.ray
ROOT = Path(__file__).resolve().parents[3]


def wait_until(condition: Callable[[], object], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def forkservers(raylet: int) -> list[psutil.Process]:
    """The forkservers of a raylet. A worker starts with the same command line, but has no pidfd."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(f"{workers_folder()}/{raylet}-") for word in process.info["cmdline"] or []):
            try:
                if "pidfd" in os.readlink(f"/proc/{process.pid}/fd/4"):
                    found.append(process)
            except OSError:
                continue
    return found


def leftovers(raylet: int) -> list[str]:
    return [path.name for path in Path(workers_folder()).glob(f"{raylet}-*") if path.suffix in (".sock", ".lock")]


@pytest.fixture(scope="module")
def raylet() -> Iterator[int]:
    """A local Ray with forked workers: its raylet's pid. Checks at its end that nothing stays."""
    assert os.environ["RAY_AUTH_MODE"] == "token"  # set by conftest, before Ray's library is loaded
    with altered_ray(lean=True), pytest.MonkeyPatch.context() as patched:  # of its agents none has to start in time
        patched.setenv("RAY_worker_register_timeout_seconds", "600")  # no worker that was lost is missed by its raylet
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    pid = ray._private.worker._global_node.all_processes["raylet"][0].process.pid
    yield pid
    workers = [child for process in forkservers(pid) for child in process.children()]
    servers = forkservers(pid)
    ray.shutdown()
    _, alive = psutil.wait_procs([*workers, *servers], timeout=10)
    assert not alive
    assert leftovers(pid) == []


@ray.remote(num_cpus=0, enable_task_events=False)
class Probe:
    def __init__(self) -> None:
        self.drawn = random.random()

    def about(self) -> dict[str, Any]:
        import numpy

        return {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "own_group": os.getpgid(0) == os.getpid(),
            "random": self.drawn,
            "numpy": float(numpy.random.random()),
            "uuid": str(uuid.uuid4()),
            "object": ray.put(0).hex(),
            "id": ray.ObjectID.from_random().hex(),
            "environ": {name: value for name, value in os.environ.items() if name != "RAY_PROBE_SECRET"},
            "signals": [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Sig")][
                1:
            ],
            "nice": os.nice(0),
            "oom": Path("/proc/self/oom_score_adj").read_text(),
            "modules": set(sys.modules),
        }

    def pid(self) -> int:
        return os.getpid()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def say(self, text: str) -> None:
        print(text)
        print(text, file=sys.stderr)


@ray.remote(num_cpus=1, max_retries=0)
def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getppid()


def pids(actors: list[Any]) -> list[int]:
    return list(ray.get([actor.pid.remote() for actor in actors], timeout=60))


def end(*actors: Any) -> None:
    processes = [psutil.Process(pid) for pid in pids(list(actors))]
    for actor in actors:
        ray.kill(actor)
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


@contextlib.contextmanager
def held(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_actors_are_forks_of_one_server_and_differ_where_they_should(raylet: int) -> None:
    actors = [Probe.remote() for _ in range(4)]
    seen = ray.get([actor.about.remote() for actor in actors])
    (server,) = forkservers(raylet)
    assert {about["ppid"] for about in seen} == {server.pid}
    assert all(about["own_group"] for about in seen)
    for name in ("pid", "random", "numpy", "uuid", "object", "id"):
        assert len({about[name] for about in seen}) == len(seen), name
    assert {"pyarrow.parquet", "barray.market.talib_light"} <= seen[0]["modules"]
    assert "pandas" not in seen[0]["modules"]
    end(*actors)


def test_plain_tasks_run_in_forked_workers(raylet: int) -> None:
    (server,) = forkservers(raylet)
    assert ray.get([double.remote(number) for number in range(6)]) == [(2 * number, server.pid) for number in range(6)]


def test_a_runtime_environment_gets_rays_own_worker_which_is_like_a_forked_one(raylet: int) -> None:
    (server,) = forkservers(raylet)
    stock_actor = Probe.options(runtime_env={"env_vars": {"RAY_PROBE_SECRET": "1"}}).remote()
    forked_actor = Probe.remote()
    stock, forked = ray.get([stock_actor.about.remote(), forked_actor.about.remote()], timeout=60)
    assert stock["ppid"] != server.pid
    assert forked["ppid"] == server.pid
    for name in ("own_group", "signals", "nice", "oom"):
        assert stock[name] == forked[name], name
    differing = {name for name, value in stock["environ"].items() if forked["environ"].get(name) != value}
    assert differing <= {"_", "SHLVL"}, "what bash sets"
    assert forked["environ"].keys() <= stock["environ"].keys()
    end(stock_actor, forked_actor)


def test_a_crash_is_seen_and_max_restarts_works(raylet: int) -> None:
    actor = Probe.options(max_restarts=1).remote()
    first = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.die.remote())
    second = ray.get(actor.pid.remote(), timeout=30)
    assert second != first
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.die.remote())
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.pid.remote(), timeout=30)
    wait_until(lambda: not psutil.pid_exists(first) and not psutil.pid_exists(second))


def test_many_actors_come_and_go_and_leak_nothing(raylet: int) -> None:
    (server,) = forkservers(raylet)

    def descriptors() -> tuple[int, int]:
        """Those that stand for processes: the raylet, and each child until it is reaped; and the others."""
        links = [os.readlink(link) for link in Path(f"/proc/{server.pid}/fd").iterdir() if os.path.lexists(link)]
        return sum("pidfd" in link for link in links), sum("pidfd" not in link for link in links)

    children, (_, before) = set(server.children()), descriptors()
    for _ in range(3):
        end(*[Probe.remote() for _ in range(12)])
    wait_until(lambda: not set(server.children()) - children)
    wait_until(lambda: descriptors() == (1 + len(server.children()), before))
    assert forkservers(raylet) == [server]


def test_workers_killed_at_random_come_back(raylet: int) -> None:
    chance = random.Random(7)
    actors = [Probe.options(max_restarts=-1, max_task_retries=-1).remote() for _ in range(8)]
    for _ in range(3):
        for pid in chance.sample(pids(actors), 4):
            os.kill(pid, signal.SIGKILL)
    assert len(set(pids(actors))) == 8
    (server,) = forkservers(raylet)
    assert not [child for child in server.children() if child.status() == psutil.STATUS_ZOMBIE]
    end(*actors)


def test_restarts_in_a_row_leave_nothing_behind(raylet: int) -> None:
    """Twenty; `bench.restarts` does two hundred."""
    actor = Probe.options(max_restarts=-1, max_task_retries=-1).remote()
    seen = pids([actor])
    (server,) = forkservers(raylet)
    before = {process: process.num_fds() for process in (server, psutil.Process(raylet))}
    files = sorted(workers_folder().iterdir())
    for _ in range(20):
        os.kill(seen[-1], signal.SIGKILL)
        wait_until(lambda pid=seen[-1]: not psutil.pid_exists(pid))
        seen += pids([actor])
    assert len(set(seen)) == 21
    assert forkservers(raylet) == [server]
    assert not [child for child in server.children() if child.status() == psutil.STATUS_ZOMBIE]
    wait_until(lambda: all(process.num_fds() <= count for process, count in before.items()))
    assert sorted(workers_folder().iterdir()) == files
    end(actor)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_workers_killed_with_their_server_before_the_raylet_knows_of_them_are_replaced(raylet: int) -> None:
    """The raylet, which would look for them after ten minutes, is held until they are dead."""
    (server,) = forkservers(raylet)
    before = server.children()
    actors = [Probe.options(max_restarts=-1, max_task_retries=-1).remote() for _ in range(6)]

    def unborn() -> list[psutil.Process]:
        return living([child for child in server.children() if child not in before])

    wait_until(unborn)
    with held(psutil.Process(raylet)):
        wait_until(lambda: all(worker.num_threads() > 1 for worker in unborn()))  # Ray's own: they run its script
        killed = [*server.children(), server]
        for process in killed:
            process.kill()
        psutil.wait_procs(killed, timeout=10)
    assert len(set(pids(actors))) == 6
    end(*actors)


def test_a_server_killed_while_actors_start_costs_none_of_them(raylet: int) -> None:
    (before,) = forkservers(raylet)
    actors = [Probe.remote() for _ in range(20)]
    time.sleep(0.2)
    before.kill()
    assert len(set(pids(actors))) == 20
    (after,) = forkservers(raylet)
    assert after.pid != before.pid
    end(*actors)


def test_output_goes_to_the_workers_own_log(raylet: int) -> None:
    actor = Probe.remote()
    ray.get(actor.say.remote("a line of its own"))
    pid = pids([actor])[0]
    for stream in ("out", "err"):
        (path,) = Path(ray._private.worker._global_node.get_logs_dir_path()).glob(f"worker-*-{pid}.{stream}")
        wait_until(lambda path=path: "a line of its own" in path.read_text())
    end(actor)


AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[1:]:
    while path != "/":
        for attack in (lambda: os.rename(path, path + ".away"), lambda: open(path, "a"), lambda: os.unlink(path)):
            try:
                attack()
                print("changed", path)
            except OSError:
                pass
        path = os.path.dirname(path)
print("tried all")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_can_change_nothing_that_a_raylet_runs_as_us(raylet: int) -> None:
    """Though he may write to Ray's own folder."""
    command = psutil.Process(raylet).cmdline()
    (text,) = [word for word in command if word.startswith("--python_worker_command=")]
    words = shlex.split(text.partition("=")[2])
    before_ray = words[: next(i for i, word in enumerate(words) if word.endswith("default_worker.py")) + 1]
    code = Path(patch.__file__).absolute().parents[1]
    assert str(code) in before_ray[2]
    paths = [word for word in before_ray if word.startswith("/")]
    paths += [str(code), *map(str, code.glob("forking/**/*.py")), *map(str, workers_folder().iterdir())]
    session = ray._private.worker._global_node.get_session_dir_path()
    assert Path(session).stat().st_mode & 0o002
    assert not [path for path in paths if path.startswith(session)]
    every = {*paths, *map(os.path.realpath, paths)}
    tried = subprocess.run([sys.executable, "-c", AS_NOBODY, *every], capture_output=True, text=True, check=True)
    assert tried.stdout == "tried all\n"


def run(program: str, **environment: str) -> "subprocess.Popen[str]":
    """A program of its own, which prints a line of JSON and may then wait for its standard input to close."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ACTORS = """
@ray.remote(num_cpus=0)
class Probe:
    def pids(self):
        return os.getpid(), os.getppid()

actors = [Probe.remote() for _ in range(2)]
pids = ray.get([actor.pids.remote() for actor in actors])
node = ray._private.worker._global_node
raylets = [info.process.pid for info in node.all_processes.get("raylet", [])]
print(json.dumps({"pids": pids, "raylets": raylets}), flush=True)
sys.stdin.read()
"""

PROGRAM = (
    """
import json, os, sys, pathlib, ray
from barray.actors.ray_start import patch
%s
with patch.altered_ray(lean=True):
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=True, logging_level="ERROR")
"""
    + ACTORS
)

DRIVER = (
    """
import json, os, sys, ray
ray.init(address=os.environ["NODE"], logging_level="ERROR")
"""
    + ACTORS
)

NO_SPACE = """
def mkdir(*args, **kwargs):
    raise OSError(28, "No space left on device")
patch.with_launcher.__globals__["private_folder"] = mkdir
"""


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return dict(json.loads(line))


def test_two_runs_at_once_one_with_token_auth_and_a_raylet_killed(tmp_path: Path) -> None:
    """Both fork their workers; one raylet is killed, which takes its own processes and none of the other's."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef")
    programs = [
        run(PROGRAM % "", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token), HOME=str(tmp_path)),
        run(PROGRAM % ""),
    ]
    victim, other = map(answer, programs)
    for seen in (victim, other):
        (server,) = forkservers(seen["raylets"][0])
        assert {ppid for _, ppid in seen["pids"]} == {server.pid}
    processes = [*forkservers(victim["raylets"][0]), *(psutil.Process(pid) for pid, _ in victim["pids"])]
    os.kill(victim["raylets"][0], signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert not alive
    assert leftovers(victim["raylets"][0]) == []
    assert all(psutil.pid_exists(pid) for pid, _ in other["pids"])
    for program in programs:
        program.communicate(timeout=60)
    wait_until(lambda: not forkservers(other["raylets"][0]))
    assert leftovers(other["raylets"][0]) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("patch.TESTED_RAY_VERSIONS = {'1.0'}", "tested with Ray 1.0"),
        (NO_SPACE, "No space left on device"),
    ],
)
def test_on_doubt_ray_starts_workers_its_own_way_after_one_warning(spoil: str, complaint: str) -> None:
    program = run(PROGRAM % spoil)
    seen = answer(program)
    assert {ppid for _, ppid in seen["pids"]} == set(seen["raylets"])
    _, errors = program.communicate(timeout=60)
    assert errors.count(complaint) == 1


def test_a_node_started_by_ray_start_forks_for_every_driver_that_connects() -> None:
    """A head node, a driver in a process of its own, and then the end of the raylet, as `ray stop` brings it about."""
    start = "import sys\nfrom barray.actors.ray_start.patch import ray_start\nsys.exit(ray_start(sys.argv[1:]))"
    temporary = tempfile.mkdtemp(dir="/tmp", prefix="fs")  # pytest's own is too long for Ray's sockets
    options = ["--port=0", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", start, "--head", f"--temp-dir={temporary}", *options]
    started = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert started.returncode == 0, started.stderr
    session = os.path.realpath(f"{temporary}/session_latest")
    everything = psutil.process_iter(["cmdline"])
    node = [process for process in everything if any(session in word for word in process.info["cmdline"] or ())]
    (raylet,) = [process for process in node if process.name() == "raylet"]
    try:
        address = next(word for word in raylet.cmdline() if word.startswith("--gcs-address=")).partition("=")[2]
        (server,) = forkservers(raylet.pid)
        for _ in range(2):
            driver = run(DRIVER, NODE=address)
            assert {ppid for _, ppid in answer(driver)["pids"]} == {server.pid}, "one for all jobs"
            driver.communicate(timeout=60)
    finally:
        raylet.terminate()
        psutil.wait_procs([raylet], timeout=20)
        for process in node:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    wait_until(lambda: not forkservers(raylet.pid))
    assert leftovers(raylet.pid) == []
    shutil.rmtree(temporary)


PRELOADING = """
import importlib, json
from barray.actors.forking.safety import draw_alike
from barray.actors.ray_start.forked_workers import DEFAULT_PRELOAD
from barray.coordinator.runtime import COORDINATORS

for name in (*DEFAULT_PRELOAD, *COORDINATORS):
    importlib.import_module(name)
ours = draw_alike()
import ray
ray.remote(type("Actor", (), {}))
print(json.dumps([ours, draw_alike()]))
"""


def test_what_is_preloaded_draws_no_ray_ids_and_what_does_is_noticed() -> None:
    printed, said = run(PRELOADING).communicate()
    assert json.loads(printed) == [False, True], said
