"""When a session stops to do something."""

from __future__ import annotations

from datetime import date, time
from typing import Any

import pytest

from barray.coordinator.config.schedule import ScheduledAction
from barray.coordinator.schedule import due_actions, windows
from barray.market.bars import Bar
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from tests.market.builders import MINUTE_NS, calendar, context_for, require, utc_ns

TUESDAY, HALF_DAY, WINTER = date(2024, 7, 2), date(2024, 7, 3), date(2024, 1, 3)
OPEN_NS, CLOSE_NS = utc_ns("2024-07-02T13:30"), utc_ns("2024-07-02T20:00")


def context(day: date = TUESDAY, hours: str = "regular") -> SessionContext:
    return context_for(require("1m"), day, hours=hours)


def due(day: date, *actions: dict[str, Any]) -> list[tuple[int, str | None]]:
    schedule = [ScheduledAction.model_validate(action) for action in actions]
    found = due_actions(schedule, calendar("XNYS", date(2024, 1, 1), date(2024, 7, 5)), context(day))
    return [(entry.at_ns, entry.request.symbol) for entry in found]


def add(symbol: str, at: str, **more: Any) -> dict[str, Any]:
    return {"at": at, "add_symbol": symbol, **more}


@pytest.mark.long
def test_actions_are_due_at_exchange_time_whatever_the_season() -> None:
    assert due(TUESDAY, add("A", "10:30")) == [(utc_ns("2024-07-02T14:30"), "A")]
    assert due(WINTER, add("A", "10:30")) == [(utc_ns("2024-01-03T15:30"), "A")]


@pytest.mark.long
def test_actions_come_in_order_of_time_and_those_of_one_time_as_written() -> None:
    found = due(TUESDAY, add("C", "12:00"), add("A", "10:00"), add("B", "12:00"), add("D", "11:59:59"))
    assert [symbol for _, symbol in found] == ["A", "D", "C", "B"]


def test_an_action_may_be_for_one_day_only() -> None:
    actions = add("A", "10:00", day="2024-07-03"), add("B", "10:00")
    assert [symbol for _, symbol in due(TUESDAY, *actions)] == ["B"]
    assert [symbol for _, symbol in due(HALF_DAY, *actions)] == ["A", "B"]


def test_what_lies_after_the_close_of_a_half_day_is_not_due() -> None:
    actions = add("A", "13:00"), add("B", "13:00:01"), add("C", "16:00")
    assert [symbol for _, symbol in due(HALF_DAY, *actions)] == ["A"]
    assert [symbol for _, symbol in due(TUESDAY, *actions)] == ["A", "B", "C"]


def bar_of(day: date, **stamp: str) -> Bar | None:
    values = {"symbol": "A", "interval": "1m", "open": 1, "high": 4, "low": 1, "close": 2, "volume": 7, **stamp}
    action = ScheduledAction.model_validate({"at": "12:00", "add_bar": values})
    [entry] = due_actions([action], calendar("XNYS", date(2024, 1, 1), date(2024, 7, 5)), context(day))
    return entry.request.bar


@pytest.mark.long
def test_a_scheduled_bar_starts_at_its_time_of_each_day() -> None:
    assert bar_of(TUESDAY, time="09:31") == Bar(utc_ns("2024-07-02T13:31"), 1, 4, 1, 2, 7)
    assert bar_of(WINTER, time="09:31") == Bar(utc_ns("2024-01-03T14:31"), 1, 4, 1, 2, 7)


def test_a_scheduled_bar_may_have_a_full_stamp() -> None:
    assert bar_of(TUESDAY, timestamp="2024-07-02T09:31:00-04:00") == Bar(utc_ns("2024-07-02T13:31"), 1, 4, 1, 2, 7)


def test_without_a_window_time_stops_only_where_something_is_due() -> None:
    noon = utc_ns("2024-07-02T16:00")
    assert windows(OPEN_NS, CLOSE_NS, context(), None, []) == [CLOSE_NS]
    assert windows(OPEN_NS, CLOSE_NS, context(), None, [noon, OPEN_NS, CLOSE_NS, CLOSE_NS + 1]) == [noon, CLOSE_NS]


def test_windows_are_counted_from_the_open_and_the_last_ends_at_the_target() -> None:
    hours = windows(OPEN_NS, CLOSE_NS, context(), Interval.parse("1h"), [])
    assert [(stamp - OPEN_NS) // MINUTE_NS for stamp in hours] == [60, 120, 180, 240, 300, 360, 390]


def test_windows_go_on_where_the_clock_stands() -> None:
    now = OPEN_NS + 61 * MINUTE_NS
    target = OPEN_NS + 150 * MINUTE_NS
    due_ns = OPEN_NS + 130 * MINUTE_NS
    ends = windows(now, target, context(), Interval.parse("30m"), [due_ns])
    assert [(stamp - OPEN_NS) // MINUTE_NS for stamp in ends] == [90, 120, 130, 150]


def test_a_moment_on_a_windows_end_is_one_stop() -> None:
    half = OPEN_NS + 30 * MINUTE_NS
    ends = windows(OPEN_NS, OPEN_NS + 60 * MINUTE_NS, context(), Interval.parse("30m"), [half])
    assert ends == [half, OPEN_NS + 60 * MINUTE_NS]


def test_a_window_of_a_day_is_the_session() -> None:
    assert windows(OPEN_NS, CLOSE_NS, context(), Interval.parse("1d"), []) == [CLOSE_NS]


def test_where_the_clock_has_arrived_there_is_nothing_to_do() -> None:
    assert windows(CLOSE_NS, CLOSE_NS, context(), Interval.parse("1m"), [CLOSE_NS]) == []


def test_an_action_before_the_open_is_due_with_it() -> None:
    [(at_ns, _)] = due(TUESDAY, add("A", str(time(8))))
    assert at_ns < OPEN_NS
    assert windows(OPEN_NS, CLOSE_NS, context(), None, [at_ns]) == [CLOSE_NS]
