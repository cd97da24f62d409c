"""Calls that get lost on their way, or whose answers do: everything takes effect once, and the result is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.ray
OURS = "CoreWorkerService.grpc_client.PushTask"
RAYS = (
    "NodeManagerService.grpc_client.RequestWorkerLease",
    *(f"ActorInfoGcsService.grpc_client.{name}" for name in ("RegisterActor", "CreateActor", "KillActorViaGcs")),
    *(f"CoreWorkerService.grpc_client.{name}" for name in ("KillActor", "GetObjectStatus", "PubsubLongPolling")),
)
"""What Ray itself calls for what we ask of it."""
DAY = """
import json, sys
import barray

with barray.Session(sys.argv[1]) as session:
    for day in session.dates:
        session.begin(day)
        session.advance_to("10:30")
        assert session.add_symbol("TSLA")
        assert session.add_adhoc_bar("QQQ", "1m", json.loads(sys.argv[2]))
        assert not session.add_adhoc_bar("QQQ", "1m", json.loads(sys.argv[2])), "it has been added, once"
        session.advance_to("11:00")
        assert session.remove_symbol("MSFT")
        for _ in range(5):
            assert session.status()["phase"] == "running"
        session.advance_to()
        session.end()
        session.export(sys.argv[3])
        session.teardown()
"""
BAR = {"timestamp": "2024-07-02T14:00:00Z", "open": 9, "high": 9, "low": 9, "close": 9, "volume": 1}


def python(
    code: str, *arguments: object, failing: dict[str, int] | None = None, methods: tuple[str, ...] = (OURS,)
) -> None:
    """Run code in a process whose Ray loses `failing` percent of its calls of some methods in each of three ways."""
    environment = dict(os.environ)
    if failing is not None:
        environment["RAY_timeout_ms_task_wait_for_death_info"] = "50"  # what Ray waits after each, default 1000
        environment["RAY_testing_rpc_failure"] = json.dumps(
            {method: {"num_failures": -1, **failing} for method in methods}
        )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def in_three_ways(percent: int) -> dict[str, int]:
    return {f"{way}_failure_prob": percent for way in ("req", "resp", "in_flight")}


def config(universe: Path, folder: Path, **changes: Any) -> Path:
    settings = {
        "name": "lossy",
        "session": {"start": "2024-07-02", "end": "2024-07-03"},
        "symbols": ["AAPL", "MSFT", "NVDA"],
        "sources": [{"root": str(universe)}],
        "intervals": ["1m", "5m"],
        "indicators": ["RSI(14)@5m"],
        "run": {"window": "1h"},
        "actors": {"lifecycle": "reuse", "symbols_per_actor": 2},
        "ray": {"num_cpus": 2},
        **changes,
    }
    path = folder / "lossy.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_calls_that_fail_on_their_way_change_no_byte_of_a_dump(universe: Path, tmp_path: Path) -> None:
    path = config(universe, tmp_path)
    code = DAY.replace("for day in session.dates", "for day in session.dates[:1]")
    runs: dict[str, dict[str, Any]] = {
        "calm": {},
        "lossy": {"failing": in_three_ways(8)},
        "rays": {"failing": in_three_ways(8), "methods": RAYS},
    }
    with ThreadPoolExecutor(len(runs)) as side_by_side:  # most of it is waiting
        for ended in [
            side_by_side.submit(python, code, path, json.dumps(BAR), tmp_path / k, **v) for k, v in runs.items()
        ]:
            ended.result()
    (dump,) = (tmp_path / "calm").iterdir()
    assert b"QQQ" in dump.read_bytes()
    assert dump.read_bytes() == (tmp_path / "lossy" / dump.name).read_bytes()
    assert dump.read_bytes() == (tmp_path / "rays" / dump.name).read_bytes()
