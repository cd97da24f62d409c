"""Many symbols in one process: their account, their orders, and the strategies that trade them, window by window.

Pure. Whoever has the symbols' bars hands them over (`load`), then each session is one call. A window costs what happens
in it: only symbols whose orders a bar can reach are looked at, and what a strategy doesn't ask for isn't computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan, nan
from typing import Any

import numpy as np

from barray.market.bars import Bar, FloatArray
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, ConfigError
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.known_table import Values
from barray.market.own_indicator import OwnIndicator
from barray.market.session_range import SessionRange
from barray.market.symbols import require_text
from barray.trading.engine.adhoc_bar import with_bar
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.listener import Listener
from barray.trading.engine.open_session import OpenSession, session_prices
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.engine.watchdog import watched
from barray.trading.engine.window_broker import Funds
from barray.trading.orders.accounts import (
    Accounts,
    Approval,
    OrderRequest,
    SeparateAccounts,
    SharedAccount,
    WorkingOrder,
)
from barray.trading.orders.broker import Order
from barray.trading.orders.terms import OrderTerms
from barray.trading.results.days import SessionDays, days_of
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn, failure_text, file_of
from barray.trading.strategy.panel import PanelBlock
from barray.trading.strategy.view import Added, Moment, WindowView

_LEFT_OUT = "is left out of this session"
Add = Callable[[Sequence[str], int], Mapping[str, "SymbolData | str"]]
"""Gets symbols for the rest of a session (its row), or says why not."""


class PortfolioRun:
    """A plan's run over sessions, one after another; between two of them it can be pickled, all but the bars.

    A symbol that is left out of a session is not seen nor traded in it; its position and orders stay. Where all are
    left out, the strategy is not asked. `window`: at the end of each, accounts judge orders, and `on_window` is called.
    `error`: the traceback of a strategy over all symbols, which ends the run; positions stay, and are valued on.
    """

    def __init__(self, plan: Plan, window: Interval, add: Add | None = None) -> None:
        self.add = add
        self.books: dict[str, SymbolBook] = {}
        self.error: str | None = None
        self._plan, self._window = plan, window
        self._changed: set[str] = set()
        self._working: set[str] = set()
        self._purchases: dict[str, float] = {}
        self._invited: dict[str, SymbolData] = {}
        self._supplied: dict[str, SymbolData] = {}
        self._altered: set[str] = set()
        self._leaving: set[str] = set()
        self._prices: dict[str, float] = {}
        self._said: Counter[str] = Counter()
        self._funds = Funds(self._look_at_funds)
        self._block: PanelBlock | None = None
        self._now: OpenSession  # that is gone through, or was last
        self._view: WindowView
        self._shown: list[SymbolBook]
        self._inside = False
        self._strategy: Strategy | None = None
        self._remembered: dict[str, Any] | None = None
        self._speaks: SymbolBook | None = None
        self._adding = False
        self._open_accounts()

    def __getstate__(self) -> dict[str, Any]:
        """All but the bars, which `load` brings, and `add`; of the strategy what it remembers."""
        remembered = vars(self._strategy) if self._strategy is not None else None
        here = {"add": None, "_block": None, "_speaks": None, "_strategy": None, "_remembered": remembered}
        return {
            name: value
            for name, value in {**vars(self), **here}.items()
            if name not in ("_range", "_now", "_view", "_shown")
        }

    def _open_accounts(self) -> None:
        plan = self._plan
        self.accounts: Accounts = (
            SharedAccount(plan.account, plan.market, self._price, plan.reserve, plan.limits)
            if plan.shared
            else SeparateAccounts(plan.account, self._price)
        )
        for symbol, book in self.books.items():
            self.accounts.join(symbol, book.broker.working)

    def _look_at_funds(self) -> tuple[float, float]:
        return self.accounts.cash, self.accounts.equity

    def load(self, session_range: SessionRange, data: Mapping[str, SymbolData], base: Interval) -> None:
        """Go by these bars from now on, of these sessions. `base`: the finest interval of any symbol in the run."""
        self._range, self._base = session_range, base
        first, last = session_range.first_row, int(session_range.rows[-1])
        self._block = PanelBlock(data, first, last, base, session_range.first_day_row) if data else None
        for symbol, one in sorted(data.items()):
            if symbol in self.books:
                self.books[symbol].load(one)
            else:
                self._join(one)

    def _join(self, data: SymbolData, *, guest: bool = False) -> SymbolBook:
        book = SymbolBook(self._plan, data, self._range.timezone, self._changed, self._funds, guest=guest)
        self.books[data.symbol] = book
        self.accounts.join(data.symbol, book.broker.working)
        return book

    def session(self, row: int) -> SessionOutcome:
        """Go through a session (its row, of those loaded) from open to close, and say what it brought."""
        sessions = self._range.sessions
        close_ns = int(sessions.close_ns[row])
        listener = Listener(self._speaker, self._time, self._said)
        symbols = self._run_in(row) if self.error is None else []
        if symbols:
            ends_ns = sessions.expected_starts(row, self._window, close_ns)[1].tolist()
            with listener, watched(self._progress, self._plan.call_timeout_s):
                self._enter(sessions, row, symbols)
                self._go(ends_ns)
        days = self._days(row)
        guests = {symbol for symbol, book in self.books.items() if book.guest}
        errors = {s: (book.error, book.error_ns) for s, book in self.books.items() if book.error is not None}
        starving = {symbol: found for symbol, book in self.books.items() if (found := book.broker.starving())}
        self._leave(guests)
        begun = frozenset((*symbols, *guests))
        return SessionOutcome(days, begun, starving, errors, listener.heard(), self.error)

    def _days(self, row: int) -> SessionDays | None:
        sessions = self._range.sessions
        symbols, fills, before, refusals = [], [], [], {}
        for symbol, book in sorted(self.books.items()):
            filled, refused = book.take_fills()
            if filled or refused or book.before.position:
                symbols.append(symbol)
                fills.append(filled)
                before.append(book.before)
                book.before = book.before.after(filled)
                if refused:
                    refusals[symbol] = refused
        if not symbols:
            return None
        block = self._now.block if self._inside else self._block
        grid_ns = sessions.expected_starts(row, self._base, int(sessions.close_ns[row]))[1]
        books = [self.books[symbol] for symbol in symbols]  # one that is left out may have no bars here
        filled_ns = [int(b.data.base.end_ns[fill.row]) for b, one in zip(books, fills, strict=True) for fill in one]
        stamps = np.searchsorted(grid_ns, np.array(filled_ns, np.int64))
        prices = session_prices(block, symbols, grid_ns, self._prices)
        capital = 0.0 if self._plan.shared else self._plan.account.capital
        return days_of(symbols, fills, stamps, prices, before, capital, refusals)

    def _run_in(self, row: int) -> list[str]:
        block = self._block
        return [s for s in block.symbols if row in self.books[s].traded] if block is not None else []

    def _leave(self, guests: Iterable[str]) -> None:
        """Keep of the session what the next may need to know."""
        if self._inside:
            self._prices |= self._now.closes()
            self._inside = False
        for symbol in guests:
            del self.books[symbol]
            self.accounts.forget(symbol)
            self._prices.pop(symbol, None)
        for symbol in self._altered:
            if symbol in self.books and self._block is not None:
                self.books[symbol].load(self._block.data[self._block.index[symbol]])
        self._altered.clear()
        self._leaving.clear()
        self._invited.clear()
        self._supplied.clear()

    # ---- a session, window by window

    def _enter(self, sessions: Sessions, row: int, symbols: list[str]) -> None:
        block = self._block
        if block is None:
            raise RuntimeError("no bars were loaded")
        if not self._plan.account.carry:
            self._open_accounts()
            self._strategy = self._remembered = None
        open_ns = int(sessions.open_ns[row])
        history_ns, days_ns = (int(sessions.open_ns[first]) for first in self._first_rows(row))
        close_ns = int(sessions.close_ns[row])
        self._inside = True
        self._now = OpenSession(row, open_ns, close_ns, history_ns, days_ns, block, symbols)
        for symbol in symbols:
            self._speaks = self.books[symbol]
            self._speaks.enter(row)
            self.accounts.join(symbol, self._speaks.broker.working)
        self._speaks = None
        self._show()

    def _first_rows(self, row: int) -> tuple[int, int]:
        """Rows of the first sessions that one (its row) looks back to: by its bars, and by its days and weeks."""
        first = self._range.history[row]
        return first, self._range.daily.get(row, first)

    def _aim_all(self) -> None:
        self._working.clear()
        for symbol in self._now.symbols:
            self._aim(symbol)

    def _look_around(self) -> None:
        """Have matrices of the symbols that there are now."""
        here = self._now
        block, invited = here.block, {**self._invited, **self._supplied}
        for symbol, more in self._supplied.items():
            self.books[symbol].look_at(more, here.number)
            here.renew_added(more, self._range.history)
        if invited:
            data = dict(zip(block.symbols, block.data, strict=True))
            first, first_day = self._first_rows(here.number)
            block = PanelBlock({**data, **invited}, first, here.number, self._base, first_day)
        here.look_at(block, {*here.symbols, *invited} - self._leaving)
        self._altered |= self._supplied.keys()
        self._invited.clear()
        self._supplied.clear()
        self._leaving.clear()
        self._show()

    def _show(self) -> None:
        """Have a view of what there is, and orders aimed at."""
        here, sessions = self._now, self._range
        day = sessions.sessions.dates[here.number].item()
        moment = Moment(here.now_ns, day, here.open_ns, here.close_ns, sessions.timezone)
        self._view = WindowView(self, here.panel, moment)
        self._shown = [self.books[symbol] for symbol in here.symbols]
        self._aim_all()

    def _go(self, ends_ns: Sequence[int]) -> None:
        """From the open, through every window's end, to the close."""
        here, asks = self._now, self._plan.form == "on_window"
        if asks:
            self._open()
        self._decide()
        early, rows = self._early_closes(here.now_ns), self._rows_closed(ends_ns)
        for number, now_ns in enumerate(ends_ns):
            if self.error is not None:
                return
            if self._invited or self._leaving or self._supplied:
                self._look_around()
                early, rows = self._early_closes(here.now_ns), self._rows_closed(ends_ns)
            if not asks:
                self._advance(now_ns)
            elif self._working or self._purchases:
                self._meet(rows[number])
            here.row, here.now_ns = rows[number], now_ns
            while early and now_ns >= early[0]:
                self._close_early(early.pop(0))
            if now_ns >= here.close_ns:
                self._close()
            if self._changed:
                self._settle()
            if asks:
                self._ask()
            self._decide()

    def _close(self) -> None:
        for book in self._shown:
            book.leave()

    def _early_closes(self, after_ns: int) -> list[int]:
        """When symbols have their last bars, where that is before the close; an own strategy sees to it itself."""
        if self._plan.form != "on_window":
            return []
        closes = {book.closes_ns for book in self._shown}
        return sorted(one for one in closes if after_ns < one < self._now.close_ns)

    def _rows_closed(self, ends_ns: Sequence[int]) -> list[int]:
        closed: list[int] = (np.searchsorted(self._now.block.end_ns, ends_ns, side="right") - 1).tolist()
        return closed

    def _meet(self, row: int) -> None:
        """Let the bars that have closed since the last window's end meet the orders that they can reach."""
        first = self._now.row + 1
        if self._purchases and row >= first:
            bought = set(self._purchases)
            self._meet_rows(first, first, self._working - bought)
            self._settle()
            self._buy()
            self._meet_rows(first, first, self._working & bought)
            first += 1
        if self._working and row >= first:
            self._meet_rows(first, row, self._working)

    def _meet_rows(self, first: int, last: int, symbols: set[str]) -> None:
        block = self._now.block
        for symbol in self._now.reached(first, last):
            if symbol in symbols:
                self.books[symbol].match(block.own_rows(block.index[symbol], first, last))
                self._changed.add(symbol)  # a stop may be triggered and fill nothing

    def _buy(self) -> None:
        """Order what a rebalancing buys, with the money that there is now that it has sold."""
        purchases, self._purchases = self._purchases, {}
        for symbol, target in sorted(purchases.items()):
            if symbol in self._now.symbols:
                self.place_missing(symbol, target)
        self._judge()

    def _advance(self, now_ns: int) -> None:
        """Let all symbols' own strategies go on."""
        quick = now_ns < self._now.close_ns
        for book in self._shown:
            self._speaks = book
            if quick and book.one_by_one:
                book.next_bar(now_ns)
            else:
                book.advance(now_ns)
        self._speaks = None

    def _close_early(self, closes_ns: int) -> None:
        for book in self._shown:
            if book.closes_ns == closes_ns:
                book.close()

    def _settle(self) -> None:
        """Have the account know what has become of orders and positions."""
        for symbol in sorted(self._changed):
            broker = self.books[symbol].broker
            if len(broker.fills) > broker.booked:
                fills, broker.booked = broker.fills[broker.booked :], len(broker.fills)
                self.accounts.book(symbol, fills)
            self._aim(symbol)
            if not broker.waiting:  # else it is still to be judged
                self._changed.remove(symbol)

    def _aim(self, symbol: str) -> None:
        """Note what a bar has to reach for the symbol's orders to fill."""
        here, broker = self._now, self.books[symbol].broker
        column = here.block.index.get(symbol)
        if broker.working:
            self._working.add(symbol)
        else:
            self._working.discard(symbol)
        if column is not None:
            here.low[column], here.high[column] = broker.reach()

    # ---- decisions, at a window's end

    def _open(self) -> None:
        """Have the strategy over all symbols at the session's open."""
        view = self._view
        try:
            if self._strategy is None:
                self._strategy = self._plan.strategy()
                if self._remembered is None:
                    self._strategy.on_start(view)  # type: ignore[arg-type]  # documented in Strategy
                else:
                    vars(self._strategy).update(self._remembered)
            self._strategy.on_session(view)  # type: ignore[arg-type]
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._stop()

    def _ask(self) -> None:
        """Have it decide at a window's end."""
        self._view.now_ns = self._now.now_ns
        try:
            self._strategy.on_window(self._view)  # type: ignore[union-attr]  # there since the open
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._stop()

    def _stop(self) -> None:
        """Remember the error being handled; nothing is called any more, nor ordered."""
        self.error = failure_text(file_of(self._strategy), self._view.now)
        self._purchases.clear()
        for symbol in self.books:
            self._cancel(symbol)

    def _decide(self) -> None:
        """Have the account judge what was ordered in the window."""
        if self._now.closing:
            self._end_orders()
        if self._changed:
            self._judge()
        if self._leaving:
            self._let_go()

    def _judge(self) -> None:
        """Have the account approve what waits, or what it has money for."""
        now_ns = self._now.now_ns
        waiting = [broker for symbol in self._changed if (broker := self.books[symbol].broker).waiting]
        self.accounts.approve([request for broker in waiting for request in broker.requests(now_ns)], self._answer)
        self._settle()

    def _answer(self, request: OrderRequest, approval: Approval) -> None:
        book = self.books[request.symbol]
        book.broker.approve(request.order, approval, book.bar_ns(self._now.now_ns) if approval.reason else 0)

    def _end_orders(self) -> None:
        """At the close: where positions end, no order of this session may work in the next."""
        flat = self._plan.account.flat_at_close
        for book in self._shown:
            if flat or book.guest:
                self._purchases.pop(book.symbol, None)
                book.broker.cancel_all("the session closed", "expired")

    def _let_go(self) -> None:
        """Close the positions of those that were removed, at their last closes."""
        here = self._now
        for symbol in sorted(self._leaving & set(here.symbols)):
            self.books[symbol].close(here.now_ns)
        self._settle()

    # ---- what is said, and how long it takes

    def _speaker(self) -> str:
        return self._speaks.symbol if self._speaks is not None else ""

    def _time(self) -> int | None:
        if self._speaks is not None and self._speaks.run is not None:
            return self._speaks.run.context.now_ns
        return self._now.now_ns if self._inside else None

    def _progress(self) -> object:
        """Another after every call that came back; always while a symbol is got, which is not the strategy's time."""
        return object() if self._adding else (self._speaker(), self._time())

    # ---- what a view asks for, see barray.trading.strategy.view.Viewed

    def _price(self, symbol: str) -> float:
        """The last close known, NaN before there is one."""
        if not self._inside:
            return self._prices.get(symbol, nan)
        if symbol in self._invited:
            base = self._invited[symbol].base
            closed = base.closed_by(self._now.now_ns)
            return float(base.bars.close[closed - 1]) if closed else nan
        price = self._now.price(symbol)
        return self._prices.get(symbol, nan) if isnan(price) else price

    def latest(self, column: str) -> FloatArray:
        """See Viewed."""
        symbols = self._now.symbols
        if column == "position":
            return np.array([self.books[symbol].broker.position for symbol in symbols], np.float64)
        if column == "session_volume":
            return self._now.volume()
        values = self._now.latest(column)
        if column == "close" and np.isnan(values).any():
            values = np.array([self._price(symbol) for symbol in symbols], np.float64)
        return values

    def indicator_values(self) -> Mapping[str, FloatArray]:
        """See Viewed."""
        return self._now.indicators()

    def table_values(self, name: str, column: str) -> Values:
        """See Viewed; ConfigError where there is no such table or column."""
        return self._now.table(name, column)

    def _known(self, symbol: str) -> SymbolBook:
        here = self._now
        if symbol in self.books and (symbol in here.panel.index or symbol in self._invited):
            return self.books[symbol]
        if symbol in self.books:
            raise ConfigError(_LEFT_OUT, symbol=symbol, remedy="trade view.symbols")
        raise ConfigError("there is no such symbol", symbol=symbol, remedy="trade view.symbols, or add_symbol first")

    def working(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """See Viewed; ConfigError where there is no such symbol."""
        return self._known(symbol).broker.at_work()

    def place(self, symbol: str, terms: OrderTerms) -> Order:
        """See Viewed; ConfigError where there is no such symbol."""
        return self._known(symbol).broker.place(terms)

    def place_missing(self, symbol: str, target: float) -> Order | None:
        """See Viewed; ConfigError where there is no such symbol."""
        missing = target - self._known(symbol).broker.position
        return self.place(symbol, OrderTerms(missing)) if self._plan.market.lots(missing) else None

    def cancel(self, symbol: str) -> None:
        """See Viewed; ConfigError where there is no such symbol."""
        self._known(symbol)
        self._cancel(symbol)

    def _cancel(self, symbol: str) -> None:
        self._purchases.pop(symbol, None)
        self.books[symbol].broker.cancel_all("cancelled by the strategy")

    def shares_for(self, symbol: str, fraction: float) -> float:
        """See Viewed; ConfigError before there is a price."""
        self._known(symbol)
        price = self._price(symbol)
        if isnan(price):
            raise ConfigError(
                "there is no price yet", symbol=symbol, remedy="leave it out until view.close is a number"
            )
        return self._plan.market.lots(fraction * self.accounts.equity_for(symbol) / price) if price else 0.0

    def rebalance(self, targets: Mapping[str, float]) -> None:
        """See WindowView.rebalance."""
        held = {symbol: self._known(symbol).broker.position for symbol in targets}
        for symbol in targets:
            self._cancel(symbol)
        lots = self._plan.market.lots
        sales = {symbol for symbol, now in held.items() if now * lots(targets[symbol] - now) < 0}
        for symbol in sorted(targets):
            if symbol in sales or not sales or not self._plan.shared:
                self.place_missing(symbol, targets[symbol])
            elif lots(targets[symbol] - held[symbol]):
                self._purchases[symbol] = targets[symbol]

    def add_symbols(self, symbols: Sequence[str]) -> dict[str, Added]:
        """See Viewed; ConfigError for what is no text."""
        for symbol in symbols:
            require_text(symbol)
        found = {symbol: self._there_already(symbol) for symbol in symbols}
        wanted = [symbol for symbol, added in found.items() if added is None]
        got = self._get(wanted) if wanted else {}
        for symbol, data in got.items():
            if isinstance(data, SymbolData):
                self._invited[symbol] = data
                self._join(data, guest=True).enter(self._now.number)
        answers = {s: Added(True) if isinstance(data, SymbolData) else Added(False, data) for s, data in got.items()}
        return {symbol: answers[symbol] if added is None else added for symbol, added in found.items()}

    def _there_already(self, symbol: str) -> Added | None:
        here = self._now
        if symbol in self.books:
            there = symbol in here.panel.index or symbol in self._invited
            return Added(True, "it is there already") if there else Added(False, _LEFT_OUT)
        if here.closing:
            return Added(False, "the session has closed")
        if self.add is None:
            return Added(False, "nothing can be added here")
        return None

    def _get(self, symbols: Sequence[str]) -> Mapping[str, SymbolData | str]:
        self._adding = True
        try:
            return self.add(symbols, self._now.number) if self.add is not None else {}
        finally:
            self._adding = False

    def remove_symbol(self, symbol: str) -> None:
        """See Viewed; ConfigError for one that was not added."""
        if not self._known(symbol).guest:
            raise ConfigError("it was not added by the strategy", symbol=symbol, remedy="sell it, and leave it alone")
        self._cancel(symbol)
        self._leaving.add(symbol)

    def add_indicator(self, symbol: str, indicator: str | OwnIndicator) -> Added:
        """See Viewed; ConfigError where either is no text, nor an own indicator."""
        require_text(symbol)
        if not isinstance(indicator, str | OwnIndicator):
            raise ConfigError(
                f"an indicator is text, not {type(indicator).__name__}", remedy='write it as "RSI(14)@5m"'
            )
        if reason := self._closed_to(symbol):
            return Added(False, reason)
        here, data = self._now, self.books[symbol].data
        try:
            spec = parse_indicator(indicator)
        except BarrayError as error:
            return Added(False, str(error))
        if not data.base.interval.derives(spec.interval):
            return Added(False, f"{spec.interval} does not derive from {data.base.interval}")
        name = indicator if isinstance(indicator, str) else spec.key
        try:
            here.add_indicator(name, spec, data, self._range.history, here.now_ns)
        except ConfigError as error:  # an own function failed
            return Added(False, str(error))
        return Added(True)

    def add_bar(self, symbol: str, interval: str, bar: Bar | Mapping[str, Any]) -> Added:
        """See Viewed; ConfigError for a symbol that is no text."""
        require_text(symbol)
        if reason := self._closed_to(symbol):
            return Added(False, reason)
        here = self._now
        if symbol not in here.panel.index:
            return Added(False, f"{symbol} is in the view from the next window on: add the bar then")
        data = self._supplied.get(symbol, self.books[symbol].data)
        needs = self._plan.strategy().needs()
        more = with_bar(data, interval, bar, needs, self._range, here.number, here.now_ns)
        if isinstance(more, str):
            return Added(False, more)
        self._supplied[symbol] = more
        return Added(True)

    def _closed_to(self, symbol: str) -> str | None:
        """Why nothing can be added to a symbol."""
        here = self._now
        if symbol not in self.books:
            return f"there is no symbol {symbol}: add_symbol gets one"
        if symbol not in here.panel.index and symbol not in self._invited:
            return _LEFT_OUT
        return "the session has closed" if here.closing else None
