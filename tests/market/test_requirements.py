"""How much history a session takes: each indicator is warm at the session's first bar, with nothing to spare."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from barray.market.bars import Bars
from barray.market.commands import TakeSnapshot
from barray.market.errors import ConfigError
from barray.market.requirements import calendar_for, session_context
from barray.market.symbol_session import SymbolSession
from tests.market.builders import (
    HALF_DAY,
    WEDNESDAY,
    calendar,
    context_for,
    load_command,
    require,
    run,
    session_walk,
)


def test_intervals_of_indicators_are_required_too_each_once() -> None:
    required = require("5m", "1m", specs=("RSI@15m", "SMA@5m", "SMA(3)@1d"))
    assert [str(interval) for interval in required.all_intervals] == ["1m", "5m", "15m", "1d"]


@pytest.mark.parametrize(
    ("spec", "sessions"),
    [
        ("SESSION_VWAP@1m", 0),
        ("OBV@5m", 0),
        ("SMA(2)@1m", 1),
        ("SMA(391)@1m", 1),  # 390 bars before the first: one session
        ("SMA(392)@1m", 2),
        ("SMA(79)@5m", 1),
        ("SMA(80)@5m", 2),
        ("RSI(14)@1h", 2),  # 14 of 7 a session
        ("RSI(15)@1h", 3),
        ("SMA(8)@1d", 7),
        ("MACD@15m", 2),  # 33 of 26 a session
    ],
)
def test_history_reaches_exactly_as_far_as_the_warm_up_needs(spec: str, sessions: int) -> None:
    assert len(context_for(require("1m", specs=(spec,))).history_dates) == sessions


@pytest.mark.parametrize("spec", ["SMA(391)@1m", "RSI(14)@1h", "MACD@15m", "SMA(8)@1d", "EMA(30)@7m", "SMA(3)@1w"])
def test_the_first_bar_of_the_session_has_a_value_and_with_a_day_less_it_would_not(spec: str) -> None:
    required = require("1m", specs=(spec,), max_missing=1)
    context = context_for(required)
    bars = session_walk(context)

    def first_session_value(loaded: Bars) -> float:
        session = run(
            SymbolSession("TEST"),
            load_command(required, context, loaded),
            TakeSnapshot(int(context.sessions.close_ns[-1])),
        )
        data = session.snapshot()
        series = data.bars[spec.partition("@")[2]]
        return float(
            next(iter(data.indicators[spec if "(" in spec else "MACD(12,26,9)@15m"].values.values()))[series.history]
        )

    assert np.isfinite(first_session_value(bars))
    if not spec.endswith("1w"):
        second = int(context.sessions.open_ns[context.history_row + 1])
        assert np.isnan(first_session_value(bars.take(bars.start_ns >= second)))


@pytest.mark.long
def test_half_days_count_for_what_they_have() -> None:
    """After the half day of 3 July 2024 one session has 42 five-minute bars, not 78."""
    friday = date(2024, 7, 5)
    assert context_for(require("5m", specs=("SMA(43)@5m",)), friday).history_dates == [HALF_DAY]
    assert context_for(require("5m", specs=("SMA(44)@5m",)), friday).history_dates == [date(2024, 7, 2), HALF_DAY]


def test_trailing_days_count_sessions_not_days() -> None:
    context = context_for(require("1m", trailing_days=3), date(2024, 7, 8))
    assert context.history_dates == [date(2024, 7, 2), HALF_DAY, date(2024, 7, 5)]


@pytest.mark.long
def test_the_longer_of_trailing_days_and_warm_up_is_loaded() -> None:
    assert len(context_for(require("1m", specs=("SMA(3)@1d",), trailing_days=9)).history_dates) == 9
    assert len(context_for(require("1m", specs=("SMA(12)@1d",), trailing_days=9)).history_dates) == 11


def test_weekly_bars_are_loaded_as_whole_weeks() -> None:
    required = require("1w", specs=("SMA(3)@1w",))
    context = context_for(required)  # Wednesday 5 June: the weeks of 20 and 27 May, and this one from Monday on
    assert context.history_dates[0] == date(2024, 5, 20)
    assert context.history_dates[-1] == date(2024, 6, 4)
    assert len(context.history_dates) == 5 + 4 + 2  # Memorial Day
    assert context_for(require("1m", "1w", trailing_days=1)).history_dates == [date(2024, 6, 3), date(2024, 6, 4)]


def test_a_week_of_holidays_is_no_week_of_history() -> None:
    """Shanghai had no session from 29 September to 8 October 2023."""
    context = context_for(require("1w", specs=("SMA(3)@1w",)), date(2023, 10, 18), "XSHG")
    assert context.history_dates[0] == date(2023, 9, 25)


def test_the_context_spans_whole_weeks_around_what_is_loaded() -> None:
    context = context_for(require("1m", trailing_days=1))
    assert [str(day) for day in context.sessions.dates] == [f"2024-06-0{d}" for d in (3, 4, 5, 6, 7)]
    assert (context.row, context.history_row) == (2, 1)
    assert [str(day) for day in context.loaded.dates] == ["2024-06-04", "2024-06-05"]
    assert context.session_date == WEDNESDAY


@pytest.mark.long
def test_the_calendar_reaches_back_as_far_as_long_indicators_ask() -> None:
    required = require("1d", specs=("SMA(200)@1d",))
    found = calendar_for(required, "XNYS", WEDNESDAY, WEDNESDAY)
    assert len(session_context(required, found, WEDNESDAY).history_dates) == 199


@pytest.mark.long
def test_a_session_date_without_a_session_is_refused() -> None:
    required = require("1m")
    with pytest.raises(ConfigError, match="XNYS has no session on 2024-07-04"):
        calendar_for(required, "XNYS", date(2024, 7, 4), date(2024, 7, 4))
    with pytest.raises(ConfigError, match="no session on 2024-06-08"):
        session_context(required, calendar("XNYS", WEDNESDAY, WEDNESDAY), date(2024, 6, 8))


def test_too_little_calendar_for_the_history_is_refused() -> None:
    short = calendar("XNYS", WEDNESDAY, WEDNESDAY)
    with pytest.raises(ConfigError, match="not enough sessions before 2024-06-05"):
        session_context(require("1m", trailing_days=3), short, WEDNESDAY)
