"""Random bars on made-up sessions, loaded as a process would have them, and plans to run on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.interval import Interval
from barray.market.series import lay_on_sessions
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.source import StrategySource

_DAY_NS, _MINUTE_NS = 86_400 * 10**9, 60 * 10**9
_FIRST_DAY = np.datetime64("2024-06-03")  # a Monday


def weekdays(n: int, minutes: int = 60) -> Sessions:
    """`n` sessions of `minutes` from 13:30 UTC, Mondays to Fridays."""
    days = np.array([_FIRST_DAY + np.timedelta64(7 * (k // 5) + k % 5, "D") for k in range(n)])
    open_ns = days.astype("datetime64[ns]").astype(np.int64) + 810 * _MINUTE_NS
    close_ns = open_ns + minutes * _MINUTE_NS
    return Sessions(days, open_ns, close_ns, close_ns, close_ns)


def loaded_range(
    seed: int = 0, *, n: int = 8, back: int = 2, history: int | None = None, minutes: int = 60, missing: float = 0.05
) -> LoadedRange:
    """`n` sessions of random 1m bars in cents, some of them missing, the first `back` not to be run: they are there for
    the `history` of the others, by default as many sessions.
    """
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
    rows = np.arange(back, n)
    starts = {int(row): int(row) - (back if history is None else history) for row in rows}
    return LoadedRange("AAA", "made up", SessionRange("XNYS", "regular", "UTC", sessions, rows, starts), base, rows, {})


def plan_of(
    kind: type[Strategy],
    form: str,
    market: Market | None = None,
    account: Account | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Plan:
    """How to run a strategy that is defined at the top of a module."""
    source = StrategySource(kind.__module__, None, kind.__name__)
    return Plan(source, parameters or {}, form, market or Market(), account or Account())
