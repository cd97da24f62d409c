"""Bars that a strategy over all symbols adds where a source has none."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.trading.engine.symbol_run import LoadedRange, lay_range
from tests.trading.windows import MINUTE, Floor, fills_of, lay, plan, sessions_of

CODE = """
ROWS = {}
class Adds(Strategy):
    intervals = ("2m",)
    hole: int = 0
    wait: int = 1
    fills: bool = True

    def indicators(self):
        return {"mean": "SMA(3)", "coarse": "SMA(2)@2m", "recursive": "EMA(3)"}

    def on_window(self, view):
        if view.minute == 1:
            assert view.add_adhoc_indicator("A", "WMA(2)@1m") and view.add_adhoc_indicator("A", "BBANDS(3)@1m")
        if self.fills and view.minute == self.hole + self.wait and view.session_date.day == 4:
            start_ns = view.now_ns - self.wait * 60 * 10**9
            bar = dict(zip(("open", "high", "low", "close", "volume"), BAR), start_ns=start_ns)
            assert view.add_adhoc_bar("A", "1m", bar), view.add_adhoc_bar("A", "1m", bar).reason
            assert "already has a bar" in view.add_adhoc_bar("A", "1m", bar).reason
        if view.minute > self.hole + self.wait:
            seen = [view.close, view.open, view.volume, view.history("close"), view.history("high", interval="2m")]
            ROWS[view.session_date.day, view.minute] = [*seen, *view.indicators.values()]
        if view.minute > self.hole + 1 and view.minutes_to_close:  # nothing is to meet the hole
            view.order_target("A", float(view.minute % 3))
            view.order_target_pct("B", view.close[0] / 1000)
"""


def with_hole(loaded: LoadedRange, hole: int) -> LoadedRange:
    """The same without a bar of the second session, whose number there is `hole`."""
    base = loaded.base
    rows = np.flatnonzero(base.session == 1)
    kept = base.bars.take(np.arange(len(base)) != rows[hole])
    return lay_range("A", kept, MINUTE, loaded.session_range, "memory", {})


def ran(loaded: dict[str, LoadedRange], bar: Any, **parameters: Any) -> tuple[Floor, Any, dict[Any, Any]]:
    text = CODE.replace("BAR", repr(bar))
    floor = Floor(plan(text, "on_window", parameters=parameters, capital=100_000.0), loaded, pickled=True)
    results = floor.run()
    assert floor.portfolio.error is None
    rows = sys.modules[floor.plan.source.load().__module__].ROWS
    found = dict(rows)
    rows.clear()
    return floor, results, found


@pytest.mark.long
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), hole=st.integers(0, 7), wait=st.integers(1, 3))
def test_from_the_next_window_on_all_is_as_if_the_source_had_had_it(seed: int, hole: int, wait: int) -> None:
    session_range = sessions_of(3, 12)
    rng = np.random.default_rng(seed)
    closes = {name: np.round(100 + np.cumsum(rng.normal(0, 1, 36)), 2).tolist() for name in "AB"}
    whole = {name: lay(session_range, name, values) for name, values in closes.items()}
    row = 12 + hole
    bars = whole["A"].base.bars
    bar = tuple(float(getattr(bars, name)[row]) for name in ("open", "high", "low", "close", "volume"))
    lacking = {**whole, "A": with_hole(whole["A"], hole)}
    true_floor, true, seen = ran(whole, bar, hole=hole, wait=wait, fills=False)
    floor, found, others = ran(lacking, bar, hole=hole, wait=wait)
    assert seen.keys() == others.keys()
    for when in [when for when in seen if when[0] == 4]:
        for one, other in zip(seen[when], others[when], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=str(when))
    for name in "AB":
        assert [fill[1:] for fill in fills_of(found[name])] == [fill[1:] for fill in fills_of(true[name])]
        until = int(np.searchsorted(true[name].fills.bar_ns, session_range.sessions.open_ns[2]))
        assert found[name].fills.row[:until].tolist() == true[name].fills.row[:until].tolist()
        assert found[name].fills.bar_ns.tolist() == true[name].fills.bar_ns.tolist()
        np.testing.assert_array_equal(found[name].equity, true[name].equity)
    assert floor.states[-1] == true_floor.states[-1]
    assert np.isnan(others[5, 12][3][hole, 0]), "it is there for the rest of its session alone"


REFUSED = """
class Tries(Strategy):
    def on_window(self, view):
        bar = dict(open=100, high=101, low=99, close=100, volume=5, start_ns=view.now_ns - 60 * 10**9)
        if view.minute == 3:
            for symbol, interval, change in (
                ("C", "1m", {}), ("A", "5m", {}), ("A", "30s", {}), ("A", "1m", {"high": 1}),
                ("A", "1m", {"volume": None}),
                ("A", "1m", {"start_ns": view.now_ns}), ("A", "1m", {"start_ns": view.now_ns - 1}), ("A", "1m", {}),
                ("A", "1x", {}), ("A", "1m", {"start_ns": view.now_ns - 86_400 * 10**9 * 5}),
            ):
                print(view.add_adhoc_bar(symbol, interval, {**bar, **change}).reason)
            view.add_symbol("B")
            print(view.add_adhoc_bar("B", "1m", bar).reason)
        if view.minute == 10:
            print(view.add_adhoc_bar("A", "1m", bar).reason)
            view.add_adhoc_bar(7, "1m", bar)
"""


def test_what_can_not_be_added_is_told() -> None:
    session_range = sessions_of(1, 10)
    loaded = {"A": lay(session_range, "A", [100.0] * 10)}
    floor = Floor(plan(REFUSED, "on_window"), loaded, guests={"B": lay(session_range, "B", [100.0] * 10)})
    floor.run()
    told = [
        "there is no symbol C",
        "does not start a whole number",
        "is not what is loaded",
        "high",
        "volume is None",
        "add it once it has closed",
        "does not start a whole number",
        "already has a bar",
        "interval",
        "outside the regular hours",
        "in the view from the next window on",
        "the session has closed",
    ]
    lines = [line.text for line in floor.said]
    assert len(lines) == len(told)
    for line, part in zip(lines, told, strict=True):
        assert part in line
    assert "a symbol is text, not int" in str(floor.portfolio.error)


NO_FILL = """
class Rests(Strategy):
    def on_window(self, view):
        if view.minute == 2:
            view.order("A", 1, limit=90)
        if view.minute == 5:
            bar = dict(open=100, high=100, low=80, close=85, volume=1000, start_ns=view.now_ns - 2 * 60 * 10**9)
            assert view.add_adhoc_bar("A", "1m", bar)
        if view.minute == 6:
            print(view.history("low").min(), view.positions, view.close[0])
"""


def test_no_order_fills_on_a_bar_that_is_added() -> None:
    session_range = sessions_of(1, 10)
    whole = lay(session_range, "A", [100.0] * 10)
    base = whole.base.bars.take(np.arange(10) != 3)
    loaded = lay_range("A", base, MINUTE, session_range, "memory", {})
    floor = Floor(plan(NO_FILL, "on_window"), {"A": loaded})
    result = floor.run()["A"]
    assert [line.text for line in floor.said] == ["80.0 {} 100.0"]
    assert len(result.fills) == 0
