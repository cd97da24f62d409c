"""Symbols go back to the node that keeps copies of their files: two raylets, each with copies of its own, and S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import barray
from barray.actors.ray_start.patch import altered_ray
from barray.sample.universe import write_sample_data
from tests.cluster.test_nodes import SYMBOLS
from tests.vendors.s3_server import S3Server, s3_server

pytestmark = pytest.mark.ray


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Three days of six symbols, which this process and those that it starts may read, and keep."""
    write_sample_data(tmp_path / "bars", symbols=SYMBOLS, start="2024-07-01", end="2024-07-03")
    monkeypatch.delenv("BARRAY_NO_CACHE", raising=False)
    with s3_server() as server:
        for path in sorted((tmp_path / "bars").rglob("*.parquet")):
            server.put(f"bars/{path.relative_to(tmp_path / 'bars')}", path.read_bytes())
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def cluster(s3: S3Server, tmp_path: Path) -> Iterator[Any]:
    """A head without CPUs and two workers of one; this process is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    with altered_ray():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for name in ("one", "two"):
            nodes.add_node(num_cpus=1, node_name=name, env_vars={"BARRAY_SHARDS": str(tmp_path / name)})
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def test_no_node_reads_again_what_it_read_in_the_session_before(s3: S3Server, cluster: Any, tmp_path: Path) -> None:
    def files_read(day: str) -> int:
        s3.asked.clear()
        told = {"session": {"start": day}, "symbols": list(SYMBOLS), "intervals": ["1m"]}
        told |= {"history": {"trailing_days": 1}, "sources": [{"root": s3.uri("bars")}]}
        with barray.Session(told) as session:
            session.begin()
        return len(s3.reads(r"bars/.*\.parquet"))

    assert files_read("2024-07-02") == 2 * len(SYMBOLS), "Step 0 reads where the symbol's process will be"
    kept = [len(list((tmp_path / name).glob("*/[!.]*"))) for name in ("one", "two")]
    assert kept == [len(SYMBOLS)] * 2, "each node has half of them"
    assert files_read("2024-07-03") == len(SYMBOLS), "the new day's alone"
    assert files_read("2024-07-02") == 0
