"""A call of a strategy that does not come back ends, and is named: call, symbol, session time, line."""

from __future__ import annotations

import pytest

from barray.trading.engine.symbol_run import run_loaded
from barray.trading.engine.watchdog import _Watch
from tests.trading.windows import Floor, lay, plan, sessions_of

LIMIT_S = 0.4
SAID = "barray.trading.strategy.failure.DidNotReturn: the call did not come back within 0.4 s, actors.call_timeout_s "
STUBBORN = """class Stuck(Strategy):
    def on_bar(self, ctx):
        while ctx.bar == 3:
            try: ctx.close[-1]
            except Exception: continue
"""
AT_START = """class Stuck(Strategy):
    def on_start(self, ctx):
        while 1: 1
    def on_bar(self, ctx): pass
"""
AS_ARRAYS = """class Stuck(Strategy):
    def signals(self, data):
        while 1: 1
"""


@pytest.mark.long
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("form", "text", "where"),
    [
        ("on_bar", STUBBORN, "(in on_bar, A, 2024-06-03 13:33 UTC, made_up.py line "),
        ("on_bar", AT_START, "(in on_start, A, 2024-06-03 13:30 UTC, made_up.py line 6)"),
        ("signals", AS_ARRAYS, "(in signals, A, "),
    ],
)
def test_an_endless_loop_is_the_symbols_error(form: str, text: str, where: str, shared: bool) -> None:
    loaded, stuck = lay(sessions_of(1, 10), "A", [100.0] * 10), plan(text, form, shared=shared, call_timeout_s=LIMIT_S)
    error = str(Floor(stuck, {"A": loaded}).run()["A"].error if shared else run_loaded(loaded, stuck).error)
    last = error.splitlines()[-1]
    assert last.startswith(SAID + where)
    assert "made_up.py line " in last


@pytest.mark.long
def test_an_endless_loop_over_all_symbols_stops_the_run() -> None:
    text = "class Stuck(Strategy):\n    def on_window(self, view):\n        while view.minute == 2: 1\n"
    floor = Floor(plan(text, "on_window", call_timeout_s=LIMIT_S), {"A": lay(sessions_of(1, 5), "A", [100.0] * 5)})
    floor.run()
    assert str(floor.portfolio.error).splitlines()[-1].startswith(SAID + "(in on_window, 2024-06-03 13:32 UTC, made_up")


def test_only_what_shows_the_same_three_times_in_a_row_stands_still() -> None:
    shown = iter([0, 0, 1, 1, 1, 1, 2])
    watch = _Watch(lambda: next(shown))
    assert [watch.stands_still() for _ in range(7)] == [False, False, False, False, True, True, False]
