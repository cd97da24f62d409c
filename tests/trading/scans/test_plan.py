"""Scans as classes: parameters, attributes, what they need and what they are told."""

from __future__ import annotations

from datetime import date, time
from typing import ClassVar

import numpy as np
import pytest

from barray.market.errors import ConfigError
from barray.market.interval import DAY as DAY_BARS
from barray.market.interval import Interval
from barray.trading.scans.keeping import Keep, Promote, full, top
from barray.trading.scans.language import adv, bars, close, col, gap, relative_volume, table
from barray.trading.scans.needs import needs_of
from barray.trading.scans.plan import make_plan
from barray.trading.scans.scan import Scan
from barray.trading.scans.times import at, every
from barray.trading.scans.universe import listed
from barray.trading.strategy.parameter import parameter
from tests.market.builders import calendar, new_york_ns

DAY, HALF_DAY = date(2024, 7, 2), date(2024, 7, 3)


class Gappers(Scan):
    least: float = parameter(0.02, low=0.0)
    days: int = 10

    universe = listed()
    daily = (adv(20) > 5e6) & (close(1) > 5)
    at = every("5m", since="09:35")
    keep = top(50).leave_below(80)
    promote = full(20, evict="rank")
    carry = ("RSI(14)@5m",)

    def where(self):
        return (col("RSI(14)@5m") > 55) & (relative_volume(self.days) > 3) & (gap() > self.least)

    def rank(self):
        return relative_volume(self.days)


def test_parameters_are_in_the_terms_and_are_checked_as_a_strategys() -> None:
    plan = make_plan(Gappers(least=0.05, days=5))
    assert "gap() > 0.05" in [term.text for term in plan.where.local]
    assert plan.rank is not None
    assert plan.rank.text == "relative_volume(5)"
    assert list(Gappers.parameters()) == ["least", "days"]
    with pytest.raises(ConfigError, match=r"at least 0\.0"):
        Gappers(least=-1.0)
    with pytest.raises(ConfigError, match="no parameter 'most'"):
        Gappers(most=1)


def test_an_attribute_may_be_annotated_and_is_no_parameter() -> None:
    class Annotated(Gappers):
        keep: Keep = top(5)
        carry: ClassVar = ()

    assert list(Annotated.parameters()) == ["least", "days"]
    assert make_plan(Annotated()).keep == Keep(5, 5)


def test_the_cheapest_condition_comes_first() -> None:
    plan = make_plan(Gappers())
    assert [term.text for term in plan.where.local] == [
        "gap() > 0.02", "relative_volume(10) > 3", "RSI(14)@5m > 55",
    ]  # fmt: skip
    assert (plan.keep, plan.promote) == (Keep(50, 80), Promote(20, "rank"))


def test_needs_are_told_of_all_that_is_looked_at() -> None:
    needs = needs_of([make_plan(Gappers())])
    assert (needs.columns, needs.day_columns) == (("open", "close", "volume"), ("close", "volume"))
    assert (needs.sessions_back, needs.days_back, needs.until, needs.daily_first) == (10, 20, None, True)
    assert [spec.key for spec in needs.indicators] == ["RSI(14)@5m"]
    required = needs.requirements(Interval.parse("1m"))
    assert (required.intervals, required.trailing_days) == ((Interval.parse("1m"), Interval.parse("5m")), 10)

    assert needs.requirements(Interval.parse("1m"), daily=False).trailing_days == 20
    on_days = make_plan(type("Days", (Gappers,), {"where": col("SMA(30)@1d") > 5, "carry": ()})())
    assert needs_of([on_days]).requirements(DAY_BARS).trailing_days == 30

    class Early(Gappers):
        at = at("09:45", "10:00")
        daily = table("sectors", "sector") == "Energy"
        uses = (bars("low", 30),)

    both = needs_of([make_plan(Early()), make_plan(Gappers())])
    assert needs_of([make_plan(Early())]).until == time(10)
    assert (both.until, both.tables) == (None, ("sectors",))
    assert both.columns == ("open", "low", "close", "volume")


@pytest.mark.parametrize(("attributes", "told"), [
    ({"where": None, "scan": Scan.scan}, "looks for nothing"),
    ({"where": gap()}, "no condition"),
    ({"rank": gap() > 1}, "no number"),
    ({"rank": None}, "needs a rank"),
    ({"daily": gap() > 0.01}, "isn't known before the open"),
    ({"daily": col("RSI(14)@5m") > 0.01}, "isn't known before the open"),
    ({"keep": 50}, "keep is 50"),
    ({"universe": listed}, "universe is listed"),
    ({"at": "10:00"}, "at is '10:00'"),
    ({"carry": "RSI(14)@5m"}, "carry is"),
    ({"carry": ["RSI(14)"]}, "not an indicator"),
    ({"promotes": full(3)}, "has promotes, which nothing reads"),
    ({"uses": (gap().rank(),)}, "looks across symbols"),
    ({"where": lambda self: 1 / 0}, "ZeroDivisionError"),
])  # fmt: skip
def test_what_a_class_can_not_mean_is_told(attributes, told: str) -> None:
    kind = type("Odd", (Gappers,), attributes)
    with pytest.raises(ConfigError) as caught:
        make_plan(kind())
    assert told in str(caught.value)


def test_an_error_in_an_attribute_names_file_and_line() -> None:
    class Wrong(Gappers):
        def where(self):
            return gap() > 0.02 and close(1) > 5

    with pytest.raises(ConfigError, match=r"test_plan\.py line \d+: Wrong\.where: .* neither true nor false"):
        make_plan(Wrong())


def stamps(times, day: date) -> list[str]:
    found = calendar("XNYS", date(2024, 6, 24), date(2024, 7, 8))
    row = found.session(day)
    opens, closes = int(found.sessions.open_ns[row]), int(found.sessions.close_ns[row])
    own = times.of(day, opens, closes, found.timezone)
    minutes = (own - new_york_ns(day, "00:00")) // (60 * 10**9)
    assert np.all(np.diff(own) > 0)
    return [f"{m // 60:02d}:{m % 60:02d}" for m in minutes.tolist()]


def test_times_are_the_exchanges_and_end_with_the_session() -> None:
    assert stamps(every("5m", since="09:35"), DAY)[:2] == ["09:35", "09:40"]
    assert len(stamps(every("5m"), DAY)) == 78
    assert stamps(every("5m"), DAY)[-1] == "16:00"
    assert stamps(every("1h", since="09:00", until="12:30"), DAY) == ["10:00", "11:00", "12:00"]
    assert stamps(at("15:30", "10:00", "10:00", "09:30"), DAY) == ["10:00", "15:30"]
    assert stamps(at("10:00", "15:30"), HALF_DAY) == ["10:00"]
    assert stamps(at("close", "10:00"), HALF_DAY) == ["10:00", "13:00"]
    assert (at("close", "10:00").text, at("close").latest) == ("at('10:00', 'close')", None)
    assert stamps(every("1h"), HALF_DAY) == ["10:30", "11:30", "12:30"]


@pytest.mark.parametrize("wrong", [
    lambda: every("1d"), lambda: every("5m", since="25:00"), lambda: every("5m", since="12:00", until="11:00"),
    at, lambda: at("noon"), lambda: top(0), lambda: top(50).leave_below(40), lambda: full("20"),
    lambda: full(20, "worst"), lambda: full(20, light=-1),
])  # fmt: skip
def test_times_and_numbers_that_are_none_are_told(wrong) -> None:
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert caught.value.remedy
