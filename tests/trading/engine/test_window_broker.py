"""A bar that is said to reach no order changes none."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bars
from barray.market.errors import ConfigError
from barray.trading.engine.holdings import Holdings
from barray.trading.engine.notes import Notes
from barray.trading.engine.window_broker import WindowBroker
from barray.trading.orders.accounts import Approval
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.terms import OrderTerms
from tests.examples import at_most


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(200))
@given(st.integers(0, 10**6))
def test_what_a_bar_does_not_reach_it_leaves_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 30
    price = np.round(100 + np.cumsum(random.normal(0, 0.3, (4, n)), axis=1), 2)
    open_, close = price[0], price[1]
    high, low = np.maximum(price.max(axis=0), open_), np.minimum(price.min(axis=0), open_)
    bars = Bars(np.arange(n) * 60 * 10**9, open_, high, low, close, random.integers(0, 100, n).astype(float))
    market = Market(volume_share=0.1) if random.random() < 0.3 else Market(lot_size=random.choice([0.0, 1.0]))
    holdings = Holdings()
    broker = WindowBroker(
        "A", bars, market, Account(), set(), None, Notes(lambda: None, on=False), holdings, holdings.take_slot()
    )
    left_alone = 0
    for row in range(n):
        if random.random() < 0.4:
            names = ("limit", "stop", "stop_loss", "take_profit", "trail", "trailing_stop")
            near = {name: float(close[row] * random.uniform(0.98, 1.02)) for name in names if random.random() < 0.3}
            near |= {name: 0.5 for name in ("trail", "trailing_stop") if name in near}
            with suppress(ConfigError):  # what makes no sense together
                order = broker.place(OrderTerms(float(random.integers(-20, 20)) / 2, **near))  # type: ignore[arg-type]
                broker.approve(order, Approval(order.quantity, None), 0)
        below, above = broker.reach()
        before = [(order.number, order.quantity, order.triggered, order.stop) for order in broker.working]
        fills = len(broker.fills)
        broker.match(row)
        if not (low[row] <= below or high[row] >= above):
            left_alone += 1
            assert [(order.number, order.quantity, order.triggered, order.stop) for order in broker.working] == before
            assert len(broker.fills) == fills
    assert left_alone <= n
