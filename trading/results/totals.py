"""A backtest's totals: every symbol has gone through every session, or it is said why not, and orders fit fills."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from barray.market.accounting import require_accounted
from barray.market.bars import IntArray
from barray.market.errors import BarrayError
from barray.trading.orders.fills import Fills
from barray.trading.orders.order_columns import STATUSES, Orders
from barray.trading.results.result import BacktestValues

_DUST = 1e-9
"""Share of the largest quantity below which a difference is rounding."""
_NAMED = 5


def require_all_sessions(symbols: Iterable[str], result: BacktestValues) -> None:
    """BarrayError (`unaccounted`), naming symbol and sessions, where one of `symbols` was neither run nor left out.

    Left out are a dropped symbol's sessions, those skipped, and those after an error of the strategy or the run.
    """
    for symbol in dict.fromkeys(symbols):
        part = result.symbols.get(symbol)
        if part is None:
            require_accounted(result.dates, (), dict.fromkeys(result.dates, result.dropped.get(symbol)), symbol=symbol)
            continue
        left_out = dict.fromkeys(set(result.dates) - set(part.sessions), part.error or result.error)
        require_accounted(result.dates, part.sessions, {**left_out, **part.skipped}, symbol=symbol)


def require_orders(result: BacktestValues) -> None:
    """BarrayError (`unaccounted`), naming symbol and orders, where orders and fills of a symbol contradict each other.

    Every order is there once, has ended at or after its time or works, and its fills sum up to what is said of it.
    """
    for part in result.symbols.values():
        orders, fills = part.orders, part.fills
        strange = set(fills.order.tolist()).difference(orders.number.tolist())
        if strange:
            raise _fault(part.symbol, "there are fills of orders that there are not", np.array(sorted(strange)))
        for what, wrong in _contradictions(orders, fills).items():
            if wrong.any():
                many = np.count_nonzero(wrong)
                raise _fault(part.symbol, f"{many} of {len(orders)} orders {what}", orders.number[wrong])


def _fault(symbol: str, what: str, numbers: IntArray) -> BarrayError:
    listed = ", ".join(map(str, numbers[:_NAMED].tolist()))
    remedy = "this is a fault of the program: please report it with the strategy"
    return BarrayError(f"{what}: {listed}", symbol=symbol, remedy=remedy, code="unaccounted")


def _contradictions(orders: Orders, fills: Fills) -> dict[str, NDArray[np.bool_]]:
    """What may be wrong with orders, and of which it is, bool (n,)."""
    n, number, status = len(orders), orders.number, orders.status
    most = int(max(number.max(initial=0), fills.order.max(initial=0))) + 1
    summed = np.bincount(fills.order, fills.quantity, most)[number]
    dust = _DUST * max(float(np.abs(fills.quantity).max(initial=0.0)), 1.0)
    works, none = status == STATUSES.index("working"), np.abs(orders.filled) <= dust
    first = np.ones(n, np.bool_)
    if np.bincount(number).max(initial=0) > 1:
        first[:] = False
        first[np.unique(number, return_index=True)[1]] = True
    has_filled = (status == STATUSES.index("filled")) | (status == STATUSES.index("partly"))
    return {
        "are there twice": ~first,
        "did not fill as much as their fills": np.abs(summed - orders.filled) > dust,
        "filled more than they asked for": np.abs(orders.filled) > np.abs(orders.quantity) + dust,
        "have ended, and work": works != (orders.ended_ns < 0),
        "ended before they were placed": ~works & (orders.ended_ns < orders.placed_ns),
        "are said to have filled, or not": ~works & (none == has_filled),
    }
