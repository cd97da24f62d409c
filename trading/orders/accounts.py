"""Whose money orders are paid with: one account for all symbols, or each symbol's own.

With a shared account the orders of all symbols meet at every window's end, in order of (time decided, symbol, number);
one decided inside a window works from its end on, from the first base bar that starts then or later.

- What an order may open of a position it reserves money for: `margin × quantity × price × (1 + reserve)` and the
  commission, `price` being its limit or stop price, else the symbol's last close. Held positions count against the
  money at their last closes: what is free is `equity - margin × |positions| - reserved`; with margin 1 and no shorts
  that is the cash not reserved.
- What free money doesn't cover is cut to whole lots, or refused, and reported.
- What closes a position needs no money: as much as is held, less what orders already approved will close of it.
  Beyond that it is not cut here either as long as it could close what is held or ordered, but opens nothing either;
  nor does an order that was to close what a stop_loss or take_profit then closes before it.
- At the fill the broker cuts the order to its reservation, in the parts that open. What an order spends leaves the
  reservation with the cash; what is left when it ends is released at that window's end.
- Cash from sales counts from the end of the window that they fill in.

So nothing is decided by prices that come later, and as every fill stays within its reservation, and these within the
cash, cash never falls below zero with margin 1. Exceptions are what nobody can reserve for: a short position that loses
more than stands against it, and a sale whose commission is more than its proceeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import copysign, fsum, inf, isnan
from typing import Protocol

from barray.market.errors import BarrayError
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fill
from barray.trading.orders.terms import OrderTerms

_SLACK = 1e-9
"""Share of the cash that is never reserved: more than all roundings of a run."""


@dataclass(frozen=True)
class NewOrder:
    """An order from outside the symbol's process; it becomes the symbol's order `number`."""

    number: int
    terms: OrderTerms

    @property
    def quantity(self) -> float:
        """Shares asked for, negative to sell."""
        return self.terms.quantity


@dataclass(frozen=True)
class OrderRequest:
    """An order that waits for its window's end. `price`: its limit, else its stop, None for a market order."""

    symbol: str
    number: int
    decided_ns: int
    quantity: float
    price: float | None = None


@dataclass(frozen=True)
class Approval:
    """The answer: `quantity` may work, 0 for nothing, of which it may open as much as `budget` pays for (None: as its
    own account bears). `reason`: why not all of it.
    """

    number: int
    quantity: float
    budget: float | None
    reason: str = ""


@dataclass(frozen=True)
class WorkingOrder:
    """An order that works. `quantity`, `budget`: what is left of them. `guards`: it is a stop_loss or take_profit."""

    number: int
    quantity: float
    limit: float | None = None
    stop: float | None = None
    budget: float | None = None
    guards: bool = False


class Accounts(Protocol):
    """Whose money it is, as PortfolioEngine asks of it: one account for all symbols, or one each."""

    def update(self, symbol: str, price: float, fills: Sequence[Fill], working: Sequence[WorkingOrder]) -> None:
        """Book what a window did to a symbol. `price`: its last close, NaN before it has one.

        BarrayError where the account can't have done it.
        """
        ...

    def release(self, symbol: str) -> None:
        """Free what was reserved for a symbol, whose orders are all cancelled."""
        ...

    def forget(self, symbol: str) -> None:
        """Forget a symbol that is gone, its position closed."""
        ...

    def approve(self, requests: Iterable[OrderRequest]) -> dict[str, list[Approval]]:
        """Judge orders; the answers by symbol."""
        ...

    @property
    def cash(self) -> float:
        """Cash."""
        ...

    @property
    def equity(self) -> float:
        """Cash and positions at their last closes."""
        ...

    def equity_for(self, symbol: str) -> float:
        """The equity that a fraction for this symbol is a fraction of."""
        ...


class SharedAccount:
    """One account for all symbols; see the module. `positions`, `prices`: by symbol, shares and last closes."""

    def __init__(self, account: Account, market: Market, reserve: float = 0.02) -> None:
        self._account = account
        self._market = market
        self._reserve = reserve
        self._working: dict[str, dict[int, WorkingOrder]] = {}
        self._cash = account.capital
        self._may_owe = 0.0 if account.margin >= 1 else inf
        self.positions: dict[str, float] = {}
        self.prices: dict[str, float] = {}

    @property
    def cash(self) -> float:
        """Cash, reserved or not."""
        return self._cash

    @property
    def reserved(self) -> float:
        """What is set aside for the orders that work."""
        return fsum(order.budget or 0.0 for orders in self._working.values() for order in orders.values())

    @property
    def equity(self) -> float:
        """Cash and positions at their last closes."""
        return self.cash + fsum(self._values())

    @property
    def free(self) -> float:
        """What new orders may reserve."""
        values, margin = self._values(), self._account.margin
        long = fsum(value for value in values if value > 0)
        short = -fsum(value for value in values if value < 0)
        free = self.cash + (1.0 - margin) * long - (1.0 + margin) * short - self.reserved
        return free - _SLACK * abs(self.cash)

    def equity_for(self, symbol: str) -> float:
        """The account's equity."""
        return self.equity

    def update(self, symbol: str, price: float, fills: Sequence[Fill], working: Sequence[WorkingOrder]) -> None:
        """Book what a window did to a symbol. `price`: its last close, NaN before it has one.

        BarrayError (`overdrawn`) where that leaves less cash than the module says there always is.
        """
        for fill in fills:
            self._book(symbol, fill)
        if self._cash < -self._may_owe - _SLACK * self._account.capital:
            raise BarrayError(
                f"cash is {self._cash:,.2f} after its fills, though margin is {self._account.margin:g}",
                symbol=symbol,
                remedy="this is a fault of the program: please report it with the strategy",
                code="overdrawn",
            )
        self._working[symbol] = {order.number: order for order in working}
        if not isnan(price):
            self.prices[symbol] = price

    def release(self, symbol: str) -> None:
        """Free what was reserved for a symbol, whose orders are all cancelled."""
        self._working.pop(symbol, None)

    def forget(self, symbol: str) -> None:
        """Forget a symbol that is gone, its position closed."""
        for held in (self._working, self.positions, self.prices):
            held.pop(symbol, None)

    def approve(self, requests: Iterable[OrderRequest]) -> dict[str, list[Approval]]:
        """Judge orders in order of (time decided, symbol, number) and reserve what they need; the answers by symbol."""
        answers: dict[str, list[Approval]] = {}
        for request in sorted(requests, key=lambda r: (r.decided_ns, r.symbol, r.number)):
            approval = self._approve(request)
            answers.setdefault(request.symbol, []).append(approval)
            if approval.quantity:
                order = WorkingOrder(request.number, approval.quantity, budget=approval.budget)
                self._working.setdefault(request.symbol, {})[request.number] = order
        return answers

    def _book(self, symbol: str, fill: Fill) -> None:
        spent = fill.quantity * fill.price + fill.commission
        held = self._market.lots(self.positions.get(symbol, 0.0) + fill.quantity)
        self._cash, self.positions[symbol] = self._cash - spent, held
        if held < 0:
            self._may_owe = inf
        elif fill.quantity < 0:
            self._may_owe += max(spent, 0.0)

    def _values(self) -> list[float]:
        return [position * self.prices[symbol] for symbol, position in self.positions.items() if position]

    def _approve(self, request: OrderRequest) -> Approval:
        wanted = abs(request.quantity)
        closes, at_most = self._closes(request)
        opens = wanted - closes
        if not opens or (request.quantity < 0 and not self._account.short):  # short selling is the broker's to refuse
            return Approval(request.number, request.quantity, 0.0)
        price = request.price or self.prices.get(request.symbol, 0.0)
        if not price:
            return Approval(request.number, 0.0, None, "there is no price yet to reserve money at")
        free = max(self.free, 0.0)
        paid = self._affordable(opens, price, wanted, free)
        budget = self._need(paid, price, wanted) if paid else 0.0
        allowed = min(wanted, max(closes + paid, at_most))
        if allowed == wanted:
            return Approval(request.number, request.quantity, budget)
        reason = f"{free:,.2f} of cash is free, which suffices for {allowed:g} at {price:g}, not for {wanted:g}"
        return Approval(request.number, copysign(allowed, request.quantity), budget, reason)

    def _closes(self, request: OrderRequest) -> tuple[float, float]:
        """How much of it closes what is held and no other order closes, and how much it could at most, absolute."""
        side = copysign(1.0, -request.quantity)
        held = side * self.positions.get(request.symbol, 0.0)
        working = [order for order in self._working.get(request.symbol, {}).values() if not order.guards]
        closing = fsum(max(-side * order.quantity, 0.0) for order in working)
        coming = fsum(max(side * order.quantity, 0.0) for order in working)
        lots, wanted = self._market.lots, abs(request.quantity)
        return min(wanted, lots(max(held - closing, 0.0))), min(wanted, lots(max(held + coming, 0.0)))

    def _need(self, opens: float, price: float, quantity: float) -> float:
        worst = price * (1.0 + self._reserve)
        return self._account.margin * opens * worst + self._market.commission.of(quantity, worst)

    def _affordable(self, opens: float, price: float, quantity: float, free: float) -> float:
        if self._need(opens, price, quantity) <= free:
            return opens
        commission = self._need(0.0, price, quantity)
        most = self._market.lots(max(free - commission, 0.0) / (self._account.margin * price * (1.0 + self._reserve)))
        while most > 0 and self._need(most, price, quantity) > free:
            most = max(self._market.lots(most - (self._market.lot_size or _SLACK * most)), 0.0)
        return min(most, opens)


class SeparateAccounts:
    """Each symbol trades with its own capital, and its broker judges its orders; here is only what they sum up to."""

    def __init__(self, account: Account) -> None:
        self._capital = account.capital
        self._cash: dict[str, float] = {}
        self._positions: dict[str, float] = {}
        self._prices: dict[str, float] = {}

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
        return self._cash.get(symbol, self._capital) + (position * self._prices[symbol] if position else 0.0)

    def update(self, symbol: str, price: float, fills: Sequence[Fill], working: Sequence[WorkingOrder]) -> None:
        """Book what a window did to a symbol."""
        cash = self._cash.setdefault(symbol, self._capital)
        self._cash[symbol] = cash - fsum(fill.quantity * fill.price + fill.commission for fill in fills)
        self._positions[symbol] = self._positions.get(symbol, 0.0) + fsum(fill.quantity for fill in fills)
        self._prices[symbol] = price

    def release(self, symbol: str) -> None:
        """Do nothing: nothing is reserved here."""

    def forget(self, symbol: str) -> None:
        """Forget a symbol that is gone, and its account with it."""
        for held in (self._cash, self._positions, self._prices):
            held.pop(symbol, None)

    def approve(self, requests: Iterable[OrderRequest]) -> dict[str, list[Approval]]:
        """Approve all: each symbol's broker judges."""
        answers: dict[str, list[Approval]] = {}
        for request in requests:
            answers.setdefault(request.symbol, []).append(Approval(request.number, request.quantity, None))
        return answers
