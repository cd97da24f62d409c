"""Orders of all symbols of a portfolio, from where they are placed to where they are booked, and the account they meet.

Pure. What it costs is what happens: only symbols that have orders or positions are looked at, and of those whose orders
rest at a price only those that a bar reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from math import inf, isnan, nan
from typing import Any

import numpy as np

from barray.market.bars import FloatArray
from barray.market.errors import ConfigError
from barray.trading.engine.basket import Basket, BasketTrading, FilledBaskets
from barray.trading.engine.commands import Plan
from barray.trading.engine.holdings import Holdings
from barray.trading.engine.last_closes import LastCloses
from barray.trading.engine.notes import Notes
from barray.trading.engine.open_session import LOOKED_AHEAD, OpenSession
from barray.trading.engine.opening import Opening, opening_of, stand
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.engine.window_broker import Funds
from barray.trading.orders.accounts import Accounts, Approval, OrderRequest, SharedAccount, WorkingOrder
from barray.trading.orders.order import Order
from barray.trading.orders.reasons import BY_STRATEGY, CLOSED, LIMITS, STRATEGY_ERROR, Why
from barray.trading.orders.separate_accounts import SeparateAccounts
from barray.trading.orders.terms import OrderTerms
from barray.trading.results.events import EventLog, RunEvent
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.panel import PanelBlock

LEFT_OUT = "is left out of this session"


class OrderManager:
    """All symbols' books, and the account, or accounts, that they trade with; see barray.trading.orders.accounts.

    `here`: the session that is gone through, None between two. `changed`: symbols whose orders or position changed
    since the account last heard. `stirred`: somebody asked for orders, or gave some. `holdings`: what is held of all
    symbols. `purchases`: positions that a rebalancing buys once it has sold. `invited`: symbols
    that were added and are not in the panel yet. `events`: what was done to the run beside ordering.
    """

    in_baskets = True
    """Whether a rebalancing may be carried out in whole."""

    def __init__(self, plan: Plan, notes: Notes) -> None:
        self.books: dict[str, SymbolBook] = {}
        self.changed: set[str] = set()
        self.purchases: dict[str, float] = {}
        self.invited: dict[str, SymbolData] = {}
        self.events = EventLog()
        self.here: OpenSession | None = None
        self.holdings = Holdings()
        self.guests: set[str] = set()
        """Symbols that were added, for this session alone."""
        self.stirred = False
        self._plan, self._notes = plan, notes
        self._due: set[str] = set()
        """Symbols with orders that any bar reaches."""
        self._resting: set[str] = set()
        """Symbols whose orders all rest at prices."""
        self._closes = LastCloses()
        self._funds = Funds(self._look_at_funds)
        self._basket: Basket | None = None
        self._looked_at: PanelBlock | None = None
        self._slots = np.empty(0, np.intp)
        """Of the symbols of the block that was looked at."""
        self.open_accounts()

    def __getstate__(self) -> dict[str, Any]:
        """All but the session, whose bars are brought."""
        return {**vars(self), "here": None, "_looked_at": None}

    def _look_at_funds(self) -> tuple[float, float]:
        return self.accounts.cash, self.accounts.equity

    def open_accounts(self) -> None:
        """Have accounts that nothing was traded with."""
        plan = self._plan
        self.accounts: Accounts = (
            SharedAccount(plan.account, plan.market, self.price, plan.reserve, plan.limits, self.prices)
            if plan.shared
            else SeparateAccounts(plan.account, self.price)
        )
        self._baskets: BasketTrading | None = None
        is_plain = self.in_baskets and not plan.limits and plan.market.volume_share is None
        if is_plain and isinstance(self.accounts, SharedAccount):
            self._baskets = BasketTrading(self.accounts, plan.account, plan.market, self.holdings)
        for symbol, book in self.books.items():
            self.accounts.join(symbol, book.broker.working)

    def join(self, data: SymbolData, timezone: str, *, guest: bool = False, stays: bool = False) -> SymbolBook:
        """A book of a symbol that was not there."""
        shared = self.changed, self._funds, self._notes, self.holdings
        book = SymbolBook(self._plan, data, timezone, *shared, guest=guest, stays=stays)
        self.books[data.symbol], self._looked_at = book, None
        if guest:
            self.guests.add(data.symbol)
        self.accounts.join(data.symbol, book.broker.working)
        return book

    def opening(self) -> Opening:
        """Where accounts and orders stand."""
        brokers = {symbol: book.broker for symbol, book in self.books.items()}
        failed = {symbol for symbol, book in self.books.items() if book.error is not None}
        return replace(opening_of(self.accounts, brokers, self.closes, failed), purchases=dict(self.purchases))

    def stand(self, opening: Opening) -> None:
        """Go on from there; errors as of `opening.stand`."""
        stand(opening, self.accounts, {symbol: book.broker for symbol, book in self.books.items()})
        self._closes = LastCloses(opening.closes)
        self.purchases |= opening.purchases
        for symbol, holding in opening.holdings.items():
            self.books[symbol].go_on_from(holding)

    # ---- a session

    def look_at(self, here: OpenSession) -> None:
        """Aim orders at the bars of these symbols."""
        self._part_basket()
        self.here, books = here, self.books
        if self._looked_at is not here.block:
            self._looked_at = here.block
            self._slots = np.array([books[symbol].slot for symbol in here.block.symbols], np.intp)
        self._due.clear()
        self._resting.clear()
        for symbol in here.symbols:
            if books[symbol].broker.working:
                self._aim(symbol)

    def leave(self) -> None:
        """Keep of the session what the next may need to know, which is nothing of those that leave."""
        if self.here is not None:
            self._closes.note(self.here.block, self.here.row)
            self.here = None
        leaving = self.leaving
        for symbol in leaving:
            self.holdings.let_go(self.books.pop(symbol).slot)
            self.accounts.forget(symbol)
        self._closes.forget(leaving)
        self.guests -= leaving
        self.invited.clear()

    def let_go_of_bars(self) -> None:
        """Between two sessions: others come."""
        self._looked_at = None
        self._closes.read()

    def close(self) -> None:
        """Let go of all books and bars: nothing is gone through any more."""
        self.books.clear()
        self.here = self._looked_at = None
        self._closes = LastCloses()

    @property
    def leaving(self) -> set[str]:
        """Guests of whom nothing is left after the session, as they stand now."""
        return {symbol for symbol in self.guests if self.books[symbol].leaves}

    @property
    def closes(self) -> Mapping[str, float]:
        """Last closes of sessions that are over, by symbol."""
        return self._closes.known

    @property
    def active(self) -> set[str]:
        """Symbols with orders or positions."""
        self._part_basket()
        return self._due | self._resting | self.held | self.changed

    @property
    def held(self) -> set[str]:
        """Symbols of which something is held."""
        positions = self.holdings.positions
        return {symbol for symbol, book in self.books.items() if positions[book.slot]}

    @property
    def ordered(self) -> set[str]:
        """Symbols that orders, or purchases to come, are of."""
        basket = self._basket.symbols if self._basket is not None else ()
        return {*basket, *self.purchases, *(symbol for symbol, book in self.books.items() if book.broker.orders)}

    @property
    def is_busy(self) -> bool:
        """Whether a bar may reach an order, or bring a purchase."""
        return bool(self._due or self._resting or self.purchases or self._basket)

    def quiet_until(self, first: int, stop: int) -> int:
        """The first of these rows, as far as is looked ahead, in which a bar may reach an order, or bring a purchase;
        where none does, that after them.
        """
        if self._due or self.purchases or self._basket:
            return first
        if not self._resting:
            return stop
        return self.gone_through.first_reached(first, min(first + LOOKED_AHEAD, stop))

    @property
    def is_waiting(self) -> bool:
        """Whether anything is to be judged."""
        return bool(self.changed) or (self._basket is not None and not self._basket.approved)

    @property
    def positions(self) -> FloatArray:
        """Shares held of each symbol that is seen, float64 (symbols,)."""
        held, here = self.holdings.position[self._slots], self.gone_through
        return held if here.unseen is None else held[~here.unseen]

    def price(self, symbol: str) -> float:
        """The last close known, NaN before there is one."""
        here = self.here
        if here is not None:
            if symbol in self.invited:
                base = self.invited[symbol].base
                closed = base.closed_by(here.now_ns)
                return float(base.bars.close[closed - 1]) if closed else nan
            block, row = here.block, here.row
            column = block.index.get(symbol)
            if column is not None and row >= 0:
                price: float = block.last_close_floats[row, column]
                if not isnan(price):
                    return price
        return self._closes.known.get(symbol, nan)

    def prices(self, symbols: Collection[str]) -> list[float]:
        """Last closes of many."""
        here = self.here
        if here is not None and here.row >= 0 and not self.invited:
            floats, index, row = here.block.last_close_floats, here.block.index, here.row
            found: list[float] = [floats[row, index[symbol]] for symbol in symbols if symbol in index]
            if len(found) == len(symbols) and not isnan(sum(found)):
                return found
        return [self.price(symbol) for symbol in symbols]

    # ---- orders meet bars

    def meet(self, here: OpenSession, row: int, *, closes: bool) -> None:
        """Let the bars that have closed since the last window's end meet the orders that they can reach. `closes`: then
        positions may be closed too, and are booked with what fills now.
        """
        first = here.row + 1
        if self._basket is not None and row >= first:
            if not closes and self._fill_basket(self._basket, here, first):
                return
            self._part_basket()
        if self.purchases and row >= first:
            bought = self.purchases.keys()
            self._meet_rows(here, first, first, (self._due | self._resting) - bought)
            self.settle()
            self._buy(here, targets := dict(sorted(self.purchases.items())))
            self._meet_rows(here, first, first, (self._due | self._resting) & targets.keys())
            first += 1
        if row >= first and (self._due or self._resting):
            self._meet_rows(here, first, row, self._due | self._resting)

    def _fill_basket(self, basket: Basket, here: OpenSession, row: int) -> bool:
        if self._baskets is None or not self._baskets.fill(basket, here, self._slots.data, row):
            return False
        self._basket = None
        self.purchases.clear()
        return True

    def _part_basket(self) -> None:
        """Have its orders one by one, as they stand."""
        basket, self._basket = self._basket, None
        if basket is None or self._baskets is None:
            return
        self._baskets.part()
        budgets = basket.budgets or [0.0] * basket.ordered
        for symbol, asked, budget in zip(basket.symbols, basket.asked, budgets, strict=False):
            broker = self.books[symbol].broker
            order = broker.place(OrderTerms(asked), basket.placed_ns)
            if basket.approved:
                broker.approve(order, Approval(order.quantity, budget), 0)
                self.accounts.join(symbol, broker.working)
        if basket.approved:
            self.settle()

    def take_baskets(self) -> FilledBaskets | None:
        """Fills of baskets since this was last asked; None for none."""
        return self._baskets.take() if self._baskets is not None else None

    def _meet_rows(self, here: OpenSession, first: int, last: int, symbols: set[str]) -> None:
        block, books, changed = here.block, self.books, self.changed
        met = symbols & self._due
        if self._resting:
            met |= symbols & self._resting & here.reached(first, last)
        for symbol in sorted(met):
            column = block.index.get(symbol)
            if column is None:
                continue
            broker = books[symbol].broker
            for row in block.own_rows(column, first, last):
                if broker.working:
                    broker.match(row)
            changed.add(symbol)  # a stop may be triggered and fill nothing

    def _buy(self, here: OpenSession, targets: Mapping[str, float]) -> None:
        """Order what a rebalancing buys, with the money that there is now that it has sold."""
        self.purchases.clear()
        for symbol, target in targets.items():
            if symbol in here.panel.index:
                self.place_missing(symbol, target)
        self.judge()

    def settle(self) -> None:
        """Have the account know what has become of orders and positions."""
        changed, books = self.changed, self.books
        for symbol in sorted(changed):
            broker = books[symbol].broker
            if len(broker.fills) > broker.booked:
                fills, broker.booked = broker.fills[broker.booked :], len(broker.fills)
                self.accounts.book(symbol, fills)
            if broker.working or symbol in self._due or symbol in self._resting:
                self._aim(symbol)
            if not broker.waiting:  # else it is still to be judged
                changed.remove(symbol)

    def _aim(self, symbol: str) -> None:
        """Note what a bar has to reach for the symbol's orders to fill."""
        broker = self.books[symbol].broker
        if not broker.working:
            self._due.discard(symbol)
            self._resting.discard(symbol)
            self._note_reach(symbol, -inf, inf)
            return
        low, high = broker.reach()
        due = low == inf
        (self._due if due else self._resting).add(symbol)
        (self._resting if due else self._due).discard(symbol)
        if not due:
            self._note_reach(symbol, low, high)

    def _note_reach(self, symbol: str, low: float, high: float) -> None:
        here = self.here
        if here is not None and (column := here.block.index.get(symbol)) is not None:
            here.low[column], here.high[column] = low, high

    def judge(self) -> None:
        """Have the account approve what waits, or what it has money for."""
        if self._basket is not None and not self._basket.approved:
            alone = not self.changed and not self.gone_through.closing
            if alone and self._baskets is not None and self._baskets.approve(self._basket, self.gone_through):
                return
            self._part_basket()
        now_ns = self.gone_through.now_ns
        brokers = [broker for symbol in self.changed if (broker := self.books[symbol].broker).waiting]
        self.accounts.approve([one for broker in brokers for one in broker.requests(now_ns)], self._answer)
        self.settle()

    def _answer(self, request: OrderRequest, approval: Approval) -> None:
        book = self.books[request.symbol]
        now_ns = self.gone_through.now_ns
        if approval.code.startswith(LIMITS):
            limit = approval.code.removeprefix(LIMITS)
            self.events.note(RunEvent(now_ns, "limit", request.symbol, "account", accepted=False, detail=limit))
        book.broker.approve(request.order, approval, book.bar_ns(now_ns) if approval.reason else 0, now_ns)

    @property
    def gone_through(self) -> OpenSession:
        """The session that is gone through; RuntimeError between two."""
        if self.here is None:
            raise RuntimeError("no session is gone through")
        return self.here

    def expire(self, symbols: Iterable[str]) -> None:
        """End all orders of symbols whose positions end with the session: none may work in the next."""
        self._part_basket()
        for symbol in symbols:
            self.purchases.pop(symbol, None)
            self.books[symbol].broker.cancel_all(CLOSED, self.gone_through.now_ns)

    def stop(self) -> None:
        """Cancel all orders."""
        self._part_basket()
        self.purchases.clear()
        for symbol in self.books:
            self.cancel_all(symbol, STRATEGY_ERROR)

    # ---- what a view asks for, see barray.trading.strategy.view.Trading

    def known(self, symbol: str) -> SymbolBook:
        """The book of a symbol that may be traded; ConfigError where there is none."""
        self.stirred = True
        if self._basket is not None:
            self._part_basket()
        book = self.books.get(symbol)
        if book is None:
            raise ConfigError(
                "there is no such symbol", symbol=symbol, remedy="trade view.symbols, or add_symbol first"
            )
        if symbol not in self.gone_through.panel.index and symbol not in self.invited:
            raise ConfigError(LEFT_OUT, symbol=symbol, remedy="trade view.symbols")
        return book

    def working(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """See Trading; ConfigError where there is no such symbol."""
        return self.known(symbol).broker.at_work()

    def place(self, symbol: str, terms: OrderTerms) -> Order:
        """See Trading; ConfigError where there is no such symbol."""
        return self.known(symbol).broker.place(terms, self.gone_through.now_ns)

    def place_missing(self, symbol: str, target: float) -> Order | None:
        """See Trading; ConfigError where there is no such symbol."""
        broker = self.known(symbol).broker
        missing = target - broker.position
        return broker.place(OrderTerms(missing), self.gone_through.now_ns) if self._plan.market.lots(missing) else None

    def cancel(self, symbol: str) -> None:
        """See Trading; ConfigError where there is no such symbol."""
        self.known(symbol)
        inside = self._notes.whole("cancel_all", symbol)
        self.cancel_all(symbol)
        self._notes.again(inside)

    def cancel_all(self, symbol: str, why: Why = BY_STRATEGY) -> None:
        """End all orders of a symbol."""
        self._part_basket()
        self.purchases.pop(symbol, None)
        self.books[symbol].broker.cancel_all(why, self.gone_through.now_ns)

    def shares_for(self, symbol: str, fraction: float, equity: float | None = None) -> float:
        """See Trading; ConfigError before there is a price."""
        self.known(symbol)
        price = self.price(symbol)
        if isnan(price):
            raise ConfigError(
                "there is no price yet", symbol=symbol, remedy="leave it out until view.close is a number"
            )
        if equity is None:
            equity = self.accounts.equity_for(symbol)
        return self._plan.market.lots(fraction * equity / price) if price else 0.0

    def rebalance(self, weights: Mapping[str, float]) -> None:
        """See WindowView.rebalance; ConfigError as for `shares_for`."""
        self.stirred = True
        if self._take_basket(weights):
            return
        self._part_basket()
        shared, lots, here = self._plan.shared, self._plan.market.lots, self.gone_through
        seen, now_ns = here.panel.index, here.now_ns
        equity = self.accounts.equity if shared else None
        targets = {symbol: self.shares_for(symbol, weight, equity) for symbol, weight in weights.items()}
        inside = self._notes.whole("rebalance", "", weights=dict(weights))
        for symbol in [*self._due, *self._resting, *self.changed, *self.purchases]:
            if symbol in targets or symbol in seen:
                self.cancel_all(symbol)
        held = {symbol: self.books[symbol].broker.position for symbol in {*targets, *(self.held & seen.keys())}}
        missing = {symbol: targets.get(symbol, 0.0) - held[symbol] for symbol in sorted(held)}
        sales = {symbol for symbol, wanted in missing.items() if held[symbol] * lots(wanted) < 0}
        for symbol, wanted in missing.items():
            if symbol in sales or not sales or not shared:
                if lots(wanted):
                    self.books[symbol].broker.place(OrderTerms(wanted), now_ns)
            elif lots(wanted):
                self.purchases[symbol] = targets[symbol]
        self._notes.again(inside)

    def _take_basket(self, weights: Mapping[str, float]) -> bool:
        """Rebalance in whole, if that is possible; nothing else may be on its way then."""
        baskets, here = self._baskets, self.gone_through
        if baskets is None or self._notes.on or here.closing or not here.block.is_even:
            return False
        if self._basket is not None or self._due or self._resting or self.changed or self.purchases or self.invited:
            return False
        basket = baskets.basket(here, weights)
        if basket is None:
            return False
        if basket.symbols:
            self._basket, bought = basket, basket.symbols[basket.ordered :]
            self.purchases |= dict(zip(bought, basket.targets[basket.ordered :], strict=True))
        return True
