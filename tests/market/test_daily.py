"""Daily bars of a source before the first session with minutes: the day knows what it would with minutes throughout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bars
from barray.market.commands import AddAdhocBar, AddAdhocIndicator, AppendBars, Load, Loaded, Provision, TakeSnapshot
from barray.market.errors import DataError, NoDataError
from barray.market.indicators import parse_indicator
from barray.market.interval import DAY, Interval
from barray.market.requirements import JumpRule, SessionContext, SymbolRequirements
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession
from tests.examples import at_most
from tests.market.builders import (
    MINUTE_NS,
    MemoryReader,
    context_for,
    days_of,
    flat,
    load_command,
    require,
    run,
    session_walk,
    with_bar,
)

SPECS = ("SMA(12)@1d", "EMA(9)@1d", "RSI(5)@1d", "EMA(2)@1w", "SMA(30)@5m")
WHOLE = require("1m", "5m", "1d", "1w", specs=SPECS, trailing_days=1)
SPLIT = replace(WHOLE, daily="days")
ALL = context_for(WHOLE)  # Wednesday 5 June 2024
CONTEXT = context_for(SPLIT)
OPEN, CLOSE = CONTEXT.open_ns, CONTEXT.close_ns
BARS = session_walk(ALL)
DAYS = days_of(BARS, ALL.sessions)
MINUTES = BARS.take(BARS.start_ns >= CONTEXT.loaded.open_ns[0])


def split(
    bars: Bars = MINUTES, days: Bars = DAYS, context: SessionContext = CONTEXT, wanted: SymbolRequirements = SPLIT
) -> Load:
    return replace(load_command(wanted, context, bars), daily=MemoryReader(days, "days"))


def at(now_ns: int, command: Load) -> SymbolSessionData:
    return run(SymbolSession("TEST"), command, TakeSnapshot(now_ns)).snapshot()


def assert_same_values(found: SymbolSessionData, whole: SymbolSessionData) -> None:
    """The same prices and values of days and weeks throughout, of minutes where there are any."""
    for name, series in found.bars.items():
        expected = whole.bars[name]
        tail = expected.take(slice(len(expected) - len(series), len(expected)))
        if not series.interval.is_intraday:
            assert len(series) == len(expected), name
        assert series.bars.equals(tail.bars), name
        assert np.array_equal(series.end_ns, tail.end_ns), name
    for key, data in found.indicators.items():
        for output, column in data.values.items():
            expected_values = whole.indicators[key].values[output]
            if not data.spec.interval.is_intraday:
                assert np.array_equal(column, expected_values, equal_nan=True), key
                continue
            history = found.bars[str(data.spec.interval)].history  # of sums, rounding depends on where bars begin
            rows = len(column) - history
            np.testing.assert_allclose(column[history:], expected_values[len(expected_values) - rows :], rtol=1e-12)


def test_days_alone_are_needed_of_the_sessions_that_no_minute_indicator_asks_for() -> None:
    assert len(ALL.history_dates) == 11  # from a Monday on, so that weeks are whole; the 27th is a holiday
    assert ALL.daily_dates == []
    assert CONTEXT.history_dates == ALL.history_dates[-1:]
    assert CONTEXT.daily_dates == ALL.history_dates[:-1]
    wide = context_for(replace(SPLIT, daily_days=20))
    assert len(wide.daily_dates) + len(wide.history_dates) == 21  # from a Monday on
    assert wide.history_dates == CONTEXT.history_dates
    more = context_for(replace(SPLIT, trailing_days=11))
    assert len(more.history_dates) == 11
    assert more.daily_dates == []


def test_minutes_are_loaded_beside_days_though_the_source_has_both() -> None:
    both = (Interval.parse("1m"), DAY)
    of_days = require("1d")
    assert of_days.base_of(both) == DAY
    assert replace(of_days, daily="days").base_of(both) == Interval.parse("1m")
    assert replace(of_days, daily="days").base_of([DAY]) is None


@pytest.mark.parametrize("now_ns", [OPEN, OPEN + 31 * MINUTE_NS, CLOSE])
def test_the_day_knows_what_it_would_with_minutes_throughout(now_ns: int) -> None:
    found = at(now_ns, split())
    assert_same_values(found, at(now_ns, load_command(WHOLE, ALL, BARS)))
    days = found.bars["1d"]
    assert (days.given, len(days)) == (10, 11 + (now_ns == CLOSE))
    assert str(days.derived_from) == "1m"
    assert found.daily_lineage is not None
    assert (found.daily_lineage.source, found.daily_lineage.bars, str(found.daily_lineage.interval)) == (
        "days",
        10,
        "1d",
    )
    assert found.daily_lineage.last_ns == CONTEXT.daily_sessions.open_ns[-1]
    assert found.lineage is not None
    assert found.lineage.source == "memory"
    assert found.history_quality["1d"].expected == 11
    assert found.history_quality["1m"].expected == 390


def test_a_day_may_have_no_minutes_before_it_at_all() -> None:
    wanted = require("1m", "1d", specs=("SMA(4)@1d",), trailing_days=8)
    whole, context = context_for(wanted), context_for(replace(wanted, trailing_days=0, daily="days", daily_days=8))
    assert (context.history_dates, context.daily_dates) == ([], whole.history_dates)
    bars = session_walk(whole)
    for now_ns in (OPEN, OPEN + MINUTE_NS, CLOSE):
        days = days_of(bars, whole.sessions)
        found = at(now_ns, split(bars.take(bars.start_ns >= OPEN), days, context, replace(wanted, daily="days")))
        assert_same_values(found, at(now_ns, load_command(wanted, whole, bars)))
        assert not np.isnan(found.indicators["SMA(4)@1d"].values["real"][-1])


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(40))
@given(seed=st.integers(0, 2**32 - 1), trailing=st.integers(0, 14), minute=st.integers(0, 390), upgraded=st.booleans())
def test_it_does_whatever_the_bars_and_wherever_the_minutes_begin(
    seed: int, trailing: int, minute: int, upgraded: bool
) -> None:
    """Some minutes are missing; a symbol may have been there before, with bars and indicators added by hand."""
    wanted = replace(WHOLE, trailing_days=trailing)
    whole, split_context = context_for(wanted), context_for(replace(wanted, daily="days"))
    bars = session_walk(whole, seed)
    held = np.random.default_rng(seed).random(len(bars)) < 0.9
    held[:: len(bars) // 14] = True
    bars = bars.take(held)
    minutes = bars.take(bars.start_ns >= split_context.loaded.open_ns[0])
    now_ns = OPEN + minute * MINUTE_NS
    full = load_command(wanted, whole, bars, at_ns=now_ns)
    halved = split(minutes, days_of(bars, whole.sessions), split_context, replace(wanted, daily="days"))
    sessions = []
    for command, context in ((full, whole), (replace(halved, at_ns=now_ns), split_context)):
        session = SymbolSession("TEST")
        if upgraded:
            run(
                session,
                Provision(context, "bar_addition", OPEN),
                AddAdhocBar(DAY, flat(int(whole.sessions.open_ns[whole.row - 1])), "scanner", OPEN),
                AddAdhocIndicator(parse_indicator("SMA(7)@1d"), "scanner", OPEN),
            )
        sessions.append(run(session, command, TakeSnapshot(now_ns)).snapshot())
    assert_same_values(sessions[1], sessions[0])
    assert [str(conflict) for conflict in sessions[1].conflicts] == [
        str(conflict) for conflict in sessions[0].conflicts
    ]


def test_the_bar_of_the_day_itself_is_made_of_its_minutes() -> None:
    lying = Bars.concat([DAYS.take(slice(0, -1)), Bars.of([flat(OPEN, 1.0)])])
    assert_same_values(at(CLOSE, split(days=lying)), at(CLOSE, split()))


def test_live_minutes_come_after_the_days() -> None:
    history, today = MINUTES.take(MINUTES.start_ns < OPEN), MINUTES.take(MINUTES.start_ns >= OPEN)
    session = run(SymbolSession("TEST"), replace(split(history), live=True))
    session.apply(AppendBars(today, OPEN, CLOSE))
    session.apply(TakeSnapshot(CLOSE))
    assert_same_values(session.snapshot(), at(CLOSE, split()))


def test_minutes_win_and_a_difference_is_told() -> None:
    last = len(DAYS) - 2  # Tuesday, which has minutes too
    report = SymbolSession("TEST").apply(split(), *split(days=with_bar(DAYS, last, close=DAYS.low[last])).read("TEST"))
    assert isinstance(report, Loaded)
    assert report.warnings == ()  # less than two per cent
    half = Bars(DAYS.start_ns, *(column / 2 for column in (DAYS.open, DAYS.high, DAYS.low, DAYS.close)), DAYS.volume)
    report = SymbolSession("TEST").apply(split(), *split(days=half).read("TEST"))
    assert isinstance(report, Loaded)
    [warning] = report.warnings
    assert (warning.code, warning.source) == ("daily_differs", "days")
    assert "in 1 of the 1 sessions that have both" in warning.message
    found = at(CLOSE, split(days=half))
    assert found.bars["1d"].bars.take(slice(10, None)).equals(at(CLOSE, split()).bars["1d"].bars.take(slice(10, None)))


def test_an_adjusted_source_before_bars_that_are_not_shows_where_they_meet() -> None:
    context = replace(CONTEXT, suspect_jump=JumpRule(0.4))
    half = Bars(DAYS.start_ns, *(column / 2 for column in (DAYS.open, DAYS.high, DAYS.low, DAYS.close)), DAYS.volume)
    [warning] = at(OPEN, split(days=half, context=context)).warnings
    assert (warning.code, warning.source) == ("suspect_jump", "days")
    assert "a reverse split of 1:2?" in warning.message or "a reverse split of 2:1?" in warning.message
    refusing = replace(context, suspect_jump=JumpRule(0.4, refuse=True))
    with pytest.raises(DataError, match=r"1d.*the bar at 2024-06-04"):
        at(OPEN, split(days=half, context=refusing))
    assert at(OPEN, split(context=context)).warnings == ()


def test_a_missing_day_is_a_reason_of_its_own() -> None:
    lacking = Bars.concat([DAYS.take(slice(0, 3)), DAYS.take(slice(4, len(DAYS)))])
    strict = replace(CONTEXT, max_missing_days=0)
    with pytest.raises(
        NoDataError, match=r"days.*no daily bars of 1 of the 10 sessions before the base bars"
    ) as caught:
        at(OPEN, split(days=lacking, context=strict))
    assert caught.value.code == "no_daily_history"
    found = at(OPEN, split(days=lacking, context=replace(CONTEXT, max_missing_days=1)))
    assert found.bars["1d"].given == 9
    assert len(found.history_quality["1d"].gaps) == 1


def test_daily_bars_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(DataError, match="days"):
        at(OPEN, split(days=with_bar(DAYS, 2, low=1e9)))
