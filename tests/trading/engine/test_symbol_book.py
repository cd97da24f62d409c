"""Symbols with strategies of their own over one account: a run in windows is the run it would be in one go."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.interval import Interval
from barray.trading.engine.event_run import run_symbol
from barray.trading.engine.symbol_run import LoadedRange, run_range
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Commission, Market
from barray.trading.results.result import SymbolResult, Trades
from tests.examples import at_most
from tests.trading.windows import MINUTE, Floor, fills_of, lay, plan, sessions_of

BUY_ONCE = """
class BuyOnce(Strategy):
    at: int = 2
    def on_bar(self, ctx):
        if ctx.minute == self.at and not ctx.position:
            ctx.buy(10)
"""
RANDOM = """
class Random(Strategy):
    seed: int = 0
    def on_start(self, ctx):
        self.random = np.random.default_rng(self.seed)
    def on_session(self, ctx):
        if self.random.random() < 0.3:
            ctx.buy(int(self.random.integers(1, 20)), limit=ctx.close[-1] if len(ctx.close) else None)
    def on_bar(self, ctx):
        kind, size = self.random.integers(12), int(self.random.integers(1, 30))
        price = round(ctx.close[-1] * (1 + 0.004 * float(self.random.normal())), 2)
        if kind == 0: ctx.buy(size)
        elif kind == 1: ctx.sell(size)
        elif kind == 2: ctx.buy(size, limit=price)
        elif kind == 3: ctx.sell(size, stop=price, tif="day")
        elif kind == 4: ctx.order_target(size)
        elif kind == 5: ctx.close_position()
        elif kind == 6: ctx.buy(size, stop_loss=price * 0.99, take_profit=price * 1.01)
        elif kind == 7: ctx.cancel_all()
        elif kind == 8: ctx.sell(size, stop=price, limit=price * 0.998)
"""
CROSS = """
class Cross(Strategy):
    def indicators(self):
        return {"fast": "SMA(2)", "slow": "SMA(4)"}
    def signals(self, data):
        up = data.indicators["fast"] > data.indicators["slow"]
        before = np.concatenate(([False], up[:-1]))
        return Signals(up & ~before, ~up & before, size=5.0)
"""


def walk(seed: int, n: int) -> list[float]:
    return np.round(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.003, n))), 2).tolist()


def alone(
    loaded: LoadedRange, text: str, form: str, market: Market, account: Account, **parameters: int
) -> list[tuple[int, float, float]]:
    """Fills of the same strategy run in one go, with money enough of its own."""
    whole = plan(text, form, parameters=parameters)
    outcome = run_symbol(whole.strategy(), loaded.prepare(whole.strategy()), market, account, form=form)
    return list(
        zip(outcome.fills.row.tolist(), outcome.fills.quantity.tolist(), outcome.fills.price.tolist(), strict=True)
    )


def test_an_order_works_from_its_windows_end_on() -> None:
    session_range = sessions_of(1, 20)
    loaded = lay(session_range, "A", [100.0 + i for i in range(20)])
    for window, row in (("1m", 2), ("5m", 5), ("7m", 7), ("15m", 15)):
        floor = Floor(plan(BUY_ONCE, "on_bar"), {"A": loaded}, Interval.parse(window))
        assert fills_of(floor.run()["A"])[0] == (row, 10.0, 100.0 + row - 1), window


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(60))
@given(
    st.integers(0, 10_000),
    st.sampled_from(
        [
            {"short": False},
            {"short": False, "flat_at_close": True},
            {"carry": False, "short": False, "flat_at_close": True},
        ]
    ),
    st.booleans(),
)
def test_with_windows_of_a_bar_and_money_enough_fills_are_those_of_a_run_in_one_go(
    seed: int, account: dict[str, bool], costs: bool
) -> None:
    session_range = sessions_of(3, 25, back=1)
    market = Market(Commission(per_share=0.01), volume_share=0.01) if costs else Market()
    loaded = {name: lay(session_range, name, walk(seed + number, 100)) for number, name in enumerate("AB")}
    own = plan(RANDOM, "on_bar", capital=1e9, market=market, parameters={"seed": seed}, **account)
    ample = plan(RANDOM, "on_bar", capital=1e9, market=market, reserve=0.2, parameters={"seed": seed}, **account)
    floor = Floor(ample, loaded)
    results = floor.run()
    for name, one in loaded.items():
        assert fills_of(results[name]) == alone(one, RANDOM, "on_bar", market, Account(1e9, **account), seed=seed)
        assert results[name].capital == 0
        same_but_capital(results[name], run_range(one, own, one.session_range.grid(MINUTE)[0]))
        assert results[name].equity[-1] == pytest.approx(
            results[name].cash + results[name].position * results[name].last_price, abs=1e-6
        )
    total = 1e9 + sum(result.equity[-1] for result in results.values())
    if account.get("carry", True):
        assert floor.states[-1][2] == pytest.approx(total, abs=1e-3)


def test_the_array_form_trades_with_a_shared_account_as_it_does_alone() -> None:
    session_range = sessions_of(2, 40, back=1)
    loaded = lay(session_range, "A", walk(3, 120))
    results = Floor(plan(CROSS, "signals", capital=1e6), {"A": loaded}).run()
    made = fills_of(results["A"])
    assert len(made) > 4
    assert made == alone(loaded, CROSS, "signals", Market(), Account(1e6))


@pytest.mark.parametrize(("form", "text"), [("on_bar", RANDOM), ("signals", CROSS)])
def test_a_run_goes_on_elsewhere_from_any_sessions_end(form: str, text: str) -> None:
    session_range = sessions_of(4, 30, back=1)
    loaded = {name: lay(session_range, name, walk(number, 150)) for number, name in enumerate("AB")}
    made = plan(text, form, capital=20_000.0)
    for window in ("1m", "3m"):
        whole = Floor(made, loaded, Interval.parse(window)).run()
        again = Floor(made, loaded, Interval.parse(window), pickled=True).run()
        assert len(whole["A"].fills) > 4
        for name in "AB":
            same(whole[name], again[name])


def same_but_capital(shared: SymbolResult, alone: SymbolResult) -> None:
    """A symbol's result, made session by session, against the one that is made of the whole range at once."""
    for column in fields(Trades):
        got, expected = getattr(shared.trades, column.name), getattr(alone.trades, column.name)
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-9), column.name
    for name in ("session_close", "exposure"):
        assert getattr(shared, name) == pytest.approx(getattr(alone, name), abs=1e-6), name
    assert shared.refusals == alone.refusals
    assert (shared.sessions, shared.bars, shared.first_price, shared.last_price) == (
        alone.sessions,
        alone.bars,
        alone.first_price,
        alone.last_price,
    )


def same(one: SymbolResult, other: SymbolResult) -> None:
    assert fills_of(one) == fills_of(other)
    assert np.array_equal(one.equity, other.equity)
    assert one.refusals == other.refusals
    assert (one.cash, one.position, one.error) == (other.cash, other.position, other.error)


def test_a_strategy_that_raises_stops_its_symbol_alone_and_the_position_stays() -> None:
    text = BUY_ONCE + "        if ctx.minute == 5 and ctx.symbol == 'A': raise RuntimeError('no more')\n"
    session_range = sessions_of(1, 20)
    loaded = {name: lay(session_range, name, [100.0 + i for i in range(20)]) for name in "AB"}
    floor = Floor(plan(text, "on_bar", flat_at_close=True), loaded)
    results = floor.run()
    assert "no more" in str(results["A"].error)
    assert (results["A"].position, results["B"].position) == (10.0, 0.0)
    assert results["A"].last_price == 119.0
    assert results["B"].error is None


def test_what_a_strategy_sees_of_a_shared_account_is_as_of_the_last_windows_end() -> None:
    text = """
class Look(Strategy):
    def on_bar(self, ctx):
        if ctx.minute == 1: ctx.buy(10)
        if ctx.minute == 4: assert (ctx.cash, ctx.equity) == (9_000.0, 10_020.0), (ctx.cash, ctx.equity)
        if ctx.minute == 5: assert (ctx.cash, ctx.equity) == (9_000.0, 10_030.0), (ctx.cash, ctx.equity)
        if ctx.minute == 1: assert ctx.cash == ctx.equity == 10_000.0 and not ctx.position
"""
    session_range = sessions_of(1, 8)
    floor = Floor(
        plan(text, "on_bar", capital=10_000.0),
        {"A": lay(session_range, "A", [100.0, 101, 102, 103, 104, 105, 106, 107], open=[100.0] * 8)},
    )
    assert floor.run()["A"].error is None


def test_a_waiting_order_is_seen_and_can_be_cancelled() -> None:
    text = """
class Wait(Strategy):
    def on_bar(self, ctx):
        if ctx.minute == 1: self.kept, self.gone = ctx.buy(1), ctx.buy(2)
        if ctx.minute == 2:
            assert ctx.orders == [self.kept, self.gone]
            ctx.cancel(self.gone)
            assert ctx.orders == [self.kept] and self.gone.status == "cancelled"
"""
    result = Floor(plan(text, "on_bar"), {"A": lay(sessions_of(1, 10), "A", [10.0] * 10)}, Interval.parse("5m")).run()[
        "A"
    ]
    assert result.error is None
    assert fills_of(result) == [(5, 1.0, 10.0)]
