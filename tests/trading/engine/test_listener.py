"""What a strategy prints and logs is kept, with symbol and session time, and no more than a bounded part of it."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime

import pytest

from barray.trading.engine.listener import Listener
from barray.trading.engine.symbol_run import run_loaded
from barray.trading.results.logs import MOST_LINES, LogLine
from tests.trading.windows import Floor, lay, plan, sessions_of

TALKER = """
import logging
class Talker(Strategy):
    def on_start(self, ctx): print("start", end="")
    def on_bar(self, ctx):
        if ctx.bar == 2: print(" and", 2)
        if ctx.bar == 3: logging.getLogger("mine").warning("late by %d\\ntwo lines", 3)
        if ctx.bar == 4: print("to stderr", file=__import__("sys").stderr)
"""


def at(minute: int) -> int:
    return int(datetime(2024, 6, 3, 13, 30 + minute, tzinfo=UTC).timestamp()) * 1_000_000_000


def said(lines: tuple[LogLine, ...]) -> list[tuple[int | None, str, str]]:
    return [(line.now_ns, line.symbol, line.text) for line in lines]


def test_lines_carry_symbol_and_the_time_at_which_they_ended(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_loaded(lay(sessions_of(1, 10), "A", [100.0] * 10), plan(TALKER, "on_bar"))
    assert outcome.error is None
    assert said(outcome.logs.lines) == [
        (at(2), "A", "start and 2"),
        (at(3), "A", "WARNING: late by 3"),
        (at(3), "A", "two lines"),
        (at(4), "A", "to stderr"),
    ]
    assert outcome.logs.lines[0].shown("America/New_York") == "A 2024-06-03 09:32:00 EDT: start and 2"
    assert capsys.readouterr() == ("", "")


def test_signals_speak_without_a_time_and_before_they_fail() -> None:
    text = "class Talker(Strategy):\n    def signals(self, data):\n        print('hm')\n        1 / 0\n"
    outcome = run_loaded(lay(sessions_of(1, 10), "A", [100.0] * 10), plan(text, "signals"))
    assert said(outcome.logs.lines) == [(None, "A", "hm")]
    assert "ZeroDivisionError" in str(outcome.error)


def test_a_strategy_that_never_stops_talking_is_kept_short() -> None:
    text = "class Talker(Strategy):\n    def on_bar(self, ctx): print('x' * 10_000)\n"
    bars = 2 * MOST_LINES
    outcome = run_loaded(lay(sessions_of(1, bars), "A", [100.0] * bars), plan(text, "on_bar"))
    assert len(outcome.logs.lines) == MOST_LINES
    assert outcome.logs.left_out == bars - MOST_LINES
    assert outcome.logs.lines[0].text == "x" * 499 + "…"


@pytest.mark.parametrize("carry", [True, False])
def test_windows_and_sessions_that_begin_anew_keep_all_of_it(carry: bool) -> None:
    text = "class Talker(Strategy):\n    def on_session(self, ctx): print('good', end=' ')\n"
    text += "    def on_bar(self, ctx):\n        if ctx.minute == 1: print('morning')\n"
    loaded = {"A": lay(sessions_of(2, 5), "A", [100.0] * 10)}
    floor = Floor(plan(text, "on_bar", carry=carry, flat_at_close=not carry), loaded)
    assert [line.text for line in floor.run()["A"].logs.lines] == ["good morning", "good morning"]
    alone = run_loaded(loaded["A"], plan(text, "on_bar", shared=False, carry=carry, flat_at_close=not carry))
    assert [line.text for line in alone.logs.lines] == ["good morning", "good morning"]


def test_a_strategy_over_all_symbols_speaks_for_none_of_them() -> None:
    text = "class Talker(Strategy):\n    def on_window(self, view):\n        if view.minute == 2: print(view.symbols)\n"
    floor = Floor(plan(text, "on_window"), {"A": lay(sessions_of(1, 5), "A", [100.0] * 5)})
    floor.run()
    assert said(floor.said) == [(at(2), "", "('A',)")]
    assert floor.said[0].shown("UTC") == "2024-06-03 13:32:00 UTC: ('A',)"


def test_other_threads_and_loggers_of_ours_are_not_the_strategys(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    listener = Listener("A")
    with listener:
        thread = threading.Thread(target=lambda: (print("elsewhere"), logging.error("elsewhere too")))
        thread.start()
        thread.join()
        logging.getLogger("barray.dropped").error("ours")
        assert sys.stdout.isatty() is False
    assert listener.heard().lines == ()
    assert capsys.readouterr().out == "elsewhere\n"
