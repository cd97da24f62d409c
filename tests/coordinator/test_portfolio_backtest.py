"""Portfolio backtests on real Ray: what they share with independent ones, and what only they do."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import barray
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.result import SymbolResult
from tests.sessions import config, family, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
CROSS = Path(__file__).parents[2] / "examples/strategies/sma_cross.py"
HEAD = "import os, signal\nfrom pathlib import Path\nfrom barray import Strategy, parameter\n"


def run(universe: Path, strategy: Path, *symbols: str, section: Any = None, **changes: Any) -> BacktestResult:
    settings = {"strategy": {"path": str(strategy), **(section or {})}, "intervals": [], "indicators": [], **changes}
    return barray.backtest(config(universe, *symbols, **settings))


def written(folder: Path, text: str) -> Path:
    path = folder / "strategy.py"
    path.write_text(HEAD + text)
    return path


def columns(result: SymbolResult) -> dict[str, Any]:
    """All that has nothing to do with the clock on the wall."""
    found = {name: getattr(result.fills, name).tolist() for name in ("bar_ns", "quantity", "price", "order")}
    found["equity"] = result.equity.tobytes()
    found["hold_equity"] = result.hold_equity.tobytes()
    placed = [
        *zip(result.orders.number.tolist(), result.orders.ended_ns.tolist(), result.orders.code.tolist(), strict=True)
    ]
    return {**found, "orders": placed, "refusals": result.refusals, "cash": result.cash, "error": result.error}


def same(one: BacktestResult, other: BacktestResult) -> None:
    assert list(one.symbols) == list(other.symbols)
    for symbol, result in one.symbols.items():
        assert columns(result) == columns(other.symbols[symbol]), symbol
    assert one.account_equity.tobytes() == other.account_equity.tobytes()
    assert one.error == other.error


MOMENTUM = """
class Ranks(Strategy):
    def indicators(self):
        return {"momentum": "ROC(30)"}

    def on_window(self, view):
        if view.minute % 60 == 0 and not view.minutes_to_close == 0:
            order = view.indicators["momentum"].argsort()
            view.rebalance({view.symbols[i]: 0.45 for i in order[-2:]})
"""


@pytest.mark.parametrize(("form", "carry"), [("on_bar", True), ("signals", True), ("on_bar", False)])
def test_with_windows_of_a_bar_and_money_enough_fills_are_those_of_independent_symbols(
    universe: Path, form: str, carry: bool
) -> None:
    symbols = ("AAPL", "MSFT", "SPY")
    single = run(universe, CROSS, *symbols, section={"form": form}, account={"carry": carry})
    account = {"shared": True, "capital": 1e7, "carry": carry}
    shared = run(universe, CROSS, *symbols, section={"form": form}, account=account)
    assert shared.shared
    assert shared.capital == 1e7
    assert sum(len(result.fills) for result in single.symbols.values()) > 20
    for symbol in symbols:
        left, right = columns(single.symbols[symbol]), columns(shared.symbols[symbol])
        for name in ("bar_ns", "quantity", "price"):
            assert left[name] == right[name], (symbol, name)
        assert shared.symbols[symbol].equity == pytest.approx(single.symbols[symbol].equity - 100_000, abs=1e-6)
    assert shared.account_equity == pytest.approx(single.account_equity - 300_000 + 1e7, abs=1e-5)


def test_scarce_cash_is_shared_out_in_the_symbols_order_and_never_falls_below_zero(
    universe: Path, tmp_path: Path
) -> None:
    text = """
class All(Strategy):
    def on_bar(self, ctx):
        if ctx.minute == 10: ctx.buy(int(60_000 / ctx.close[-1]))
"""
    result = run(
        universe, written(tmp_path, text), "AAPL", "MSFT", "SPY", account={"shared": True, "capital": 100_000.0}
    )
    first, second, third = (result.symbols[symbol] for symbol in ("AAPL", "MSFT", "SPY"))
    assert not [refusal for refusal in first.refusals if refusal.bar_ns <= first.fills.bar_ns[0]]
    assert 30_000 < second.fills.quantity[0] * second.fills.price[0] < 40_000
    assert "of cash is free" in second.refusals[0].reason
    assert not len(third.fills)
    assert result.capital + sum(symbol.cash for symbol in result.symbols.values()) >= 0


def test_how_symbols_are_packed_and_what_dies_on_the_way_changes_not_a_byte(universe: Path, tmp_path: Path) -> None:
    text = """
class Dies(Strategy):
    mark: str = ""
    def on_bar(self, ctx):
        if self.mark and ctx.minute == 200 and ctx.symbol == "MSFT" and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if ctx.minute % 7 == 0: ctx.order_target(100 if ctx.minute % 2 else -50)
"""
    strategy = written(tmp_path, text)
    symbols = ("AAPL", "MSFT", "NVDA", "SPY")
    money = {"shared": True, "capital": 60_000.0, "margin": 0.8}
    changes: dict[str, Any] = {"account": money, "section": {"window": "5m"}}
    whole = run(universe, strategy, *symbols, **changes)
    assert any(result.refusals for result in whole.symbols.values())
    same(whole, run(universe, strategy, *symbols, **changes, actors={"symbols_per_actor": 3}))
    mark = tmp_path / "died"
    dying = {"window": "5m", "parameters": {"mark": str(mark)}}
    for packed in (1, 2):
        same(
            whole, run(universe, strategy, *symbols, account=money, section=dying, actors={"symbols_per_actor": packed})
        )
        mark.unlink()


def test_a_strategy_that_always_ends_its_process_ends_the_run_where_it_does(universe: Path, tmp_path: Path) -> None:
    text = """
class Dies(Strategy):
    def on_bar(self, ctx):
        if ctx.session_date.day == 3 and ctx.minute == 100: os.kill(os.getpid(), signal.SIGKILL)
        ctx.order_target(10 if ctx.minute // 60 % 2 else -10)
"""
    section = {"window": "60m"}
    result = run(universe, written(tmp_path, text), "AAPL", "MSFT", account={"shared": True}, section=section)
    assert result.error is not None
    assert "the run ended before 2024-07-03: " in result.error
    assert "the portfolio's process got lost 4 times" in result.error
    for one in result.symbols.values():
        assert one.sessions == ("2024-07-02",)
        assert one.position != 0
        assert np.datetime64(int(one.fills.bar_ns[-1]), "ns") < np.datetime64("2024-07-03")
        assert one.equity[-1] == pytest.approx(one.cash + one.position * one.last_price)


def test_a_cross_symbol_strategy_survives_the_death_of_a_process(universe: Path, tmp_path: Path) -> None:
    killing = """
import psutil
def victim():
    # leaves out those that end while it looks
    every = psutil.process_iter(["cmdline", "environ", "create_time"])
    found = [p for p in every if " ".join(p.info["cmdline"] or ()).startswith("ray::Backtest")]
    ours = [p for p in found if (p.info["environ"] or {}).get("RAY_RAYLET_PID") == os.environ.get("RAY_RAYLET_PID")]
    return max(ours, key=lambda p: p.info["create_time"])  # others may be of the run before, and just ending

class Kills(Ranks):
    def on_window(self, view):
        if view.minute == 100: victim().kill()
        super().on_window(view)
"""
    changes = {"account": {"shared": True}, "section": {"class": "Ranks", "window": "10m"}}
    whole = run(universe, written(tmp_path, MOMENTUM + killing), "AAPL", "MSFT", "NVDA", "SPY", **changes)
    assert sum(len(result.fills) for result in whole.symbols.values()) > 10
    changes["section"] = {"class": "Kills", "window": "10m"}
    killed = run(universe, tmp_path / "strategy.py", "AAPL", "MSFT", "NVDA", "SPY", **changes)
    assert killed.error is None
    same(whole, killed)


def test_a_run_whose_own_process_dies_goes_on_with_what_it_had_added_and_remembered(
    universe: Path, tmp_path: Path
) -> None:
    text = """
class Dies(Strategy):
    mark: str = ""
    def on_start(self, view):
        self.seen = 0
    def on_window(self, view):
        self.seen += 1
        if view.minute == 30: assert view.add_symbol("TSLA")
        if view.minute == 31: view.rebalance({"TSLA": 0.4, "AAPL": 0.3})
        if view.minute == 90: view.order("AAPL", -1 - self.seen % 7, stop=float(view.close[0]))
        if self.mark and view.minute == 100 and not Path(self.mark).exists() and view.session_date.day == 3:
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""
    strategy = written(tmp_path, text)
    account = {"shared": True}
    whole = run(universe, strategy, "AAPL", "MSFT", account=account)
    assert whole.error is None
    assert list(whole.symbols) == ["AAPL", "MSFT", "TSLA"]
    mark = tmp_path / "died"
    section = {"parameters": {"mark": str(mark)}}
    same(whole, run(universe, strategy, "AAPL", "MSFT", account=account, section=section))
    assert mark.exists()


def test_an_error_of_the_cross_symbol_strategy_ends_its_calls_and_positions_stay(
    universe: Path, tmp_path: Path
) -> None:
    text = """
class Breaks(Strategy):
    def on_window(self, view):
        if view.minute == 5: view.order("AAPL", 10)
        if view.minute == 30: view.order("NONE", 10)
"""
    for shared in (True, False):
        result = run(universe, written(tmp_path, text), "AAPL", "MSFT", account={"shared": shared})
        assert "NONE" in str(result.error)
        assert "on_window" in str(result.error)
        assert result.symbols["AAPL"].position == 10
        assert not np.isnan(result.account_equity).any()


def test_a_symbol_added_is_traded_for_the_rest_of_the_session_and_leaves_nothing(
    universe: Path, tmp_path: Path
) -> None:
    text = """
class Adds(Strategy):
    def indicators(self):
        return {"sma": "SMA(20)"}
    def on_window(self, view):
        if view.minute == 30:
            assert view.symbols == ("AAPL",), view.symbols
            added = view.add_symbol("TSLA")
            assert added, added.reason
            assert not view.add_symbol("NONE") and "NONE" in view.add_symbol("NONE").reason
            assert view.add_adhoc_indicator("TSLA", "RSI(14)@5m")
            assert not view.add_adhoc_indicator("TSLA", "RSI(14)@7s")
            view.order("TSLA", 5)
        if view.minute == 31:
            assert view.symbols == ("AAPL", "TSLA"), view.symbols
            assert 0 < view.indicators["RSI(14)@5m"][1] < 100
            assert view.indicators["sma"][1] > 0
            assert view.positions == {"TSLA": 5.0}, view.positions
            self.seen = getattr(self, "seen", 0) + 1
"""
    for shared in (True, False):
        result = run(universe, written(tmp_path, text), "AAPL", account={"shared": shared})
        assert result.error is None
        guest = result.symbols["TSLA"]
        assert guest.fills.quantity.tolist() == [5, -5, 5, -5]
        assert guest.fills.at_close.tolist() == [False, True, False, True]
        assert guest.position == 0
        assert guest.session_pnl.sum() == pytest.approx(guest.pnl)
        assert len(guest.session_pnl) == len(guest.hold_equity) == len(result.dates) == 2
        assert result.account_equity[-1] == pytest.approx(result.capital + guest.pnl)
        orders = result.tables.orders.to_arrow().to_pylist()
        assert [(row["order"], row["filled"], row["code"]) for row in orders] == [
            (1, 5.0, None),
            (2, -5.0, "session_closed"),
            (3, 5.0, None),
            (4, -5.0, "session_closed"),
        ]
        assert (guest.metadata.added_by, guest.metadata.added_mid_session) == ("strategy", True)
        done = [(one.action, one.symbol, one.accepted, one.count) for one in result.events.lines]
        assert done == 2 * [
            ("add_symbol", "TSLA", True, 1),
            ("add_symbol", "NONE", False, 2),
            ("add_indicator", "TSLA", True, 1),
            ("add_indicator", "TSLA", False, 1),
        ]


def test_no_process_is_left(universe: Path) -> None:
    def ours() -> list[str]:
        titles = []
        for process in family(os.getpid()):
            with suppress(psutil.Error):  # it may just end
                titles.append(" ".join(process.cmdline()))
        return [title for title in titles if title.startswith(("ray::Backtest", "ray::Portfolio"))]

    seen: list[list[str]] = []
    settings = {"strategy": {"path": str(CROSS), "window": "1h"}, "account": {"shared": True}}
    barray.backtest(config(universe, "AAPL", **settings), progress=lambda status: seen.append(ours()))
    assert any(seen)
    wait_until(lambda: not ours())
