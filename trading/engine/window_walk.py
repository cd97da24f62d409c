"""A session of a portfolio, window by window: what the market does in each, what is decided at its end, and by whom.

What happens in a window: bars meet orders, the account hears of it, the strategy decides, the account judges. Where
nothing but the strategy's call can happen, nothing else is done.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

import numpy as np

from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.additions import Additions
from barray.trading.engine.commands import Plan
from barray.trading.engine.decider import Decider
from barray.trading.engine.notes import Notes
from barray.trading.engine.open_session import OpenSession
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.shown import Shown
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.orders.reasons import LEFT
from barray.trading.strategy.failure import DidNotReturn
from barray.trading.strategy.panel import PanelBlock
from barray.trading.strategy.view import Moment, WindowView


class WindowWalk:
    """Stands at the open of the session `here`, or in it, and goes through the windows that end at `ends_ns`.

    `going`: symbols that leave at the end of the next window. `altered`: those whose bars are others than the block's.
    """

    def __init__(
        self,
        plan: Plan,
        session_range: SessionRange,
        base: Interval,
        order_manager: OrderManager,
        additions: Additions,
        decider: Decider,
        notes: Notes,
        here: OpenSession,
        ends_ns: list[int],
    ) -> None:
        self.here, self.going, self.altered = here, set[str](), set[str]()
        self._plan, self._range, self._base = plan, session_range, base
        self._order_manager, self._additions, self._decider, self._notes = order_manager, additions, decider, notes
        self._shown_now = Shown(order_manager)
        self._asks = plan.form == "on_window"
        self._ends = ends_ns
        self._met = False
        """Whether the bars of the next window were met already."""
        self._before_ns = 0
        """When the window before that ended."""
        self._show()

    def open(self) -> None:
        """Have the strategy over all symbols decide at the open."""
        if self._asks:
            self._decider.open(self._view)
        self._end_window()

    def go_on(self, to_ns: int) -> None:
        """Go through all windows that end by `to_ns`."""
        number = bisect_right(self._ends, to_ns)
        ends_ns, self._ends = self._ends[:number], self._ends[number:]
        if ends_ns:
            self._go(ends_ns)

    def arrive(self, to_ns: int) -> None:
        """Go through all windows that end before `to_ns`, and have the bars met of one that ends there."""
        self.go_on(to_ns - 1)
        if self._ends[:1] == [to_ns] and self._decider.error is None and not self._met:
            self._meet_window(to_ns)

    @property
    def told_ns(self) -> int:
        """Up to when a symbol's own strategy that comes now need not be told of its bars, UTC ns."""
        return self._before_ns if self._met and not self._asks else self.here.now_ns

    def end(self) -> None:
        """Nothing is gone through any more."""
        self._ends = []
        self.going.clear()
        self.altered.clear()

    def _look_around(self) -> None:
        """Have matrices of the symbols that there are now."""
        here, order_manager = self.here, self._order_manager
        for symbol, more in self._additions.supplied.items():
            self._order_manager.books[symbol].look_at(more, here.number)
            here.renew_added(more, self._range.history)
        block, invited = here.block, {**order_manager.invited, **self._additions.supplied}
        if invited:
            data = dict(zip(block.symbols, block.data, strict=True))
            first, first_day = first_rows(self._range, here.number)
            block = PanelBlock({**data, **invited}, first, here.number, self._base, first_day)
        here.look_at(block, {*here.symbols, *invited} - self._additions.leaving)
        self.altered |= self._additions.supplied.keys()
        order_manager.invited.clear()
        self._additions.supplied.clear()
        self._additions.leaving.clear()
        self._show()

    def _show(self) -> None:
        """Have a view of what there is, and orders aimed at."""
        here, sessions = self.here, self._range
        day = sessions.sessions.dates[here.number].item()
        moment = Moment(here.now_ns, day, here.open_ns, here.close_ns, sessions.timezone)
        self._view = WindowView(self._shown_now, self._order_manager, self._additions, here.panel, moment)
        books = self._order_manager.books
        self._shown = [books[symbol] for symbol in here.symbols]
        self._order_manager.look_at(here)

    def _go(self, ends_ns: Sequence[int]) -> None:
        """Through these windows' ends."""
        done = 0
        if self._decider.error is None and (self._met or self.going):
            self._go_through(ends_ns[0])
            done = 1
        while done < len(ends_ns) and self._decider.error is None:
            if self._additions.alter:
                self._look_around()
            done += self._go_on(ends_ns[done:])

    def _go_through(self, now_ns: int) -> None:
        """A window whose bars may have been met already, and at whose end symbols may go."""
        if not self._met:
            self._meet_window(now_ns)
        elif not self._asks and self._additions.alter:
            self._tell_those_that_came(now_ns)
        self._met = False
        self._see_off()
        if self._asks:
            if self._additions.alter:
                self._look_around()
            self._decider.ask(self._view)
        self._end_window()

    def _meet_window(self, now_ns: int) -> None:
        """What the market does by a window's end."""
        if self._additions.alter:
            self._look_around()
        here, order_manager = self.here, self._order_manager
        row, early = here.block.closed_by(now_ns) - 1, self._early_closes(here.now_ns)
        if not self._asks:
            self._advance(now_ns)
        elif order_manager.is_busy:
            order_manager.meet(here, row, closes=now_ns >= min(early, default=here.close_ns))
        self._before_ns = here.now_ns
        here.row, here.now_ns, self._view.now_ns = row, now_ns, now_ns
        if now_ns >= min(early, default=here.close_ns):
            self._close(early)
        if order_manager.changed:
            order_manager.settle()
        if self._asks:
            self._note_met()
        self._met = True

    def _go_on(self, ends_ns: Sequence[int]) -> int:
        """Go through windows until one ends that changes what there is to be seen; how many these were."""
        here, order_manager, view, asks = self.here, self._order_manager, self._view, self._asks
        changed, early = order_manager.changed, self._early_closes(here.now_ns)
        rows: list[int] = (np.searchsorted(here.block.end_ns, ends_ns, side="right") - 1).tolist()
        next_ns, number = min(early, default=here.close_ns), 0
        until = bisect_left(ends_ns, next_ns)
        while number < len(rows):
            quiet = until if asks and number < until and not (changed or self._notes.on) else 0
            if quiet and order_manager.is_busy:
                quiet = bisect_left(rows, order_manager.quiet_until(here.row + 1, rows[until - 1] + 1), number, until)
            if number < quiet:
                number = self._ask_on(rows, ends_ns, number, quiet)
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
                    self._decider.ask(view)
            self._end_window()
            if self._additions.alter or self._decider.error is not None:
                return number
        return len(rows)

    def _note_met(self) -> None:
        """What was filled is told before the strategy is asked: who is held then is known by it."""
        if self._notes.on:
            self._notes.met(self.here.now_ns, self._sorted_books())

    def _ask_on(self, rows: Sequence[int], ends_ns: Sequence[int], first: int, until: int) -> int:
        """Have the strategy decide at the ends of windows, from `first` on and before `until`, in which nothing else
        happens, until it orders or changes anything; the number of the window after that.
        """
        here, view, order_manager, number = self.here, self._view, self._order_manager, first
        strategy = self._decider.strategy
        order_manager.stirred = False
        try:
            for number in range(first, until):
                here.row, here.now_ns = rows[number], ends_ns[number]
                view.now_ns = here.now_ns
                strategy.on_window(view)  # type: ignore[union-attr]  # there since the open
                if order_manager.stirred:
                    break
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._decider.stop(view)
        return number + 1

    def _end_window(self) -> None:
        self._decide()
        if self._notes.on:
            self._notes.stood(self.here.now_ns, self._order_manager.accounts, self._sorted_books())

    def _sorted_books(self) -> list[SymbolBook]:
        return [book for _, book in sorted(self._order_manager.books.items())]

    def _see_off(self) -> None:
        for symbol in sorted(self.going & self._order_manager.books.keys()):
            self._order_manager.cancel_all(symbol, LEFT)
            self._additions.leaving.add(symbol)
        if self.going and self._asks:
            self._let_go()
        self.going.clear()

    def _early_closes(self, after_ns: int) -> list[int]:
        """When symbols have their last bars, where that is before the close; an own strategy sees to it itself."""
        if not self._asks or self.here.block.is_whole:
            return []
        closes = {book.closes_ns(self.here.number) for book in self._shown}
        return sorted(one for one in closes if after_ns < one < self.here.close_ns)

    def _close(self, early: list[int]) -> int:
        """End what the close ends of orders and positions, or of symbols that have their last bars before it; and when
        the next have theirs. `early`: when such symbols have, of which those are taken that have had.
        """
        here, order_manager = self.here, self._order_manager
        while early and here.now_ns >= early[0]:
            closes_ns = early.pop(0)
            for book in self._shown:
                if book.closes_ns(here.number) == closes_ns:
                    book.close(here.number)
        if here.closing:
            leaving = set(here.symbols) if not self._asks else order_manager.active
            for symbol in sorted(leaving & here.panel.index.keys()):
                order_manager.books[symbol].leave(here.number)
        return early[0] if early else here.close_ns

    def _tell_those_that_came(self, now_ns: int) -> None:
        """Let the own strategies of symbols that came since a window's bars were met go on to its end."""
        came, here = set(self._order_manager.invited), self.here
        self._look_around()
        self._advance(now_ns, came)
        if here.closing:
            for symbol in sorted(came):
                self._order_manager.books[symbol].leave(here.number)

    def _advance(self, now_ns: int, alone: Collection[str] | None = None) -> None:
        """Let all symbols' own strategies go on, or those of some `alone`."""
        quick, decider = now_ns < self.here.close_ns, self._decider
        for book in self._shown if alone is None else [book for book in self._shown if book.symbol in alone]:
            decider.speaks = book
            if quick and book.one_by_one:
                book.next_bar(now_ns)
            else:
                book.advance(now_ns)
        decider.speaks = None

    def _decide(self) -> None:
        """Have the account judge what was ordered in the window."""
        order_manager = self._order_manager
        if self.here.closing:
            shown, flat = self.here.symbols, self._plan.account.flat_at_close
            order_manager.expire(shown if flat else order_manager.leaving.intersection(shown))
        if order_manager.is_waiting:
            order_manager.judge()
        if self._additions.leaving:
            self._let_go()

    def _let_go(self) -> None:
        """Close the positions of those that were removed, at their last closes."""
        here = self.here
        for symbol in sorted(self._additions.leaving & set(here.symbols)):
            book = self._order_manager.books[symbol]
            book.close(here.number, here.now_ns, flat=book.guest)
        self._order_manager.settle()


def first_rows(session_range: SessionRange, row: int) -> tuple[int, int]:
    """Rows of the first sessions that one (its row) looks back to: by its bars, and by its days and weeks."""
    first = session_range.history[row]
    return first, session_range.daily.get(row, first)
