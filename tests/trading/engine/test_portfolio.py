"""What a cross-symbol strategy sees, and what becomes of what it orders."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from barray.market.interval import Interval
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.results.result import SymbolResult
from tests.trading.windows import Floor, fills_of, lay, plan, sessions_of

FLAT = {name: [100.0] * 10 for name in "ABC"}


def run(
    text: str, closes: dict[str, list[float]] | None = None, sessions: int = 1, window: str = "1m", **account: object
) -> tuple[Floor, dict[str, SymbolResult]]:
    """Run the body of an `on_window` in one process, over sessions of ten minutes."""
    body = "class Made(Strategy):\n    def on_window(self, view):\n" + "".join(
        f"        {line}\n" for line in text.split("\n")
    )
    session_range = sessions_of(sessions, 10)
    loaded = {name: lay(session_range, name, values) for name, values in (closes or FLAT).items()}
    floor = Floor(plan(body, "on_window", **{"capital": 10_000.0, **account}), loaded, Interval.parse(window))  # type: ignore[arg-type]
    return floor, floor.run()


def test_a_view_shows_closes_volumes_positions_and_indicators_as_of_now() -> None:
    text = """
class Look(Strategy):
    intervals = ("5m",)
    def indicators(self):
        return {"mean": "SMA(3)", "five": "SMA(1)@5m"}
    def on_session(self, view):
        self.opens = getattr(self, "opens", 0) + 1
        assert view.minute == 0 and view.minutes_to_close == 10
    def on_window(self, view):
        k = view.minute - 1
        assert view.symbols == ("A", "B")
        assert view.close.tolist() == [100.0 + k, 200.0 - k]
        assert view.volume.tolist() == [1000.0 * (k + 1)] * 2
        mean, five = view.indicators["mean"], view.indicators["five"]
        if self.opens == 1:
            assert (np.isnan(mean) == (k < 2)).all() and (np.isnan(five) == (k < 4)).all()
        if k >= 2: assert mean.tolist() == [99.0 + k, 201.0 - k]
        if k >= 4: assert five.tolist() == ([104.0, 196.0] if k < 9 else [109.0, 191.0])
        assert view.now.minute == (30 + view.minute) % 60 and str(view.session_date) == f"2024-06-0{2 + self.opens}"
        if k == 3 and self.opens == 1: view.order("B", -2)
        if k == 4: assert view.position.tolist() == [0, -2] and view.positions == {"B": -2}
        if k == 6: assert (view.cash, view.equity) == (10_000 + 2 * 197, 10_000 + 2 * 197 - 2 * 194)
        view.volume[0] = view.close[0] = -1  # its own, nobody else's
"""
    rising, falling = [100.0 + k for k in range(10)] * 2, [200.0 - k for k in range(10)] * 2
    session_range = sessions_of(2, 10)
    loaded = {"B": lay(session_range, "B", falling), "A": lay(session_range, "A", rising)}
    floor = Floor(plan(text, "on_window", capital=10_000.0), loaded)
    floor.run()
    assert floor.portfolio.error is None


@pytest.mark.parametrize("shared", [True, False])
def test_less_than_a_lot_and_what_its_stop_would_end_at_once_are_refused(shared: bool) -> None:
    text = """
class Wrong(Strategy):
    def on_window(self, view):
        if view.minute == 2: view.order('A', 0.4), view.order('A', 5, stop_loss=101.0), view.order('A', 6)
        if view.minute == 5: assert view.orders('A') == () and view.order_target('A', 6.4) is None
"""
    floor = Floor(plan(text, "on_window", shared=shared), {"A": lay(sessions_of(1, 10), "A", FLAT["A"])})
    result = floor.run()["A"]
    assert floor.portfolio.error is None
    assert fills_of(result) == [(2, 6.0, 100.0)]
    assert [(refusal.quantity, refusal.reason) for refusal in result.refusals] == [
        (0.4, "0.4 is less than a lot of 1"),
        (5.0, "stop_loss 101 is not below the entry at 100"),
    ]
    assert floor.states[-1][1] == 0


def test_targets_replace_what_works() -> None:
    floor, results = run(
        "if view.minute == 1: view.order('A', 5, limit=50.0), view.order_target('A', 7)\n"
        "if view.minute == 2: view.order('A', 5, limit=50.0)\n"
        "if view.minute == 3:\n"
        "    assert [order.limit for order in view.orders('A')] == [50.0]\n"
        "    assert view.order_target_pct('A', 0.03).quantity == -4\n"
        "    assert view.orders('A') == ()\n"
        "if view.minute == 5: assert view.order_target('A', 3) is None and view.orders('A') == ()"
    )
    assert floor.portfolio.error is None
    assert fills_of(results["A"]) == [(1, 7.0, 100.0), (3, -4.0, 100.0)]
    assert floor.states[-1][1] == 0


def test_rebalancing_sells_first_and_buys_in_the_same_bar_with_what_that_brought() -> None:
    floor, results = run(
        "if view.minute == 2: view.rebalance({'A': 0.5, 'B': 0.5})\n"
        "if view.minute == 5: view.rebalance({'B': 0.2, 'C': 0.8})",
        capital=10_000.1,
    )
    assert floor.portfolio.error is None
    assert fills_of(results["A"]) == [(2, 50.0, 100.0), (5, -50.0, 100.0)]
    assert fills_of(results["B"]) == [(2, 50.0, 100.0), (5, -30.0, 100.0)]
    assert fills_of(results["C"]) == [(5, 80.0, 100.0)]
    assert not any(result.refusals for result in results.values())


@pytest.mark.parametrize(("flat", "kept"), [(True, []), (False, [(10, 5.0, 100.0)])])
def test_what_is_ordered_at_the_close_works_in_the_next_session_unless_all_ends_flat(
    flat: bool, kept: list[tuple[int, float, float]]
) -> None:
    body = "if view.minutes_to_close == 0 and str(view.session_date) == '2024-06-03': view.order('A', 5)"
    floor, results = run(body, {"A": [100.0] * 20}, sessions=2, flat_at_close=flat)
    assert floor.portfolio.error is None
    assert fills_of(results["A"]) == kept


def test_without_carry_every_session_has_a_strategy_and_an_account_of_its_own() -> None:
    body = (
        "self.seen = getattr(self, 'seen', 0) + 1\nassert self.seen == view.minute\n"
        "if view.minute == 1: assert view.cash == 10_000.0 and view.order('A', 10)\n"
    )
    floor, results = run(body, {"A": [100.0 + k for k in range(20)]}, sessions=2, carry=False, flat_at_close=True)
    assert floor.portfolio.error is None
    assert fills_of(results["A"]) == [(1, 10.0, 100.0), (9, -10.0, 109.0), (11, 10.0, 110.0), (19, -10.0, 119.0)]
    assert results["A"].equity[-1] == 180.0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("view.order('Z', 1)", "there is no such symbol"),
        ("view.order('A', float('nan'))", "quantity is nan"),
        ("view.order('A', 1, limit=-3.0)", "limit is -3"),
        ("view.index('Z')", "there is no such symbol"),
        ("raise ValueError('mine')", "mine"),
    ],
)
def test_a_mistake_ends_the_calls_with_a_traceback_and_nothing_else(body: str, said: str) -> None:
    floor, results = run(
        f"if view.minute == 1: view.order('A', 4), view.order('A', 4, limit=1.0)\nif view.minute == 5: {body}"
    )
    assert said in str(floor.portfolio.error)
    assert "made_up.py" in str(floor.portfolio.error)
    assert results["A"].position == 4
    assert floor.states[-1][1] == 0


def test_with_accounts_of_their_own_symbols_do_not_feel_each_other() -> None:
    text = """
class Own(Strategy):
    def on_window(self, view):
        if view.minute == 1:
            for symbol in view.symbols: view.order_target_pct(symbol, 1.0)
            assert view.equity == view.cash == 20_000.0
"""
    loaded = {name: lay(sessions_of(1, 10), name, FLAT[name]) for name in "AB"}
    floor = Floor(plan(text, "on_window", shared=False, capital=10_000.0), loaded)
    results = floor.run()
    assert floor.portfolio.error is None
    assert all(fills_of(result) == [(1, 100.0, 100.0)] for result in results.values())
    assert all(result.equity[0] == 10_000.0 for result in results.values())


def test_an_indicator_added_is_there_from_the_next_window_to_the_sessions_end() -> None:
    body = (
        "name = 'SMA(2)@5m'\n"
        "if view.minute == 1 and view.session_date.day == 3:\n"
        "    assert view.add_adhoc_indicator('A', name)\n"
        "    assert not view.add_adhoc_indicator('A', 'SMA(0)@5m') and not view.add_adhoc_indicator('Z', name)\n"
        "    assert 'derive' in view.add_adhoc_indicator('A', 'SMA(2)@30s').reason\n"
        "assert (name in view.indicators) == (view.session_date.day == 3 and view.minute > 1), view.minute\n"
        "if view.minute == 10 and name in view.indicators: assert view.indicators[name][0] == 106.5\n"
        "if name in view.indicators: assert np.isnan(view.indicators[name][1])"
    )
    closes = {"A": [100.0 + k for k in range(20)], "B": [1.0] * 20}
    floor, _ = run(body, closes, sessions=2)
    assert floor.portfolio.error is None


def test_a_guest_is_traded_until_the_sessions_end_and_is_sold_there() -> None:
    text = """
class Invites(Strategy):
    def on_window(self, view):
        if view.minute == 4:
            assert not view.add_symbol("Z") and view.add_symbol("G") and view.add_symbol("G")
            assert view.order("G", 3) and "G" not in view.symbols
        if view.minute == 5: assert view.symbols == ("A", "G") and view.volume.tolist() == [5000.0] * 2
        if view.minutes_to_close == 0:
            assert view.positions == {} and not view.add_symbol("Z")
            view.order("G", 3)
"""
    session_range = sessions_of(1, 10)
    guest = lay(session_range, "G", [50.0 + k for k in range(10)])
    made = plan(text, "on_window", capital=1_000.0, flat_at_close=True)
    floor = Floor(made, {"A": lay(session_range, "A", FLAT["A"])}, guests={"G": guest})
    floor.run()
    assert floor.portfolio.error is None
    assert list(floor.portfolio.books) == ["A"]
    assert floor.states[-1] == (1_018.0, 0.0, 1_018.0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("view.add_symbol(7203)", "a symbol is text, not int"),
        ("view.add_symbol(None)", "a symbol is text, not NoneType"),
        ("view.add_adhoc_indicator(['A'], 'RSI(14)@5m')", "a symbol is text, not list"),
        ("view.add_adhoc_indicator('A', {'name': 'RSI'})", "an indicator is text, not dict"),
    ],
)
def test_what_a_strategy_adds_is_text(call: str, says: str) -> None:
    floor, _ = run(call)
    assert says in str(floor.portfolio.error)


SEES = """
class Sees(Strategy):
    seen: str = ""
    def note(self, text):
        Path(self.seen).open("a").write(text)
    def on_start(self, view):
        self.note(f"start {view.session_date.day} ")
    def on_session(self, view):
        self.note(f"open {view.session_date.day} ")
    def on_window(self, view):
        if view.minute == 1: self.note(f"{view.session_date.day} {''.join(view.symbols)} ")
        if "B" in view.symbols and view.minute in (1, 5): view.order("B", 1)
"""


def left_out(text: str, tmp_path: Path, **days: list[int]) -> tuple[Floor, dict[str, SymbolResult], str]:
    """Run a strategy over three sessions from 3 to 5 June, with the days on which a symbol is left out."""
    seen, session_range = tmp_path / "seen", sessions_of(3, 10)
    seen.touch()
    loaded = {
        symbol: lay(session_range, symbol, [100.0] * 30, {date(2024, 6, day): "no history" for day in skipped})
        for symbol, skipped in days.items()
    }
    made = plan("from pathlib import Path\n" + text, "on_window", parameters={"seen": str(seen)}, capital=10_000.0)
    floor = Floor(made, loaded)
    return floor, floor.run(), seen.read_text()


@pytest.mark.parametrize("out", [3, 4, 5])
def test_a_session_that_all_symbols_are_left_out_of_has_no_call_and_no_order(tmp_path: Path, out: int) -> None:
    floor, results, seen = left_out(SEES, tmp_path, A=[out], B=[out])
    run = [day for day in (3, 4, 5) if day != out]
    assert floor.portfolio.error is None
    assert seen == f"start {run[0]} " + "".join(f"open {day} {day} AB " for day in run)
    rows = [10 * (day - 3) + minute for day in run for minute in (1, 5)]
    assert fills_of(results["B"]) == [(row, 1.0, 100.0) for row in rows]


def test_a_symbol_left_out_is_neither_seen_nor_traded_while_the_others_are(tmp_path: Path) -> None:
    floor, results, seen = left_out(SEES, tmp_path, A=[], B=[4])
    assert floor.portfolio.error is None
    assert seen == "start 3 open 3 3 AB open 4 4 A open 5 5 AB "
    assert [row for row, _, _ in fills_of(results["B"])] == [1, 5, 21, 25]


@pytest.mark.parametrize(
    "call", ["view.order('B', 1)", "view.cancel_all('B')", "view.orders('B')", "view.rebalance({'B': 0.5})"]
)
def test_to_trade_a_symbol_that_is_left_out_is_an_error_that_says_so(tmp_path: Path, call: str) -> None:
    text = f"""
class Trades(Strategy):
    seen: str = ""
    def on_window(self, view):
        if view.session_date.day == 3 and view.minute == 9: view.order("B", 5, limit=1.0)
        if view.session_date.day == 4: {call}
"""
    floor, results, _ = left_out(text, tmp_path, A=[], B=[4])
    assert "B: is left out of this session; trade view.symbols" in str(floor.portfolio.error)
    assert fills_of(results["B"]) == []
    assert not floor.portfolio.books["B"].broker.orders, "its limit order ends with the strategy"


def test_a_symbol_that_is_left_out_is_not_added_nor_its_indicators(tmp_path: Path) -> None:
    text = """
class Adds(Strategy):
    seen: str = ""
    def on_window(self, view):
        added = view.add_symbol("B"), view.add_adhoc_indicator("B", "SMA(2)")
        Path(self.seen).write_text(" ".join(f"{bool(one)}:{one.reason}" for one in added))
"""
    _, _, seen = left_out(text, tmp_path, A=[], B=[5])
    assert seen == "False:is left out of this session False:is left out of this session"


def test_the_position_of_a_symbol_left_out_still_counts_at_its_price(tmp_path: Path) -> None:
    floor, _, _ = left_out(SEES, tmp_path, A=[], B=[4])
    cash, reserved, equity = floor.states[15]  # in the session that B is left out of
    assert (cash, reserved, equity) == (9_800.0, 0.0, 10_000.0)


RISING = {"A": [100.0 + k for k in range(20)], "B": [200.0 - k for k in range(20)]}


def test_history_is_what_has_closed_from_the_first_bar_on() -> None:
    floor, _ = run(
        "day = view.session_date.day - 3\n"
        "past = view.history('close', 3)\n"
        "last = 10 * day + view.minute\n"
        "assert past.tolist() == [[100.0 + k, 200.0 - k] for k in range(max(last - 3, 0), last)], past\n"
        "assert len(view.history('close')) == last and not past.flags.writeable\n"
        "assert view.history('open', 1)[0, 0] == view.open[0] == max(99.0 + last - 1, 100.0)\n"
        "assert (view.high >= view.low).all() and view.bar_volume.tolist() == [1000.0, 1000.0]\n"
        "assert np.array_equal(view.history('close', 1)[0], view.close)",
        RISING,
        sessions=2,
    )
    assert floor.portfolio.error is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("view.history('vwap', 3)", "there is no column 'vwap'; use one of open, high, low, close, volume"),
        ("view.history('close', 0)", "history of 0 bars"),
        ("view.history('close', 3, '5m')", 'bars of 5m are not loaded; name it in the strategy: intervals = ("5m",)'),
    ],
)
def test_history_that_is_not_there_is_named(call: str, says: str) -> None:
    assert says in str(run(call)[0].portfolio.error)


def test_history_of_another_interval_has_the_bars_of_that_interval_that_have_closed() -> None:
    text = """
class Five(Strategy):
    intervals = ("5m",)
    def on_window(self, view):
        past = view.history("close", interval="5m")
        assert past[:, 0].tolist() == [104.0, 109.0][: view.minute // 5], (view.minute, past)
"""
    loaded = {"A": lay(sessions_of(1, 10), "A", [100.0 + k for k in range(10)])}
    floor = Floor(plan(text, "on_window"), loaded)
    floor.run()
    assert floor.portfolio.error is None


def test_many_symbols_are_added_at_once_and_one_goes_again_with_its_position() -> None:
    text = """
class Invites(Strategy):
    def on_window(self, view):
        if view.minute == 2:
            added = view.add_symbols(["G", "H", "Z", "A"])
            assert {symbol: bool(one) for symbol, one in added.items()} == {"G": True, "H": True, "Z": False, "A": True}
        if view.minute == 3:
            assert view.symbols == ("A", "G", "H")
            view.order("G", 3), view.order("H", 2)
        if view.minute == 6:
            view.order("G", 1, limit=1.0)
            view.remove_symbol("G")
        if view.minute > 6: assert view.symbols == ("A", "H") and view.positions.get("H", 2.0) == 2.0
        if view.minute == 8: assert "is left out" in view.add_symbol("G").reason
"""
    session_range = sessions_of(1, 10)
    guests = {name: lay(session_range, name, [50.0 + k for k in range(10)]) for name in "GH"}
    floor = Floor(plan(text, "on_window"), {"A": lay(session_range, "A", FLAT["A"])}, guests=guests)
    results = floor.run()
    assert floor.portfolio.error is None
    prices = {
        name: list(zip(one.fills.quantity.tolist(), one.fills.price.tolist(), strict=True))
        for name, one in results.items()
    }
    assert prices["G"] == [(3.0, 52.0), (-3.0, 55.0)], "bought at the next open, closed at the last close"
    assert prices["H"] == [(2.0, 52.0), (-2.0, 59.0)]


def test_a_symbol_of_the_config_is_not_removed() -> None:
    floor, _ = run("view.remove_symbol('A')")
    assert "it was not added by the strategy" in str(floor.portfolio.error)


def test_what_the_sales_do_not_pay_for_is_cut_and_reported() -> None:
    """B opens lower than it closed at the decision, in the bar in which it is sold."""
    text = """
class Swap(Strategy):
    def on_window(self, view):
        if view.minute == 1: view.rebalance({"B": 1.0})
        if view.minute == 6: view.rebalance({"A": 1.0})
"""
    session_range, closes = sessions_of(1, 10), [100.0] * 10
    loaded = {
        "A": lay(session_range, "A", closes),
        "B": lay(session_range, "B", closes, open=[*closes[:6], 40.0, *closes[7:]]),
    }
    floor = Floor(plan(text, "on_window", capital=10_000.1), loaded)
    results = floor.run()
    assert floor.portfolio.error is None
    assert fills_of(results["B"]) == [(1, 100.0, 100.0), (6, -100.0, 40.0)]
    assert fills_of(results["A"]) == [(6, 40.0, 100.0)]
    (refusal,) = results["A"].refusals
    assert "4,000.10 of cash is free, which suffices for 40 at 100, not for 100" in refusal.reason


@pytest.mark.parametrize("window", ["1m", "5m"])
def test_selling_first_with_cash_alone_trades_as_all_at_once_with_borrowed_money(window: str) -> None:
    text = """
class Swap(Strategy):
    first: bool = True
    def on_window(self, view):
        weights = {view.symbols[(view.minute // 5 + view.session_date.day) % 3]: 0.9}
        if view.minute % 5: return
        if self.first: return view.rebalance(weights)
        targets = dict.fromkeys(view.symbols, 0.0)
        targets |= {s: np.floor(w * view.equity / view.close[view.index(s)]) for s, w in weights.items()}
        for symbol, target in targets.items(): view.order_target(symbol, target)
"""
    random = np.random.default_rng(5)
    session_range = sessions_of(2, 20)
    walks = {n: np.round(100 * np.exp(np.cumsum(random.normal(0, 0.002, 40))), 2).tolist() for n in "ABC"}
    loaded = {name: lay(session_range, name, values) for name, values in walks.items()}
    made = {"capital": 50_000.0, "reserve": 0.02}
    cash = Floor(plan(text, "on_window", **made), loaded, Interval.parse(window)).run()
    margin = Floor(
        plan(text, "on_window", parameters={"first": False}, margin=0.4, **made), loaded, Interval.parse(window)
    ).run()
    assert sum(len(one.fills) for one in cash.values()) > 10
    for name in "ABC":
        assert fills_of(cash[name]) == fills_of(margin[name])
        assert not cash[name].refusals


def test_what_is_held_of_a_symbol_that_later_bars_lack_is_valued_on_also_elsewhere() -> None:
    """Its columns may be missing from a block, in a process that never saw it."""
    body = "if view.minute == 1 and view.session_date.day == 3: view.order('B', 5)"
    session_range = sessions_of(2, 10)
    loaded = {name: lay(session_range, name, [100.0 + k for k in range(20)]) for name in "AB"}
    made = plan(
        f"class Buys(Strategy):\n    def on_window(self, view):\n        {body}\n", "on_window", capital=10_000.0
    )
    first = PortfolioRun(made, Interval.parse("1m"))
    data = {name: one.prepare(made.strategy()) for name, one in loaded.items()}
    first.load(session_range, data, Interval.parse("1m"))
    first.session(0)
    again = pickle.loads(pickle.dumps(first))
    again.load(session_range, {"A": data["A"]}, Interval.parse("1m"))
    days = again.session(1).days
    assert again.error is None
    assert days is not None
    assert days.symbols == ("B",)
    assert set(days.days()["B"].curve().exposure.tolist()) == {5 * 109.0}
