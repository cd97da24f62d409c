"""A backtest while its cluster grows from 3 to 10 nodes and shrinks to 3 again: `python -m bench.elastic`.

Nodes are raylets of this machine, which Ray's autoscaler adds because processes wait for them, and which are told to
leave as a spot market's are (`ray drain-node`), the autoscaler having been told to keep three. Each symbol's strategy
takes `--think-s` more than computing, so that nodes have something to do on two cores; those that begin before the
cluster has grown go on only then, for here a node takes seconds to start. `lost`: symbols without a result; `equal`:
results are to the byte those of one node; `idle_node_s`: seconds of nodes without anything of the run, while it ran.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.common import print_json_line
from bench.local_cluster import LIGHT, LOOPBACK, LocalCluster, autoscaling
from bench.runs import write_universe

_RESULTS = ("trades.parquet", "equity.parquet", "fills.parquet")
_PREEMPTED = 2
_GROWS_S = 100
"""How long the cluster may take to grow; a strategy's call may take 120."""
_STRATEGY = """\
import os, time
from barray import Strategy

class Thinks(Strategy):
    def on_start(self, ctx):
        time.sleep({think_s})
        end_s = time.monotonic() + {grows_s}
        while time.monotonic() < end_s and not os.path.exists({grown!r}):
            time.sleep(0.02)

    def on_bar(self, ctx):
        if ctx.bar % 7 == 0:
            ctx.buy(10)
        elif ctx.bar % 7 == 5:
            ctx.close_position()
"""


def write_config(folder: Path, symbols: int, think_s: float) -> Path:
    """A backtest of so many symbols over one day."""
    path = write_universe(folder, symbols)
    settings = yaml.safe_load(path.read_text())
    code = _STRATEGY.format(think_s=think_s, grown=str(folder / "grown"), grows_s=_GROWS_S)
    (folder / "thinks.py").write_text(code)
    settings |= {
        "strategy": {"path": "thinks.py", "form": "on_bar"},
        "actors": {"symbols_per_actor": "auto"},
        "report": {"directory": "reports", "formats": ["parquet", "json"]},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def backtest(config: Path, out: str, *options: str) -> subprocess.Popen[str]:
    """The command, writing to a folder beside the config."""
    command = [sys.executable, "-m", "barray", "backtest", str(config), "--quiet", "--out", str(config.parent / out)]
    environment = {**os.environ, **LIGHT}
    return subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> None:
    """Wait for a command; SystemExit with what it said if it failed."""
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said[-3000:])


@dataclass
class Watched:
    """What was seen of a cluster's workers while a run went on."""

    most: int = 0
    busy: int = 0
    idle_node_s: float = 0.0
    drained: bool = False
    _seen: float = field(default_factory=time.monotonic)

    def look(self, cluster: LocalCluster, least: int, most: int) -> None:
        """Take down who is there and busy; once all that can be are, have all but `least` leave."""
        import ray

        state: Any = ray._private.state.state
        alive = [one["NodeID"] for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]  # type: ignore[no-untyped-call]
        actors = state.actor_table(None, None, "ALIVE").values()
        busy = {one["Address"]["NodeID"] for one in actors if one["ActorClassName"] == "BacktestActor"}
        now, before = time.monotonic(), self._seen
        if busy:
            self.idle_node_s += (now - before) * len([node for node in alive if node not in busy])
        self._seen, self.most, self.busy = now, max(self.most, len(alive)), len(busy)
        if not self.drained and len(busy) == most:
            self.drained = True
            cluster.resize(least)
            for node in sorted(alive)[least:]:
                gcs: Any = ray._private.worker.global_worker.gcs_client  # type: ignore[attr-defined]
                gcs.drain_node(node, _PREEMPTED, "the spot market", int(time.time() * 1000) + 30_000)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=1_000)
    parser.add_argument("--least", type=int, default=3, help="nodes at first, and at last")
    parser.add_argument("--most", type=int, default=10, help="nodes in between")
    parser.add_argument("--think-s", type=float, default=0.2)
    options = parser.parse_args()
    os.environ.update(LIGHT | LOOPBACK)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = write_config(folder, options.symbols, options.think_s)
        grown = folder / "grown"
        grown.touch()
        begun = time.perf_counter()
        finished(backtest(config, "calm"))
        grown.unlink()
        calm_s = time.perf_counter() - begun
        settings = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump({**settings, "placement": {"cpus": options.most}}))
        with autoscaling(folder, least=options.least, most=options.most) as cluster:
            watched, seconds = run(config, cluster, options.least, options.most, grown)
        calm, elastic = (results(folder / name) for name in ("calm", "elastic"))
    figures = {
        "symbols": options.symbols,
        "nodes": f"{options.least}-{options.most}-{options.least}",
        "most_nodes": watched.most,
        "last_busy_nodes": watched.busy,
        "lost": options.symbols - symbols_of(elastic),
        "equal": calm == elastic,
        "idle_node_s": watched.idle_node_s,
        "seconds": seconds,
        "one_node_s": calm_s,
    }
    print_json_line("elastic", figures)
    if calm != elastic or watched.most < options.most:
        raise SystemExit("it was not as on one node, or the cluster did not grow")


def run(config: Path, cluster: LocalCluster, least: int, most: int, grown: Path) -> tuple[Watched, float]:
    """The backtest on the cluster, watched, once its first nodes are there. `grown`: a file made once all are."""
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    while ray.cluster_resources().get("CPU", 0) < least:  # type: ignore[no-untyped-call]
        time.sleep(0.2)
    watched, begun = Watched(), time.perf_counter()
    process = backtest(config, "elastic", "--address", cluster.address)
    while process.poll() is None:
        watched.look(cluster, least, most)
        if watched.drained:
            grown.touch()
        time.sleep(0.2)
    seconds = time.perf_counter() - begun
    finished(process)
    ray.shutdown()
    return watched, seconds


def results(folder: Path) -> dict[str, bytes]:
    """What a run left, by name."""
    return {path.name: path.read_bytes() for name in _RESULTS for path in folder.rglob(name)}


def symbols_of(found: dict[str, bytes]) -> int:
    """How many symbols traded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # No thread of Arrow's holds a Python object then: one that lets go of it while Python ends takes the process down.
    table = pq.ParquetFile(pa.BufferReader(found["trades.parquet"])).read(["symbol"], use_threads=False)
    return len(set(table["symbol"].to_pylist()))


if __name__ == "__main__":
    main()
