"""Sweeping one symbol: the same figures as runs one by one, and errors that stay with their set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from barray.market.interval import Interval
from barray.trading.engine.event_run import run_symbol
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.results.trades import round_trips
from barray.trading.strategy import range_bars
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.parameter import parameter
from barray.trading.strategy.signals import Signals
from barray.trading.sweeps.evaluate import evaluate_sets, needs_of_all
from barray.trading.sweeps.parameter_sets import grid
from tests.trading.sweep_data import loaded_range, plan_of


class Cross(Strategy):
    fast: int = parameter(3, low=2)
    slow: int = 8
    both: bool = False
    coarse: str = "1m"

    def indicators(self) -> dict[str, str]:
        return {"fast": f"SMA({self.fast})", "slow": f"EMA({self.slow})", "trend": f"RSI(3)@{self.coarse}"}

    def signals(self, data: SymbolData) -> Signals:
        above = data.indicators["fast"] > data.indicators["slow"]
        below = data.indicators["fast"] < data.indicators["slow"]
        if self.both:
            return Signals(above, below, below, above, size=10.0, stop_loss=data.close * 0.998)
        return Signals(above, below, size=10.0)

    def on_bar(self, ctx: Context) -> None:
        fast, slow = ctx.indicators["fast"][-1], ctx.indicators["slow"][-1]
        if fast > slow and ctx.position <= 0 and not ctx.orders:
            ctx.buy(10)
        elif fast < slow and ctx.position > 0 and not ctx.orders:
            ctx.sell(7)


COSTLY = Market(Commission(per_share=0.01, per_trade=0.1), Slippage(bps=2.0), volume_share=0.05)
SETS = grid(Cross, {"fast": [2, 3, 5], "slow": [8, 13], "both": [False, True]})


@pytest.mark.long
@pytest.mark.parametrize("form", ["signals", "on_bar"])
@pytest.mark.parametrize(
    ("market", "account"),
    [(Market(), Account()), (COSTLY, Account(capital=2_000.0)), (COSTLY, Account(flat_at_close=True))],
)
def test_figures_are_those_of_runs_one_by_one(form: str, market: Market, account: Account) -> None:
    loaded = loaded_range(4)
    table = evaluate_sets(loaded, plan_of(Cross, form, market, account), SETS)
    assert table.errors == (None,) * len(SETS)
    assert table.n_trades.sum() > 50
    for row, one in enumerate(table.sets):
        strategy = Cross(**one)
        fills = run_symbol(strategy, loaded.prepare(strategy), market, account, form=form).fills
        bars = loaded.base.bars
        trades = round_trips(fills, bars, len(bars) - 1)
        won, lost = trades.pnl[trades.pnl > 0], trades.pnl[trades.pnl <= 0]
        counted = (len(trades), int(trades.is_open.sum()), len(won))
        assert (table.n_trades[row], table.n_open[row], table.wins[row]) == counted
        assert table.gross_profit[row] == pytest.approx(won.sum())
        assert table.gross_loss[row] == pytest.approx(-lost.sum(), abs=1e-9)
        assert table.commission[row] == pytest.approx(fills.commission.sum())
        assert table.slippage[row] == pytest.approx(fills.slippage.sum())
        assert table.pnl[row] == pytest.approx(trades.pnl.sum())
        equity = _equity_at_closes(fills, loaded.base, loaded.traded, account.capital)
        assert table.session_pnl[row] == pytest.approx(np.diff(equity, prepend=account.capital))
        peaks = np.maximum.accumulate(np.maximum(equity, account.capital))
        assert table.max_drawdown[row] == pytest.approx((peaks - equity).max())


def _equity_at_closes(fills: Any, base: Any, traded: Any, capital: float) -> np.ndarray:
    """Bar by bar, as one would count it by hand."""
    cash, position, equity = capital, 0.0, dict.fromkeys(traded.tolist(), capital)
    for row in range(len(base)):
        for at in np.flatnonzero(fills.row == row):
            cash -= fills.quantity[at] * fills.price[at] + fills.commission[at]
            position += fills.quantity[at]
        equity[int(base.session[row])] = cash + position * base.bars.close[row]
    return np.array([equity[row] for row in traded.tolist()])


def test_profit_is_what_was_gained_less_what_was_lost_and_the_sum_of_the_sessions() -> None:
    table = evaluate_sets(loaded_range(9), plan_of(Cross, "signals", COSTLY), SETS)
    assert table.gross_profit - table.gross_loss == pytest.approx(table.pnl)
    assert table.session_pnl.sum(axis=1) == pytest.approx(table.pnl)


def test_each_indicator_and_derived_interval_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed, derived = [], []
    compute, derive = range_bars.compute, range_bars.derive_beside
    monkeypatch.setattr(range_bars, "compute", lambda spec, s: computed.append(spec.key) or compute(spec, s))
    monkeypatch.setattr(
        range_bars, "derive_beside", lambda base, past, to, *a: derived.append(str(to)) or derive(base, past, to, *a)
    )
    sets = grid(Cross, {"fast": [2, 3], "slow": [8, 13], "coarse": ["5m"], "both": [False, True]})
    evaluate_sets(loaded_range(), plan_of(Cross, "signals"), sets)
    assert derived == ["5m"]
    assert computed.count("SMA(2)@1m") == computed.count("SMA(3)@1m") == 1
    assert computed.count("EMA(8)@1m") == computed.count("EMA(13)@1m") == 6  # once for each session


@pytest.mark.long
def test_values_not_used_for_longest_make_room() -> None:
    loaded, plan = loaded_range(), plan_of(Cross, "signals")
    whole = evaluate_sets(loaded, plan, SETS)
    tight = evaluate_sets(loaded, plan, SETS, Computed(most_bytes=3 * loaded.base.bars.close.nbytes))
    np.testing.assert_array_equal(whole.session_pnl, tight.session_pnl)


class Faulty(Cross):
    def signals(self, data: SymbolData) -> Signals:
        if self.fast == 3:
            raise RuntimeError("three is bad luck")
        if self.fast == 4:
            return None  # type: ignore[return-value]
        return super().signals(data)


def test_a_set_in_error_has_no_figures_and_the_rest_go_on() -> None:
    sets = [{"fast": n, "slow": s} for n, s in ((2, 8), (3, 8), (4, 8), (1, 8), (5, 0), (5, 8), (5, 13))]
    table = evaluate_sets(loaded_range(), plan_of(Faulty, "signals"), sets)
    words = [None, "three is bad luck", "not Signals", "give at least 2", "EMA(0)", None, None]
    for error, word in zip(table.errors, words, strict=True):
        assert (error is None) == (word is None)
        assert word is None or word in str(error)
    failed = [error is not None for error in table.errors]
    assert np.isnan(table.pnl).tolist() == failed
    assert np.isnan(table.session_pnl).all(axis=1).tolist() == failed
    assert (table.n_trades[failed] == 0).all()


class Idle(Strategy):
    n: int = 1

    def signals(self, data: SymbolData) -> Signals:
        no = np.zeros(len(data.close), np.bool_)
        return Signals(no, no)


def test_a_strategy_without_trades_and_one_on_no_bars() -> None:
    loaded, plan, sets = loaded_range(), plan_of(Idle, "signals"), grid(Idle, {"n": [1, 2]})
    table = evaluate_sets(loaded, plan, sets)
    assert table.session_pnl.tolist() == np.zeros((2, 6)).tolist()
    assert table.max_drawdown.tolist() == table.pnl.tolist() == [0.0, 0.0]
    empty = replace(loaded, base=loaded.base.take(slice(0, 0)))
    assert evaluate_sets(empty, plan, sets).pnl.tolist() == [0.0, 0.0]


def test_sessions_that_are_skipped_have_a_column_and_parameters_that_the_sets_leave_alone_hold() -> None:
    loaded = loaded_range(4)
    skipped = replace(loaded, traded=np.delete(loaded.traded, [1, 3]))
    whole = evaluate_sets(skipped, plan_of(Cross, "signals", parameters={"slow": 13}), [{"fast": 2}])
    assert whole.session_pnl.shape == (1, 6)
    alone = evaluate_sets(skipped, plan_of(Cross, "signals"), [{"fast": 2, "slow": 13}, {"fast": 2}])
    np.testing.assert_array_equal(whole.session_pnl[0], alone.session_pnl[0])
    assert (whole.session_pnl[0] != alone.session_pnl[1]).any()


def test_what_all_sets_need_together() -> None:
    needs = needs_of_all(Cross, [{"fast": 2}, {"fast": 3, "coarse": "5m"}, {"fast": 0}])
    assert needs.intervals == (Interval.parse("1m"),)
    assert list(needs.indicators) == ["SMA(2)@1m", "EMA(8)@1m", "RSI(3)@1m", "SMA(3)@1m", "RSI(3)@5m"]


class Talks(Strategy):
    n: int = 1

    def on_start(self, ctx: Context) -> None:
        for line in range(30):
            print(f"set {self.n}, line {line}")

    def on_bar(self, ctx: Context) -> None:
        if self.n % 3 == 0:
            raise ValueError("a multiple of three")


def test_what_is_said_is_kept_of_the_first_set_and_of_those_in_error_and_bounded() -> None:
    table = evaluate_sets(loaded_range(), plan_of(Talks, "on_bar"), [{"n": n} for n in (1, 2, 3, 4)])
    assert [len(logs.lines) for logs in table.logs] == [20, 0, 20, 0]
    assert [logs.left_out for logs in table.logs] == [10, 0, 10, 0]
    assert (table.logs[2].lines[0].text, table.logs[2].lines[0].symbol) == ("set 3, line 0", "AAA")
