"""W1 of the benchmarks, a moving-average cross in whole cents, against integers that round nowhere."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.series import IntervalBars
from barray.trading.engine.event_run import Outcome
from barray.trading.orders.broker import Account
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.parameter import parameter
from barray.trading.strategy.signals import Signals
from tests.market.builders import expected_stamps, lay
from tests.trading.runs import data_for, run, sessions_of

SHARES = 100
TIE = 1e-6
"""Closes are whole cents: averages that differ do so by 0.01/30 at least; what is nearer is equal."""


class Cross(Strategy):
    fast: int = parameter(10, low=2)
    slow: int = 30

    def indicators(self) -> dict[str, str]:
        return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

    def on_start(self, ctx: Context) -> None:
        self.before = float("nan")

    def on_bar(self, ctx: Context) -> None:
        now = ctx.indicators["fast"][-1] - ctx.indicators["slow"][-1]
        now = 0.0 if abs(now) < TIE else now
        before, self.before = self.before, now
        if before <= 0 < now and not ctx.position:
            ctx.buy(SHARES)
        elif before >= 0 > now and ctx.position:
            ctx.sell(SHARES)

    def signals(self, data: SymbolData) -> Signals:
        difference = data.indicators["fast"] - data.indicators["slow"]
        difference[np.abs(difference) < TIE] = 0.0
        before = np.concatenate(([np.nan], difference[:-1]))
        return Signals((before <= 0) & (difference > 0), (before >= 0) & (difference < 0), size=float(SHARES))


class Cross5(Cross):
    interval = "5m"


class CrossWithMore(Cross):
    intervals = ("15m",)
    """Seen by nobody: the way of an event run that looks at several intervals."""


@dataclass(frozen=True)
class Cents:
    """Bars in whole cents, int64 (n,), and their stamps."""

    start_ns: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


@functools.cache
def tape(seed: int) -> tuple[Sessions, IntervalBars, Cents]:
    """20 sessions of March 2025, into which the change to summer time falls; steps so small that averages often tie."""
    sessions = sessions_of(date(2025, 3, 3), date(2025, 3, 28))
    assert len(sessions) == 20
    stamps = np.concatenate([expected_stamps(sessions, row) for row in range(20)])
    random = np.random.default_rng([seed, 1])
    close = 4_000 + np.cumsum(random.integers(-3, 4, len(stamps)))
    open_ = np.concatenate(([4_000], close[:-1])) + random.integers(-1, 2, len(stamps))
    open_[::390] += random.integers(-60, 61, 20)  # nights
    high = np.maximum(open_, close) + random.integers(0, 3, len(stamps))
    low = np.minimum(open_, close) - random.integers(0, 3, len(stamps))
    volume = random.integers(1, 5_000, len(stamps)).astype(np.float64)
    bars = Bars(stamps.copy(), *(column / 100 for column in (open_, high, low, close)), volume)
    return sessions, lay(bars, "1m", sessions), Cents(stamps, open_, high, low, close)


def five_minutes(cents: Cents) -> Cents:
    """Of whole sessions without a gap: every five bars are one."""
    columns = (cents.open[::5], cents.high.reshape(-1, 5).max(1), cents.low.reshape(-1, 5).min(1), cents.close[4::5])
    return Cents(cents.start_ns[::5], *columns)


def reference(decided_on: Cents, filled_on: Cents, step: int) -> tuple[list[tuple[int, int, int]], int, int]:
    """Fills (stamp, shares, cents), profit in cents and number of ties, by a plain loop over sums.

    3 × the sum of 10 less the sum of 30 has the sign of the averages' difference. `step`: bars to fill on a bar.
    """
    closes = decided_on.close.tolist()
    fills: list[tuple[int, int, int]] = []
    held, cash, ties, before = 0, 0, 0, None
    for bar in range(29, len(closes)):
        now = 3 * sum(closes[bar - 9 : bar + 1]) - sum(closes[bar - 29 : bar + 1])
        ties += now == 0
        wanted = held
        if before is not None and before <= 0 < now:
            wanted = SHARES
        elif before is not None and before >= 0 > now:
            wanted = 0
        before = now
        at = (bar + 1) * step
        if wanted != held and at < len(filled_on.open):
            price = int(filled_on.open[at])
            fills.append((int(filled_on.start_ns[at]), wanted - held, price))
            cash -= (wanted - held) * price
            held = wanted
    return fills, cash + held * int(filled_on.close[-1]), ties


def told(outcome: Outcome) -> list[tuple[int, int, int]]:
    fills = outcome.fills
    cents = np.rint(fills.price * 100).astype(np.int64)
    assert (fills.price == cents / 100).all()
    return list(zip(fills.bar_ns.tolist(), fills.quantity.astype(np.int64).tolist(), cents.tolist(), strict=True))


@pytest.mark.long
@pytest.mark.parametrize("form", ["on_bar", "signals"])
@pytest.mark.parametrize("kind", [Cross, Cross5, CrossWithMore])
@pytest.mark.parametrize("seed", [1, 2])
def test_w1_gives_the_references_fills_and_profit(seed: int, kind: type[Cross], form: str) -> None:
    sessions, base, cents = tape(seed)
    strategy = kind()
    outcome = run(strategy, data_for(strategy, base, sessions), account=Account(1e6), form=form)
    assert outcome.error is None
    step = 5 if kind is Cross5 else 1
    expected, profit, ties = reference(five_minutes(cents) if step == 5 else cents, cents, step)
    assert len(expected) > 40 * (6 // step)
    assert ties  # or the rule for them is not tried
    assert told(outcome) == expected
    fills, last = outcome.fills, base.bars.close[-1]
    assert 100 * float((fills.quantity * (last - fills.price)).sum()) == pytest.approx(profit)


@pytest.mark.parametrize("form", ["on_bar", "signals"])
def test_a_session_that_is_not_traded_is_history_for_the_next(form: str) -> None:
    """The first two sessions only warm the averages up; from then on the fills are those of a run that traded them."""
    sessions, base, cents = tape(1)
    strategy = Cross()
    outcome = run(strategy, data_for(strategy, base, sessions, list(range(2, 20))), account=Account(1e6), form=form)
    assert outcome.error is None
    whole, _, _ = reference(cents, cents, 1)
    start = int(sessions.open_ns[2])
    later = [fill for fill in whole if fill[0] > start]
    later = later[1:] if later[0][1] < 0 else later  # what was held before
    assert told(outcome) == later
