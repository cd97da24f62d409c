"""Own indicators in every form of a strategy, in sweeps and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from barray.market.errors import ConfigError
from barray.market.own_indicator import OwnIndicator, indicator
from barray.market.requirements import SymbolRequirements
from barray.trading.checks.causality import lookahead
from barray.trading.checks.warmup import warmup
from barray.trading.engine.symbol_run import run_loaded
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import Signals
from barray.trading.strategy.view import WindowView
from barray.trading.sweeps.evaluate import evaluate_sets, needs_of_all
from tests.trading.sweep_data import loaded_range, plan_of
from tests.trading.windows import Floor, plan


@indicator(bars=lambda n: n - 1, windowed=True)
def mean(close: np.ndarray, *, n: int = 5) -> np.ndarray:
    return talib.SMA(close, n)


@indicator(bars=lambda n: n - 1)
def smooth(close: np.ndarray, *, n: int = 5) -> np.ndarray:
    return talib.EMA(close, n)


@indicator(bars=4, outputs=("upperband", "middleband", "lowerband"))
def bands(close: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(talib.BBANDS(close, 5))


@indicator(bars=0)
def shown(close: np.ndarray) -> np.ndarray:
    """Peeks: a share of the highest close of all."""
    return close / close.max()


@indicator(bars=0)
def countdown(close: np.ndarray) -> np.ndarray:
    """Peeks at nothing but how many bars there are."""
    return np.arange(len(close), 0.0, -1.0)


class Twins(Strategy):
    """Own functions that wrap TA-Lib's, beside TA-Lib's own."""

    n: int = 5
    intervals = ("5m", "1d")

    def indicators(self) -> Mapping[str, str | OwnIndicator]:
        own: dict[str, str | OwnIndicator] = {}
        for at, suffix in (("1m", ""), ("5m", "_5m"), ("1d", "_1d")):
            own |= {f"own_mean{suffix}": mean(n=self.n) @ at, f"mean{suffix}": f"SMA({self.n})@{at}"}
            own |= {f"own_smooth{suffix}": smooth(n=self.n) @ at, f"smooth{suffix}": f"EMA({self.n})@{at}"}
        return {**own, "own_bands": bands, "bands": "BBANDS(5)"}

    def same(self, indicators: Mapping[str, Any], last: bool = False) -> None:
        names = [name for name in indicators if name.startswith("own_")]
        assert len(names) == 6 + 4
        for name in names:
            ours, talibs = indicators[name], indicators[name.removeprefix("own_")]
            np.testing.assert_array_equal(ours[-1:] if last else ours, talibs[-1:] if last else talibs)

    def signals(self, data: SymbolData) -> Signals:
        self.same(data.indicators)
        above = data.close > data.indicators["own_mean"]
        return Signals(above, ~above, size=1.0)

    def on_bar(self, ctx: Context) -> None:
        self.same(ctx.indicators, last=True)
        if not ctx.orders:
            ctx.order_target(float(ctx.close[-1] > ctx.indicators["own_mean"][-1]))

    def on_window(self, view: WindowView) -> None:
        self.same(view.indicators)


@pytest.mark.long
@given(seed=st.integers(0, 2**31), n=st.integers(2, 40), history=st.integers(0, 2), missing=st.sampled_from([0, 0.2]))
def test_a_wrapped_function_is_the_indicator_itself_bit_for_bit_in_all_forms(
    seed: int, n: int, history: int, missing: float
) -> None:
    loaded = loaded_range(seed, n=4, history=history, minutes=30, missing=missing)
    for form in ("signals", "on_bar"):
        assert run_loaded(loaded, plan_of(Twins, form, parameters={"n": n})).error is None
    floor = Floor(
        replace(plan("", "on_window"), source=plan_of(Twins, "").source, parameters={"n": n}), {"AAA": loaded}
    )
    floor.run()
    assert floor.portfolio.error is None


def test_a_warm_up_asks_for_history_as_a_lookback_does() -> None:
    needs = needs_of_all(Twins, [{"n": 3}, {"n": 30}])
    specs = tuple(needs.indicators.values())
    requirements = SymbolRequirements(needs.intervals, specs)
    sessions = loaded_range(n=40, minutes=60).session_range.sessions
    row = len(sessions) - 1
    assert requirements.history_sessions(sessions, row) == 29  # days before, of the daily mean of 30
    own = tuple(spec for spec in specs if spec.own and spec.interval.is_intraday)
    talibs = tuple(spec for spec in specs if not spec.own and spec.interval.is_intraday)
    back = [replace(requirements, indicators=some).history_sessions(sessions, row) for some in (own, talibs)]
    assert back == [3, 3]  # 29 bars of five minutes, twelve a session


def test_a_sweep_computes_each_set_of_parameters_once() -> None:
    loaded, computed = loaded_range(), Computed()
    sets = [{"n": n} for n in (3, 5, 3)]
    table = evaluate_sets(loaded, plan_of(Twins, "signals"), sets, computed)
    assert table.errors == (None,) * 3
    assert table.pnl[0] == table.pnl[2] != table.pnl[1]
    spec = needs_of_all(Twins, sets[:1]).indicators["mean(n=3)@1m"]
    assert computed.values(spec, dict) != {}


class Peeker(Strategy):
    """Has indicators that know the future, and need not follow them."""

    kind: str = "shown"
    follows: bool = True

    def indicators(self) -> Mapping[str, str | OwnIndicator]:
        return {"peek": {"shown": shown, "countdown": countdown, "mean": mean, "smooth": smooth}[self.kind]}

    def signals(self, data: SymbolData) -> Signals:
        up = data.indicators["peek"] > (0.99 if self.follows else 0.0)
        return Signals(up, ~up, size=1.0)


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("kind", ["shown", "countdown"])
def test_lookahead_names_an_indicator_that_peeks_and_where_it_stands(kind: str, follows: bool) -> None:
    plan = plan_of(Peeker, "signals", parameters={"kind": kind, "follows": follows})
    report = lookahead(loaded_range(), plan, cuts=5)
    assert report.verdict == "looks ahead"
    line = {"shown": shown, "countdown": countdown}[kind].function.__code__.co_firstlineno
    assert f"peek ({kind}@1m, {__file__} line {line})" in "\n".join(report.sentences)
    honest = plan_of(Peeker, "signals", parameters={"kind": "mean", "follows": follows})
    assert lookahead(loaded_range(), honest, cuts=5).verdict == "ok"


def test_warmup_tells_of_an_own_indicator_that_has_not_converged() -> None:
    report = warmup(
        loaded_range(n=12, back=8, history=1, minutes=10), plan_of(Peeker, "signals", parameters={"kind": "smooth"})
    )
    assert [one.key for one in report.indicators] == ["smooth(n=5)@1m"]
    assert report.indicators[0].difference > 0


@indicator(bars=0)
def broken(close: np.ndarray, *, n: int = 0) -> np.ndarray:
    return close[n:]


class Broken(Strategy):
    n: int = 1

    def indicators(self) -> Mapping[str, str | OwnIndicator]:
        return {"x": broken(n=self.n)}

    def signals(self, data: SymbolData) -> Signals:
        return Signals(data.close > 0, data.close < 0, size=1.0)


def test_an_indicators_fault_names_it_its_place_and_the_symbol() -> None:
    told = rf"^AAA 1m: indicator broken \({__file__} line \d+\): it returns \d+ values for \d+ bars; return one value"
    with pytest.raises(ConfigError, match=told):
        run_loaded(loaded_range(), plan_of(Broken, "signals"))
    table = evaluate_sets(loaded_range(), plan_of(Broken, "signals"), [{"n": 0}, {"n": 1}])
    assert table.errors[0] is None
    assert "indicator broken" in str(table.errors[1])


ADDING = """
from barray import indicator
@indicator(bars=1)
def double(close, *, by=2): return close * by
@indicator(bars=0)
def bad(close): return 1
class Adds(Strategy):
    def on_window(self, view):
        if view.minute == 1:
            assert view.add_adhoc_indicator("AAA", double(by=3) @ "5m")
            assert "names no interval" in view.add_adhoc_indicator("AAA", double).reason
            assert "bad" in view.add_adhoc_indicator("AAA", bad @ "1m").reason
        if view.minute == 10:
            value, close = view.indicators["double(by=3)@5m"][0], view.history("close", 1)[-1, 0]
            print(value == 3 * close)
"""


def test_a_strategy_over_all_symbols_adds_one_in_the_session() -> None:
    floor = Floor(plan(ADDING, "on_window"), {"AAA": loaded_range(n=3, minutes=10, missing=0)})
    floor.run()
    assert floor.portfolio.error is None
    assert [line.text for line in floor.said] == ["True"]
