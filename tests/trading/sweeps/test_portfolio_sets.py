"""Sweeping a portfolio: the same figures as backtests one by one, over one panel, in blocks or at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan
from barray.trading.engine.portfolio import block_of
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.engine.symbol_run import LoadedRange, lay_range
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.strategy import panel
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.panel import PanelBlock
from barray.trading.sweeps.evaluate import needs_of_all
from barray.trading.sweeps.portfolio_sets import PortfolioSets, Seen
from barray.trading.sweeps.table import SetRow
from tests.trading.windows import MINUTE, Floor, lay, plan, sessions_of

COSTLY = Market(Commission(per_share=0.01, per_trade=0.1), Slippage(bps=2.0), volume_share=0.05)
MONKEY = """
class Monkey(Strategy):
    seed: int = 0
    fast: int = parameter(3, low=2)
    coarse: str = "1m"

    def indicators(self):
        return {"fast": f"SMA({self.fast})", "macd": f"MACD(2,{self.fast + 1},2)@{self.coarse}", "ema": "EMA(4)"}

    def random(self, now_ns, salt=0):
        return np.random.default_rng([self.seed, now_ns // 1_000_000_000, salt])

    def on_window(self, view):
        random, values = self.random(view.now_ns), view.indicators
        assert sorted(values) == ["ema", "fast", "macd", "macd.macd", "macd.macdhist", "macd.macdsignal"]
        for number, symbol in enumerate(view.symbols):
            price, wanted = view.close[number], float(random.integers(-20, 40))
            if np.isnan(price) or random.random() > 0.2: continue
            rising = values["fast"][number] > values["ema"][number] or values["macd.macdsignal"][number] > 0
            match random.integers(0, 4):
                case 0: view.order_target(symbol, wanted if rising else 0.0)
                case 1: view.order(symbol, wanted, limit=price * random.uniform(0.99, 1.01))
                case 2: view.order(symbol, wanted, stop_loss=price * 0.99, tif="day")
                case _: view.cancel_all(symbol)
        if random.random() < 0.05: view.rebalance({symbol: 0.3 for symbol in view.symbols[:2]})

    def on_bar(self, ctx):
        random, values = self.random(ctx.now_ns, ord(ctx.symbol)), ctx.indicators
        if random.random() < 0.2:
            rising = values["fast"][-1] > values["ema"][-1] or values["macd.macdsignal"][-1] > 0
            ctx.order_target(float(random.integers(-10, 30)) if rising else 0.0)

    def signals(self, data):
        above = data.indicators["fast"] > data.indicators["ema"]
        return Signals(above, ~above, size=float(5 + self.seed))
"""
SETS = [{"seed": seed, "fast": fast, "coarse": c} for seed, fast, c in ((0, 3, "1m"), (1, 3, "5m"), (2, 5, "1m"))]


def walks(session_range: SessionRange, seed: int, missing: float = 0.1) -> dict[str, LoadedRange]:
    """Four symbols' random walks with holes."""
    found = {}
    for name in "ABCD":
        random = np.random.default_rng([seed, ord(name)])
        n = int((session_range.sessions.close_ns - session_range.sessions.open_ns).sum() // 60_000_000_000)
        closes = np.round(50 * np.exp(np.cumsum(random.normal(0, 0.004, n))), 2)
        whole = lay(session_range, name, closes.tolist(), volume=random.integers(100, 900, n).tolist()).base.bars
        there = random.random(len(whole)) >= missing
        bars = Bars(*(getattr(whole, column)[there] for column in ("start_ns", *COLUMNS)))
        found[name] = lay_range(name, bars, MINUTE, session_range, "memory", {})
    return found


def laid_out(loaded: Mapping[str, LoadedRange], sets: Sequence[Mapping[str, Any]], made: Plan) -> PanelBlock:
    """A block for all sets, as symbols' processes lay it out."""
    needs = needs_of_all(made.source.load(), [dict(one) for one in sets], made.parameters)
    data = {symbol: one.prepare_for(needs) for symbol, one in loaded.items()}
    return block_of(next(iter(loaded.values())).session_range, data, MINUTE)


def swept(
    made: Plan, loaded: Mapping[str, LoadedRange], sets: Sequence[Mapping[str, Any]], window: Interval = MINUTE
) -> list[SetRow]:
    session_range = next(iter(loaded.values())).session_range
    runs = PortfolioSets(made, window, MINUTE, [dict(one) for one in sets])
    block = laid_out(loaded, sets, made)
    assert runs.are_laid_out_in(block)
    runs.go(session_range, block)
    return runs.rows({})


def require_the_backtests_figures(row: SetRow, made: Plan, loaded: Mapping[str, LoadedRange], window: Interval) -> int:
    """How many fills there were."""
    results = Floor(replace(made, parameters={**made.parameters, **row.parameters}), loaded, window).run()
    assert row.error is None
    trades = [result.trades for result in results.values()]
    profit = np.concatenate([one.pnl for one in trades])
    won, lost = profit[profit > 0], profit[profit <= 0]
    assert (row.trades, row.wins) == (len(profit), len(won))
    assert row.gross_profit == pytest.approx(won.sum(), abs=1e-7)
    assert row.gross_loss == pytest.approx(-lost.sum(), abs=1e-7)
    assert row.commission == pytest.approx(sum(result.fills.commission.sum() for result in results.values()))
    assert row.slippage == pytest.approx(sum(result.fills.slippage.sum() for result in results.values()), abs=1e-9)
    assert row.symbol_pnl == pytest.approx({symbol: result.pnl for symbol, result in results.items()}, abs=1e-7)
    assert row.session_pnl == pytest.approx(sum(result.session_pnl for result in results.values()), abs=1e-7)
    capital = made.account.capital if made.shared else 0.0
    equity = np.full(len(next(iter(results.values())).equity), capital)
    for result in results.values():
        equity += result.equity
    ends = equity[-1] - (capital if made.shared else made.account.capital * len(results))
    assert row.pnl == ends if made.account.carry else row.pnl == pytest.approx(ends, abs=1e-7)
    return sum(len(result.fills) for result in results.values())


@pytest.mark.long
@pytest.mark.parametrize("form", ["on_window", "on_bar", "signals"])
@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.sampled_from([{}, {"capital": 3_000.0, "margin": 0.5}, {"flat_at_close": True, "carry": False}]),
    st.sampled_from([Market(), COSTLY]),
    st.sampled_from(["1m", "5m"]),
)
def test_figures_are_those_of_backtests_one_by_one(
    form: str, seed: int, shared: bool, account: dict[str, Any], market: Market, window: str
) -> None:
    made = plan(MONKEY, form, shared=shared or form != "on_window", market=market, **account)
    loaded = walks(sessions_of(3, 40, back=1), seed)
    rows = swept(made, loaded, SETS, Interval.parse(window))
    fills = sum(require_the_backtests_figures(row, made, loaded, Interval.parse(window)) for row in rows)
    assert fills > 20


@pytest.mark.long
def test_blocks_one_after_another_make_the_same_rows_as_all_sessions_at_once() -> None:
    made, session_range = plan(MONKEY, "on_window", capital=5_000.0), sessions_of(6, 30, back=1)
    loaded = walks(session_range, 3)
    whole = swept(made, loaded, SETS)
    runs = PortfolioSets(made, MINUTE, MINUTE, [dict(one) for one in SETS])
    for part in session_range.split(3):
        rows = slice(*np.searchsorted(loaded["A"].base.session, (part.first_row, int(part.rows[-1]) + 1)).tolist())
        assert rows.start < rows.stop
        cut = {symbol: part_of(one, part) for symbol, one in loaded.items()}
        runs.go(part, laid_out(cut, SETS, made))
    for one, other in zip(whole, runs.rows({}), strict=True):
        assert one.as_json() == other.as_json()
        assert one.trades > 3


def part_of(loaded: LoadedRange, part: SessionRange) -> LoadedRange:
    """What is loaded of it for some of the sessions."""
    base = loaded.base
    rows = slice(*np.searchsorted(base.session, (part.first_row, int(part.rows[-1]) + 1)).tolist())
    return replace(loaded, base=base.take(rows), session_range=part, traded=part.rows)


@pytest.mark.long
def test_what_is_stacked_for_one_set_is_there_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stacked: list[int] = []
    stack = panel.PanelBlock._stacked
    monkeypatch.setattr(panel.PanelBlock, "_stacked", lambda self, *a: stacked.append(1) or stack(self, *a))
    made, loaded = plan(MONKEY, "on_window"), walks(sessions_of(2, 30), 1, missing=0.0)
    swept(made, loaded, SETS[:1])
    once = len(stacked)
    stacked.clear()
    swept(made, loaded, [{**SETS[0], "seed": seed} for seed in range(6)])
    assert len(stacked) == once


FAULTY = """
class Faulty(Strategy):
    n: int = parameter(1, low=0)
    def indicators(self): return {"mean": f"SMA({self.n})"}
    def on_window(self, view):
        print(f"set {self.n} at {view.minute}")
        if self.n == 3 and view.minute == 5: raise RuntimeError("three is bad luck")
        if self.n == 4: view.add_symbol("Z")
        if self.n == 6: view.history("close", interval="5m")
        if view.minute == 2: view.order("A", self.n)
"""


def test_sets_that_come_later_see_a_block_as_those_before_did(monkeypatch: pytest.MonkeyPatch) -> None:
    made, loaded = plan(MONKEY, "on_window"), walks(sessions_of(2, 30), 1)
    sets = [{"fast": fast} for fast in (2, 3, 2, 4, 3)]
    block, session_range = laid_out(loaded, sets, made), next(iter(loaded.values())).session_range
    seen = Seen(block)
    looks: list[Needs] = []
    look = PanelBlock.seen_with
    monkeypatch.setattr(PanelBlock, "seen_with", lambda self, needs: (looks.append(needs), look(self, needs))[1])
    runs = [PortfolioSets(made, MINUTE, MINUTE, [one]) for one in sets]
    for run in runs:
        run.go(session_range, block, seen)
    assert len(looks) == 3
    assert [run.rows({})[0].pnl for run in runs] == [row.pnl for row in swept(made, loaded, sets)]


def books() -> set[int]:
    """The addresses of all that there are."""
    return {id(one) for one in gc.get_objects() if isinstance(one, SymbolBook)}


@pytest.mark.parametrize("form", ["on_window", "on_bar"])
def test_of_sets_that_are_done_neither_books_nor_bars_wait_for_the_collector(form: str) -> None:
    made, loaded = plan(MONKEY, form, shared=True), walks(sessions_of(2, 30), 1)
    block, session_range = laid_out(loaded, SETS, made), next(iter(loaded.values())).session_range
    runs, bars = PortfolioSets(made, MINUTE, MINUTE, SETS), weakref.ref(block)
    gc.collect()
    before = books()  # of other tests, which pytest may hold
    gc.disable()
    try:
        runs.go(session_range, block, Seen(block), last=True)
        del block
        assert books() == before
        assert bars() is None
    finally:
        gc.enable()
    found, wanted = ([row.pnl for row in rows] for rows in (runs.rows({}), swept(made, loaded, SETS)))
    np.testing.assert_array_equal(found, wanted)  # NaN where one in error was let go of, too


def test_of_views_of_a_block_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seen, "most", 2)
    made, loaded = plan(MONKEY, "on_window"), walks(sessions_of(1, 30), 1)
    sets = [{"fast": fast} for fast in (2, 3, 4)]
    seen = Seen(laid_out(loaded, sets, made))
    two, three, four = (made.source.load()(**one).needs() for one in sets)
    views = [seen.by(needs) for needs in (two, three, two, four)]
    assert views[0] is views[2]
    assert seen.by(two) is views[0]
    assert seen.by(three) is not views[1]


def test_a_set_in_error_has_no_figures_and_the_rest_go_on() -> None:
    sets = [{"n": n} for n in (1, 3, 0, -1, 4, 5, 6)]
    rows = swept(plan(FAULTY, "on_window"), walks(sessions_of(2, 10), 0), sets)
    words = [None, "three is bad luck", "SMA(0)", "give at least 0", "no symbols but those of the config", None, "5m"]
    for row, word in zip(rows, words, strict=True):
        assert (row.error is None) == (word is None), row.error
        assert word is None or word in str(row.error)
        assert np.isnan(row.session_pnl).all() == (word is not None)
        assert len(row.session_pnl) == 2
    assert [row.trades for row in rows] == [2, 0, 0, 0, 0, 2, 0]
    assert [len(row.logs.lines) for row in rows] == [20, 5, 0, 0, 1, 0, 1]


def test_a_set_whose_needs_were_not_laid_out_is_noticed_before_anything_is_run() -> None:
    made, loaded = plan(MONKEY, "on_window"), walks(sessions_of(2, 30), 1)
    runs = PortfolioSets(made, MINUTE, MINUTE, [{"fast": 9}])
    assert not runs.are_laid_out_in(laid_out(loaded, SETS, made))
    assert runs.are_laid_out_in(laid_out(loaded, [{"fast": 9}], made))


def test_an_interval_that_only_another_set_names_is_not_there() -> None:
    text = """
class Coarse(Strategy):
    five: bool = False
    def needs(self):
        self.intervals = ("5m",) if self.five else ()
        return super().needs()
    def on_window(self, view):
        view.history("close", interval="5m")
"""
    rows = swept(plan(text, "on_window"), walks(sessions_of(1, 20), 0), [{"five": True}, {"five": False}])
    assert rows[0].error is None
    assert "bars of 5m are not loaded" in str(rows[1].error)


def test_of_no_sessions_with_bars_nothing_comes() -> None:
    runs = PortfolioSets(plan(MONKEY, "on_window"), MINUTE, MINUTE, [{}])
    assert runs.are_laid_out_in(None)
    runs.go(sessions_of(2, 10), None)
    (row,) = runs.rows({})
    assert (row.pnl, row.session_pnl.tolist(), row.symbol_pnl) == (0.0, [0.0, 0.0], {})
