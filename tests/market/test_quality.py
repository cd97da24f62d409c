"""How much of the tape is there, and where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from barray.market.interval import Interval
from barray.market.quality import Gap, Quality, measure_quality
from tests.market.builders import HALF_DAY, MINUTE_NS, WEDNESDAY, calendar, expected_stamps, utc_ns

WEEK = calendar("XNYS", WEDNESDAY, WEDNESDAY).sessions
JULY = calendar("XNYS", HALF_DAY, HALF_DAY).sessions
ROW = 2
OPEN = int(WEEK.open_ns[ROW])
CLOSE = int(WEEK.close_ns[ROW])
STAMPS = expected_stamps(WEEK, ROW)
MINUTE = Interval.parse("1m")


def measured(stamps: np.ndarray, until_ns: int = CLOSE, interval: str = "1m") -> Quality:
    return measure_quality(stamps, Interval.parse(interval), WEEK, range(ROW, ROW + 1), until_ns)


def test_a_whole_session_has_no_gap() -> None:
    assert measured(STAMPS) == Quality(390, 390, ())
    assert measured(STAMPS).share == 1.0


def test_a_gap_names_where_it_begins_and_ends_and_how_many_bars_it_misses() -> None:
    quality = measured(np.delete(STAMPS, [0, 5, 6, 7, 389]))
    assert (quality.expected, quality.actual) == (390, 385)
    assert quality.gaps == (
        Gap(OPEN, OPEN + MINUTE_NS, 1),
        Gap(OPEN + 5 * MINUTE_NS, OPEN + 8 * MINUTE_NS, 3),
        Gap(CLOSE - MINUTE_NS, CLOSE, 1),
    )
    assert quality.share == pytest.approx(385 / 390)


def test_an_empty_tape_is_one_gap() -> None:
    assert measured(STAMPS[:0]) == Quality(390, 0, (Gap(OPEN, CLOSE, 390),))
    assert measured(STAMPS[:0]).share == 0.0


def test_before_the_first_bar_closes_nothing_is_expected() -> None:
    quality = measured(STAMPS[:0], OPEN + MINUTE_NS - 1)
    assert quality == Quality(0, 0, ())
    assert quality.share is None


def test_only_what_should_have_closed_counts() -> None:
    assert measured(STAMPS, OPEN + 30 * MINUTE_NS) == Quality(30, 30, ())
    quality = measured(np.delete(STAMPS, [29, 30]), OPEN + 30 * MINUTE_NS)
    assert quality == Quality(30, 29, (Gap(OPEN + 29 * MINUTE_NS, OPEN + 30 * MINUTE_NS, 1),))


def test_the_last_bucket_of_a_gap_ends_at_the_close() -> None:
    hours = OPEN + np.arange(6) * 60 * MINUTE_NS  # the seventh, from 15:30, is missing
    assert measured(hours, interval="1h").gaps == (Gap(OPEN + 360 * MINUTE_NS, CLOSE, 1),)


def test_a_half_day_expects_210_minutes() -> None:
    row = JULY.index(HALF_DAY)
    quality = measure_quality(expected_stamps(JULY, row), MINUTE, JULY, range(row, row + 1), int(JULY.close_ns[row]))
    assert quality == Quality(210, 210, ())


def test_a_gap_never_spans_the_night() -> None:
    quality = measure_quality(STAMPS[:0], MINUTE, WEEK, range(0, 2), OPEN)
    assert [gap.missing for gap in quality.gaps] == [390, 390]


@pytest.mark.long
def test_the_midday_break_is_no_gap() -> None:
    tokyo = calendar("XTKS", WEDNESDAY, WEDNESDAY).sessions
    close = int(tokyo.close_ns[ROW])
    stamps = expected_stamps(tokyo, ROW)
    assert measure_quality(stamps, MINUTE, tokyo, range(ROW, ROW + 1), close) == Quality(300, 300, ())
    without_last_of_the_morning = np.delete(stamps, 149)
    assert measure_quality(without_last_of_the_morning, MINUTE, tokyo, range(ROW, ROW + 1), close).gaps == (
        Gap(utc_ns("2024-06-05T02:29"), utc_ns("2024-06-05T02:30"), 1),
    )


def test_a_day_counts_at_its_close() -> None:
    day = np.array([OPEN])
    assert measured(day, CLOSE - 1, "1d") == Quality(0, 0, ())
    assert measured(day, CLOSE, "1d") == Quality(1, 1, ())
    assert measured(day[:0], CLOSE, "1d") == Quality(1, 0, (Gap(OPEN, CLOSE, 1),))


def test_a_week_counts_at_the_close_of_its_last_session() -> None:
    monday, friday = int(WEEK.open_ns[0]), int(WEEK.close_ns[4])
    week, all_days = Interval.parse("1w"), range(0, 5)
    assert measure_quality(np.array([monday]), week, WEEK, all_days, friday - 1) == Quality(0, 0, ())
    assert measure_quality(np.array([monday]), week, WEEK, all_days, friday) == Quality(1, 1, ())
    assert measure_quality(np.array([], np.int64), week, WEEK, all_days, friday).gaps == (Gap(monday, friday, 1),)
    assert measure_quality(np.array([monday]), week, WEEK, range(0, 3), friday) == Quality(0, 0, ())
