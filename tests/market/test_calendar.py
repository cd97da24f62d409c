"""Sessions of exchange calendars; expected times are those the exchanges published."""

from __future__ import annotations

from datetime import date, time, timedelta

import numpy as np
import pytest

from barray.market.calendar import ExtendedHours, Sessions, load_calendar
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from tests.market.builders import MINUTE_NS, utc_ns


def hours_of(sessions: Sessions, day: date) -> tuple[int, int]:
    row = sessions.index(day)
    assert row is not None
    return int(sessions.open_ns[row]), int(sessions.close_ns[row])


@pytest.mark.long
@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2011, 3, 11), "2011-03-11T14:30", "2011-03-11T21:00"),  # Friday before the clocks change
        (date(2011, 3, 14), "2011-03-14T13:30", "2011-03-14T20:00"),  # Monday after
        (date(2024, 7, 3), "2024-07-03T13:30", "2024-07-03T17:00"),  # half day before Independence Day
        (date(2024, 11, 29), "2024-11-29T14:30", "2024-11-29T18:00"),  # half day after Thanksgiving
        (date(2024, 12, 24), "2024-12-24T14:30", "2024-12-24T18:00"),  # half day before Christmas
    ],
)
def test_new_york_opens_and_closes_by_its_own_clock(day: date, opens: str, closes: str) -> None:
    sessions = load_calendar("XNYS", day, day).sessions
    assert hours_of(sessions, day) == (utc_ns(opens), utc_ns(closes))


@pytest.mark.long
@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2011, 3, 11), "2011-03-11T09:00", "2011-03-12T01:00"),
        (date(2011, 3, 14), "2011-03-14T08:00", "2011-03-15T00:00"),
        (date(2024, 7, 3), "2024-07-03T08:00", "2024-07-03T21:00"),  # 04:00 to 17:00 on a half day
    ],
)
def test_extended_hours_run_from_four_to_eight_and_to_five_on_half_days(day: date, opens: str, closes: str) -> None:
    sessions = load_calendar("XNYS", day, day, hours="extended").sessions
    assert hours_of(sessions, day) == (utc_ns(opens), utc_ns(closes))


@pytest.mark.long
@pytest.mark.parametrize(
    ("holiday", "before", "after"),
    [
        (date(2011, 1, 17), "2011-01-14", "2011-01-18"),
        (date(2024, 7, 4), "2024-07-03", "2024-07-05"),
        (date(2024, 6, 8), "2024-06-07", "2024-06-10"),  # a Saturday
    ],
)
def test_a_day_without_a_session_is_refused_with_its_neighbours(holiday: date, before: str, after: str) -> None:
    calendar = load_calendar("XNYS", holiday - timedelta(days=7), holiday + timedelta(days=7))
    assert calendar.sessions.index(holiday) is None
    with pytest.raises(ConfigError, match=f"XNYS has no session on {holiday}") as caught:
        calendar.session(holiday)
    assert caught.value.remedy == f"the nearest are {before} and {after}"


@pytest.mark.long
def test_a_calendar_covers_whole_weeks() -> None:
    calendar = load_calendar("XNYS", date(2024, 7, 3), date(2024, 7, 10))
    days = [str(day) for day in calendar.sessions.dates]
    assert days == ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", *(f"2024-07-{d:02}" for d in range(8, 13))]
    assert calendar.between(date(2024, 7, 3), date(2024, 7, 8)) == [
        date(2024, 7, 3),
        date(2024, 7, 5),
        date(2024, 7, 8),
    ]
    assert np.unique(calendar.sessions.week).size == 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "day", "times"),
    [
        ("XTKS", date(2024, 6, 5), ("2024-06-05T00:00", "2024-06-05T02:30", "2024-06-05T03:30", "2024-06-05T06:00")),
        ("XHKG", date(2024, 6, 5), ("2024-06-05T01:30", "2024-06-05T04:00", "2024-06-05T05:00", "2024-06-05T08:00")),
    ],
)
def test_tokyo_and_hong_kong_rest_at_midday(name: str, day: date, times: tuple[str, str, str, str]) -> None:
    sessions = load_calendar(name, day, day).sessions
    row = sessions.index(day)
    found = [
        int(column[row])
        for column in (sessions.open_ns, sessions.break_start_ns, sessions.break_end_ns, sessions.close_ns)
    ]
    assert found == [utc_ns(text) for text in times]
    starts, ends = sessions.expected_starts(row, Interval.parse("1m"), int(sessions.close_ns[row]))
    assert len(starts) == (found[1] - found[0] + found[3] - found[2]) // MINUTE_NS
    assert not ((starts >= found[1]) & (starts < found[2])).any()
    assert (ends - starts == MINUTE_NS).all()


def test_a_market_that_never_closes_has_a_session_every_day() -> None:
    sessions = load_calendar("24/7", date(2024, 6, 3), date(2024, 6, 3)).sessions
    assert len(sessions) == 7
    assert hours_of(sessions, date(2024, 6, 8)) == (utc_ns("2024-06-08T00:00"), utc_ns("2024-06-09T00:00"))
    assert np.array_equal(sessions.close_ns[:-1], sessions.open_ns[1:])


def test_without_a_break_both_its_edges_are_the_close() -> None:
    sessions = load_calendar("XNYS", date(2024, 7, 3), date(2024, 7, 3)).sessions
    assert np.array_equal(sessions.break_start_ns, sessions.close_ns)
    assert np.array_equal(sessions.break_end_ns, sessions.close_ns)


@pytest.mark.parametrize(
    ("interval", "until", "starts"),
    [
        (
            "1h",
            "2024-07-03T17:00",
            ["13:30", "14:30", "15:30", "16:30"],
        ),  # the last one ends at the close of the half day
        ("1h", "2024-07-03T16:59", ["13:30", "14:30", "15:30"]),
        ("1h", "2024-07-03T14:29", []),
        ("1d", "2024-07-03T16:59", []),
        ("1d", "2024-07-03T17:00", ["13:30"]),
    ],
)
def test_expected_bars_are_those_that_should_have_closed(interval: str, until: str, starts: list[str]) -> None:
    sessions = load_calendar("XNYS", date(2024, 7, 3), date(2024, 7, 3)).sessions
    row = sessions.index(date(2024, 7, 3))
    found, ends = sessions.expected_starts(row, Interval.parse(interval), utc_ns(until))
    assert found.tolist() == [utc_ns(f"2024-07-03T{start}") for start in starts]
    assert (ends <= utc_ns(until)).all()


@pytest.mark.long
@pytest.mark.parametrize("interval", ["1m", "7m", "15m", "1h", "2h", "4h"])
@pytest.mark.parametrize("name", ["XNYS", "XTKS", "XHKG", "24/7"])
def test_counting_expected_bars_and_listing_them_agree(name: str, interval: str) -> None:
    sessions = load_calendar(name, date(2024, 7, 3), date(2024, 7, 3)).sessions
    step = Interval.parse(interval)
    for row in range(len(sessions)):
        listed, _ = sessions.expected_starts(row, step, int(sessions.close_ns[row]))
        for stamp in range(int(sessions.open_ns[row]), int(sessions.close_ns[row]) + 1, 13 * MINUTE_NS):
            counted = sessions.slots_before(np.array([stamp]), slice(row, row + 1), step.ns)
            assert counted.tolist() == [int((listed < stamp).sum())]


@pytest.mark.long
def test_wall_clock_times_are_local() -> None:
    calendar = load_calendar("XNYS", date(2011, 3, 11), date(2011, 3, 14))
    assert calendar.at(date(2011, 3, 11), time(10)) == utc_ns("2011-03-11T15:00")
    assert calendar.at(date(2011, 3, 14), time(10)) == utc_ns("2011-03-14T14:00")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "hours", "first", "reason"),
    [
        ("NYSEE", "regular", date(2024, 7, 3), "'NYSEE' is not an exchange calendar"),
        ("XNYS", "night", date(2024, 7, 3), "hours is 'night'"),
        ("XTKS", "extended", date(2024, 7, 3), "the extended hours of XTKS are not known"),
        ("XTKS", "regular", date(1980, 1, 1), "calendar XTKS cannot cover"),
        ("XNYS", "regular", date(2300, 1, 1), "calendar XNYS cannot cover"),
    ],
)
def test_what_no_calendar_knows_is_refused(name: str, hours: str, first: date, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_calendar(name, first, first, hours=hours)


@pytest.mark.long
def test_extended_hours_may_be_given_for_any_exchange() -> None:
    given = ExtendedHours(time(8), time(17), time(13))
    day = date(2024, 6, 5)
    sessions = load_calendar("XTKS", day, day, hours="extended", extended=given).sessions
    assert hours_of(sessions, day) == (utc_ns("2024-06-04T23:00"), utc_ns("2024-06-05T08:00"))


@pytest.mark.long
def test_an_alias_is_given_its_canonical_name() -> None:
    assert load_calendar("NYSE", date(2024, 7, 3), date(2024, 7, 3)).name == "XNYS"
