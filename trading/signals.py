"""The array form: decisions as arrays, carried out without a call per bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.bars import FloatArray, IntArray
from market.errors import ConfigError
from trading.broker import Account, Broker
from trading.costs import Market, lots_array
from trading.data import SymbolData
from trading.fills import Fills

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Signals:
    """What to do at the close of each bar of the strategy's interval; all arrays (n,), n = len(data.bars).

    `entries`: buy `size` shares where no position is held and no order works. `exits`: sell a long position.
    `short_entries`, `short_exits`: the same the other way round. An exit comes before an entry of the same bar, which
    then waits. `stop_loss`, `take_profit`: prices that guard the entries of their bar, NaN for none. All are market
    orders: they fill at the next base bar's open.
    """

    entries: BoolArray
    exits: BoolArray
    short_entries: BoolArray | None = None
    short_exits: BoolArray | None = None
    size: float | FloatArray = 1.0
    stop_loss: FloatArray | None = None
    take_profit: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Executed:
    """What came of a run: the fills, and the broker where one was needed."""

    fills: Fills
    broker: Broker | None = None


def execute(signals: Signals, data: SymbolData, market: Market, account: Account) -> Executed:
    """Carry signals out. All at once where nothing but full fills can come of them, else bar by bar with a broker."""
    _check(signals, data)
    fills = _at_once(signals, data, market, account)
    if fills is not None:
        return Executed(fills)
    broker = Broker(data.base.bars, market, account)
    one_by_one(signals, data, broker)
    return Executed(Fills.of(broker.fills), broker)


def _check(signals: Signals, data: SymbolData) -> None:
    n = len(data.bars)
    for name in ("entries", "exits", "short_entries", "short_exits"):
        array = getattr(signals, name)
        if array is not None and (not isinstance(array, np.ndarray) or array.dtype != np.bool_ or array.shape != (n,)):
            raise ConfigError(f"signals: {name} is no bool array of {n} bars", mend="return one value a bar of data")
    for name in ("size", "stop_loss", "take_profit"):
        array = getattr(signals, name)
        if isinstance(array, np.ndarray) and array.shape != (n,):
            raise ConfigError(f"signals: {name} has shape {array.shape}", mend=f"return one value for each of {n} bars")


def _at_once(signals: Signals, data: SymbolData, market: Market, account: Account) -> Fills | None:
    """Fills of long-only or long-short signals as arrays; None where an order could be cut, refused or guarded."""
    if market.volume_share is not None or account.flat_at_close or account.margin < 1.0:
        return None
    if signals.stop_loss is not None or signals.take_profit is not None or signals.short_entries is not None:
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
    bought = bars[0:placed:2]
    size = signals.size[bought] if isinstance(signals.size, np.ndarray) else np.full(len(bought), float(signals.size))
    size = lots_array(size, market.lot_size)
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
    return Fills(
        rows,
        base.start_ns[rows],
        quantity,
        price,
        commission,
        np.abs(price - reference) * np.abs(quantity),
        np.arange(1, placed + 1),
        np.zeros(placed, np.bool_),
    )


def _next_rows(data: SymbolData, bars: IntArray) -> IntArray | None:
    """Base rows at which orders placed at the close of these main bars fill; one decision too late is left out."""
    rows = data.decision_row[bars] + 1
    if len(rows) and rows[-1] >= len(data.base):
        rows = rows[:-1]
    if len(data.traded) and int(data.traded[-1] - data.traded[0]) + 1 == len(data.traded):
        return rows
    return None if not np.isin(data.base.session[rows], data.traded).all() else rows


def one_by_one(signals: Signals, data: SymbolData, broker: Broker) -> None:
    """Carry signals out with a broker, looking only at bars where there is something to do."""
    n = len(data.bars)
    none = np.zeros(n, np.bool_)
    shorts, covers = (a if a is not None else none for a in (signals.short_entries, signals.short_exits))
    marked = signals.entries | signals.exits | shorts | covers
    decision = data.decision_row
    for session in data.traded.tolist():
        first, stop = data.rows_of(data.base, session)
        if first == stop:
            continue
        row = first
        main_first, main_stop = data.rows_of(data.bars, session)
        for bar in (main_first + np.flatnonzero(marked[main_first:main_stop])).tolist():
            row = _run(broker, row, int(decision[bar]) + 1)
            if broker.account.flat_at_close and row >= stop:
                break
            _decide(signals, bar, broker, exits=(bool(signals.exits[bar]), bool(covers[bar])), short=bool(shorts[bar]))
        _run(broker, row, stop)
        if broker.account.flat_at_close:
            broker.close_out(stop - 1)
        else:
            broker.cancel_all("the session closed", "expired", tif="day")


def _run(broker: Broker, row: int, stop: int) -> int:
    while row < stop and broker.working:
        broker.match(row)
        row += 1
    return max(row, stop)


def _decide(signals: Signals, bar: int, broker: Broker, *, exits: tuple[bool, bool], short: bool) -> None:
    position = broker.position
    if (exits[0] and position > 0) or (exits[1] and position < 0):
        broker.cancel_all("replaced by a new target")
        broker.place(-position)
        return
    long = bool(signals.entries[bar])
    if exits[0] and long and not short:
        return
    if (not long and not short) or position or broker.working:
        return
    size = float(signals.size[bar]) if isinstance(signals.size, np.ndarray) else float(signals.size)
    broker.place(
        size if long else -size, stop_loss=_price(signals.stop_loss, bar), take_profit=_price(signals.take_profit, bar)
    )


def _price(prices: FloatArray | None, bar: int) -> float | None:
    if prices is None or np.isnan(prices[bar]):
        return None
    return float(prices[bar])
