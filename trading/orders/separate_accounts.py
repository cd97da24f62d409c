"""Accounts of symbols that share none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import fsum

from barray.trading.orders.accounts import Approval, OrderRequest
from barray.trading.orders.broker import Account
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Order


class SeparateAccounts:
    """Each symbol trades with its own capital, and its broker judges its orders; here is only what they sum up to."""

    def __init__(self, account: Account, price_of: Callable[[str], float]) -> None:
        self._capital = account.capital
        self._price_of = price_of
        self._cash: dict[str, float] = {}
        self._positions: dict[str, float] = {}

    @property
    def cash(self) -> float:
        """Cash of all symbols."""
        return fsum(self._cash.values())

    @property
    def equity(self) -> float:
        """Equity of all symbols."""
        return fsum(map(self.equity_for, self._cash))

    def equity_for(self, symbol: str) -> float:
        """The symbol's own equity."""
        position = self._positions.get(symbol, 0.0)
        return self._cash.get(symbol, self._capital) + (position * self._price_of(symbol) if position else 0.0)

    def booked(self, symbol: str) -> tuple[float, float]:
        """Cash and position of a symbol's account."""
        return self._cash.get(symbol, self._capital), self._positions.get(symbol, 0.0)

    def stand(self, symbol: str, cash: float, position: float) -> None:
        """Have a symbol's account hold so much from now on."""
        self._cash[symbol], self._positions[symbol] = cash, position

    def join(self, symbol: str, working: Sequence[Order]) -> None:
        """Give a symbol its account."""
        self._cash.setdefault(symbol, self._capital)

    def book(self, symbol: str, fills: Sequence[Fill]) -> None:
        """Book what a window filled of a symbol."""
        cash = self._cash[symbol]
        self._cash[symbol] = cash - fsum(fill.quantity * fill.price + fill.commission for fill in fills)
        self._positions[symbol] = self._positions.get(symbol, 0.0) + fsum(fill.quantity for fill in fills)

    def forget(self, symbol: str) -> None:
        """Forget a symbol that is gone, and its account with it."""
        self._cash.pop(symbol, None)
        self._positions.pop(symbol, None)

    def approve(self, requests: Iterable[OrderRequest], answer: Callable[[OrderRequest, Approval], None]) -> None:
        """Approve all: each symbol's broker judges."""
        for request in requests:
            answer(request, Approval(request.order.quantity, None))
