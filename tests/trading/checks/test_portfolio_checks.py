"""The checks find what was planted in strategies over all symbols and over one account, and leave honest ones alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.checks.causality import lookahead
from barray.trading.checks.lookahead_report import LookaheadReport
from barray.trading.checks.warmup import WarmupReport, warmup
from barray.trading.engine.symbol_run import LoadedRange, lay_range
from barray.trading.orders.costs import Commission, Market, Slippage
from tests.trading.sweep_data import weekdays
from tests.trading.windows import MINUTE, lay, plan, sessions_of

COSTLY = Market(Commission(per_share=0.01), Slippage(bps=1.0), volume_share=0.2)


def walks(session_range: SessionRange, seed: int = 0, missing: float = 0.05) -> list[LoadedRange]:
    """Three symbols' random walks with holes."""
    found = []
    for name in ("AAA", "BBB", "CCC"):
        random = np.random.default_rng([seed, ord(name[0])])
        n = int((session_range.sessions.close_ns - session_range.sessions.open_ns).sum() // 60_000_000_000)
        closes = np.round(50 * np.exp(np.cumsum(random.normal(0, 0.004, n))), 2)
        whole = lay(session_range, name, closes.tolist(), volume=random.integers(100, 900, n).tolist()).base.bars
        there = random.random(len(whole)) >= missing
        bars = Bars(*(getattr(whole, column)[there] for column in ("start_ns", *COLUMNS)))
        found.append(lay_range(name, bars, MINUTE, session_range, "memory", {}))
    return found


def look(text: str, form: str = "on_window", window: str = "1m", cuts: int | None = 24, **how: Any) -> LookaheadReport:
    made = plan(text, form, market=COSTLY, **how)
    return lookahead(walks(sessions_of(3, 40, back=1)), made, window=Interval.parse(window), cuts=cuts)


HONEST = {
    "ranks": """
class Ranks(Strategy):
    intervals = ("5m",)
    def indicators(self): return {"momentum": "ROC(5)", "coarse": "SMA(2)@5m"}
    def on_window(self, view):
        values, coarse = view.indicators["momentum"], view.history("close", 2, "5m")
        if view.minute % 5 or np.isnan(values).any() or not view.minutes_to_close: return
        best = np.argsort(-values, kind="stable")[:2]
        view.rebalance({view.symbols[n]: 0.4 + 0.05 * (coarse[-1, n] > coarse[0, n]) for n in best})
""",
    "rests": """
class Rests(Strategy):
    def on_session(self, view):
        view.order("AAA", 3, tif="day")
    def on_window(self, view):
        past = view.history("low")
        for number, symbol in enumerate(view.symbols):
            price = view.close[number]
            if np.isnan(price) or (view.minute + number) % 7: continue
            view.cancel_all(symbol)
            view.order(symbol, 5, limit=float(np.nanmin(past[-9:, number])), stop_loss=price * 0.97)
            view.order(symbol, -2, stop=price * 0.99, tif="day")
            view.order(symbol, -1, trail=price * 0.01)
""",
}


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(HONEST))
@pytest.mark.parametrize(
    "how", [{}, {"flat_at_close": True}, {"shared": False, "carry": False}, {"window": "5m"}, {"capital": 2_000.0}]
)
def test_an_honest_portfolio_is_left_alone(name: str, how: dict[str, Any]) -> None:
    report = look(HONEST[name], **how)
    assert report.ok, report.sentences
    assert report.symbol == "portfolio"
    assert report.decisions > 30
    assert report.cuts > 12


OWN = """
class Own(Strategy):
    def indicators(self): return {"fast": "SMA(3)", "slow": "EMA(9)"}
    def on_bar(self, ctx):
        above = ctx.indicators["fast"][-1] > ctx.indicators["slow"][-1]
        if above != bool(ctx.position) and not ctx.orders: ctx.order_target(20 if above else 0)
    def signals(self, data):
        above = data.indicators["fast"] > data.indicators["slow"]
        PEEK
        return Signals(above, ~above, size=20.0)
"""


@pytest.mark.long
@pytest.mark.parametrize("form", ["on_bar", "signals"])
@pytest.mark.parametrize("window", ["1m", "5m"])
def test_so_are_symbols_that_share_an_account(form: str, window: str) -> None:
    report = look(OWN.replace("PEEK", ""), form, window, cuts=16, capital=2_500.0)
    assert report.ok, report.sentences
    assert report.decisions > 30


@pytest.mark.long
def test_a_peek_in_a_shared_account_is_found_with_what_it_looks_at() -> None:
    peek = "if data.symbol == 'BBB': above = np.append(data.close[1:] > data.close[:-1], False)"
    report = look(OWN.replace("PEEK", peek), "signals")
    assert report.verdict == "looks ahead"
    first = report.differences[0]
    assert first.symbol == "BBB"
    assert first.decided_ns <= first.cut_ns
    assert any("1m bars" in found.culprits for found in report.differences)
    assert "BBB at 2024-06-0" in report.sentences[1]
    assert " an order for " in report.sentences[1]


CHEAT = """
class Cheat(Strategy):
    def on_window(self, view):
        past = view.history("close", 1)
        two = np.lib.stride_tricks.as_strided(past, (2, past.shape[1]))  # the memory behind it
        if view.minute == 20:
            view.order_target("CCC", 5 if two[1, 2] > two[0, 2] else -5)
        elif view.minute % 6 == 0:
            view.order_target("AAA", view.minute)
"""


@pytest.mark.long
def test_what_a_strategy_takes_from_behind_its_view_is_found() -> None:
    report = look(CHEAT, cuts=None)
    assert report.verdict == "looks ahead"
    assert {found.symbol for found in report.differences} == {"CCC"}
    assert report.tried == report.decisions
    assert any("1m bars" in found.culprits for found in report.differences)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("if view.minute == 7: raise ValueError('no idea')", "no idea"),
        ("view.order('AAA', float(np.random.default_rng().integers(1, 99)))", "decides differently on the same data"),
        ("view.add_symbol('ZZZ')", "no symbols but those of the config"),
        ("pass", "decided nothing"),
    ],
)
def test_what_cannot_be_judged_says_why(body: str, said: str) -> None:
    report = look(f"class Odd(Strategy):\n    def on_window(self, view):\n        {body}\n")
    assert report.verdict == "can't tell"
    assert any(said in line for line in report.sentences), report.sentences


def test_an_error_of_one_symbols_own_strategy_names_it() -> None:
    report = look(OWN.replace("PEEK", "if data.symbol == 'BBB': raise ValueError('not this one')"), "signals")
    assert report.verdict == "can't tell"
    assert "BBB: " in report.sentences[0]
    assert "not this one" in report.sentences[0]


@pytest.mark.long
def test_files_that_a_portfolio_reads_are_named(tmp_path: Path) -> None:
    file = tmp_path / "weights.csv"
    file.write_text("AAA,0.5\n")
    report = look(
        f"class Reads(Strategy):\n    def on_window(self, view):\n"
        f"        if view.minute == 9: view.order('AAA', len(open({str(file)!r}).read()))\n"
    )
    assert report.verdict == "can't tell"
    assert report.outside == (str(file),)


SLOW = """
class Slow(Strategy):
    def indicators(self): return {"slow": "EMA(60)", "quick": "SMA(5)"}
    def on_window(self, view):
        above = view.close > view.indicators["slow"]
        for number, symbol in enumerate(view.symbols): view.order_target(symbol, 5 if above[number] else 0)
"""
WHOLE = """
class Whole(Strategy):
    def on_window(self, view):
        past = view.history("close")
        mean = np.nanmean(past, axis=0)
        for number, symbol in enumerate(view.symbols):
            view.order_target(symbol, 5 if past[-1, number] > mean[number] else 0)
"""


def warm(text: str, history: int) -> WarmupReport:
    """Sessions 12 to 14, each with `history` sessions of history, of which 12 are loaded."""
    rows = np.arange(12, 15)
    every = SessionRange("XNYS", "regular", "UTC", weekdays(15, 40), rows, {int(row): 0 for row in rows})
    asked = replace(every, history={int(row): int(row) - history for row in rows})
    loaded = [replace(one, session_range=asked) for one in walks(every, 3)]
    return warmup(loaded, plan(text, "on_window", market=COSTLY))


@pytest.mark.long
def test_too_little_history_of_a_portfolio_is_found_with_the_symbol_and_the_indicator() -> None:
    report = warm(SLOW, 1)
    assert report.verdict == "too little history"
    assert report.symbol == "portfolio"
    assert [effect.sessions for effect in report.more] == [2, 4]
    assert report.more[-1].changed > 0
    assert report.more[-1].decided[:3] in ("AAA", "BBB", "CCC")
    assert {one.name for one in report.indicators if not one.ok} == {"slow"}
    assert warm(WHOLE, 2).verdict == "too little history"


@pytest.mark.long
def test_enough_history_of_a_portfolio_is_left_alone() -> None:
    for text in (SLOW.replace("EMA(60)", "SMA(60)"), HONEST["ranks"]):
        report = warm(text, 4)
        assert report.ok, report.sentences
        assert [effect.sessions for effect in report.more] == [8, 12]
        assert report.decisions > 20


def test_history_that_no_symbol_has_more_of_is_no_proof() -> None:
    assert "load more" in warm(SLOW, 12).sentences[0]
