"""Many symbols in one process: sessions, windows, and the strategies that decide in them.

Pure. Whoever has the symbols' bars hands them over (`load`), then each session is one call. A window costs what happens
in it; what a strategy doesn't ask for isn't computed. Orders are the OrderManager's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from barray.market.calendar import Sessions
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.additions import Add, Additions
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.listener import Listener
from barray.trading.engine.notes import Notes
from barray.trading.engine.open_session import OpenSession
from barray.trading.engine.opening import Opening
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.reckoning import Reckoning
from barray.trading.engine.shown import Shown
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.engine.watchdog import watched
from barray.trading.orders.accounts import Accounts
from barray.trading.orders.order_columns import Orders
from barray.trading.orders.reasons import LEFT
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn, failure_text, file_of
from barray.trading.strategy.panel import PanelBlock
from barray.trading.strategy.view import Moment, WindowView


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

    new_notes = Notes

    def __init__(self, plan: Plan, window: Interval, add: Add | None = None, *, noted: bool = False) -> None:
        self.notes = self.new_notes(self._time, on=noted)
        self.order_manager = OrderManager(plan, self.notes)
        self.additions = Additions(plan, self.order_manager, self.notes, add)
        self.reckoning = Reckoning(plan, self.order_manager)
        self._shown_now = Shown(self.order_manager)
        self.error: str | None = None
        self._plan, self._window = plan, window
        self._altered: set[str] = set()
        self._going: set[str] = set()
        self._came: set[str] = set()
        self._ends: list[int] = []
        self._met = False
        self._before_ns = 0
        self._said: Counter[str] = Counter()
        self._block: PanelBlock | None = None
        self._now: OpenSession  # that is gone through, or was last
        self._view: WindowView
        self._shown: list[SymbolBook]
        self._row: int
        self._run_for: list[str]
        self._listener: Listener
        self._strategy: Strategy | None = None
        self._remembered: dict[str, Any] | None = None
        self._speaks: SymbolBook | None = None

    def __getstate__(self) -> dict[str, Any]:
        """All but the bars, which `load` brings; of the strategy what it remembers."""
        remembered = vars(self._strategy) if self._strategy is not None else None
        here = dict.fromkeys(("_block", "_speaks", "_strategy")) | {"_remembered": remembered}
        return {
            name: value
            for name, value in {**vars(self), **here}.items()
            if name not in ("_range", "_now", "_view", "_shown", "_listener")
        }

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
        return frozenset(there - self.additions.leaving - self._going)

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
        self.begin(row)
        self.go_on(int(self._range.sessions.close_ns[row]))
        return self.finish()

    def begin(self, row: int, at_ns: int | None = None) -> None:
        """Stand at a session's open (its row, of those loaded), or at `at_ns` in it, with the strategy called there."""
        sessions = self._range.sessions
        self._row = row
        self._listener = Listener(self._speaker, self._time, self._said)
        self.notes.begin()
        self._run_for = self._run_in(row) if self.error is None else []
        ends_ns = sessions.expected_starts(row, self._window, int(sessions.close_ns[row]))[1]
        self._ends = ends_ns[ends_ns > (at_ns or 0)].tolist() if self._run_for else []
        if self._run_for:
            with self._called():
                self._enter(sessions, row, self._run_for, at_ns)
                if self._plan.form == "on_window":
                    self._open()
                self._end_window()

    def go_on(self, to_ns: int) -> None:
        """Go through all windows that end by `to_ns`."""
        number = bisect_right(self._ends, to_ns)
        ends_ns, self._ends = self._ends[:number], self._ends[number:]
        if ends_ns:
            with self._called():
                self._go(ends_ns)

    def arrive(self, to_ns: int) -> None:
        """Go through all windows that end before `to_ns`. Of one that ends there the bars are met: what changes now, a
        strategy that sees all symbols sees when `go_on` asks it; symbols' own strategies have been told of it then, and
        those of symbols that come are when `go_on` goes there.
        """
        self.go_on(to_ns - 1)
        if self._ends[:1] == [to_ns] and self.error is None and not self._met:
            with self._called():
                self._meet_window(to_ns)

    def finish(self) -> SessionOutcome:
        """Leave the session, and say what it brought."""
        days, orders = self.reckoning.take(self._range, self._row, self._base, self._block)
        guests, books = self.order_manager.guests, self.books.items()
        errors = {symbol: (book.error, book.error_ns) for symbol, book in books if book.error is not None}
        working = ((symbol, book.broker) for symbol, book in books if book.broker.working)
        starving = {symbol: found for symbol, broker in working if (found := broker.starving())}
        begun = frozenset((*self._run_for, *self._came, *(s for s in guests if not self.books[s].stays)))
        self._leave()
        said, events = self._listener.heard(), self.order_manager.events.take()
        return SessionOutcome(days, begun, starving, errors, said, self.error, orders, events)

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
        for symbol in self._altered:
            if symbol in self.books and self._block is not None:
                self.books[symbol].load(self._block.data[self._block.index[symbol]])
        self._altered.clear()
        self.additions.clear()
        self._going.clear()
        self._came.clear()
        self._met = False

    # ---- a session, window by window

    def _enter(self, sessions: Sessions, row: int, symbols: list[str], at_ns: int | None) -> None:
        block = self._block
        if block is None:
            raise RuntimeError("no bars were loaded")
        if not self._plan.account.carry:
            self.order_manager.open_accounts()
            self._strategy = self._remembered = None
        open_ns = int(sessions.open_ns[row])
        history_ns, days_ns = (int(sessions.open_ns[first]) for first in self._first_rows(row))
        close_ns = int(sessions.close_ns[row])
        self._now = self.order_manager.here = OpenSession(
            row, open_ns, close_ns, history_ns, days_ns, block, symbols, at_ns
        )
        for symbol in () if self._plan.form == "on_window" and self._plan.account.carry else symbols:
            self._speaks = self.books[symbol]
            if self._speaks.enter(row, at_ns):
                self.accounts.join(symbol, self._speaks.broker.working)
        self._speaks = None
        self._show()

    def _first_rows(self, row: int) -> tuple[int, int]:
        """Rows of the first sessions that one (its row) looks back to: by its bars, and by its days and weeks."""
        first = self._range.history[row]
        return first, self._range.daily.get(row, first)

    def _look_around(self) -> None:
        """Have matrices of the symbols that there are now."""
        here, order_manager = self._now, self.order_manager
        for symbol, more in self.additions.supplied.items():
            self.books[symbol].look_at(more, here.number)
            here.renew_added(more, self._range.history)
        block, invited = here.block, {**order_manager.invited, **self.additions.supplied}
        if invited:
            data = dict(zip(block.symbols, block.data, strict=True))
            first, first_day = self._first_rows(here.number)
            block = PanelBlock({**data, **invited}, first, here.number, self._base, first_day)
        here.look_at(block, {*here.symbols, *invited} - self.additions.leaving)
        self._altered |= self.additions.supplied.keys()
        order_manager.invited.clear()
        self.additions.supplied.clear()
        self.additions.leaving.clear()
        self._show()

    def _show(self) -> None:
        """Have a view of what there is, and orders aimed at."""
        here, sessions = self._now, self._range
        day = sessions.sessions.dates[here.number].item()
        moment = Moment(here.now_ns, day, here.open_ns, here.close_ns, sessions.timezone)
        self._view = WindowView(self._shown_now, self.order_manager, self.additions, here.panel, moment)
        books = self.books
        self._shown = [books[symbol] for symbol in here.symbols]
        self.order_manager.look_at(here)

    def _go(self, ends_ns: Sequence[int]) -> None:
        """Through these windows' ends."""
        done = 0
        if self.error is None and (self._met or self._going):
            self._go_through(ends_ns[0])
            done = 1
        while done < len(ends_ns) and self.error is None:
            if self.additions.alter:
                self._look_around()
            done += self._go_on(ends_ns[done:])

    def _go_through(self, now_ns: int) -> None:
        """A window whose bars may have been met already, and at whose end symbols may go."""
        if not self._met:
            self._meet_window(now_ns)
        elif self._plan.form != "on_window" and self.additions.alter:
            self._tell_those_that_came(now_ns)
        self._met = False
        self._see_off()
        if self._plan.form == "on_window":
            if self.additions.alter:
                self._look_around()
            self._ask(self._view)
        self._end_window()

    def _meet_window(self, now_ns: int) -> None:
        """What the market does by a window's end."""
        if self.additions.alter:
            self._look_around()
        here, order_manager = self._now, self.order_manager
        row, early = here.block.closed_by(now_ns) - 1, self._early_closes(here.now_ns)
        if self._plan.form != "on_window":
            self._advance(now_ns)
        elif order_manager.is_busy:
            order_manager.meet(here, row, closes=now_ns >= min(early, default=here.close_ns))
        self._before_ns = here.now_ns
        here.row, here.now_ns, self._view.now_ns = row, now_ns, now_ns
        if now_ns >= min(early, default=here.close_ns):
            self._close(early)
        if order_manager.changed:
            order_manager.settle()
        if self._plan.form == "on_window":
            self._note_met()
        self._met = True

    def _go_on(self, ends_ns: Sequence[int]) -> int:
        """Go through windows until one ends that changes what there is to be seen; how many these were."""
        here, order_manager, view, asks = self._now, self.order_manager, self._view, self._plan.form == "on_window"
        changed, early = order_manager.changed, self._early_closes(here.now_ns)
        rows: list[int] = (np.searchsorted(here.block.end_ns, ends_ns, side="right") - 1).tolist()
        next_ns, number = min(early, default=here.close_ns), 0
        until = bisect_left(ends_ns, next_ns)
        while number < len(rows):
            if asks and number < until and not (order_manager.is_busy or changed or self.notes.on):
                number = self._ask_on(rows, ends_ns, number, until)
            else:
                row, now_ns = rows[number], ends_ns[number]
                number += 1
                if not asks:
                    self._advance(now_ns)
                elif order_manager.is_busy:
                    order_manager.meet(here, row, closes=now_ns >= next_ns)
                here.row, here.now_ns, view.now_ns = row, now_ns, now_ns
                if now_ns >= next_ns:
                    next_ns = self._close(early)
                    until = bisect_left(ends_ns, next_ns)
                if changed:
                    order_manager.settle()
                if asks:
                    self._note_met()
                    self._ask(view)
            self._end_window()
            if self.additions.alter or self.error is not None:
                return number
        return len(rows)

    def _note_met(self) -> None:
        """What was filled is told before the strategy is asked: who is held then is known by it."""
        if self.notes.on:
            self.notes.met(self._now.now_ns, [book for _, book in sorted(self.books.items())])

    def _ask_on(self, rows: Sequence[int], ends_ns: Sequence[int], first: int, until: int) -> int:
        """Have the strategy decide at the ends of windows, from `first` on and before `until`, in which nothing else
        happens, until it orders or changes anything; the number of the window after that.
        """
        here, view, order_manager, strategy, number = self._now, self._view, self.order_manager, self._strategy, first
        order_manager.stirred = False
        try:
            for number in range(first, until):
                here.row, here.now_ns = rows[number], ends_ns[number]
                view.now_ns = here.now_ns
                strategy.on_window(view)  # type: ignore[union-attr]  # there since the open
                if order_manager.stirred:
                    break
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._stop()
        return number + 1

    def _end_window(self) -> None:
        self._decide()
        if self.notes.on:
            self.notes.stood(self._now.now_ns, self.accounts, [book for _, book in sorted(self.books.items())])

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
        self._going.discard(symbol)
        told_ns = self._before_ns if self._met and self._plan.form != "on_window" else self._now.now_ns
        with self._called():
            if book.enter(self._now.number, told_ns):
                self.accounts.join(symbol, book.broker.working)

    def renew(self, data: SymbolData) -> None:
        """Go on with a symbol's bars as they are known now; what was decided and filled by those before stays."""
        here, symbol = self._now, data.symbol
        if symbol not in here.panel.index and symbol not in self.order_manager.invited:
            self.books[symbol].data = data
            return
        self.order_manager.invited[symbol] = data
        with self._called():
            self._speaks = self.books[symbol]
            try:
                self._speaks.renew(data, here.number, here.now_ns)
            except (Exception, DidNotReturn):  # the user's code, which signals are: its error is the symbol's end
                self._speaks.fail()
            self._speaks = None

    def leave(self, symbol: str) -> None:
        """Let a symbol go at the end of the window that is next: its orders are cancelled. The position of one that was
        added is closed at the last close; that of another stays, and is valued on.
        """
        self._going.add(symbol)

    def _see_off(self) -> None:
        for symbol in sorted(self._going & self.books.keys()):
            self.order_manager.cancel_all(symbol, LEFT)
            self.additions.leaving.add(symbol)
        if self._going and self._plan.form == "on_window":
            self._let_go()
        self._going.clear()

    def _early_closes(self, after_ns: int) -> list[int]:
        """When symbols have their last bars, where that is before the close; an own strategy sees to it itself."""
        if self._plan.form != "on_window" or self._now.block.is_whole:
            return []
        closes = {book.closes_ns(self._now.number) for book in self._shown}
        return sorted(one for one in closes if after_ns < one < self._now.close_ns)

    def _close(self, early: list[int]) -> int:
        """End what the close ends of orders and positions, or of symbols that have their last bars before it; and when
        the next have theirs. `early`: when such symbols have, of which those are taken that have had.
        """
        here, order_manager = self._now, self.order_manager
        while early and here.now_ns >= early[0]:
            closes_ns = early.pop(0)
            for book in self._shown:
                if book.closes_ns(here.number) == closes_ns:
                    book.close(here.number)
        if here.closing:
            leaving = set(here.symbols) if self._plan.form != "on_window" else order_manager.active
            for symbol in sorted(leaving & here.panel.index.keys()):
                self.books[symbol].leave(here.number)
        return early[0] if early else here.close_ns

    def _tell_those_that_came(self, now_ns: int) -> None:
        """Let the own strategies of symbols that came since a window's bars were met go on to its end."""
        came = set(self.order_manager.invited)
        self._look_around()
        self._advance(now_ns, came)
        if self._now.closing:
            for symbol in sorted(came):
                self.books[symbol].leave(self._now.number)

    def _advance(self, now_ns: int, alone: Collection[str] | None = None) -> None:
        """Let all symbols' own strategies go on, or those of some `alone`."""
        quick = now_ns < self._now.close_ns
        for book in self._shown if alone is None else [book for book in self._shown if book.symbol in alone]:
            self._speaks = book
            if quick and book.one_by_one:
                book.next_bar(now_ns)
            else:
                book.advance(now_ns)
        self._speaks = None

    # ---- decisions, at a window's end

    def _open(self) -> None:
        """Have the strategy over all symbols at the session's open."""
        view = self._view
        try:
            if self._strategy is None:
                self._strategy = self._plan.strategy()
                if self._remembered is None:
                    self.notes.enter("", "on_start")
                    self._strategy.on_start(view)  # type: ignore[arg-type]  # documented in Strategy
                else:
                    vars(self._strategy).update(self._remembered)
            self.notes.enter("", "on_session")
            self._strategy.on_session(view)  # type: ignore[arg-type]
            self.notes.leave()
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._stop()

    def _ask(self, view: WindowView) -> None:
        """Have it decide at a window's end."""
        self.notes.enter("", "on_window")
        try:
            self._strategy.on_window(view)  # type: ignore[union-attr]  # there since the open
            self.notes.leave()
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._stop()

    def _stop(self) -> None:
        """Remember the error being handled; nothing is called any more, nor ordered."""
        self.error = failure_text(file_of(self._strategy), self._view.now)
        self.notes.failed("")
        self.order_manager.stop()

    def _decide(self) -> None:
        """Have the account judge what was ordered in the window."""
        order_manager = self.order_manager
        if self._now.closing:
            shown, flat = self._now.symbols, self._plan.account.flat_at_close
            order_manager.expire(shown if flat else order_manager.leaving.intersection(shown))
        if order_manager.is_waiting:
            order_manager.judge()
        if self.additions.leaving:
            self._let_go()

    def _let_go(self) -> None:
        """Close the positions of those that were removed, at their last closes."""
        here = self._now
        for symbol in sorted(self.additions.leaving & set(here.symbols)):
            self.books[symbol].close(here.number, here.now_ns, flat=self.books[symbol].guest)
        self.order_manager.settle()

    # ---- what is said, and how long it takes

    def _speaker(self) -> str:
        return self._speaks.symbol if self._speaks is not None else ""

    @property
    def now_ns(self) -> int:
        """The session time, UTC ns."""
        return self._now.now_ns

    def _time(self) -> int | None:
        if self._speaks is not None and self._speaks.run is not None:
            return self._speaks.run.context.now_ns
        return self.order_manager.here.now_ns if self.order_manager.here is not None else None

    def _progress(self) -> object:
        """Another after every call that came back; always while a symbol is got, which is not the strategy's time."""
        return object() if self.additions.waits else (self._speaker(), self._time())
