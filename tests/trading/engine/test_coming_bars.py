"""Bars that come minute by minute: what is decided is decided once, by what is known then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bars
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.session_range import SessionRange
from barray.trading.engine.coming_bars import ComingBars
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Decision, Pages
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.session_columns import session_columns
from tests.examples import at_most
from tests.trading.engine.test_session_steps import FORMS, made
from tests.trading.random_days import random_bars
from tests.trading.windows import MINUTE, sessions_of

pytestmark = pytest.mark.long


def whole(session_range: SessionRange, seed: int) -> dict[str, LoadedRange]:
    """Bars of which each symbol has the last."""
    found = random_bars(session_range, seed)
    close = session_range.sessions.close_ns[-1]
    return found if all(one.base.end_ns[-1] == close for one in found.values()) else whole(session_range, seed + 10_007)


def live_day(
    a_plan: Plan, loaded: Mapping[str, LoadedRange], window: str, came: Mapping[int, Mapping[str, Bars]]
) -> Pages:
    """A day whose bars come as `came` says, by minute's end."""
    session_range = next(iter(loaded.values())).session_range
    row = int(session_range.rows[0])
    context = replace(session_range.context(row), live=True)
    needs = a_plan.strategy().needs()
    run, coming = PortfolioRun(a_plan, Interval.parse(window), noted=True), ComingBars(context, needs)
    data = {symbol: opened(symbol, one, context, needs) for symbol, one in loaded.items()}
    run.load(session_range, data, MINUTE)
    run.begin(row)
    pages = Pages()
    for end_ns in range(context.open_ns + MINUTE.ns, context.close_ns + MINUTE.ns, MINUTE.ns):
        run.go_on(end_ns - 1)
        revised = coming.take_in(run, came.get(end_ns, {}), end_ns)
        run.arrive(end_ns)
        run.go_on(end_ns)
        pages += replace(run.notes.take(), revised=revised)
    run.finish()
    return pages


def opened(symbol: str, one: LoadedRange, context: SessionContext, needs: Any) -> Any:
    """A symbol as it stands at the open: with its history."""
    before = one.base.take(slice(0, one.base.closed_by(context.open_ns)))
    return session_columns(symbol, context, before, None, needs)


def in_time(loaded: Mapping[str, LoadedRange], row: int) -> dict[int, dict[str, Bars]]:
    """Every bar of the session at its end."""
    found: dict[int, dict[str, Bars]] = {}
    for symbol, one in loaded.items():
        for number in np.flatnonzero(one.base.session == row).tolist():
            found.setdefault(int(one.base.end_ns[number]), {})[symbol] = one.base.bars.take(slice(number, number + 1))
    return found


@settings(max_examples=at_most(30), deadline=None)
@given(st.integers(0, 10_000), FORMS, st.booleans(), st.booleans(), st.sampled_from(["1m", "5m"]))
def test_bars_that_come_in_time_are_traded_as_if_they_had_been_there(
    seed: int, form: str, shared: bool, coarse: bool, window: str
) -> None:
    session_range = sessions_of(1, 40, back=1)
    row = int(session_range.rows[0])
    loaded = whole(session_range, seed)
    a_plan = made(form, seed, shared=shared, flat=seed % 2 == 0, coarse=coarse)
    run = PortfolioRun(a_plan, Interval.parse(window), noted=True)
    run.load(session_range, {s: one.prepare(a_plan.strategy()) for s, one in loaded.items()}, MINUTE)
    run.session(row)
    found = live_day(a_plan, loaded, window, in_time(loaded, row))
    assert found == run.notes.take()
    assert found.revised == ()


def decided_before(now_ns: int, seen_ns: Mapping[str, int], pages: Pages) -> list[Decision]:
    """What was decided before the bars of a time came. `seen_ns`: of each symbol the last bar before; in `on_fill` of a
    later one it is still the time of that.
    """
    ends = [seen_ns[one.own] if one.call == "on_fill" else now_ns for one in pages.decisions]
    return [one for one, end_ns in zip(pages.decisions, ends, strict=True) if one.at_ns < end_ns]


@settings(max_examples=at_most(30), deadline=None)
@given(st.integers(0, 10_000), FORMS, st.booleans())
def test_what_comes_late_or_corrected_changes_nothing_that_was_decided_before(
    seed: int, form: str, shared: bool
) -> None:
    session_range = sessions_of(1, 40, back=1)
    row = int(session_range.rows[0])
    loaded, rng = whole(session_range, seed), np.random.default_rng(seed)
    a_plan = made(form, seed, shared=shared)
    came = in_time(loaded, row)
    plain = live_day(a_plan, loaded, "1m", came)
    ends = sorted(came)
    moved, at = int(rng.choice(ends[3:-4])), int(rng.choice(ends[-3:]))
    symbol = sorted(came[moved])[0]
    bars = came[moved].pop(symbol) if rng.random() < 0.5 else came[moved][symbol]
    late = moved not in came or symbol not in came[moved]
    changed = bars if late else replace(bars, volume=bars.volume + 1, close=bars.high)
    others = came[at].get(symbol)
    came[at] = {**came[at], symbol: Bars.concat([changed, others]) if others is not None else changed}
    found = live_day(a_plan, loaded, "1m", came)
    first_ns = moved if late else at
    ends_ns = {one: [end for end, bars in came.items() if end < first_ns and one in bars] for one in loaded}
    seen_ns = {one: max(ends, default=0) for one, ends in ends_ns.items()}
    assert decided_before(first_ns, seen_ns, found) == decided_before(first_ns, seen_ns, plain)
    assert [one for one in found.stood if one.at_ns < first_ns] == [one for one in plain.stood if one.at_ns < first_ns]
    if not any(one.action == "error" for one in found.decisions):  # after which no time passes for it
        assert [(one.at_ns, one.symbol, one.before is None) for one in found.revised] == [(at, symbol, late)]
    assert not any(one.bar_ns == int(bars.start_ns[0]) and one.symbol == symbol for one in found.fills) or not late
