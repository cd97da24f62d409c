"""What holds for any strategy and any bars."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.errors import ConfigError
from barray.trading.engine.event_run import EventRun
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.order import Order
from barray.trading.orders.terms import OrderTerms
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from tests.examples import at_most
from tests.trading.engine.test_array_run import ACCOUNTS, MARKETS, random_columns
from tests.trading.runs import Recorder, data_for, short_sessions

many = settings(deadline=None, max_examples=at_most(150))


class Monkey:
    """Orders anything at any time, and remembers what and when."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.placed: list[tuple[int, Order]] = []

    def act(self, ctx: Context) -> None:
        random, price = self.random, ctx.close[-1]
        for _ in range(int(random.integers(0, 3))):
            choice = random.random()
            if choice < 0.1:
                ctx.cancel_all()
            elif choice < 0.2:
                if order := ctx.order_target(float(random.integers(-20, 40))):
                    self.placed.append((ctx.bar - 1, order))
            elif choice < 0.25 and ctx.orders:
                ctx.cancel(ctx.orders[-1])
            else:
                prices = {
                    name: float(price * random.uniform(0.985, 1.015)) if random.random() < share else None
                    for name, share in (("limit", 0.3), ("stop", 0.3), ("stop_loss", 0.4), ("take_profit", 0.4))
                }
                quantity = float(random.normal(0, 25))
                tif = "day" if random.random() < 0.3 else "gtc"
                with suppress(ConfigError):  # a limit or stop that its guards do not enclose
                    self.placed.append((ctx.bar - 1, ctx.order(quantity, tif=tif, **prices)))  # type: ignore[arg-type]


def played(seed: int, market: Market, account: Account) -> tuple[Monkey, Broker, SymbolData]:
    random = np.random.default_rng(seed)
    sessions, base = short_sessions(20, 3, random_columns(random, 60))
    monkey = Monkey(seed + 1)
    strategy = Recorder(monkey.act)
    data = data_for(strategy, base, sessions, [0, 2] if seed % 3 == 0 else [0, 1, 2])
    broker = Broker(data.base.bars, market, account)
    run = EventRun(strategy, data, broker)
    run.run()
    assert run.error is None, run.error
    return monkey, broker, data


@pytest.mark.long
@many
@given(st.integers(0, 2**32), MARKETS, ACCOUNTS)
def test_fills_keep_to_bars_volume_and_time_and_the_books_balance(seed: int, market: Market, account: Account) -> None:
    monkey, broker, data = played(seed, market, account)
    bars, base = data.base.bars, data.base
    cash, position = account.capital, 0.0
    taken: dict[int, float] = defaultdict(float)
    commission = market.commission
    for fill in broker.fills:
        assert bars.low[fill.row] <= fill.price <= bars.high[fill.row]
        assert fill.bar_ns == bars.start_ns[fill.row]
        assert base.session[fill.row] in data.traded
        assert fill.quantity != 0
        fee = commission.per_share * abs(fill.quantity) + commission.per_trade
        fee = max(fee + commission.bps / 1e4 * abs(fill.quantity) * fill.price, commission.minimum)
        assert fill.commission == pytest.approx(fee)
        assert fill.slippage >= 0
        taken[fill.row] += 0 if fill.at_close else abs(fill.quantity)
        cash -= fill.quantity * fill.price + fill.commission
        position += fill.quantity
        assert account.short or position >= -1e-9
        if market.lot_size:
            lots = fill.quantity / market.lot_size
            assert lots == pytest.approx(round(lots))
    assert [fill.row for fill in broker.fills] == sorted(fill.row for fill in broker.fills)
    assert broker.cash == pytest.approx(cash)
    assert broker.position == pytest.approx(position, abs=1e-9)
    last = len(bars) - 1
    assert broker.account_equity(bars.close[last]) == pytest.approx(cash + position * bars.close[last])
    gains = sum(fill.quantity * (bars.close[last] - fill.price) for fill in broker.fills)
    fees = sum(fill.commission for fill in broker.fills)
    assert broker.account_equity(bars.close[last]) == pytest.approx(account.capital + gains - fees)
    if market.volume_share is not None:
        for row, shares in taken.items():
            assert shares <= market.volume_share * bars.volume[row] + 1e-6

    rows = {order.number: row for row, order in monkey.placed}
    for fill in broker.fills:
        if fill.order in rows:
            assert fill.row > rows[fill.order]
    by_order: dict[int, float] = defaultdict(float)
    for fill in broker.fills:
        by_order[fill.order] += fill.quantity
    for _, order in monkey.placed:
        assert order.filled == pytest.approx(by_order[order.number], abs=1e-6)
        assert (order.status == "filled") == (order.quantity == 0 and order.filled != 0)
        assert (order in broker.working) == (order.status == "working")
    for order in broker.working:
        if order.parent is not None:
            assert order.quantity * broker.position < 0
            assert order.parent.filled * order.quantity < 0
    if account.flat_at_close:
        for session in data.traded.tolist():
            end = data.base_rows(session)[1]
            assert sum(fill.quantity for fill in broker.fills if fill.row < end) == pytest.approx(0, abs=1e-9)


@pytest.mark.long
@many
@given(st.integers(0, 2**32), MARKETS, st.sampled_from([300.0, 2_000.0, 20_000.0]), st.booleans())
def test_without_margin_and_short_sales_cash_never_falls_below_zero(
    seed: int, market: Market, capital: float, flat: bool
) -> None:
    # a fee a trade may exceed what closing a few shares brings, and closing is never refused: here fees grow with it
    cheap = Market(Commission(0.01, 0, 1), market.slippage, market.lot_size, market.tick_size, market.volume_share)
    _, broker, _ = played(seed, cheap, Account(capital, short=False, flat_at_close=flat))
    cash = capital
    for fill in broker.fills:
        cash -= fill.quantity * fill.price + fill.commission
        assert cash >= -1e-6


@many
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 0.1]), st.sampled_from([Slippage(), Slippage(0.02, 1)]))
def test_a_cut_order_could_not_have_been_a_lot_larger(seed: int, lot: float, slippage: Slippage) -> None:
    random = np.random.default_rng(seed)
    _, base = short_sessions(2, 1, random_columns(random, 2))
    capital = float(random.uniform(50, 5_000))
    market = Market(Commission(0.01, 0.05, 1), slippage, lot)
    broker = Broker(base.bars, market, Account(capital))
    broker.place(OrderTerms(1e6 * (1 if seed % 2 else -1)))
    broker.match(0)
    assert len(broker.refusals) == 1
    bought = abs(broker.position)
    one_more = bought + (lot or 1e-3)
    price = float(base.bars.open[0])
    low, high, volume = (float(getattr(base.bars, name)[0]) for name in ("low", "high", "volume"))
    slipped = market.slipped(one_more if seed % 2 else -one_more, price, low, high, volume)
    left = capital - market.commission.of(one_more, slipped) - one_more * abs(slipped - price)
    assert left < one_more * price
