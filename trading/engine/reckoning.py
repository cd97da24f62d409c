"""What sessions did to the symbols of a portfolio, told once they are over: fills, orders and days, as columns.

Sessions that follow one another are reckoned together, for each step is one over all of their fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.basket import BasketFills, FilledBaskets
from barray.trading.engine.commands import Plan
from barray.trading.engine.day_bars import DayBars
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.orders.fills import Fill, Fills
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import NO_ORDERS, Labels, Orders
from barray.trading.results.courses import Passage
from barray.trading.results.days import SessionDays, days_of
from barray.trading.strategy.panel import PanelBlock

Told = tuple[SessionDays | None, Orders]
"""Days of a session of symbols that had fills or refusals in it or held something, and the orders that ended in it."""


@dataclass(eq=False)
class OverSession:
    """A session that is over. `grid_ns`: when its grid's bars end, `close_ns`: it itself, UTC ns. `block`: what there
    was to be seen, `known`: last closes before the first of those it is told of with. By symbol: `ended`, records of
    orders, `fills` of orders one by one, `fill_ends_ns`: when the bars end that they are in, and `refusals`; `baskets`:
    what was filled in whole.
    """

    grid_ns: IntArray
    close_ns: int
    block: PanelBlock | None
    known: Mapping[str, float]
    baskets: FilledBaskets | None
    ended: dict[str, Sequence[Any]] = field(default_factory=dict)
    fills: dict[str, list[Fill]] = field(default_factory=dict)
    fill_ends_ns: list[int] = field(default_factory=list)
    refusals: dict[str, tuple[Refusal, ...]] = field(default_factory=dict)

    def add(self, book: SymbolBook) -> None:
        """Take over what a symbol's book has of it."""
        self.fill_ends_ns += [book.ends_ns[fill.row] for fill in book.broker.fills]
        if ended := book.take_ended():
            self.ended[book.symbol] = ended
        if fills := book.take_fills():
            self.fills[book.symbol] = fills
        if refusals := book.take_refusals():
            self.refusals[book.symbol] = refusals


@dataclass(frozen=True, eq=False)
class _Every:
    """All fills of sessions, one symbol's after another's, each in order of time, in one bar those of baskets first.
    Numbers of sessions and symbols, and when the bars end that they are in, UTC ns: int64 (n,).
    """

    fills: Fills
    session: IntArray
    symbol: IntArray
    ended_ns: IntArray

    def counts(self, sessions: int, symbols: int) -> IntArray:
        """How many each symbol has in each session, int64 (sessions, symbols)."""
        places = self.session * symbols + self.symbol
        return np.bincount(places, minlength=sessions * symbols).reshape(sessions, symbols)

    def day_by_day(self) -> _Every:
        """The same, one session's after another's."""
        return self.take(np.argsort(self.session, kind="stable"))

    def take(self, order: IntArray) -> _Every:
        """The chosen ones."""
        return _Every(self.fills.take(order), self.session[order], self.symbol[order], self.ended_ns[order])


class Reckoning:
    """Takes from the books of a run what sessions did: `note` each once it is over, then `take`."""

    most_stamps = 1 << 20
    """Of all symbols, in sessions that are reckoned together: as many as are laid out together as a rule."""

    def __init__(self, plan: Plan, order_manager: OrderManager) -> None:
        self._plan, self._order_manager = plan, order_manager
        self._over: list[OverSession] = []
        self._told: list[Told] = []

    def note(self, session_range: SessionRange, row: int, base: Interval, block: PanelBlock | None) -> None:
        """Take down a session (its row), before it is left. `base`: see PanelBlock; `block`: of all symbols that have
        bars. What can't wait is told at once: accounts that begin anew, symbols that come and go.
        """
        order_manager, sessions = self._order_manager, session_range.sessions
        here, close_ns = order_manager.here, int(sessions.close_ns[row])
        shown = here.block if here is not None else block  # one that is left out may have no bars here
        grid_ns = sessions.expected_starts(row, base, close_ns)[1]
        if self._over and self._over[-1].block is not shown:
            self._tell()
        known = self._over[0].known if self._over else order_manager.closes
        over = OverSession(grid_ns, close_ns, shown, known, order_manager.take_baskets())
        for book in order_manager.books.values():
            broker = book.broker
            if broker.ended or broker.fills or broker.refusals:
                over.add(book)
        self._over.append(over)
        stamps = sum(len(one.grid_ns) for one in self._over) * len(order_manager.books)
        if shown is not block or order_manager.guests or not self._plan.account.carry or stamps >= self.most_stamps:
            self._tell()

    def take(self) -> list[Told]:
        """What sessions did since this was last asked, each's."""
        self._tell()
        told, self._told = self._told, []
        return told

    def _tell(self) -> None:
        """Reckon what was noted."""
        over, self._over = self._over, []
        if over:
            self._told += self._told_of(over)

    def _told_of(self, over: Sequence[OverSession]) -> list[Told]:
        symbols, slots = self._symbols()
        baskets = BasketFills.of([one.baskets for one in over])
        every = fills_of(over, baskets, symbols, slots)
        passage = self._pass(every, len(over), slots)
        orders = _ended_orders(over, baskets, symbols, slots)
        there = (passage.counts > 0) | (passage.shares_before != 0.0) | refused(over, symbols)
        session, symbol = np.nonzero(there)
        if not len(session):
            return [(None, of_session) for of_session in orders]
        grids_ns, names = [one.grid_ns for one in over], [symbols[place] for place in symbol.tolist()]
        prices = DayBars(over[0].block, symbols, grids_ns, over[0].known, symbol, session)
        filled = every.day_by_day()
        begins = np.cumsum([0, *map(len, grids_ns)])[filled.session]
        stamps = np.searchsorted(np.concatenate(grids_ns), filled.ended_ns) - begins
        lengths, courses = passage.counts[session, symbol], passage.courses(session, symbol)
        capital = 0.0 if self._plan.shared else self._plan.account.capital
        days = days_of(names, filled.fills, lengths, stamps, prices, courses, capital)
        bounds = np.searchsorted(session, np.arange(len(over) + 1)).tolist()
        parts = zip(bounds, bounds[1:], over, orders, strict=False)
        return [(days.part(a, b, one.refusals) if b > a else None, ended) for a, b, one, ended in parts]

    def _symbols(self) -> tuple[list[str], IntArray]:
        """All symbols, sorted, and their rows in Holdings, int64 (symbols,)."""
        books = self._order_manager.books
        symbols = sorted(books)
        return symbols, np.array([books[symbol].slot for symbol in symbols], np.int64)

    def _pass(self, every: _Every, sessions: int, slots: IntArray) -> Passage:
        """How symbols went through sessions, with whose end holdings know of them."""
        holdings = self._order_manager.holdings
        counts = every.counts(sessions, len(slots))
        passage = Passage.of(every.fills, counts, holdings.spent[slots], holdings.shares[slots])
        holdings.spent[slots], holdings.shares[slots] = passage.spent[:, -1], passage.shares[:, -1]
        return passage


def refused(over: Sequence[OverSession], symbols: Sequence[str]) -> NDArray[np.bool_]:
    """Of which symbols anything was refused in sessions, bool (sessions, symbols)."""
    found = np.zeros((len(over), len(symbols)), np.bool_)
    for session, one in enumerate(over):
        if one.refusals:
            found[session] = [symbol in one.refusals for symbol in symbols]
    return found


def last_closes(over: Sequence[OverSession], symbols: Sequence[str]) -> FloatArray:
    """Last closes known at the ends of sessions of one block, float64 (sessions, symbols), NaN for none."""
    block, known = over[0].block, np.array([over[0].known.get(symbol, nan) for symbol in symbols])
    last = np.broadcast_to(known, (len(over), len(symbols))).copy()
    if block is not None:
        rows = np.array([block.closed_by(one.close_ns) for one in over], np.intp)
        columns = np.array([block.index.get(symbol, -1) for symbol in symbols], np.intp)
        there = np.ix_(rows > 0, columns >= 0)
        own = block.last_close[np.ix_(rows[rows > 0] - 1, columns[columns >= 0])]
        last[there] = np.where(np.isnan(own), last[there], own)
    return last


def fills_of(
    over: Sequence[OverSession], baskets: BasketFills | None, symbols: Sequence[str], slots: IntArray
) -> _Every:
    """All fills of sessions. `slots`: of the symbols, in Holdings."""
    parts = [one for one in (_singly(over, symbols), _in_whole(baskets, slots)) if one is not None]
    if not parts:
        nothing = np.empty(0, np.int64)
        return _Every(Fills.of([]), nothing, nothing, nothing)
    if len(parts) == 1:
        return parts[0].take(np.argsort(parts[0].symbol, kind="stable"))
    single, whole = parts
    every = _Every(
        Fills.concat([whole.fills, single.fills]),
        *(np.append(getattr(whole, name), getattr(single, name)) for name in ("session", "symbol", "ended_ns")),
    )
    return every.take(np.lexsort((every.fills.bar_ns, every.symbol)))


def _in_whole(baskets: BasketFills | None, slots: IntArray) -> _Every | None:
    if baskets is None:
        return None
    return _Every(baskets.fills, baskets.session, _numbers(slots)[baskets.slots], baskets.ended_ns)


def _singly(over: Sequence[OverSession], symbols: Sequence[str]) -> _Every | None:
    """Fills of orders one by one."""
    if not any(one.fills for one in over):
        return None
    number = {symbol: place for place, symbol in enumerate(symbols)}
    owns = [(session, number[symbol], own) for session, one in enumerate(over) for symbol, own in one.fills.items()]
    session, symbol = np.repeat([own[:2] for own in owns], [len(own) for *_, own in owns], axis=0).T
    fills = Fills.of([*chain.from_iterable(own for *_, own in owns)])
    ended_ns = np.array([*chain.from_iterable(one.fill_ends_ns for one in over)], np.int64)
    return _Every(fills, session, symbol, ended_ns)


def _numbers(slots: IntArray) -> IntArray:
    """Which symbol each row in Holdings is of, -1 for none."""
    numbers = np.full(int(slots.max(initial=-1)) + 1, -1)
    numbers[slots] = np.arange(len(slots))
    return numbers


def _ended_orders(
    over: Sequence[OverSession], baskets: BasketFills | None, symbols: Sequence[str], slots: IntArray
) -> list[Orders]:
    """Orders that ended in each session, in order of time."""
    single = [Orders.of_records(one.ended) if one.ended else NO_ORDERS for one in over]
    if baskets is None:
        return single
    labels = Labels(_numbers(slots).astype(np.int32)[baskets.slots], tuple(symbols))
    whole = Orders.filled_whole(labels, baskets.placed_ns, baskets.asked, baskets.fills)
    bounds = np.searchsorted(baskets.session, np.arange(len(over) + 1)).tolist()
    return [_merged(one, whole.take(slice(*ends))) for one, *ends in zip(single, bounds, bounds[1:], strict=False)]


def _merged(single: Orders, whole: Orders) -> Orders:
    """Each symbol's in order of time."""
    if not len(single) or not len(whole):
        return single if len(single) else whole
    every = Orders.concat([single, whole])  # what ends at a bar's start ends before what fills in it
    return every.take(np.argsort(every.ended_ns, kind="stable"))
