"""Rows that can be compared, and the names of their figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from barray.market.bars import Bars
from barray.trading.results.metrics import session_statistics, statistics
from barray.trading.sweeps.evaluate import SetTable, evaluate_sets
from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import SetRow, like_with_like
from tests.barray.sweep_builder import failed, tried
from tests.trading.sweep_data import loaded_range, plan_of
from tests.trading.sweeps.test_evaluate import SETS, Cross

BOTH, ONE, OTHER = {"A": "1", "B": "2"}, {"A": "1"}, {"A": "1", "B": "3"}


def row(n: int, data: dict[str, str], pnl: float = 0.0) -> SetRow:
    return replace(tried({"n": n}, pnl), data=data)


def test_the_rows_of_the_most_symbols_then_of_the_most_rows_are_compared() -> None:
    assert like_with_like([row(1, BOTH), row(2, ONE), row(3, ONE)]) == BOTH
    assert like_with_like([row(1, BOTH), row(2, OTHER), row(3, OTHER)]) == OTHER
    assert like_with_like([failed({"n": 1}, "no")]) == {}


def test_a_set_made_of_less_or_of_other_bars_has_no_rank_and_says_why() -> None:
    rows = (row(1, BOTH, 5.0), row(2, ONE, 500.0), row(3, OTHER, 600.0), row(4, BOTH, 7.0), failed({"n": 5}, "no"))
    result = SweepResult("s", "S", "pnl", 1e5, ("2024-07-01",), rows, {}, Path("journal"))
    assert [one.parameters["n"] for one in result.ranked] == [4, 1]
    assert result.best is rows[3]
    assert [one.parameters["n"] for one in result.unlike] == [2, 3]
    assert [result.problem(one) for one in rows] == [
        None,
        "not ranked: made without B",
        "not ranked: made of other bars than the rest",
        None,
        "no",
    ]
    assert result.sets.pnl.isna().tolist() == [False, True, True, False, True]


def test_a_table_knows_its_bars_and_any_change_of_them() -> None:
    made = loaded_range(1, n=4)
    plan = plan_of(Cross, "signals")

    def table(of: Bars = made.base.bars) -> SetTable:
        return evaluate_sets(replace(made, base=replace(made.base, bars=of)), plan, SETS[:1])

    bars = made.base.bars
    changed = [
        replace(bars, **{name: np.append(getattr(bars, name)[:-1], getattr(bars, name)[-1] + 0.01)})
        for name in ("open", "high", "low", "close", "volume")
    ]
    digests = {table().data, *(table(one).data for one in changed)}
    assert len(digests) == 6
    assert table().data == table().data
    assert replace(made, traded=made.traded[1:]).digest != made.digest, "one session more or less"
    assert SetTable.concat([table(), table()]).data == table().data
    assert SetTable.concat([table(), table(changed[0])]).data == ""


def test_a_fall_within_a_session_is_in_the_drawdown_by_bar_and_not_in_that_by_close() -> None:
    equity = np.array([50.0, 100.0, 100.0, 90.0])  # two bars a session: half is lost and won back, then a tenth lost
    by_bar = statistics(equity, np.zeros(4), np.array([0, 0, 1, 1]), [], 100.0, 252)
    by_close = session_statistics(np.array([0.0, -10.0]), 100.0)
    assert by_bar.max_drawdown_pct == pytest.approx(50.0)
    assert by_close["close_drawdown_pct"] == pytest.approx(10.0)
    assert by_close["close_calmar"] == pytest.approx(100 * (0.9**126 - 1) / 10)
    assert by_close.keys().isdisjoint({"max_drawdown_pct", "calmar"})
