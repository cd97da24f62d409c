"""A backtest with scans on real Ray: a session's day, whatever dies on the way, and what its results tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import barray
from barray.trading.results.backtest import BacktestResult
from tests.sessions import config

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
TRADES = """
import os, signal
from pathlib import Path
from barray import Strategy

class Trades(Strategy):
    mark: str = ""
    victim: str = ""
    def on_window(self, view):
        for symbol in view.symbols:
            held = view.positions.get(symbol, 0)
            if not held and view.minutes_to_close > 60 and view.minute % 2:
                view.order(symbol, 10, stop_loss=round(float(view.close[view.index(symbol)]) * 0.99, 2))
            if held and symbol < "N" and view.minutes_to_close < 30:
                view.order_target(symbol, 0)
        if self.mark and view.minute == 120 and view.session_date.day == 2 and not Path(self.mark).exists():
            Path(self.mark).touch()
            kill(self.victim)

def kill(title):
    if title == "self":
        os.kill(os.getpid(), signal.SIGKILL)
    import psutil
    for process in psutil.process_iter(["cmdline", "environ"]):
        ours = (process.info["environ"] or {}).get("RAY_RAYLET_PID") == os.environ.get("RAY_RAYLET_PID")
        if ours and " ".join(process.info["cmdline"] or ()).startswith(title):
            process.kill()
"""
MOVERS = {
    "name": "movers",
    "at": {"every": "15m", "since": "09:45"},
    "where": ["change_since_open > 0.001"],
    "rank": "change_since_open",
    "keep": {"top": 4},
    "promote": {"full": 2, "evict": "rank", "light": 1},
    "carry": ["SMA(3)@5m"],
}


@pytest.fixture
def settings(universe: Path, tmp_path: Path) -> dict[str, Any]:
    """Four days, one symbol of the config, a scan and a strategy."""
    path = tmp_path / "trades.py"
    path.write_text(TRADES)
    return config(
        universe,
        "SPY",
        session={"start": "2024-06-28", "end": "2024-07-03"},
        intervals=["1m"],
        indicators=[],
        history={"trailing_days": 1},
        scans=[MOVERS],
        strategy={"path": str(path), "window": "5m"},
        account={"shared": True, "capital": 20_000.0},
        report={"directory": str(tmp_path / "out"), "formats": ["html", "parquet", "json", "csv"]},
        export={"directory": str(tmp_path / "out")},
    )


def told(result: BacktestResult) -> Any:
    """All that has nothing to do with the clock on the wall."""
    assert result.scanned is not None
    tables = (result.tables.fills, result.tables.orders, result.tables.events, result.scanned.hits)
    metadata = {symbol: one.metadata for symbol, one in result.symbols.items()}
    return [table.to_arrow().to_pydict() for table in tables], result.account_equity.tolist(), metadata, result.error


def test_whatever_dies_and_however_many_processes_there_are_the_result_is_the_same(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    whole = barray.backtest(settings)
    assert whole.error is None
    asked = [event for event in whole.events.lines if event.action == "add_symbol" and event.by == "scanner"]
    promoted = [event for event in asked if event.accepted]
    assert len({event.symbol for event in promoted}) > 2
    assert {event.by for event in whole.events.lines if event.action == "remove_symbol"} == {"scanner"}
    for event in promoted:
        assert whole.symbols[event.symbol].metadata.added_by == "scanner"
    packed = barray.backtest({**settings, "actors": {"symbols_per_actor": 3}})
    assert told(packed) == told(whole)
    for number, victim in enumerate(("self", "ray::ScanActor", "ray::BacktestActor")):
        dying = {"mark": str(tmp_path / f"died{number}"), "victim": victim}
        killed = barray.backtest(settings, parameters=dying)
        assert (tmp_path / f"died{number}").exists()
        assert told(killed) == told(whole), victim
