"""What is said of a strategy that was written wrong: what was meant, and where and when it failed."""

from __future__ import annotations

import pytest

from barray.market.errors import ConfigError
from barray.trading.engine.symbol_run import run_loaded
from barray.trading.strategy.source import StrategySource
from tests.trading.windows import Floor, lay, plan, sessions_of

HEAD = "from barray import Strategy\n"


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("class Cross(Strategy):\n    def on_bars(self, ctx): pass\n", "Cross has on_bars, which nothing", "on_bar"),
        ("class Cross(Strategy):\n    def signal(self, data): pass\n", "Cross has signal, which nothing", "signals"),
        ("class Cross(Strategy):\n    def onwindow(self, view): pass\n", "has onwindow, which nothing", "on_window"),
        (
            "class Cross(Strategy):\n    def on_bar(self, ctx): pass\n    def on_sesion(self, ctx): pass\n",
            "Cross has on_sesion, which nothing calls",
            "name it on_session",
        ),
        ("class Cross:\n    def on_bar(self, ctx): pass\n", "Cross has on_bar but is no Strategy", "Cross(Strategy)"),
        ("class Cross:\n    def signals(self, data): pass\n", "Cross has signals but is no", "Cross(Strategy)"),
        ("class Cross(Strategy):\n    def go(self, ctx): pass\n", "defines 0 strategies", "on_bar, signals, on_window"),
    ],
)
@pytest.mark.parametrize("name", [None, "Cross"])
def test_a_class_that_nothing_would_call_says_what_was_meant(
    text: str, said: str, remedy: str, name: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        StrategySource("mine.py", HEAD + text, name).load()
    assert said in caught.value.reason
    assert "mine.py" in caught.value.reason
    assert remedy in str(caught.value.remedy)


def test_methods_of_its_own_are_left_alone() -> None:
    text = (
        "class Cross(Strategy):\n    def on_bar(self, ctx): self.signal(ctx)\n    def signal(self, ctx): pass\n"
        "    def once(self, ctx): pass\n    def on_cross(self, ctx): pass\n"
    )
    assert StrategySource("mine.py", HEAD + text).load().forms() == ("on_bar",)


@pytest.mark.parametrize(
    ("form", "method", "where"),
    [
        ("on_bar", "def on_bar(self, ctx): 1 / (ctx.bar - 3)", "(A, 2024-06-03 13:33 UTC, made_up.py line 5)"),
        ("on_bar", "def on_bar(self, ctx): ctx.buy(ctx.bar - 3)", "(A, 2024-06-03 13:31 UTC, made_up.py line 5)"),
        ("signals", "def signals(self, data): 1 / 0", "(A, made_up.py line 5)"),
    ],
)
def test_an_error_names_symbol_time_file_and_line(form: str, method: str, where: str) -> None:
    loaded = lay(sessions_of(1, 10), "A", [100.0] * 10)
    outcome = run_loaded(loaded, plan(f"class Wrong(Strategy):\n    {method}\n", form))
    assert str(outcome.error).splitlines()[-1].endswith(where)
    assert "Error: " in str(outcome.error).splitlines()[-1]


def test_an_error_over_all_symbols_names_time_file_and_line() -> None:
    text = "class Wrong(Strategy):\n    def on_window(self, view): 1 / (view.minute - 2)\n"
    floor = Floor(plan(text, "on_window"), {"A": lay(sessions_of(1, 10), "A", [100.0] * 10)})
    floor.run()
    last = str(floor.portfolio.error).splitlines()[-1]
    assert last == "ZeroDivisionError: division by zero (2024-06-03 13:32 UTC, made_up.py line 5)"


def test_an_interval_that_is_not_loaded_names_those_that_are() -> None:
    method = 'def signals(self, data): data.visible("15m")'
    outcome = run_loaded(
        lay(sessions_of(1, 10), "A", [100.0] * 10), plan(f"class Wrong(Strategy):\n    {method}\n", "signals")
    )
    said = 'A: bars of 15m are not loaded; there are 1m; name it in the strategy: intervals = ("15m",)'
    assert said in str(outcome.error)


def test_visible_takes_an_interval_by_its_name() -> None:
    text = (
        "class Even(Strategy):\n    intervals = ('5m',)\n    def signals(self, data):\n"
        "        seen = data.visible('5m')\n        assert seen.tolist() == [0] * 4 + [1] * 5 + [2]\n"
        "        return Signals(seen > 9, seen > 9)\n"
    )
    assert run_loaded(lay(sessions_of(1, 10), "A", [100.0] * 10), plan(text, "signals")).error is None
