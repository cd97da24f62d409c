"""Random bars with holes, and strategies that do random things, the same ones whenever they are asked again."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np

from barray.market.bars import Bars
from barray.market.session_range import SessionRange
from barray.trading.engine.symbol_run import LoadedRange, lay_range
from tests.trading.windows import MINUTE

ON_WINDOW = """
import random
class Made(Strategy):
    seed: int = 0
    def on_session(self, view):
        if self.seed % 3 == 0: view.order(view.symbols[0], 2, tag="open")
    def on_window(self, view):
        r = random.Random(f"{self.seed} {view.session_date} {view.minute}")
        if self.seed % 5 == 4 and r.random() < 0.02: raise ValueError("no more")
        if r.random() < 0.15:
            weights = {s: r.choice((0.0, 0.1, 0.4)) for s in view.symbols if view.close[view.index(s)] > 0}
            view.rebalance(weights)
        if r.random() < 0.1: view.add_symbol(r.choice(("G", "H", "NONE")))
        if "G" in view.symbols and r.random() < 0.1: view.remove_symbol("G")
        for symbol in view.symbols:
            price, does = float(view.close[view.index(symbol)]), r.randrange(9)
            if not price > 0: continue
            if does == 0: view.order(symbol, r.choice((-3, 4, 7, 300)))
            if does == 1: view.order(symbol, 3, limit=round(price * 0.999, 2), tif=r.choice(("day", "gtc")))
            if does == 2: view.order(symbol, 5, stop_loss=round(price * 0.98, 2), take_profit=round(price * 1.02, 2))
            if does == 3: view.order_target(symbol, r.choice((0, 2, 5)))
            if does == 4: view.cancel_all(symbol)
            if does == 5: view.order(symbol, -2, trail=round(price * 0.002, 4), tag="trail")
"""
ON_BAR = """
import random
class Made(Strategy):
    seed: int = 0
    def on_session(self, ctx):
        if self.seed % 3 == 0: ctx.buy(1)
    def on_fill(self, ctx, fill):
        if self.seed % 2 and fill.quantity > 0 and fill.order % 3 == 0: ctx.sell(1, limit=round(fill.price * 1.001, 2))
    def on_bar(self, ctx):
        r = random.Random(f"{self.seed} {ctx.symbol} {ctx.session_date} {ctx.minute}")
        price, does = ctx.close[-1], r.randrange(9)
        if self.seed % 5 == 4 and r.random() < 0.02: raise ValueError("no more")
        if does == 0: ctx.order(r.choice((-3, 4, 7, 300)))
        if does == 1: ctx.buy(3, limit=round(price * 0.999, 2), tif=r.choice(("day", "gtc")))
        if does == 2: ctx.buy(5, stop_loss=round(price * 0.98, 2), take_profit=round(price * 1.02, 2))
        if does == 3: ctx.order_target(r.choice((0, 2, 5)))
        if does == 4: ctx.cancel_all()
        if does == 5: ctx.sell(2, trail=round(price * 0.002, 4), tag="trail")
"""
SIGNALS = """
class Made(Strategy):
    seed: int = 0
    def signals(self, data):
        cents = np.round(data.close * 100).astype(np.int64) + self.seed
        return Signals(cents * 7919 % 97 < 20, cents * 104729 % 89 < 20, size=3.0)
"""
TEXTS = {"on_window": ON_WINDOW, "on_bar": ON_BAR, "signals": SIGNALS}


def random_bars(session_range: SessionRange, seed: int, symbols: str = "ABC") -> dict[str, LoadedRange]:
    """A walk a symbol, with holes; some bars have no volume worth the name."""
    found: dict[str, LoadedRange] = {}
    bounds = zip(session_range.sessions.open_ns, session_range.sessions.close_ns, strict=True)
    starts = np.concatenate([np.arange(first, last, MINUTE.ns) for first, last in bounds])
    for number, symbol in enumerate(symbols):
        rng = np.random.default_rng([seed, number])
        close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.004, len(starts)))), 2)
        open_ = np.round(np.append(100.0, close[:-1]) * (1 + rng.normal(0, 0.001, len(close))), 2)
        high = np.maximum(open_, close) + np.round(rng.random(len(close)) * 0.2, 2)
        low = np.minimum(open_, close) - np.round(rng.random(len(close)) * 0.2, 2)
        there = rng.random(len(close)) > rng.choice([0.0, 0.2])
        there[[0, len(close) // 2]] = True
        bars = Bars(starts, open_, high, low, close, rng.integers(1, 5000, len(close)).astype(np.float64))
        found[symbol] = lay_range(symbol, bars.take(there), MINUTE, session_range, "memory", {})
    return found


def random_cuts(session_range: SessionRange, row: int, seed: int) -> list[int]:
    """Moments of a session, in order, its close the last; some of them between two minutes."""
    rng = random.Random(seed)
    first, last = int(session_range.sessions.open_ns[row]), int(session_range.sessions.close_ns[row])
    return [*sorted(rng.randrange(first, last) // 30_000_000_000 * 30_000_000_000 for _ in range(6)), last]


def prepared(loaded: Mapping[str, LoadedRange], strategy: object) -> dict[str, object]:
    """What each symbol's process hands out."""
    return {symbol: one.prepare(strategy) for symbol, one in loaded.items()}  # type: ignore[arg-type]
