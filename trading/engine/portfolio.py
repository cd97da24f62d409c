"""Many symbols in one process: sessions, windows, and the strategies that decide in them.

Pure. Whoever has the symbols' bars hands them over (`load`), then each session is one call. A window costs what happens
in it; what a strategy doesn't ask for isn't computed. Orders are the Desk's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from barray.market.bars import FloatArray
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, ConfigError
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.market.symbols import require_text
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.desk import LEFT_OUT, Desk
from barray.trading.engine.listener import Listener
from barray.trading.engine.open_session import AddedIndicator, OpenSession, session_prices
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.engine.watchdog import watched
from barray.trading.orders.accounts import Accounts
from barray.trading.results.days import SessionDays, courses_of, days_of
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn, failure_text, file_of
from barray.trading.strategy.panel import PanelBlock
from barray.trading.strategy.range_bars import RangeBars
from barray.trading.strategy.view import Added, Moment, WindowView

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
        self.desk = Desk(plan)
        self.error: str | None = None
        self._plan, self._window = plan, window
        self._leaving: set[str] = set()
        self._said: Counter[str] = Counter()
        self._block: PanelBlock | None = None
        self._now: OpenSession  # that is gone through, or was last
        self._view: WindowView
        self._shown: list[SymbolBook]
        self._strategy: Strategy | None = None
        self._remembered: dict[str, Any] | None = None
        self._speaks: SymbolBook | None = None
        self._adding = False

    def __getstate__(self) -> dict[str, Any]:
        """All but the bars, which `load` brings, and `add`; of the strategy what it remembers."""
        remembered = vars(self._strategy) if self._strategy is not None else None
        here = {"add": None, "_block": None, "_speaks": None, "_strategy": None, "_remembered": remembered}
        return {
            name: value
            for name, value in {**vars(self), **here}.items()
            if name not in ("_range", "_now", "_view", "_shown")
        }

    @property
    def accounts(self) -> Accounts:
        """Whose money it is."""
        return self.desk.accounts

    @property
    def books(self) -> Mapping[str, SymbolBook]:
        """What is held and ordered, by symbol."""
        return self.desk.books

    def load(self, session_range: SessionRange, data: Mapping[str, SymbolData], base: Interval) -> None:
        """Go by these bars from now on, of these sessions. `base`: the finest interval of any symbol in the run."""
        self._range, self._base = session_range, base
        first, last = session_range.first_row, int(session_range.rows[-1])
        self._block = PanelBlock(data, first, last, base, session_range.first_day_row) if data else None
        for symbol, one in sorted(data.items()):
            if symbol in self.books:
                self.books[symbol].load(one)
            else:
                self.desk.join(one, session_range.timezone)

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
        working = ((symbol, book.broker) for symbol, book in self.books.items() if book.broker.working)
        starving = {symbol: found for symbol, broker in working if (found := broker.starving())}
        self._leave(guests)
        begun = frozenset((*symbols, *guests))
        return SessionOutcome(days, begun, starving, errors, listener.heard(), self.error)

    def _days(self, row: int) -> SessionDays | None:
        there = [
            book
            for _, book in sorted(self.books.items())
            if book.broker.fills or book.broker.refusals or book.before.position
        ]
        if not there:
            return None
        sessions, here = self._range.sessions, self.desk.here
        fills, refused = zip(*(book.take_fills() for book in there), strict=True)
        courses = courses_of(fills, [book.before for book in there])
        for book, after in zip(there, courses.after, strict=True):
            book.before = after
        symbols = [book.symbol for book in there]
        grid_ns = sessions.expected_starts(row, self._base, int(sessions.close_ns[row]))[1]
        filled_ns = [
            ends[fill.row] for ends, one in zip((book.ends_ns for book in there), fills, strict=True) for fill in one
        ]
        stamps = np.searchsorted(grid_ns, np.array(filled_ns, np.int64))
        block = here.block if here is not None else self._block  # one that is left out may have no bars here
        prices = session_prices(block, symbols, grid_ns, self.desk.closes)
        capital = 0.0 if self._plan.shared else self._plan.account.capital
        refusals = {symbol: one for symbol, one in zip(symbols, refused, strict=True) if one}
        return days_of(symbols, fills, stamps, prices, courses, capital, refusals)

    def _run_in(self, row: int) -> list[str]:
        block = self._block
        return [s for s in block.symbols if row in self.books[s].traded] if block is not None else []

    def _leave(self, guests: Iterable[str]) -> None:
        """Keep of the session what the next may need to know."""
        self.desk.leave(guests)
        self._leaving.clear()

    # ---- a session, window by window

    def _enter(self, sessions: Sessions, row: int, symbols: list[str]) -> None:
        block = self._block
        if block is None:
            raise RuntimeError("no bars were loaded")
        if not self._plan.account.carry:
            self.desk.open_accounts()
            self._strategy = self._remembered = None
        open_ns = int(sessions.open_ns[row])
        history_ns, days_ns = (int(sessions.open_ns[first]) for first in self._first_rows(row))
        close_ns = int(sessions.close_ns[row])
        self._now = self.desk.here = OpenSession(row, open_ns, close_ns, history_ns, days_ns, block, symbols)
        for symbol in symbols:
            self._speaks = self.books[symbol]
            if self._speaks.enter(row):
                self.accounts.join(symbol, self._speaks.broker.working)
        self._speaks = None
        self._show()

    def _first_rows(self, row: int) -> tuple[int, int]:
        """Rows of the first sessions that one (its row) looks back to: by its bars, and by its days and weeks."""
        first = self._range.history[row]
        return first, self._range.daily.get(row, first)

    def _look_around(self) -> None:
        """Have matrices of the symbols that there are now."""
        here, desk = self._now, self.desk
        block, invited = here.block, desk.invited
        if invited:
            data = dict(zip(block.symbols, block.data, strict=True))
            first, first_day = self._first_rows(here.number)
            block = PanelBlock({**data, **invited}, first, here.number, self._base, first_day)
        here.look_at(block, {*here.symbols, *invited} - self._leaving)
        invited.clear()
        self._leaving.clear()
        self._show()

    def _show(self) -> None:
        """Have a view of what there is, and orders aimed at."""
        here, sessions = self._now, self._range
        day = sessions.sessions.dates[here.number].item()
        moment = Moment(here.now_ns, day, here.open_ns, here.close_ns, sessions.timezone)
        self._view = WindowView(self, self.desk, here.panel, moment)
        self._shown = [self.books[symbol] for symbol in here.symbols]
        self.desk.look_at(here)

    def _go(self, ends_ns: Sequence[int]) -> None:
        """From the open, through every window's end, to the close."""
        if self._plan.form == "on_window":
            self._open()
        self._decide()
        done = 0
        while done < len(ends_ns) and self.error is None:
            if self.desk.invited or self._leaving:
                self._look_around()
            done += self._go_on(ends_ns[done:])

    def _go_on(self, ends_ns: Sequence[int]) -> int:
        """Go through windows until one ends that changes what there is to be seen; how many these were."""
        here, desk, view, asks = self._now, self.desk, self._view, self._plan.form == "on_window"
        changed, early = desk.changed, self._early_closes(here.now_ns)
        rows: list[int] = (np.searchsorted(here.block.end_ns, ends_ns, side="right") - 1).tolist()
        next_ns = min(early, default=here.close_ns)
        for number, (row, now_ns) in enumerate(zip(rows, ends_ns, strict=True), 1):
            if not asks:
                self._advance(now_ns)
            elif desk.is_busy:
                desk.meet(here, row)
            here.row, here.now_ns, view.now_ns = row, now_ns, now_ns
            if now_ns >= next_ns:
                next_ns = self._close(early)
            if changed:
                desk.settle()
            if asks:
                self._ask(view)
            self._decide()
            if self._leaving or desk.invited or self.error is not None:
                return number
        return len(rows)

    def _early_closes(self, after_ns: int) -> list[int]:
        """When symbols have their last bars, where that is before the close; an own strategy sees to it itself."""
        if self._plan.form != "on_window" or self._now.block.is_whole:
            return []
        closes = {book.closes_ns for book in self._shown}
        return sorted(one for one in closes if after_ns < one < self._now.close_ns)

    def _close(self, early: list[int]) -> int:
        """End what the close ends of orders and positions, or of symbols that have their last bars before it; and when
        the next have theirs. `early`: when such symbols have, of which those are taken that have had.
        """
        here, desk = self._now, self.desk
        while early and here.now_ns >= early[0]:
            closes_ns = early.pop(0)
            for book in self._shown:
                if book.closes_ns == closes_ns:
                    book.close()
        if here.closing:
            asks, active = self._plan.form == "on_window", desk.active
            for book in self._shown:
                if not asks or book.symbol in active:
                    book.leave()
        return early[0] if early else here.close_ns

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

    def _ask(self, view: WindowView) -> None:
        """Have it decide at a window's end."""
        try:
            self._strategy.on_window(view)  # type: ignore[union-attr]  # there since the open
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self._stop()

    def _stop(self) -> None:
        """Remember the error being handled; nothing is called any more, nor ordered."""
        self.error = failure_text(file_of(self._strategy), self._view.now)
        self.desk.stop()

    def _decide(self) -> None:
        """Have the account judge what was ordered in the window."""
        desk = self.desk
        if self._now.closing:
            flat = self._plan.account.flat_at_close
            desk.expire(book.symbol for book in self._shown if flat or book.guest)
        if desk.changed:
            desk.judge()
        if self._leaving:
            self._let_go()

    def _let_go(self) -> None:
        """Close the positions of those that were removed, at their last closes."""
        here = self._now
        for symbol in sorted(self._leaving & set(here.symbols)):
            self.books[symbol].close(here.now_ns)
        self.desk.settle()

    # ---- what is said, and how long it takes

    def _speaker(self) -> str:
        return self._speaks.symbol if self._speaks is not None else ""

    def _time(self) -> int | None:
        if self._speaks is not None and self._speaks.run is not None:
            return self._speaks.run.context.now_ns
        return self.desk.here.now_ns if self.desk.here is not None else None

    def _progress(self) -> object:
        """Another after every call that came back; always while a symbol is got, which is not the strategy's time."""
        return object() if self._adding else (self._speaker(), self._time())

    # ---- what a view shows, see barray.trading.strategy.view.Viewed

    def latest(self, column: str) -> FloatArray:
        """See Viewed."""
        symbols = self._now.symbols
        if column == "position":
            return np.array([self.books[symbol].broker.position for symbol in symbols], np.float64)
        if column == "session_volume":
            return self._now.volume()
        values = self._now.latest(column)
        if column == "close" and np.isnan(values).any():
            values = np.array([self.desk.price(symbol) for symbol in symbols], np.float64)
        return values

    def indicator_values(self) -> Mapping[str, FloatArray]:
        """See Viewed."""
        return self._now.indicators()

    def add_symbols(self, symbols: Sequence[str]) -> dict[str, Added]:
        """See Viewed; ConfigError for what is no text."""
        for symbol in symbols:
            require_text(symbol)
        found = {symbol: self._there_already(symbol) for symbol in symbols}
        wanted = [symbol for symbol, added in found.items() if added is None]
        got = self._get(wanted) if wanted else {}
        for symbol, data in got.items():
            if isinstance(data, SymbolData):
                self.desk.invited[symbol] = data
                self.desk.join(data, self._range.timezone, guest=True).enter(self._now.number)
        answers = {s: Added(True) if isinstance(data, SymbolData) else Added(False, data) for s, data in got.items()}
        return {symbol: answers[symbol] if added is None else added for symbol, added in found.items()}

    def _there_already(self, symbol: str) -> Added | None:
        here = self._now
        if symbol in self.books:
            there = symbol in here.panel.index or symbol in self.desk.invited
            return Added(True, "it is there already") if there else Added(False, LEFT_OUT)
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
        if not self.desk.known(symbol).guest:
            raise ConfigError("it was not added by the strategy", symbol=symbol, remedy="sell it, and leave it alone")
        self.desk.cancel(symbol)
        self._leaving.add(symbol)

    def add_indicator(self, symbol: str, indicator: str) -> Added:
        """See Viewed; ConfigError where either is no text."""
        require_text(symbol)
        if not isinstance(indicator, str):
            raise ConfigError(
                f"an indicator is text, not {type(indicator).__name__}", remedy='write it as "RSI(14)@5m"'
            )
        here = self._now
        if symbol not in self.books:
            return Added(False, f"there is no symbol {symbol}")
        if symbol not in here.panel.index and symbol not in self.desk.invited:
            return Added(False, LEFT_OUT)
        if here.closing:
            return Added(False, "the session has closed")
        data = self.books[symbol].data
        try:
            spec = parse_indicator(indicator)
        except BarrayError as error:
            return Added(False, str(error))
        if not data.base.interval.derives(spec.interval):
            return Added(False, f"{spec.interval} does not derive from {data.base.interval}")
        row = here.number
        made_of = RangeBars(data.base, data.sessions, self._range.history, data.past)
        series = data.series.get(spec.interval) or made_of.series(spec.interval, row)
        columns = made_of.values(spec, series, np.array([row]))
        for number, (output, values) in enumerate(columns.items()):
            named = here.added.setdefault(indicator if number == 0 else f"{indicator}.{output}", {})
            named[symbol] = AddedIndicator(here.now_ns, series, values)
        return Added(True)
