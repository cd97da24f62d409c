"""Orders from where they are placed to where they are booked: short ways lead where the long ones do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from barray.trading.engine.symbol_run import LoadedRange, lay_range
from barray.trading.orders.broker import Broker
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.strategy.panel import PanelBlock
from tests.trading.windows import MINUTE, Floor, fills_of, lay, plan, sessions_of

RANDOM = """
class Monkey(Strategy):
    seed: int = 0
    def on_start(self, view): self.random = np.random.default_rng(self.seed)
    def on_window(self, view):
        r = self.random
        for symbol, close in zip(view.symbols, view.close.tolist()):
            kind, size = int(r.integers(0, 9)), int(r.integers(-20, 40))
            if kind == 0: view.order(symbol, size)
            elif kind == 1: view.order(symbol, size); view.order(symbol, -size)
            elif kind == 2: view.order(symbol, size, limit=round(close, 1))
            elif kind == 3: view.rebalance({symbol: float(r.uniform(-0.5, 0.9)), view.symbols[0]: 0.3})
            elif kind == 4 and size > 0: view.order(symbol, size, trailing_stop=0.2)
"""
MARKETS = [
    Market(),
    Market(Commission(per_share=0.01, minimum=1.0), Slippage(bps=5)),
    Market(lot_size=0.0),
    Market(volume_share=0.02),
]


def walk(seed: int, n: int) -> list[float]:
    steps = np.random.default_rng(seed).normal(0, 0.002, n)
    closes: list[float] = np.round(100 * np.exp(np.cumsum(steps)), 2).tolist()
    return closes


@pytest.mark.long
@given(st.integers(0, 10**6), st.sampled_from(MARKETS), st.booleans(), st.sampled_from([0.3, 1.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_an_order_that_fills_whole_does_what_it_would_step_by_step(
    seed: int, market: Market, short: bool, margin: float, shared: bool
) -> None:
    session_range = sessions_of(2, 20, back=1)
    loaded: dict[str, LoadedRange] = {
        symbol: lay(session_range, symbol, walk(seed + number, 60)) for number, symbol in enumerate("ABC")
    }

    def told() -> list[object]:
        made = plan(
            RANDOM,
            "on_window",
            parameters={"seed": seed},
            market=market,
            short=short,
            margin=margin,
            shared=shared,
            capital=5_000.0,
        )
        results = Floor(made, loaded).run()
        return [(fills_of(one), one.refusals, one.cash, one.equity.tolist()) for one in results.values()]

    whole = told()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Broker, "_fill_whole", lambda *_: False)
        assert told() == whole


def test_what_is_read_of_a_block_is_what_its_matrices_have() -> None:
    session_range = sessions_of(3, 10)
    closes = {symbol: walk(number, 30) for number, symbol in enumerate("ABC")}
    loaded = {symbol: lay(session_range, symbol, closes[symbol]) for symbol in "AC"}
    loaded["B"] = lay(session_range, "B", closes["B"][:25])
    strategy = plan("class Idle(Strategy):\n    def on_window(self, view): ...", "on_window").strategy()
    whole = loaded["A"].base.bars
    there = ~np.isin(np.arange(len(whole)), (3, 4, 17))
    bars = Bars(*(getattr(whole, name)[there] for name in ("start_ns", *COLUMNS)))
    loaded["D"] = lay_range("D", bars, MINUTE, session_range, "memory", {})
    data = {symbol: one.prepare(strategy) for symbol, one in loaded.items()}
    for symbols in ("ABCD", "AC"):
        some = {symbol: data[symbol] for symbol in symbols}
        fresh, stacked = (PanelBlock(some, 0, 2, Interval.parse("1m")) for _ in range(2))
        runs = [(column, *span) for column in range(len(symbols)) for span in ((0, 10), (20, 30), (5, 28), (4, 5))]
        for block in (fresh, stacked):
            found = block.over(["high", "last_close"], *np.array(runs).T)
            for matrix, told in zip((stacked.column("high"), stacked.last_close), found, strict=True):
                expected = np.concatenate([matrix[start:end, column] for column, start, end in runs])
                assert np.array_equal(told, expected, equal_nan=True)
        there = ~np.isnan(stacked.column("high"))
        for column in range(len(symbols)):
            before = fresh.bars_before(column, np.arange(31))
            assert np.array_equal(before - before[0], np.cumsum([0, *there[:, column]]))
