"""Forkservers that begin before Ray: taken where they are what is wanted, and gone where they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from barray.actors.ray_start import early_server
from tests.sessions import config

SESSION = """
import json, os
from barray.actors.ray_start import early_server
from barray.coordinator import runtime

early_server.begin()
(early,) = early_server._begun
{change}
runtime.start_ray(1)
import ray

@ray.remote
def told():
    with open(f"/proc/{{os.getppid()}}/cmdline") as file:
        names = ("MALLOC_ARENA_MAX", "RAY_event_stats", "CHANGED")
        return file.read(), {{name: os.environ.get(name) for name in names}}

command, environment = ray.get(told.remote())
left = early.process.poll() is None
runtime.leave_ray()
print(json.dumps([command, environment, left]))
early.process.wait(20)
"""


def told(change: str) -> tuple[str, dict[str, str | None], bool]:
    """What a worker is forked from and has in its environment, and whether the server that began early is there."""
    code = SESSION.format(change=change)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    command, environment, left = json.loads(done.stdout.splitlines()[-1])
    return command, environment, left


@pytest.mark.ray
def test_workers_come_of_the_server_that_began_before_their_ray() -> None:
    command, environment, left = told("")
    assert "server.early(" in command
    assert left
    assert environment == {"MALLOC_ARENA_MAX": None, "RAY_event_stats": None, "CHANGED": None}


@pytest.mark.ray
@pytest.mark.parametrize("change", ["os.environ['CHANGED'] = 'since'", "early.process.kill(); early.process.wait()"])
def test_where_it_is_not_what_is_wanted_or_is_gone_another_is_started(change: str) -> None:
    command, environment, left = told(change)
    assert "server.main(" in command
    assert not left
    assert environment["CHANGED"] == ("since" if "CHANGED" in change else None)


STRATEGY = """
import os
from pathlib import Path
from barray import Strategy

class Tells(Strategy):
    def on_start(self, ctx):
        Path({told!r}).write_bytes(Path(f"/proc/{{os.getppid()}}/cmdline").read_bytes())

    def on_bar(self, ctx):
        pass
"""


@pytest.mark.ray
def test_a_cold_command_begins_with_one(universe: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    (tmp_path / "tells.py").write_text(STRATEGY.format(told=str(told)))
    settings = {"session": {"start": "2024-07-02"}, "strategy": {"path": "tells.py"}, "report": {"formats": ["json"]}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(config(universe, "AAPL", **settings)))
    environment = {**os.environ, "BARRAY_COLD": "1"}
    command = [sys.executable, "-m", "barray", "backtest", str(tmp_path / "one.yaml"), "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "server.early(" in told.read_text()


@pytest.mark.long
@pytest.mark.parametrize("signal", ["", "os.kill(os.getpid(), 9)"])
def test_it_ends_with_the_process_that_began_it(signal: str) -> None:
    code = (
        f"import os; from {early_server.__name__} import _begun, begin; begin(); print(_begun[0].process.pid); {signal}"
    )
    done = subprocess.run([sys.executable, "-uc", code], capture_output=True, text=True, check=False, timeout=60)
    pid, end_s = int(done.stdout), time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < end_s:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_it_is_told_of_once_and_only_for_an_environment_that_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_server, "_begun", [])
    assert early_server.taken(os.environb) is None
    early_server.begin()
    (early,) = early_server._begun
    channel = early_server.taken({**os.environb, b"RAY_RAYLET_PID": b"1", b"SPT_NOENV": b"1"})
    assert channel is not None
    assert early_server.taken(os.environb) is None
    channel.close()
    early_server._begun.clear()
    early_server.begin()
    (other,) = early_server._begun
    assert early_server.taken({**os.environb, b"PYTHONPATH": b"/elsewhere"}) is None
    for one in (early, other):
        assert one.process.wait(30) == 0
