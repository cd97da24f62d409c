from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
import psutil
import pytest

from barray.local import warm_ray
from barray.local.user_folder import notes_folder
from barray.local.warm_ray import LocalRay
from barray.market.errors import BarrayError
from barray.warm_commands.client import COLD, SOCKET
from tests.sessions import config

pytestmark = pytest.mark.ray
EXAMPLES = Path(__file__).parents[3] / "examples"
DRIVER = "import sys; from barray.coordinator import runtime; runtime.join_ray(sys.argv[1]); runtime.leave_ray()"


def wait_until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def warm() -> Iterator[LocalRay]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # it is another one in each test, and commands need the same environment
        found, _ = warm_ray.up(2)
    yield found
    processes = psutil.Process(found.pid).children(recursive=True)
    assert warm_ray.down()
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert warm_ray.find() is None


def test_it_is_up_once_for_all(warm: LocalRay) -> None:
    assert warm_ray.up() == (warm, False)
    assert warm_ray.find() == warm


def test_it_runs_without_an_autoscaler(warm: LocalRay) -> None:
    children = [process.as_dict(["cmdline"])["cmdline"] for process in psutil.Process(warm.pid).children()]
    commands = [" ".join(words or ()) for words in children]  # none of one that is just ending
    assert any("raylet" in command for command in commands)
    assert not any("monitor.py" in command for command in commands)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux with pidfd_open")
def test_a_forked_backtest_gives_what_it_gives_by_itself(warm: LocalRay, universe: Path, tmp_path: Path) -> None:
    wait_until((notes_folder() / SOCKET).exists)
    path = tmp_path / "config.yaml"
    strategy = {"path": str(EXAMPLES / "strategies/sma_cross.py")}
    path.write_bytes(orjson.dumps(config(universe, "AAPL", "MSFT", strategy=strategy, indicators=[])))
    outcomes = []
    for more in ({}, {COLD: "1"}):
        command = [sys.executable, "-m", "barray", "backtest", str(path), "--json"]
        environment = {**os.environ, "BARRAY_DEBUG": "1", **more}
        del environment["PYTEST_CURRENT_TEST"]  # which the fixture hid, too
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
        assert "not run by" not in done.stderr
        outcomes.append(json.loads(done.stdout) | {"timings_s": None})
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]["total"]["trades"] > 0


def test_one_forkserver_serves_all_jobs_that_come_and_go(warm: LocalRay) -> None:
    (raylet,) = [process for process in psutil.Process(warm.pid).children() if process.name() == "raylet"]
    prefix = str(notes_folder() / f"workers/{raylet.pid}-")

    def servers() -> list[int]:
        """Their command line has their socket, and so has that of the workers that they fork; here there are none."""
        commands = {process.pid: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
        return [pid for pid, words in commands.items() if any(word.startswith(prefix) for word in words)]

    wait_until(lambda: len(servers()) == 1)
    before = servers()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", DRIVER, warm.address], check=True, timeout=60)
    wait_until(lambda: servers() == before)
    assert len(list((notes_folder() / "workers").glob(f"{raylet.pid}-*.sock"))) == 1


UP = "from barray.local import warm_ray; print(warm_ray.up(1)[0].pid)"


def test_two_that_start_it_at_once_get_the_same_one(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    starting = [
        subprocess.Popen([sys.executable, "-c", UP], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in starting]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        processes = [process for pid in set(said) for process in psutil.Process(int(pid)).children(recursive=True)]
        assert warm_ray.down()
    assert said[0] == said[1]
    assert psutil.wait_procs(processes, timeout=20)[1] == []


def test_one_whose_control_store_is_killed_ends_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    holder = psutil.Process(warm_ray.up(1)[0].pid)
    processes = [holder, *holder.children(recursive=True)]
    next(process for process in processes if process.name() == "gcs_server").kill()
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert warm_ray.find() is None


def test_a_process_that_has_the_number_of_a_dead_holder_is_neither_taken_for_it_nor_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    other = subprocess.Popen(["sleep", "60"])
    began = int(Path(f"/proc/{other.pid}/stat").read_text().split()[21])
    note = notes_folder() / "ray.note"
    note.write_text(json.dumps({"address": "127.0.0.1:1", "pid": other.pid, "began": began - 1, "installation": "x"}))
    assert warm_ray.find() is None
    assert not warm_ray.down()
    assert other.poll() is None
    ours = LocalRay("127.0.0.1:1", other.pid, began, warm_ray.installation())
    note.write_text(json.dumps(asdict(ours)))
    assert warm_ray.find_ours() == ours
    assert warm_ray.down()
    assert other.wait(10) < 0


def test_one_that_runs_the_code_of_another_installation_is_not_joined(
    universe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    theirs = LocalRay("127.0.0.1:1", os.getpid(), began, "/opt/other/barray in /opt/other")
    (notes_folder() / "ray.note").write_text(json.dumps(asdict(theirs)))
    with pytest.raises(BarrayError, match=r"code of /opt/other/barray in /opt/other; `barray down` ends it"):
        warm_ray.up()
    path = tmp_path / "config.yaml"
    path.write_bytes(orjson.dumps(config(universe, "AAPL", indicators=[], ray={"num_cpus": 1})))
    command = [sys.executable, "-m", "barray", "run", str(path), "--json", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (
        "the Ray that is up runs the code of /opt/other/barray in /opt/other, not this: it is not used" in done.stderr
    )
    assert list(json.loads(done.stdout)["sessions"][0]["symbols"]) == ["AAPL"]
