"""A backtest with scans over twenty days comes to the same, however many processes share the universe."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barray.coordinator import scan_fleet
from barray.market.interval import Interval
from tests.coordinator.test_scanned_days import Backtested
from tests.market.builders import calendar
from tests.sessions import config
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
DAYS = calendar("XNYS", date(2024, 5, 20), date(2024, 7, 5))
SWINGS = (
    HEAD
    + """
class Swings(Strategy):
    interval = "5m"

    def on_window(self, view):
        for i, symbol in enumerate(view.symbols):
            held = view.positions.get(symbol, 0)
            if not held and not view.orders(symbol) and view.minute % 20 == 5:
                view.order(symbol, 5 + i, stop_loss=round(float(view.close[i]) * 0.99, 2))
            if held and view.minute % 45 == 40 and symbol < "S" * (view.session_date.day % 3):
                view.order_target(symbol, 0)
"""
)
MOVERS = {
    "name": "movers",
    "at": {"every": "1h", "since": "09:45"},
    "where": ["change_since_open > 0.001", "RSI(5)@15m > 40"],
    "rank": "relative_volume(2)",
    "keep": {"top": 8, "leave_below": 12},
    "promote": {"full": 3, "evict": "rank", "light": 3},
    "carry": ["SMA(3)@15m"],
}


def write_bars(folder: Path, symbols: list[str]) -> None:
    """Random walks of five minutes a file a day, one bar in fifty missing."""
    rng, sessions = np.random.default_rng(15), DAYS.sessions
    folder.mkdir(parents=True)
    last = rng.uniform(10, 90, len(symbols))
    for row, day in enumerate(sessions.dates.tolist()):
        starts = np.arange(sessions.open_ns[row], sessions.close_ns[row], 300 * 10**9)
        closes = last * np.exp(rng.normal(0, 0.002, (len(starts), len(symbols))).cumsum(axis=0))
        opens = np.vstack((last, closes[:-1]))
        last = closes[-1]
        there = (rng.random(closes.shape) > 0.02).T.ravel()
        columns = {
            "symbol": np.repeat(symbols, len(starts)),
            "timestamp": np.tile(starts, len(symbols)).astype("datetime64[ns]"),
            "open": opens.T.ravel(),
            "high": np.maximum(opens, closes).T.ravel() * 1.0005,
            "low": np.minimum(opens, closes).T.ravel() * 0.9995,
            "close": closes.T.ravel(),
            "volume": rng.integers(100, 10_000, there.size).astype(np.float64),
        }
        table = pa.table({name: column[there] for name, column in columns.items()})
        stamps = table["timestamp"].cast(pa.timestamp("ns", "UTC"))
        pq.write_table(table.set_column(1, "timestamp", stamps), folder / f"{day}.parquet")


def days(root: Path, cpus: int, smallest: int) -> tuple[list[Any], int]:
    """What twenty days come to, with shares of at least so many symbols; and how many shares these are."""
    told = config(
        root,
        "SPY",
        session={"start": "2024-06-05", "end": "2024-07-03"},
        sources=[{"root": str(root), "layout": "{interval}/{date}.parquet"}],
        intervals=["5m"],
        indicators=[],
        history={"trailing_days": 1},
        scans=[MOVERS],
        account={"shared": True, "capital": 200_000.0},
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scan_fleet, "_SMALLEST_SHARE", smallest)
        backtest = Backtested(told, SWINGS, Interval.parse("5m"), cpus, DAYS)
        backtest.go()
    found = [
        (
            one.followed.kept,
            one.followed.instructions,
            one.events,
            [getattr(one.orders, name).tolist() for name in ("number", "placed_ns", "ended_ns", "quantity", "filled")],
        )
        for one in backtest.outcomes
    ]
    return [*found, *backtest.pages], min(cpus, 31 // smallest)


def test_twenty_days_come_to_the_same_however_the_universe_is_shared_out(tmp_path: Path) -> None:
    write_bars(tmp_path / "5m", [f"S{i:02d}" for i in range(30)] + ["SPY"])
    told = [days(tmp_path, cpus, smallest) for cpus, smallest in ((1, 250), (5, 6))]
    assert [shares for _, shares in told] == [0, 5]
    first, shared = (found for found, _ in told)
    assert len(first) == 40
    assert shared == first
    assert sum(len(pages.fills) for pages in first[20:]) > 50
    assert sum(len(kept) for kept, *_ in first[:20]) > 200
