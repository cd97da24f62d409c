"""Sessions over several nodes: real raylets on one machine, one of them lost in the middle."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import barray
from barray.actors.ray_start.patch import altered_ray
from barray.coordinator.config.file import as_config
from barray.coordinator.prepare_scans import prepare_scan
from barray.local.connection import load_calendar
from barray.sample.listed import write_listed_universe
from barray.trading.scans.evaluate import session_hits
from barray.trading.scans.follow import follow
from barray.trading.scans.shard import ScanShard
from tests.sessions import config, family, without_agents

pytestmark = pytest.mark.ray
SYMBOLS = ("AAPL", "AMZN", "MSFT", "NVDA", "SPY", "TSLA")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head node and a worker node with forked workers; this process is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    with altered_ray():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def symbols_by_node(kind: str = "Symbol") -> dict[str, int]:
    """How many symbol actors, or those of another kind, each raylet of this process's cluster has."""
    found: dict[str, int] = {}
    for process in family(os.getpid()):
        try:
            if " ".join(process.cmdline()).startswith(f"ray::{kind}"):
                raylet = process.environ()["RAY_RAYLET_PID"]
                found[raylet] = found.get(raylet, 0) + 1
        except psutil.Error:
            continue
    return found


def test_symbols_spread_over_nodes_and_a_lost_node_does_not_change_the_dump(
    universe: Path, tmp_path: Path, cluster: Any
) -> None:
    def run(folder: Path, *, lose_a_node: bool) -> bytes:
        with barray.Session(config(universe, *SYMBOLS, session={"start": "2024-07-02"})) as session:
            session.begin()
            assert sorted(symbols_by_node().values()) == [3, 3]
            session.advance_to("11:00")
            assert session.add_adhoc_indicator("AAPL", "RSI(5)@15m")
            if lose_a_node:
                cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
            session.advance_to()
            session.end()
            (path,) = session.export(folder, ["json"])
        return path.read_bytes()

    calm = run(tmp_path / "calm", lose_a_node=False)
    assert run(tmp_path / "lost", lose_a_node=True) == calm


JOINS = """
import sys, time
from barray.coordinator import runtime
from barray.coordinator.ray_alive import require_ray
from barray.market.errors import BarrayError

runtime.join_ray(sys.argv[1])
require_ray()
print("joined", flush=True)
while True:
    try:
        require_ray()
    except BarrayError as error:
        print(error.code, error, flush=True)
        break
    time.sleep(0.1)
"""


def test_a_driver_waits_for_a_control_store_that_comes_back_and_sees_that_the_raylet_it_joined_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    environment = dict(os.environ)
    monkeypatch.setenv("RAY_gcs_storage", "rocksdb")
    monkeypatch.setenv("RAY_gcs_storage_path", str(tmp_path))
    own = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    nodes = Cluster(initialize_head=True, head_node_args=own)
    command = [sys.executable, "-c", JOINS, nodes.address]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert driver.stdout is not None
        assert driver.stderr is not None
        assert driver.stdout.readline() == "joined\n"
        head = nodes.head_node
        head.kill_gcs_server()
        assert any("gcs_server is away; it keeps its tables in rocksdb" in line for line in driver.stderr)
        head.start_gcs_server()
        head.all_processes["raylet"][0].process.kill()
        assert any(line.startswith("ray_lost Ray's raylet has ended") for line in driver.stdout)
    finally:
        driver.kill()
        driver.wait(10)
        nodes.shutdown()


def test_a_node_started_by_the_command_forks_its_workers(universe: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    port = _free_port()
    options = ("--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--block")
    head = subprocess.Popen(
        [sys.executable, "-m", "barray", "node", "start", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        path = tmp_path / "session.yaml"
        path.write_text(
            f"session: {{start: 2024-07-02}}\nsymbols: [AAPL, MSFT]\nintervals: [1m]\nsources: [{{root: {universe}}}]\n"
            f"ray: {{address: '127.0.0.1:{port}'}}\n"
        )
        _wait_for_listener(port)
        result = _run(path)
        assert result.returncode == 0, result.stderr
        assert barray.validate_session_dump(tmp_path / "out/session-2024-07-02.json") == []
        servers = [p for p in family(head.pid) if "forking.workers import server" in " ".join(p.cmdline())]
        assert servers
        (raylet,) = [p.cmdline() for p in family(head.pid) if p.name() == "raylet"]
        (session,) = [word.partition("=")[2] for word in raylet if word.startswith("--session_dir=")]
        assert stat.S_IMODE(Path(session).stat().st_mode) == 0o700, "others stay out"
        current = Path(session).parent / "ray_current_cluster"
        assert current.exists()
    finally:
        members = without_agents(family(head.pid))
        head.send_signal(signal.SIGTERM)
        head.wait(60)
    _, alive = psutil.wait_procs(members, timeout=60)
    assert not alive
    assert not current.exists(), "a later ray.init() would want to join it"


def _run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "barray", "run", str(path)]
    end = time.monotonic() + 60
    while True:  # the port listens before the node is ready
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if result.returncode == 0 or time.monotonic() > end:
            return result


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for_listener(port: int) -> None:
    import socket

    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_universe_is_shared_out_over_nodes_and_the_hits_are_the_same(tmp_path: Path, cluster: Any) -> None:
    made = write_listed_universe(tmp_path, symbols=520, end=date(2024, 7, 5), sessions=3, days=5)
    told = yaml.safe_load(made.sources) | {
        "name": "spread",
        "session": {"start": "2024-07-02", "end": "2024-07-05"},
        "scans": [{"name": "up", "at": ["10:00", "12:30"], "where": "gap > 0", "rank": "RSI(14)@1m", "keep": 20}],
    }
    seen: dict[str, int] = {}
    result = barray.scan(told, progress=lambda status: seen.update(symbols_by_node("Scan")))
    assert len(seen) == 2
    prepared = prepare_scan(as_config(told), load_calendar)
    shard, [plan] = ScanShard(prepared.job(*prepared.found())), prepared.plans()
    for row, one in zip(prepared.session_range.rows.tolist(), result.sessions, strict=True):
        part = shard.session(row, {}).parts[plan.name]
        hits = session_hits(plan, prepared.session_range.timezone, part.times_ns, [part])
        assert repr(one.kept) == repr(follow([plan], [hits]).kept)
