"""A backtest's trades, orders, fills, equity, exposure, events and figures as tables over all symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.table import Column, Table, floats_known, repeated, stamps, texts
from barray.trading.orders.fills import Fills
from barray.trading.orders.order_columns import KINDS, STATUSES, Labels, Orders
from barray.trading.results.metrics import Statistics, drawdown
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import BacktestValues, SymbolResult, Trades

TRADE_VALUES = tuple(column.name for column in fields(Trades) if column.name not in ("entry_ns", "exit_ns", "bars"))


@dataclass(frozen=True, eq=False)
class ResultTables:
    """Made when first asked for, and kept. Rows stand by symbol, then time; stamps are UTC, of bars their start."""

    result: BacktestValues

    @cached_property
    def trades(self) -> Table:
        """Round trips: `symbol`, `entry_time`, `exit_time` (none while open), the columns of Trades, `return_pct`."""
        together = {column.name: self._trades_column(column.name) for column in fields(Trades)}
        exit_ns = together["exit_ns"]
        return_pct = np.concatenate([part.trades.return_pct for part in self._parts] or [np.empty(0)])
        return Table(
            {
                "symbol": self._symbols([len(part.trades) for part in self._parts]),
                "entry_time": stamps(together["entry_ns"]),
                "exit_time": stamps(exit_ns, exit_ns < 0),
                **{name: Column(together[name]) for name in TRADE_VALUES},
                "bars": Column(together["bars"]),
                "return_pct": floats_known(return_pct),
            }
        )

    @cached_property
    def fills(self) -> Table:
        """Executions: `symbol`, `time` (of the base bar), `order` (its number, by symbol), and the columns of Fill."""
        names = ("quantity", "price", "commission", "slippage", "at_close")
        return Table(
            {
                "symbol": self._symbols([len(part.fills) for part in self._parts]),
                "time": stamps(self._fills_column("bar_ns", np.int64)),
                "order": Column(self._fills_column("order", np.int64)),
                **{name: Column(self._fills_column(name)) for name in names},
            }
        )

    @cached_property
    def orders(self) -> Table:
        """All orders, by symbol and number; those too that ended without a fill.

        `symbol`, `order` (its number, as in `fills`), `status` (see Orders), `placed` (session time), `ended` (none
        while it works; an order that ends in a bar ends at its start), `side` (buy, sell), `type` (market, limit, stop,
        stop_limit, trailing_stop), `quantity` (asked for, negative to sell), `limit`, `stop`, `trail`, `tif` (gtc,
        day), `tag`, `guards` (number of the order whose position it guards, 0 for none), `filled` (quantity), `price`
        (mean of its fills), `fills`, `commission`, `slippage`, `code` and `reason` (why not all of it was filled, or
        what ended it; see barray.trading.orders.reasons).
        """
        orders = Orders.concat([part.orders.take(np.argsort(part.orders.number)) for part in self._parts])
        filled = _Filled.of(orders, self._parts)
        return Table(
            {
                "symbol": self._symbols([len(part.orders) for part in self._parts]),
                "order": Column(orders.number),
                "status": Column(orders.status.astype(np.int32), "text", None, STATUSES),
                "placed": stamps(orders.placed_ns),
                "ended": stamps(orders.ended_ns, orders.ended_ns < 0),
                "side": Column((orders.quantity < 0).astype(np.int32), "text", None, ("buy", "sell")),
                "type": Column(orders.kind.astype(np.int32), "text", None, KINDS),
                "quantity": Column(orders.quantity),
                **{name: floats_known(getattr(orders, name)) for name in ("limit", "stop", "trail")},
                "tif": Column(orders.day.astype(np.int32), "text", None, ("gtc", "day")),
                "tag": _labels(orders.tag),
                "guards": Column(orders.guards),
                "filled": Column(orders.filled),
                "price": floats_known(filled.price),
                "fills": Column(filled.fills),
                "commission": Column(filled.commission),
                "slippage": Column(filled.slippage),
                "code": _labels(orders.code),
                "reason": _labels(orders.reason),
            }
        )

    @cached_property
    def equity(self) -> Table:
        """The account at the end of every bar: `timestamp`, `session` (its date), `equity`, `drawdown_pct` (≤ 0)."""
        result = self.result
        dates = np.array(result.dates or ["1970-01-01"], "datetime64[D]").astype(np.int32)
        return Table(
            {
                "timestamp": stamps(result.grid_ns),
                "session": Column(dates[result.grid_session], "day"),
                "equity": Column(result.account_equity),
                "drawdown_pct": floats_known(drawdown(result.account_equity, result.capital)),
            }
        )

    @cached_property
    def exposure(self) -> Table:
        """What the account held at the end of every bar: `timestamp`, `session` (its date), and the columns of
        AccountExposure: `gross`, `net`, `positions`, `cash`, `leverage`.
        """
        held = self.numbers.exposure
        return Table(
            {
                **{name: self.equity.columns[name] for name in ("timestamp", "session")},
                **{name: Column(getattr(held, name)) for name in ("gross", "net", "positions", "cash")},
                "leverage": floats_known(held.leverage),
            }
        )

    @cached_property
    def events(self) -> Table:
        """What the strategy added, removed or was refused, and hits of limits, in order of time.

        `time` (session time, of the first of those alike in a session), `action` (add_symbol, remove_symbol,
        add_indicator, add_bar, limit), `symbol`, `by` (strategy, or account for what its limits did), `accepted`,
        `reason`, `detail` (the indicator, the bar's interval, the limit's name), `count` (how often in that session).
        """
        lines = self.result.events.lines
        return Table(
            {
                "time": stamps(np.array([line.at_ns for line in lines], np.int64)),
                **{name: texts([getattr(line, name) for line in lines]) for name in ("action", "symbol", "by")},
                "accepted": Column(np.array([line.accepted for line in lines], np.bool_)),
                **{name: texts([getattr(line, name) or None for line in lines]) for name in ("reason", "detail")},
                "count": Column(np.array([line.count for line in lines], np.int64)),
            }
        )

    @cached_property
    def stats(self) -> Table:
        """The account's figures, one row each: `figure`, `value`; see Statistics."""
        figures = self.numbers.total.as_dict()
        return Table({"figure": texts(list(figures)), "value": floats_known(_floats(list(figures.values())))})

    @cached_property
    def stats_by_symbol(self) -> Table:
        """A row a symbol, a column a figure; see Statistics."""
        by_symbol = self.numbers.symbols
        rows = [figures.as_dict() for figures in by_symbol.values()]
        names = [column.name for column in fields(Statistics)]
        columns = {name: floats_known(_floats([row[name] for row in rows])) for name in names}
        return Table({"symbol": texts(list(by_symbol)), **columns})

    @cached_property
    def numbers(self) -> ResultNumbers:
        """All figures as they are computed."""
        return ResultNumbers.of(self.result)

    @property
    def _parts(self) -> Sequence[SymbolResult]:
        return list(self.result.symbols.values())

    def _symbols(self, counts: Sequence[int]) -> Column:
        return repeated(list(self.result.symbols), counts)

    def _trades_column(self, name: str) -> NDArray[Any]:
        kind = np.int64 if name in ("entry_ns", "exit_ns", "bars") else np.float64
        return np.concatenate([getattr(part.trades, name) for part in self._parts] or [np.empty(0)]).astype(kind)

    def _fills_column(self, name: str, kind: Any = None) -> NDArray[Any]:
        column = np.concatenate([getattr(part.fills, name) for part in self._parts] or [np.empty(0)])
        return column if kind is None else column.astype(kind)


class _Filled(NamedTuple):
    """What fills made of orders, (n,) each. `price`: their mean, NaN without any."""

    price: FloatArray
    fills: IntArray
    commission: FloatArray
    slippage: FloatArray

    @classmethod
    def of(cls, orders: Orders, parts: Sequence[SymbolResult]) -> _Filled:
        """Sums of each order's fills; `orders` by symbol as in `parts`, then number, which goes on from 1."""
        counts = [len(part.orders) for part in parts]
        before = np.concatenate(([0], np.cumsum(counts)))
        rows = [
            first + np.searchsorted(orders.number[first : first + count], part.fills.order)
            for part, first, count in zip(parts, before.tolist(), counts, strict=False)
        ]
        at = np.concatenate([np.empty(0, np.int64), *rows])
        fills = Fills.concat([Fills.of([]), *(part.fills for part in parts)])

        def sums(values: FloatArray) -> FloatArray:
            return np.bincount(at, values, len(orders)).astype(np.float64)

        quantity, value = sums(fills.quantity), sums(fills.quantity * fills.price)
        price = np.divide(value, quantity, out=np.full(len(orders), np.nan), where=quantity != 0)
        times = np.bincount(at, minlength=len(orders)).astype(np.int64)
        return cls(price, times, sums(fills.commission), sums(fills.slippage))


def _labels(labels: Labels) -> Column:
    """A column of texts; none where one is empty."""
    unknown = labels.codes == (labels.names.index("") if "" in labels.names else -1)
    return Column(labels.codes, "text", unknown if unknown.any() else None, labels.names)


def _floats(values: Sequence[float | int | None]) -> FloatArray:
    return np.array(values, np.float64)  # None becomes NaN
