"""How a portfolio's time and memory grow with its symbols and its days: W3 (see bench.portfolio), on a warm Ray.

Seconds are those of loading and running, from the first process's start to the last result; `exponent_symbols` and
`exponent_days` are those of a power law through them, `exponent` the larger. `peak_mb_ratio`: the peak of the
proportional set sizes of all processes together, cold, of the most days ÷ that of the days of `--beside`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from barray.local import warm_ray
from bench import w1
from bench.common import print_json_line
from bench.portfolio import STRATEGY
from bench.runs import PeakMemory, barray, finish

_COMMAND = (sys.executable, "-m", "barray", "backtest")
Shape = tuple[int, int]
"""Symbols and days."""


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Of a power law through seconds by size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(
    folder: Path, symbols: Sequence[int], days: Sequence[int], at: Shape, beside: int, repeat: int
) -> dict[str, Any]:
    """Medians of whole runs. `at`: symbols that the days are varied with, and days that the symbols are."""
    by_symbols, by_days = [(count, at[1]) for count in symbols], [(at[0], count) for count in days]
    wide = w1.write_universe(folder / "wide", max(symbols), at[1])
    long = w1.write_universe(folder / "long", at[0], max(*days, beside))
    configs: dict[Shape, Path] = {}
    for shape in (*by_symbols, *by_days, (at[0], beside)):
        configs[shape] = w1.write_config(
            folder / f"s{shape[0]}d{shape[1]}.yaml",
            wide if shape in by_symbols else long,
            symbols=shape[0],
            days=shape[1],
            account={"capital": 1_000_000, "shared": True},
            strategy={"path": str(STRATEGY)},
        )
    taken: dict[Shape, list[float]] = {shape: [] for shape in dict.fromkeys((*by_symbols, *by_days))}
    finish(barray("up"))
    try:
        for number in range(repeat + 1):
            for shape in taken:
                seconds = _load_and_run_s(configs[shape])
                taken[shape] += [seconds] if number else []
    finally:
        finish(barray("down"))
    medians = {shape: statistics.median(seconds) for shape, seconds in taken.items()}
    of_symbols = exponent(symbols, [medians[shape] for shape in by_symbols])
    of_days = exponent(days, [medians[shape] for shape in by_days])
    peaks = {shape: _peak_mb(configs[shape]) for shape in ((at[0], beside), (at[0], max(days)))}
    (few_mb, many_mb) = peaks.values()
    return {
        **{f"seconds_{count}x{span}": seconds for (count, span), seconds in medians.items()},
        "exponent_symbols": of_symbols,
        "exponent_days": of_days,
        "exponent": max(of_symbols, of_days),
        **{f"peak_mb_{count}x{span}": peak for (count, span), peak in peaks.items()},
        "peak_mb_ratio": many_mb / few_mb,
    }


def _load_and_run_s(config: Path) -> float:
    timings = json.loads(w1.timed((*_COMMAND, config, "--quiet", "--json"))[1])["timings_s"]
    return float(timings["run_s"])


def _peak_mb(config: Path) -> float:
    with PeakMemory(sample_s=0.1) as watch:
        w1.timed((*_COMMAND, config, "--quiet"))
    return watch.peak_mb


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.portfolio_growth", description=__doc__)
    parser.add_argument("--symbols", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--days", type=int, nargs="+", default=[5, 50, 250])
    parser.add_argument("--at", type=int, nargs=2, default=[100, 5], help="symbols of the days, days of the symbols")
    parser.add_argument("--beside", type=int, default=20, help="days whose memory that of the most is compared with")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    asked = parser.parse_args()
    if warm_ray.find():
        raise SystemExit("a local Ray is up: barray down first")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.symbols, asked.days, tuple(asked.at), asked.beside, asked.repeat)
    print_json_line("portfolio_growth", {"repeat": asked.repeat, **found})


if __name__ == "__main__":
    main()
