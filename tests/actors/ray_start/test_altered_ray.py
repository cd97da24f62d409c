"""A raylet's command, as it is changed to have forked workers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray._private import services

from barray.actors.ray_start import patch
from barray.actors.ray_start.forked_workers import with_launcher, workers_folder
from barray.actors.ray_start.patch import altered_ray

COMMAND = ["raylet", f"--python_worker_command={sys.executable} setup_worker.py default_worker.py", "--head"]


@pytest.fixture(autouse=True)
def _runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_raylet_runs_the_launcher_with_what_the_interpreter_was_to_run() -> None:
    raylet, worker, head = with_launcher(COMMAND, ("numpy", "barray"))
    words = shlex.split(worker.removeprefix("--python_worker_command="))
    assert (raylet, head) == ("raylet", "--head")
    assert words[0] == sys.executable
    assert words[-4:] == [str(workers_folder()), "numpy,barray", "setup_worker.py", "default_worker.py"]


def test_a_raylet_starts_no_worker_ahead_and_many_at_once() -> None:
    more = ["--num_prestart_python_workers=4", "--maximum_startup_concurrency=4"]
    assert with_launcher([*COMMAND, *more], ())[3:] == [
        "--num_prestart_python_workers=0",
        "--maximum_startup_concurrency=100",
    ]


def test_a_raylet_command_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="not the one expected"):
        with_launcher(["raylet", "--python_worker_command=/other/python x"], ())


def test_what_a_killed_server_left_is_removed_by_the_next_ray_once_its_raylet_has_ended() -> None:
    raylet = subprocess.Popen(["sleep", "60"])
    left = {workers_folder() / f"{raylet.pid}-0badcafe.{kind}" for kind in ("sock", "sock.lock", "log")}
    other = workers_folder() / f"{os.getpid()}-0badcafe.sock"
    for path in {*left, other}:
        path.touch()
    with_launcher(COMMAND, ())
    assert set(workers_folder().iterdir()) == {*left, other}
    raylet.kill()
    raylet.wait()
    with_launcher(COMMAND, ())
    assert set(workers_folder().iterdir()) == {other}


def test_an_unknown_ray_version_warns_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patch, "TESTED_RAY_VERSIONS", frozenset({"0.0.1"}))
    start = services.start_ray_process
    for _ in range(2):
        with altered_ray(lean=True):
            assert services.start_ray_process is start
    assert [record.getMessage() for record in caplog.records if "0.0.1" in record.getMessage()] == [
        caplog.records[0].getMessage()
    ]


def test_a_change_that_fails_leaves_the_others_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no safe place for sockets, so workers are Ray's own; its idle agents stay."""
    started: list[list[str]] = []
    monkeypatch.setattr(services, "start_ray_process", lambda command, *_: started.append(command))
    options = {"session_dir": str(tmp_path), "node_id": "abc", "node_ip_address": "127.0.0.1"}
    agent = f"--runtime_env_agent_command={sys.executable} main.py"
    command = ["raylet", COMMAND[1], *(f"--{name}={value}" for name, value in options.items()), agent]
    tmp_path.chmod(0o777)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with altered_ray(lean=True):
        services.start_ray_process(command, "raylet")
    tmp_path.chmod(0o700)
    ((_, worker, *_, idle),) = started
    assert worker == COMMAND[1]
    assert "idle_agent.py" in idle
    assert "others can change what lies in" in caplog.text


def test_a_class_is_exported_without_being_disassembled_and_rays_way_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray._private.function_manager import FunctionActorManager

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("disassembled")

    monkeypatch.setattr("dis.dis", refuse)
    manager: Any = FunctionActorManager(None)
    with patch.quick_exports():
        marks = {manager.compute_collision_identifier(kind) for kind in (Path, pytest.MonkeyPatch)}
        assert len(marks) == 2
        assert all(isinstance(mark, bytes) for mark in marks)
    with pytest.raises(AssertionError, match="disassembled"):
        manager.compute_collision_identifier(Path)
