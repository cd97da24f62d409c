"""Trailing stops: by hand, against a plain reference on random bars, and what always holds of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar, Bars
from barray.market.errors import ConfigError
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Market, Slippage
from barray.trading.orders.terms import OrderTerms
from tests.examples import at_most
from tests.market.builders import MINUTE_NS
from tests.trading.runs import Recorder, data_for, run, short_sessions
from tests.trading.windows import Floor, fills_of, lay, plan, sessions_of

quick = settings(deadline=None, max_examples=at_most(300))
Row = tuple[float, ...]


def broker(*rows: Row, market: Market | None = None) -> Broker:
    """Over bars of (open, high, low, close) and a volume of 1,000 unless there is a fifth number."""
    bars = [Bar(at * MINUTE_NS, *row[:4], row[4] if len(row) > 4 else 1_000.0) for at, row in enumerate(rows)]
    return Broker(Bars.of(bars), market or Market(), Account())


def filled(one: Broker, rows: int) -> list[tuple[int, float, float]]:
    for row in range(rows):
        one.match(row)
    return [(fill.row, fill.quantity, fill.price) for fill in one.fills]


# by hand


@pytest.mark.parametrize(
    ("bars", "exit", "stands"),
    [
        ([(100, 101, 97.5, 98)], None, 98),  # from the open 97; then 101 - 3
        ([(100, 101, 97, 98)], (0, 97), None),  # touched
        ([(100, 104, 99, 103), (103, 103, 101, 102)], (1, 101), None),
        ([(100, 104, 99, 103), (103, 103.5, 101.5, 102)], None, 101),  # a lower high moves nothing back
        ([(100, 104, 99, 103), (100, 103, 99, 102)], (1, 100), None),  # a gap below 101
        ([(100, 104, 99, 103), (108, 109, 104, 106)], (1, 105), None),  # the open, which is known first, moves it
        ([(100, 110, 99, 100), (107, 107, 107, 107)], (1, 107), None),  # its own bar's high counts from then on
    ],
)
def test_a_trailing_stop_that_sells_three_below_the_best(
    bars: list[Row], exit: tuple[int, float] | None, stands: float | None
) -> None:
    one = broker(*bars)
    order = one.place(OrderTerms(-10, trail=3))
    assert (order.kind, order.stop) == ("trailing_stop", None)
    assert filled(one, len(bars)) == ([] if exit is None else [(exit[0], -10, exit[1])])
    assert order.status == ("working" if exit is None else "filled")
    if stands is not None:
        assert order.stop == stands


def test_one_that_buys_follows_the_lows() -> None:
    one = broker((100, 102, 99, 101), (99, 100, 95, 96), (96, 98, 95.5, 97))
    one.place(OrderTerms(10, trail=3))
    assert filled(one, 3) == [(2, 10, 98)]


def test_it_slips_as_stops_do_and_what_volume_leaves_is_a_market_order() -> None:
    market = Market(slippage=Slippage(per_share=0.25), volume_share=0.01)
    one = broker((100, 100, 98, 98), (98, 98, 95, 96, 400), (99, 101, 98, 100, 600), market=market)
    order = one.place(OrderTerms(-10, trail=3))
    assert filled(one, 3) == [(1, -4, 96.75), (2, -6, 98.75)]
    assert order.stop == 97  # which higher prices don't move once it is reached


def test_levels_are_to_ten_decimals() -> None:
    assert 100.07 - 0.2 < 99.87
    one = broker((100.07, 100.07, 99.87, 100))
    one.place(OrderTerms(-1, trail=0.2))
    assert filled(one, 1) == [(0, -1, 99.87)]


@pytest.mark.parametrize(
    ("entry", "bars", "exit"),
    [
        ({}, [(100, 103, 98.5, 102), (102, 103, 101, 102)], (1, 101)),
        ({}, [(100, 103, 98, 102)], (0, 98)),  # both act in the bar of an entry at the open
        ({"limit": 97}, [(100, 103, 96, 98), (98.5, 99, 96.5, 98)], (1, 96.5)),  # 95, by the close 96, by the open 96.5
        ({"limit": 97}, [(100, 110, 96, 98), (98, 98.5, 96.5, 97)], None),  # that high was before the entry, maybe
        ({"limit": 97}, [(100, 103, 95, 98)], (0, 95)),
        ({"stop": 102}, [(100.5, 103, 100.5, 103), (103, 103.5, 101, 102)], (1, 101)),
        ({"stop": 102}, [(100, 103, 99, 103)], (0, 100)),  # the low may have been after the entry
        ({"take_profit": 104}, [(100, 103, 99, 103), (103, 105, 102, 104)], (1, 104)),
        ({"take_profit": 104}, [(100, 103, 99, 103), (103, 105, 101, 104)], (1, 101)),  # both: the stop
        ({"stop_loss": 99}, [(100, 100.5, 99, 100)], (0, 99)),  # nearer than 98
        ({"stop_loss": 99}, [(100, 103, 99.5, 103), (103, 103, 101, 102)], (1, 101)),  # which went beyond it
        ({"stop_loss": 95}, [(100, 101, 98, 100)], (0, 98)),
    ],
)
def test_an_entry_guarded_at_a_distance_of_two(
    entry: dict[str, Any], bars: list[Row], exit: tuple[int, float] | None
) -> None:
    one = broker(*bars)
    one.place(OrderTerms(10, trailing_stop=2, **entry))
    fills = filled(one, len(bars))
    assert fills[1:] == ([] if exit is None else [(exit[0], -10, exit[1])])
    assert len(one.working) == (0 if exit is not None else 2 if "take_profit" in entry else 1)


def test_a_later_fill_of_the_entry_adds_to_what_it_guards() -> None:
    market = Market(volume_share=0.01)
    one = broker((100, 103, 99, 103, 400), (103, 104, 101.5, 104, 600), (104, 104, 102, 103, 2_000), market=market)
    one.place(OrderTerms(10, trailing_stop=2, tag="mine"))
    assert filled(one, 2) == [(0, 4, 100), (1, 6, 103)]
    (guard,) = one.working
    assert (guard.kind, guard.quantity, guard.stop, guard.tag) == ("trailing_stop", -10, 102, "mine")
    one.match(2)
    assert (one.fills[-1].quantity, one.fills[-1].price) == (-10, 102)


@pytest.mark.parametrize("distance", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["trail", "trailing_stop"])
def test_a_distance_that_is_none_is_told(name: str, distance: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {distance}"):
        OrderTerms(1, **{name: distance})  # type: ignore[arg-type]


@pytest.mark.parametrize("other", ["limit", "stop"])
def test_trail_stands_beside_no_other_price(other: str) -> None:
    with pytest.raises(ConfigError, match="has a limit or stop too"):
        OrderTerms(1, trail=1.0, **{other: 100.0})  # type: ignore[arg-type]


# against a reference

QUARTERS = st.integers(1, 16).map(lambda n: n / 4)


@st.composite
def some_bars(draw: st.DrawFn, most: int = 12) -> list[Row]:
    """Bars at quarters, so that sums are exact."""
    bars, close = [], 100.0
    for _ in range(draw(st.integers(1, most))):
        open_ = close + draw(st.sampled_from([0, 0, 0, -2, 2, 5, -5])) / 4
        close = open_ + draw(st.integers(-8, 8)) / 4
        high, low = max(open_, close) + draw(st.integers(0, 4)) / 4, min(open_, close) - draw(st.integers(0, 4)) / 4
        bars.append((open_, high, low, close))
    return bars


def entered(bars: list[Row], limit: float | None, stop: float | None) -> tuple[int, float, bool] | None:
    """Row, price and whether at the open, of a buy."""
    for row, (open_, high, low, _) in enumerate(bars):
        if limit is None and stop is None:
            return row, open_, True
        if limit is not None and low <= limit:
            return row, min(open_, limit), open_ <= limit
        if stop is not None and high >= stop:
            return row, max(open_, stop), open_ >= stop
    return None


def left(bars: list[Row], entry: tuple[int, float, bool], trail: float, loss: float, profit: float) -> Any:
    """Row and price at which what was bought is sold: the highest price that it surely lived to see says where."""
    row, best, at_open = entry
    for now in range(row, len(bars)):
        open_, high, low, close = bars[now]
        begins = now == row
        best = best if begins else max(best, open_)
        level = max(best - trail, loss)
        if not begins and (open_ <= level or open_ >= profit):
            return now, open_
        if low <= level:
            return now, level
        if high >= profit and (not begins or at_open):
            return now, profit
        best = max(best, close if begins and not at_open else high)
    return None


def mirrored(bars: list[Row]) -> list[Row]:
    return [(200 - open_, 200 - low, 200 - high, 200 - close) for open_, high, low, close in bars]


@quick
@given(
    some_bars(),
    st.sampled_from(["market", "limit", "stop"]),
    st.integers(-8, 8),
    QUARTERS,
    st.none() | QUARTERS,
    st.none() | QUARTERS,
    st.sampled_from([1, -1]),
)
def test_entries_and_their_trailing_stops_fill_as_a_plain_reference_says(
    bars: list[Row], kind: str, at: int, trail: float, below: float | None, above: float | None, side: int
) -> None:
    price = 100 + at / 4
    loss = None if below is None else price - below
    profit = None if above is None else price + above
    limit, stop = (price if kind == name else None for name in ("limit", "stop"))
    entry = entered(bars, limit, stop)
    wanted: list[tuple[int, float, float]] = []
    low, high = -1e9 if loss is None else loss, 1e9 if profit is None else profit
    if entry is not None and low < entry[1] < high:
        wanted = [(entry[0], 5, entry[1])]
        exit = left(bars, entry, trail, low, high)
        wanted += [] if exit is None else [(exit[0], -5, exit[1])]
    turned = bars if side > 0 else mirrored(bars)
    one = broker(*turned)
    prices = {"limit": limit, "stop": stop, "stop_loss": loss, "take_profit": profit}
    given_ = {name: p if p is None or side > 0 else 200 - p for name, p in prices.items()}
    one.place(OrderTerms(5.0 * side, trailing_stop=trail, **given_))  # type: ignore[arg-type]
    fills = [(row, q * side, p if side > 0 else 200 - p) for row, q, p in filled(one, len(bars))]
    assert fills == wanted
    assert len(one.working) == (
        1 if not wanted and not one.refusals else 0 if len(wanted) != 1 else 1 + (above is not None)
    )


@quick
@given(some_bars(), QUARTERS, st.sampled_from([1, -1]))
def test_a_trailing_stop_never_moves_back_nor_fills_worse_than_a_stop_at_its_first_level(
    bars: list[Row], trail: float, side: int
) -> None:
    turned = bars if side > 0 else mirrored(bars)
    one, fixed = broker(*turned), broker(*turned)
    order = one.place(OrderTerms(-5.0 * side, trail=trail))
    other = fixed.place(OrderTerms(-5.0 * side, stop=turned[0][0] - side * trail))
    levels = []
    for row in range(len(bars)):
        one.match(row)
        fixed.match(row)
        levels.append(order.stop)
    assert all(side * (after - before) >= 0 for before, after in pairwise(levels))  # type: ignore[operator]
    assert side * levels[0] >= side * other.stop  # type: ignore[operator]
    exit = left(bars, (0, bars[0][0], True), trail, -1e9, 1e9)
    assert [(f.row, f.price if side > 0 else 200 - f.price) for f in one.fills] == ([] if exit is None else [exit])
    if fixed.fills:
        assert one.fills[0].row <= fixed.fills[0].row
        assert side * one.fills[0].price >= side * fixed.fills[0].price


# in every form

CALLS = {
    "entry": "buy(10, trailing_stop=0.4, take_profit=price + 1.5)",
    "short": "sell(10, trailing_stop=0.4, stop_loss=price + 0.3)",
    "limit": "buy(10, limit=price - 0.2, trailing_stop=0.3)",
    "order": "buy(10, trail=0.3, trailing_stop=0.3)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("seed", range(3))
def test_every_form_fills_them_alike(call: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 40
    close = 100 + np.cumsum(random.integers(-20, 21, n)) / 100
    open_ = np.concatenate([[100.0], close[:-1]]) + random.integers(-10, 11, n) / 100
    high = np.maximum(open_, close) + random.integers(0, 15, n) / 100
    low = np.minimum(open_, close) - random.integers(0, 15, n) / 100
    session_range = sessions_of(2, n // 2)
    loaded = {"A": lay(session_range, "A", close.tolist(), open=open_.tolist(), high=high.tolist(), low=low.tolist())}
    body = "if not ctx.position and not ctx.orders:\n            price = ctx.close[-1]\n            ctx." + call
    on_bar = f"class Made(Strategy):\n    def on_bar(self, ctx):\n        {body}\n"
    side = "view.order('A', -" if call.startswith("sell") else "view.order('A', "
    body = "if not view.position[0] and not view.orders('A'):\n            price = view.close[0]\n            "
    on_window = f"class Made(Strategy):\n    def on_window(self, view):\n        {body}{side}{call.split('(', 1)[1]}\n"
    on_window = on_window.replace("        if", "        if view.minute and", 1)
    plans = [plan(on_bar, "on_bar", shared=shared, capital=1e6, reserve=0.05) for shared in (False, True)]
    plans += [plan(on_window, "on_window", shared=shared, capital=1e6, reserve=0.05) for shared in (False, True)]
    fills = [fills_of(Floor(one, loaded, pickled=True).run()["A"]) for one in plans]
    alone = run(plans[0].strategy(), loaded["A"].prepare(plans[0].strategy()))
    expected = list(
        zip(alone.fills.row.tolist(), alone.fills.quantity.tolist(), alone.fills.price.tolist(), strict=True)
    )
    assert alone.error is None
    assert len(expected) > 3
    assert fills == [expected] * 4


def test_a_view_shows_where_it_stands() -> None:
    text = """
class Made(Strategy):
    def on_window(self, view):
        if view.minute == 1: view.order("A", 5, trailing_stop=2.0)
        if view.minute >= 2:
            (order,) = view.orders("A")
            assert (order.stop, order.trail, order.guards) == (98.0 + view.minute, 2.0, True)
"""
    session_range = sessions_of(1, 10)
    closes = [101.0 + k for k in range(10)]
    floor = Floor(plan(text, "on_window", capital=10_000.0), {"A": lay(session_range, "A", closes)})
    floor.run()
    assert floor.portfolio.error is None


def test_a_strategy_on_one_symbol_sees_where_it_stands() -> None:
    seen = []

    def on_bar(ctx: Any) -> None:
        if ctx.bar == 1:
            ctx.buy(5, trailing_stop=2.0)
        seen.extend((order.kind, order.stop) for order in ctx.orders if order.parent is not None)

    columns = {name: np.array([100.0, 100, 103, 102]) for name in ("open", "high", "low", "close", "volume")}
    sessions, base = short_sessions(4, 1, columns)
    assert run(Recorder(on_bar), data_for(Recorder(on_bar), base, sessions)).error is None
    assert seen == [("trailing_stop", 98.0), ("trailing_stop", 101.0), ("trailing_stop", 101.0)]
