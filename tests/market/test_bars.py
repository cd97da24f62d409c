"""Columns of bars and the checks on what comes from outside."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.bars import Bar, Bars, Prices, check_order, check_values, format_ns, sane_rows, value_problem
from barray.market.errors import DataError
from tests.market.builders import utc_ns

GOOD = Bar(utc_ns("2024-06-05T13:30"), 10.0, 12.0, 9.0, 11.0, 100.0)
WHERE = {"symbol": "SPY", "interval": "1m", "source": "parquet"}


def three() -> Bars:
    return Bars.of([replace(GOOD, start_ns=GOOD.start_ns + k, close=10.0 + k / 10) for k in range(3)])


def test_columns_give_back_the_bars_they_were_made_of() -> None:
    bars = three()
    assert len(bars) == 3
    assert bars[2] == replace(GOOD, start_ns=GOOD.start_ns + 2, close=10.2)
    assert type(bars[0].start_ns) is int
    assert bars.start_ns.dtype == np.int64


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        three().close[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        three().take(slice(1, 2)).start_ns[0] = 1


def test_concatenation_keeps_the_order_of_the_parts() -> None:
    bars = three()
    assert Bars.concat([bars.take(slice(2, 3)), bars.take(slice(0, 2))]).close.tolist() == [10.2, 10.0, 10.1]
    assert len(Bars.concat([])) == len(Bars.empty()) == 0
    assert Bars.concat([bars]) is bars


def test_bars_are_equal_only_if_every_value_is() -> None:
    bars = three()
    assert bars.equals(three())
    assert not bars.equals(bars.take(slice(0, 2)))
    assert not bars.equals(Bars.of([bars[0], bars[1], replace(bars[2], volume=100.00000001)]))


@pytest.mark.parametrize(
    ("stamp_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_717_594_200_000_000_000, "2024-06-05T13:30:00Z"),
        (1_717_594_200_000_000_001, "2024-06-05T13:30:00.000000001Z"),
        (1_717_594_200_500_000_000, "2024-06-05T13:30:00.500000000Z"),
    ],
)
def test_a_stamp_is_shown_in_utc_with_fractions_only_where_there_are_any(stamp_ns: int, text: str) -> None:
    assert format_ns(stamp_ns) == text


BAD = [
    ({"open": float("nan")}, "open is nan"),
    ({"close": float("inf")}, "close is inf"),
    ({"low": float("-inf")}, "low is -inf"),
    ({"volume": float("nan")}, "volume is nan"),
    ({"volume": -1.0}, "volume is negative (-1.0)"),
    ({"low": -0.5}, "low is negative (-0.5)"),
    ({"low": 0.0}, "low is zero"),
    ({"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}, "open is zero"),
    ({"high": 8.0, "low": 9.0}, "high 8.0 is below low 9.0"),
    ({"high": 10.5}, "high 10.5 is below the open or close (10.0, 11.0)"),
    ({"low": 10.5}, "low 10.5 is above the open or close (10.0, 11.0)"),
]


@pytest.mark.parametrize(("changes", "problem"), BAD)
def test_impossible_values_are_named(changes: dict[str, float], problem: str) -> None:
    bad = replace(GOOD, **changes)
    assert value_problem(bad) == problem
    with pytest.raises(DataError) as caught:
        check_values(Bars.of([GOOD, bad, bad]), **WHERE)
    assert caught.value.reason == f"bar at 2024-06-05T13:30:00Z: {problem} (and 1 more rows)"
    assert (caught.value.symbol, caught.value.code) == ("SPY", "bad_values")


@pytest.mark.parametrize("good", [GOOD, replace(GOOD, volume=0.0), Bar(0, 1e-9, 1e-9, 1e-9, 1e-9, 0.0)])
def test_possible_values_pass(good: Bar) -> None:
    assert value_problem(good) is None
    check_values(Bars.of([good]), **WHERE)
    check_values(Bars.empty(), **WHERE)


SPREAD = Bar(0, -0.25, 0.0, -0.5, -0.25, 3.0)


def test_a_source_of_any_prices_may_have_them_at_zero_and_below() -> None:
    assert value_problem(SPREAD, "any") is None
    check_values(Bars.of([SPREAD]), "any", **WHERE)
    with pytest.raises(DataError, match="open is negative") as caught:
        check_values(Bars.of([SPREAD]), **WHERE)
    assert "prices: any" in str(caught.value.remedy)


@pytest.mark.parametrize(
    "changes", [{"high": -0.6}, {"low": -0.2}, {"volume": -1.0}, {"close": float("nan")}, {"low": -math.inf}]
)
def test_any_prices_still_have_to_be_a_bars(changes: dict[str, float]) -> None:
    bad = replace(SPREAD, **changes)
    assert value_problem(bad, "any") is not None
    with pytest.raises(DataError) as caught:
        check_values(Bars.of([bad]), "any", **WHERE)
    assert "prices: any" not in str(caught.value.remedy)


VALUES = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, math.nan, math.inf, -math.inf])


@given(
    st.lists(st.builds(Bar, st.just(0), *[VALUES] * 5), min_size=1, max_size=8), st.sampled_from(["positive", "any"])
)
def test_single_bars_and_columns_are_judged_alike(bars: list[Bar], prices: Prices) -> None:
    assert sane_rows(Bars.of(bars), prices).tolist() == [value_problem(bar, prices) is None for bar in bars]


@pytest.mark.parametrize(
    ("stamps", "code", "reason"),
    [
        ([0, 10**9, 10**9], "duplicate_stamps", "stamp 1970-01-01T00:00:01Z stands twice"),
        ([10**9, 0], "unsorted_stamps", "stamp 1970-01-01T00:00:00Z comes after 1970-01-01T00:00:01Z"),
    ],
)
def test_stamps_have_to_increase(stamps: list[int], code: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        check_order(np.array(stamps, np.int64), **WHERE)
    assert (caught.value.code, caught.value.reason) == (code, reason)


@pytest.mark.parametrize("stamps", [[], [5], [1, 2, 9]])
def test_increasing_stamps_pass(stamps: list[int]) -> None:
    check_order(np.array(stamps, np.int64), **WHERE)
