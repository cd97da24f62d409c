"""What a result says of orders, events and symbols that a strategy added."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.trading.engine.event_run import Outcome
from barray.trading.engine.symbol_run import run_range
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.limits import Group, Limits
from barray.trading.orders.order_columns import STATUSES, Orders
from barray.trading.orders.reasons import CODES
from barray.trading.results.result import FROM_CONFIG, SymbolResult
from barray.trading.results.totals import require_orders
from barray.trading.strategy.context import Context
from tests.barray.result_builder import backtest
from tests.examples import at_most
from tests.trading.engine.test_symbol_book import RANDOM, walk
from tests.trading.runs import Recorder, data_for, run, sessions_of, short_sessions
from tests.trading.windows import MINUTE, Floor, lay, plan
from tests.trading.windows import sessions_of as window_sessions

MINUTE_NS = 60_000_000_000
PRICES = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 100.0}
FLAT = {name: np.full(8, value) for name, value in PRICES.items()}


def outcome_of(act: dict[int, list[dict[str, object]]], market: Market, account: Account) -> Outcome:
    """Orders of a strategy over eight minutes near 100; `act`: what is ordered at the close of which bar."""

    def on_bar(ctx: Context) -> None:
        for order in act.get(ctx.bar, ()):
            options = dict(order)
            ctx.cancel_all() if "cancel" in options else ctx.order(options.pop("quantity"), **options)  # type: ignore[arg-type]

    sessions, base = short_sessions(8, 1, FLAT)
    strategy = Recorder(on_bar)
    return run(strategy, data_for(strategy, base, sessions), market, account)


def rows(orders: Orders, *names: str) -> list[tuple[object, ...]]:
    """Some columns, a row an order, by number."""
    orders = orders.take(np.argsort(orders.number))
    columns = [
        [STATUSES[one] for one in orders.status.tolist()] if name == "status" else getattr(orders, name).tolist()
        for name in names
    ]
    return list(zip(*columns, strict=True))


def test_every_order_is_recorded_with_what_became_of_it() -> None:
    """Bars of 100 shares, of which a tenth is filled each; the last bar is the eighth."""
    found = outcome_of(
        {
            1: [{"quantity": 10}, {"quantity": 5, "limit": 90, "tag": "dip"}, {"quantity": 0.4}],
            3: [{"quantity": -10, "limit": 150, "tif": "day"}],
            4: [{"cancel": True}, {"quantity": 20}],
            5: [{"cancel": True}, {"quantity": 1e9}],
            8: [{"quantity": 7, "stop": 120}],
        },
        Market(volume_share=0.1),
        Account(2_500.0),
    )
    assert rows(found.orders, "number", "status", "quantity", "filled", "tag", "code") == [
        (1, "filled", 10, 10, "", ""),
        (2, "cancelled", 5, 0, "dip", "by_strategy"),
        (3, "refused", 0.4, 0, "", "less_than_a_lot"),
        (4, "cancelled", -10, 0, "", "by_strategy"),
        (5, "partly", 20, 10, "", "by_strategy"),
        (6, "partly", 1e9, 5, "", "no_money"),
        (7, "working", 7, 0, "", ""),
    ]
    minute = sessions_of().open_ns[0]
    placed = [(at - minute) // MINUTE_NS for at in found.orders.take(np.argsort(found.orders.number)).placed_ns]
    assert placed == [1, 1, 1, 3, 4, 5, 8]
    ended = rows(found.orders, "ended_ns")
    assert [(at - minute) // MINUTE_NS if at >= 0 else at for (at,) in ended] == [1, 4, 2, 4, 5, 5, -1]


def test_guards_are_orders_of_their_own_that_name_whom_they_guard() -> None:
    found = outcome_of(
        {1: [{"quantity": 10, "stop_loss": 80, "take_profit": 101, "tag": "in"}], 5: [{"quantity": 3}]},
        Market(),
        Account(flat_at_close=True),
    )
    assert rows(found.orders, "number", "status", "quantity", "filled", "guards", "tag", "code") == [
        (1, "filled", 10, 10, 0, "in", ""),
        (2, "cancelled", -10, 0, 1, "in", "counterpart"),
        (3, "filled", -10, -10, 1, "in", ""),
        (4, "filled", 3, 3, 0, "", ""),
        (5, "filled", -3, -3, 0, "", "session_closed"),
    ]
    assert [found.fills.order.tolist(), found.fills.at_close.tolist()] == [[1, 3, 4, 5], [False] * 3 + [True]]


LIMITS = Limits(gross=0.9, net=0.7, symbol=0.5, groups={"pair": Group(frozenset("AB"), 0.8)})
WINDOWED = """
class Windowed(Strategy):
    seed: int = 0
    def on_start(self, view):
        self.random = np.random.default_rng(self.seed)
    def on_window(self, view):
        random = self.random
        if random.random() < 0.1: view.rebalance({s: float(random.uniform(-0.4, 0.6)) for s in view.symbols})
        if random.random() < 0.05: view.add_symbols(["G", "Z"])
        if random.random() < 0.05 and "G" in view.symbols: view.remove_symbol("G")
        for symbol, close in zip(view.symbols, view.close.tolist()):
            kind, size = random.integers(9), float(random.integers(-60, 60))
            near = close * (1 + 0.004 * random.normal())
            if not close > 0 or not size: continue
            if kind == 0: view.order(symbol, size, tag="plain")
            elif kind == 1: view.order(symbol, size, limit=near, tif="day")
            elif kind == 2: view.order(symbol, size, stop=near)
            elif kind == 3: view.order(symbol, abs(size), stop_loss=close * 0.995, trailing_stop=close * 0.004)
            elif kind == 4: view.cancel_all(symbol)
            elif kind == 5: view.order_target(symbol, size)
"""


def consistent(results: dict[str, SymbolResult]) -> None:
    """What holds of any run's orders; every status is what the order's own figures say."""
    require_orders(backtest(results, 0))
    for part in results.values():
        orders = part.orders
        assert sorted(orders.number.tolist()) == list(range(1, len(orders) + 1))
        filled: Counter[int] = Counter()
        for number, quantity in zip(part.fills.order.tolist(), part.fills.quantity.tolist(), strict=True):
            filled[number] += quantity
        for number, status, asked, done, ended_ns, code in rows(
            orders, "number", "status", "quantity", "filled", "ended_ns", "code"
        ):
            assert done == pytest.approx(filled[number])
            assert (status == "working") == (ended_ns == -1)
            assert bool(code) or status in ("filled", "working")
            assert not code or code in CODES or code.startswith("limits.")
            if status == "filled":
                assert abs(done) > abs(asked) - 1
            elif status != "working":
                assert (status == "partly") == bool(done)
        refused = sum(status == "refused" for (status,) in rows(orders, "status"))
        stood = [one for one in part.refusals if one.code != "no_volume"]
        assert refused <= len(stood)
        assert {code for status, code in rows(orders, "status", "code") if status == "refused"} <= {
            one.code for one in stood
        }
        assert part.position == pytest.approx(orders.filled.sum(), abs=1e-6)


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(40))
@given(
    st.integers(0, 10_000),
    st.sampled_from([{}, {"short": False}, {"flat_at_close": True}, {"flat_at_close": True, "carry": False}]),
    st.booleans(),
    st.sampled_from(["1m", "5m"]),
    st.booleans(),
)
def test_orders_fit_fills_whatever_is_traded(
    seed: int, account: dict[str, bool], shared: bool, window: str, pickled: bool
) -> None:
    session_range = window_sessions(3, 25, back=1)
    market = Market(volume_share=0.02 if seed % 2 else None)
    loaded = {name: lay(session_range, name, walk(seed + number, 100)) for number, name in enumerate("ABC")}
    guests = {"G": lay(session_range, "G", walk(seed + 9, 100))}
    settled = {"parameters": {"seed": seed}, "capital": 20_000.0, "market": market, **account}
    limits = LIMITS if shared and seed % 3 else None
    made = plan(WINDOWED, "on_window", shared=shared, limits=limits, margin=0.5, **settled)  # type: ignore[arg-type]
    floor = Floor(made, loaded, Interval.parse(window), guests, pickled=pickled)
    results = floor.run()
    assert floor.portfolio.error is None
    consistent(results)
    hits = Counter[str]()
    for one in floor.events.lines:
        if one.action == "limit":
            hits[one.symbol] += one.count
    for symbol, part in results.items():
        assert hits[symbol] == sum(one.code.startswith("limits.") for one in part.refusals)
    if "G" in results:
        assert results["G"].metadata.added_by == "strategy"
        added = sum(one.count for one in floor.events.lines if (one.action, one.symbol) == ("add_symbol", "G"))
        assert len(results["G"].sessions) <= added
    own = plan(RANDOM, "on_bar", shared=False, **settled)  # type: ignore[arg-type]
    alone = {name: run_range(one, own, session_range.grid(MINUTE)[0]) for name, one in loaded.items()}
    consistent(alone)


def test_orders_of_sessions_that_begin_anew_are_numbered_through_as_their_fills_are() -> None:
    session_range = window_sessions(3, 25, back=1)
    loaded = lay(session_range, "A", walk(1, 100))
    settled = {"parameters": {"seed": 1}, "capital": 1e9, "flat_at_close": True, "carry": False, "short": False}
    own = run_range(loaded, plan(RANDOM, "on_bar", shared=False, **settled), session_range.grid(MINUTE)[0])  # type: ignore[arg-type]
    shared = Floor(plan(RANDOM, "on_bar", reserve=0.2, **settled), {"A": loaded}).run()["A"]  # type: ignore[arg-type]
    names = ("number", "placed_ns", "quantity", "filled", "status", "guards")
    assert len(own.orders) > 20
    assert rows(own.orders, *names) == rows(shared.orders, *names)
    assert own.fills.order.tolist() == shared.fills.order.tolist()


def test_additions_are_events_and_a_symbol_says_who_added_it_and_when() -> None:
    text = """
class Invites(Strategy):
    def on_window(self, view):
        if view.minute in (2, 3): view.add_symbols(["G", "Z", "A"])
        if view.minute == 4: view.add_adhoc_indicator("G", "SMA(2)@1m"), view.add_adhoc_indicator("Y", "SMA(2)@1m")
        if view.minute == 6: view.remove_symbol("G")
"""
    session_range = window_sessions(2, 10)
    closes = [50.0] * 20
    loaded = {"A": lay(session_range, "A", closes)}
    floor = Floor(plan(text, "on_window"), loaded, guests={"G": lay(session_range, "G", closes)})
    results = floor.run()
    opens = session_range.sessions.open_ns.tolist()
    first = [one for one in floor.events.lines if one.at_ns < opens[1]]
    assert [((one.at_ns - opens[0]) // MINUTE_NS, *said(one)) for one in first] == [
        (2, "add_symbol", "G", True, "", "", 1),
        (2, "add_symbol", "Z", False, "nobody has it", "", 2),
        (4, "add_indicator", "G", True, "", "SMA(2)@1m", 1),
        (4, "add_indicator", "Y", False, "there is no symbol Y", "SMA(2)@1m", 1),
        (6, "remove_symbol", "G", True, "", "", 1),
    ]
    assert [said(one) for one in floor.events.lines[len(first) :]] == [said(one) for one in first]
    guest = results["G"].metadata
    at = datetime.fromtimestamp(opens[0] / 1e9 + 120, UTC)
    assert (guest.added_by, guest.added_at, guest.added_mid_session) == ("strategy", at, True)
    assert guest.meets_session_config_requirements
    assert results["A"].metadata is FROM_CONFIG


def said(event: object) -> tuple[object, ...]:
    """All of an event but its time."""
    return tuple(getattr(event, name) for name in ("action", "symbol", "accepted", "reason", "detail", "count"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"filled": [4.0]}, "A: 1 of 1 orders did not fill as much as their fills: 1"),
        ({"quantity": [2.0]}, "A: 1 of 1 orders filled more than they asked for: 1"),
        ({"ended_ns": [-1]}, "A: 1 of 1 orders have ended, and work: 1"),
        ({"ended_ns": [0]}, "A: 1 of 1 orders ended before they were placed: 1"),
        ({"status": [STATUSES.index("refused")]}, "A: 1 of 1 orders are said to have filled, or not: 1"),
        ({"number": [2]}, "A: there are fills of orders that there are not: 1"),
    ],
)
def test_orders_that_contradict_fills_are_a_fault(changes: dict[str, list[float]], says: str) -> None:
    found = outcome_of({1: [{"quantity": 5}]}, Market(), Account())
    session_range = window_sessions(1, 8)
    whole = run_range(lay(session_range, "A", [100.0] * 8), plan(RANDOM, "on_bar"), session_range.grid(MINUTE)[0])
    orders = replace(found.orders, **{name: np.array(values) for name, values in changes.items()})
    with pytest.raises(BarrayError, match=says) as raised:
        require_orders(backtest({"A": replace(whole, fills=found.fills, orders=orders)}, 0))
    assert raised.value.code == "unaccounted"
