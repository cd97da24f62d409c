"""Small sessions of random bars, and strategies made of functions, to run without anything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np

from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.series import IntervalBars
from barray.trading.engine.event_run import Outcome, run_symbol
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fill
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData, prepare
from tests.market.builders import calendar, expected_stamps, lay, walk

MONDAY, FRIDAY = date(2024, 6, 3), date(2024, 6, 7)
HALF_DAY_WEEK = date(2024, 7, 1), date(2024, 7, 5)
"""The third is a half day, the fourth none at all."""


class Recorder(Strategy):
    """Calls the functions it is given, as a strategy would be called."""

    def __init__(
        self,
        on_bar: Callable[[Context], Any] = lambda ctx: None,
        *,
        interval: str = "1m",
        intervals: Sequence[str] = (),
        indicators: dict[str, str] | None = None,
        **hooks: Callable[..., Any],
    ) -> None:
        self._on_bar, self._hooks, self._named = on_bar, hooks, indicators or {}
        self.interval, self.intervals = interval, intervals  # type: ignore[misc]

    def indicators(self) -> dict[str, str]:
        return self._named

    def on_bar(self, ctx: Context) -> None:
        self._on_bar(ctx)

    def on_start(self, ctx: Context) -> None:
        self._hooks.get("on_start", lambda ctx: None)(ctx)

    def on_session(self, ctx: Context) -> None:
        self._hooks.get("on_session", lambda ctx: None)(ctx)

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        self._hooks.get("on_fill", lambda ctx, fill: None)(ctx, fill)


def sessions_of(first: date = MONDAY, last: date = FRIDAY) -> Sessions:
    found = calendar("XNYS", first, last)
    days = found.between(first, last)
    rows = [found.session(day) for day in days]
    return found.sessions.take(slice(rows[0], rows[-1] + 1))


def minutes(sessions: Sessions, seed: int = 0, drop: Callable[[np.ndarray], np.ndarray] | None = None) -> IntervalBars:
    """A random walk over all minutes, but for those where `drop(stamps)`."""
    stamps = np.concatenate([expected_stamps(sessions, row) for row in range(len(sessions))])
    bars = walk(stamps, seed)
    return lay(bars.take(~drop(stamps)) if drop else bars, "1m", sessions)


def short_sessions(bars_each: int, days: int, columns: dict[str, np.ndarray]) -> tuple[Sessions, IntervalBars]:
    """Sessions that have bars in their first minutes only, of these columns."""
    found = sessions_of(MONDAY, date(2024, 6, 14)).take(slice(0, days))
    stamps = np.concatenate([expected_stamps(found, row)[:bars_each] for row in range(days)])
    return found, lay(Bars(stamps, **columns), "1m", found)


def data_for(
    strategy: Strategy, base: IntervalBars, sessions: Sessions, traded: Sequence[int] | None = None, symbol: str = "X"
) -> SymbolData:
    rows = np.arange(len(sessions)) if traded is None else np.array(traded)
    return prepare(symbol, base, strategy.needs(), sessions, rows, {int(row): max(int(row) - 1, 0) for row in rows})


def run(
    strategy: Strategy,
    data: SymbolData,
    market: Market | None = None,
    account: Account | None = None,
    form: str = "on_bar",
) -> Outcome:
    return run_symbol(strategy, data, market or Market(), account or Account(), form=form, timezone="America/New_York")
