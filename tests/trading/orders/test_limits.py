"""Limits of exposure: what they have room for, by hand; and that nothing approved exceeds them, whatever fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.trading.orders.accounts import Approval, OrderRequest, SharedAccount
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fill
from barray.trading.orders.limits import Group, Limits
from barray.trading.orders.order import Order
from barray.trading.orders.terms import OrderTerms
from tests.examples import at_most
from tests.trading.windows import Floor, fills_of, lay, plan, sessions_of

EQUITY = 10_000.0


class Judge:
    """An account of symbols A, B, C at 100 each, with leverage enough that limits alone count."""

    def __init__(self, limits: Limits, margin: float = 0.01, market: Market | None = None, **held: float) -> None:
        self.prices = dict.fromkeys("ABC", 100.0)
        account = Account(EQUITY, margin)
        self.account = SharedAccount(account, market or Market(), self.prices.__getitem__, 0.02, limits)
        self.working: dict[str, list[Order]] = {symbol: [] for symbol in "ABC"}
        for symbol, orders in self.working.items():
            self.account.join(symbol, orders)
        for symbol, shares in held.items():
            self.account.book(symbol, [Fill(0, 0, shares, 100.0, 0.0, 0.0, 0)])
        self._number = 0

    def ask(self, symbol: str, quantity: float, **terms: Any) -> Approval:
        """Judge one order, which then works."""
        self._number += 1
        order = Order(self._number, OrderTerms(quantity, **terms), quantity)
        answers: list[Approval] = []

        def answer(request: OrderRequest, approval: Approval) -> None:
            answers.append(approval)
            order.quantity, order.budget, order.opens = approval.quantity, approval.budget, approval.opens
            if approval.quantity:
                self.working[symbol].append(order)

        self.account.approve([OrderRequest(0, symbol, self._number, order)], answer)
        return answers[0]

    def asks(self, *orders: tuple[str, float]) -> list[float]:
        """What is approved of market orders, one after another."""
        return [self.ask(*order).quantity for order in orders]


TECH = {"tech": Group(frozenset("AB"), 0.3)}


@pytest.mark.parametrize(
    ("limits", "held", "orders", "approved"),
    [
        (Limits(), {}, [("A", 5_000)], [5_000]),
        (Limits(gross=1.0), {}, [("A", 60), ("B", -60)], [60, -40]),
        (Limits(gross=1.0), {"A": 60}, [("B", 60), ("C", 1)], [40, 0]),
        (Limits(gross=1.0), {"A": 60}, [("A", -60), ("B", 60)], [-60, 40]),  # sold it is when that has filled
        (Limits(symbol=0.1), {}, [("A", 8), ("A", 8), ("B", 12)], [8, 2, 10]),
        (Limits(symbol=0.1), {"A": -4}, [("A", -8), ("A", 20)], [-6, 14]),  # 4 to close, 10 to open
        (Limits(symbol=0.1), {}, [("A", 10), ("A", -10)], [10, -10]),  # one or the other, at worst
        (Limits(net=0.5), {}, [("A", 60), ("B", -60), ("C", 1)], [50, -50, 0]),  # the sale may never fill
        (Limits(net=0.5), {"A": 50, "B": -50}, [("C", 60), ("B", 50), ("C", 1)], [50, 50, 0]),
        (Limits(net=0.5), {"A": 50, "B": -50}, [("B", 50), ("C", 10)], [50, 0]),  # which leaves A alone
        (Limits(net=0.5), {"A": 50, "B": -50}, [("B", 70)], [50]),
        (Limits(net=0.1), {"A": 2}, [("A", -15)], [-12]),
        (Limits(groups=TECH), {}, [("A", 20), ("B", -20), ("C", 90)], [20, -10, 90]),
        (Limits(1.0, 0.5, 0.2, TECH), {}, [("A", 90), ("B", 90), ("C", 90), ("C", -90)], [20, 10, 20, -20]),
    ],
)
def test_what_exceeds_a_limit_is_cut(
    limits: Limits, held: dict[str, float], orders: Sequence[tuple[str, float]], approved: list[float]
) -> None:
    assert Judge(limits, **held).asks(*orders) == approved


def test_a_refusal_names_limit_room_and_price() -> None:
    judge = Judge(Limits(symbol=0.1, groups={"tech": Group(frozenset("AB"), 0.155)}), market=Market(lot_size=2.0), A=8)
    assert judge.ask("A", 6).reason == (
        "account.limits.symbol 0.1 of an equity of 10,000.00 has room for 200.00, which suffices for 2 at 100, "
        "not for 6"
    )
    assert judge.ask("B", 10, limit=90.0).reason == (
        "account.limits.groups.tech 0.155 of an equity of 10,000.00 has room for 550.00, which suffices for 6 at 90, "
        "not for 10"
    )


def test_money_that_is_shorter_is_named_instead() -> None:
    assert "of cash is free" in Judge(Limits(gross=5.0), margin=1.0).ask("A", 600).reason
    assert "limits.gross" in Judge(Limits(gross=0.5), margin=1.0).ask("A", 600).reason


@pytest.mark.parametrize(
    ("terms", "quantity"), [({"limit": 50.0}, 20), ({"stop": 200.0}, 5), ({"trail": 25.0}, 8), ({}, 10)]
)
def test_orders_count_at_the_prices_that_they_are_judged_at(terms: dict[str, float], quantity: float) -> None:
    judge = Judge(Limits(gross=0.1))
    assert judge.ask("A", 100, **terms).quantity == quantity
    assert judge.ask("B", 100).quantity == 0


def test_what_is_held_beyond_a_limit_is_let_be_but_not_added_to() -> None:
    judge = Judge(Limits(gross=1.0, symbol=0.5), A=50, B=40)
    judge.prices["A"] = 140.0  # 7,000 of an equity of 12,000, and 11,000 in all
    assert judge.asks(("A", 1), ("B", 20), ("A", -10), ("B", 1)) == [0, 10, -10, 0]
    judge.prices["A"] = 20.0  # equity is 6,000
    judge.prices["B"] = 200.0
    assert judge.asks(("B", 1), ("B", -40)) == [0, -40]


def test_without_equity_nothing_is_opened() -> None:
    judge = Judge(Limits(gross=1.0), A=200)
    judge.prices["A"] = 49.0
    assert judge.account.equity < 0
    assert judge.asks(("B", 1), ("A", 1), ("A", -200)) == [0, 0, -200]


# whatever fills

ORDERS = st.tuples(
    st.sampled_from("ABC"), st.integers(-120, 120).filter(bool), st.sampled_from([None, 80.0, 100.0, 125.0])
)
SHARES = st.none() | st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.0])


def filled(judge: Judge, orders: Sequence[tuple[str, Order]]) -> dict[str, float]:
    """Values of positions after these orders, one after another; each opens no more than it may."""
    shares = dict(judge.account.positions)
    values = {symbol: held * judge.prices[symbol] for symbol, held in shares.items()}
    for symbol, order in orders:
        held, quantity = shares.get(symbol, 0.0), order.quantity
        closed = min(abs(quantity), abs(held)) if held * quantity < 0 else 0.0
        opened = min(abs(quantity) - closed, order.opens or 0.0)
        side = 1.0 if quantity > 0 else -1.0
        price = order.limit or judge.prices[symbol]
        before = values.get(symbol, 0.0)
        left = before * (1 - closed / abs(held)) if held else 0.0
        shares[symbol] = held + side * (closed + opened)
        values[symbol] = left + side * opened * price
    return values


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(200))
@given(
    st.dictionaries(st.sampled_from("ABC"), st.integers(-60, 60)),
    st.dictionaries(st.sampled_from("ABC"), st.sampled_from([60.0, 100.0, 160.0])),
    st.builds(Limits, SHARES, SHARES, SHARES, st.sampled_from([{}, TECH])),
    st.lists(ORDERS, min_size=1, max_size=8),
    st.randoms(use_true_random=False),
    st.sampled_from([Market(), Market(lot_size=0.0), Market(lot_size=5.0)]),
)
def test_whichever_of_the_approved_fill_no_limit_is_exceeded_by_what_was_opened(
    held: dict[str, int],
    prices: dict[str, float],
    limits: Limits,
    orders: list[tuple[str, int, float | None]],
    random: Any,
    market: Market,
) -> None:
    judge = Judge(limits, 0.1, market, **{symbol: float(shares) for symbol, shares in held.items() if shares})
    judge.prices.update(prices)
    equity = judge.account.equity
    for symbol, quantity, limit in orders:
        position = judge.account.positions.get(symbol, 0.0)
        closing = sum(-o.quantity for o in judge.working[symbol] if o.quantity * position < 0)
        approval = judge.ask(symbol, market.lots(float(quantity)) or 5.0, limit=limit)
        free_to_close = max(abs(position) - abs(closing), 0.0) if position * quantity < 0 else 0.0
        assert abs(approval.quantity) >= min(abs(quantity) // 5 * 5, market.lots(free_to_close)) - 1e-6
        if not approval.opens:
            continue
        side = 1.0 if approval.quantity > 0 else -1.0
        working = [(name, order) for name in "ABC" for order in judge.working[name]]
        for _ in range(4):
            some = [one for one in working if random.random() < 0.7]
            random.shuffle(some)
            values = filled(judge, some)
            gross, net = sum(map(abs, values.values())), side * sum(values.values())
            shares = [(limits.gross, gross), (limits.net, net), (limits.symbol, side * values.get(symbol, 0.0))]
            groups = [group for group in limits.groups.values() if symbol in group.symbols]
            shares += [(group.most, sum(abs(values.get(name, 0.0)) for name in group.symbols)) for group in groups]
            for share, value in shares:
                assert share is None or value <= share * equity + 1e-6 * EQUITY


# in runs


def test_a_run_keeps_within_its_limits_and_reports_what_was_refused() -> None:
    text = """
class Made(Strategy):
    def on_window(self, view):
        if view.minute == 1:
            view.rebalance({"A": 0.6, "B": 0.6})
        if view.minute == 4:
            view.rebalance({"A": 0.2, "B": -0.3})
"""
    session_range = sessions_of(1, 10)
    loaded = {name: lay(session_range, name, [100.0] * 10) for name in "AB"}
    limits = Limits(gross=1.0, net=0.8, symbol=0.5)
    results = Floor(plan(text, "on_window", capital=10_000.0, margin=0.5, limits=limits), loaded, pickled=True).run()
    assert fills_of(results["A"]) == [(1, 50.0, 100.0), (4, -30.0, 100.0)]
    assert fills_of(results["B"]) == [(1, 30.0, 100.0), (4, -60.0, 100.0)]
    (refusal,) = results["A"].refusals
    assert refusal.quantity == 10
    assert refusal.reason.startswith("account.limits.symbol 0.5 of an equity of 10,000.00 has room for 5,000.00")
    assert [r.quantity for r in results["B"].refusals] == [30]
    assert "account.limits.net 0.8" in results["B"].refusals[0].reason


def test_a_strategy_on_one_symbol_is_limited_too_where_the_account_is_shared() -> None:
    text = """
class Made(Strategy):
    def on_bar(self, ctx):
        if ctx.bar == 1: ctx.buy(40, trailing_stop=1.0)
        if ctx.bar == 3: ctx.sell(90)
"""
    session_range = sessions_of(1, 6)
    loaded = {name: lay(session_range, name, [100.0] * 6) for name in "AB"}
    limits = Limits(groups={"both": Group(frozenset("AB"), 0.7)})
    results = Floor(plan(text, "on_bar", capital=10_000.0, margin=0.5, limits=limits), loaded).run()
    assert fills_of(results["A"]) == [(1, 40.0, 100.0), (3, -80.0, 100.0)]
    assert fills_of(results["B"]) == [(1, 30.0, 100.0), (3, -60.0, 100.0)]


def test_a_fill_opens_no_more_than_was_approved_where_what_it_was_to_close_has_gone() -> None:
    text = """
class Made(Strategy):
    def on_bar(self, ctx):
        if ctx.bar == 1: ctx.buy(10, stop_loss=99.0)
        if ctx.bar == 2: ctx.sell(13, stop=98.0)
"""
    session_range = sessions_of(1, 6)
    closes = [100.0, 100.0, 100.0, 97.0, 97.0, 97.0]
    loaded = {"A": lay(session_range, "A", closes)}
    limits = Limits(symbol=0.1)
    result = Floor(plan(text, "on_bar", capital=10_000.0, reserve=0.0, limits=limits), loaded).run()["A"]
    assert fills_of(result) == [(1, 10.0, 100.0), (3, -10.0, 99.0), (3, -3.0, 98.0)]
    assert [(r.quantity, r.reason) for r in result.refusals] == [
        (-10.0, "what was approved suffices for 3 of 13 at 98")
    ]


def test_what_limits_leave_is_the_same_in_any_order_of_symbols() -> None:
    judge = Judge(Limits(gross=1.0, net=0.5))
    requests = [OrderRequest(0, s, 1, Order(1, OrderTerms(q), q)) for s, q in [("C", 60.0), ("A", 30.0), ("B", -70.0)]]
    answers: dict[str, float] = {}

    def answer(request: OrderRequest, approval: Approval) -> None:
        answers[request.symbol] = approval.quantity
        judge.working[request.symbol].append(replace(request.order, quantity=approval.quantity, opens=approval.opens))

    judge.account.approve(requests, answer)
    assert answers == {"A": 30, "B": -50, "C": 20}
