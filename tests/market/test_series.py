"""Bars on sessions, and coarser bars derived from them: hand-computed cases."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from barray.market.bars import Bar, Bars
from barray.market.calendar import Sessions
from barray.market.errors import DataError
from barray.market.interval import Interval
from barray.market.series import IntervalBars, derive, stamp_daily
from tests.market.builders import (
    HALF_DAY,
    MINUTE_NS,
    WEDNESDAY,
    calendar,
    expected_stamps,
    flat,
    lay,
    new_york_ns,
    utc_ns,
    walk,
)

WEEK = calendar("XNYS", WEDNESDAY, WEDNESDAY).sessions  # Monday 3 to Friday 7 June 2024
JULY = calendar("XNYS", HALF_DAY, HALF_DAY).sessions  # half day on Wednesday 3 July, holiday on the 4th
OPEN = utc_ns("2024-06-05T13:30")
ROW = 2


def derived(bars: Bars, base: str, target: str, sessions: Sessions = WEEK, row: int = 0) -> IntervalBars:
    return derive(lay(bars, base, sessions, row), Interval.parse(target), sessions, row)


def minutes_of(sessions: Sessions, row: int, step_ns: int = MINUTE_NS) -> Bars:
    return walk(expected_stamps(sessions, row, step_ns))


def texts(stamps: np.ndarray) -> list[str]:
    return [str(np.datetime64(int(ns), "ns").astype("datetime64[m]")) for ns in stamps]


def test_a_five_minute_bar_is_made_of_its_minutes() -> None:
    bars = Bars.of([
        Bar(OPEN, 10.0, 11.0, 9.5, 10.5, 100.0),
        Bar(OPEN + 1 * MINUTE_NS, 10.5, 12.0, 10.0, 11.0, 50.0),
        Bar(OPEN + 2 * MINUTE_NS, 11.0, 11.5, 8.0, 9.0, 25.0),
        Bar(OPEN + 3 * MINUTE_NS, 9.0, 9.5, 9.0, 9.25, 10.0),
        Bar(OPEN + 4 * MINUTE_NS, 9.25, 10.0, 9.0, 9.75, 5.0),
        Bar(OPEN + 5 * MINUTE_NS, 9.75, 9.75, 9.75, 9.75, 1.0),
    ])  # fmt: skip
    five = derived(bars, "1m", "5m")
    assert five.bars[0] == Bar(OPEN, 10.0, 12.0, 8.0, 9.75, 190.0)
    assert five.bars[1] == Bar(OPEN + 5 * MINUTE_NS, 9.75, 9.75, 9.75, 9.75, 1.0)
    assert five.end_ns.tolist() == [OPEN + 5 * MINUTE_NS, OPEN + 10 * MINUTE_NS]
    assert (five.expected.tolist(), five.actual.tolist(), five.complete.tolist()) == ([5, 5], [5, 1], [True, False])
    assert five.derived_from == Interval.parse("1m")


def test_seconds_derive_to_minutes_and_more() -> None:
    seconds = minutes_of(WEEK, ROW, 10**9)
    minute = derived(seconds, "1s", "1m")
    assert len(minute) == 390
    assert set(minute.expected.tolist()) == set(minute.actual.tolist()) == {60}
    assert minute.bars.open.tolist() == seconds.open[::60].tolist()
    assert minute.bars.close.tolist() == seconds.close[59::60].tolist()
    assert minute.bars.high[7] == max(seconds.high[420:480])
    assert minute.bars.volume[389] == sum(seconds.volume[-60:])


@pytest.mark.parametrize(
    ("interval", "count", "last_start", "last_expected"),
    [
        ("5m", 78, "2024-06-05T19:55", 5),
        ("7m", 56, "2024-06-05T19:55", 5),  # 55 * 7 = 385 minutes after the open
        ("15m", 26, "2024-06-05T19:45", 15),
        ("20m", 20, "2024-06-05T19:50", 10),
        ("1h", 7, "2024-06-05T19:30", 30),
        ("4h", 2, "2024-06-05T17:30", 150),
        ("23h", 1, "2024-06-05T13:30", 390),
        ("1d", 1, "2024-06-05T13:30", 390),
    ],
)
def test_buckets_are_anchored_to_the_open_and_the_last_one_is_cut_at_the_close(
    interval: str, count: int, last_start: str, last_expected: int
) -> None:
    series = derived(minutes_of(WEEK, ROW), "1m", interval)
    assert len(series) == count
    assert series.bars.start_ns[0] == OPEN
    assert series.bars.start_ns[-1] == utc_ns(last_start)
    assert series.end_ns[-1] == utc_ns("2024-06-05T20:00")
    assert series.expected[-1] == last_expected
    assert series.complete.all()
    assert series.expected.sum() == 390


def test_a_half_day_ends_at_one_and_its_bars_expect_less() -> None:
    row = JULY.index(HALF_DAY)
    hourly = derived(minutes_of(JULY, row), "1m", "1h", JULY)
    assert texts(hourly.bars.start_ns) == [f"2024-07-03T{h}:30" for h in (13, 14, 15, 16)]
    assert texts(hourly.end_ns)[-1] == "2024-07-03T17:00"
    assert hourly.expected.tolist() == [60, 60, 60, 30]
    daily = derived(minutes_of(JULY, row), "1m", "1d", JULY)
    assert (daily.expected.tolist(), daily.complete.tolist()) == ([210], [True])


def test_a_missing_minute_is_a_gap_and_nothing_is_invented() -> None:
    full = minutes_of(WEEK, ROW)
    holed = full.take(np.isin(np.arange(390), [0, 4, 7, 8, 9, *range(15, 20)], invert=True))
    five = derived(holed, "1m", "5m")
    assert len(five) == 77  # minutes 15 to 19 all missing: no bar
    assert texts(five.bars.start_ns)[2:4] == ["2024-06-05T13:40", "2024-06-05T13:50"]
    assert five.actual[:4].tolist() == [3, 2, 5, 5]
    assert five.complete[:4].tolist() == [False, False, True, True]
    assert five.bars[0].open == full.open[1]
    assert five.bars[0].close == full.close[3]
    assert five.bars[0].start_ns == OPEN  # the bucket's start, whichever minute is the first there


def test_a_bucket_never_spans_two_sessions() -> None:
    bars = Bars.of([flat(utc_ns("2024-06-04T19:59"), 1.0), flat(OPEN, 2.0), flat(OPEN + MINUTE_NS, 3.0)])
    hourly = derived(bars, "1m", "1h")
    assert hourly.bars.close.tolist() == [1.0, 3.0]
    assert hourly.session.tolist() == [1, 2]


def test_days_derive_to_the_iso_week_with_its_holiday() -> None:
    bars = Bars.concat([minutes_of(JULY, row) for row in range(4)])
    weekly = derived(bars, "1m", "1w", JULY)
    assert texts(weekly.bars.start_ns) == ["2024-07-01T13:30"]
    assert texts(weekly.end_ns) == ["2024-07-05T20:00"]
    assert weekly.expected.tolist() == weekly.actual.tolist() == [390 + 390 + 210 + 390]
    from_days = derived(derived(bars, "1m", "1d", JULY).bars, "1d", "1w", JULY)
    assert from_days.bars.equals(weekly.bars)
    assert (from_days.expected.tolist(), from_days.actual.tolist()) == ([4], [4])


def test_a_week_that_begins_before_the_bars_is_incomplete() -> None:
    weekly = derived(minutes_of(JULY, 3), "1m", "1w", JULY)
    assert (weekly.expected.tolist(), weekly.actual.tolist(), weekly.complete.tolist()) == ([1380], [390], [False])
    assert texts(weekly.bars.start_ns) == ["2024-07-01T13:30"]


def test_the_midday_break_is_expected_empty() -> None:
    tokyo = calendar("XTKS", WEDNESDAY, WEDNESDAY).sessions  # 09:00 to 11:30 and 12:30 to 15:00
    hourly = derived(minutes_of(tokyo, ROW), "1m", "1h", tokyo)
    assert texts(hourly.bars.start_ns) == [f"2024-06-05T{h:02}:00" for h in range(6)]
    assert hourly.expected.tolist() == [60, 60, 30, 30, 60, 60]
    assert hourly.complete.all()
    assert derived(minutes_of(tokyo, ROW), "1m", "1d", tokyo).expected.tolist() == [300]


@pytest.mark.long
@pytest.mark.parametrize(("name", "hours"), [("XTKS", "2 3"), ("XHKG", "3 4")])
def test_hourly_bars_of_the_source_around_the_midday_break_stay(name: str, hours: str) -> None:
    """Hong Kong's 12:30 bar starts in the break and holds what trades from 13:00 on."""
    sessions = calendar(name, WEDNESDAY, WEDNESDAY).sessions
    from_minutes = derived(minutes_of(sessions, ROW), "1m", "1h", sessions)
    native = lay(from_minutes.bars, "1h", sessions)
    assert native.bars.equals(from_minutes.bars)
    assert {text[11:13].lstrip("0") or "0" for text in texts(native.bars.start_ns)} >= set(hours.split())
    daily = derive(native, Interval.parse("1d"), sessions, 0)
    assert (daily.expected.tolist(), daily.actual.tolist()) == ([len(native)], [len(native)])


@pytest.mark.long
def test_extended_hours_anchor_at_four_in_the_morning() -> None:
    sessions = calendar("XNYS", HALF_DAY, HALF_DAY, "extended").sessions
    row = sessions.index(HALF_DAY)
    hourly = derived(minutes_of(sessions, row), "1m", "1h", sessions)
    assert texts(hourly.bars.start_ns)[0] == "2024-07-03T08:00"
    assert len(hourly) == 13  # to 17:00 on a half day
    assert derived(minutes_of(sessions, row), "1m", "1d", sessions).expected.tolist() == [780]


def test_bars_outside_the_hours_are_left_out() -> None:
    around = [flat(new_york_ns(WEDNESDAY, text)) for text in ("08:00", "09:29", "09:30", "15:59", "16:00", "19:00")]
    saturday = [flat(utc_ns("2024-06-08T14:00")), flat(utc_ns("2024-06-20T14:00"))]
    series = lay(Bars.of([flat(utc_ns("2024-05-01T14:00")), *around, *saturday]), "1m", WEEK)
    assert texts(series.bars.start_ns) == ["2024-06-05T13:30", "2024-06-05T19:59"]
    assert (series.expected.tolist(), series.actual.tolist()) == ([1, 1], [1, 1])


def test_bad_values_outside_the_hours_do_no_harm() -> None:
    wild = Bar(utc_ns("2024-06-05T12:00"), 1.0, 0.5, 2.0, 1.0, -1.0)
    assert len(lay(Bars.of([wild, flat(OPEN)]), "1m", WEEK)) == 1


def test_history_counts_the_bars_that_closed_before_the_session_opened() -> None:
    bars = Bars.concat([minutes_of(WEEK, 1), minutes_of(WEEK, 2)])
    base = lay(bars, "1m", WEEK, ROW)
    assert (base.history, len(base)) == (390, 780)
    assert derive(base, Interval.parse("1d"), WEEK, ROW).history == 1
    assert derive(base, Interval.parse("1w"), WEEK, ROW).history == 0
    assert [base.take(rows).history for rows in (slice(0, 100), slice(380, 400), slice(500, 600), slice(9, 9))] == [
        100, 10, 0, 0,
    ]  # fmt: skip


def test_a_bar_that_closes_as_the_session_opens_is_history() -> None:
    sessions = calendar("24/7", WEDNESDAY, WEDNESDAY).sessions
    midnight = int(sessions.open_ns[ROW])
    base = lay(Bars.of([flat(midnight - MINUTE_NS), flat(midnight)]), "1m", sessions, ROW)
    assert base.history == 1


def test_a_bar_has_closed_at_its_end_and_not_before() -> None:
    base = lay(minutes_of(WEEK, ROW), "1m", WEEK, ROW)
    assert [base.closed_by(OPEN + k) for k in (0, MINUTE_NS - 1, MINUTE_NS, 2 * MINUTE_NS)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("stamp", "interval"),
    [("2024-06-05T13:31", "5m"), ("2024-06-05T13:30:30", "1m"), ("2024-06-05T14:00", "1h"), ("2024-06-05T15:00", "1d")],
)
def test_a_stamp_off_the_grid_is_an_error(stamp: str, interval: str) -> None:
    with pytest.raises(
        DataError, match=f"does not start a whole number of {interval} after the session open"
    ) as caught:
        lay(Bars.of([flat(utc_ns(stamp))]), interval, WEEK)
    assert caught.value.code == "off_grid"


def test_hourly_bars_on_the_full_hour_are_refused_and_the_error_says_what_to_do() -> None:
    with pytest.raises(DataError, match="load a finer interval"):
        lay(Bars.of([flat(utc_ns("2024-06-05T14:00"))]), "1h", WEEK)


def test_the_last_native_bar_is_cut_at_the_close() -> None:
    hourly = lay(Bars.of([flat(utc_ns("2024-06-05T19:30"))]), "1h", WEEK)
    assert texts(hourly.end_ns) == ["2024-06-05T20:00"]


@pytest.mark.parametrize(("base", "target"), [("5m", "1m"), ("5m", "7m"), ("1d", "1h"), ("1w", "1d")])
def test_what_does_not_derive_is_refused(base: str, target: str) -> None:
    with pytest.raises(ValueError, match=f"{target} does not derive from {base}"):
        derived(Bars.empty(), base, target)


@pytest.mark.parametrize("target", ["1m", "5m", "1h", "1d", "1w"])
def test_nothing_derives_to_nothing(target: str) -> None:
    series = derived(Bars.empty(), "1m", target)
    assert len(series) == len(series.end_ns) == len(series.bars.volume) == 0


def test_deriving_the_base_gives_the_base() -> None:
    base = lay(minutes_of(WEEK, ROW), "1m", WEEK)
    assert derive(base, Interval.parse("60s"), WEEK, 0) is base


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-06-05T00:00",  # midnight UTC
        "2024-06-05T04:00",  # midnight in New York
        "2024-06-05T13:30",  # the open itself
        "2024-06-05T16:00",  # noon in New York
        "2024-06-05T20:00",  # the close
    ],
)
def test_a_daily_stamp_at_any_midnight_is_moved_to_the_open(stamp: str) -> None:
    moved = stamp_daily(np.array([utc_ns(stamp)]), Interval.parse("1d"), WEEK)
    assert texts(moved) == ["2024-06-05T13:30"]


@pytest.mark.parametrize("stamp", ["2024-06-03T00:00", "2024-06-03T13:30", "2024-06-05T00:00", "2024-06-07T04:00"])
def test_a_weekly_stamp_is_moved_to_the_open_of_its_first_session(stamp: str) -> None:
    moved = stamp_daily(np.array([utc_ns(stamp)]), Interval.parse("1w"), WEEK)
    assert texts(moved) == ["2024-06-03T13:30"]


@pytest.mark.parametrize("stamp", ["2024-05-31T13:30", "2024-06-02T13:30", "2024-06-10T13:30"])
def test_the_open_of_a_day_that_is_not_loaded_is_not_the_next_sessions(stamp: str) -> None:
    """Nor the open of a Sunday that of Monday; thirteen hours before a UTC midnight is not midnight somewhere else."""
    monday_on = WEEK.take(slice(WEEK.index(date(2024, 6, 3)), WEEK.index(date(2024, 6, 7)) + 1))
    assert texts(stamp_daily(np.array([utc_ns(stamp)]), Interval.parse("1d"), monday_on)) == [stamp]


@pytest.mark.parametrize("interval", ["1d", "1w"])
@pytest.mark.parametrize("stamp", ["2024-05-24T00:00", "2024-06-14T00:00"])
def test_a_stamp_without_a_session_stays(interval: str, stamp: str) -> None:
    assert texts(stamp_daily(np.array([utc_ns(stamp)]), Interval.parse(interval), WEEK)) == [stamp]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "stamp", "opens"),
    [
        ("XTKS", "2024-06-04T15:00", "2024-06-05T00:00"),
        ("XTKS", "2024-06-05T00:00", "2024-06-05T00:00"),
        ("XHKG", "2024-06-04T16:00", "2024-06-05T01:30"),
        ("XASX", "2024-01-23T23:00", "2024-01-23T23:00"),  # Sydney opens on the UTC day before its label
        ("XASX", "2024-01-24T00:00", "2024-01-23T23:00"),
        ("XASX", "2024-01-23T13:00", "2024-01-23T23:00"),
        ("24/7", "2024-06-08T00:00", "2024-06-08T00:00"),
    ],
)
def test_daily_stamps_of_other_exchanges_find_their_session(name: str, stamp: str, opens: str) -> None:
    day = date.fromisoformat(opens[:10])
    sessions = calendar(name, day, day).sessions
    assert texts(stamp_daily(np.array([utc_ns(stamp)]), Interval.parse("1d"), sessions)) == [opens]


@pytest.mark.long
def test_midnight_utc_belongs_to_its_day_though_extended_hours_of_the_day_before_still_run() -> None:
    winter = date(2024, 1, 10)  # extended hours end at 20:00 New York, 01:00 UTC
    sessions = calendar("XNYS", winter, winter, "extended").sessions
    moved = stamp_daily(np.array([utc_ns("2024-01-10T00:00")]), Interval.parse("1d"), sessions)
    assert texts(moved) == ["2024-01-10T09:00"]


def test_daily_bars_of_a_source_carry_the_open_and_close_with_the_session() -> None:
    stamps = stamp_daily(np.array([utc_ns("2024-07-02T00:00"), utc_ns("2024-07-03T00:00")]), Interval.parse("1d"), JULY)
    daily = lay(Bars.of([flat(int(stamp)) for stamp in stamps]), "1d", JULY, JULY.index(HALF_DAY))
    assert texts(daily.end_ns) == ["2024-07-02T20:00", "2024-07-03T17:00"]
    assert daily.history == 1
