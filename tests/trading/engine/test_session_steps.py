"""A session gone through in steps, and one done again from what was decided: the same orders and fills."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.interval import Interval
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.event_run import run_symbol
from barray.trading.engine.notes import Pages
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.scripted import ScriptedPlan, script_of
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.orders.costs import Commission, Market, Slippage
from tests.trading.random_days import TEXTS, prepared, random_bars, random_cuts
from tests.trading.windows import MINUTE, plan, sessions_of

FORMS = st.sampled_from(["on_window", "on_bar", "signals"])
MARKET = Market(Commission(per_share=0.01), Slippage(bps=3.0), volume_share=0.3)


def made(form: str, seed: int, *, shared: bool, flat: bool = False, carry: bool = True, coarse: bool = False) -> Plan:
    text = TEXTS[form].replace(
        "    seed: int = 0\n", "    seed: int = 0\n    interval = '5m'\n    intervals = ('1m',)\n"
    )
    return plan(
        text if coarse else TEXTS[form],
        form,
        shared=shared,
        market=MARKET,
        parameters={"seed": seed},
        capital=5_000.0,
        flat_at_close=flat or not carry,
        carry=carry,
    )


def a_run(a_plan: Plan, loaded: dict[str, LoadedRange], window: str, guests: dict[str, LoadedRange]) -> PortfolioRun:
    def add(symbols: Any, row: int) -> dict[str, Any]:
        return {s: guests[s].prepare(a_plan.strategy()) if s in guests else "nobody has it" for s in symbols}

    run = PortfolioRun(a_plan, Interval.parse(window), add, noted=True)
    return loaded_into(run, a_plan, loaded)


def loaded_into(run: PortfolioRun, a_plan: Plan, loaded: dict[str, LoadedRange]) -> PortfolioRun:
    run.load(next(iter(loaded.values())).session_range, prepared(loaded, a_plan.strategy()), MINUTE)
    return run


def told(outcome: SessionOutcome) -> Any:
    """All that an outcome says, comparable."""
    days = {} if outcome.days is None else outcome.days.days()
    columns = {
        symbol: (
            [column.tolist() for column in vars(day.fills).values()],
            day.refusals,
            [np.nan_to_num(curve).tolist() for curve in (day.curve().equity, day.curve().exposure)],
        )
        for symbol, day in days.items()
    }
    return columns, outcome.begun, outcome.starving, outcome.errors.keys(), outcome.error is None, outcome.logs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), FORMS, st.booleans(), st.booleans(), st.sampled_from(["1m", "5m"]))
def test_in_steps_a_session_is_what_it_is_at_once(seed: int, form: str, shared: bool, carry: bool, window: str) -> None:
    session_range = sessions_of(2, 30, back=1)
    loaded, guests = random_bars(session_range, seed), random_bars(session_range, seed + 1, "GH")
    a_plan = made(form, seed, shared=shared, carry=carry)
    whole, stepped = (a_run(a_plan, loaded, window, guests) for _ in range(2))
    for row in session_range.rows.tolist():
        expected = whole.session(row)
        stepped.begin(row)
        for cut_ns in random_cuts(session_range, row, seed):
            stepped.arrive(cut_ns)
            stepped.go_on(cut_ns)
        assert told(stepped.finish()) == told(expected)
        assert stepped.notes.take() == whole.notes.take()
        add, stepped = stepped.additions.add, pickle.loads(pickle.dumps(stepped))
        stepped.additions.add = add
        loaded_into(stepped, a_plan, loaded)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), FORMS, st.booleans(), st.sampled_from(["1m", "5m"]), st.booleans(), st.booleans())
def test_what_was_decided_done_again_comes_to_the_same(
    seed: int, form: str, shared: bool, window: str, flat: bool, coarse: bool
) -> None:
    session_range = sessions_of(2, 40, back=1)
    loaded, guests = random_bars(session_range, seed), random_bars(session_range, seed + 1, "GH")
    a_plan = made(form, seed, shared=shared, flat=flat, coarse=coarse)
    run = a_run(a_plan, loaded, window, guests)
    again = replace(a_plan, form="on_window" if form == "on_window" else "on_bar", parameters={})
    for row in session_range.rows.tolist():
        opening = run.opening()
        outcome = run.session(row)
        pages: Pages = run.notes.take()
        script, intervals = script_of(pages.decisions), ("5m", "1m") if coarse else ("1m",)
        values = {one.name: getattr(again, one.name) for one in fields(Plan)}
        other = a_run(ScriptedPlan(**values, script=script, intervals=intervals), loaded, window, guests)
        other.stand(opening)
        other.error = "it had failed before" if run.error and not outcome.begun else None
        scripted = other.session(row)
        assert told(replace(scripted, logs=outcome.logs))[2:] == told(outcome)[2:]
        found = other.notes.take()
        assert (found.fills, found.refusals, found.stood) == (pages.fills, pages.refusals, pages.stood)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["on_bar", "signals"]))
def test_with_accounts_of_their_own_it_is_what_each_symbol_alone_comes_to(seed: int, form: str) -> None:
    session_range = sessions_of(1, 40, back=1)
    loaded = random_bars(session_range, seed)
    a_plan = made(form, seed, shared=False)
    run = a_run(a_plan, loaded, "1m", {})
    run.session(int(session_range.rows[0]))
    pages = run.notes.take()
    for symbol, one in loaded.items():
        strategy = a_plan.strategy()
        alone = run_symbol(strategy, one.prepare(strategy), MARKET, a_plan.account, form=form)
        fills = [
            (f.order, f.bar_ns, f.quantity, f.price, f.commission)
            for f in map(alone.fills.__getitem__, range(len(alone.fills)))
        ]
        mine = [fill for fill in pages.fills if fill.symbol == symbol]
        assert [(f.order, f.bar_ns, f.quantity, f.price, f.commission) for f in mine] == fills


@pytest.mark.parametrize("form", ["on_window", "on_bar"])
def test_a_symbol_that_somebody_adds_is_seen_and_one_that_leaves_is_closed(form: str) -> None:
    text = {
        "on_window": """
class Made(Strategy):
    def on_window(self, view):
        print(view.minute, *view.symbols)
        for symbol in view.symbols: view.order_target(symbol, 2)
""",
        "on_bar": """
class Made(Strategy):
    def on_bar(self, ctx):
        print(ctx.minute)
        ctx.order_target(2)
""",
    }[form]
    session_range = sessions_of(1, 10, back=1)
    row = int(session_range.rows[0])
    open_ns = int(session_range.sessions.open_ns[row])
    loaded = random_bars(session_range, 3, "AB")
    run = a_run(plan(text, form, capital=5_000.0), loaded, "1m", {})
    run.begin(row)
    run.arrive(open_ns + 3 * MINUTE.ns)
    run.join(random_bars(session_range, 4, "G")["G"].prepare(run._plan.strategy()))
    run.leave("A")
    run.go_on(open_ns + 3 * MINUTE.ns)
    run.arrive(open_ns + 6 * MINUTE.ns)
    run.leave("G")
    run.go_on(int(session_range.sessions.close_ns[row]))
    outcome = run.finish()
    assert outcome.error is None
    assert not outcome.errors
    said = [(line.symbol, line.text) for line in outcome.logs.lines]
    if form == "on_window":
        assert [text for _, text in said][:7] == ["1 A B", "2 A B", "3 B G", "4 B G", "5 B G", "6 B", "7 B"]
    else:
        assert [text for symbol, text in said if symbol == "G"] == ["3", "4", "5", "6"]
        assert [text for symbol, text in said if symbol == "A"] == ["1", "2", "3"]
    held = {symbol: float(sum(day.fills.quantity)) for symbol, day in outcome.days.days().items()}  # type: ignore[union-attr]
    assert held == {"A": 2.0, "B": 2.0, "G": 0.0}


def test_what_is_held_of_one_that_somebody_added_is_kept_over_the_close_and_of_others_nothing_is_left() -> None:
    text = """
class Made(Strategy):
    def on_window(self, view):
        if "G" in view.symbols and view.minute == 5: view.order("G", 2); view.order("H", 1, limit=1.0)
        if view.session_date.day % 2 and view.minute == 3: view.order("G", -2)
"""
    session_range = sessions_of(2, 10, back=1)
    first, second = session_range.rows.tolist()
    a_plan = plan(text, "on_window", capital=5_000.0)
    loaded, more = random_bars(session_range, 3, "AB"), random_bars(session_range, 4, "GH")
    joining = prepared(more, a_plan.strategy())
    run = a_run(a_plan, loaded, "1m", {})
    run.begin(first)
    for symbol in ("G", "H"):
        run.join(joining[symbol])  # type: ignore[arg-type]
    run.go_on(int(session_range.sessions.close_ns[first]))
    outcome = run.finish()
    assert outcome.begun == {"A", "B", "G", "H"}
    assert run.positions == {"G"}
    assert set(run.books) == {"A", "B", "G"}
    run = pickle.loads(pickle.dumps(run))
    run.load(session_range, {**prepared(loaded, a_plan.strategy()), "G": joining["G"]}, MINUTE)  # type: ignore[dict-item]
    assert run.session(second).begun == {"A", "B", "G"}
    assert not run.positions
    assert set(run.books) == {"A", "B"}


def test_a_symbol_that_comes_again_goes_on_with_what_its_strategy_remembers() -> None:
    text = """
class Made(Strategy):
    def on_start(self, ctx): self.calls = 0
    def on_fill(self, ctx, fill): print(f"filled {fill.order}")
    def on_bar(self, ctx):
        self.calls += 1
        print(ctx.minute, self.calls)
        if self.calls == 1: ctx.buy(1)
"""
    session_range = sessions_of(1, 12, back=1)
    row = int(session_range.rows[0])
    open_ns = int(session_range.sessions.open_ns[row])
    run = a_run(plan(text, "on_bar", capital=5_000.0), random_bars(session_range, 3, "A"), "1m", {})
    joining = random_bars(session_range, 5, "G")["G"].prepare(run._plan.strategy())
    run.begin(row)
    for minute, does in ((3, run.join), (6, lambda one: run.leave(one.symbol)), (8, run.join)):
        run.arrive(open_ns + minute * MINUTE.ns)
        does(joining)
        run.go_on(open_ns + minute * MINUTE.ns)
    run.go_on(int(session_range.sessions.close_ns[row]))
    outcome = run.finish()
    assert not outcome.errors
    told = [line.text for line in outcome.logs.lines if line.symbol == "G"]
    assert told == ["3 1", "filled 1", "4 2", "5 3", "6 4", "8 5", "9 6", "10 7", "11 8", "12 9"]
