"""What a run over many symbols did, taken down session by session, and told of each symbol once it is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.scanned_run import UPGRADED
from barray.trading.engine.symbol_run import skipping
from barray.trading.orders.order_columns import NO_ORDERS, Orders, by_symbol
from barray.trading.results.events import NO_EVENTS, Events
from barray.trading.results.ledger import Grid, Ledger
from barray.trading.results.logs import Logs
from barray.trading.results.result import SymbolResult


class RunLedgers:
    """A ledger a symbol: `own` of those that the run has in any case, `guests` of those that came for some sessions.
    Where a symbol is in neither, what is told of it is passed over.

    `events`: what was done to the run beside ordering.
    """

    def __init__(self, plan: Plan, session_range: SessionRange) -> None:
        self.own: dict[str, Ledger] = {}
        self.guests: dict[str, Ledger] = {}
        self.events = NO_EVENTS
        self._plan, self._range = plan, session_range
        self._ended: list[tuple[int, Orders]] = []
        self._working: tuple[int, Orders] = (0, NO_ORDERS)

    def ledger(self, symbol: str) -> Ledger:
        """Of a symbol that the run has in any case, made where it has none yet."""
        return self.own.setdefault(symbol, self._new(symbol, anew=not self._plan.account.carry))

    def guest(self, symbol: str) -> Ledger:
        """The same of one that comes for some sessions: its account begins anew with each stay."""
        return self.guests.setdefault(symbol, self._new(symbol, anew=True))

    def _new(self, symbol: str, *, anew: bool) -> Ledger:
        return Ledger(symbol, 0.0 if self._plan.shared else self._plan.account.capital, anew)

    def take(self, row: int, outcome: SessionOutcome) -> Logs:
        """Take down what a session (its row) brought; what was said by nobody's own strategy is given back."""
        every = {**self.own, **self.guests}
        for symbol, day in (outcome.days.days() if outcome.days is not None else {}).items():
            if symbol in every:
                every[symbol].days[row] = day
        for symbol in outcome.begun:
            if symbol in every:
                every[symbol].begun.append(row)
        for symbol, ledger in every.items():
            ledger.starving = outcome.starving.get(symbol, ())
        for symbol, error in outcome.errors.items():
            if symbol in every:
                every[symbol].error = every[symbol].error or error
        for symbol in {line.symbol for line in outcome.logs.lines} & every.keys():
            said = Logs(tuple(line for line in outcome.logs.lines if line.symbol == symbol))
            every[symbol].logs = Logs.together((every[symbol].logs, said))
        if len(outcome.orders):
            self._ended.append((row, outcome.orders))
        self._take_events(int(self._range.sessions.open_ns[row]), outcome.events)
        return Logs(tuple(line for line in outcome.logs.lines if not line.symbol), outcome.logs.left_out)

    def _take_events(self, open_ns: int, events: Events) -> None:
        for event in events.lines:
            if event.action == "add_symbol" and event.accepted and event.symbol in self.guests:
                upgraded = event.detail == UPGRADED
                self.guests[event.symbol].note_added(event.at_ns, open_ns, event.by, upgraded=upgraded)
        self.events = Events.together((self.events, events))

    @property
    def lacking(self) -> dict[str, str]:
        """Symbols of its own that have no bars at all, and why not in the first session that they were left out of."""
        return {symbol: next(iter(ledger.skipped.values())) for symbol, ledger in self.own.items() if not ledger.bars}

    def stand(self, row: int, working: Orders) -> None:
        """Take down the orders that have not ended by the end of a session (its row), in place of those before."""
        self._working = row, working

    def results(
        self, grid: Grid, symbols: int, reasons: Mapping[str, str]
    ) -> Iterator[Callable[[], SymbolResult] | SymbolResult]:
        """Every symbol's result that has bars, which may be made only when it is called: many take memory. Then its own
        are let go of here. `symbols`: by how many the capital is shared, if it is; `reasons`: why those that came for
        some sessions were left out of others, "" for nothing.
        """
        every = {**self.own, **self.guests}
        for symbol, (orders, rows) in by_symbol([*self._ended, self._working]).items():
            if symbol in every:
                every[symbol].orders, every[symbol].order_rows = orders, rows
        capital = self._plan.account.capital
        hold = capital / max(symbols, 1) if self._plan.shared else capital
        own, self.own = self.own, {}
        for _, ledger in sorted(own.items()):
            if ledger.bars:
                yield partial(ledger.result, grid, hold)
        for symbol, ledger in sorted(self.guests.items()):
            result = ledger.result(grid, 0.0, guest=True)
            yield skipping(result, self._range.dates, why) if (why := reasons.get(symbol)) else result
