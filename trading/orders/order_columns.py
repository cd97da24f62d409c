"""What became of orders, many as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Order, record_of
from barray.trading.orders.reasons import NOT_SAID

STATUSES = ("filled", "partly", "cancelled", "expired", "refused", "working")
"""What an order may be at the end of a run; see Orders."""
KINDS = ("market", "limit", "stop", "stop_limit", "trailing_stop")
_ENDED = {"filled": 0, "cancelled": 2, "expired": 3, "rejected": 4, "working": 5}
_RECORD = 13
"""Values of a record."""
NOTHING: Mapping[str, Sequence[Any]] = {}
_PARTLY, _WORKING = STATUSES.index("partly"), STATUSES.index("working")


@dataclass(frozen=True, eq=False)
class Labels:
    """Texts that repeat: int32 (n,) positions in `names`."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str]) -> Labels:
        """From single texts."""
        places = {name: place for place, name in enumerate(dict.fromkeys(values))}
        if len(places) < 2:
            return cls(np.zeros(len(values), np.int32), tuple(places))
        return cls(np.array([places[value] for value in values], np.int32), tuple(places))

    @classmethod
    def concat(cls, parts: Sequence[Labels]) -> Labels:
        """The parts one after another."""
        places: dict[str, int] = {}
        codes = [np.empty(0, np.int32)]
        for part in parts:
            here = [places.setdefault(name, len(places)) for name in part.names]
            codes.append(np.array(here, np.int32)[part.codes])
        return cls(np.concatenate(codes), tuple(places))

    def take(self, rows: Any) -> Labels:
        """The chosen ones."""
        return Labels(self.codes[rows], self.names)

    def tolist(self) -> list[str]:
        """The texts."""
        return [self.names[code] for code in self.codes.tolist()]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders as columns of one length.

    `number` int64: from 1 on, by symbol. `placed_ns`, `ended_ns` int64: UTC ns; -1 while it works; an order that ends
    in a bar ends at its start. `quantity`: asked for, negative to sell; of a guard, what it was to close. `filled`: of
    it. `limit`, `stop`, `trail`: NaN for none. `day` bool: for a day, not until cancelled. `guards`: number of the
    order whose position it guards, 0 for none. `status`: positions in STATUSES; `partly` is what ended filled in part,
    `working` what hasn't ended. `code`, `reason`: why not all of it was filled, or what ended it; see
    barray.trading.orders.reasons.
    """

    symbol: Labels
    number: IntArray
    placed_ns: IntArray
    ended_ns: IntArray
    quantity: FloatArray
    filled: FloatArray
    limit: FloatArray
    stop: FloatArray
    trail: FloatArray
    day: NDArray[np.bool_]
    guards: IntArray
    status: NDArray[np.int8]
    tag: Labels
    code: Labels
    reason: Labels

    @classmethod
    def of(cls, orders: Mapping[str, Sequence[Order]], ended: Mapping[str, Sequence[Any]] = NOTHING) -> Orders:
        """Columns from single orders, by symbol, after records of those that `ended`; see `record_of`."""
        records = {symbol: list(ended.get(symbol, ())) for symbol in {**ended, **orders}}
        for symbol, every in orders.items():
            for order in every:
                records[symbol] += record_of(order)
        return cls.of_records(records)

    @classmethod
    def of_records(cls, records: Mapping[str, Sequence[Any]]) -> Orders:
        """Columns from records, each symbol's one after another; see `record_of`."""
        every = [*chain.from_iterable(records.values())]
        columns = [every[place::_RECORD] for place in range(_RECORD)]
        number, placed_ns, ended_ns, asked, done, states, whys, limit, stop, trail, tif, tag, guards = columns
        n, counts = len(number), [len(one) // _RECORD for one in records.values()]
        quantity, filled = np.array(asked, np.float64), np.array(done, np.float64)
        status = np.zeros(n, np.int8)
        if states.count("filled") < n:
            status = np.array([_ENDED[state] for state in states], np.int8)
        code = reason = Labels(np.zeros(n, np.int32), ("",))
        if whys.count(NOT_SAID) < n:
            code, reason = Labels.of([why.code for why in whys]), Labels.of([why.text for why in whys])
            cut = np.array([why.code != "" for why in whys], np.bool_) & (filled != 0) & (filled != quantity)
            status[cut & (status != _WORKING)] = _PARTLY
        return cls(
            Labels(np.repeat(np.arange(len(records), dtype=np.int32), counts), tuple(records)),
            np.array(number, np.int64),
            np.array(placed_ns, np.int64),
            np.array(ended_ns, np.int64),
            quantity,
            filled,
            _prices(limit),
            _prices(stop),
            _prices(trail),
            np.zeros(n, np.bool_) if tif.count("gtc") == n else np.array([one == "day" for one in tif], np.bool_),
            np.array(guards, np.int64),
            status,
            Labels.of(tag),
            code,
            reason,
        )

    @classmethod
    def at_market(cls, symbol: str, placed_ns: IntArray, quantity: FloatArray, fills: Fills) -> Orders:
        """Market orders of one symbol, numbered from 1 on: each fill is one of them in whole, what is left works."""
        n, done = len(quantity), len(fills)
        filled, ended_ns, status = np.zeros(n), np.full(n, -1), np.full(n, _WORKING, np.int8)
        filled[:done], ended_ns[:done], status[:done] = fills.quantity, fills.bar_ns, 0
        of_symbol = Labels(np.zeros(n, np.int32), (symbol,))
        return cls._plain(of_symbol, np.arange(1, n + 1), placed_ns, ended_ns, quantity, filled, status)

    @classmethod
    def filled_whole(cls, symbol: Labels, placed_ns: IntArray, asked: FloatArray, fills: Fills) -> Orders:
        """Market orders, each of which is one of these fills in whole."""
        status = np.zeros(len(fills), np.int8)
        return cls._plain(symbol, fills.order, placed_ns, fills.bar_ns, asked, fills.quantity, status)

    @classmethod
    def _plain(
        cls,
        symbol: Labels,
        number: IntArray,
        placed_ns: IntArray,
        ended_ns: IntArray,
        asked: FloatArray,
        filled: FloatArray,
        status: NDArray[np.int8],
    ) -> Orders:
        n = len(number)
        none, nothing = np.full(n, np.nan), Labels(np.zeros(n, np.int32), ("",))
        guards, day = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        columns = (number, placed_ns, ended_ns, asked, filled, none, none, none, day, guards, status)
        return cls(symbol, *columns, nothing, nothing, nothing)

    @classmethod
    def concat(cls, parts: Sequence[Orders]) -> Orders:
        """The parts one after another."""
        columns: Any = [[getattr(part, one.name) for part in (NO_ORDERS, *parts)] for one in fields(cls)]
        joined: Any = [Labels.concat(c) if isinstance(c[0], Labels) else np.concatenate(c) for c in columns]
        return cls(*joined)

    def take(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Orders:
        """The chosen ones."""
        columns: Any = [getattr(self, one.name) for one in fields(self)]
        taken: Any = [c.take(rows) if isinstance(c, Labels) else c[rows] for c in columns]
        return Orders(*taken)

    def numbered_after(self, before: int) -> Orders:
        """The same with numbers that go on after those of others."""
        return replace(self, number=self.number + before, guards=np.where(self.guards > 0, self.guards + before, 0))

    @property
    def kind(self) -> NDArray[np.int8]:
        """Positions in KINDS, int8 (n,)."""
        limited, stopped = ~np.isnan(self.limit), ~np.isnan(self.stop)
        return np.where(~np.isnan(self.trail), 4, limited + 2 * stopped).astype(np.int8)

    def __len__(self) -> int:
        return len(self.number)


def _prices(values: list[float | None]) -> FloatArray:
    if values.count(None) == len(values):
        return np.full(len(values), np.nan)
    return np.array(values, np.float64)  # None becomes NaN


NO_ORDERS = Orders.of({})


def in_turn(parts: Sequence[tuple[Fills, Orders]]) -> tuple[Fills, Orders]:
    """Fills and orders of parts in each of which numbers of orders begin anew, numbered through."""
    before = before_each([int(orders.number.max(initial=0)) for _, orders in parts])
    fills = [one.numbered_after(most) for (one, _), most in zip(parts, before, strict=True)]
    orders = [one.numbered_after(most) for (_, one), most in zip(parts, before, strict=True)]
    return Fills.concat(fills), Orders.concat(orders)


def before_each(counts: Sequence[int]) -> list[int]:
    """How many there are in all parts before each."""
    return list(accumulate(counts, initial=0))[:-1]


def by_symbol(sessions: Sequence[tuple[int, Orders]]) -> dict[str, tuple[Orders, IntArray]]:
    """Orders of sessions (their rows, ascending) by symbol, with the row of each order's session."""
    every = Orders.concat([orders for _, orders in sessions])
    rows = np.repeat([row for row, _ in sessions], [len(orders) for _, orders in sessions]).astype(np.int64)
    names = every.symbol.names
    bounds = np.cumsum(np.bincount(every.symbol.codes, minlength=len(names)))
    placed = np.split(np.argsort(every.symbol.codes, kind="stable"), bounds[:-1]) if names else []
    return {name: (every.take(places), rows[places]) for name, places in zip(names, placed, strict=True)}
