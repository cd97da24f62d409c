"""Nodes that leave, or must not bear symbols, and clusters that are too small: real raylets on one machine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import barray
from barray.actors.nodes import Claim
from barray.actors.ray_start.patch import altered_ray
from barray.actors.transport import RayTransport
from tests.cluster.test_nodes import SYMBOLS, symbols_by_node
from tests.sessions import config

pytestmark = pytest.mark.ray
PREEMPTED = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two workers, of one CPU each, the workers with a label; this process is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    with altered_ray():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for zone in ("east", "west"):
            nodes.add_node(num_cpus=1, labels={"zone": zone})
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def begin(universe: Path, **sections: Any) -> dict[str, int]:
    """Symbols by raylet, in a session of that config."""
    with barray.Session(config(universe, *SYMBOLS, session={"start": "2024-07-02"}, **sections)) as session:
        session.begin()
        return symbols_by_node()


def test_symbols_go_to_the_nodes_that_the_config_names(universe: Path, cluster: Any) -> None:
    assert sorted(begin(universe).values()) == [2, 2, 2]
    assert sorted(begin(universe, placement={"head": False}).values()) == [3, 3]
    assert list(begin(universe, placement={"labels": {"zone": "in(west,north)"}}).values()) == [6]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"actors": {"num_cpus": 1.0}},
            "6 processes of 1 CPUs each ask for 6 CPUs; the cluster's 3 nodes .* have 3 CPUs",
        ),
        ({"actors": {"memory_mb": 1_000_000}}, "6 processes of 0.001 CPUs and 1e\\+06 MB each .* has no autoscaler"),
        ({"placement": {"labels": {"disk": "nvme"}}}, "no node has a label 'disk'; .* ray.io/node-id, zone"),
        ({"placement": {"labels": {"zone": "north"}}}, "none of 3 nodes .* zone is east, none, west"),
        ({"placement": {"cpus": 30}}, "the run asks for 30 CPUs; the cluster's 3 nodes .* have 3 CPUs"),
    ],
)
def test_a_plan_that_has_no_room_says_so_before_it_starts(
    universe: Path, cluster: Any, sections: dict[str, Any], said: str
) -> None:
    with pytest.raises(barray.ConfigError, match=said):
        begin(universe, **sections)
    assert symbols_by_node() == {}


def test_what_is_about_to_be_given_back_is_room(cluster: Any) -> None:
    import ray

    @ray.remote(num_cpus=1)
    class Holds:
        def place(self) -> str:
            return ray.get_runtime_context().get_node_id()

    transport, claim = RayTransport(), Claim(0.5)
    holding = [Holds.remote() for _ in range(3)]  # type: ignore[attr-defined]
    assert len({ray.get(one.place.remote()) for one in holding}) == 3
    while sum(node.free_cpus for node in transport.nodes().values()):
        time.sleep(0.05)
    with pytest.raises(barray.ConfigError, match=r"ask for 3 CPUs; .* have 3 CPUs, of which 0 are free"):
        asyncio.run(transport.make_room(claim, 6))
    timers = [threading.Timer(0.5, ray.kill, [one]) for one in holding]
    for timer in timers:
        timer.start()
    asyncio.run(transport.make_room(claim, 6))
    for timer in timers:
        timer.join()


def test_a_node_that_is_to_leave_hands_its_symbols_over_and_goes(universe: Path, tmp_path: Path, cluster: Any) -> None:
    import ray

    def alive() -> int:
        return sum(node["Alive"] for node in ray.nodes())

    def run(folder: Path, *, drain: bool) -> bytes:
        settings = {"heartbeat_s": 0, "max_restarts": 0}
        with barray.Session(config(universe, *SYMBOLS, session={"start": "2024-07-02"}, actors=settings)) as session:
            session.begin()
            session.advance_to("10:00")
            assert session.add_adhoc_indicator("AAPL", "RSI(5)@15m")
            if drain:
                leaving = next(node["NodeID"] for node in ray.nodes() if node["Labels"].get("zone") == "west")
                worker: Any = ray._private.worker.global_worker
                accepted, _ = worker.gcs_client.drain_node(leaving, PREEMPTED, "the spot market", 0)
                assert accepted
                end, minute = time.monotonic() + 60, 1
                while alive() == 3 and time.monotonic() < end and minute < 300:
                    session.advance_to(f"{10 + minute // 60}:{minute % 60:02}")
                    minute += 1
                    time.sleep(0.1)
                assert alive() == 2
                assert sorted(symbols_by_node().values()) == [3, 3]
            session.advance_to()
            session.end()
            (path,) = session.export(folder, ["json"])
        return path.read_bytes()

    calm = run(tmp_path / "calm", drain=False)
    assert run(tmp_path / "drained", drain=True) == calm


WAITS = """
import time
from pathlib import Path
from barray import Strategy

class Waits(Strategy):
    place: str = ""

    def on_window(self, view):
        if view.minute == 60:
            place, day = Path(self.place), view.session_date.day
            (place / f"at-{day}").touch()
            end_s = time.monotonic() + 60
            while not (place / f"go-{day}").exists() and time.monotonic() < end_s:
                time.sleep(0.05)
        if view.minute % 60 == 0:
            view.rebalance({view.symbols[view.minute // 60 % len(view.symbols)]: 0.5})
"""


def bearing(*kinds: str) -> list[str]:
    """Nodes with processes of these kinds, one a process."""
    import ray

    actors = ray._private.state.state.actor_table(None, None, "ALIVE").values()
    return [one["Address"]["NodeID"] for one in actors if one["ActorClassName"] in kinds]


def test_a_portfolio_leaves_a_node_before_it_goes_and_uses_one_that_joins(
    universe: Path, tmp_path: Path, cluster: Any
) -> None:
    import ray

    (tmp_path / "waits.py").write_text(WAITS)
    place, days = tmp_path / "troubled", (1, 2, 3)
    seen: list[set[str]] = []

    def run(place: Path, progress: Any = None) -> Any:
        place.mkdir(exist_ok=True)
        told = {
            "session": {"start": "2024-07-01", "end": "2024-07-03"},
            "strategy": {"path": str(tmp_path / "waits.py"), "parameters": {"place": str(place)}},
            "account": {"shared": True},
            "actors": {"max_restarts": 0, "symbols_per_actor": "auto"},
            "placement": {"head": False},
        }
        return barray.backtest(config(universe, *SYMBOLS, **told), progress=progress)

    def change(status: Any) -> None:
        if (place / "at-1").exists() and not (place / "go-1").exists():
            joined = cluster.add_node(num_cpus=1, labels={"zone": "south"}).node_id
            worker: Any = ray._private.worker.global_worker
            [engine] = bearing("PortfolioActor")
            assert worker.gcs_client.drain_node(engine, PREEMPTED, "the spot market", 0)[0]
            seen.extend([{engine}, {joined}])
            end_s = time.monotonic() + 30
            while engine not in ray._private.state.state.get_draining_nodes() and time.monotonic() < end_s:
                time.sleep(0.02)  # the control store hears of it from the node, a while after the answer
            (place / "go-1").touch()
        if (place / "at-3").exists() and not (place / "go-3").exists():
            seen.append(set(bearing("BacktestActor", "PortfolioActor")))
            (place / "go-3").touch()

    cluster.add_node(num_cpus=1, labels={"zone": "north"})
    (tmp_path / "calm").mkdir()
    for day in days:
        (tmp_path / "calm" / f"go-{day}").touch()
    calm = run(tmp_path / "calm")
    place.mkdir()
    (place / "go-2").touch()
    troubled = run(place, change)
    left, joined, after = seen
    assert joined < after
    assert not left & after
    assert troubled.error is None
    assert troubled.account_equity.tobytes() == calm.account_equity.tobytes()
