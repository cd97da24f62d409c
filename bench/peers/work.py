"""What every peer's script shares: the bars, the clock, and the line it prints. Needs NumPy and pyarrow, no more."""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402  # the clock starts first
import hashlib  # noqa: E402
import json  # noqa: E402
from collections.abc import Iterable, Mapping, Sequence  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

FAST, SLOW, QUANTITY = 10, 30, 100
FASTS, SLOWS = tuple(range(5, 24, 2)), tuple(range(25, 71, 5))
"""The sweep's grid: every pair of them."""
TIE = 1e-6
"""Averages of whole cents that differ by less are equal: FASTS × SLOWS is below 0.01 / TIE."""
CASH = 1e9

Columns = Mapping[str, NDArray[Any]]
"""One symbol's bars: `start_ns` int64; `open`, `high`, `low`, `close`, `volume`."""
Trade = tuple[int, float, int, float]
"""Start of the bar of the entry (UTC ns), its price, and the exit's; -1 and 0.0 while open."""


@dataclass
class Clock:
    """Seconds since the process began, by what took them."""

    marks: dict[str, float] = field(default_factory=dict)
    _last: float = BEGAN

    def mark(self, name: str) -> None:
        """What went on until now was `name`."""
        now = time.perf_counter()
        self.marks[name] = now - self._last
        self._last = now


def asked() -> argparse.Namespace:
    """`root` of the bars, and the `symbols` wanted, sorted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--symbols", type=int, default=10**6, help="only the first so many")
    parser.add_argument("--sets", action="store_true", help="all parameter sets, where a script has several")
    options = parser.parse_args()
    options.symbols = sorted(folder.name for folder in options.root.iterdir())[: options.symbols]
    return options


def read(root: Path, symbols: Sequence[str]) -> dict[str, Columns]:
    """All bars of these symbols, a file a day."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(symbols, pool.map(lambda symbol: _read(root / symbol), symbols), strict=True))


def _read(folder: Path) -> Columns:
    tables = [pq.ParquetFile(path).read(use_threads=False) for path in sorted(folder.glob("1m/*.parquet"))]
    table = pa.concat_tables(tables).combine_chunks()
    # by DLPack, as the first `to_numpy` of a process imports pandas, where that is installed
    columns = {name: np.from_dlpack(table[name].chunk(0)) for name in ("open", "high", "low", "close", "volume")}
    stamps = table["timestamp"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())
    return {"start_ns": np.from_dlpack(stamps.chunk(0)), **columns}


def digest(trades: Mapping[str, Iterable[Trade]]) -> str:
    """What two tools share that made the same trades, in whole cents."""
    rows = [
        (number, entry_ns, round(entry * 100), exit_ns, round(exit_ * 100))
        for number, symbol in enumerate(sorted(trades))
        for entry_ns, entry, exit_ns, exit_ in sorted(trades[symbol])
    ]
    return hashlib.sha256(np.array(rows, "<i8").tobytes()).hexdigest()[:16]


def pair(fills: Iterable[tuple[int, float]]) -> list[Trade]:
    """Trades of fills that enter and leave in turn, each (start of its bar in ns, price)."""
    rows = list(fills)
    closed = [(*entry, *exit_) for entry, exit_ in zip(rows[::2], rows[1::2], strict=False)]
    return [*closed, (*rows[-1], -1, 0.0)] if len(rows) % 2 else closed


def report(clock: Clock, bars: int, trades: Mapping[str, list[Trade]], pnl: float, **more: Any) -> None:
    """Print W1's line. `engine_s` is what `clock` calls so; `total_s` ends here."""
    line = {
        "total_s": time.perf_counter() - BEGAN,
        **clock.marks,
        "bars": bars,
        "trades": sum(map(len, trades.values())),
        "pnl": round(pnl, 2),
        "digest": digest(trades),
        **more,
    }
    print(json.dumps(line), flush=True)


def report_sweep(engine_s: float, symbols: int, bars: int, pnl: Mapping[tuple[int, int], float], **more: Any) -> None:
    """Print a sweep's line. `pnl`: by fast and slow window, over all symbols that were done."""
    sets = [[fast, slow, round(value, 2)] for (fast, slow), value in sorted(pnl.items())]
    line = {
        "total_s": time.perf_counter() - BEGAN,
        "engine_s": engine_s,
        "symbols": symbols,
        "set_bars_per_s": len(sets) * bars / engine_s,
        "sets": sets,
        **more,
    }
    print(json.dumps(line), flush=True)
