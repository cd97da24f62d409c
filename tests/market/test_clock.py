"""Session clocks."""

from __future__ import annotations

import time

import pytest

from barray.market.clock import SimulatedClock, WallClock, monotonic_s
from barray.market.errors import IllegalTransition
from tests.market.builders import utc_ns


def test_a_simulated_clock_stands_still_until_it_is_told_to_go_on() -> None:
    clock = SimulatedClock(100)
    assert clock.now_ns() == clock.now_ns() == 100
    clock.advance_to(250)
    clock.advance_to(250)
    assert clock.now_ns() == 250


def test_a_simulated_clock_never_goes_back() -> None:
    clock = SimulatedClock(utc_ns("2024-06-05T13:30"))
    with pytest.raises(
        IllegalTransition, match=r"stands at 2024-06-05T13:30:00Z and cannot go back to 2024-06-05T13:29:59Z"
    ):
        clock.advance_to(utc_ns("2024-06-05T13:29:59"))
    assert clock.now_ns() == utc_ns("2024-06-05T13:30")


def test_the_wall_clock_tells_the_real_time() -> None:
    before = time.time_ns()
    assert before <= WallClock().now_ns() <= time.time_ns()


def test_measured_time_never_runs_backwards() -> None:
    first = monotonic_s()
    assert monotonic_s() >= first
