"""Requests leave when the vendor's rate limit lets them, by a clock that jumps."""

from __future__ import annotations

from barray.data_sources.fetching.rate_limiter import LONGEST_WAIT_S, RateLimiter, backoff_s
from barray.data_sources.fetching.vendor import RateLimit
from tests.data_sources.gateway_fakes import NOW_NS, JumpClock

NOW_S = NOW_NS / 1e9


def limiter(clock: JumpClock, per_minute: int = 200) -> RateLimiter:
    return RateLimiter(per_minute, clock=clock, sleep=clock.sleep, seed=1)


def waited_s(clock: JumpClock) -> float:
    return round((clock.now_ns() - NOW_NS) / 1e9, 3)


def test_before_any_answer_a_minute_s_requests_leave_at_once_and_the_next_a_minute_later() -> None:
    clock = JumpClock()
    limit = limiter(clock, 3)
    for _ in range(3):
        limit.acquire()
    assert waited_s(clock) == 0
    limit.acquire()
    assert waited_s(clock) == 60


def test_nothing_left_waits_for_the_reset_the_vendor_names() -> None:
    clock = JumpClock()
    limit = limiter(clock)
    limit.acquire()
    limit.answered(RateLimit(200, 0, NOW_S + 17))
    limit.acquire()
    assert waited_s(clock) == 17


def test_requests_under_way_count_as_spent() -> None:
    clock = JumpClock()
    limit = limiter(clock)
    for _ in range(3):
        limit.acquire()
    limit.answered(RateLimit(200, 2, NOW_S + 30))  # two more are out, and may take what is left
    limit.acquire()
    assert waited_s(clock) == 30


def test_an_answer_that_was_overtaken_gives_nothing_back() -> None:
    clock = JumpClock()
    limit = limiter(clock)
    limit.acquire()
    limit.acquire()
    limit.answered(RateLimit(200, 0, NOW_S + 30))
    limit.answered(RateLimit(200, 1, NOW_S + 30))
    limit.acquire()
    assert waited_s(clock) == 30


def test_one_too_many_waits_until_the_vendor_says() -> None:
    clock = JumpClock()
    limit = limiter(clock)
    limit.acquire()
    limit.throttled(NOW_S + 42)
    limit.acquire()
    assert waited_s(clock) == 42


def test_one_too_many_without_a_time_waits_longer_each_time_until_served() -> None:
    clock = JumpClock()
    limit, waits = limiter(clock), []
    for _ in range(4):
        limit.acquire()
        before = clock.now_ns()
        limit.throttled(None)
        limit.acquire()
        waits.append((clock.now_ns() - before) / 1e9)
        limit.answered(None, served=False)
    assert all(low <= wait <= 2 * low for low, wait in zip((0.5, 1, 2, 4), waits, strict=True))
    limit.acquire()
    limit.answered(None)
    limit.acquire()
    before = clock.now_ns()
    limit.throttled(None)
    limit.acquire()
    assert (clock.now_ns() - before) / 1e9 <= 1


def test_a_header_that_makes_no_sense_does_not_stop_the_fetch() -> None:
    clock = JumpClock()
    limit = limiter(clock)
    limit.acquire()
    limit.answered(RateLimit(200, 0, NOW_S + 1e9))
    limit.acquire()
    assert waited_s(clock) == LONGEST_WAIT_S


def test_backoff_is_spread_and_bounded() -> None:
    assert [backoff_s(failures, 0.0) for failures in (1, 2, 3, 99)] == [0.5, 1.0, 2.0, 15.0]
    assert backoff_s(99, 0.999) < 30
