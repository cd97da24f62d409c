"""The light checks on what is added by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from barray.market.adhoc import adhoc_series, parse_bar, place, validate_adhoc_bar, validate_adhoc_indicator
from barray.market.bars import Bar
from barray.market.errors import ConfigError, DataError
from barray.market.interval import Interval
from tests.market.builders import MINUTE_NS, context_for, flat, require, utc_ns

CONTEXT = context_for(require("1m", trailing_days=1))  # Wednesday 5 June 2024
OPEN = utc_ns("2024-06-05T13:30")
TEN = utc_ns("2024-06-05T14:00")
VALUES = {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10}
BAR = Bar(OPEN, 1.0, 2.0, 0.5, 1.5, 10.0)


@pytest.mark.parametrize(
    "stamp",
    [
        {"timestamp": "2024-06-05T13:30:00Z"},
        {"timestamp": "2024-06-05T09:30:00-04:00"},
        {"timestamp": datetime(2024, 6, 5, 13, 30, tzinfo=UTC)},
        {"timestamp": datetime(2024, 6, 5, 22, 30, tzinfo=timezone(timedelta(hours=9)))},
        {"start_ns": OPEN},
        {"start_ns": np.int64(OPEN)},
    ],
)
def test_a_bar_is_read_from_a_mapping(stamp: dict[str, object]) -> None:
    bar = parse_bar({**VALUES, **stamp})
    assert bar == BAR
    assert type(bar.start_ns) is int
    assert parse_bar(bar) == bar


def test_a_stamp_keeps_its_microseconds() -> None:
    for micro in (1, 3, 999_999):
        stamp = datetime(2024, 6, 5, 13, 30, 0, micro, tzinfo=UTC)
        assert parse_bar({**VALUES, "timestamp": stamp}).start_ns == OPEN + micro * 1_000


GOOD = {**VALUES, "timestamp": "2024-06-05T13:30:00Z"}


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        ({**GOOD, "close": None}, "the bar's close is None"),
        ({**GOOD, "close": "abc"}, "the bar's close is 'abc'"),
        ({**GOOD, "volume": True}, "the bar's volume is True"),
        (Bar(OPEN, None, 2.0, 0.5, 1.5, 10.0), "the bar's open is None"),
        (Bar("now", 1.0, 2.0, 0.5, 1.5, 10.0), "the bar has no timestamp"),
        ({**GOOD, 7: 1, None: 2}, "a bar has no '7'"),
        ({**GOOD, "open": 10**400}, "the bar's open is 1"),
        ({k: v for k, v in GOOD.items() if k != "low"}, "the bar has no low"),
        (VALUES, "the bar has no timestamp"),
        ({**VALUES, "start_ns": True}, "the bar has no timestamp"),
        ({**VALUES, "start_ns": 1.5e18}, "the bar has no timestamp"),
        ({**VALUES, "start_ns": 10**30}, "outside the years"),
        ({**VALUES, "timestamp": "3000-01-01T00:00:00Z"}, "outside the years"),
        ({**VALUES, "timestamp": "2024-06-05T13:30:00"}, "2024-06-05T13:30:00 has no time zone"),
        ({**VALUES, "timestamp": "tomorrow"}, "'tomorrow' is not a time"),
        ({**VALUES, "timestamp": 5}, "5 is not a time"),
        ({**GOOD, "vwap": 1.0}, "a bar has no 'vwap'"),
        ([1, 2, 3], "is not a bar"),
        (None, "None is not a bar"),
    ],
)
def test_what_cannot_be_read_as_a_bar_names_the_key_at_fault(bar: object, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bar(bar)  # type: ignore[arg-type]
    assert reason in caught.value.reason
    assert caught.value.remedy
    ok, told = validate_adhoc_bar("SPY", "1m", bar, CONTEXT, TEN)  # type: ignore[arg-type]
    assert not ok
    assert reason in told


@pytest.mark.parametrize("interval", ["1m", "5m", "1h", "30s"])
def test_a_sane_closed_bar_on_the_grid_is_accepted(interval: str) -> None:
    assert validate_adhoc_bar("SPY", interval, BAR, CONTEXT, utc_ns("2024-06-05T14:30")) == (True, "")


@pytest.mark.parametrize(
    ("symbol", "interval", "bar", "reason"),
    [
        ("../x", "1m", BAR, "a symbol consists of"),
        ("", "1m", BAR, "the symbol is empty"),
        ("SPY", "0m", BAR, "'0m' is not an interval"),
        ("SPY", "90x", BAR, "'90x' is not an interval"),
        ("SPY", "1m", flat(OPEN + 1), "does not start a whole number of 1m after the session open"),
        ("SPY", "7m", flat(OPEN + 5 * MINUTE_NS), "does not start a whole number of 7m after the session open"),
        (
            "SPY",
            "1m",
            flat(OPEN - MINUTE_NS),
            "lies outside the regular hours of the sessions 2024-06-03 to 2024-06-07",
        ),
        ("SPY", "1m", flat(utc_ns("2024-05-01T14:00")), "lies outside the regular hours"),
        ("SPY", "1d", flat(utc_ns("2024-06-08T00:00")), "lies outside the regular hours"),
        ("SPY", "1m", flat(OPEN, price=float("nan")), "open is nan"),
        ("SPY", "1m", Bar(OPEN, 2.0, 1.0, 0.5, 1.0, 1.0), "high 1.0 is below the open or close"),
        ("SPY", "1m", flat(OPEN, volume=-1.0), "volume is negative"),
        ("SPY", "1m", flat(OPEN, price=0.0), "open is zero"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_with_the_reason(symbol: str, interval: str, bar: Bar, reason: str) -> None:
    ok, told = validate_adhoc_bar(symbol, interval, bar, CONTEXT, TEN)
    assert not ok
    assert reason in told


def test_prices_at_zero_and_below_may_be_added_where_the_config_has_a_source_of_them() -> None:
    context = replace(CONTEXT, prices="any")
    for price in (0.0, -1.5):
        assert validate_adhoc_bar("CL-SPREAD", "1m", flat(OPEN, price), context, TEN) == (True, "")


def test_a_bar_is_accepted_at_its_close_and_not_before() -> None:
    ok, told = validate_adhoc_bar("SPY", "5m", BAR, CONTEXT, OPEN + 5 * MINUTE_NS - 1)
    assert not ok
    assert told.startswith("the bar closes at 2024-06-05T13:35:00Z, after session time 2024-06-05T13:34:59")
    assert validate_adhoc_bar("SPY", "5m", BAR, CONTEXT, OPEN + 5 * MINUTE_NS) == (True, "")


def test_a_daily_bar_closes_with_its_session() -> None:
    midnight = utc_ns("2024-06-05T00:00")
    assert not validate_adhoc_bar("SPY", "1d", flat(midnight), CONTEXT, CONTEXT.close_ns - 1)[0]
    assert validate_adhoc_bar("SPY", "1d", flat(midnight), CONTEXT, CONTEXT.close_ns) == (True, "")
    assert place(flat(midnight), Interval.parse("1d"), CONTEXT) == flat(OPEN)
    assert place(flat(midnight), Interval.parse("1m"), CONTEXT) == flat(midnight)


def test_a_bar_of_the_day_before_is_accepted() -> None:
    assert validate_adhoc_bar("SPY", "1m", flat(utc_ns("2024-06-04T14:00")), CONTEXT, TEN) == (True, "")


def test_adhoc_bars_are_laid_oldest_first() -> None:
    series = adhoc_series("SPY", Interval.parse("1m"), [flat(OPEN + MINUTE_NS, 2.0), flat(OPEN, 1.0)], CONTEXT)
    assert series.bars.close.tolist() == [1.0, 2.0]


def test_two_adhoc_bars_of_one_stamp_are_an_error() -> None:
    with pytest.raises(DataError, match="stands twice"):
        adhoc_series("SPY", Interval.parse("1m"), [flat(OPEN), flat(OPEN)], CONTEXT)


def test_a_known_indicator_is_accepted() -> None:
    assert validate_adhoc_indicator("SPY", "RSI(14)@5m") == (True, "")
    assert validate_adhoc_indicator("SPY", {"name": "RSI", "interval": "5m"}) == (True, "")


@pytest.mark.parametrize(
    ("symbol", "config", "reason"),
    [
        ("", "RSI@5m", "the symbol is empty"),
        ("SPY", "RSX@5m", "'RSX' is not an indicator"),
        ("SPY", "RSI(0)@5m", "RSI(0)@5m"),
        ("SPY", "RSI@5x", "'5x' is not an interval"),
        ("SPY", {"name": "RSI", "interval": "5m", "params": [14]}, "params and inputs are mappings"),
        ("SPY", 5, "5 is not an indicator"),
    ],
)
def test_an_indicator_that_cannot_be_is_refused_with_the_reason(symbol: str, config: object, reason: str) -> None:
    ok, told = validate_adhoc_indicator(symbol, config)  # type: ignore[arg-type]
    assert not ok
    assert reason in told


@pytest.mark.parametrize(
    "inputs", [np.array([1, 2]), {"price": np.array([1, 2])}, {"price": ["low"]}, 7, {"price": None}]
)
def test_inputs_of_an_indicator_that_are_no_columns_are_refused(inputs: object) -> None:
    ok, told = validate_adhoc_indicator("SPY", {"name": "SMA", "interval": "5m", "inputs": inputs})
    assert not ok
    assert "cannot take" in told or "are mappings" in told
