"""Random bars on made-up sessions, and what `prepare` wants of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from barray.market.bars import Bars, IntArray
from barray.market.calendar import Sessions
from barray.market.interval import Interval
from barray.market.series import IntervalBars, lay_on_sessions
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData, prepare

_DAY_NS, _MINUTE_NS = 86_400 * 10**9, 60 * 10**9
_FIRST_DAY = np.datetime64("2024-06-03")  # a Monday


@dataclass(frozen=True, eq=False)
class SessionRange:
    base: IntervalBars
    sessions: Sessions
    traded: IntArray
    history: dict[int, int]

    def prepare(self, strategy: Strategy) -> SymbolData:
        return prepare("AAA", self.base, strategy.needs(), self.sessions, self.traded, self.history)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"base": self.base, "sessions": self.sessions, "traded": self.traded, "history": self.history}


def weekdays(n: int, minutes: int = 60) -> Sessions:
    """`n` sessions of `minutes` from 13:30 UTC, Mondays to Fridays."""
    days = np.array([_FIRST_DAY + np.timedelta64(7 * (k // 5) + k % 5, "D") for k in range(n)])
    open_ns = days.astype("datetime64[ns]").astype(np.int64) + 810 * _MINUTE_NS
    close_ns = open_ns + minutes * _MINUTE_NS
    return Sessions(days, open_ns, close_ns, close_ns, close_ns)


def session_range(
    seed: int = 0, *, n: int = 8, back: int = 2, minutes: int = 60, missing: float = 0.05
) -> SessionRange:
    """`n` sessions of random 1m bars in cents, some of them missing, the first `back` for history only."""
    sessions = weekdays(n, minutes)
    rng = np.random.default_rng(seed)
    stamps = np.concatenate([o + np.arange(minutes) * _MINUTE_NS for o in sessions.open_ns])
    stamps = stamps[rng.random(len(stamps)) >= missing]
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, len(stamps)))), 2)
    open_ = np.round(np.concatenate(([100.0], close[:-1])) + rng.integers(-2, 3, len(stamps)) / 100, 2)
    high = np.maximum(open_, close) + rng.integers(0, 5, len(stamps)) / 100
    low = np.minimum(open_, close) - rng.integers(0, 5, len(stamps)) / 100
    volume = rng.integers(100, 10_000, len(stamps)).astype(np.float64)
    bars = Bars(stamps, open_, high, low, close, volume)
    base = lay_on_sessions(bars, Interval.parse("1m"), sessions, back, symbol="AAA", source="made up")
    traded = np.arange(back, n)
    return SessionRange(base, sessions, traded, {int(row): int(row) - back for row in traded})
