"""Every rule of barray.trading.orders.broker, one by one; expected fills are worked out by hand from the bars."""

from __future__ import annotations

import math
from typing import Any

import pytest

from barray.market.bars import Bar, Bars
from barray.market.errors import ConfigError
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.order import record_of
from barray.trading.orders.reasons import Why
from barray.trading.orders.terms import OrderTerms
from tests.market.builders import MINUTE_NS

CALM = (100, 101, 99, 100)


def broker(*rows: tuple[float, ...], market: Market | None = None, **account: Any) -> Broker:
    """Over bars of (open, high, low, close) and a volume of 1,000 unless there is a fifth number."""
    bars = [Bar(at * MINUTE_NS, *row[:4], row[4] if len(row) > 4 else 1_000.0) for at, row in enumerate(rows)]
    return Broker(Bars.of(bars), market or Market(), Account(**account))


def run(one: Broker, first: int = 0) -> Broker:
    for row in range(first, len(one._bars)):
        one.match(row)
    return one


def filled(one: Broker) -> list[tuple[int, float, float]]:
    return [(fill.row, fill.quantity, fill.price) for fill in one.fills]


@pytest.mark.parametrize(
    ("quantity", "order", "bar", "price"),
    [
        (10, {}, (100, 105, 95, 102), 100),
        (-10, {}, (100, 105, 95, 102), 100),
        (10, {"limit": 98}, (100, 105, 97, 102), 98),
        (10, {"limit": 98}, (100, 105, 98, 102), 98),  # touched
        (10, {"limit": 98}, (100, 105, 98.5, 102), None),
        (10, {"limit": 98}, (96, 105, 95, 102), 96),  # better at the open
        (-10, {"limit": 103}, (100, 105, 97, 102), 103),
        (-10, {"limit": 103}, (104, 105, 97, 102), 104),
        (-10, {"limit": 103}, (100, 102, 97, 102), None),
        (10, {"stop": 103}, (100, 105, 97, 102), 103),
        (10, {"stop": 103}, (104, 105, 97, 102), 104),  # a gap
        (10, {"stop": 103}, (100, 102, 97, 102), None),
        (-10, {"stop": 98}, (100, 105, 97, 102), 98),
        (-10, {"stop": 98}, (95, 105, 94, 102), 95),
        (-10, {"stop": 98}, (100, 105, 99, 102), None),
        (10, {"stop": 103, "limit": 104}, (100, 105, 97, 102), 103),
        (10, {"stop": 103, "limit": 104}, (104, 105, 97, 102), 104),  # reached at the open, which satisfies the limit
        (10, {"stop": 103, "limit": 104}, (106, 107, 103.5, 105), 104),  # gap beyond the limit, which comes back
        (10, {"stop": 103, "limit": 104}, (106, 107, 105, 105), None),
        (10, {"stop": 103, "limit": 101}, (100, 105, 97, 102), None),  # back to 101 afterwards? nobody knows
        (-10, {"stop": 98, "limit": 97}, (100, 105, 96, 102), 98),
        (-10, {"stop": 98, "limit": 97}, (95, 96, 94, 95), None),
    ],
)
def test_one_order_meets_one_bar(
    quantity: float, order: dict[str, float], bar: tuple[float, ...], price: float | None
) -> None:
    one = broker(bar)
    placed = one.place(OrderTerms(quantity, **order))  # type: ignore[arg-type]
    run(one)
    assert filled(one) == ([] if price is None else [(0, quantity, price)])
    assert placed.status == ("working" if price is None else "filled")
    assert one.cash == 100_000 - (0 if price is None else quantity * price)
    assert one.position == (0 if price is None else quantity)
    assert one.working == ([placed] if price is None else [])


def test_a_stop_limit_that_was_reached_is_a_limit_order_from_the_next_bar_on() -> None:
    one = broker((100, 105, 97, 102), (102, 103, 100, 100))
    one.place(OrderTerms(10, stop=103, limit=101))
    assert filled(run(one)) == [(1, 10, 101)]


def test_in_one_bar_the_open_comes_first_then_stops_then_limits_and_older_orders_before_newer() -> None:
    one = broker((100, 110, 90, 100))
    limit, stop = one.place(OrderTerms(1, limit=95)), one.place(OrderTerms(2, stop=105))
    newer, market = one.place(OrderTerms(3, stop=106)), one.place(OrderTerms(4))
    run(one)
    assert [fill.order for fill in one.fills] == [market.number, stop.number, newer.number, limit.number]


def test_orders_are_kinds_by_their_prices() -> None:
    one = broker(CALM)
    placed = [
        one.place(OrderTerms(1)),
        one.place(OrderTerms(1, limit=1)),
        one.place(OrderTerms(1, stop=999)),
        one.place(OrderTerms(1, stop=999, limit=999)),
    ]
    assert [order.kind for order in placed] == ["market", "limit", "stop", "stop_limit"]


# brackets


@pytest.mark.parametrize(
    ("bar", "exit"),
    [
        ((100, 104, 96, 100), None),
        ((100, 104, 95, 100), 95),
        ((100, 110, 96, 100), 110),
        ((100, 111, 94, 100), 95),  # both: the stop
    ],
)
def test_after_an_entry_at_the_open_both_protections_act_in_the_same_bar(
    bar: tuple[float, ...], exit: float | None
) -> None:
    one = broker(bar)
    one.place(OrderTerms(10, stop_loss=95, take_profit=110))
    run(one)
    assert filled(one) == [(0, 10, 100), *([] if exit is None else [(0, -10, exit)])]
    assert len(one.working) == (2 if exit is None else 0)


@pytest.mark.parametrize(
    ("bar", "exit"),
    [((100, 104, 96, 100), None), ((100, 105, 96, 100), 105), ((100, 105, 90, 100), 105), ((100, 101, 90, 99), 90)],
)
def test_a_short_entry_is_guarded_the_other_way_round(bar: tuple[float, ...], exit: float | None) -> None:
    one = broker(bar)
    one.place(OrderTerms(-10, stop_loss=105, take_profit=90))
    assert filled(run(one)) == [(0, -10, 100), *([] if exit is None else [(0, 10, exit)])]


def test_after_an_entry_within_the_bar_the_stop_alone_acts() -> None:
    one = broker((102, 111, 99, 110), (110, 112, 109, 110))
    one.place(OrderTerms(10, limit=100, stop_loss=95, take_profit=110))
    assert filled(run(one)) == [(0, 10, 100), (1, -10, 110)]

    one = broker((102, 111, 94, 110))
    one.place(OrderTerms(10, limit=100, stop_loss=95, take_profit=110))
    assert filled(run(one)) == [(0, 10, 100), (0, -10, 95)]


def test_a_stop_entry_whose_bar_may_have_come_back_to_its_stop_loss_is_stopped_out() -> None:
    one = broker((100, 106, 99, 106))
    one.place(OrderTerms(10, stop=105, stop_loss=103))
    assert filled(run(one)) == [(0, 10, 105), (0, -10, 103)]


@pytest.mark.parametrize(
    ("quantity", "guards", "why"),
    [
        (10, {"stop_loss": 101}, "stop_loss 101 is not below the entry at 100"),
        (10, {"stop_loss": 100}, "stop_loss 100 is not below the entry at 100"),
        (10, {"take_profit": 99}, "take_profit 99 is not above the entry at 100"),
        (10, {"stop_loss": 90, "take_profit": 100}, "take_profit 100 is not above the entry at 100"),
        (-10, {"stop_loss": 99}, "stop_loss 99 is not above the entry at 100"),
        (-10, {"take_profit": 101}, "take_profit 101 is not below the entry at 100"),
        (10, {"limit": 102, "stop_loss": 101}, "stop_loss 101 is not below the entry at 100"),  # better than asked for
    ],
)
def test_an_entry_that_its_protection_would_end_at_once_is_refused(
    quantity: float, guards: dict[str, Any], why: str
) -> None:
    one = broker((100, 106, 94, 106), CALM)
    order = one.place(OrderTerms(quantity, **guards))
    run(one)
    assert (one.fills, one.working, order.status, order.reason) == ([], [], "rejected", why)
    assert [(refusal.bar_ns, refusal.quantity, refusal.reason) for refusal in one.refusals] == [(0, quantity, why)]


def test_a_reversal_that_cannot_be_guarded_closes_all_the_same() -> None:
    one = broker(CALM, CALM)
    one.place(OrderTerms(10))
    one.match(0)
    order = one.place(OrderTerms(-15, stop_loss=99))
    run(one, 1)
    assert filled(one) == [(0, 10, 100), (1, -10, 100)]
    assert (order.status, one.working) == ("cancelled", [])
    assert [refusal.quantity for refusal in one.refusals] == [-5]


def test_what_a_gap_leaves_of_an_entry_beyond_its_stop_is_refused_and_what_was_bought_is_sold() -> None:
    one = broker((100, 101, 99, 100, 6), (90, 92, 89, 91), market=Market(volume_share=1.0))
    one.place(OrderTerms(10, stop_loss=95))
    assert filled(run(one)) == [(0, 6, 100), (1, -6, 90)]
    assert [(refusal.quantity, refusal.reason) for refusal in one.refusals] == [
        (4, "stop_loss 95 is not below the entry at 90")
    ]


def test_protection_outlives_its_bar_and_gaps() -> None:
    one = broker(CALM, CALM, (90, 91, 89, 90))
    one.place(OrderTerms(10, stop_loss=95, take_profit=110))
    assert filled(run(one)) == [(0, 10, 100), (2, -10, 90)]
    assert one.working == []

    one = broker(CALM, (115, 116, 114, 115))
    one.place(OrderTerms(10, stop_loss=95, take_profit=110))
    assert filled(run(one)) == [(0, 10, 100), (1, -10, 115)]
    assert one.working == []


def test_protection_goes_with_its_position() -> None:
    one = broker(CALM, CALM, (96, 97, 96, 96), (96, 97, 90, 92))
    one.place(OrderTerms(10, stop_loss=95))
    one.match(0)
    one.place(OrderTerms(-10))
    one.match(1)
    assert one.working == []
    one.place(OrderTerms(10))  # bought anew, without protection
    run(one, 2)
    assert filled(one) == [(0, 10, 100), (1, -10, 100), (2, 10, 96)]


def test_protection_fills_no_more_than_is_held() -> None:
    one = broker(CALM, CALM, (96, 97, 90, 92))
    one.place(OrderTerms(10, stop_loss=95))
    one.match(0)
    one.place(OrderTerms(-4))
    run(one, 1)
    assert filled(one) == [(0, 10, 100), (1, -4, 100), (2, -6, 95)]
    assert one.working == []


def test_an_order_that_reverses_protects_what_it_opened() -> None:
    one = broker(CALM, CALM, (100, 107, 99, 100))
    one.place(OrderTerms(10, stop_loss=95))
    one.match(0)
    one.place(OrderTerms(-15, stop_loss=106))
    one.match(1)
    assert [(order.quantity, order.stop) for order in one.working] == [(5, 106)]
    run(one, 2)
    assert filled(one) == [(0, 10, 100), (1, -15, 100), (2, 5, 106)]


def test_an_order_that_only_closes_protects_nothing() -> None:
    one = broker(CALM, CALM)
    one.place(OrderTerms(-10))
    one.match(0)
    one.place(OrderTerms(4, stop_loss=90))
    run(one, 1)
    assert one.position == -6
    assert one.working == []


def test_two_brackets_guard_each_its_own_part() -> None:
    one = broker(CALM, CALM, (100, 101, 94, 96), (96, 97, 89, 90))
    one.place(OrderTerms(10, stop_loss=95))
    one.match(0)
    one.place(OrderTerms(5, stop_loss=90))
    run(one, 1)
    assert filled(one) == [(0, 10, 100), (1, 5, 100), (2, -10, 95), (3, -5, 90)]


# volume


TENTH = Market(volume_share=0.1)


@pytest.mark.parametrize("ends", ["cancelled", "working", "expired"])
def test_an_order_that_finds_no_volume_is_refused_once_and_says_why(ends: str) -> None:
    one = broker(*[(100, 101, 99, 100, 0)] * 3, market=TENTH)
    one.place(OrderTerms(10, tif="day" if ends == "expired" else "gtc"))
    one.match(0)
    run(one, 1)
    if ends == "cancelled":
        one.cancel_all()
    one.close_session(2)
    (refusal,) = one.all_refusals()
    assert (refusal.bar_ns, refusal.quantity) == (0, 10)
    assert refusal.reason == "costs.volume_share 0.1 of the bars' volume left it less than a lot"


def test_an_order_that_finds_volume_late_is_no_refusal() -> None:
    one = broker((100, 101, 99, 100, 0), (100, 101, 99, 100, 50), market=TENTH)
    one.place(OrderTerms(10))
    run(one).cancel_all()
    assert filled(one) == [(1, 5, 100)]
    assert one.all_refusals() == ()


def test_an_order_takes_its_share_of_every_bar_until_it_is_filled() -> None:
    one = broker((100, 101, 99, 100, 100), (101, 102, 99, 100, 59), (102, 103, 99, 100, 1_000), market=TENTH)
    order = one.place(OrderTerms(20))
    one.match(0)
    assert (order.status, order.filled, order.quantity) == ("working", 10, 10)
    run(one, 1)
    assert filled(one) == [(0, 10, 100), (1, 5, 101), (2, 5, 102)]
    assert (order.status, order.filled, order.quantity) == ("filled", 20, 0)


def test_orders_of_one_bar_share_its_volume() -> None:
    one = broker((100, 101, 95, 100, 100), (102, 103, 94, 100, 100), market=TENTH)
    one.place(OrderTerms(6, limit=96))
    one.place(OrderTerms(7))
    assert filled(run(one)) == [(0, 7, 100), (0, 3, 96), (1, 3, 96)]


def test_a_bar_without_volume_fills_nothing_where_volume_limits_and_everything_where_not() -> None:
    bars = (100, 100, 100, 100, 0), (101, 101, 101, 101, 50)
    one = broker(*bars, market=TENTH)
    one.place(OrderTerms(5))
    assert filled(run(one)) == [(1, 5, 101)]
    one = broker(*bars)
    one.place(OrderTerms(5))
    assert filled(run(one)) == [(0, 5, 100)]


def test_what_volume_leaves_of_a_stop_is_a_market_order() -> None:
    one = broker((100, 106, 99, 104, 50), (101, 102, 99, 100, 100), market=TENTH)
    one.place(OrderTerms(8, stop=105))
    assert filled(run(one)) == [(0, 5, 105), (1, 3, 101)]


def test_a_stop_that_found_no_volume_at_all_was_reached_all_the_same() -> None:
    one = broker((100, 106, 99, 104, 50), (101, 102, 99, 100, 100), market=TENTH)
    one.place(OrderTerms(5))
    one.place(OrderTerms(3, stop=105))
    assert filled(run(one)) == [(0, 5, 100), (1, 3, 101)]


def test_protection_grows_with_the_fills_of_its_entry() -> None:
    one = broker(*[(100, 101, 99, 100, 100)] * 3, (100, 101, 90, 94, 1_000), market=TENTH)
    one.place(OrderTerms(25, stop_loss=95, take_profit=110))
    for row, held in enumerate((10, 20, 25)):
        one.match(row)
        assert one.position == held
        assert [order.quantity for order in one.working if order.parent] == [-held, -held]
    run(one, 3)
    assert filled(one)[3:] == [(3, -25, 95)]
    assert one.working == []


def test_once_the_stop_is_reached_the_rest_of_the_entry_is_cancelled() -> None:
    one = broker((100, 101, 99, 100, 100), (97, 98, 94, 95, 300), (95, 96, 94, 95, 1_000), market=TENTH)
    entry = one.place(OrderTerms(50, stop_loss=95))
    run(one)
    # bar 1: the open comes first and takes all 30, then the stop is reached and finds no volume: market in bar 2
    assert filled(one) == [(0, 10, 100), (1, 30, 97), (2, -40, 95)]
    assert (entry.status, entry.quantity) == ("cancelled", 10)
    assert one.working == []


def test_a_target_filled_in_part_shrinks_the_stop() -> None:
    one = broker((100, 101, 99, 100, 100), (108, 111, 107, 108, 40), (95, 96, 90, 95, 1_000), market=TENTH)
    one.place(OrderTerms(10, stop_loss=96, take_profit=110))
    assert filled(run(one)) == [(0, 10, 100), (1, -4, 110), (2, -6, 95)]
    assert one.working == []


def test_a_target_of_a_fill_within_the_bar_waits_though_that_of_an_earlier_fill_does_not() -> None:
    one = broker((99, 101, 98, 100, 50), (101, 106, 99, 105, 1_000), (106, 107, 105, 106, 1_000), market=TENTH)
    one.place(OrderTerms(8, limit=100, take_profit=105))
    # bar 1: limit entry (older) adds 3, then the target of the first 5 fills; that of the 3 waits for bar 2
    assert filled(run(one)) == [(0, 5, 99), (1, 3, 100), (1, -5, 105), (2, -3, 106)]


# time in force, cancelling


def test_day_orders_end_with_the_session_and_others_stay() -> None:
    one = broker(CALM, (100, 101, 94, 95))
    day, gtc = one.place(OrderTerms(10, limit=95, tif="day")), one.place(OrderTerms(10, limit=94))
    one.match(0)
    one.close_session(0)
    assert (day.status, day.reason) == ("expired", "the session closed")
    run(one, 1)
    assert filled(one) == [(1, 10, 94)]
    assert gtc.status == "filled"


def test_a_cancelled_order_never_fills_and_what_it_filled_stays() -> None:
    one = broker((100, 101, 99, 100, 100), CALM, market=TENTH)
    order = one.place(OrderTerms(20))
    one.match(0)
    one.cancel(order, Why("mine", "changed my mind"), 90)
    one.cancel(order)  # nothing more happens
    run(one, 1)
    assert filled(one) == [(0, 10, 100)]
    assert (order.status, order.why.code, order.reason, order.quantity) == ("cancelled", "mine", "changed my mind", 10)
    assert (order.placed_ns, order.ended_ns, tuple(one.ended)) == (0, 90, record_of(order))


def test_flat_at_close_sells_at_the_close_with_slippage_whatever_the_volume() -> None:
    market = Market(slippage=Slippage(per_share=0.5), commission=Commission(per_trade=1), volume_share=0.1)
    one = broker((100, 101, 99, 100.2), market=market, flat_at_close=True)
    one.place(OrderTerms(100, stop_loss=90))
    one.match(0)
    one.place(OrderTerms(5))
    one.close_session(0)
    assert filled(one) == [(0, 100, 100.5), (0, -100, 99.7)]
    assert [fill.at_close for fill in one.fills] == [False, True]
    assert (one.position, one.working) == (0, [])
    assert one.cash == pytest.approx(100_000 - 80 - 2)


# costs


@pytest.mark.parametrize(
    ("commission", "cost"),
    [
        (Commission(), 0),
        (Commission(per_share=0.01), 1),
        (Commission(per_trade=2), 2),
        (Commission(bps=5), 5),  # 0.05 % of 10,000
        (Commission(per_share=0.01, per_trade=2, bps=5), 8),
        (Commission(per_share=0.001, minimum=1), 1),
        (Commission(per_share=0.05, minimum=1), 5),
    ],
)
def test_commission(commission: Commission, cost: float) -> None:
    one = broker(CALM, CALM, market=Market(commission))
    one.place(OrderTerms(100))
    one.match(0)
    one.place(OrderTerms(-100))
    run(one, 1)
    assert [fill.commission for fill in one.fills] == pytest.approx([cost, cost])
    assert one.cash == pytest.approx(100_000 - 2 * cost)


@pytest.mark.parametrize(
    ("slippage", "tick", "bought", "sold"),
    [
        (Slippage(per_share=0.02), 0, 100.02, 99.98),
        (Slippage(bps=10), 0, 100.1, 99.9),
        (Slippage(impact=0.1), 0, 100.1, 99.9),  # a tenth of the volume: 0.1 × 0.01 of the price
        (Slippage(per_share=0.02, bps=10), 0, 100.12, 99.88),
        (Slippage(per_share=5), 0, 101, 99),  # the bar's range ends there
        (Slippage(per_share=0.02), 0.05, 100.05, 99.95),
        (Slippage(per_share=0.05), 0.05, 100.05, 99.95),
        (Slippage(), 0.3, 100, 100),  # nothing slipped
    ],
)
def test_slippage_is_against_the_order_to_the_tick_within_the_bar(
    slippage: Slippage, tick: float, bought: float, sold: float
) -> None:
    one = broker(CALM, CALM, market=Market(slippage=slippage, tick_size=tick))
    one.place(OrderTerms(100))
    one.match(0)
    one.place(OrderTerms(-100))
    run(one, 1)
    assert [fill.price for fill in one.fills] == pytest.approx([bought, sold], rel=1e-12)
    assert [fill.slippage for fill in one.fills] == pytest.approx([100 * (bought - 100), 100 * (100 - sold)])


def test_stops_slip_and_limits_do_not() -> None:
    market = Market(slippage=Slippage(per_share=0.5))
    one = broker((100, 105, 95, 100), (100, 105, 95, 100), market=market)
    one.place(OrderTerms(10, stop=103))
    one.place(OrderTerms(10, limit=97))
    one.place(OrderTerms(-20, stop=98, limit=97))
    assert [fill[2] for fill in filled(run(one))] == [103.5, 98, 97]


def test_ticks_leave_no_rounding_behind() -> None:
    one = broker((10, 11, 9, 10), market=Market(slippage=Slippage(per_share=0.125), tick_size=0.01))
    one.place(OrderTerms(10))
    assert [fill[2] for fill in filled(run(one))] == [10.13]


@pytest.mark.parametrize(
    ("lot", "asked", "whole"),
    [
        (1, 10.7, 10),
        (1, -10.7, -10),
        (100, 250, 200),
        (100, 99, 0),
        (0, 10.7, 10.7),
        (0.1, 0.3, 0.3),
        (1e-8, 7.12345678, 7.12345678),
    ],
)
def test_quantities_are_whole_lots_towards_zero(lot: float, asked: float, whole: float) -> None:
    one = broker(CALM, market=Market(lot_size=lot))
    order = one.place(OrderTerms(asked))
    assert order.quantity == pytest.approx(whole)
    run(one)
    assert order.status == ("filled" if whole else "rejected")


@pytest.mark.parametrize(
    ("lot", "asked", "why"),
    [
        (1, 0.4, "0.4 is less than a lot of 1"),
        (1, 0, "0 is less than a lot of 1"),
        (100, -99, "-99 is less than a lot of 100"),
        (0, 1e-10, "1e-10 is less than a lot of 1e-09"),
    ],
)
@pytest.mark.parametrize("prices", [{}, {"limit": 50.0}, {"stop": 150.0}])
def test_less_than_a_lot_is_refused_by_the_next_bar(lot: float, asked: float, why: str, prices: Any) -> None:
    one = broker(CALM, CALM, market=Market(lot_size=lot))
    one.match(0)
    order = one.place(OrderTerms(asked, **prices))
    run(one, 1)
    assert (one.fills, one.working, order.status, order.reason) == ([], [], "rejected", why)
    assert [(refusal.bar_ns, refusal.quantity, refusal.reason) for refusal in one.refusals] == [(MINUTE_NS, asked, why)]


def test_fractional_lots_leave_no_dust() -> None:
    one = broker(*[(100, 101, 99, 100, 1)] * 4, market=Market(lot_size=0.1, volume_share=0.1))
    bought = one.place(OrderTerms(0.3))
    run(one)
    assert [fill[1] for fill in filled(one)] == pytest.approx([0.1, 0.1, 0.1])
    assert (bought.quantity, bought.status) == (0, "filled")
    one = broker(CALM, CALM, market=Market(lot_size=0.1))
    one.place(OrderTerms(0.1))
    one.place(OrderTerms(0.2))
    one.match(0)
    one.place(OrderTerms(-0.3))
    run(one, 1)
    assert one.position == 0


# money


def test_an_order_is_cut_to_what_money_suffices_for_and_the_rest_is_refused() -> None:
    one = broker(CALM, CALM, capital=1_050)
    order = one.place(OrderTerms(25))
    run(one)
    assert filled(one) == [(0, 10, 100)]
    assert one.cash == 50
    assert (order.status, order.quantity) == ("cancelled", 15)
    assert [(refusal.bar_ns, refusal.quantity) for refusal in one.refusals] == [(0, 15)]
    assert order.reason == one.refusals[0].reason == "money suffices for 10 of 25 at 100"


def test_an_order_that_money_suffices_for_nothing_of_is_rejected() -> None:
    one = broker(CALM, capital=99)
    order = one.place(OrderTerms(5))
    run(one)
    assert (filled(one), order.status, one.working) == ([], "rejected", [])


def test_a_cut_pays_the_commission_of_what_it_buys_and_its_slippage() -> None:
    market = Market(Commission(per_share=1), Slippage(per_share=0.5))
    one = broker(CALM, market=market, capital=1_015)
    one.place(OrderTerms(1_000_000))
    assert filled(run(one)) == [(0, 10, 100.5)]
    assert one.cash == 0  # 10 × 100.50 and 10 of commission


def test_without_lots_the_cut_leaves_hardly_a_cent() -> None:
    one = broker(CALM, market=Market(lot_size=0), capital=1_050)
    one.place(OrderTerms(25))
    run(one)
    assert one.position == pytest.approx(10.5)
    assert abs(one.cash) < 1e-6


def test_all_money_buys_exactly_so_much() -> None:
    one = broker(CALM, capital=1_000)
    one.place(OrderTerms(10))
    assert filled(run(one)) == [(0, 10, 100)]
    assert one.cash == 0


def test_margin_lets_exposure_exceed_equity() -> None:
    one = broker(CALM, capital=1_000, margin=0.5)
    one.place(OrderTerms(25))
    assert filled(run(one)) == [(0, 20, 100)]
    assert one.cash == -1_000


def test_short_exposure_is_bound_by_equity_as_well() -> None:
    one = broker(CALM, capital=1_000)
    one.place(OrderTerms(-25))
    assert filled(run(one)) == [(0, -10, 100)]
    assert one.cash == 2_000


def test_without_short_selling_a_sale_ends_at_nothing_held() -> None:
    one = broker(CALM, CALM, short=False)
    one.place(OrderTerms(10))
    one.match(0)
    order = one.place(OrderTerms(-15))
    run(one, 1)
    assert filled(one) == [(0, 10, 100), (1, -10, 100)]
    assert (one.position, order.reason) == (0, "short selling is off")
    assert [refusal.quantity for refusal in one.refusals] == [-5]

    one = broker(CALM, short=False)
    order = one.place(OrderTerms(-15))
    run(one)
    assert (one.fills, order.status) == ([], "rejected")


def test_a_reversal_closes_at_least_and_opens_what_money_bears() -> None:
    one = broker(CALM, (50, 51, 49, 50), capital=1_000)
    one.place(OrderTerms(10))
    one.match(0)
    one.place(OrderTerms(-40))  # equity is 500 at 50: closes 10, opens 10
    run(one, 1)
    assert filled(one) == [(0, 10, 100), (1, -20, 50)]


def test_closing_is_never_refused() -> None:
    one = broker(CALM, (300, 301, 299, 300), capital=1_000)
    one.place(OrderTerms(-10))
    one.match(0)
    assert one.account_equity(300.0) == -1_000
    one.place(OrderTerms(30))
    run(one, 1)
    assert filled(one) == [(0, -10, 100), (1, 10, 300)]


def test_a_budget_is_spent_once() -> None:
    one = broker((10, 11, 9, 10, 50), (15, 16, 14, 15, 1_000), market=Market(volume_share=1.0), capital=100_000)
    one.place(OrderTerms(100)).budget = 1_000
    assert filled(run(one)) == [(0, 50, 10), (1, 33, 15)]  # 500, then 495 of the other 500


def test_an_order_placed_at_the_last_bar_stays_unfilled() -> None:
    one = run(broker(CALM))
    order = one.place(OrderTerms(10))
    assert (one.fills, order.status) == ([], "working")


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"stop": -1},
        {"stop_loss": math.nan},
        {"take_profit": math.inf},
        {"tif": "ioc"},
        {"quantity": math.nan},
        {"limit": 100, "stop_loss": 100},
        {"stop": 100, "stop_loss": 101},
        {"stop": 100, "limit": 103, "take_profit": 102},
        {"quantity": -10, "limit": 100, "stop_loss": 99},
        {"quantity": -10, "stop": 100, "take_profit": 101},
    ],
)
def test_orders_that_make_no_sense_are_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        OrderTerms(**{"quantity": 10, **wrong})
