"""What a node's copies of objects save: processes that read their symbols out of the same large files in S3.

    python -m bench.object_store [--processes 4] [--symbols 24] [--last 2024-06-07]

The server is moto's, on loopback, behind a proxy that counts; a real one is further away. One JSON line.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from barray.sample.universe import write_sample_data
from bench.common import print_json_line
from tests.vendors.s3_server import S3Server, s3_server

_READ = """
import sys
from datetime import date
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.market.calendar import exchange_sessions
from barray.market.interval import Interval
root, last, *symbols = sys.argv[1:]
sessions = exchange_sessions("XNYS", date(2024, 6, 3), date.fromisoformat(last)).sessions
source = ParquetSource(root, layout=Layout("{date}.parquet"), interval=Interval.parse("1m"))
for symbol in symbols:
    assert len(source.read_bars(symbol, Interval.parse("1m"), sessions)) > 300
"""


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--symbols", type=int, default=24)
    parser.add_argument("--last", default="2024-06-07")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, s3_server() as server:
        folder = Path(name)
        written = write_sample_data(
            folder / "bars", symbols=options.symbols, start="2024-06-03", end=options.last, layout="{date}.parquet"
        )
        for path in (folder / "bars").glob("*.parquet"):
            server.put(f"bars/{path.name}", path.read_bytes())
        found = {
            how: _measured(server, folder, megabytes, written.symbols, options)
            for how, megabytes in (("where_they_lie", "0"), ("one_copy", "1024"), ("copied_before", "1024"))
        }
    figures = {f"{how}_{what}": value for how, told in found.items() for what, value in told.items()}
    print_json_line("object_store", {**vars(options), **figures})


def _measured(
    server: S3Server, folder: Path, megabytes: str, symbols: tuple[str, ...], options: argparse.Namespace
) -> dict[str, float]:
    """Seconds until all have read, requests and bytes that the store sent."""
    shards = {"BARRAY_SHARDS": str(folder / "shards"), "BARRAY_SHARDS_MB": megabytes}
    environment = {**os.environ, **server.environment, **shards}
    environment.pop("BARRAY_NO_CACHE", None)
    server.asked.clear()
    began = perf_counter()
    shares = [symbols[at :: options.processes] for at in range(options.processes)]
    running = [
        subprocess.Popen([sys.executable, "-c", _READ, server.uri("bars"), options.last, *share], env=environment)
        for share in shares
    ]
    assert not any(process.wait() for process in running)
    return {
        "s": round(perf_counter() - began, 2),
        "requests": len(server.asked),
        "mb": round(sum(one.sent for one in server.asked) / 1e6, 2),
    }


if __name__ == "__main__":
    main()
