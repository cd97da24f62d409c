"""A cross-symbol strategy over one shared account, window by window: `python -m bench.windows`."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from datetime import date
from pathlib import Path

import barray
from barray.coordinator import runtime
from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import print_json_line

FIRST, LAST = date(2024, 6, 17), date(2024, 6, 21)
STRATEGY = Path(__file__).parents[1] / "examples/strategies/momentum.py"


def main() -> None:
    """Print one JSON line: `ms_per_window`, every minute a window, and how many bars a second that is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    symbols = sample_symbols(options.symbols)
    with tempfile.TemporaryDirectory() as folder:
        write_sample_data(Path(folder), symbols=symbols, start=FIRST, end=LAST)
        config = {
            "session": {"start": str(FIRST), "end": str(LAST)},
            "symbols": list(symbols),
            "sources": [{"root": folder}],
            "history": {"max_missing_days": 1},
            "strategy": {"path": str(STRATEGY), "parameters": {"lookback": 30, "hold": 5}},
            "account": {"shared": True},
            "actors": {"symbols_per_actor": "auto"},
        }
        runtime.start_ray(num_cpus=2)
        try:
            results = [barray.backtest(config) for _ in range(options.repeat + 1)][1:]
        finally:
            runtime.leave_ray()
    windows = len(results[0].grid_ns)
    run_s = statistics.median(result.timings_s["run_s"] for result in results)
    print_json_line(
        "windows",
        {
            "symbols": len(symbols),
            "windows": windows,
            "ms_per_window": 1_000 * run_s / windows,
            "bars_per_s": windows * len(symbols) / run_s,
            "trades": sum(len(result.trades) for result in results[0].symbols.values()),
            "repeat": options.repeat,
        },
    )


if __name__ == "__main__":
    main()
