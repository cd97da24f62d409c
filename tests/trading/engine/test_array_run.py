"""The array form: its rules, and that it gives the event form's fills, whichever way it is carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from barray.trading.engine.array_run import _at_once, one_by_one
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.fills import Fills
from barray.trading.orders.order_columns import Orders
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import Signals
from tests.examples import at_most
from tests.trading.runs import data_for, minutes, run, sessions_of, short_sessions

quick = settings(deadline=None, max_examples=at_most(150))
NAMES = ("row", "quantity", "price", "commission", "slippage", "at_close")


class Replay(Strategy):
    """Says the same in both forms; `on_bar` follows the words of Signals, not its code."""

    def __init__(self, signals: Any, interval: str = "1m") -> None:
        self._given = signals
        self.interval = interval  # type: ignore[misc]

    def signals(self, data: SymbolData) -> Signals:
        return self._given if isinstance(self._given, Signals) else self._given(len(data.bars))

    def on_start(self, ctx: Context) -> None:
        if not isinstance(self._given, Signals):
            self._given = self._given(len(ctx._data.bars))

    def on_bar(self, ctx: Context) -> None:
        signals, bar = self._given, ctx.bar - 1
        buy, sell = bool(signals.entries[bar]), bool(signals.exits[bar])
        short, cover = (bool(a[bar]) if a is not None else False for a in (signals.short_entries, signals.short_exits))
        buy, short = buy and not sell, short and not cover
        if buy and short:
            buy = short = False
        entering = [order for order in ctx.orders if order.parent is None]
        long_side = ctx.position > 0 or (ctx.position == 0 and any(order.quantity > 0 for order in entering))
        short_side = ctx.position < 0 or (ctx.position == 0 and any(order.quantity < 0 for order in entering))
        leaving = (long_side and sell) or (short_side and cover)
        if leaving:
            ctx.cancel_all()
        elif ctx.position or ctx.orders:
            return
        size = signals.size[bar] if isinstance(signals.size, np.ndarray) else signals.size
        guards = {}
        for name in ("stop_loss", "take_profit", "trailing_stop"):
            prices = getattr(signals, name)
            if (buy or short) and prices is not None and not np.isnan(prices[bar]):
                guards[name] = prices[bar]
        wanted = size if buy else -size if short else 0.0
        if wanted != ctx.position:
            ctx.order(wanted - ctx.position, **guards)


def random_columns(random: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    close = 10_000 + np.cumsum(random.integers(-40, 41, n))
    open_ = close + random.integers(-30, 31, n)
    high = np.maximum(open_, close) + random.integers(0, 30, n)
    low = np.minimum(open_, close) - random.integers(0, 30, n)
    volume = random.choice([0.0, 10.0, 95.0, 400.0], n)
    return {
        "open": open_ / 100, "high": high / 100, "low": low / 100, "close": close / 100, "volume": volume,
    }  # fmt: skip


def random_signals(random: np.random.Generator, close: np.ndarray, *, shorts: bool, guards: bool) -> Signals:
    n = len(close)

    def sometimes(share: float) -> np.ndarray:
        return random.random(n) < share

    def near(low: float, high: float) -> np.ndarray:
        return np.where(sometimes(0.7), close * random.uniform(low, high, n), np.nan)

    return Signals(
        sometimes(0.3),
        sometimes(0.2),
        sometimes(0.3) if shorts else None,
        sometimes(0.2) if shorts else None,
        size=random.choice([0.0, 0.5, 7.0, 30.0, 120.5], n) if random.random() < 0.5 else 25.0,
        stop_loss=near(0.99, 1.01 if shorts else 1.001) if guards else None,
        take_profit=near(0.99 if shorts else 0.999, 1.01) if guards else None,
        trailing_stop=near(0.001, 0.01) if guards and random.random() < 0.5 else None,
    )


MARKETS = st.builds(
    Market,
    commission=st.sampled_from([Commission(), Commission(0.01, 0.5, 1, 1)]),
    slippage=st.sampled_from([Slippage(), Slippage(0.03, 2), Slippage(impact=0.1)]),
    lot_size=st.sampled_from([1.0, 10.0, 0.0, 0.1]),
    tick_size=st.sampled_from([0.0, 0.01, 0.05]),
    volume_share=st.sampled_from([None, 0.1, 1.0]),
)
ACCOUNTS = st.builds(
    Account,
    capital=st.sampled_from([1e6, 5_000.0, 1_000.0]),
    margin=st.sampled_from([1.0, 0.5]),
    short=st.booleans(),
    flat_at_close=st.booleans(),
)


def same(ours: Fills, theirs: Fills) -> None:
    for name in NAMES:
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist(), name


def same_orders(ours: Orders, theirs: Orders) -> None:
    """In order of their numbers; a strategy that sees all bars cancels what signals replace, and says so."""
    one, other = (orders.take(np.argsort(orders.number)) for orders in (ours, theirs))
    for name in ("number", "placed_ns", "ended_ns", "quantity", "filled", "guards", "status", "day", "kind"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    for name in ("limit", "stop", "trail"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    codes = [[{"replaced": "by_strategy"}.get(code, code) for code in orders.code.tolist()] for orders in (one, other)]
    assert codes[0] == codes[1]


@quick
@given(st.integers(0, 2**32), MARKETS, ACCOUNTS, st.booleans(), st.booleans(), st.sampled_from(["1m", "3m", "1d"]))
@example(0, Market(), Account(), True, False, "1m")
def test_both_forms_give_the_same_fills(
    seed: int, market: Market, account: Account, shorts: bool, guards: bool, interval: str
) -> None:
    random = np.random.default_rng(seed)
    days, each = 4, 14
    sessions, base = short_sessions(each, days, random_columns(random, days * each))
    traded = [row for row in range(days) if random.random() < 0.8] or [1]
    shape = data_for(Replay(None, interval), base, sessions, traded)
    signals = random_signals(random, shape.close, shorts=shorts, guards=guards)
    outcomes = []
    for form in ("signals", "on_bar"):
        strategy = Replay(signals, interval)
        outcomes.append(run(strategy, data_for(strategy, base, sessions, traded), market, account, form))
    assert [outcome.error for outcome in outcomes] == [None, None]
    same(outcomes[0].fills, outcomes[1].fills)
    assert outcomes[0].refusals == outcomes[1].refusals
    if not account.flat_at_close:  # what on_bar orders at the last close is an order that ends there
        same_orders(outcomes[0].orders, outcomes[1].orders)


@quick
@given(st.integers(0, 2**32), MARKETS, st.sampled_from([1e6, 2_600.0]), st.sampled_from(["1m", "3m"]))
@example(114199, Market(lot_size=0.0), 1e6, "3m")  # its last entry, too late to fill, is of nothing
def test_all_at_once_gives_what_one_by_one_gives(seed: int, market: Market, capital: float, interval: str) -> None:
    random = np.random.default_rng(seed)
    sessions, base = short_sessions(14, 4, random_columns(random, 56))
    market, account = replace(market, volume_share=None), Account(capital)
    data = data_for(Replay(None, interval), base, sessions, [1, 2] if seed % 2 else [0, 1, 3])
    signals = random_signals(random, data.close, shorts=False, guards=False)
    at_once = _at_once(signals, data, market, account)
    if at_once is None:
        return
    broker = Broker(data.base.bars, market, account)
    one_by_one(signals, data, broker)
    same(at_once.fills, Fills.of(broker.fills))
    assert not broker.refusals
    same_orders(at_once.make_orders(), Orders.of({data.symbol: broker.working}, {data.symbol: broker.ended}))
    assert at_once.placed == broker.placed


def test_all_at_once_is_what_plain_long_signals_take() -> None:
    sessions = sessions_of()
    data = data_for(Replay(None), minutes(sessions), sessions)
    random = np.random.default_rng(1)
    signals = random_signals(random, data.close, shorts=False, guards=False)
    assert _at_once(replace(signals, size=10.0), data, Market(), Account()) is not None
    assert _at_once(signals, data, Market(volume_share=0.1), Account()) is None


# rules, on bars that do not move

LENGTH = 12


def decided(**arrays: list[int]) -> list[tuple[int, float]]:
    """Fills (row, quantity) where the arrays name the bars that are True."""
    sessions, base = short_sessions(
        LENGTH, 1, {name: np.full(LENGTH, 100.0) for name in ("open", "high", "low", "close", "volume")}
    )
    columns = {name: np.isin(np.arange(LENGTH), rows) for name, rows in arrays.items()}
    columns.setdefault("entries", np.zeros(LENGTH, np.bool_))
    columns.setdefault("exits", np.zeros(LENGTH, np.bool_))
    signals = Signals(**columns, size=10.0)  # type: ignore[arg-type]
    data = data_for(Replay(signals), base, sessions)
    fills = [run(Replay(signals), data, form=form).fills for form in ("signals", "on_bar")]
    same(*fills)
    return list(zip(fills[0].row.tolist(), fills[0].quantity.tolist(), strict=True))


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"entries": [2], "exits": [5]}, [(3, 10), (6, -10)]),
        ({"entries": [2, 3, 4], "exits": [5, 6]}, [(3, 10), (6, -10)]),
        ({"entries": [2], "exits": [2]}, []),
        ({"entries": [2, 5], "exits": [5]}, [(3, 10), (6, -10)]),
        ({"entries": [2, 5, 6], "exits": [5]}, [(3, 10), (6, -10), (7, 10)]),
        ({"entries": [11]}, []),
        ({"exits": [1, 2]}, []),
        ({"short_entries": [2], "short_exits": [5]}, [(3, -10), (6, 10)]),
        ({"short_entries": [2], "short_exits": [2]}, []),
        ({"short_entries": [2], "exits": [5]}, [(3, -10)]),
        ({"entries": [2], "short_entries": [2]}, []),
        ({"entries": [2], "short_entries": [4]}, [(3, 10)]),
        ({"entries": [2], "exits": [4], "short_entries": [4], "short_exits": [7]}, [(3, 10), (5, -20), (8, 10)]),
        ({"entries": [2, 7], "exits": [4], "short_entries": [4], "short_exits": [7]}, [(3, 10), (5, -20), (8, 20)]),
    ],
)
def test_what_signals_mean(arrays: dict[str, list[int]], expected: list[tuple[int, float]]) -> None:
    assert decided(**arrays) == expected


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"entries": np.zeros(3, np.bool_)}, "entries is no bool array"),
        ({"exits": np.zeros(LENGTH)}, "exits is no bool array"),
        ({"exits": [False] * LENGTH}, "exits is no bool array"),
        ({"size": np.ones(3)}, "size has shape"),
        ({"size": -1.0}, "size is -1.0"),
        ({"size": np.full(LENGTH, np.nan)}, "size is nan"),
        ({"stop_loss": np.zeros(LENGTH)}, "stop_loss is 0.0"),
        ({"take_profit": np.full(LENGTH, np.inf)}, "take_profit is inf"),
        ({"trailing_stop": np.zeros(LENGTH)}, "trailing_stop is 0.0"),
    ],
)
def test_arrays_that_cannot_be_meant_are_told(wrong: dict[str, Any], told: str) -> None:
    sessions, base = short_sessions(
        LENGTH, 1, {name: np.full(LENGTH, 100.0) for name in ("open", "high", "low", "close", "volume")}
    )
    columns = {"entries": np.ones(LENGTH, np.bool_), "exits": np.zeros(LENGTH, np.bool_), **wrong}
    strategy = Replay(lambda _: Signals(**columns))
    outcome = run(strategy, data_for(strategy, base, sessions), form="signals")
    assert outcome.error is not None
    assert told in outcome.error


def test_anything_but_signals_is_told() -> None:
    strategy = Replay(lambda _: {"entries": []})
    sessions = sessions_of()
    outcome = run(strategy, data_for(strategy, minutes(sessions), sessions), form="signals")
    assert outcome.error is not None
    assert "signals returned dict, not Signals" in outcome.error
