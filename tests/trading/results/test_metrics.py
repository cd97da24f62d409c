"""Statistics against numbers worked by hand, against pandas, and for accounts that came to nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.trading.orders.fills import Fill, Fills
from barray.trading.results.metrics import Statistics, drawdown, monthly_returns, statistics
from barray.trading.results.result import Trades

quick = settings(deadline=None, max_examples=100)


def trades(*pnl: float, still_open: Sequence[int] = (), commission: float = 0.5) -> Trades:
    """Trades of 2 shares in at 10 and out at 10 + pnl ÷ 2, held 3 bars, one after another."""
    n = len(pnl)
    profit, entry_ns = np.array(pnl, np.float64), np.arange(n, dtype=np.int64) * 10
    exit_ns = np.where(np.isin(np.arange(n), still_open), -1, entry_ns + 3)
    full = np.full
    return Trades(
        entry_ns,
        full(n, 10.0),
        exit_ns,
        10 + profit / 2,
        full(n, 2.0),
        profit,
        full(n, commission),
        np.minimum(profit, 0),
        np.maximum(profit, 0),
        full(n, 3, np.int64),
    )


def figures(
    equity: Sequence[float], sessions: Sequence[int] | None = None, capital: float = 100.0, **given: Any
) -> Statistics:
    """Statistics of an equity, a session a stamp unless `sessions` says otherwise."""
    values = np.array(equity, np.float64)
    grid = np.array(range(len(values)) if sessions is None else sessions, np.int32)
    settings = {"exposure": np.zeros(len(values)), "trades": trades(), **given}
    return statistics(values, grid_session=grid, capital=capital, **settings)


def test_returns_of_sessions_by_hand() -> None:
    found = figures([105, 110, 90, 99], [0, 0, 1, 2])  # closes 110, 90, 99
    returns = [10 / 100, -20 / 110, 9 / 90]
    mean = sum(returns) / 3
    spread = sqrt(sum((r - mean) ** 2 for r in returns) / 2)
    assert found.pnl == -1
    assert found.return_pct == pytest.approx(-1)
    assert found.volatility_pct == pytest.approx(100 * spread * sqrt(252))
    assert found.sharpe == pytest.approx(mean / spread * sqrt(252))
    assert found.sortino == pytest.approx(mean / (20 / 110 / sqrt(3)) * sqrt(252))
    assert found.cagr_pct == pytest.approx(100 * (0.99**84 - 1))
    assert found.calmar == pytest.approx(100 * (0.99**84 - 1) / (100 * 20 / 110))


def test_a_year_is_as_long_as_the_calendar_says() -> None:
    assert figures([100, 110, 121], sessions_per_year=6).cagr_pct == pytest.approx(100 * (1.21**2 - 1))
    assert figures([110] * 5, sessions_per_year=5).cagr_pct == pytest.approx(10)


def test_drawdown_counts_from_the_highest_equity_the_capital_included() -> None:
    found = figures([90, 95, 120, 108, 120, 119, 118], [0, 0, 0, 1, 1, 1, 2])
    assert found.max_drawdown == 12  # 120 to 108
    assert found.max_drawdown_pct == pytest.approx(10)  # 100 to 90, the same as 120 to 108
    assert found.max_drawdown_bars == 2  # 90, 95
    assert found.max_drawdown_sessions == 2  # 119 in one, 118 in the next
    assert drawdown(np.array([90.0, 120, 108, 120])).tolist() == pytest.approx([0, 0, -10, 0])
    assert drawdown(np.array([90.0, 120, 108, 120]), 100).tolist() == pytest.approx([-10, 0, -10, 0])


def test_a_drawdown_over_sessions_that_were_skipped_counts_those_there_are() -> None:
    assert figures([100, 99, 98, 101], [2, 5, 9, 9]).max_drawdown_sessions == 2


def test_rounding_is_no_drawdown() -> None:
    found = figures([100, 100 - 1e-12, 100, 100 - 1e-12])
    assert (found.max_drawdown, found.max_drawdown_pct, found.max_drawdown_bars) == (0, 0, 0)
    assert found.calmar is None


def test_trades_by_hand() -> None:
    found = figures([100, 104], trades=trades(6, -2, 0, 3, -3, 50, still_open=[5]))
    assert (found.trades, found.open_trades) == (5, 1)
    assert found.win_rate_pct == 40
    assert found.profit_factor == pytest.approx(9 / 5)
    assert found.expectancy == pytest.approx(4 / 5)
    assert (found.average_win, found.average_loss) == (4.5, -2.5)
    assert (found.best_trade, found.worst_trade, found.average_bars) == (6, -3, 3)
    assert found.commission == 3  # the open one's too


def test_turnover_is_what_was_bought_and_sold_in_equities() -> None:
    found = figures([90, 110], trades=trades(6, 50, still_open=[1]))
    assert found.turnover == pytest.approx((20 + 26 + 20) / 100)


def test_exposure_and_slippage() -> None:
    fills = Fills.of([Fill(0, 0, 1, 10, 0, 0.25, 1), Fill(1, 1, -1, 10, 0, 0.5, 2)])
    found = figures([100, 100, 100, 100], exposure=np.array([0.0, 5, 5, 0]), fills=[fills, fills])
    assert (found.exposure_pct, found.slippage) == (50, 1.5)
    assert figures([100], fills=fills).slippage == 0.75
    assert figures([100]).slippage is None


def test_several_symbols_trades_are_one_account_s() -> None:
    apart = figures([100, 104], trades=[trades(6, -2), trades(), trades(3)])
    assert apart == figures([100, 104], trades=trades(6, -2, 3))
    assert figures([100], trades=[]).trades == 0


def test_buying_and_holding() -> None:
    assert figures([100, 101], hold_equity=np.array([90.0, 120])).hold_return_pct == 20
    assert figures([100]).hold_return_pct is None


def test_no_trades_and_constant_equity_leave_undefined_figures_none() -> None:
    found = figures([100, 100, 100])
    assert (found.pnl, found.return_pct, found.cagr_pct, found.volatility_pct) == (0, 0, 0, 0)
    assert (found.max_drawdown, found.max_drawdown_bars, found.turnover, found.exposure_pct) == (0, 0, 0, 0)
    for name in ("sharpe", "sortino", "calmar", "win_rate_pct", "profit_factor", "expectancy", "average_win"):
        assert getattr(found, name) is None, name


def test_one_session_has_a_return_and_no_volatility() -> None:
    found = figures([101, 102], [0, 0])
    assert found.return_pct == pytest.approx(2)
    assert (found.volatility_pct, found.sharpe, found.sortino) == (None, None, None)


def test_a_year_made_of_a_fortune_is_beyond_numbers() -> None:
    assert figures([1e6], capital=100).cagr_pct is None


def test_no_losses_leave_profit_factor_and_sortino_none() -> None:
    found = figures([101, 103], trades=trades(1, 2))
    assert (found.profit_factor, found.sortino, found.average_loss) == (None, None, None)
    assert found.sharpe is not None


@pytest.mark.parametrize("last", [0.0, -50.0])
def test_an_account_that_came_to_nothing(last: float) -> None:
    found = figures([80, last])
    assert found.return_pct == last - 100
    assert found.cagr_pct == -100
    assert found.max_drawdown_pct == 100 - last
    assert found.sharpe is not None
    gone = figures([80, last, 10])
    assert (gone.volatility_pct, gone.sharpe, gone.sortino) == (None, None, None)  # 10 from nothing is no return


def test_profit_without_capital_of_its_own_has_no_percentages() -> None:
    found = figures([5, -3, 4], capital=0, trades=trades(4))
    assert (found.pnl, found.max_drawdown, found.max_drawdown_bars, found.expectancy) == (4, 8, 2, 4)
    for name in ("return_pct", "cagr_pct", "volatility_pct", "sharpe", "max_drawdown_pct", "calmar", "turnover"):
        assert getattr(found, name) is None, name


def test_nothing_at_all() -> None:
    found = figures([])
    assert (found.pnl, found.return_pct, found.cagr_pct, found.exposure_pct) == (0, 0, None, None)
    assert monthly_returns(np.empty(0), np.empty(0, np.int32), []) == {}


def test_months_follow_from_the_last_close_of_the_month_before() -> None:
    dates = ["2024-01-30", "2024-01-31", "2024-02-01", "2024-03-01"]
    equity, grid = np.array([100.0, 110, 120, 132, 99]), np.array([0, 0, 1, 2, 3], np.int32)
    assert monthly_returns(equity, grid, dates, 96) == pytest.approx({"2024-01": 25, "2024-02": 10, "2024-03": -25})
    assert monthly_returns(equity, grid, dates)["2024-01"] == pytest.approx(20)
    ruined = np.array([100.0, 110, 120, 0, 99])
    assert list(monthly_returns(ruined, grid, dates, 96)) == ["2024-01", "2024-02"]


@st.composite
def runs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Equity by bar and the sessions of the bars, 1 to 30 bars."""
    equity = draw(st.lists(st.floats(-50, 5_000), min_size=1, max_size=30))
    steps = draw(st.lists(st.booleans(), min_size=len(equity), max_size=len(equity)))
    return np.array(equity), np.cumsum(steps).astype(np.int32)


@pytest.mark.long
@quick
@given(runs(), st.lists(st.floats(-1e6, 1e6), max_size=8), st.sampled_from([0.0, 100.0]))
def test_figures_are_json_whatever_happened(
    run: tuple[np.ndarray, np.ndarray], pnl: list[float], capital: float
) -> None:
    equity, grid = run
    found = statistics(
        equity, np.abs(equity), grid, trades(*pnl, still_open=[0]), capital, hold_equity=equity
    ).as_dict()
    for name, value in json.loads(json.dumps(found, allow_nan=False)).items():
        assert value is None or isfinite(value), name
    assert found["max_drawdown"] >= 0
    assert found["max_drawdown_sessions"] <= found["max_drawdown_bars"] <= len(equity)


@pytest.mark.long
@quick
@given(st.lists(st.integers(-2, 300), min_size=1, max_size=20), st.sampled_from([0.01, 0.5, 7.0, 1_000.0]))
def test_ratios_do_not_depend_on_the_currency(equity: list[int], rate: float) -> None:
    plain, other = (figures([x * e for e in equity], capital=100 * x).as_dict() for x in (1.0, rate))
    for name in ("return_pct", "cagr_pct", "volatility_pct", "sharpe", "max_drawdown_pct", "max_drawdown_sessions"):
        if plain[name] is None:
            assert other[name] is None, name
        else:
            assert plain[name] == pytest.approx(other[name], rel=1e-6, abs=1e-6), name


def test_a_long_walk_agrees_with_pandas() -> None:
    random = np.random.default_rng(4)
    stamps = pd.date_range("2023-01-02", "2024-03-29", freq="B", tz="UTC")
    index = pd.DatetimeIndex(np.concatenate([day + pd.to_timedelta(np.arange(1, 8), "h") for day in stamps]))
    equity = pd.Series(1_000 * np.exp(np.cumsum(random.normal(1e-4, 3e-3, len(index)))), index)
    grid = np.repeat(np.arange(len(stamps), dtype=np.int32), 7)
    found = statistics(equity.to_numpy(), np.zeros(len(equity)), grid, trades(), 1_000.0)

    start = pd.Series([1_000.0], [stamps[0]])
    daily = pd.concat([start, equity.resample("B").last()]).pct_change().dropna()
    below = pd.concat([start, equity])
    falls = below / below.cummax() - 1
    under = falls < 0
    runs = under[under].groupby((~under).cumsum()[under])
    assert found.sharpe == pytest.approx(daily.mean() / daily.std() * sqrt(252))
    assert found.sortino == pytest.approx(daily.mean() / sqrt((daily.clip(upper=0) ** 2).mean()) * sqrt(252))
    assert found.volatility_pct == pytest.approx(100 * daily.std() * sqrt(252))
    assert found.cagr_pct == pytest.approx(100 * ((1 + daily).prod() ** (252 / len(daily)) - 1))
    assert found.max_drawdown_pct == pytest.approx(-100 * falls.min())
    assert found.max_drawdown_bars == runs.size().max()
    assert found.max_drawdown_sessions == max(run.index.normalize().nunique() for _, run in runs)

    months = pd.concat([start, equity.resample("ME").last()]).pct_change().dropna()
    dates = [str(day.date()) for day in stamps]
    by_month = monthly_returns(equity.to_numpy(), grid, dates, 1_000.0)
    assert by_month == pytest.approx({f"{day:%Y-%m}": 100 * value for day, value in months.items()})


def test_a_range_of_sessions_is_judged_from_its_own_start() -> None:
    equity, grid = np.array([102.0, 108]), np.array([2, 3], np.int32)
    assert statistics(equity, np.zeros(2), grid, trades(), 104.0) == figures([102, 108], capital=104)
