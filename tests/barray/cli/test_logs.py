"""What a run has logged, read while it runs, from the nodes of its Ray, and after it ended."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

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
    assert "nothing was logged by another" in barray("logs", "another").stderr
