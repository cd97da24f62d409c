"""A backtest's trades, orders, fills, equity and figures as tables over all symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray
from barray.market.table import Column, Table, floats_known, repeated, stamps, texts
from barray.trading.orders.fills import Fills
from barray.trading.results.metrics import Statistics, drawdown
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import BacktestValues, SymbolResult, Trades

TRADE_VALUES = tuple(column.name for column in fields(Trades) if column.name not in ("entry_ns", "exit_ns", "bars"))
FILLED, REFUSED = "filled", "refused"


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
        """Executions: `symbol`, `time` (of the base bar), `order` (its number), and the columns of Fill.

        Order 0 is the position's end at a session's close that the account asks for; no strategy placed it.
        """
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
        """What is known of orders: one row for each that filled, and one for each refusal.

        `symbol`, `order` (its number, none of a refusal), `status` (filled, refused), `time` and `last_time` (of the
        first and last bar it filled in, or of the refusal), `quantity` (signed; filled, or refused), `price` (mean),
        `fills`, `commission`, `slippage`, `reason` (of a refusal). An order that was cut fills one part and is refused
        the other, as two rows. Orders that were cancelled or expired without a fill are not recorded, and not here.
        """
        rows = [row for part in self._parts for row in _orders(part)]
        numbers = np.array([row.order for row in rows], np.int64)
        refused = np.array([row.status == REFUSED for row in rows], np.bool_)
        return Table(
            {
                "symbol": texts([row.symbol for row in rows]),
                "order": Column(numbers, unknown=refused if refused.any() else None),
                "status": texts([row.status for row in rows]),
                "time": stamps(np.array([row.first_ns for row in rows], np.int64)),
                "last_time": stamps(np.array([row.last_ns for row in rows], np.int64)),
                "quantity": Column(_floats([row.quantity for row in rows])),
                "price": floats_known(_floats([row.price for row in rows])),
                "fills": Column(np.array([row.fills for row in rows], np.int64)),
                "commission": Column(_floats([row.commission for row in rows])),
                "slippage": Column(_floats([row.slippage for row in rows])),
                "reason": texts([row.reason for row in rows]),
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


class _OrderRow(NamedTuple):
    symbol: str
    order: int
    status: str
    first_ns: int
    last_ns: int
    quantity: float
    price: float
    fills: int
    commission: float
    slippage: float
    reason: str | None


def _orders(part: SymbolResult) -> list[_OrderRow]:
    """One symbol's rows by time, fills before refusals of the same bar."""
    filled = [_filled(part.symbol, part.fills.take(rows)) for rows in _by_order(part.fills)]
    refused = [
        _OrderRow(part.symbol, 0, REFUSED, one.bar_ns, one.bar_ns, one.quantity, np.nan, 0, 0.0, 0.0, one.reason)
        for one in part.refusals
    ]
    return sorted([*filled, *refused], key=lambda row: row.first_ns)


def _by_order(fills: Fills) -> list[NDArray[np.intp]]:
    """Positions of each order's fills, in order of its first; those of order 0 belong to none, so each stands alone."""
    found: dict[tuple[int, int], list[int]] = {}
    for place, number in enumerate(fills.order.tolist()):
        found.setdefault((number, 0 if number else place), []).append(place)
    return [np.array(places, np.intp) for places in found.values()]


def _filled(symbol: str, fills: Fills) -> _OrderRow:
    quantity = float(fills.quantity.sum())
    return _OrderRow(
        symbol,
        int(fills.order[0]),
        FILLED,
        int(fills.bar_ns[0]),
        int(fills.bar_ns[-1]),
        quantity,
        float((fills.quantity * fills.price).sum()) / quantity,
        len(fills),
        float(fills.commission.sum()),
        float(fills.slippage.sum()),
        None,
    )


def _floats(values: Sequence[float | int | None]) -> FloatArray:
    return np.array(values, np.float64)  # None becomes NaN
