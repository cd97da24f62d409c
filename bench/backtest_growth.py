"""How a backtest's time and memory grow with its symbols and its days, on a Ray kept by `barray up`.

All figures are above an empty session: the same config with a symbol for each process, and one day. `exponent_symbols`
and `exponent_days` are those of a power law through the seconds above it; `exponent` is the larger. Memory is the
peak of the proportional set sizes of all processes together, cold, of the run with the most bars.
"""

from __future__ import annotations

import argparse
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
from bench.runs import PeakMemory, barray, finish

_COMMAND = (sys.executable, "-m", "barray", "backtest")
_EMPTY = (4, 1)
"""Symbols and days of an empty session: four processes on two cores, as all others have."""
Shape = tuple[int, int]
"""Symbols and days."""


def exponent(sizes: Sequence[int], seconds: Sequence[float], empty_s: float) -> float:
    """Of a power law through the seconds above `empty_s`; NaN where one of them is not above it."""
    above = np.array(seconds) - empty_s
    if (above <= 0).any():
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(above), 1)[0])


def measure(folder: Path, symbols: Sequence[int], days: Sequence[int], at: Shape, repeat: int) -> dict[str, Any]:
    """Medians of whole processes. `at`: how many symbols the days are varied with, and days the symbols."""
    by_symbols = [(count, at[1]) for count in symbols]
    by_days = [(at[0], count) for count in days]
    shapes = list(dict.fromkeys([_EMPTY, *by_symbols, *by_days]))
    wide = w1.write_universe(folder / "wide", max(symbols), at[1])
    long = w1.write_universe(folder / "long", at[0], max(days))
    configs = {}
    for shape in shapes:
        universe = wide if shape[1] <= at[1] else long
        path = folder / f"s{shape[0]}d{shape[1]}.yaml"
        configs[shape] = w1.write_config(path, universe, symbols=shape[0], days=shape[1])
    taken: dict[Shape, list[float]] = {shape: [] for shape in shapes}
    finish(barray("up"))
    try:
        for number in range(repeat + 1):
            for shape, config in configs.items():
                seconds, _ = w1.timed((*_COMMAND, config, "--quiet"))
                taken[shape] += [seconds] if number else []
    finally:
        finish(barray("down"))
    medians = {shape: statistics.median(values) for shape, values in taken.items()}
    largest = max(shapes, key=lambda shape: shape[0] * shape[1])
    return {
        **figures(medians, by_symbols, by_days),
        **memory(configs[_EMPTY], configs[largest], wide if largest in by_symbols else long, largest),
    }


def figures(seconds: dict[Shape, float], by_symbols: Sequence[Shape], by_days: Sequence[Shape]) -> dict[str, Any]:
    """Seconds by shape and the exponents."""
    empty_s = seconds[_EMPTY]
    of_symbols = exponent([shape[0] for shape in by_symbols], [seconds[shape] for shape in by_symbols], empty_s)
    of_days = exponent([shape[1] for shape in by_days], [seconds[shape] for shape in by_days], empty_s)
    return {
        **{f"seconds_{count}x{days}": taken for (count, days), taken in seconds.items()},
        "exponent_symbols": of_symbols,
        "exponent_days": of_days,
        "exponent": max(of_symbols, of_days),
    }


def memory(empty: Path, largest: Path, universe: w1.Universe, shape: Shape) -> dict[str, Any]:
    """Megabytes at the peak of both, and of the difference for each million bars."""
    peaks = []
    for config in (empty, largest):
        with PeakMemory(sample_s=0.1) as watch:
            w1.timed((*_COMMAND, config, "--quiet"))
        peaks.append(watch.peak_mb)
    bars = universe.bars * shape[0] * shape[1] / (len(universe.symbols) * len(universe.dates))
    return {
        "bars": round(bars),
        "empty_mb": peaks[0],
        "peak_mb": peaks[1],
        "mb_per_million_bars": (peaks[1] - peaks[0]) / (bars / 1e6),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.backtest_growth", description=__doc__)
    parser.add_argument("--symbols", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--days", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--at", type=int, nargs=2, default=[20, 5], help="symbols of the days, days of the symbols")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    asked = parser.parse_args()
    if warm_ray.find():
        raise SystemExit("a local Ray is up: barray down first")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), asked.symbols, asked.days, tuple(asked.at), asked.repeat)
    print_json_line("backtest_growth", {"repeat": asked.repeat, **found})


if __name__ == "__main__":
    main()
