"""What a run has logged, read while it runs, from the nodes of its Ray, and after it ended."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.log_files import logs_folder
from tests.barray.cli.test_sessions import barray, start, wait_for_phase, write_config

pytestmark = pytest.mark.ray


def logged(*options: str) -> list[dict[str, Any]]:
    result = barray("logs", "logged", "--json", *options)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_runs_log_is_there_from_its_nodes_while_it_runs_and_after_it_ended(universe: Path, tmp_path: Path) -> None:
    process = start(write_config(tmp_path, universe, "logged", pause_s=0.2), "--log-level", "debug")
    wait_for_phase(process, "running")
    address = json.loads(barray("attach", "status", "--json").stdout)
    assert address["name"] == "logged"
    from barray.local.sessions import find_session

    collected = logged("--address", find_session("logged").address)
    assert [line["phase"] for line in collected if line["message"] == "begins"][-1] == "running"
    process.send_signal(signal.SIGINT)
    process.wait(60)
    lines = logged("--last")
    assert lines[: len(collected)] == collected
    (dropped,) = [line for line in lines if line.get("symbol") == "NOPE" and "dropped" in line["message"]]
    assert (dropped["phase"], dropped["level"], dropped["session"]) == ("validating", "warning", "logged")
    shown = barray("logs", "logged", "--symbol", "NOPE", "--level", "warning").stdout
    assert "has no data for NOPE" in shown
    assert "begins" not in shown
    assert "nothing was logged by logged" in barray("logs", "logged", "--symbol", "NONE").stderr


def test_logs_of_an_unknown_run_are_refused_with_the_names_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    nothing = barray("logs", "another")
    assert (nothing.returncode, nothing.stderr.splitlines()[-1]) == (
        2,
        "error: no run named 'another' has logged anything; those that have: none",
    )
    logs_folder().mkdir(parents=True)
    for name in ("day.one.20240702T133000Z.7.jsonl", "day.20240702T133000Z.8.jsonl"):
        (logs_folder() / name).write_text('{"at": "2024-07-02T13:30:00Z", "level": "info", "message": "begins"}\n')
    assert "those that have: day, day.one" in barray("logs", "another").stderr
    assert len(barray("logs", "day", "--json").stdout.splitlines()) == 1
