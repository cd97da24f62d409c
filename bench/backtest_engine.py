"""The engine alone, one core, no Ray: an SMA cross over minutes of random walks, as `on_bar` and as `signals`.

Beside them, in the same process and in turn: a bare Python loop that makes such a callback, and plain NumPy in whole
cents, both written for this strategy alone. All four must make the same fills and the same profit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from barray.market.bars import Bars, IntArray
from barray.market.calendar import Sessions, load_calendar
from barray.market.interval import Interval
from barray.market.series import IntervalBars, lay_on_sessions
from barray.trading.engine.event_run import run_symbol
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fills
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData, prepare
from barray.trading.strategy.parameter import parameter
from barray.trading.strategy.signals import Signals
from bench.common import print_json_line
from bench.peers.w1_numpy import Run, crosses, profit_cents
from bench.peers.work import FAST, QUANTITY, SLOW, TIE

MINUTE = Interval.parse("1m")
FIRST = date(2025, 3, 3)


class SmaCross(Strategy):
    """Buy where the fast average crosses above the slow one, sell where it crosses below."""

    fast: int = parameter(FAST, low=2)
    slow: int = parameter(SLOW, low=3)

    def indicators(self) -> dict[str, str]:
        """Both averages."""
        return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

    def on_start(self, ctx: Context) -> None:
        """No difference is known yet."""
        self.before = float("nan")
        self.fast_sma, self.slow_sma = ctx.indicators["fast"], ctx.indicators["slow"]

    def on_bar(self, ctx: Context) -> None:
        """Event form."""
        diff = self.fast_sma[-1] - self.slow_sma[-1]
        if -TIE < diff < TIE:
            diff = 0.0
        before, self.before = self.before, diff
        if before <= 0 < diff:
            if not ctx.position:
                ctx.buy(QUANTITY)
        elif before >= 0 > diff and ctx.position:
            ctx.sell(QUANTITY)

    def signals(self, data: SymbolData) -> Signals:
        """Array form."""
        diff = data.indicators["fast"] - data.indicators["slow"]
        diff[np.abs(diff) < TIE] = 0.0
        up, down = np.zeros((2, len(diff)), np.bool_)
        up[1:] = (diff[:-1] <= 0) & (diff[1:] > 0)
        down[1:] = (diff[:-1] >= 0) & (diff[1:] < 0)
        return Signals(up, down, size=float(QUANTITY))


def random_bases(symbols: int, days: int, *, seed: int = 7) -> tuple[list[IntervalBars], Sessions]:
    """One-minute random walks in whole cents, laid on `days` sessions of XNYS from 2025-03-03."""
    calendar = load_calendar("XNYS", FIRST - timedelta(days=10), FIRST + timedelta(days=10 + 2 * days))
    first = calendar.session(FIRST)
    sessions = calendar.sessions.take(slice(first, first + days))
    every = [sessions.expected_starts(row, MINUTE, int(sessions.close_ns[row]))[0] for row in range(days)]
    starts = np.concatenate(every)
    return [_walk(number, starts, sessions, seed) for number in range(symbols)], sessions


def _walk(number: int, starts: IntArray, sessions: Sessions, seed: int) -> IntervalBars:
    random = np.random.default_rng([seed, number])
    count = len(starts)
    close = 100.0 * np.exp(random.uniform(-2.0, 1.0) + np.cumsum(random.normal(0.0, 8e-4, count)))
    close = np.maximum(np.rint(close * 100.0), 100.0)
    open_ = np.maximum(np.append(close[:1], close[:-1]) + np.rint(random.normal(0.0, 2.0, count)), 50.0)
    high = np.maximum(open_, close) + random.integers(0, 6, count)
    low = np.minimum(open_, close) - random.integers(0, 6, count)
    volume = random.integers(100, 5_000, count).astype(np.float64)
    bars = Bars(starts.copy(), open_ / 100, high / 100, low / 100, close / 100, volume)
    return lay_on_sessions(bars, MINUTE, sessions, 0, symbol=f"R{number:04d}", source="random")


def engine(bases: Sequence[IntervalBars], sessions: Sessions, traded: IntArray, form: str) -> list[Fills]:
    """Ours, from a symbol's bars to its fills."""
    history = {row: max(row - 1, 0) for row in traded.tolist()}
    account = Account(capital=1e7)
    found = []
    for base in bases:
        strategy = SmaCross()
        data = prepare("", base, strategy.needs(), sessions, traded, history)
        outcome = run_symbol(strategy, data, Market(), account, form=form)
        if outcome.error:
            raise RuntimeError(outcome.error)
        found.append(outcome.fills)
    return found


class _Callback:
    """What a bare loop calls: nothing but this strategy."""

    def __init__(self, fast: list[float], slow: list[float]) -> None:
        self.fast, self.slow = fast, slow
        self.before = float("nan")
        self.position = self.wanted = 0

    def on_bar(self, row: int) -> None:
        diff = self.fast[row] - self.slow[row]
        if -TIE < diff < TIE:
            diff = 0.0
        before, self.before = self.before, diff
        if before <= 0 < diff:
            if not self.position:
                self.wanted = QUANTITY
        elif before >= 0 > diff and self.position:
            self.wanted = -QUANTITY


def bare_loop(base: IntervalBars) -> Run:
    """The strategy in a Python loop over lists, a call a bar."""
    close = base.bars.close
    callback = _Callback(_average(close, FAST), _average(close, SLOW))
    on_bar = callback.on_bar
    opens: list[float] = base.bars.open.tolist()
    run: Run = []
    for row, price in enumerate(opens):
        if callback.wanted:
            run.append((row, callback.wanted, round(price * 100)))
            callback.position += callback.wanted
            callback.wanted = 0
        on_bar(row)
    return run


def _average(close: Any, window: int) -> list[float]:
    total = np.cumsum(np.concatenate(([0.0], close)))
    values: list[float] = [float("nan")] * (window - 1) + ((total[window:] - total[:-window]) / window).tolist()
    return values


def _as_run(fills: Fills) -> Run:
    price = np.rint(fills.price * 100).astype(np.int64)
    return list(zip(fills.row.tolist(), fills.quantity.astype(np.int64).tolist(), price.tolist(), strict=True))


def engine_figures(
    bases: Sequence[IntervalBars], sessions: Sessions, *, traded: IntArray | None = None, repeat: int = 5
) -> dict[str, Any]:
    """Bars a second of CPU time in each form, the best of `repeat` rounds; ValueError where fills or profit differ."""
    rows = np.arange(len(sessions)) if traded is None else traded
    works: dict[str, Callable[[], list[Any]]] = {
        "event": lambda: engine(bases, sessions, rows, "on_bar"),
        "array": lambda: engine(bases, sessions, rows, "signals"),
        "bare_loop": lambda: [bare_loop(base) for base in bases],
        "numpy": lambda: [crosses(base.bars.open, base.bars.close) for base in bases],
    }
    runs = {}
    for name, work in works.items():
        found = work()  # once before it counts
        runs[name] = [one if isinstance(one, list) else _as_run(one) for one in found]
    closes = [float(base.bars.close[-1]) for base in bases]
    profits = {name: sum(map(profit_cents, found, closes)) for name, found in runs.items()}
    for name, found in runs.items():
        if found != runs["numpy"] or profits[name] != profits["numpy"]:
            raise ValueError(f"{name} differs from plain NumPy: profit {profits[name]} and {profits['numpy']} cents")
    bars = sum(map(len, bases))
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeat):
        for name, work in works.items():
            began = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - began)
    return {
        "bars": bars,
        "trades": sum((len(run) + 1) // 2 for run in runs["numpy"]),
        "pnl": profits["numpy"] / 100,
        **{f"{name}_bars_per_s": bars / best[name] for name in works},
        "event_ratio_bare_loop": best["bare_loop"] / best["event"],
        "array_ratio_numpy": best["numpy"] / best["array"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.backtest_engine", description=__doc__)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--days", type=int, default=20, help="sessions of one-minute bars")
    parser.add_argument("--repeat", type=int, default=7, help="rounds; each form's best counts")
    asked = parser.parse_args()
    bases, sessions = random_bases(asked.symbols, asked.days)
    shape = {"symbols": asked.symbols, "days": asked.days}
    print_json_line("backtest_engine", {**shape, **engine_figures(bases, sessions, repeat=asked.repeat)})


if __name__ == "__main__":
    main()
