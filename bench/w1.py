"""The work that a backtest is measured by: its bars as files, its config, and whole processes that do it.

One-minute random walks in whole cents over sessions of XNYS from 2025-03-03, a file a symbol and day. The averages
run on across days, nothing costs anything, and what is held at the end is valued at the last close.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from barray.market.bars import COLUMNS
from bench.backtest_engine import random_bases
from bench.peers import work
from bench.peers.environment import python_of

ROOT = Path(__file__).resolve().parents[1]
STRATEGY = ROOT / "examples/strategies/sma_cross.py"
_SCHEMA = pa.schema([("timestamp", pa.timestamp("us", tz="UTC")), *((name, pa.float64()) for name in COLUMNS)])


@dataclass(frozen=True)
class Universe:
    """Bars on disk. `dates`: ISO, of all sessions."""

    root: Path
    symbols: tuple[str, ...]
    dates: tuple[str, ...]
    bars: int


def write_universe(root: Path, symbols: int, days: int) -> Universe:
    """Make the bars and write them below `root`, which must be empty or not there."""
    bases, sessions = random_bases(symbols, days)
    dates = tuple(str(day) for day in sessions.dates.astype("datetime64[D]"))
    names = tuple(f"R{number:04d}" for number in range(symbols))
    for name, base in zip(names, bases, strict=True):
        folder = root / name / "1m"
        folder.mkdir(parents=True)
        stamps = pa.array(base.bars.start_ns, pa.timestamp("ns", tz="UTC")).cast(_SCHEMA.field("timestamp").type)
        table = pa.table([stamps, *(pa.array(getattr(base.bars, column)) for column in COLUMNS)], schema=_SCHEMA)
        starts = base.session.searchsorted(range(days + 1))
        for day, low, high in zip(dates, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            pq.write_table(table.slice(low, high - low), folder / f"{day}.parquet", compression="zstd")
    return Universe(root, names, dates, sum(map(len, bases)))


def write_config(path: Path, universe: Universe, *, symbols: int, days: int, **sections: Any) -> Path:
    """A config over the first symbols and days of a universe; `sections` are added to it. Its path."""
    config = {
        "name": path.stem,
        "session": {"start": universe.dates[0], "end": universe.dates[days - 1]},
        "symbols": list(universe.symbols[:symbols]),
        "history": {"max_missing_days": 1},  # the walks begin with the first session
        "sources": [{"root": str(universe.root)}],
        "strategy": {"path": str(STRATEGY)},
        "account": {"capital": 1_000_000},
        "actors": {"symbols_per_actor": "auto"},
        "report": {"directory": str(path.parent / "reports")},
        **sections,
    }
    path.write_text(yaml.safe_dump(config))
    return path


def peers(wanted: Sequence[str] = ("backtesting", "vectorbt", "vectorbt_rust")) -> dict[str, Path]:
    """Interpreters of the peers that could be installed."""
    found = {peer: python_of(peer) for peer in wanted}
    return {peer: python for peer, python in found.items() if python}


def timed(command: Sequence[object]) -> tuple[float, str]:
    """Seconds a whole process takes, and what it printed; SystemExit with what it said if it fails."""
    began = perf_counter()
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd=ROOT)
    taken = perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout)[-2000:]}")
    return taken, done.stdout


def last_json(printed: str) -> dict[str, Any]:
    """The line that a peer's script ends with."""
    line: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return line


def reported(folder: Path, symbols: Sequence[str]) -> dict[str, Any]:
    """Trades, profit and digest of our report in `folder`, from its table of trades."""
    table = pq.read_table(folder / "trades.parquet")
    stamps = [table[name].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()) for name in ("entry_time", "exit_time")]
    columns = (table["symbol"], stamps[0], table["entry_price"], stamps[1], table["exit_price"])
    trades: dict[str, list[work.Trade]] = {symbol: [] for symbol in symbols}
    for symbol, entry_ns, entry, exit_ns, exit_ in zip(*(column.to_pylist() for column in columns), strict=True):
        trades[symbol].append((entry_ns, entry, -1, 0.0) if exit_ns is None else (entry_ns, entry, exit_ns, exit_))
    pnl = float(np.sum(table["pnl"].to_numpy()))
    return {"trades": len(table), "pnl": round(pnl, 2), "digest": work.digest(trades)}
