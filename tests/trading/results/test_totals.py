"""Symbols × sessions: run, or left out with a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from barray.market.errors import BarrayError
from barray.trading.engine.symbol_run import skipping
from barray.trading.results.result import SymbolResult
from barray.trading.results.totals import require_all_sessions
from tests.barray.result_builder import backtest, random_symbol

DAYS = backtest({"AA": random_symbol("AA", 1, 1, 3)}, 3).dates


def part(*sessions: str, **changes: Any) -> SymbolResult:
    return replace(random_symbol("AA", 1, 1, len(DAYS)), sessions=sessions, **changes)


@pytest.mark.parametrize(
    "one",
    [
        part(*DAYS),
        part(*DAYS[1:], skipped={DAYS[0]: "no history"}),
        part(DAYS[0], error="Traceback", error_ns=1),
        part(DAYS[0], skipped={DAYS[1]: "no bars"}, error="Traceback"),
    ],
)
def test_every_session_run_skipped_or_after_the_error_is_accounted_for(one: SymbolResult) -> None:
    require_all_sessions(["AA"], backtest({"AA": one}, len(DAYS)))


def test_a_dropped_symbol_and_a_run_that_ended_early_say_why() -> None:
    result = backtest({"AA": part(DAYS[0])}, len(DAYS))
    require_all_sessions(["AA", "BB"], replace(result, dropped={"BB": ("no data",)}, error="Traceback"))


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (part(*DAYS[1:]), f"AA: 1 of 3 asked for were neither run nor left out with a reason: {DAYS[0]}"),
        (part(*DAYS[1:], skipped={DAYS[0]: ""}), "neither run nor left out"),
        (part(*DAYS, skipped={DAYS[2]: "no bars"}), f"AA: 1 of 3 asked for were both run and left out: {DAYS[2]}"),
    ],
)
def test_a_session_without_a_fate_or_with_two_is_an_error_that_names_it(one: SymbolResult, says: str) -> None:
    with pytest.raises(BarrayError, match=says) as raised:
        require_all_sessions(["AA"], backtest({"AA": one}, len(DAYS)))
    assert raised.value.code == "unaccounted"


def test_one_that_was_in_some_sessions_only_says_why_not_in_the_others() -> None:
    days = [date.fromisoformat(day) for day in DAYS]
    guest = skipping(part(DAYS[1], skipped={DAYS[2]: "no bars"}), days, "its process was lost")
    assert guest.skipped == {DAYS[0]: "its process was lost", DAYS[2]: "no bars"}
    require_all_sessions(["AA"], backtest({"AA": guest}, len(DAYS)))


def test_a_symbol_that_is_nowhere_is_named() -> None:
    with pytest.raises(BarrayError, match="BB: 3 of 3 asked for were neither run"):
        require_all_sessions(["AA", "BB"], backtest({"AA": part(*DAYS)}, len(DAYS)))
