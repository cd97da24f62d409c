"""How a run's time grows with its symbols: `python -m bench.growth`. One day of minutes, packed as `auto` does."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from bench.common import print_json_line
from bench.runs import run_and_validate, write_universe


def main() -> None:
    """Print one JSON line: seconds by number of symbols, and the exponent of a power law through them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, nargs="+", default=[10, 100, 1000])
    counts = parser.parse_args().symbols
    seconds = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(sum(run_and_validate(write_universe(Path(folder), count, per_actor="auto"))))
    exponent = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
    # the part that every run has (Ray's start) hides how the rest grows: the last step says it best
    last_step = float(np.log(seconds[-1] / seconds[-2]) / np.log(counts[-1] / counts[-2]))
    figures = {f"seconds_{count}": taken for count, taken in zip(counts, seconds, strict=True)}
    print_json_line("growth", {**figures, "exponent": exponent, "exponent_last_step": last_step})


if __name__ == "__main__":
    main()
