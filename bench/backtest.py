"""A backtest from command to finished report: ours, plain NumPy, and other tools, as whole processes, in turn.

All must make the same trades and the same profit. Ours writes its report and tables; the others print a line, no more.
`--warm`: ours on a Ray that `barray up` keeps. The figures of the engine alone are those of `bench.backtest_engine`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from barray.local import warm_ray
from bench import w1
from bench.backtest_engine import engine_figures, random_bases
from bench.common import print_json_line
from bench.runs import barray, finish

_SCRIPTS = {"backtesting": "w1_backtesting", "vectorbt": "w1_vectorbt", "vectorbt_rust": "w1_vectorbt"}
_COMMAND = (sys.executable, "-m", "barray", "backtest")


def measure(folder: Path, symbols: int, days: int, repeat: int) -> dict[str, Any]:
    """Medians of whole processes over rounds, after one that doesn't count; SystemExit where results differ."""
    universe = w1.write_universe(folder / "bars", symbols, days)
    config = w1.write_config(folder / "w1.yaml", universe, symbols=symbols, days=days)
    module = ("-m", "bench.peers.w1_numpy", universe.root)
    commands: dict[str, tuple[object, ...]] = {
        "barray": (*_COMMAND, config, "--quiet"),
        "numpy": (sys.executable, *module),
        **{peer: (python, "-m", f"bench.peers.{_SCRIPTS[peer]}", universe.root) for peer, python in w1.peers().items()},
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(repeat + 1):
        found = {}
        for name, command in commands.items():
            seconds, printed = w1.timed(command)
            taken[name] += [seconds] if number else []
            found[name] = (
                w1.reported(folder / "reports/w1", universe.symbols) if name == "barray" else w1.last_json(printed)
            )
        require_the_same(found)
    return {**figures(taken), "bars": universe.bars, "trades": found["numpy"]["trades"], "pnl": found["numpy"]["pnl"]}


def require_the_same(found: dict[str, dict[str, Any]]) -> None:
    """SystemExit where trades or profit of one are not those of plain NumPy."""
    wanted = [found["numpy"][key] for key in ("trades", "pnl", "digest")]
    for name, result in found.items():
        if [result[key] for key in ("trades", "pnl", "digest")] != wanted:
            raise SystemExit(f"{name} made {result['trades']} trades, {result['pnl']}; plain NumPy {wanted[:2]}")


def figures(taken: dict[str, list[float]]) -> dict[str, Any]:
    """Medians by tool, and ours against the fastest of the others; with no compiled extra, too."""
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    total, plain = medians.pop("barray"), medians.pop("numpy")
    found: dict[str, Any] = {"total_s": total, "numpy_total_s": plain}
    found |= {f"{name}_total_s": seconds for name, seconds in medians.items()}
    for key, others in (("fastest_peer", medians), ("fastest_pure_peer", _pure(medians))):
        if others:
            fastest = min(others, key=others.__getitem__)
            found |= {key: fastest, f"{key}_total_s": others[fastest], _RATIOS[key]: total / others[fastest]}
    return found


_RATIOS = {"fastest_peer": "total_ratio", "fastest_pure_peer": "total_ratio_pure"}


def _pure(medians: dict[str, float]) -> dict[str, float]:
    """Peers as their plain `pip install` gives them."""
    return {name: taken for name, taken in medians.items() if name != "vectorbt_rust"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.backtest", description=__doc__)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--days", type=int, default=20, help="sessions of one-minute bars")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    parser.add_argument("--warm", action="store_true", help="ours on a Ray kept by `barray up`")
    asked = parser.parse_args()
    if warm_ray.find():
        raise SystemExit("a local Ray is up: barray down first")
    bases, sessions = random_bases(min(asked.symbols, 20), asked.days)
    alone = engine_figures(bases, sessions)
    del bases
    with tempfile.TemporaryDirectory() as folder:
        if asked.warm:
            finish(barray("up"))
        try:
            whole = measure(Path(folder), asked.symbols, asked.days, asked.repeat)
        finally:
            if asked.warm:
                finish(barray("down"))
    engine = {key: alone[key] for key in ("event_bars_per_s", "array_bars_per_s", "array_ratio_numpy")}
    shape = {"symbols": asked.symbols, "days": asked.days, "warm": asked.warm, "repeat": asked.repeat}
    print_json_line("backtest", {**shape, **engine, **whole})


if __name__ == "__main__":
    main()
