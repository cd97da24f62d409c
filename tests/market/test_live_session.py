"""Bars that come while the session runs: late, twice, corrected, the state is that of the day as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bars
from barray.market.commands import AddAdhocBar, AppendBars, Appended, Load, Rejected, TakeSnapshot
from barray.market.errors import IllegalTransition
from barray.market.interval import Interval
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession
from tests.examples import at_most
from tests.market.builders import (
    MINUTE_NS,
    assert_same_view,
    context_for,
    flat,
    load_command,
    loaded,
    require,
    run,
    session_walk,
    with_bar,
)

WANTED = require("1m", "5m", "1h", "1d", specs=("RSI(14)@5m", "EMA(20)@1m", "SESSION_VWAP@1m"), trailing_days=1)
NAMES, KEYS = [str(interval) for interval in WANTED.all_intervals], [spec.key for spec in WANTED.indicators]
CONTEXT = context_for(WANTED)
WHOLE = session_walk(CONTEXT)
HISTORY = WHOLE.take(WHOLE.start_ns < CONTEXT.open_ns)
TODAY = WHOLE.take(WHOLE.start_ns >= CONTEXT.open_ns)
OPEN, CLOSE = CONTEXT.open_ns, CONTEXT.close_ns


def live(bars: Bars = HISTORY, at_ns: int = OPEN) -> SymbolSession:
    command: Load = replace(load_command(WANTED, CONTEXT, bars, at_ns=at_ns), live=True)
    return run(SymbolSession("TEST"), command)


def same_as_loaded(left: SymbolSessionData, bars: Bars) -> None:
    assert_same_view(left, loaded(WANTED, CONTEXT, bars, left.now_ns), names=NAMES, keys=KEYS)


def minute(count: int) -> int:
    return OPEN + count * MINUTE_NS


def test_before_the_open_there_is_history_and_nothing_else() -> None:
    session = live()
    data = session.snapshot()
    assert len(data.bars["1m"]) == data.bars["1m"].history == len(HISTORY)
    assert data.lineage is not None
    assert data.quality["1m"].share is None


def test_minute_by_minute_the_state_is_that_of_the_day_loaded_at_once() -> None:
    session = live()
    for count in range(1, 41):
        bar = TODAY.take(slice(count - 1, count))
        assert session.apply(AppendBars(bar, minute(count - 1), minute(count))) == Appended(1, 0, 0)
    same_as_loaded(session.snapshot(), WHOLE)


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(40))
@given(
    seed=st.integers(0, 2**32 - 1), begun=st.integers(0, 390), cuts=st.integers(1, 12), share=st.sampled_from([0, 0.3])
)
def test_any_order_with_gaps_doubles_and_corrections_ends_in_the_day_as_it_was(
    seed: int, begun: int, cuts: int, share: float
) -> None:
    """Each bar comes at least once, some twice, some wrong at first; begun late, the rest of the day comes at once."""
    chance = np.random.default_rng(seed)
    final = TODAY.take(chance.random(len(TODAY)) >= share)
    order = chance.permutation(np.concatenate([np.arange(len(final)), np.flatnonzero(chance.random(len(final)) < 0.2)]))
    first = final.take(final.start_ns < minute(begun))
    session = live(Bars.concat([HISTORY, first]), minute(begun))
    now_ns = minute(begun)
    for rows in np.array_split(order, cuts):
        batch = final.take(rows)
        if chance.random() < 0.5 and len(rows):
            wrong = with_bar(batch, 0, volume=float(batch.volume[0]) + 1)
            session.apply(AppendBars(wrong, now_ns, now_ns))
        since_ns, now_ns = now_ns, min(CLOSE, now_ns + int(chance.integers(0, 60)) * MINUTE_NS)
        session.apply(AppendBars(batch, since_ns, now_ns))
    session.apply(TakeSnapshot(CLOSE))
    same_as_loaded(session.snapshot(), Bars.concat([HISTORY, final]))


def test_new_late_and_replacing_bars_are_told_apart() -> None:
    session = live()
    assert session.apply(AppendBars(TODAY.take(slice(8, 12)), minute(10), minute(11))) == Appended(2, 2, 0)
    assert session.apply(AppendBars(TODAY.take(slice(8, 12)), minute(11), minute(11))) == Appended(0, 0, 0)
    changed = with_bar(TODAY.take(slice(9, 11)), 1, volume=7.0)
    assert session.apply(AppendBars(changed, minute(11), minute(11))) == Appended(0, 0, 1)
    assert session.snapshot().bars["1m"].bars.volume[-1] == 7.0


def test_late_is_what_had_closed_when_time_went_on_though_nobody_told_the_symbol() -> None:
    """Minutes in which no bar of its comes pass without a command."""
    session = live()
    assert session.apply(AppendBars(TODAY.take(slice(0, 1)), OPEN, minute(1))) == Appended(1, 0, 0)
    assert session.apply(AppendBars(TODAY.take(slice(1, 6)), minute(4), minute(6))) == Appended(2, 3, 0)


def test_of_two_bars_for_a_stamp_the_last_counts() -> None:
    session = live()
    twice = Bars.of([flat(OPEN, 10), flat(OPEN, 11)])
    assert session.apply(AppendBars(twice, OPEN, minute(1))) == Appended(1, 0, 0)
    assert session.snapshot().bars["1m"].bars.close[-1] == 11


@pytest.mark.parametrize(
    ("bars", "said"),
    [
        (with_bar(TODAY.take(slice(0, 2)), 1, close=float("nan")), "close is nan"),
        (with_bar(TODAY.take(slice(0, 2)), 1, low=-1.0), "-1"),
        (Bars.of([flat(OPEN + 30 * 10**9)]), "does not start a whole number of 1m"),
    ],
)
def test_a_bar_that_cannot_be_changes_nothing(bars: Bars, said: str) -> None:
    session = live()
    report = session.apply(AppendBars(bars, OPEN, minute(2)))
    assert isinstance(report, Rejected)
    assert said in report.reason
    assert len(session.snapshot().bars["1m"]) == len(HISTORY)


def test_bars_outside_the_session_are_left_out() -> None:
    session = live()
    early = Bars.of([flat(OPEN - MINUTE_NS), flat(OPEN), flat(CLOSE)])
    assert session.apply(AppendBars(early, OPEN, minute(1))) == Appended(1, 0, 0)


def test_a_bar_of_the_source_takes_the_place_of_an_adhoc_one() -> None:
    session = live()
    for row, price in ((0, 5.0), (1, float(TODAY.close[1]))):
        session.apply(AddAdhocBar(Interval.parse("1m"), flat(minute(row), price), "scanner", minute(3)))
    assert session.snapshot().adhoc_bars == {"1m": (minute(0), minute(1))}
    session.apply(AppendBars(TODAY.take(slice(0, 1)), minute(3), minute(3)))
    data = session.snapshot()
    assert data.adhoc_bars == {"1m": (minute(1),)}
    assert [(entry.adhoc.close, entry.record) for entry in data.conflicts] == [(5.0, TODAY[0])]
    assert data.bars["1m"].bars.close[-2:].tolist() == [TODAY.close[0], TODAY.close[1]]


def test_a_symbol_that_nothing_was_loaded_for_takes_no_bars() -> None:
    with pytest.raises(IllegalTransition):
        SymbolSession("TEST").apply(AppendBars(TODAY, OPEN, OPEN))
