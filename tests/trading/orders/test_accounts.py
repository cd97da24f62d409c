"""The shared account: what it admits, reserves and cuts, by hand; and that it never falls below zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.trading.orders.accounts import Approval, OrderRequest, SharedAccount
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Order
from barray.trading.orders.separate_accounts import SeparateAccounts
from barray.trading.orders.terms import OrderTerms
from tests.examples import at_most
from tests.trading.windows import Floor, fills_of, lay, plan, sessions_of


class Book:
    """An account with the orders that work for it, and their symbols' prices."""

    def __init__(self, capital: float, market: Market | None = None, reserve: float = 0.02, **rules: Any) -> None:
        self.prices = dict.fromkeys("ABC", 100.0)
        self.working: dict[str, list[Order]] = {symbol: [] for symbol in "ABCD"}
        self.account = SharedAccount(
            Account(capital, **rules), market or Market(), lambda symbol: self.prices.get(symbol, nan), reserve
        )
        for symbol, orders in self.working.items():
            self.account.join(symbol, orders)

    def approve(self, requests: Iterable[OrderRequest]) -> dict[str, list[Approval]]:
        """The answers by symbol; what is approved works."""
        answers: dict[str, list[Approval]] = {}

        def answer(request: OrderRequest, approval: Approval) -> None:
            answers.setdefault(request.symbol, []).append(approval)
            order = replace(request.order, quantity=approval.quantity, budget=approval.budget)
            if approval.quantity:
                self.working[request.symbol].append(order)

        self.account.approve(requests, answer)
        return answers

    def update(self, symbol: str, price: float, fills: list[Fill], working: list[Order]) -> None:
        """What a window did to a symbol."""
        self.prices[symbol] = price
        self.working[symbol][:] = working
        self.account.book(symbol, fills)

    def release(self, symbol: str) -> None:
        """Have no order of a symbol work any more."""
        self.working[symbol].clear()

    def __getattr__(self, name: str) -> float:
        return float(getattr(self.account, name))


def account(capital: float = 10_000.0, **rules: Any) -> Book:
    return Book(capital, **rules)


def ask(symbol: str, quantity: float, number: int = 1, at: int = 0, price: float | None = None) -> OrderRequest:
    return OrderRequest(at, symbol, number, Order(number, OrderTerms(quantity, price), quantity))


def left(number: int, quantity: float, budget: float | None = None, *, stop: float | None = None) -> Order:
    """An order at work; one with a stop guards a position."""
    parent = Order(0, OrderTerms(1.0), 0.0) if stop is not None else None
    return Order(number, OrderTerms(quantity, stop=stop), quantity, budget=budget, parent=parent)


def fill(quantity: float, price: float, commission: float = 0.0, order: int = 1) -> Fill:
    return Fill(0, 0, quantity, price, commission, 0.0, order)


def test_a_purchase_reserves_its_price_the_reserve_and_the_commission() -> None:
    made = account(market=Market(Commission(per_share=0.5, bps=10)))
    answer = made.approve([ask("A", 10)])["A"][0]
    need = 10 * 102 + 10 * 0.5 + 10 * 102 * 0.001
    assert answer == Approval(10, pytest.approx(need))
    assert made.reserved == pytest.approx(need)
    assert made.cash == 10_000
    assert made.free == pytest.approx(10_000 - need, abs=1e-4)


def test_a_limit_or_stop_is_what_is_reserved_for() -> None:
    assert account().approve([ask("A", 10, price=90.0)])["A"][0].budget == pytest.approx(10 * 90 * 1.02)


def test_cash_is_given_by_time_then_symbol_then_number_and_cut_to_whole_lots() -> None:
    made = account(10_000, market=Market(lot_size=10))
    orders = [ask("C", 10, at=1), ask("B", 50, 2), ask("B", 20, 1), ask("A", 30)]
    answers = made.approve(orders)
    assert answers["A"] == [Approval(30, pytest.approx(3_060))]
    assert answers["B"][0] == Approval(20, pytest.approx(2_040))
    assert (answers["B"][1].quantity, answers["B"][1].budget) == (40, pytest.approx(4_080))
    assert "4,900.00 of cash is free, which suffices for 40 at 100, not for 50" in answers["B"][1].reason
    assert (answers["C"][0].quantity, answers["C"][0].budget) == (0, 0)
    again = account(10_000, market=Market(lot_size=10))
    assert again.approve(reversed(orders)) == answers


def test_a_symbol_without_a_price_is_refused() -> None:
    made = account()
    made.update("D", nan, [], [])
    assert made.approve([ask("D", 1)])["D"][0].reason == "there is no price yet to reserve money at"


def test_a_fill_spends_its_reservation_and_what_is_left_is_released_at_the_windows_end() -> None:
    made = account()
    made.approve([ask("A", 10), ask("B", 20)])
    made.update("A", 103.0, [fill(10, 101.0, 1.0)], [])
    assert made.cash == 10_000 - 1_011
    assert made.reserved == pytest.approx(2_040)
    assert made.equity == 10_000 - 1_011 + 1_030
    made.update("B", 99.0, [fill(5, 100.0)], [left(1, 15, 1_540.0)])
    assert made.cash == 10_000 - 1_011 - 500
    assert made.reserved == 1_540
    made.release("B")
    assert made.reserved == 0


def test_what_closes_needs_no_money_and_what_opens_beyond_it_does() -> None:
    made = account(1_000)
    made.update("A", 100.0, [fill(10, 100.0)], [])
    assert made.free == pytest.approx(0)
    assert made.approve([ask("A", -10)])["A"] == [Approval(-10, 0.0)]
    made.release("A")
    cut = made.approve([ask("A", -25)])["A"][0]
    assert (cut.quantity, cut.budget) == (-10, 0)
    assert "suffices for 10 at 100, not for 25" in cut.reason


def test_orders_that_are_to_close_a_position_count_for_each_other_but_stops_and_targets_do_not() -> None:
    made = account(3_000)
    made.update("A", 100.0, [fill(10, 100.0)], [left(2, -10, stop=90.0)])
    first, second = made.approve([ask("A", -10, 3), ask("A", -10, 4)])["A"]
    assert first.budget == 0
    assert second.budget == pytest.approx(1_020)
    assert not second.reason


def test_an_order_that_could_close_what_is_bought_beside_it_is_not_cut() -> None:
    made = account(1_020.001)
    entry, guard = made.approve([ask("A", 10, 1), ask("A", -10, 2, price=95.0)])["A"]
    assert (entry.quantity, guard.quantity, guard.budget, guard.reason) == (10, -10, 0, "")


def test_a_short_position_needs_as_much_again_as_it_brings() -> None:
    made = account(10_000)
    assert made.approve([ask("A", -98)])["A"] == [Approval(-98, pytest.approx(9_996))]
    made.update("A", 100.0, [fill(-98, 100.0)], [])
    assert made.cash == 19_800
    assert made.equity == 10_000
    assert made.free == pytest.approx(200, abs=1e-3)
    assert account(10_000, short=False).approve([ask("A", -98)])["A"] == [Approval(-98, 0.0)]  # the broker refuses


def test_a_margin_of_a_half_bears_twice_the_equity() -> None:
    made = account(10_000, margin=0.5, reserve=0.0)
    assert made.approve([ask("A", 250)])["A"][0].quantity == 199  # of 200, one is in the slack
    made.update("A", 100.0, [fill(199, 100.0)], [])
    assert made.cash == -9_900
    assert made.free == pytest.approx(50, abs=1e-3)


def test_separate_accounts_admit_all_and_are_summed() -> None:
    prices, answers = {"A": 12.0, "B": 10.0}, []
    made = SeparateAccounts(Account(1_000.0), prices.__getitem__)
    for symbol in "AB":
        made.join(symbol, [])
    made.approve([ask("A", 1e6)], lambda _, approval: answers.append(approval))
    assert answers == [Approval(1e6, None)]
    made.book("A", [fill(10, 11.0, 1.0)])
    assert (made.cash, made.equity, made.equity_for("A"), made.equity_for("B")) == (1_889, 2_009, 1_009, 1_000)


def test_the_fill_is_cut_to_what_was_reserved_where_the_price_has_run_away() -> None:
    text = """
class Buy(Strategy):
    def on_bar(self, ctx):
        if ctx.minute == 1: ctx.buy(10)
"""
    loaded = lay(sessions_of(1, 5), "A", [100.0] * 5, open=[100.0, 110.0, 100, 100, 100])
    floor = Floor(plan(text, "on_bar", capital=5_000.0, reserve=0.02), {"A": loaded})
    result = floor.run()["A"]
    assert fills_of(result) == [(1, 9.0, 110.0)]
    assert result.refusals[0].quantity == 1
    assert [state[1] for state in floor.states[:4]] == [0, pytest.approx(1_020), 0, 0]


def test_cash_of_a_sale_buys_from_the_next_window_on() -> None:
    text = """
class Swap(Strategy):
    def on_window(self, view):
        if view.minute == 1: view.order("A", 10)
        if view.minute == 3: view.order("A", -10), view.order("B", 10)
        if view.minute == 4: view.order("B", 10)
"""
    loaded = {name: lay(sessions_of(1, 7), name, [100.0] * 7) for name in "AB"}
    results = Floor(plan(text, "on_window", capital=1_001.0), loaded).run()
    assert fills_of(results["A"]) == [(1, 10.0, 100.0), (3, -10.0, 100.0)]
    assert fills_of(results["B"]) == [(4, 10.0, 100.0)]
    assert [refusal.quantity for refusal in results["B"].refusals] == [10.0]


WILD = """
class Wild(Strategy):
    seed: int = 0
    def on_start(self, ctx):
        self.random = np.random.default_rng([self.seed, ord(ctx.symbol)])
    def on_bar(self, ctx):
        kind, size = self.random.integers(10), float(self.random.integers(1, 80)) / 2
        price = round(ctx.close[-1] * (1 + 0.01 * float(self.random.normal())), 2)
        if kind < 2: ctx.buy(size)
        elif kind == 2: ctx.sell(size)
        elif kind == 3: ctx.buy(size, limit=price)
        elif kind == 4: ctx.buy(size, stop=price)
        elif kind == 5: ctx.buy(size, stop_loss=price * 0.98, take_profit=price * 1.03)
        elif kind == 6: ctx.close_position()
        elif kind == 7: ctx.sell(size, stop=price)
        elif kind == 8: ctx.order_target(size)
        elif kind == 9: ctx.buy(size, trail=0.02 * price, trailing_stop=0.01 * price)
"""
markets = st.sampled_from(  # none whose commission can be more than a sale brings
    [
        Market(),
        Market(Commission(per_share=0.01, bps=30), Slippage(bps=30), lot_size=0.0),
        Market(Commission(bps=20, minimum=2.0), Slippage(impact=5.0), lot_size=5.0, volume_share=0.02, tick_size=0.05),
    ]
)


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(100))
@given(st.integers(0, 10**6), markets, st.sampled_from(["1m", "3m"]), st.sampled_from([0.0, 0.02]), st.booleans())
def test_cash_is_never_below_zero_nor_below_what_is_reserved(
    seed: int, market: Market, window: str, reserve: float, flat: bool
) -> None:
    session_range = sessions_of(2, 25)
    random = np.random.default_rng(seed)
    loaded = {}
    for name in "ABC":
        close = np.round(50 * np.exp(np.cumsum(random.normal(0, 0.02, 50))), 2)
        open_ = np.round(np.concatenate(([50.0], close[:-1])) * np.exp(random.normal(0, 0.02, 50)), 2)
        loaded[name] = lay(session_range, name, close.tolist(), open=open_.tolist())
    made = plan(
        WILD,
        "on_bar",
        market=market,
        reserve=reserve,
        parameters={"seed": seed},
        capital=3_000.0,
        short=False,
        flat_at_close=flat,
    )
    floor = Floor(made, loaded, Interval.parse(window))
    results = floor.run()
    for cash, reserved, _ in floor.states:
        assert cash >= 0
        assert reserved <= cash
    assert floor.states[-1][0] == pytest.approx(3_000 + sum(result.cash for result in results.values()), abs=1e-6)
    assert floor.states[-1][2] == pytest.approx(3_000 + sum(result.equity[-1] for result in results.values()), abs=1e-6)
    turned = Floor(made, dict(reversed(loaded.items())), Interval.parse(window))
    again = turned.run()
    assert all(fills_of(again[name]) == fills_of(results[name]) for name in loaded)
    assert turned.states == floor.states


def test_a_purchase_beyond_the_cash_is_a_fault_that_is_named() -> None:
    made = account()
    made.update("A", 100.0, [fill(100, 100.0)], [])
    assert made.cash == 0
    with pytest.raises(BarrayError, match=r"B: cash is -100.00 after its fills, though margin is 1") as raised:
        made.update("B", 100.0, [fill(1, 100.0)], [])
    assert raised.value.code == "overdrawn"


def test_what_nobody_can_reserve_for_may_leave_less_than_nothing() -> None:
    borrowed = account(margin=0.5)
    borrowed.update("A", 100.0, [fill(150, 100.0)], [])
    assert borrowed.cash == -5_000
    short = account()
    short.update("A", 100.0, [fill(-100, 100.0), fill(100, 250.0)], [])
    assert short.cash == -5_000
    costly = account()
    costly.update("A", 100.0, [fill(100, 100.0), fill(-1, 0.5, 3.0)], [])
    assert costly.cash == -2.5
    with pytest.raises(BarrayError, match="cash is"):
        costly.update("A", 100.0, [fill(1, 0.5)], [])
