"""The same runs on one node and on several: `python -m bench.cluster --nodes 1,2,4`.

Nodes are raylets of this machine, of one CPU each, beside a head without any. `hashes_equal`: kinds of runs whose
results are to the byte the same on all of these clusters (a session's dump, also packed; the tables of a backtest, of a
portfolio, of a sweep and of a scan). `overhead_ratio`: the time of all runs on the most nodes ÷ on one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import yaml

from bench.common import print_json_line
from bench.local_cluster import LIGHT, nodes
from bench.runs import write_universe
from bench.troubles import STRATEGY

KINDS = ("session", "packed", "backtest", "portfolio", "sweep", "scan")
_COMMANDS = {"session": "run", "packed": "run", "portfolio": "backtest"}
_RESULTS = ("session-*.json", "*.parquet", "*.csv")


def write_configs(folder: Path, symbols: int) -> None:
    """A config of each kind, over one universe."""
    told = yaml.safe_load(write_universe(folder, symbols).read_text())
    (folder / "chaos.py").write_text(STRATEGY)
    traded = {**told, "strategy": {"path": "chaos.py", "form": "on_bar"}, "report": {"formats": ["parquet", "csv"]}}
    scan = {"name": "above", "at": "11:00", "where": ["RSI(14)@5m > 30", "volume > 0"], "universe": told["symbols"]}
    configs: dict[str, dict[str, Any]] = {
        "session": told,
        "packed": {**told, "actors": {"symbols_per_actor": 4}},
        "backtest": traded,
        "portfolio": {**traded, "account": {"shared": True}},
        "sweep": {**traded, "sweep": {"parameters": {"size": [5, 10, 20, 40]}, "metric": "pnl"}},
        "scan": {**told, "scans": [scan], "report": {"formats": ["parquet", "csv"]}},
    }
    for kind, settings in configs.items():
        (folder / f"{kind}.yaml").write_text(yaml.safe_dump({**settings, "name": "session"}))


def run(folder: Path, kind: str, out: Path, address: str) -> tuple[str, float]:
    """A digest of what one run left, and its seconds; SystemExit with what it said if it failed."""
    fresh = ["--fresh"] if kind == "sweep" else []
    command = [sys.executable, "-m", "barray", _COMMANDS.get(kind, kind), str(folder / f"{kind}.yaml"), "--quiet"]
    begun = perf_counter()
    done = subprocess.run(
        [*command, "--address", address, "--out", str(out), *fresh],
        env={**os.environ, **LIGHT},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = perf_counter() - begun
    files = sorted(path for pattern in _RESULTS for path in out.rglob(pattern))
    if done.returncode or not files:
        raise SystemExit(f"{kind}: {done.stderr[-2000:]}")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest(), seconds


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", default="1,2,4")
    parser.add_argument("--symbols", type=int, default=12)
    options = parser.parse_args()
    counts = [int(count) for count in options.nodes.split(",")]
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    taken: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ.update({**LIGHT, "RAY_TMPDIR": place})
        write_configs(folder, options.symbols)
        for count in counts:
            own = folder / f"nodes-{count}"
            own.mkdir()
            with nodes(count) as address:
                run(folder, "session", own / "first", address)  # starts each node's forkserver
                runs = {kind: run(folder, kind, own / kind, address) for kind in KINDS}
            taken[count] = sum(seconds for _, seconds in runs.values())
            for kind, (digest, _) in runs.items():
                found[kind].add(digest)
    equal = [kind for kind, digests in found.items() if len(digests) == 1]
    figures = {
        "nodes": options.nodes,
        "symbols": options.symbols,
        "hashes_equal": equal,
        **{f"seconds_{count}": seconds for count, seconds in taken.items()},
        "overhead_ratio": taken[counts[-1]] / taken[counts[0]],
    }
    print_json_line("cluster", figures)
    if len(equal) < len(KINDS):
        raise SystemExit(f"not the same on all: {', '.join(kind for kind in KINDS if kind not in equal)}")


if __name__ == "__main__":
    main()
