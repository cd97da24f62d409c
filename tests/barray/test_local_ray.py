from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from barray import local_ray
from barray.local_ray import LocalRay

pytestmark = pytest.mark.ray
DRIVER = "import sys; from coordinator import runtime; runtime.join_ray(sys.argv[1]); runtime.leave_ray()"


def wait_until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def warm() -> Iterator[LocalRay]:
    found, _ = local_ray.up(2)
    yield found
    processes = psutil.Process(found.pid).children(recursive=True)
    assert local_ray.down()
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert local_ray.find() is None


def test_it_is_up_once_for_all(warm: LocalRay) -> None:
    assert local_ray.up() == (warm, False)
    assert local_ray.find() == warm


def test_it_runs_without_an_autoscaler(warm: LocalRay) -> None:
    children = [process.as_dict(["cmdline"])["cmdline"] for process in psutil.Process(warm.pid).children()]
    commands = [" ".join(words or ()) for words in children]  # none of one that is just ending
    assert any("raylet" in command for command in commands)
    assert not any("monitor.py" in command for command in commands)


def test_jobs_that_come_and_go_leave_one_forkserver_the_next_jobs(warm: LocalRay) -> None:
    (raylet,) = [process for process in psutil.Process(warm.pid).children() if process.name() == "raylet"]
    session = next(word for word in raylet.cmdline() if word.startswith("--session_dir=")).partition("=")[2]

    def sockets() -> set[str]:
        return {path.name for path in Path(session, "forkserver").glob("*.sock")}

    def servers() -> int:
        """They run `server.py SOCKET`, and so do the workers that they fork; here there are none."""
        commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        return sum(any(word.startswith(f"{session}/forkserver/") for word in words[2:4]) for words in commands)

    seen: set[str] = set()

    def another_is_ready() -> bool:
        return len(sockets()) == 1 and not sockets() <= seen

    for _ in range(3):
        wait_until(another_is_ready)
        seen |= sockets()
        subprocess.run([sys.executable, "-c", DRIVER, warm.address], check=True, timeout=60)
    wait_until(another_is_ready)
    wait_until(lambda: servers() == 1)
