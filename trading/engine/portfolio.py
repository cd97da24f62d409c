"""Many symbols in one process: sessions one after another, and what lasts from one to the next.

Pure. Whoever has the symbols' bars hands them over (`load`), then each session is one call. A window costs what happens
in it; what a strategy doesn't ask for isn't computed. Orders are the OrderManager's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from barray.market.calendar import Sessions
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.additions import Add, Additions
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.decider import Decider
from barray.trading.engine.listener import Listener
from barray.trading.engine.notes import Notes
from barray.trading.engine.open_session import OpenSession
from barray.trading.engine.opening import Opening
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.reckoning import Reckoning
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.engine.watchdog import watched
from barray.trading.engine.window_walk import WindowWalk, first_rows
from barray.trading.orders.accounts import Accounts
from barray.trading.orders.order_columns import Orders
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn
from barray.trading.strategy.panel import PanelBlock


def block_of(session_range: SessionRange, data: Mapping[str, SymbolData], base: Interval) -> PanelBlock:
    """All sessions of a range as matrices. `base`: the finest interval of any symbol in the run."""
    first, last = session_range.first_row, int(session_range.rows[-1])
    return PanelBlock(data, first, last, base, session_range.first_day_row)


class PortfolioRun:
    """A plan's run over sessions, one after another; between two of them it can be pickled, all but the bars.

    A symbol that is left out of a session is not seen nor traded in it; its position and orders stay. Where all are
    left out, the strategy is not asked. `window`: at the end of each, accounts judge orders, and `on_window` is called.
    `error`: the traceback of a strategy over all symbols, which ends the run; positions stay, and are valued on.
    `noted`: what strategies decide is taken down. `add`: see Additions.
    """

    new_notes, walk = Notes, WindowWalk

    def __init__(self, plan: Plan, window: Interval, add: Add | None = None, *, noted: bool = False) -> None:
        self.notes = self.new_notes(self._time, on=noted)
        self.order_manager = OrderManager(plan, self.notes)
        self.additions = Additions(plan, self.order_manager, self.notes, add)
        self.reckoning = Reckoning(plan, self.order_manager)
        self.decider = Decider(plan, self.order_manager, self.notes)
        self._plan, self._window = plan, window
        self._came: set[str] = set()
        self._said: Counter[str] = Counter()
        self._block: PanelBlock | None = None
        self._walk: WindowWalk | None = None
        self._row: int
        self._run_for: list[str]

    def __getstate__(self) -> dict[str, Any]:
        """All but the bars, which `load` brings."""
        state = {**vars(self), "_block": None, "_walk": None}
        return {name: value for name, value in state.items() if name not in ("_range", "_listener")}

    @property
    def error(self) -> str | None:
        """The traceback of a strategy over all symbols, or what else ended the run."""
        return self.decider.error

    @error.setter
    def error(self, error: str | None) -> None:
        self.decider.error = error

    @property
    def positions(self) -> frozenset[str]:
        """Symbols of which something is held."""
        return frozenset(self.order_manager.held)

    @property
    def pinned(self) -> frozenset[str]:
        """Symbols that must stay: something is held of them, or ordered."""
        return self.positions | self.order_manager.ordered

    @property
    def block(self) -> PanelBlock | None:
        """The bars that it goes by, but for those of symbols that came within the session; None for none."""
        return self._block

    @property
    def present(self) -> frozenset[str]:
        """Symbols that are seen in the session, or will be from the next window on."""
        here = self.order_manager.here
        there = {*here.symbols, *self.order_manager.invited} if here is not None else set[str]()
        return frozenset(there - self.additions.leaving - (self._walk.going if self._walk is not None else set()))

    @property
    def accounts(self) -> Accounts:
        """Whose money it is."""
        return self.order_manager.accounts

    @property
    def books(self) -> Mapping[str, SymbolBook]:
        """What is held and ordered, by symbol."""
        return self.order_manager.books

    def opening(self) -> Opening:
        """Where accounts and orders stand between two sessions."""
        return self.order_manager.opening()

    def stand(self, opening: Opening) -> None:
        """Go on from there; asked of a run that has its bars, and nothing else. Errors as of `opening.stand`."""
        some = next((book.data for book in self.books.values()), None)
        for symbol in opening.holdings.keys() - self.books.keys():
            if some is not None:
                self.order_manager.join(some.without_bars(symbol), self._range.timezone)
        self.order_manager.stand(opening)

    def load(
        self, session_range: SessionRange, data: Mapping[str, SymbolData], base: Interval, guests: Collection[str] = ()
    ) -> None:
        """Go by these bars from now on, of these sessions. `base`: the finest interval of any symbol in the run.
        `guests`: who is there as those are that `join`.
        """
        self.look_at(session_range, block_of(session_range, data, base) if data else None, base, guests)

    def look_at(
        self, session_range: SessionRange, block: PanelBlock | None, base: Interval, guests: Collection[str] = ()
    ) -> None:
        """The same of a block that is there already, None where no symbol has bars."""
        if block is not self._block:
            self.order_manager.let_go_of_bars()
        self._range, self._base, self._block = session_range, base, block
        self.additions.session_range = session_range
        for symbol, one in zip(block.symbols, block.data, strict=True) if block is not None else ():
            if symbol not in self.books:
                guest = symbol in guests
                self.order_manager.join(one, session_range.timezone, guest=guest, stays=guest)
            elif self.books[symbol].data is not one:
                self.books[symbol].load(one)

    def session(self, row: int) -> SessionOutcome:
        """Go through a session (its row, of those loaded) from open to close, and say what it brought."""
        self._begin(row, to_ns=int(self._range.sessions.close_ns[row]))
        return self.finish()

    def sessions(
        self, rows: Iterable[int], until: Callable[[SessionOutcome], bool] = lambda _: False
    ) -> list[SessionOutcome]:
        """The same of sessions one after another, which costs less than one by one, until what one brought is enough:
        `until` is told of it, all but days and orders.
        """
        over = []
        for row in rows:
            self._begin(row, to_ns=int(self._range.sessions.close_ns[row]))
            over.append(self._over())
            if until(over[-1]):
                break
        return self._told(over)

    def begin(self, row: int, at_ns: int | None = None) -> None:
        """Stand at a session's open (its row, of those loaded), or at `at_ns` in it, with the strategy called there."""
        self._begin(row, at_ns)

    def _begin(self, row: int, at_ns: int | None = None, to_ns: int | None = None) -> None:
        """The same, and go on from there to `to_ns`."""
        self._row = row
        self.notes.begin()
        self._run_for = self._run_in(row) if self.error is None else []
        if self._run_for:
            with self._called():
                self._walk = self._enter(self._range.sessions, row, self._run_for, at_ns)
                self._walk.open()
                if to_ns is not None:
                    self._walk.go_on(to_ns)

    def go_on(self, to_ns: int) -> None:
        """Go through all windows that end by `to_ns`."""
        if self._run_for:
            with self._called():
                self._on_the_way.go_on(to_ns)

    def arrive(self, to_ns: int) -> None:
        """Go through all windows that end before `to_ns`. Of one that ends there the bars are met: what changes now, a
        strategy that sees all symbols sees when `go_on` asks it; symbols' own strategies have been told of it then, and
        those of symbols that come are when `go_on` goes there.
        """
        if self._run_for:
            with self._called():
                self._on_the_way.arrive(to_ns)

    def finish(self) -> SessionOutcome:
        """Leave the session, and say what it brought."""
        return self._told([self._over()])[0]

    def _over(self) -> SessionOutcome:
        """Leave the session; what it brought, but for days and orders."""
        self.reckoning.note(self._range, self._row, self._base, self._block)
        guests, errors, starving = self.order_manager.guests, {}, {}
        for symbol, book in self.books.items():
            if book.error is not None:
                errors[symbol] = book.error, book.error_ns
            if book.broker.working and (found := book.broker.starving()):
                starving[symbol] = found
        begun = frozenset((*self._run_for, *self._came, *(s for s in guests if not self.books[s].stays)))
        self._leave()
        said, events = self._listener.heard(), self.order_manager.events.take()
        return SessionOutcome(None, begun, starving, errors, said, self.error, events=events)

    def _told(self, over: Sequence[SessionOutcome]) -> list[SessionOutcome]:
        """With days and orders, which are reckoned now."""
        told = zip(over, self.reckoning.take(), strict=True)
        return [replace(outcome, days=days, orders=orders) for outcome, (days, orders) in told]

    @cached_property
    def _listener(self) -> Listener:
        return Listener(lambda: self.decider.speaker, self._time, self._said)

    def close(self) -> None:
        """Let go of books and bars at once. A run is part of a circle, which is found some time after nothing else
        knows of it: a sweep's sets would be looked through for that again and again.
        """
        self.order_manager.close()
        self._block = self._walk = None

    def working_orders(self) -> Orders:
        """The orders of all symbols that have not ended."""
        found = {symbol: orders for symbol, book in sorted(self.books.items()) if (orders := book.broker.orders)}
        return Orders.of(found)

    @contextmanager
    def _called(self) -> Iterator[None]:
        """A block in which the strategy may be called: what it says is heard, and a call that hangs is ended."""
        with self._listener, watched(self._progress, self._plan.call_timeout_s):
            yield

    def _run_in(self, row: int) -> list[str]:
        block, books = self._block, self.books
        return [symbol for symbol in block.symbols if row in books[symbol].traded] if block is not None else []

    def _leave(self) -> None:
        """Keep of the session what the next may need to know."""
        self.order_manager.leave()
        walk = self._walk
        for symbol in walk.altered if walk is not None else ():
            if symbol in self.books and self._block is not None:
                self.books[symbol].load(self._block.data[self._block.index[symbol]])
        if walk is not None:
            walk.end()
        self.additions.clear()
        self._came.clear()

    def _enter(self, sessions: Sessions, row: int, symbols: list[str], at_ns: int | None) -> WindowWalk:
        block = self._block
        if block is None:
            raise RuntimeError("no bars were loaded")
        if not self._plan.account.carry:
            self.order_manager.open_accounts()
            self.decider.begin_anew()
        open_ns, close_ns = int(sessions.open_ns[row]), int(sessions.close_ns[row])
        history_ns, days_ns = (int(sessions.open_ns[first]) for first in first_rows(self._range, row))
        here = OpenSession(row, open_ns, close_ns, history_ns, days_ns, block, symbols, at_ns)
        self.order_manager.here = here
        for symbol in () if self._plan.form == "on_window" and self._plan.account.carry else symbols:
            self.decider.speaks = book = self.books[symbol]
            if book.enter(row, at_ns):
                self.accounts.join(symbol, book.broker.working)
        self.decider.speaks = None
        ends_ns = sessions.expected_starts(row, self._window, close_ns)[1]
        return self.walk(
            self._plan,
            self._range,
            self._base,
            self.order_manager,
            self.additions,
            self.decider,
            self.notes,
            here,
            ends_ns[ends_ns > (at_ns or 0)].tolist(),
        )

    # ---- symbols that somebody else than the strategy adds or removes

    def join(self, data: SymbolData) -> None:
        """Have a symbol for the rest of the session; the strategy sees it from the next time on that it is called. What
        is held of it at the close is kept; nothing is done where the strategy's run has ended.
        """
        if self.error is not None:
            return
        order_manager, symbol = self.order_manager, data.symbol
        book = self.books.get(symbol)
        if book is None:
            book = order_manager.join(data, self._range.timezone, guest=True, stays=True)
        else:
            book.load(data)
        self._came.add(symbol)
        order_manager.invited[symbol] = data
        walk = self._on_the_way
        walk.going.discard(symbol)
        with self._called():
            if book.enter(walk.here.number, walk.told_ns):
                self.accounts.join(symbol, book.broker.working)

    def renew(self, data: SymbolData) -> None:
        """Go on with a symbol's bars as they are known now; what was decided and filled by those before stays."""
        here, symbol = self._on_the_way.here, data.symbol
        if symbol not in here.panel.index and symbol not in self.order_manager.invited:
            self.books[symbol].data = data
            return
        self.order_manager.invited[symbol] = data
        with self._called():
            self.decider.speaks = book = self.books[symbol]
            try:
                book.renew(data, here.number, here.now_ns)
            except (Exception, DidNotReturn):  # the user's code, which signals are: its error is the symbol's end
                book.fail()
            self.decider.speaks = None

    def leave(self, symbol: str) -> None:
        """Let a symbol go at the end of the window that is next: its orders are cancelled. The position of one that was
        added is closed at the last close; that of another stays, and is valued on.
        """
        self._on_the_way.going.add(symbol)

    @property
    def _on_the_way(self) -> WindowWalk:
        """Through the session that is gone through, or was last."""
        if self._walk is None:
            raise RuntimeError("no session was gone through")
        return self._walk

    # ---- what is said, and how long it takes

    @property
    def now_ns(self) -> int:
        """The session time, UTC ns."""
        return self._on_the_way.here.now_ns

    def _time(self) -> int | None:
        return self.decider.now_ns

    def _progress(self) -> object:
        """Another after every call that came back; always while a symbol is got, which is not the strategy's time."""
        return object() if self.additions.waits else (self.decider.speaker, self.decider.now_ns)
