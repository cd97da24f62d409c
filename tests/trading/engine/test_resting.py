"""Orders that rest at prices: windows in which no bar reaches one are passed over, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.interval import Interval
from barray.trading.engine import order_manager
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.window_walk import WindowWalk
from barray.trading.orders.costs import Market
from tests.examples import at_most
from tests.trading.engine.test_basket import RUNS, told, walks
from tests.trading.windows import MINUTE, plan

RESTS = """
class Rests(Strategy):
    seed: int = 0
    often: float = 0.2
    def on_start(self, view): self.random = np.random.default_rng(self.seed)
    def on_window(self, view):
        random = self.random
        for symbol, close in zip(view.symbols, view.close.tolist()):
            if close != close or random.random() > self.often: continue
            size = int(random.choice([-40, -10, -3, 3, 10, 40]))
            side = 1 if size > 0 else -1
            near, far = close * random.uniform(0.0, 0.01), close * random.uniform(0.01, 0.02)
            tif = str(random.choice(["gtc", "day"]))
            match int(random.integers(9)):
                case 0: view.order(symbol, size, limit=close - side * near, tif=tif)
                case 1: view.order(symbol, size, stop=close + side * near, tif=tif)
                case 2: view.order(symbol, size, stop=close + side * near, limit=close + side * far)
                case 3: view.order(symbol, size, limit=close - side * near, stop_loss=close - side * far)
                case 4: view.order(symbol, size, limit=close - side * near, take_profit=close + side * far)
                case 5: view.order(symbol, size, stop_loss=close - side * far, take_profit=close + side * far)
                case 6: view.order(symbol, size, trail=0.4 + near)
                case 7: view.cancel_all(symbol)
                case _: view.order_target(symbol, size)
        if random.random() < 0.02: view.rebalance({symbol: 0.5 / len(view.symbols) for symbol in view.symbols})
        print(view.equity, view.cash, view.positions)
        if random.random() < self.often: print([len(view.orders(symbol)) for symbol in view.symbols])
"""


@pytest.mark.long
@settings(max_examples=at_most(150), deadline=None)
@given(*RUNS, st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from([1, 3, 16]))
def test_windows_that_reach_no_order_may_be_passed_over(
    seed: int, market: Market, account: dict[str, Any], missing: float, window: str, often: float, ahead: int
) -> None:
    made = plan(
        RESTS,
        "on_window",
        parameters={"seed": seed, "often": often},
        market=market,
        capital=2_000.0 + seed % 20_000,
        **account,
    )
    made = replace(made, reserve=0.02 * (seed % 2))
    loaded = walks(seed, 3, 45, missing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_manager, "LOOKED_AHEAD", ahead)
        passed_over = told(made, loaded, Interval.parse(window), steps=False)
        patch.setattr(OrderManager, "quiet_until", lambda _, first, stop: first)
        assert told(made, loaded, Interval.parse(window), steps=False) == passed_over


def test_a_window_that_reaches_no_order_costs_no_more_than_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[int] = []
    meet, passed = OrderManager.meet, WindowWalk._ask_on

    def noted(self: OrderManager, here: Any, row: int, *, closes: bool) -> None:
        met.append(row)
        meet(self, here, row, closes=closes)

    over: list[int] = []

    def asked(self: WindowWalk, rows: Any, ends_ns: Any, first: int, until: int) -> int:
        after = passed(self, rows, ends_ns, first, until)
        over.append(after - first)
        return after

    monkeypatch.setattr(OrderManager, "meet", noted)
    monkeypatch.setattr(WindowWalk, "_ask_on", asked)
    body = """
class Rests(Strategy):
    def on_window(self, view):
        if view.minute == 1:
            for symbol, close in zip(view.symbols, view.close.tolist()):
                view.order(symbol, 1, limit=close * 0.9)
"""
    told(plan(body, "on_window", capital=10_000.0), walks(3, 1, 30, 0.0), MINUTE, steps=False)
    assert met == [59]  # the last bar, at the close; a day of history is before it
    assert sum(over) == 29
