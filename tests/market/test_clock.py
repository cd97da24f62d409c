"""Session clocks."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from barray.market.clock import PracticeClock, SimulatedClock, WallClock, monotonic_s
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


def test_a_practice_clock_is_the_real_one_moved_and_sped_up() -> None:
    start, hour_ago = utc_ns("2024-06-05T13:30"), time.time_ns() - 3_600 * 10**9
    assert PracticeClock(start, hour_ago).now_ns() >= utc_ns("2024-06-05T14:30")
    fast = PracticeClock(start, hour_ago, speed=3)
    assert utc_ns("2024-06-05T16:30") <= fast.now_ns() < utc_ns("2024-06-06T00:00")
    assert 0 < fast.seconds_until(utc_ns("2024-06-06T16:30")) <= 24 * 3_600 / 3


def test_a_practice_clock_jumps_ahead_for_all_who_have_it_and_never_back(tmp_path: Path) -> None:
    start = utc_ns("2024-06-05T13:30")
    clock = PracticeClock(start, time.time_ns(), jumps=str(tmp_path / "jumps"))
    other = pickle.loads(pickle.dumps(clock))
    for stamp in ("2024-06-05T14:00", "2024-06-05T19:00"):
        clock.jump_to(utc_ns(stamp))
        assert utc_ns(stamp) <= other.now_ns()
    clock.jump_to(start)
    assert other.now_ns() >= utc_ns("2024-06-05T19:00")
    assert clock.seconds_until(utc_ns("2024-06-05T19:00")) <= 0


def test_measured_time_never_runs_backwards() -> None:
    first = monotonic_s()
    assert monotonic_s() >= first
