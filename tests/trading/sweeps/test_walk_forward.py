"""Walk-forward windows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.errors import ConfigError
from barray.trading.sweeps.walk_forward import Window, walk_forward

DATES = [date(2024, 6, 3) + timedelta(days=k) for k in range(10)]


def test_rolling_windows() -> None:
    assert walk_forward(DATES, 4, 3) == [
        Window(tuple(DATES[0:4]), tuple(DATES[4:7])),
        Window(tuple(DATES[3:7]), tuple(DATES[7:10])),
    ]


def test_anchored_windows_with_a_purge_and_a_short_last_one() -> None:
    assert walk_forward(DATES, 3, 4, anchored=True, purge=1) == [
        Window(tuple(DATES[0:3]), tuple(DATES[4:8])),
        Window(tuple(DATES[0:7]), tuple(DATES[8:10])),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"in_sample": 8, "out_of_sample": 3}, "needs 11 sessions .* there are 10; widen"),
        ({"in_sample": 7, "out_of_sample": 3, "purge": 1}, "needs 11 sessions"),
        ({"in_sample": 0, "out_of_sample": 3}, "in_sample is 0; give a number of sessions, at least 1"),
        ({"in_sample": 3, "out_of_sample": 1.5}, "out_of_sample is 1.5"),
        ({"in_sample": 3, "out_of_sample": 3, "purge": -1}, "purge is -1"),
    ],
)
def test_what_cannot_be_meant(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        walk_forward(DATES, **arguments)


def test_dates_ascend() -> None:
    with pytest.raises(ConfigError, match="do not ascend"):
        walk_forward([*DATES, DATES[-1]], 3, 3)


@given(
    gaps=st.lists(st.integers(1, 5), min_size=3, max_size=60),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(0, 4)),
    anchored=st.booleans(),
)
def test_windows_cover_everything_after_the_first_in_sample_once_and_never_look_ahead(
    gaps: list[int], sizes: tuple[int, int, int], anchored: bool
) -> None:
    dates = [date(2020, 1, 1) + timedelta(days=sum(gaps[:k])) for k in range(len(gaps))]
    in_sample, out_of_sample, purge = sizes
    if sum(sizes) > len(dates):
        with pytest.raises(ConfigError):
            walk_forward(dates, in_sample, out_of_sample, anchored=anchored, purge=purge)
        return
    windows = walk_forward(dates, in_sample, out_of_sample, anchored=anchored, purge=purge)
    assert [day for window in windows for day in window.out_of_sample] == dates[in_sample + purge :]
    for number, window in enumerate(windows):
        last, first = dates.index(window.in_sample[-1]), dates.index(window.out_of_sample[0])
        assert first - last == 1 + purge
        begin = dates.index(window.in_sample[0])
        assert list(window.in_sample) == dates[begin : last + 1]
        assert begin == (0 if anchored else number * out_of_sample)
        assert len(window.in_sample) == in_sample + (number * out_of_sample if anchored else 0)
        assert 1 <= len(window.out_of_sample) <= out_of_sample
    assert all(len(window.out_of_sample) == out_of_sample for window in windows[:-1])
