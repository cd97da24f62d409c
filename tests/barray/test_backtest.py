"""Backtests and sweeps as a user runs them, on real Ray with real Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import barray
from barray.coordinator.config.file import parse_config
from barray.report.files import write_backtest
from barray.runs.backtest import backtested
from barray.runs.sweep import sweep

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
EXAMPLES = Path(__file__).parents[2] / "examples/strategies"
SYMBOLS = ["AAPL", "MSFT", "NVDA", "SPY"]


def settings(universe: Path, **changes: Any) -> dict[str, Any]:
    """SmaCross over four symbols, 2024-06-26 to 2024-07-03, costs included."""
    return {
        "name": "test",
        "session": {"start": "2024-06-26", "end": "2024-07-03"},
        "symbols": SYMBOLS,
        "sources": [{"root": str(universe)}],
        "strategy": {"path": str(EXAMPLES / "sma_cross.py")},
        "costs": {"commission": {"per_share": 0.005}, "slippage": {"bps": 1}},
        **changes,
    }


def strategy(folder: Path, body: str) -> dict[str, Any]:
    """A strategy section for a file with this code."""
    path = folder / "strategy.py"
    path.write_text("import os, pathlib\nimport numpy as np\nfrom barray import Signals, Strategy, parameter\n" + body)
    return {"path": str(path)}


def tables(config: dict[str, Any], folder: Path) -> dict[str, bytes]:
    """The bytes of all that a backtest writes but for its page and summary, which name the form."""
    folder.mkdir()
    report = {"directory": str(folder), "formats": ["parquet", "csv", "json"], "charts": 0}
    parsed = parse_config({**config, "report": report})
    with backtested(parsed) as (result, run):
        files = write_backtest(result, run)
    return {path.name: path.read_bytes() for path in files if path.name != "summary.json"}


def test_form_packing_and_number_of_processes_change_no_byte(universe: Path, tmp_path: Path) -> None:
    path = str(EXAMPLES / "sma_cross.py")
    first = tables(settings(universe), tmp_path / "one")
    assert len(first["trades.csv"].splitlines()) > 100
    for number, (form, per_actor) in enumerate([("on_bar", 1), ("signals", 3), ("on_bar", "auto"), ("on_bar", 4)]):
        changed = settings(
            universe,
            strategy={"path": path, "form": form},
            actors={"symbols_per_actor": per_actor, "lifecycle": "reuse"},
        )
        assert tables(changed, tmp_path / str(number)) == first, (form, per_actor)


def test_the_strategys_file_is_read_once_and_may_change_while_its_report_is_written(
    universe: Path, tmp_path: Path
) -> None:
    section = strategy(tmp_path, (EXAMPLES / "sma_cross.py").read_text().replace('"SMA({self.', '"EMA({self.'))
    report = {"directory": str(tmp_path), "formats": ["html"], "charts": 2}
    with backtested(parse_config(settings(universe, strategy=section, report=report))) as (result, run):
        Path(section["path"]).write_text("this is no Python")
        (page,) = write_backtest(result, run)
    charts = json.loads(page.read_text().partition('<script id="data" type="application/json">')[2].partition("<")[0])
    assert len(charts["candles"]) == 2


def test_sessions_that_begin_anew_give_the_same_on_one_process_and_on_several(universe: Path, tmp_path: Path) -> None:
    opening = {"path": str(EXAMPLES / "opening_range.py")}
    one = settings(universe, symbols=["TSLA"], strategy=opening, account={"carry": False})
    many = settings(universe, symbols=["TSLA", "AMZN", "MSFT"], strategy=opening, account={"carry": False})
    alone = barray.backtest(one)
    split, whole = alone.symbols["TSLA"], barray.backtest(many).symbols["TSLA"]
    assert len(split.trades) > 2
    assert split.trades.rows() == whole.trades.rows()
    assert np.array_equal(split.equity, whole.equity)
    assert np.array_equal(split.session_pnl, whole.session_pnl)
    assert split.fills.order.tolist() == whole.fills.order.tolist()
    assert split.position == 0
    orders = alone.orders  # numbers go on from session to session: no order is of two days
    assert len(orders) > 2
    assert (orders.placed.dt.date == orders.ended.dt.date).all()


def test_a_session_that_cannot_be_read_costs_that_session_alone(universe: Path) -> None:
    result = barray.backtest(settings(universe, symbols=["AAPL", "NFLX", "AMD", "NOPE", "../../x"]))
    assert sorted(result.symbols) == ["AAPL", "AMD", "NFLX"]
    assert not result.symbols["AAPL"].skipped
    assert list(result.symbols["NFLX"].skipped) == ["2024-07-03"]
    assert "nan" in result.symbols["NFLX"].skipped["2024-07-03"]
    assert list(result.symbols["AMD"].skipped) == ["2024-07-03"]
    assert "no data for NOPE" in result.dropped["NOPE"][0]
    assert "../../x" in result.dropped


def test_a_strategy_that_raises_stops_its_symbol_alone(universe: Path, tmp_path: Path) -> None:
    code = """
class Fails(Strategy):
    def on_bar(self, ctx):
        if ctx.symbol == "MSFT" and ctx.session_date.isoformat() == "2024-06-27":
            raise ValueError("no more of this")
        if not ctx.position:
            ctx.buy(10)
"""
    result = barray.backtest(settings(universe, strategy=strategy(tmp_path, code)))
    failed = result.symbols.pop("MSFT")
    assert "no more of this" in str(failed.error)
    assert "strategy.py" in str(failed.error)
    assert len(failed.trades) == 1
    assert all(one.error is None and len(one.trades) == 1 for one in result.symbols.values())


def test_a_process_that_dies_in_the_middle_changes_nothing(universe: Path, tmp_path: Path) -> None:
    code = """
class Dies(Strategy):
    marker: str = ""

    def on_bar(self, ctx):
        if self.marker and ctx.symbol == "NVDA" and ctx.bar == 900:
            mark = pathlib.Path(self.marker)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), 9)
        if ctx.minute == 10:
            ctx.buy(10, tif="day", limit=ctx.close[-1] * 0.999)
        if ctx.minutes_to_close == 10:
            ctx.close_position()
"""
    section = strategy(tmp_path, code)
    marker = tmp_path / "died"
    dying = {**section, "parameters": {"marker": str(marker)}}
    actors = {"symbols_per_actor": 2}
    died = tables(settings(universe, strategy=dying, actors=actors), tmp_path / "died-out")
    assert marker.exists()
    assert died == tables(settings(universe, strategy=section, actors=actors), tmp_path / "lived-out")


def test_what_a_strategy_prints_and_logs_is_shown_kept_and_reported(
    universe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = """
import logging
class Talks(Strategy):
    def on_bar(self, ctx):
        if ctx.minute == 31 and ctx.session_date.day == 1:
            print("half", ctx.symbol)
            logging.getLogger(__name__).info("<b>informed</b>")
"""
    report = {"directory": str(tmp_path), "formats": ["html"], "charts": 0}
    config = settings(universe, symbols=["AAPL", "MSFT"], strategy=strategy(tmp_path, code), report=report)
    with backtested(parse_config(config)) as (result, run):
        (page,) = write_backtest(result, run)
    assert [(line.symbol, line.text) for line in result.logs.lines] == [
        ("AAPL", "half AAPL"),
        ("AAPL", "INFO: <b>informed</b>"),
        ("MSFT", "half MSFT"),
        ("MSFT", "INFO: <b>informed</b>"),
    ]
    printed, said = capfd.readouterr()
    assert printed == ""
    assert "AAPL 2024-07-01 10:01:00 EDT: half AAPL\n" in said
    assert "MSFT 2024-07-01 10:01:00 EDT: INFO: <b>informed</b>\n" in said
    shown = page.read_text()
    assert "What the strategy said" in shown
    assert "<td>2024-07-01 10:01</td><td>MSFT</td><td>INFO: &lt;b&gt;informed&lt;/b&gt;</td>" in shown


def test_a_strategy_over_all_symbols_is_heard_too(
    universe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = """
class Talks(Strategy):
    def on_window(self, view):
        if view.minute == 390: print(view.session_date, len(view.symbols))
"""
    days = {"start": "2024-07-01", "end": "2024-07-02"}
    run = {"strategy": {**strategy(tmp_path, code), "window": "30m"}, "session": days}
    result = barray.backtest(settings(universe, **run))
    assert [line.text for line in result.logs.lines] == ["2024-07-01 4", "2024-07-02 4"]
    assert capfd.readouterr().err.splitlines() == [
        "2024-07-01 16:00:00 EDT: 2024-07-01 4",
        "2024-07-02 16:00:00 EDT: 2024-07-02 4",
    ]


@pytest.mark.parametrize("module", [False, True])
def test_helpers_beside_the_strategy_and_modules_of_the_working_directory_travel(
    universe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: bool
) -> None:
    own = tmp_path / "mine_g"
    (own / "tools").mkdir(parents=True)
    (own / "tools/sizes.py").write_text("def shares(symbol):\n    return {'AAPL': 3}.get(symbol, 4)\n")
    code = f"from {'mine_g.' if module else ''}tools.sizes import shares\nclass Buys(Strategy):\n"
    code += "    def on_bar(self, ctx):\n        if ctx.minute == 5 and not ctx.position: ctx.buy(shares(ctx.symbol))\n"
    section = strategy(own, code)
    monkeypatch.chdir(tmp_path)
    named = {"module": "mine_g.strategy", "class": "Buys"} if module else section
    result = barray.backtest(settings(universe, symbols=["AAPL", "MSFT"], strategy=named))
    assert {symbol: one.position for symbol, one in result.symbols.items()} == {"AAPL": 3, "MSFT": 4}


def test_an_endless_loop_is_named_and_costs_one_symbol(universe: Path, tmp_path: Path) -> None:
    code = """
class Stuck(Strategy):
    def on_bar(self, ctx):
        while ctx.symbol == "MSFT" and ctx.minute == 31: ctx.close[-1]
"""
    actors = {"call_timeout_s": 2}
    symbols = ["AAPL", "MSFT"]
    result = barray.backtest(settings(universe, symbols=symbols, strategy=strategy(tmp_path, code), actors=actors))
    assert result.symbols["AAPL"].error is None
    last = str(result.symbols["MSFT"].error).splitlines()[-1]
    assert last.endswith(f"(in on_bar, MSFT, 2024-06-26 10:01 EDT, {tmp_path}/strategy.py line 7)")
    assert "did not come back within 2 s" in last


@pytest.mark.timeout(100)
def test_a_process_that_stops_is_noticed_however_many_sessions_it_was_to_work_through(
    universe: Path, tmp_path: Path
) -> None:
    code = """
class Stops(Strategy):
    marker: str = ""

    def on_bar(self, ctx):
        mark = pathlib.Path(self.marker)
        if self.marker and ctx.symbol == "NVDA" and ctx.bar == 900 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 19)
        if ctx.minute == 10:
            ctx.buy(10)
"""
    section = strategy(tmp_path, code)
    marker = tmp_path / "stopped"
    stopping = {**section, "parameters": {"marker": str(marker)}}
    actors = {"call_timeout_s": 16}  # which is 96 s for 6 sessions
    stopped = tables(settings(universe, strategy=stopping, actors=actors), tmp_path / "stopped-out")
    assert marker.exists()
    assert stopped == tables(settings(universe, strategy=section, actors=actors), tmp_path / "calm-out")


def test_what_is_wrong_with_a_strategy_is_said_before_anything_starts(universe: Path, tmp_path: Path) -> None:
    wrong = {
        "class A(Strategy):\n    def on_bar(self, ctx): pass\nclass B(A): pass\n": "2 strategies (A, B); name one",
        "1/0\n": "strategy.py line 4: ZeroDivisionError",
        "def f(:\n": "strategy.py line 4: SyntaxError",
        "x = 1\n": "defines 0 strategies",
        "class A(Strategy):\n    n: list = []\n    def on_bar(self, ctx): pass\n": "A.n",
    }
    for code, said in wrong.items():
        with pytest.raises(barray.ConfigError) as error:
            barray.backtest(settings(universe, strategy=strategy(tmp_path, code)))
        assert said in str(error.value)
    path = str(EXAMPLES / "sma_cross.py")
    for section, said in (
        ({"path": path, "parameters": {"quick": 1}}, "no parameter 'quick'; it has: fast, slow, size"),
        ({"path": path, "parameters": {"fast": 1}}, "give at least 2"),
        ({"path": path, "form": "on_window"}, "strategy.form can be on_bar or signals"),
        ({"path": path, "class": "Nope"}, "no strategy 'Nope'; it defines: SmaCross"),
        ({"path": str(tmp_path / "nowhere.py")}, "No such file"),
    ):
        with pytest.raises(barray.ConfigError) as error:
            barray.backtest(settings(universe, strategy=section))
        assert said in str(error.value)


def test_a_sweep_agrees_with_single_backtests_and_goes_on_where_it_was(universe: Path, tmp_path: Path) -> None:
    wanted = settings(
        universe,
        report={"directory": str(tmp_path)},
        sweep={
            "parameters": {"fast": [5, 10, 40], "slow": [20, 30]},
            "where": "fast < slow",
            "metric": "pnl",
            "walk_forward": {"in_sample": 2, "out_of_sample": 2},
        },
    )
    result = sweep(wanted)
    assert [row.parameters for row in result.rows] == [
        {"fast": fast, "slow": slow} for fast in (5, 10) for slow in (20, 30)
    ]
    for row in result.rows:
        section = {"path": str(EXAMPLES / "sma_cross.py"), "parameters": row.parameters}
        alone = barray.backtest(settings(universe, strategy=section))
        assert row.pnl == pytest.approx(alone.pnl, abs=1e-6)
        assert row.trades == sum(len(one.trades) for one in alone.symbols.values())
        assert row.symbol_pnl == pytest.approx({symbol: one.pnl for symbol, one in alone.symbols.items()}, abs=1e-6)
    assert result.best is not None
    assert result.best.pnl == max(row.pnl for row in result.rows)
    assert len(result.walked) == 2
    lines = result.journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    result.journal.write_bytes(lines[0] + lines[1] + lines[2][:50])  # as a crash would leave it
    again = sweep(wanted)
    assert again.resumed == 2
    assert [row.as_json() for row in again.rows] == [row.as_json() for row in result.rows]
    assert len([line for line in result.journal.read_bytes().splitlines() if _is_json(line)]) == 4
    assert sweep(wanted).resumed == 4
    assert sweep(wanted, fresh=True).resumed == 0


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_a_set_that_raises_is_reported_and_the_rest_go_on(universe: Path, tmp_path: Path) -> None:
    code = """
class Picky(Strategy):
    n: int = 1

    def signals(self, data):
        if self.n == 2:
            raise ValueError("not two")
        entries = np.zeros(len(data.close), bool)
        entries[:: 50 * self.n] = True
        return Signals(entries, np.roll(entries, 10), size=10)
"""
    section = strategy(tmp_path, code)
    result = sweep(
        settings(
            universe, strategy=section, report={"directory": str(tmp_path)}, sweep={"parameters": {"n": [1, 2, 3]}}
        )
    )
    assert [row.error is None for row in result.rows] == [True, False, True]
    assert "not two" in str(result.rows[1].error)
    assert result.best is not None


def linked(folder: Path, universe: Path, days: dict[str, list[str]]) -> Path:
    """A tree with these days of some symbols of the universe."""
    for symbol, stems in days.items():
        (folder / symbol / "1m").mkdir(parents=True)
        for stem in stems:
            (folder / symbol / "1m" / f"{stem}.parquet").symlink_to(universe / symbol / "1m" / f"{stem}.parquet")
    return folder


@pytest.mark.parametrize("carry", [True, False])
def test_one_stale_day_of_the_first_source_hides_nothing_of_the_next(
    universe: Path, tmp_path: Path, carry: bool
) -> None:
    stale = linked(tmp_path / "stale", universe, {"AAPL": ["2024-06-27", "2024-06-28"]})  # the 27th lacks its history
    sources = [{"root": str(stale), "name": "stale"}, {"root": str(universe), "name": "all"}]
    changes: dict[str, Any] = {"symbols": ["AAPL", "MSFT"], "account": {"carry": carry}}
    report = {"directory": str(tmp_path), "formats": ["html", "json"], "charts": 2}
    with backtested(parse_config(settings(universe, sources=sources, report=report, **changes))) as (both, run):
        files = write_backtest(both, run)
    alone = barray.backtest(settings(universe, **changes))
    assert both.symbols["AAPL"].sessions == both.dates
    assert both.symbols["AAPL"].fills.price.tolist() == alone.symbols["AAPL"].fills.price.tolist()
    assert both.account_equity.tobytes() == alone.account_equity.tobytes()
    assert [one.source for one in both.symbols["AAPL"].sources] == ["all", "stale", "all"]
    assert both.symbols["MSFT"].sources == ()
    written = json.loads(next(path for path in files if path.name == "summary.json").read_text())["symbols"]
    assert written["AAPL"]["lineage"]["source"] == "all + stale"
    assert [one["first"][:10] for one in written["AAPL"]["sources"]][1:] == ["2024-06-28", "2024-07-01"]
    assert "sources" not in written["MSFT"]
    page = next(path for path in files if path.suffix == ".html").read_text()
    assert len(json.loads(page.partition('<script id="data" type="application/json">')[2].partition("<")[0])["candles"])


def test_a_session_without_history_for_anybody_is_traded_by_nobody(universe: Path, tmp_path: Path) -> None:
    days = ["2024-07-01", "2024-07-02", "2024-07-03"]
    root = linked(tmp_path / "late", universe, {"AAPL": days, "MSFT": days})
    section = strategy(
        tmp_path,
        "class Buys(Strategy):\n    def on_window(self, view):\n"
        "        if view.minute in (1, 61): view.rebalance(dict.fromkeys(view.symbols, 0.1 + view.minute / 600))\n",
    )
    config = settings(
        universe,
        session={"start": days[0], "end": days[-1]},
        symbols=["AAPL", "MSFT"],
        sources=[{"root": str(root)}],
        history={"trailing_days": 1},
        account={"shared": True},
        strategy=section,
    )
    result = barray.backtest(config)
    assert result.error is None
    for part in result.symbols.values():
        assert part.sessions == tuple(days[1:])
        assert "lacks 1 of the 1 trailing sessions" in part.skipped[days[0]] or "no history" in part.skipped[days[0]]
        assert len(part.fills)
    opens = np.datetime64("2024-07-02T13:30", "ns").astype(np.int64)
    assert min(part.fills.bar_ns.min() for part in result.symbols.values()) > opens
    assert (result.account_equity[result.grid_session == 0] == result.capital).all()
