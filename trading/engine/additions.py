"""What a strategy over all symbols adds to a session that it trades in, and removes: symbols, indicators and bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from barray.market.adhoc import parse_bar
from barray.market.bars import Bar
from barray.market.errors import BarrayError, ConfigError
from barray.market.indicators import parse_indicator
from barray.market.own_indicator import OwnIndicator
from barray.market.session_range import SessionRange
from barray.market.symbols import require_text
from barray.trading.engine.adhoc_bar import with_bar
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Notes
from barray.trading.engine.open_session import OpenSession
from barray.trading.engine.order_manager import LEFT_OUT, OrderManager
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.results.events import RunAction, RunEvent
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.view import Added, Wish

Add = Callable[[Sequence[str], int], Mapping[str, "SymbolData | str"]]
"""Gets symbols for the rest of a session (its row), or says why not."""


class Additions:
    """See barray.trading.strategy.view.Adding.

    `add` gets symbols, None where nothing can be added. `tell`: told of what is removed, and of indicators and bars.
    `session_range`: of the run's bars. `supplied`: symbols with bars that were added to them, and `leaving`: those that
    were removed, since the view was made. `waits`: a symbol is got, which is not the strategy's time.
    """

    def __init__(self, plan: Plan, order_manager: OrderManager, notes: Notes, add: Add | None) -> None:
        self.add = add
        self.tell: Callable[[Wish], None] | None = None
        self.session_range: SessionRange | None = None
        self.supplied: dict[str, SymbolData] = {}
        self.leaving: set[str] = set()
        self.waits = False
        self._plan, self._order_manager, self._notes = plan, order_manager, notes

    def __getstate__(self) -> dict[str, Any]:
        """All but whom to ask, and the bars."""
        return {**vars(self), "add": None, "tell": None, "session_range": None}

    @property
    def alter(self) -> bool:
        """Whether there are others to be seen than the view has."""
        return bool(self._order_manager.invited or self.leaving or self.supplied)

    def clear(self) -> None:
        """Forget what was of one session."""
        self.supplied.clear()
        self.leaving.clear()

    @property
    def _books(self) -> Mapping[str, SymbolBook]:
        return self._order_manager.books

    def _here(self) -> OpenSession:
        return self._order_manager.gone_through

    def _sessions(self) -> SessionRange:
        if self.session_range is None:
            raise RuntimeError("no bars were loaded")
        return self.session_range

    def add_symbols(self, symbols: Sequence[str]) -> dict[str, Added]:
        """See Adding; ConfigError for what is no text."""
        self._order_manager.stirred = True
        for symbol in symbols:
            require_text(symbol)
        found = {symbol: self._there_already(symbol) for symbol in symbols}
        wanted = [symbol for symbol, added in found.items() if added is None]
        got = self._get(wanted) if wanted else {}
        for symbol, data in got.items():
            if isinstance(data, SymbolData):
                self._order_manager.invited[symbol] = data
                self._order_manager.join(data, self._sessions().timezone, guest=True).enter(self._here().number)
        for symbol, data in got.items():
            added = found[symbol] = Added(True) if isinstance(data, SymbolData) else Added(False, data)
            self._notes.again(self._notes.whole("add_symbol", symbol, accepted=added.accepted, reason=added.reason))
        answers = {symbol: added for symbol, added in found.items() if added is not None}
        for symbol, added in answers.items():
            if symbol in got or not added:
                self._note("add_symbol", symbol, added)
        return answers

    def _note(self, action: RunAction, symbol: str, added: Added, detail: str = "") -> None:
        accepted, now_ns = added.accepted, self._here().now_ns
        self._order_manager.events.note(RunEvent(now_ns, action, symbol, "strategy", accepted, added.reason, detail))

    def _there_already(self, symbol: str) -> Added | None:
        here = self._here()
        if symbol in self._books:
            there = symbol in here.panel.index or symbol in self._order_manager.invited
            return Added(True, "it is there already") if there else Added(False, LEFT_OUT)
        if here.closing:
            return Added(False, "the session has closed")
        if self.add is None:
            return Added(False, "nothing can be added here")
        return None

    def _get(self, symbols: Sequence[str]) -> Mapping[str, SymbolData | str]:
        with self._others_time():
            return self.add(symbols, self._here().number) if self.add is not None else {}

    def _tell(self, wish: Wish) -> None:
        if self.tell is not None:
            with self._others_time():
                self.tell(wish)

    @contextmanager
    def _others_time(self) -> Iterator[None]:
        """A block in which others work for the strategy."""
        self.waits = True
        try:
            yield
        finally:
            self.waits = False

    def remove_symbol(self, symbol: str) -> None:
        """See Adding; ConfigError for one that was not added."""
        book = self._order_manager.known(symbol)
        if not book.guest or book.stays:
            raise ConfigError("it was not added by the strategy", symbol=symbol, remedy="sell it, and leave it alone")
        inside = self._notes.whole("remove_symbol", symbol)
        self._order_manager.cancel(symbol)
        self.leaving.add(symbol)
        self._note("remove_symbol", symbol, Added(True))
        self._tell(Wish("remove_symbol", symbol))
        self._notes.again(inside)

    def add_indicator(self, symbol: str, indicator: str | OwnIndicator) -> Added:
        """See Adding; ConfigError where either is no text, nor an own indicator."""
        added = self._add_indicator(symbol, indicator)
        self._note("add_indicator", symbol, added, indicator if isinstance(indicator, str) else indicator.name)
        return added

    def _add_indicator(self, symbol: str, indicator: str | OwnIndicator) -> Added:
        require_text(symbol)
        if not isinstance(indicator, str | OwnIndicator):
            raise ConfigError(
                f"an indicator is text, not {type(indicator).__name__}", remedy='write it as "RSI(14)@5m"'
            )
        if reason := self._closed_to(symbol):
            return Added(False, reason)
        here, data = self._here(), self._books[symbol].data
        try:
            spec = parse_indicator(indicator)
        except BarrayError as error:
            return Added(False, str(error))
        if not data.base.interval.derives(spec.interval):
            return Added(False, f"{spec.interval} does not derive from {data.base.interval}")
        name = indicator if isinstance(indicator, str) else spec.key
        try:
            here.add_indicator(name, spec, data, self._sessions().history, here.now_ns)
        except ConfigError as error:  # an own function failed
            return Added(False, str(error))
        self._notes.again(self._notes.whole("add_indicator", symbol, indicator=name))
        self._tell(Wish("add_indicator", symbol, name))
        return Added(True)

    def add_bar(self, symbol: str, interval: str, bar: Bar | Mapping[str, Any]) -> Added:
        """See Adding; ConfigError for a symbol that is no text."""
        require_text(symbol)
        added = self._add_bar(symbol, interval, bar)
        self._note("add_bar", symbol, added, str(interval))
        return added

    def _add_bar(self, symbol: str, interval: str, bar: Bar | Mapping[str, Any]) -> Added:
        if reason := self._closed_to(symbol):
            return Added(False, reason)
        here = self._here()
        if symbol not in here.panel.index:
            return Added(False, f"{symbol} is in the view from the next window on: add the bar then")
        data = self.supplied.get(symbol, self._books[symbol].data)
        needs = self._plan.strategy().needs()
        more = with_bar(data, interval, bar, needs, self._sessions(), here.number, here.now_ns)
        if isinstance(more, str):
            return Added(False, more)
        self._order_manager.stirred = True
        self.supplied[symbol] = replace(more, open_ended=data.open_ended)
        told = asdict(parse_bar(bar))
        self._notes.again(self._notes.whole("add_bar", symbol, interval=str(interval), bar=told))
        self._tell(Wish("add_bar", symbol, interval=str(interval), bar=tuple(told.items())))
        return Added(True)

    def _closed_to(self, symbol: str) -> str | None:
        """Why nothing can be added to a symbol."""
        here = self._here()
        if symbol not in self._books:
            return f"there is no symbol {symbol}"
        if symbol not in here.panel.index and symbol not in self._order_manager.invited:
            return LEFT_OUT
        return "the session has closed" if here.closing else None
