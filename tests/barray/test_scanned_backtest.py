"""A backtest with scans on real Ray: a session's day, whatever dies on the way, and what its results tell."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import barray
from barray.market.errors import ConfigError
from barray.trading.results.backtest import BacktestResult
from tests.commands import run_command
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
    [refused] = {event.symbol: event.reason for event in asked if not event.accepted}.items()
    assert refused[0] == "GME"
    assert "GME" in refused[1] or "history" in refused[1]
    packed = barray.backtest({**settings, "actors": {"symbols_per_actor": 3}})
    assert told(packed) == told(whole)
    for number, victim in enumerate(("self", "ray::ScanActor", "ray::BacktestActor")):
        dying = {"mark": str(tmp_path / f"died{number}"), "victim": victim}
        killed = barray.backtest(settings, parameters=dying)
        assert (tmp_path / f"died{number}").exists()
        assert told(killed) == told(whole), victim


def test_a_sessions_day_is_a_backtests_day(settings: dict[str, Any]) -> None:
    settings["session"] = {"start": "2024-07-02"}
    with barray.Session(settings) as session:
        session.begin()
        session.advance_to()
        ended = session.end()
        files = session.export()
        session.teardown()
    dump = json.loads(next(path for path in map(Path, files) if path.name.endswith("07-02.json")).read_bytes())
    result = barray.backtest(settings)
    assert result.scanned is not None
    assert ended.scanned is not None
    assert [one.kept for one in result.scanned.sessions] == [ended.scanned.kept]
    terms = ("symbol", "order", "quantity", "price", "commission", "at_close")
    filled = [(pd.Timestamp(one["bar"]), *(one[name] for name in terms)) for one in dump["trading"]["fills"]]
    rows = result.tables.fills.to_arrow().to_pylist()
    assert sorted(filled) == sorted((one["time"], *(one[name] for name in terms)) for one in rows)
    assert {one["symbol"] for one in rows} - {"SPY"}  # of what was promoted
    kinds = ("symbol", "quantity", "filled", "status")
    orders = [tuple(one[name] for name in kinds) for one in dump["trading"]["orders"]]
    assert orders == [tuple(one[name] for name in kinds) for one in result.tables.orders.to_arrow().to_pylist()]


def test_a_command_writes_what_was_found_and_a_scan_that_raises_ends_alone(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "breaks.py").write_text(
        "from barray.scans import Scan, at, change\n\nclass Breaks(Scan):\n    at = at('10:00')\n"
        "    uses = (change(),)\n    def scan(self, panel):\n        raise ValueError('no more')\n"
    )
    settings["scans"] = [MOVERS, {"path": str(tmp_path / "breaks.py")}]
    (tmp_path / "config.json").write_text(json.dumps(settings, default=str))
    done = run_command("backtest", tmp_path / "config.json", "--quiet")
    assert done.exit_code == 0, done.output
    assert "scan Breaks ended early: ValueError: no more" in done.stdout
    hits = pq.read_table(tmp_path / "out/test/scans/hits.parquet").to_pandas()
    assert set(hits["scan"]) == {"movers"}
    assert "movers: place 1" in (tmp_path / "out/test/report.html").read_text()


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_held_over_nights_is_worth_what_it_would_sell_for(
    settings: dict[str, Any], tmp_path: Path, shared: bool
) -> None:
    (tmp_path / "keeps.py").write_text(
        "from barray import Strategy\n\nclass Keeps(Strategy):\n    def on_window(self, view):\n"
        "        for symbol in view.symbols:\n            if not view.positions and symbol != 'SPY':\n"
        "                view.order(symbol, 10)\n"
    )
    settings |= {"strategy": {"path": str(tmp_path / "keeps.py")}, "account": {"shared": shared}}
    result = barray.backtest(settings)
    ends = result.grid_session.searchsorted(range(len(result.dates)), "right") - 1
    held = {symbol: one for symbol, one in result.symbols.items() if one.position}
    assert held
    for one in held.values():
        worth = one.cash + one.position * one.session_close
        assert one.equity[ends].tolist() == pytest.approx(worth.tolist())
        assert one.session_pnl.sum() == pytest.approx(worth[-1] - one.capital)


SWEPT = """
from barray import Strategy

class Swept(Strategy):
    hold: int = 60
    n: int = 3

    def indicators(self):
        return {"mean": f"SMA({self.n})@1m"}

    def on_window(self, view):
        for i, symbol in enumerate(view.symbols):
            held = view.positions.get(symbol, 0)
            if not held and view.minute % self.hold == 0 and view.minutes_to_close > 60:
                view.order(symbol, 10 if view.indicators["mean"][i] > 0 else 1)
            if held and view.minute % (2 * self.hold) == self.hold:
                view.order_target(symbol, 0)
"""


@pytest.mark.parametrize("alone", [False, True])
def test_a_sweeps_sets_achieve_what_backtests_with_scans_do(
    settings: dict[str, Any], tmp_path: Path, alone: bool
) -> None:
    (tmp_path / "swept.py").write_text(SWEPT)
    settings |= {"strategy": {"path": str(tmp_path / "swept.py"), "window": "5m"}, "symbols": [] if alone else ["SPY"]}
    section = {
        "parameters": {"hold": [15, 45], "n": [3, 8] if alone else [3]},
        "walk_forward": {"in_sample": 2, "out_of_sample": 1},
    }
    swept = {**settings, "sweep": section}
    result = barray.sweep(swept)
    assert len({row.pnl for row in result.rows}) > 1
    assert len(result.walked) == 2
    assert [row.error for row in result.rows] == [None] * (4 if alone else 2)
    for row in (result.rows[0], result.rows[-1]):  # between them all values of both parameters
        one = barray.backtest(settings, parameters=dict(row.parameters))
        ends = one.grid_session.searchsorted(range(len(one.dates)), "right") - 1
        equity = [20_000.0, *one.account_equity[ends].tolist()]
        gained = [now - before for before, now in pairwise(equity)]
        assert row.session_pnl.tolist() == pytest.approx(gained, abs=1e-6)
        assert (row.trades, len(one.dates)) == (len(one.trades), 4)
        assert {symbol for symbol, pnl in row.symbol_pnl.items() if pnl} - {"SPY"}
    again = barray.sweep(swept)
    assert again.resumed == len(result.rows)
    with pytest.raises(ConfigError, match="a sweep with scans needs one account"):
        barray.sweep({**swept, "account": {"shared": False}})
