"""A session of 8 symbols from command to finished dump: `python -m bench.startup`. Cold, and on a Ray kept warm."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from barray.local import warm_ray
from bench.common import print_json_line
from bench.runs import barray, finish, write_universe


def main() -> None:
    """Print one JSON line: medians of whole processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    if warm_ray.find():
        raise SystemExit("a local Ray is up: barray down first")
    with tempfile.TemporaryDirectory() as folder:
        config = write_universe(Path(folder), options.symbols)

        def once() -> float:
            begun = perf_counter()
            finish(barray("run", config, "--quiet"))
            return perf_counter() - begun

        once()  # compiles, and fills the file cache
        cold = [once() for _ in range(options.repeat)]
        finish(barray("up"))
        try:
            first = once()
            warm = [once() for _ in range(options.repeat)]
        finally:
            finish(barray("down"))
    print_json_line(
        "startup",
        {
            "symbols": options.symbols,
            "cold_s": statistics.median(cold),
            "warm_s": statistics.median(warm),
            "first_warm_s": first,
        },
    )


if __name__ == "__main__":
    main()
