"""The algebra of intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.errors import ConfigError
from barray.market.interval import Interval, best_base, unserved
from tests.market.builders import intervals


@pytest.mark.parametrize(
    ("text", "canonical", "seconds"),
    [
        ("1s", "1s", 1),
        ("90s", "90s", 90),
        ("60s", "1m", 60),
        ("300s", "5m", 300),
        ("3600s", "1h", 3_600),
        ("60m", "1h", 3_600),
        ("90m", "90m", 5_400),
        (" 5m ", "5m", 300),
        ("23h", "23h", 82_800),
        ("1d", "1d", 86_400),
        ("1w", "1w", 604_800),
    ],
)
def test_an_interval_is_read_into_its_canonical_form(text: str, canonical: str, seconds: int) -> None:
    interval = Interval.parse(text)
    assert str(interval) == canonical
    assert interval.ns == seconds * 10**9
    assert Interval.parse(canonical) == interval
    assert Interval.parse(interval) is interval


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0m",
        "m",
        "5",
        "-1m",
        "1.5m",
        "05m",
        "90x",
        "1M",
        "5 m",
        "1m1s",
        "2d",
        "2w",
        "24h",
        "1440m",
        "86400s",
        "1234567s",
        "٥m",
    ],
)
def test_what_is_no_interval_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Interval.parse(text)
    assert repr(text) in str(caught.value)
    assert caught.value.code == "bad_interval"
    assert caught.value.remedy


@pytest.mark.parametrize("thing", [None, 5, 5.0, ["5m"]])
def test_what_is_no_text_is_refused(thing: object) -> None:
    with pytest.raises(ConfigError, match="is not an interval"):
        Interval.parse(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "served", "refused"),
    [
        ("1s", "1s 5s 7s 10s 30s 1m 1h 1d 1w", ""),
        ("1m", "1m 5m 7m 15m 30m 1h 90m 1d 1w", "1s 30s 90s"),
        ("5m", "5m 15m 1h 1d 1w", "1m 7m 12m"),
        ("7m", "7m 14m 1d 1w", "5m 15m 1h"),
        ("1h", "1h 4h 1d 1w", "90m 30m"),
        ("1d", "1d 1w", "1m 1h 23h"),
        ("1w", "1w", "1d 1m"),
    ],
)
def test_coarser_bars_derive_where_they_are_whole_multiples_and_never_the_other_way(
    base: str, served: str, refused: str
) -> None:
    own = Interval.parse(base)
    assert [
        str(target) for target in intervals(*served.split(), *refused.split()) if own.derives(target)
    ] == served.split()


@given(
    st.lists(st.sampled_from(intervals("1s", "5s", "1m", "5m", "7m", "15m", "1h", "1d", "1w")), min_size=3, max_size=3)
)
def test_derivation_is_transitive(chain: list[Interval]) -> None:
    one, two, three = chain
    if one.derives(two) and two.derives(three):
        assert one.derives(three)


def test_intervals_sort_from_fine_to_coarse() -> None:
    mixed = intervals("1w", "5m", "1d", "90s", "1h", "1s")
    assert [str(interval) for interval in sorted(mixed)] == ["1s", "90s", "5m", "1h", "1d", "1w"]


@pytest.mark.parametrize(
    ("required", "available", "base"),
    [
        ("1m 5m", "1s 1m 5m", "1m"),  # the least data that serves all
        ("5m 15m", "1s 1m 5m", "5m"),
        ("5m 7m", "1m 5m 7m", "1m"),
        ("1d", "1m 1d", "1d"),
        ("1m 1d", "1m 1d", "1m"),
        ("5m", "15m 1h", None),
        ("1m", "", None),
        ("", "1m 1h", "1h"),
    ],
)
def test_the_best_base_is_the_coarsest_that_serves_all(required: str, available: str, base: str | None) -> None:
    found = best_base(intervals(*required.split()), intervals(*available.split()))
    assert (str(found) if found else None) == base


def test_unserved_names_what_nothing_available_builds() -> None:
    assert unserved(intervals("1m", "5m", "15m"), intervals("5m")) == intervals("1m")
    assert unserved(intervals("5m", "7m"), intervals("5m", "7m")) == ()  # each by one, though none serves both
    assert unserved(intervals("5m", "30s", "5m"), ()) == intervals("30s", "5m")
