"""A few of the cases; `python -m tests.fuzz --cases 2000` runs as many as asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import at_most
from tests.fuzz.cases import Fuzzer

OUTCOMES = ("read", "loaded", "refused", "refused by Step 0", "refused on load", "violation named", "nothing changed")


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    return Fuzzer(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.long
@settings(max_examples=at_most(64), deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_whatever_is_spoiled_ends_in_success_or_in_a_line_that_helps(fuzzer: Fuzzer, number: int) -> None:
    kind, outcome = fuzzer.run(number)
    assert outcome in OUTCOMES, kind
