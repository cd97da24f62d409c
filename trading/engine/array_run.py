"""The array form carried out, without a call a bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Market, lots_array
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import Orders
from barray.trading.orders.reasons import EXIT
from barray.trading.orders.terms import OrderTerms
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import Signals


@dataclass(frozen=True, eq=False)
class Executed:
    """What came of a run: the fills, a way to the orders, how many were placed, and what was refused."""

    fills: Fills
    make_orders: Callable[[], Orders]
    placed: int
    refusals: tuple[Refusal, ...] = ()

    @classmethod
    def of(cls, broker: Broker, symbol: str) -> Executed:
        """What a broker did."""
        make_orders = partial(Orders.of, {symbol: broker.working}, {symbol: broker.ended})
        return cls(Fills.of(broker.fills), make_orders, broker.placed, broker.all_refusals())


def execute(signals: Signals, data: SymbolData, market: Market, account: Account) -> Executed:
    """Carry signals out, all at once where nothing but full fills can come of them, else bar by bar with a broker.

    ConfigError where they are not decisions of these bars.
    """
    signals.check(len(data.bars))
    executed = _at_once(signals, data, market, account)
    if executed is not None:
        return executed
    broker = Broker(data.base.bars, market, account)
    one_by_one(signals, data, broker)
    return Executed.of(broker, data.symbol)


def signals_of(strategy: Strategy, data: SymbolData) -> Signals:
    """The array form's decisions; TypeError or ConfigError where they are none."""
    signals = strategy.signals(data)
    if not isinstance(signals, Signals):
        raise TypeError(f"signals returned {type(signals).__name__}, not Signals")
    signals.check(len(data.bars))
    return signals


def _at_once(signals: Signals, data: SymbolData, market: Market, account: Account) -> Executed | None:
    """Orders of long-only or long-short signals as arrays; None where an order could be cut, refused or guarded."""
    if market.volume_share is not None or account.flat_at_close or account.margin != 1.0:
        return None
    guards = signals.stop_loss, signals.take_profit, signals.trailing_stop
    if signals.short_entries is not None or any(guard is not None for guard in guards):
        return None
    marked = np.flatnonzero(signals.entries | signals.exits)
    marked = marked[data.live[marked]]
    enters = signals.entries[marked] & ~signals.exits[marked]
    changes = enters.copy()
    changes[1:] ^= enters[:-1]
    bars = marked[changes]
    rows = _next_rows(data, bars)
    if rows is None:
        return None
    placed = len(rows)
    size = lots_array(_sizes(signals, bars[0:placed:2]), market.lot_size)
    if len(size) and not size.min() > 0:
        return None
    quantity = np.empty(placed)
    quantity[0::2] = size
    quantity[1::2] = -size[: placed // 2]
    base = data.base.bars
    reference = base.open[rows]
    price = market.slipped(quantity, reference, base.low[rows], base.high[rows], base.volume[rows])
    commission = market.commission.of(quantity, price)
    cash = account.capital - np.cumsum(quantity * price + commission)
    if placed and cash[0::2].min() < 0:
        return None
    if data.base.interval != data.interval and len(np.unique(rows)) < placed:
        return None
    fills = Fills(
        rows,
        base.start_ns[rows],
        quantity,
        price,
        commission,
        np.abs(price - reference) * np.abs(quantity),
        np.arange(1, placed + 1),
        np.zeros(placed, np.bool_),
    )
    if len(bars) > placed and placed % 2 == 0 and not _sizes(signals, bars[placed:]).all():
        bars = bars[:placed]  # an entry of nothing is no order
    return Executed(fills, partial(_market_orders, signals, data, bars, fills, market), len(bars))


def _sizes(signals: Signals, bars: IntArray) -> FloatArray:
    """What entries at these main bars ask for."""
    return signals.size[bars] if isinstance(signals.size, np.ndarray) else np.full(len(bars), float(signals.size))


def _market_orders(signals: Signals, data: SymbolData, bars: IntArray, fills: Fills, market: Market) -> Orders:
    """The orders of these fills, decided at the closes of these main bars; those decided too late to fill work."""
    size, asked = _sizes(signals, bars[0::2]), np.empty(len(bars))
    asked[0::2], asked[1::2] = size, -lots_array(size, market.lot_size)[: len(bars) // 2]
    return Orders.at_market(data.symbol, data.bars.end_ns[bars], asked, fills)


def _next_rows(data: SymbolData, bars: IntArray) -> IntArray | None:
    """Base rows at which orders placed at the close of these main bars fill; one decision too late is left out."""
    rows = data.decision_row[bars] + 1
    if len(rows) and rows[-1] >= len(data.base):
        rows = rows[:-1]
    if len(rows) and int(data.traded[-1] - data.traded[0]) + 1 == len(data.traded):
        late = int(data.base.session[rows[-1]]) > int(data.traded[-1])
        return rows[:-1] if late else rows
    return None if not np.isin(data.base.session[rows], data.traded).all() else rows


def one_by_one(signals: Signals, data: SymbolData, broker: Broker) -> None:
    """Carry signals out with a broker, looking only at bars where there is something to do."""
    none = np.zeros(len(data.bars), np.bool_)
    shorts, covers = (a if a is not None else none for a in (signals.short_entries, signals.short_exits))
    marked = signals.entries | signals.exits | shorts | covers
    decision = data.decision_row
    for session in data.traded.tolist():
        row, stop = data.base_rows(session)
        if row == stop:
            continue
        main_first, main_stop = data.main_rows(session)
        for bar in (main_first + np.flatnonzero(marked[main_first:main_stop])).tolist():
            row = _run(broker, row, int(decision[bar]) + 1)
            if row < stop or not broker.account.flat_at_close:
                place_orders(signals, bar, broker, int(data.bars.end_ns[bar]))
        _run(broker, row, stop)
        broker.close_session(stop - 1, int(data.sessions.close_ns[session]))


def _run(broker: Broker, row: int, stop: int) -> int:
    while row < stop and broker.working:
        broker.match(row)
        row += 1
    return max(row, stop)


def place_orders(signals: Signals, bar: int, broker: Broker, now_ns: int) -> None:
    """Cancel and place what the signals say at the close of a main bar, at `now_ns`."""
    columns = (signals.entries, signals.short_entries, signals.exits, signals.short_exits)
    long, short, exit, cover = (column is not None and bool(column[bar]) for column in columns)
    entry = (long and not exit) - (short and not cover)
    position = broker.position
    orders = broker.orders
    side = position or (orders[0].quantity if orders else 0.0)
    if (exit and side > 0) or (cover and side < 0):
        broker.cancel_all(EXIT, now_ns)
    elif position or orders:
        return
    if not entry:
        if position:
            broker.place(OrderTerms(-position), now_ns)
        return
    size = float(signals.size[bar]) if isinstance(signals.size, np.ndarray) else float(signals.size)
    if quantity := entry * size - position:
        guards = signals.stop_loss, signals.take_profit, signals.trailing_stop
        loss, profit, trailing = (_price(guard, bar) for guard in guards)
        broker.place(OrderTerms(quantity, stop_loss=loss, take_profit=profit, trailing_stop=trailing), now_ns)


def _price(prices: FloatArray | None, bar: int) -> float | None:
    if prices is None or np.isnan(prices[bar]):
        return None
    return float(prices[bar])
