"""Thousands of symbols on one machine: `python -m bench.pack --symbols 2000`. One day of minutes, packed by `auto`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.common import print_json_line
from bench.runs import PeakMemory, run_and_validate, write_universe


def main() -> None:
    """Print one JSON line: `seconds` from command to validated dump, `peak_mb` of all processes together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=2000)
    parser.add_argument("--per-actor", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = write_universe(Path(folder), options.symbols, per_actor=options.per_actor)
        with PeakMemory() as memory:
            run_s, validate_s = run_and_validate(config)
    print_json_line(
        "pack",
        {
            "symbols": options.symbols,
            "per_actor": options.per_actor,
            "seconds": run_s + validate_s,
            "run_s": run_s,
            "validate_s": validate_s,
            "peak_mb": round(memory.peak_mb),
        },
    )


if __name__ == "__main__":
    main()
