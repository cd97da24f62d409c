"""What was asked for is run, or left out with a reason: nothing else, and never both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.accounting import require_accounted
from barray.market.errors import BarrayError


def test_what_was_run_and_what_was_left_out_with_a_reason_are_all() -> None:
    require_accounted(["a", "b", "c"], ["a", "c"], {"b": "no data"})
    require_accounted([], [], {})
    require_accounted(["a"], ["a", "guest"], {"other": "was never asked for"})


def test_what_is_missing_is_named_with_whose_it_is() -> None:
    with pytest.raises(BarrayError, match=r"AAPL: 1 of 2 asked for were neither run nor left out.*: 2024-07-02;") as it:
        require_accounted(["2024-07-01", "2024-07-02"], ["2024-07-01"], {}, symbol="AAPL")
    assert it.value.code == "unaccounted"


def test_an_empty_reason_is_none() -> None:
    for nothing in ("", (), None):
        with pytest.raises(BarrayError, match="neither run nor left out"):
            require_accounted(["a"], [], {"a": nothing})


def test_what_was_run_is_not_left_out_too() -> None:
    with pytest.raises(BarrayError, match="both run and left out: a"):
        require_accounted(["a", "b"], ["a", "b"], {"a": "dropped"})


def test_of_many_only_a_few_are_named() -> None:
    with pytest.raises(BarrayError, match=r"100 of 100 .*: 000, 001, 002, 003, 004 …"):
        require_accounted([f"{number:03}" for number in range(100)], [], {})


@given(st.dictionaries(st.text(max_size=3), st.sampled_from(["run", "out", "both", "none"]), max_size=8))
def test_it_is_silent_just_where_every_one_has_one_fate(fates: dict[str, str]) -> None:
    ran = [one for one, fate in fates.items() if fate in ("run", "both")]
    left_out = {one: "reason" for one, fate in fates.items() if fate in ("out", "both")}
    whole = all(fate in ("run", "out") for fate in fates.values())
    try:
        require_accounted(fates, ran, left_out)
    except BarrayError:
        assert not whole
    else:
        assert whole
