"""A sweep of 50 sets of W3 (see bench.peers.w3), portfolios over one account: ours, vectorbt's, and NumPy's.

Ours counts from the moment the bars are laid out and all processes are up, to the last figure, on all cores. vectorbt
(a compiled callback at every bar) and NumPy (this one rule alone, no orders) hold the bars, run on one core, and their
second time counts. All must come to the same profit of every set, to the cent.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import w1
from bench.common import print_json_line
from bench.peers import w3
from bench.portfolio import STRATEGY

_COMMAND = (sys.executable, "-m", "barray", "sweep")
Sets = dict[tuple[int, int], float]
"""Profit by lookback and hold."""


def ours(folder: Path, universe: w1.Universe, symbols: int, days: int) -> tuple[float, float, Sets]:
    """Seconds of the whole process and of the sweep itself, and what came of it."""
    config = w1.write_config(
        folder / "sweep.yaml",
        universe,
        symbols=symbols,
        days=days,
        history={"trailing_days": 1, "max_missing_days": 1},
        strategy={"path": str(STRATEGY)},
        account={"capital": w3.CASH, "shared": True},
        sweep={"parameters": {"lookback": list(w3.LOOKBACKS), "hold": list(w3.HOLDS)}, "metric": "pnl"},
    )
    total_s, printed = w1.timed((*_COMMAND, config, "--quiet", "--fresh", "--json"))
    with (folder / "reports/sweep-sweep.csv").open() as file:
        sets = {(int(row["lookback"]), int(row["hold"])): round(float(row["pnl"]), 2) for row in csv.DictReader(file)}
    return total_s, json.loads(printed)["timings_s"]["evaluate_s"], sets


def measure(folder: Path, symbols: int, days: int, repeat: int) -> dict[str, Any]:
    """Medians over rounds; SystemExit where profits differ."""
    universe = w1.write_universe(folder / "bars", symbols, days)
    peers = {"numpy": Path(sys.executable), **w1.peers(("vectorbt",))}
    set_bars = len(w3.LOOKBACKS) * len(w3.HOLDS) * universe.bars
    rates: dict[str, list[float]] = {name: [] for name in ("barray", *peers)}
    totals: list[float] = []
    for _ in range(repeat):
        total_s, evaluate_s, found = ours(folder, universe, symbols, days)
        totals.append(total_s)
        rates["barray"].append(set_bars / evaluate_s)
        for peer, python in peers.items():
            line = w1.last_json(w1.timed((python, "-m", f"bench.peers.w3_{peer}", universe.root, "--sets"))[1])
            rates[peer].append(line["set_bars_per_s"])
            require_the_same(peer, {(one[0], one[1]): round(one[3] - w3.CASH, 2) for one in line["sets"]}, found)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    own = medians.pop("barray")
    figures = {"set_bars_per_s": own, **{f"{name}_set_bars_per_s": rate for name, rate in medians.items()}}
    if "vectorbt" in medians:
        figures["ratio_vectorbt"] = own / medians["vectorbt"]
    return {**figures, "total_s": statistics.median(totals), "set_bars": set_bars}


def require_the_same(name: str, found: Sets, wanted: Sets) -> None:
    """SystemExit where a set's profit is not the same, to the cent."""
    wrong = [pair for pair in wanted.keys() | found.keys() if not _same(found.get(pair), wanted.get(pair))]
    if wrong:
        pair = min(wrong)
        raise SystemExit(f"{name}: {len(wrong)} sets differ, such as {pair}: {found.get(pair)}, {wanted.get(pair)}")


def _same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) < 0.015  # both are rounded


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.portfolio_sweep", description=__doc__)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--days", type=int, default=20, help="sessions of one-minute bars")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.symbols, asked.days, asked.repeat)
    shape = {"sets": len(w3.LOOKBACKS) * len(w3.HOLDS), "symbols": asked.symbols, "days": asked.days}
    print_json_line("portfolio_sweep", {**shape, "repeat": asked.repeat, **found})


if __name__ == "__main__":
    main()
