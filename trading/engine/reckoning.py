"""What a session did to the symbols of a portfolio, told once it is over: fills, orders and days, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from barray.market.bars import IntArray
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.basket import BasketFills
from barray.trading.engine.commands import Plan
from barray.trading.engine.open_session import SessionBars
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.orders.fills import Fills
from barray.trading.orders.order_columns import NO_ORDERS, Labels, Orders
from barray.trading.results.days import Courses, SessionDays, courses_of, days_of
from barray.trading.strategy.panel import PanelBlock

_NONE = Fills.of([])


@dataclass(frozen=True, eq=False)
class DayFills:
    """One symbol's fills after another's, `lengths` of each; `ended_ns`: when the bars end that they are in, UTC ns.
    Int64.
    """

    fills: Fills
    lengths: IntArray
    ended_ns: IntArray


class Reckoning:
    """Takes from the books of a run what a session did, once it is over."""

    def __init__(self, plan: Plan, order_manager: OrderManager) -> None:
        self._plan, self._order_manager = plan, order_manager

    def take(
        self, session_range: SessionRange, row: int, base: Interval, block: PanelBlock | None
    ) -> tuple[SessionDays | None, Orders]:
        """Days of the session (its row) of symbols that had fills or refusals in it or held something, if any, and the
        orders that ended in it. `base`: see PanelBlock; `block`: of all symbols that have bars.
        """
        books, baskets = self._order_manager.books, self._order_manager.take_baskets()
        ended = {symbol: book.take_ended() for symbol, book in books.items() if book.broker.ended}
        orders = _ended_orders(books, baskets, ended)
        there, filled, courses = self._courses(baskets)
        if not there:
            return None, orders
        sessions, here = session_range.sessions, self._order_manager.here
        symbols = [book.symbol for book in there]
        grid_ns = sessions.expected_starts(row, base, int(sessions.close_ns[row]))[1]
        stamps = np.searchsorted(grid_ns, filled.ended_ns)
        shown = here.block if here is not None else block  # one that is left out may have no bars here
        prices = SessionBars(shown, symbols, grid_ns, self._order_manager.closes)
        capital = 0.0 if self._plan.shared else self._plan.account.capital
        refusals = {book.symbol: book.take_refusals() for book in there if book.broker.refusals}
        days = days_of(symbols, filled.fills, filled.lengths, stamps, prices, courses, capital, refusals)
        return days, orders

    def _courses(self, baskets: BasketFills | None) -> tuple[list[SymbolBook], DayFills, Courses]:
        """Books of such symbols, sorted, what was filled, and where their accounts stood."""
        holdings, books = self._order_manager.holdings, self._order_manager.books.values()
        active = holdings.shares != 0.0
        if baskets is not None:
            active[baskets.slots] = True
        are_active: list[bool] = active.tolist()
        there = [book for book in books if are_active[book.slot] or book.broker.fills or book.broker.refusals]
        there.sort(key=lambda book: book.symbol)
        filled, slots = _filled(there, baskets), [book.slot for book in there]
        courses = courses_of(filled.fills, filled.lengths, holdings.spent[slots], holdings.shares[slots])
        holdings.spent[slots], holdings.shares[slots] = courses.spent_after, courses.shares_after
        return there, filled, courses


def _filled(books: Sequence[SymbolBook], baskets: BasketFills | None) -> DayFills:
    """Fills of these books, each symbol's in order of time, which they forget. `baskets`: of the same symbols."""
    fills, lengths, ended_ns = _singly(books)
    if baskets is None:
        return DayFills(fills, lengths, ended_ns)
    slots = np.array([book.slot for book in books])
    number_of = np.empty(int(slots.max()) + 1, np.intp)
    number_of[slots] = np.arange(len(books))
    symbol = number_of[baskets.slots]
    if not len(fills):
        order = np.argsort(symbol, kind="stable")
        fills, ended_ns = baskets.fills, baskets.ended_ns
    else:  # in one bar what fills at the open comes first
        fills = Fills.concat([baskets.fills, fills])
        symbol = np.append(symbol, np.repeat(np.arange(len(books)), lengths))
        order, ended_ns = np.lexsort((fills.bar_ns, symbol)), np.append(baskets.ended_ns, ended_ns)
    return DayFills(fills.take(order), np.bincount(symbol, minlength=len(books)), ended_ns[order])


def _singly(books: Sequence[SymbolBook]) -> tuple[Fills, IntArray, IntArray]:
    """Fills of orders one by one, how many each book has, and when the bars end that they are in."""
    if not any(book.broker.fills for book in books):
        return _NONE, np.zeros(len(books), np.int64), np.empty(0, np.int64)
    single = [book.take_fills() for book in books]
    ended = [book.ends_ns[fill.row] for book, own in zip(books, single, strict=True) for fill in own]
    lengths = np.array([len(one) for one in single], np.int64)
    return Fills.of([*chain.from_iterable(single)]), lengths, np.array(ended, np.int64)


def _ended_orders(
    books: Mapping[str, SymbolBook], baskets: BasketFills | None, records: Mapping[str, Sequence[Any]]
) -> Orders:
    """Orders that ended, each symbol's in order of time; `records`: of those that were no baskets', by symbol."""
    single = Orders.of_records(records) if records else NO_ORDERS
    if baskets is None:
        return single
    number_of = np.empty(1 + max(book.slot for book in books.values()), np.int32)
    number_of[[book.slot for book in books.values()]] = np.arange(len(books), dtype=np.int32)
    symbols = Labels(number_of[baskets.slots], tuple(books))
    whole = Orders.filled_whole(symbols, baskets.placed_ns, baskets.asked, baskets.fills)
    if not records:
        return whole
    every = Orders.concat([single, whole])  # what ends at a bar's start ends before what fills in it
    return every.take(np.argsort(every.ended_ns, kind="stable"))
