"""Equity as of each stamp of the grid, buy and hold beside it, and sessions' profits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar, Bars, FloatArray
from barray.market.calendar import Sessions
from barray.market.series import IntervalBars
from barray.trading.orders.fills import Fill, Fills
from barray.trading.results.equity import EquityCurve, equity_on_grid, session_closes, session_pnl
from tests.market.builders import MINUTE_NS, lay

quick = settings(deadline=None, max_examples=100)
ONE_DAY = Sessions(*(np.array([x], d) for x, d in ((0, "M8[D]"), *((m * MINUTE_NS, "i8") for m in (0, 100, 100, 100)))))


def series(closes: dict[int, float]) -> IntervalBars:
    """Bars of a minute by the minute they start at; opens are a dollar below the closes."""
    rows = [Bar(minute * MINUTE_NS, close - 1, close, close - 1, close, 1.0) for minute, close in closes.items()]
    return lay(Bars.of(rows), "1m", ONE_DAY)


def fills(*rows: tuple[int, float, float], commission: float = 0.0) -> Fills:
    """Fills from (row, quantity, price)."""
    return Fills.of([Fill(row, 0, quantity, price, commission, 0.0, 1) for row, quantity, price in rows])


def curves(*arguments: Any) -> tuple[FloatArray, FloatArray]:
    curve = equity_on_grid(*arguments)
    return curve.equity, curve.exposure


def minutes(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64) * MINUTE_NS


def test_equity_is_cash_and_position_at_the_last_close_known() -> None:
    base = series({0: 10, 1: 11, 2: 12, 3: 13})
    made = fills((1, 5, 10.5), (3, -5, 12.5), commission=1.0)
    equity, exposure = curves(made, base, 1_000, minutes(1, 2, 3, 4))
    assert equity.tolist() == [1_000, 1_000 - 52.5 - 1 + 55, 1_000 - 52.5 - 1 + 60, 1_000 + 10 - 2]
    assert exposure.tolist() == [0, 55, 60, 0]


def test_a_missing_bar_leaves_the_last_close_and_before_the_first_there_is_the_capital() -> None:
    base = series({2: 10, 5: 20})
    equity, exposure = curves(fills((0, -3, 9)), base, 100, minutes(1, 2, 3, 4, 5, 6, 7))
    assert equity.tolist() == [100, 100, 97, 97, 97, 67, 67]
    assert exposure.tolist() == [0, 0, -30, -30, -30, -60, -60]


def test_all_fills_of_a_bar_are_known_at_its_end() -> None:
    base = series({0: 10, 1: 11})
    equity, exposure = curves(fills((0, 4, 9), (0, -3, 10)), base, 100, minutes(1, 2))
    assert equity.tolist() == [100 - 36 + 30 + 10, 100 - 36 + 30 + 11]
    assert exposure.tolist() == [10, 11]


def test_without_bars_or_fills_equity_is_the_capital() -> None:
    nothing = series({})
    for base, made in ((nothing, fills()), (series({0: 10, 1: 11}), fills())):
        equity, exposure = curves(made, base, 100, minutes(1, 2, 3))
        assert equity.tolist() == [100, 100, 100]
        assert exposure.tolist() == [0, 0, 0]
        assert len(equity_on_grid(made, base, 100, minutes())) == 0


def test_rounding_in_fractional_shares_is_no_exposure() -> None:
    base = series({0: 10, 1: 11})
    _, exposure = curves(fills((0, 0.1, 9), (0, 0.2, 9), (1, -0.3, 11)), base, 100, minutes(1, 2))
    assert exposure.tolist() == [pytest.approx(3), 0]


def test_the_last_close_known_at_each_sessions_end() -> None:
    base = series({0: 50, 1: 11, 4: 30, 8: 20})
    closes = session_closes(base, 1, minutes(1, 2, 7, 50))
    assert np.isnan(closes[0])
    assert closes[1:].tolist() == [11, 30, 20]
    assert np.isnan(session_closes(base, 4, minutes(1, 2))).all()


def test_sessions_profits_add_up_and_one_without_stamps_has_none() -> None:
    equity = np.array([101.0, 103, 99, 104])
    pnl = session_pnl(equity, np.array([1, 1, 3, 3], np.int32), 5, 100)
    assert pnl.tolist() == [0, 3, 0, 1, 0]
    assert session_pnl(np.empty(0), np.empty(0, np.int32), 2, 100).tolist() == [0, 0]


@pytest.mark.long
@quick
@given(st.data())
def test_equity_is_what_an_account_kept_by_hand_holds(data: st.DataObject) -> None:
    starts = sorted(data.draw(st.sets(st.integers(0, 20), max_size=12)))
    closes = {minute: data.draw(st.integers(2, 40)) for minute in starts}
    rows = sorted(data.draw(st.lists(st.integers(0, len(starts) - 1), max_size=6))) if starts else []
    trades = [(row, data.draw(st.integers(-5, 5)), data.draw(st.integers(1, 40))) for row in rows]
    stamps = data.draw(st.sampled_from([[m + 1 for m in starts], list(range(1, 25)), [3, 9]]))
    equity, exposure = curves(fills(*trades, commission=1), series(closes), 500, minutes(*stamps))
    for number, stamp in enumerate(stamps):
        known = [minute for minute in starts if minute + 1 <= stamp]
        done = trades[: sum(row < len(known) for row in rows)]
        position = sum(quantity for _, quantity, _ in done)
        cash = 500 - sum(quantity * price + 1 for _, quantity, price in done)
        last = closes[known[-1]] if known else 0
        assert equity[number] == pytest.approx(cash + position * last)
        assert exposure[number] == pytest.approx(position * last)


@pytest.mark.long
@quick
@given(
    st.lists(st.lists(st.tuples(st.integers(-2, 2), st.sampled_from([0.0, 0.0, 1.5, -2.5])), max_size=8), max_size=4),
    st.lists(st.floats(-9, 9), min_size=4, max_size=4),
)
def test_a_curve_gives_back_what_it_was_made_of(parts: list[list[tuple[int, float]]], levels: list[float]) -> None:
    columns = [np.array(part, np.float64).reshape(-1, 2).T for part in parts]
    made = EquityCurve.joined([EquityCurve.of(cash, exposure) for cash, exposure in [np.empty((2, 0)), *columns]])
    cash, exposure = np.concatenate([np.empty((2, 0)), *columns], axis=1)
    level = np.repeat(levels[: len(parts)], [len(part) for part in parts])
    assert len(made) == len(cash)
    assert made.exposure.tobytes() == exposure.tobytes()
    assert made.equity.tobytes() == (cash + exposure + 0.0).tobytes()
    assert made.raised(level).equity.tobytes() == (level + (cash + exposure)).tobytes()
    assert np.all(made.spans > 0)
