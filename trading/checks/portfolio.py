"""What a portfolio decided: the orders of all its symbols as they were placed, and their fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.checks.decisions import EVENT_VALUES, Decisions, fill_values, order_values
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.notes import Notes
from barray.trading.engine.open_session import OpenSession
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.orders.order import Order
from barray.trading.orders.terms import OrderTerms
from barray.trading.results.days import SymbolDay
from barray.trading.strategy.data import SymbolData

_Made = tuple[int, int, bool, list[float]]
"""When (UTC ns), on which symbol, whether it is an order (fills come first), and the values."""


def portfolio_decisions(
    plan: Plan,
    data: Sequence[SymbolData],
    session_range: SessionRange,
    window: Interval | None = None,
    last_row: int | None = None,
) -> Decisions:
    """What a fresh run of a plan decides over all sessions, or up to that with row `last_row`; the first error ends it.

    `data`: of all symbols. `window`: at whose ends accounts judge orders and `on_window` is called, by default every
    bar of the finest interval.
    """
    base = min(one.base.interval for one in data)
    by_symbol = {one.symbol: one for one in data}
    symbols = tuple(sorted(by_symbol))
    run = _Recorded(plan, window or base)
    run.load(session_range, by_symbol, base)
    made: list[_Made] = []
    error: str | None = None
    error_ns: int | None = None
    for row in session_range.rows.tolist():
        if last_row is not None and row > last_row:
            break
        outcome = run.session(row)
        made += [(ns, symbols.index(symbol), True, values) for ns, symbol, values in run.recorded.take_orders()]
        for symbol, day in (outcome.days.days() if outcome.days is not None else {}).items():
            made += _filled(symbols.index(symbol), by_symbol[symbol], day)
        error, error_ns = (outcome.error, run.error_ns) if outcome.error is not None else _first_error(outcome)
        if error is not None:
            break
    made.sort(key=lambda one: one[:3])
    ns = np.array([one[0] for one in made], np.int64)
    values = np.array([[one[1], *one[3]] for one in made], np.float64).reshape(len(made), 1 + EVENT_VALUES)
    return Decisions("on_bar", ns, values, error, error_ns, symbols)


def _filled(number: int, data: SymbolData, day: SymbolDay) -> list[_Made]:
    base = data.base
    rows = np.searchsorted(base.bars.start_ns, day.fills.bar_ns)
    return [(int(ns), number, False, fill_values(day.fills[n])) for n, ns in enumerate(base.end_ns[rows].tolist())]


def _first_error(outcome: SessionOutcome) -> tuple[str | None, int | None]:
    """Of symbols' own strategies, the earliest."""
    found = sorted((ns or 0, symbol, text) for symbol, (text, ns) in outcome.errors.items())
    return (f"{found[0][1]}: {found[0][2]}", found[0][0] or None) if found else (None, None)


class _RecordedBook(SymbolBook):
    """A book that tells of every order when it is placed."""

    def __init__(self, note: Callable[[str, Order], None], *arguments: Any, guest: bool = False) -> None:
        self._note = note
        super().__init__(*arguments, guest=guest)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        place = self.broker.place

        def noted(terms: OrderTerms, now_ns: int = 0) -> Order:
            order = place(terms, now_ns)
            self._note(self.symbol, order)
            return order

        self.broker.place = noted  # type: ignore[method-assign]  # of this one broker


class _RecordingOrderManager(OrderManager):
    """An order manager that keeps what was ordered, and when."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, Notes(lambda: None, on=False))
        self.new_book = partial(_RecordedBook, self._note)  # type: ignore[assignment]
        self._over_all = plan.form == "on_window"
        self._placed: list[tuple[int | None, str, Order]] = []
        self._rebalanced: list[tuple[int, str, list[float]]] = []
        self._buys = False

    def take_orders(self) -> list[tuple[int, str, list[float]]]:
        """What was ordered since this was last asked: when, of which symbol, what. Of symbols' own strategies without
        what they cancelled before the bar was over.
        """
        stamped = [(order.decided_ns if ns is None else ns, symbol, order) for ns, symbol, order in self._placed]
        ordered = [(ns, symbol, order_values(order.terms)) for ns, symbol, order in stamped if ns is not None]
        ordered += self._rebalanced
        self._placed, self._rebalanced = [], []
        return ordered

    def _note(self, symbol: str, order: Order) -> None:
        if not self._buys:
            self._placed.append((self._now().now_ns if self._over_all else None, symbol, order))

    def rebalance(self, weights: Mapping[str, float]) -> None:
        """See OrderManager. What is bought with what the sales bring is decided now, too."""
        super().rebalance(weights)
        for symbol, target in sorted(self.purchases.items()):
            missing = OrderTerms(target - self.books[symbol].broker.position)
            self._rebalanced.append((self._now().now_ns, symbol, order_values(missing)))

    def _buy(self, here: OpenSession, targets: Mapping[str, float]) -> None:
        self._buys = True
        super()._buy(here, targets)
        self._buys = False


class _Recorded(PortfolioRun):
    """A run that knows when its strategy raised: `error_ns`."""

    def __init__(self, plan: Plan, window: Interval) -> None:
        super().__init__(plan, window, _refuse)
        self.order_manager = self.recorded = _RecordingOrderManager(plan)
        self.error_ns: int | None = None

    def _stop(self) -> None:
        self.error_ns = self._now.now_ns
        super()._stop()


def _refuse(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
    raise ConfigError(
        "a check has no symbols but those of the config", symbol=symbols[0], remedy="name it under symbols"
    )
