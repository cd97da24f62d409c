"""What a window costs in which nothing happens: `python -m bench.session_windows --symbols 100 --window 1m`.

`ms_per_window`: from one window's end to the next, a process a symbol. `end_s`: of the session's end, at which every
process is asked once for a sign of life.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter

from barray.market.interval import Interval
from barray.sample.universe import sample_symbols, write_sample_data
from barray.session import Session
from bench.common import print_json_line

DAY = date(2024, 7, 2)
_SESSION = Interval.parse("390m")


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--window", default="1m")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    symbols = sample_symbols(options.symbols)
    run_s, end_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        write_sample_data(Path(folder), symbols=symbols, start=DAY, end=DAY)
        config = {
            "session": {"start": str(DAY)},
            "symbols": list(symbols),
            "intervals": ["1m", "5m"],
            "indicators": ["SMA(20)@1m"],
            "history": {"max_missing_days": 1},
            "sources": [{"root": folder}],
            "run": {"window": options.window},
            "actors": {"lifecycle": "reuse"},
            "ray": {"num_cpus": 2},
        }
        with Session(config) as session:
            for _ in range(options.repeat):
                session.begin(DAY)
                begun = perf_counter()
                session.advance_to()
                run_s.append(perf_counter() - begun)
                session.end()
                end_s.append(perf_counter() - begun - run_s[-1])
                session.teardown()
    windows = -(-_SESSION.ns // Interval.parse(options.window).ns)
    print_json_line(
        "session_windows",
        {
            "symbols": len(symbols),
            "windows": windows,
            "ms_per_window": 1_000 * statistics.median(run_s) / windows,
            "end_s": statistics.median(end_s),
            "repeat": options.repeat,
        },
    )


if __name__ == "__main__":
    main()
