"""A rebalancing carried out in whole comes to what its orders come to one by one, to the last bit."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from barray.trading.engine.commands import Plan
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.symbol_run import LoadedRange, lay_range
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.limits import Limits
from barray.trading.orders.order_columns import Labels
from tests.examples import at_most
from tests.trading.windows import MINUTE, Floor, lay, plan, sessions_of

REBALANCES = """
class Weights(Strategy):
    seed: int = 0
    often: float = 0.3
    def on_start(self, view): self.random = np.random.default_rng(self.seed)
    def weights(self, view):
        chosen = [s for s, c in zip(view.symbols, view.close.tolist()) if c == c and self.random.random() < 0.6]
        low, most = self.random.choice([0.0, 0.0, 0.0, -0.4]), self.random.choice([0.5, 0.95, 1.0, 1.6])
        return {s: float(self.random.uniform(low, 1.0)) * most / len(chosen) for s in chosen}
    def on_session(self, view):
        if self.random.random() < 0.3: view.rebalance(self.weights(view))
    def on_window(self, view):
        random = self.random
        if random.random() < self.often: view.rebalance(self.weights(view))
        if random.random() < 0.2 * self.often:
            symbol, size = view.symbols[int(random.integers(len(view.symbols)))], int(random.integers(-30, 30))
            match int(random.integers(7)):
                case 0: view.order(symbol, size)
                case 1: view.order_target(symbol, size)
                case 2: view.cancel_all(symbol)
                case 3: view.rebalance(self.weights(view))
                case 4: view.order(symbol, size, limit=100.0)
                case 5: print(view.orders(symbol))
                case _: view.order(symbol, size, trail=0.3)
        print(view.equity, view.cash, view.positions)
"""
COSTS = [
    Market(),
    Market(Commission(per_share=0.01, minimum=1.0), Slippage(bps=3, impact=0.1), tick_size=0.01),
    Market(lot_size=0.0),
    Market(Commission(bps=2), lot_size=0.3),
    Market(volume_share=0.05),
]
ACCOUNTS: list[dict[str, Any]] = [
    {},
    {"margin": 0.4},
    {"short": False},
    {"flat_at_close": True},
    {"carry": False},
    {"limits": Limits(gross=0.9, symbol=0.3)},
    {"shared": False},
]
RUNS = (
    st.integers(0, 2**32),
    st.sampled_from(COSTS),
    st.sampled_from(ACCOUNTS),
    st.sampled_from([0.0, 0.0, 0.1]),
    st.sampled_from(["1m", "1m", "5m"]),
)
"""Seed, market, account, how many bars are missing, and the window."""


def walks(seed: int, days: int, minutes: int, missing: float) -> dict[str, LoadedRange]:
    """Random walks of a few symbols, with holes, and some left out of a session."""
    random, session_range = np.random.default_rng(seed), sessions_of(days, minutes, back=1)
    found = {}
    for symbol in "ABCDEF"[: int(random.integers(2, 7))]:
        n = (days + 1) * minutes
        closes = np.round(50 * np.exp(np.cumsum(random.normal(0, 0.004, n))), 2)
        whole = lay(session_range, symbol, closes.tolist(), volume=random.integers(0, 900, n).tolist()).base.bars
        there = random.random(n) >= missing
        there[::minutes] = True
        bars = Bars(*(getattr(whole, column)[there] for column in ("start_ns", *COLUMNS)))
        out = {session_range.dates[-1]: "left out"} if missing and random.random() < 0.2 else {}
        found[symbol] = lay_range(symbol, bars, MINUTE, session_range, "memory", out)
    return found


def told(
    made: Plan, loaded: dict[str, LoadedRange], window: Interval, *, pickled: bool = False, steps: bool = True
) -> list[Any]:
    """All that came of a run, and what its strategy saw. `steps`: it goes window by window, and is watched."""
    floor = Floor(made, loaded, window, pickled=pickled)
    if not steps:
        floor.portfolio = PortfolioRun(made, window)
    results = floor.run()
    assert floor.portfolio.error is None
    seen: list[Any] = [[line.text for line in floor.said], floor.states if steps else [], floor.events]
    for one in results.values():
        columns = [getattr(one.fills, column.name).tolist() for column in fields(one.fills)]
        orders = [getattr(one.orders, column.name) for column in fields(one.orders)]
        seen += [columns, one.refusals, one.equity.tolist(), one.exposure.tolist(), one.trades.pnl.tolist()]
        seen += [one.trades.mae.tolist(), one.trades.mfe.tolist(), one.trades.bars.tolist(), one.cash, one.position]
        seen += [repr(column.tolist()) for column in orders if isinstance(column, np.ndarray | Labels)]
    return seen


@pytest.mark.long
@settings(max_examples=at_most(150), deadline=None)
@given(*RUNS, st.sampled_from([0.1, 0.5]), st.booleans())
def test_a_basket_comes_to_what_its_orders_come_to_one_by_one(
    seed: int, market: Market, account: dict[str, Any], missing: float, window: str, often: float, pickled: bool
) -> None:
    parameters = {"seed": seed, "often": often}
    capital = 3_000.0 + seed % 20_000
    made = plan(REBALANCES, "on_window", parameters=parameters, market=market, capital=capital, **account)
    made = replace(made, reserve=0.02 * (seed % 2))
    loaded = walks(seed, 3, 30, missing)
    in_baskets = told(made, loaded, Interval.parse(window), pickled=pickled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OrderManager, "in_baskets", False)
        assert told(made, loaded, Interval.parse(window), pickled=pickled) == in_baskets


def test_what_is_plain_goes_in_baskets(monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[bool] = []
    fill = OrderManager._fill_basket

    def noted(self: OrderManager, *arguments: Any) -> bool:
        filled.append(fill(self, *arguments))
        return filled[-1]

    monkeypatch.setattr(OrderManager, "_fill_basket", noted)
    body = """
class Turns(Strategy):
    def on_window(self, view):
        if view.minute % 5 == 0 and view.minutes_to_close:
            chosen = view.symbols[view.minute // 5 % 2 :: 2]
            view.rebalance({symbol: 0.8 / len(chosen) for symbol in chosen})
"""
    told(plan(body, "on_window", capital=10_000.0, reserve=0.02), walks(3, 2, 30, 0.0), MINUTE)
    assert filled == [True] * 9  # the second session begins with what the first ended with


@pytest.mark.parametrize("weight", ["math.nan", "math.inf", "-math.inf", "'a tenth'"])
def test_a_weight_that_is_no_number_is_the_strategys_error(weight: str) -> None:
    body = (
        f"class Turns(Strategy):\n    def on_window(self, view):\n        view.rebalance({{'A': 0.1, 'B': {weight}}})\n"
    )
    floor = Floor(plan(body, "on_window"), walks(3, 1, 10, 0.0), MINUTE)
    floor.run()
    assert "made_up.py" in str(floor.portfolio.error)
    assert floor.portfolio.accounts.cash == 100_000.0
