"""A universe that grows is, whatever comes in which order, what each symbol makes of its own bars."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.appending import taken_in
from barray.market.bars import COLUMNS, Bars
from barray.market.errors import DataError
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions
from barray.market.universe.growing import GrowingUniverse, Tape, last_versions
from barray.market.universe.lay import lay_universe
from barray.market.universe.stack import Stack
from tests.examples import at_most
from tests.market.builders import MINUTE_NS, assert_same_arrays, context_for, require, walk
from tests.market.universe.test_universe import spoiled

MINUTE = Interval.parse("1m")
SYMBOLS = ("A", "B", "C")
HALF_DAY = context_for(require("1m", trailing_days=1), date(2024, 7, 3))
MIDDAY_BREAK = context_for(require("1m", trailing_days=1), date(2024, 7, 3), "XHKG")
Batches = list[dict[str, Bars]]


@st.composite
def batches(draw: st.DrawFn, context: SessionContext = HALF_DAY) -> Batches:
    """A day as it may come: in any order, twice, corrected, late, before the open, wrong, of strangers."""
    day = range(context.open_ns - 5 * MINUTE_NS, context.close_ns + 5 * MINUTE_NS, MINUTE_NS)
    found: Batches = []
    for _ in range(draw(st.integers(0, 8), label="batches")):
        batch: dict[str, Bars] = {}
        for symbol in draw(st.sets(st.sampled_from((*SYMBOLS, "STRANGER"))), label="who"):
            minutes = draw(
                st.lists(st.sampled_from([*day[:12], *day[145:156], *day[-12:]]), min_size=1, max_size=6),
                label="minutes",
            )
            seed = draw(st.integers(0, 2**32 - 1), label="seed")
            own = Bars.concat([walk(np.array([start], np.int64), seed + k) for k, start in enumerate(minutes)])
            fault = draw(st.sampled_from([None] * 4 + ["nan", "negative", "below", "off grid", "infinite volume"]))
            batch[symbol] = spoiled(own, fault, 0) if fault else own
        found.append(batch)
    return found


def alone(context: SessionContext, given_batches: Batches, symbol: str) -> IntervalBars:
    """What a full symbol makes of the same."""
    row, sessions = context.row, context.sessions
    base = lay_on_sessions(Bars.empty(), MINUTE, sessions, row, symbol=symbol, source="stream")
    for batch in given_batches:
        if symbol in batch:
            try:
                taken = taken_in(base, batch[symbol], context, symbol, "stream", "positive")
            except DataError:
                continue
            base = base if taken is None else taken.base
    return base


@pytest.mark.parametrize("context", [HALF_DAY, MIDDAY_BREAK], ids=["half day", "break"])
@settings(max_examples=at_most(150), deadline=None)
@given(data=st.data())
def test_whatever_comes_it_is_what_full_symbols_make_of_it(context: SessionContext, data: st.DataObject) -> None:
    given_batches = data.draw(batches(context))
    row, sessions = context.row, context.sessions
    universe = GrowingUniverse(SYMBOLS, MINUTE, sessions, row)
    position = {symbol: i for i, symbol in enumerate(SYMBOLS)}
    for batch in given_batches:
        refused = universe.take_in(Tape.of(batch, position))
        assert refused.keys() <= set(SYMBOLS)
    own = {symbol: alone(context, given_batches, symbol) for symbol in SYMBOLS}
    stack = universe.stack()
    for symbol, expected in own.items():
        assert_same_arrays(stack.of(symbol), expected, "bars")
    some = universe.stack(np.array([0, 2]))
    assert some.symbols == ("A", "C")
    assert_same_arrays(some.of("C"), own["C"], "bars")
    whole = Stack.of({symbol: one.bars for symbol, one in own.items()})
    laid, reasons = lay_universe(whole.bars, whole.offsets, whole.symbols, MINUTE, sessions, row, source="stream")
    assert reasons == {}
    assert_same_arrays(stack, laid, "bars")


@settings(max_examples=at_most(50), deadline=None)
@given(given_batches=batches())
def test_columns_that_are_not_kept_are_judged_all_the_same(given_batches: Batches) -> None:
    position = {symbol: i for i, symbol in enumerate(SYMBOLS)}
    every = GrowingUniverse(SYMBOLS, MINUTE, HALF_DAY.sessions, HALF_DAY.row)
    closes = GrowingUniverse(SYMBOLS, MINUTE, HALF_DAY.sessions, HALF_DAY.row, columns=("close",))
    for batch in given_batches:
        tape = Tape.of(batch, position)
        assert every.take_in(tape) == closes.take_in(tape)
    assert np.array_equal(every.stack().bars.close, closes.stack().bars.close)
    assert closes.stack().columns == ("close",)
    assert np.isnan(closes.stack().bars.open).all()


def test_a_wrong_bar_refuses_what_came_with_it_and_says_why() -> None:
    universe = GrowingUniverse(SYMBOLS, MINUTE, HALF_DAY.sessions, HALF_DAY.row)
    starts = HALF_DAY.open_ns + np.arange(3) * MINUTE_NS
    bars = walk(starts, 1)
    assert universe.take_in(Tape(np.array([0, 1, 2]), bars)) == {}
    wrong = Bars(starts + MINUTE_NS, *(-getattr(bars, name) for name in COLUMNS))
    refused = universe.take_in(Tape(np.array([0, 0, 1]), wrong))
    assert {symbol: reason.code for symbol, reason in refused.items()} == {"A": "bad_values", "B": "bad_values"}
    assert universe.stack().bars.equals(bars)


def test_of_several_tapes_the_last_version_of_each_bar_is_left() -> None:
    starts = HALF_DAY.open_ns + np.arange(2) * MINUTE_NS
    first, second = walk(starts, 1), walk(starts, 2)
    found = last_versions([Tape(np.array([1, 1]), first), Tape(np.array([1, 0]), second)])
    assert found.who.tolist() == [0, 1, 1]
    assert found.bars.close.tolist() == [second.close[1], second.close[0], first.close[1]]
    assert len(last_versions([]).who) == 0
