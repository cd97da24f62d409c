"""A sweep of 100 parameter sets over 20 symbols and 20 sessions: ours, vectorbt's, and that of backtesting.py.

Ours counts from the moment all processes are up, reading the bars included, to the last figure. vectorbt holds the bars
and has compiled. backtesting.py does one symbol, on all cores; its rate is taken to hold for the others. The profit of
every set must be the same.
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
from bench.peers.work import FASTS, SLOWS

_COMMAND = (sys.executable, "-m", "barray", "sweep")
_SYMBOLS_OF_BACKTESTING = 1
Sets = dict[tuple[int, int], float]
"""Profit by fast and slow window."""


def ours(folder: Path, universe: w1.Universe, symbols: int, days: int) -> tuple[float, float, Sets]:
    """Seconds of the whole process and of the sweep itself, and what came of it."""
    grid = {"parameters": {"fast": list(FASTS), "slow": list(SLOWS)}}
    config = w1.write_config(folder / "sweep.yaml", universe, symbols=symbols, days=days, sweep=grid)
    total_s, printed = w1.timed((*_COMMAND, config, "--quiet", "--fresh", "--json"))
    with (folder / "reports/sweep-sweep.csv").open() as file:
        sets = {(int(row["fast"]), int(row["slow"])): round(float(row["pnl"]), 2) for row in csv.DictReader(file)}
    return total_s, json.loads(printed)["timings_s"]["evaluate_s"], sets


def sets_of(line: dict[str, Any]) -> Sets:
    """What a peer printed."""
    return {(fast, slow): pnl for fast, slow, pnl in line["sets"]}


def require_the_same(name: str, found: Sets, wanted: Sets) -> None:
    """SystemExit where a set's profit is not the same."""
    wrong = [pair for pair in wanted.keys() | found.keys() if found.get(pair) != wanted.get(pair)]
    if wrong:
        pair = min(wrong)
        raise SystemExit(f"{name}: {len(wrong)} sets differ, such as {pair}: {found.get(pair)}, {wanted.get(pair)}")


def measure(folder: Path, symbols: int, days: int, repeat: int) -> dict[str, Any]:
    """Medians over `repeat` rounds, after one of ours that doesn't count."""
    universe = w1.write_universe(folder / "bars", symbols, days)
    set_bars = len(FASTS) * len(SLOWS) * universe.bars
    peers = w1.peers()
    _, _, wanted = ours(folder, universe, symbols, days)
    rates: dict[str, list[float]] = {name: [] for name in ("barray", *peers)}
    totals: list[float] = []
    forms: dict[str, str] = {}
    for number in range(repeat):
        total_s, evaluate_s, found = ours(folder, universe, symbols, days)
        require_the_same("barray", found, wanted)
        totals.append(total_s)
        rates["barray"].append(set_bars / evaluate_s)
        for peer, python in peers.items():
            if peer == "backtesting":
                count = _SYMBOLS_OF_BACKTESTING
                line = _peer(python, "sweep_backtesting", universe.root, count)
                if not number:
                    require_the_same(peer, ours(folder, universe, count, days)[2], sets_of(line))
            else:
                line = _peer(python, "sweep_vectorbt", universe.root, symbols)
                forms[f"{peer}_form"] = line["form"]
                require_the_same(peer, sets_of(line), wanted)
            rates[peer].append(line["set_bars_per_s"])
    return {**figures(rates), "total_s": statistics.median(totals), "set_bars": set_bars, **forms}


def _peer(python: Path, module: str, root: Path, symbols: int) -> dict[str, Any]:
    return w1.last_json(w1.timed((python, "-m", f"bench.peers.{module}", root, "--symbols", symbols))[1])


def figures(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Medians by tool, and ours against each. vectorbt: the faster of its engines."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    own = medians.pop("barray")
    found: dict[str, Any] = {"set_bars_per_s": own}
    found |= {f"{name}_set_bars_per_s": rate for name, rate in medians.items()}
    if vectorbt := [rate for name, rate in medians.items() if name.startswith("vectorbt")]:
        found["ratio_vectorbt"] = own / max(vectorbt)
    if "backtesting" in medians:
        found["ratio_backtesting"] = own / medians["backtesting"]
        found["backtesting_symbols_measured"] = _SYMBOLS_OF_BACKTESTING
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--days", type=int, default=20, help="sessions of one-minute bars")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.symbols, asked.days, asked.repeat)
    shape = {"sets": len(FASTS) * len(SLOWS), "symbols": asked.symbols, "days": asked.days, "repeat": asked.repeat}
    print_json_line("sweep", {**shape, **found})


if __name__ == "__main__":
    main()
