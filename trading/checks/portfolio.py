"""What a portfolio decided: the orders of all its symbols as they were placed, and their fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.checks.decisions import EVENT_VALUES, Decisions, fill_values, order_values
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.notes import Action, Notes
from barray.trading.engine.portfolio import PortfolioRun
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
        made += [(ns, symbols.index(symbol), True, values) for ns, symbol, values in run.notes.take_orders()]
        run.notes.take()
        for symbol, day in (outcome.days.days() if outcome.days is not None else {}).items():
            made += _filled(symbols.index(symbol), by_symbol[symbol], day)
        error, error_ns = (outcome.error, run.decider.error_ns) if outcome.error is not None else _first_error(outcome)
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


class _OrderNotes(Notes):
    """Notes that keep every order, and when it was decided: those of a rebalancing too, and what it is still to buy."""

    def __init__(self, now_ns: Callable[[], int | None], *, on: bool) -> None:
        super().__init__(now_ns, on=on)
        self.purchases: Mapping[str, float] = {}
        """See OrderManager."""
        self.position_of: Callable[[str], float]
        self._placed: list[tuple[int | None, str, Order]] = []
        self._to_buy: list[tuple[int, str, list[float]]] = []
        self._rebalances = False

    def take_orders(self) -> list[tuple[int, str, list[float]]]:
        """What was ordered since this was last asked: when, of which symbol, what. Of symbols' own strategies without
        what they cancelled before the bar was over.
        """
        stamped = [(order.decided_ns if ns is None else ns, symbol, order) for ns, symbol, order in self._placed]
        ordered = [(ns, symbol, order_values(order.terms)) for ns, symbol, order in stamped if ns is not None]
        ordered += self._to_buy
        self._placed, self._to_buy = [], []
        return ordered

    def placed(self, symbol: str, order: Order) -> None:
        """See Notes. What is bought once the sales have filled was decided before."""
        if self._inside is not None or self._rebalances:
            self._placed.append((None if self._inside == symbol else self._now_ns(), symbol, order))

    def whole(self, action: Action, symbol: str, **detail: Any) -> str | None:
        """See Notes."""
        self._rebalances = action == "rebalance"
        return super().whole(action, symbol, **detail)

    def again(self, inside: str | None) -> None:
        """See Notes."""
        super().again(inside)
        for symbol, target in sorted(self.purchases.items()) if self._rebalances else ():
            missing = OrderTerms(target - self.position_of(symbol))
            self._to_buy.append((self._now_ns() or 0, symbol, order_values(missing)))
        self._rebalances = False


class _Recorded(PortfolioRun):
    """A run that notes every order."""

    new_notes = _OrderNotes
    notes: _OrderNotes

    def __init__(self, plan: Plan, window: Interval) -> None:
        super().__init__(plan, window, _refuse, noted=True)
        self.notes.purchases = self.order_manager.purchases
        self.notes.position_of = lambda symbol: self.books[symbol].broker.position


def _refuse(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
    raise ConfigError(
        "a check has no symbols but those of the config", symbol=symbols[0], remedy="name it under symbols"
    )
