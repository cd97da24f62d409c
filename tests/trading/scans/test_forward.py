"""What hits earned, by place and as a factor, told in plain loops."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from barray.market.errors import ConfigError
from barray.market.interval import DAY, Interval
from barray.trading.scans.follow import Kept
from barray.trading.scans.forward import ForwardReturns, FoundRows, Horizon, asked_closes, horizons_of
from tests.market.builders import new_york_ns
from tests.trading.scans.universes import xnys

WEDNESDAY, FRIDAY, MONDAY = date(2024, 7, 3), date(2024, 7, 5), date(2024, 7, 8)
SESSIONS = xnys().sessions
HORIZONS = horizons_of(["30m", "close", "1d", "2d", "30m"])


def kept(day: date, clock: str, symbol: str, place: int, price: float, scan: str = "movers") -> Kept:
    return Kept(scan, new_york_ns(day, clock), symbol, place, 1.0 / place, {"close": price}, 9)


def closes_of(day: date, symbol: str, at_ns: int) -> float:
    """100 at Wednesday's open, and one more for each half hour of a session since, B twice that; none of C's later."""
    row, first = int(np.searchsorted(SESSIONS.dates, np.datetime64(day))), xnys().session(WEDNESDAY)
    halves = (at_ns - int(SESSIONS.open_ns[row])) // (1_800 * 10**9) + 100 * (row - first)
    return {"A": 100.0 + halves, "B": 2 * (100.0 + halves), "C": float("nan") if row > first else 50.0}[symbol]


def earned(*rows: tuple[date, list[Kept]]) -> ForwardReturns:
    found = FoundRows.of(rows)
    asked = asked_closes(found, HORIZONS, SESSIONS, 2)
    told = {
        row: {
            symbol: np.array([closes_of(SESSIONS.dates[row].item(), symbol, at_ns) for at_ns in times.tolist()])
            for symbol, times in by.items()
        }
        for row, by in asked.items()
        if row < len(SESSIONS)
    }
    return ForwardReturns.of(found, HORIZONS, SESSIONS, asked, told)


def test_returns_are_from_the_price_of_the_hit_to_the_close_that_is_asked_for() -> None:
    half_day = [kept(WEDNESDAY, "10:00", "A", 1, 101.0), kept(WEDNESDAY, "12:45", "B", 2, 200.0)]
    made = earned((WEDNESDAY, half_day), (FRIDAY, [kept(FRIDAY, "10:00", "C", 1, 50.0)]))
    assert list(made.returns) == ["30m", "close", "1d", "2d"]
    nan = float("nan")
    expected = {
        "30m": [102 / 101 - 1, nan, nan],  # the half day ends at 13:00
        "close": [107 / 101 - 1, 214 / 200 - 1, nan],
        "1d": [213 / 101 - 1, 426 / 200 - 1, nan],
        "2d": [313 / 101 - 1, 626 / 200 - 1, nan],
    }
    for name, values in expected.items():
        assert made.returns[name].tolist() == pytest.approx(values, nan_ok=True), name
    assert made.table.names[-4:] == list(expected)
    assert len(made.table) == 3


def test_returns_are_told_by_scan_and_place() -> None:
    rows = [kept(WEDNESDAY, "10:00", "A", 1, 107.0), kept(WEDNESDAY, "10:30", "A", 1, 50.0)]
    rows += [kept(WEDNESDAY, "10:30", "B", 7, 428.0), kept(WEDNESDAY, "10:30", "B", 60, 428.0, "others")]
    told = [one for one in earned((WEDNESDAY, rows)).by_place if one.horizon == "close"]
    assert [(one.scan, one.first, one.last, one.hits) for one in told] == [
        ("movers", 1, 1, 2), ("movers", 6, 10, 1), ("others", 51, 60, 1),
    ]  # fmt: skip
    assert (told[0].mean, told[0].median, told[0].positive) == pytest.approx((0.57, 0.57, 0.5))
    assert (told[1].mean, told[1].positive) == (-0.5, 0.0)


def test_a_factor_has_the_shape_that_alphalens_takes() -> None:
    """A Series with the index (date, asset), dates without a zone, no pair twice; prices: dates by assets."""
    rows = [kept(WEDNESDAY, "10:00", "B", 1, 1.0), kept(WEDNESDAY, "10:30", "B", 2, 1.0)]
    made = earned(
        (WEDNESDAY, [*rows, kept(WEDNESDAY, "10:30", "A", 1, 1.0)]), (FRIDAY, [kept(FRIDAY, "10:00", "A", 4, 1.0)])
    )
    factor, prices = made.factor(), made.prices()
    assert (factor.name, list(factor.index.names)) == ("factor", ["date", "asset"])
    assert [(day.date(), asset) for day, asset in factor.index] == [(WEDNESDAY, "A"), (WEDNESDAY, "B"), (FRIDAY, "A")]
    assert factor.tolist() == [1.0, 0.5, 0.25]
    assert factor.index.levels[0].tz is None
    assert prices.index.equals(prices.index.normalize())
    assert [day.date() for day in prices.index[:3]] == [WEDNESDAY, FRIDAY, MONDAY]
    assert prices.columns.tolist() == ["A", "B"]
    assert prices.loc["2024-07-05", "A"] == 213.0
    assert made.factor_table.names == ["scan", "date", "asset", "factor"]
    assert made.price_table.names == ["date", "A", "B"]


def test_a_factor_is_of_one_scan() -> None:
    made = earned((WEDNESDAY, [kept(WEDNESDAY, "10:00", "A", 1, 1.0), kept(WEDNESDAY, "10:00", "B", 1, 1.0, "others")]))
    assert made.factor("others").index.tolist()[0][1] == "B"
    for name in (None, "nobody"):
        with pytest.raises(ConfigError, match="there is no factor of"):
            made.factor(name)


def test_nothing_found_earns_nothing() -> None:
    made = earned()
    assert (len(made.table), made.by_place, len(made.places), len(made.factor()), made.prices().shape) == (
        0,
        (),
        0,
        0,
        (0, 0),
    )


@pytest.mark.parametrize("text", ["5x", "0d", "1w", "-5m", "", "d", "9999d"])
def test_what_is_no_time_after_a_hit_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time after a hit"):
        Horizon.parse(text)


def test_bars_too_coarse_for_a_horizon_are_told() -> None:
    assert [one.sessions for one in horizons_of(["close", "5d"], DAY)] == [0, 5]
    for base, text in ((DAY, "30m"), (Interval.parse("5m"), "3m")):
        with pytest.raises(ConfigError, match=f"bars of {base} do not tell what a hit earns in {text}"):
            horizons_of([text], base)
