"""Keeps one vendor's rate limit, for all threads together: no request leaves before it may."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Lock

from barray.data_sources.fetching.vendor import RateLimit
from barray.market.clock import Clock, WallClock

WINDOW_S = 60.0
LONGEST_WAIT_S = 300.0  # what a header may make us wait, whatever stands in it
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 30.0

Sleep = Callable[[float], None]


def backoff_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row; `chance` in [0, 1) spreads those who wait."""
    return min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 16)) * (0.5 + chance / 2)


class RateLimiter:
    """Lets `per_minute` requests through a window of a minute, until the vendor's answers say what is left of which.

    `taken`: how many it has let through.
    """

    def __init__(
        self, per_minute: int, *, clock: Clock | None = None, sleep: Sleep = time.sleep, seed: int | None = None
    ) -> None:
        self._clock = clock or WallClock()
        self._sleep = sleep
        self._random = random.Random(seed)
        self._lock = Lock()
        self._limit = self._left = per_minute
        self.taken = 0
        self._reset_s = 0.0
        self._not_before_s = 0.0
        self._in_flight = 0
        self._throttled = 0

    def acquire(self) -> None:
        """Return when the next request may leave; it is in flight until `answered` or `throttled`."""
        while (wait_s := self._take()) > 0:
            self._sleep(wait_s)

    def answered(self, rate: RateLimit | None, *, served: bool = True) -> None:
        """A request is over; `rate` is what its answer said of the limit, if it did."""
        with self._lock:
            self._in_flight -= 1
            if served:
                self._throttled = 0
            if rate is None or rate.limit < 1:
                return
            left = rate.remaining - self._in_flight  # those under way may not be counted in it
            same_window = abs(rate.reset_s - self._reset_s) < 1.0  # answers overtake one another
            self._left = min(left, self._left) if same_window else left
            self._limit = rate.limit
            self._reset_s = min(rate.reset_s, self._now_s() + LONGEST_WAIT_S)

    def throttled(self, retry_at_s: float | None) -> None:
        """A request was refused as one too many: nothing leaves before `retry_at_s`, or a guess that grows."""
        with self._lock:
            self._in_flight -= 1
            self._throttled += 1
            now_s = self._now_s()
            if retry_at_s is None or retry_at_s <= now_s:
                retry_at_s = now_s + backoff_s(self._throttled, self._random.random())
            self._not_before_s = max(self._not_before_s, min(retry_at_s, now_s + LONGEST_WAIT_S))

    def _take(self) -> float:
        """Take a place and return 0, or how long to wait before trying again."""
        with self._lock:
            now_s = self._now_s()
            if now_s < self._not_before_s:
                return self._not_before_s - now_s
            if now_s >= self._reset_s:
                self._left, self._reset_s = self._limit, now_s + WINDOW_S
            if self._left <= 0:
                return self._reset_s - now_s
            self._left -= 1
            self._in_flight += 1
            self.taken += 1
            return 0.0

    def _now_s(self) -> float:
        return self._clock.now_ns() / 1e9
