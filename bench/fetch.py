"""Fetching over HTTP, against alpaca-py's own `get_stock_bars(…).df`: `python -m bench.fetch`.

Both ask the same local server in turns, each in a process of its own. Ours ends with Parquet on the disk, theirs with a
data frame in memory. Time and peak memory are those of the process after its imports, and of all of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import print_json_line

FIRST, LAST = date(2024, 6, 3), date(2024, 7, 1)  # 20 sessions
PAGE_ROWS = 10_000
REPO = Path(__file__).parents[1]


def main() -> None:
    """Print one JSON line: `speed_ratio` (theirs ÷ ours), `memory_ratio` (ours ÷ theirs), requests, the fewest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", nargs=3, metavar=("WHO", "URL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    symbols = sample_symbols(options.symbols)
    if options.child:
        who, url, folder = options.child
        print(json.dumps(ours(url, Path(folder), symbols) if who == "ours" else theirs(url, symbols)))
        return
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        write_sample_data(folder / "bars", symbols=symbols, start=FIRST, end=LAST)
        command = [sys.executable, "-m", "tests.vendors.alpaca", str(folder / "bars")]
        server = subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            rounds = [
                (measured("ours", url, folder / f"store{n}", options), measured("theirs", url, folder, options))
                for n in range(options.repeat)
            ]
        finally:
            server.communicate()
    mine, other = (_medians([pair[side] for pair in rounds]) for side in (0, 1))
    if mine["bars"] != other["bars"]:
        raise SystemExit(f"ours are {mine['bars']} bars, theirs {other['bars']}")
    print_json_line(
        "fetch",
        {
            "symbols": len(symbols),
            "bars": int(mine["bars"]),
            "speed_ratio": other["seconds"] / mine["seconds"],
            "memory_ratio": mine["peak_mb"] / other["peak_mb"],
            "requests": int(mine["requests"]),
            "fewest_requests": -(-int(mine["bars"]) // PAGE_ROWS),
            **{f"{key}_ours": mine[key] for key in ("seconds", "peak_mb", "imports_mb")},
            **{f"{key}_theirs": other[key] for key in ("seconds", "peak_mb", "imports_mb")},
        },
    )


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(found[key] for found in rounds) for key in rounds[0]}


def measured(who: str, url: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """One fetch in a process of its own."""
    command = [sys.executable, "-m", "bench.fetch", "--symbols", str(options.symbols), "--child", who, url, str(folder)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def ours(url: str, folder: Path, symbols: Sequence[str]) -> dict[str, float]:
    """Through the gateway into a store."""
    import alpaca.data.historical.stock  # noqa: F401  # is imported by both before the clock starts

    from barray.data_sources.alpaca.vendor import AlpacaAccount
    from barray.data_sources.fetching.fetcher import Fetcher
    from barray.data_sources.fetching.store import BarStore
    from tests.vendors.alpaca_server import KEYS

    imports_mb, begun = _peak_mb(), perf_counter()
    account = AlpacaAccount(per_minute=1_000_000, url=url)
    gateway = Fetcher(account.vendor(KEYS), BarStore(folder, account.dataset))
    result = gateway.ensure(symbols, *_asked())
    seconds = perf_counter() - begun
    if result.failures:
        raise SystemExit(str(result.failures))
    return {
        "seconds": seconds,
        "peak_mb": _peak_mb(),
        "imports_mb": imports_mb,
        "bars": result.rows,
        "requests": result.requests,
    }


def theirs(url: str, symbols: Sequence[str]) -> dict[str, float]:
    """`get_stock_bars(…).df`, as anyone would write it."""
    import pandas as pd
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.data.requests import StockBarsRequest
    from alpaca.data.timeframe import TimeFrame

    from tests.vendors.alpaca_server import KEYS

    imports_mb, begun = _peak_mb(), perf_counter()
    client = StockHistoricalDataClient(KEYS.key, KEYS.secret, url_override=url)
    _, start_ns, end_ns = _asked()
    start, end = (pd.Timestamp(ns, tz="UTC").to_pydatetime() for ns in (start_ns, end_ns - 1_000))
    wanted = StockBarsRequest(symbol_or_symbols=list(symbols), timeframe=TimeFrame.Minute, start=start, end=end)
    answer: Any = client.get_stock_bars(wanted)
    frame = answer.df
    seconds = perf_counter() - begun
    return {"seconds": seconds, "peak_mb": _peak_mb(), "imports_mb": imports_mb, "bars": len(frame)}


def _asked() -> tuple[Any, int, int]:
    from barray.data_sources.fetching.months import midnight_ns
    from barray.market.interval import Interval

    return Interval.parse("1m"), midnight_ns(FIRST), midnight_ns(date(2024, 7, 2))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
