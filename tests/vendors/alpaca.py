"""Alpaca's protocol on loopback, from a tree of Parquet files: `python -m tests.vendors.alpaca ROOT [--port N]`.

Prints its address and serves until it is ended, or its standard input is. Keys: `canary-key-4b2`, `canary-secret-9f8`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from barray.market.bars import COLUMNS, Bars
from tests.vendors.alpaca_server import AlpacaServer
from tests.vendors.serving import serving


def bars_below(root: Path, interval: str = "1m") -> dict[str, Bars]:
    """Bars by symbol of a tree such as `barray sample-data` writes."""
    found: dict[str, Bars] = {}
    for folder in sorted(path for path in root.iterdir() if (path / interval).is_dir()):
        tables = [
            pq.read_table(path, columns=["timestamp", *COLUMNS]) for path in sorted((folder / interval).iterdir())
        ]
        whole = pa.concat_tables(tables)
        stamps = whole["timestamp"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy()
        columns = (whole[name].cast(pa.float64()).to_numpy() for name in COLUMNS)
        found[folder.name] = Bars(np.array(stamps), *map(np.array, columns))
    return found


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    server = AlpacaServer()
    server.hold(bars_below(options.root))
    with serving(server, options.port):
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
