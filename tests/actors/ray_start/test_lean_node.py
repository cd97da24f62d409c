"""The Ray of one machine: what is left out of it, and that what is left out for now comes when it is wanted."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from barray.actors.ray_start.idle_agents import with_idle_agents

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import json, os, sys
import psutil, ray
from barray.coordinator import runtime

runtime.start_ray(num_cpus=1)
wanted = ray.get(ray.remote(lambda: os.environ["BARRAY_TEST"]).options(
    runtime_env={"env_vars": {"BARRAY_TEST": "set"}}).remote()) if "env" in sys.argv else None
def script(process):  # of a Python process; elsewhere the program
    words = process.as_dict(["cmdline"])["cmdline"] or []  # none of one that is just ending
    return " ".join(word for word in words[:3] if not word.startswith("-"))

children = {process.pid: script(process) for process in psutil.Process().children(recursive=True)}
print(json.dumps({"children": children, "wanted": wanted, "modules": sorted(sys.modules)}), flush=True)
sys.stdin.read()
runtime.leave_ray()
"""


def raylet_command(folder: Path, *more: str) -> list[str]:
    options = {"session_dir": str(folder), "node_id": "abc", "node_ip_address": "127.0.0.1"}
    return ["raylet", *(f"--{name}={value}" for name, value in options.items()), *more]


def test_the_agent_of_a_dashboard_that_serves_nobody_is_left_out(tmp_path: Path) -> None:
    agent = f"--dashboard_agent_command={sys.executable} agent.py --listen-port=0 --minimal --head"
    *_, idle = with_idle_agents(raylet_command(tmp_path, agent))
    assert "idle_agent.py" in idle
    assert "--minimal" not in idle
    ports = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert ports == dict.fromkeys(
        ("metrics_agent_port_abc", "metrics_export_port_abc", "dashboard_agent_listen_port_abc"), "-1"
    )


def test_the_agent_of_a_whole_dashboard_stays(tmp_path: Path) -> None:
    command = raylet_command(tmp_path, f"--dashboard_agent_command={sys.executable} agent.py --listen-port=0")
    assert with_idle_agents(command) == command
    assert not list(tmp_path.iterdir())


@dataclass
class Started:
    """A program that has started a Ray, and waits. `children`: by pid."""

    process: "subprocess.Popen[str]"
    children: dict[int, str]
    wanted: str | None
    modules: list[str]

    def pids(self, name: str) -> list[int]:
        return [pid for pid, child in self.children.items() if name in child]

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


def started(*arguments: str) -> Started:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    told = json.loads(process.stdout.readline())
    children = {int(pid): name for pid, name in told["children"].items()}
    return Started(process, children, told["wanted"], told["modules"])


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.ray
def test_a_ray_of_this_machine_starts_no_autoscaler_no_dashboard_no_log_monitor() -> None:
    found = started()
    found.end()
    assert len(found.pids("raylet/raylet")) == 1
    assert len(found.pids("idle_agent.py")) == 2
    assert "aiohttp" not in found.modules
    assert not [found.pids(absent) for absent in ("monitor.py", "dashboard.py") if found.pids(absent)]


@pytest.mark.ray
def test_an_environment_of_its_own_for_a_task_wakes_the_agent_that_makes_it() -> None:
    found = started("env")
    found.end()
    assert found.wanted == "set"
    assert len(found.pids("idle_agent.py")) == 1


@pytest.mark.ray
def test_idle_agents_end_with_a_raylet_that_was_killed() -> None:
    found = started()
    agents, (raylet,) = found.pids("idle_agent.py"), found.pids("raylet/raylet")
    os.kill(raylet, signal.SIGKILL)
    end_s = time.monotonic() + 20
    while not all(map(gone, agents)) and time.monotonic() < end_s:
        time.sleep(0.05)
    assert all(map(gone, agents))
    found.process.communicate()
