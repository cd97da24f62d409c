"""Whose money orders are paid with: one account for all symbols, or each symbol's own.

With a shared account the orders of all symbols meet at every window's end, in order of (time decided, symbol, number);
one decided inside a window works from its end on, from the first base bar that starts then or later.

- What an order may open of a position it reserves money for: `margin × quantity × price × (1 + reserve)` and the
  commission, `price` being its limit or stop price, else the symbol's last close, for a trailing stop that buys its
  `trail` more. Held positions count against the
  money at their last closes: what is free is `equity - margin × |positions| - reserved`; with margin 1 and no shorts
  that is the cash not reserved.
- What free money doesn't cover, or limits of exposure have no room for (see barray.trading.orders.limits), is cut to
  whole lots, or refused, and reported.
- What closes a position needs no money: as much as is held, less what orders already approved will close of it.
  Beyond that it is not cut here either as long as it could close what is held or ordered, but opens nothing either;
  nor does an order that was to close what a stop_loss or take_profit then closes before it.
- At the fill the broker cuts the order to its reservation, in the parts that open. What an order spends leaves the
  reservation with the cash; what is left when it ends is released at that window's end.
- Cash from sales counts from the end of the window that they fill in; a rebalancing's purchases are approved in the bar
  that its sales fill in, after them.

So nothing is decided by prices that come later, and as every fill stays within its reservation, and these within the
cash, cash never falls below zero with margin 1. Exceptions are what nobody can reserve for: a short position that loses
more than stands against it, and a sale whose commission is more than its proceeds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import copysign, fsum, inf, isnan
from typing import NamedTuple, Protocol

from barray.market.errors import BarrayError
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fill
from barray.trading.orders.limits import Exposures, Limits, Room
from barray.trading.orders.order import Order
from barray.trading.orders.reasons import LIMITS, NO_PRICE

_SLACK = 1e-9
"""Share of the cash that is never reserved: more than all roundings of a run."""
_LAST_DIGIT = 2.0**-52
"""More than the share by which one addition of numbers without a sign is rounded."""
_ROUNDING = 1e-12
"""More than the share by which a sum of numbers without a sign is rounded."""


class OrderRequest(NamedTuple):
    """An order that waits for its window's end; they are judged as they are sorted."""

    decided_ns: int
    symbol: str
    number: int
    order: Order


class Approval(NamedTuple):
    """The answer: `quantity` may work, 0 for nothing, of which it may open as much as `budget` pays for (None: as its
    own account bears), and no more than `opens` shares (None: as many as that pays for). `reason`: why not all of it;
    `code`: see barray.trading.orders.reasons.
    """

    quantity: float
    budget: float | None
    reason: str = ""
    opens: float | None = None
    code: str = ""


@dataclass(frozen=True)
class WorkingOrder:
    """An order that works. `quantity`, `budget`: what is left of them. `stop`: of a trailing stop where it stands, None
    before it meets a bar. `guards`: it is a stop_loss, take_profit or trailing_stop.
    """

    number: int
    quantity: float
    limit: float | None = None
    stop: float | None = None
    budget: float | None = None
    guards: bool = False
    trail: float | None = None


class Payment(NamedTuple):
    """Where an account that is shared stands: its cash, and how far that may be below zero."""

    cash: float
    may_owe: float


class Accounts(Protocol):
    """Whose money it is, as PortfolioRun asks of it: one account for all symbols, or one each."""

    def join(self, symbol: str, working: Sequence[Order]) -> None:
        """Have a symbol traded from now on. `working`: the orders that work, as they are at any time."""
        ...

    def book(self, symbol: str, fills: Sequence[Fill]) -> None:
        """Book what a window filled of a symbol; BarrayError where the account can't have paid for it."""
        ...

    def forget(self, symbol: str) -> None:
        """Forget a symbol that is gone, its position closed."""
        ...

    def approve(self, requests: Iterable[OrderRequest], answer: Callable[[OrderRequest, Approval], None]) -> None:
        """Judge orders. `answer` is told of each, and has what is approved work at once."""
        ...

    def booked(self, symbol: str) -> tuple[float, float]:
        """Cash and position that are booked for one symbol; no cash where that is shared."""
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
    """One account for all symbols; see the module. `positions`: shares by symbol. `price_of`: tells a symbol's last
    close, NaN before it has one; `prices_of`: those of many. `limits`: of exposure.
    """

    def __init__(
        self,
        account: Account,
        market: Market,
        price_of: Callable[[str], float],
        reserve: float = 0.02,
        limits: Limits | None = None,
        prices_of: Callable[[Collection[str]], Iterable[float]] | None = None,
    ) -> None:
        self._account = account
        self._market = market
        self._charges = market.charges
        self._reserve = reserve
        self._limits = limits
        self._price_of = price_of
        self._prices_of = prices_of
        self._working: dict[str, Sequence[Order]] = {}
        self._reserving: set[str] = set()
        """Symbols that money is set aside for, and some for which it no longer is."""
        self._cash = account.capital
        self._may_owe = 0.0 if account.margin >= 1 else inf
        self.positions: dict[str, float] = {}
        self.aside: Sequence[float] = ()
        """What is set aside for orders that were approved in one step."""

    @property
    def cash(self) -> float:
        """Cash, reserved or not."""
        return self._cash

    @property
    def may_owe(self) -> float:
        """How far cash may be below zero."""
        return self._may_owe

    def booked(self, symbol: str) -> tuple[float, float]:
        """No cash of its own, and its position."""
        return 0.0, self.positions.get(symbol, 0.0)

    def stand(self, cash: float, may_owe: float, positions: Mapping[str, float]) -> None:
        """Have so much, and hold these shares, from now on."""
        self._cash, self._may_owe = cash, may_owe
        self.positions.update(positions)

    @property
    def reserved(self) -> float:
        """What is set aside for the orders that work."""
        return fsum(self._budgets())

    @property
    def equity(self) -> float:
        """Cash and positions at their last closes."""
        return self.cash + fsum(self._values(self.positions))

    @property
    def free(self) -> float:
        """What new orders may reserve."""
        return self._free(self._unreserved(self._cash, self.positions), self.reserved, self._cash)

    def equity_for(self, symbol: str) -> float:
        """The account's equity."""
        return self.equity

    def join(self, symbol: str, working: Sequence[Order]) -> None:
        """Have a symbol traded from now on. `working`: the orders that work, as they are at any time."""
        self._working[symbol] = working
        self._reserving.add(symbol)

    def book(self, symbol: str, fills: Sequence[Fill]) -> None:
        """Book what a window filled of a symbol.

        BarrayError (`overdrawn`) where that leaves less cash than the module says there always is.
        """
        for fill in fills:
            self._book(symbol, fill)
        if self._is_overdrawn(self._cash, self._may_owe):
            raise BarrayError(
                f"cash is {self._cash:,.2f} after its fills, though margin is {self._account.margin:g}",
                symbol=symbol,
                remedy="this is a fault of the program: please report it with the strategy",
                code="overdrawn",
            )

    def forget(self, symbol: str) -> None:
        """Forget a symbol that is gone, its position closed."""
        self._working.pop(symbol, None)
        self._reserving.discard(symbol)
        self.positions.pop(symbol, None)

    def approve(self, requests: Iterable[OrderRequest], answer: Callable[[OrderRequest, Approval], None]) -> None:
        """Judge orders in order of (time decided, symbol, number), each with the money that those before it left."""
        cash, budgets = self._cash, self._budgets()
        unreserved, reserved = self._unreserved(cash, self.positions), fsum(budgets)
        exposures = self._exposures(self._limits) if self._limits is not None else None
        is_plain = exposures is None and min(budgets, default=0.0) >= 0.0
        for request in sorted(requests):
            approval = None
            if is_plain:  # mostly there is plenty, and no need to know to the last digit how much
                at_most = reserved * (1.0 + _LAST_DIGIT * len(budgets))
                approval = self._in_whole(request, self._free(unreserved, at_most, cash))
            if approval is None:
                reserved = fsum(budgets)
                free = self._free(unreserved, reserved, cash)
                approval = self._approve(request, free if free > 0.0 else 0.0, exposures)
            if approval.budget:
                budgets.append(approval.budget)
                reserved += approval.budget
                is_plain = is_plain and approval.budget > 0.0
                self._reserving.add(request.symbol)
            if exposures is not None:
                self._expose(exposures, request.symbol, request.order, approval.quantity, approval.opens or 0.0)
            answer(request, approval)

    def _exposures(self, limits: Limits) -> Exposures:
        """What positions and the orders that work may come to."""
        exposures = Exposures(limits, self.equity)
        for symbol, position in self.positions.items():
            exposures.hold(symbol, position * self._price_of(symbol))
        for symbol, orders in self._working.items():
            for order in orders:
                if order.parent is None:
                    self._expose(exposures, symbol, order, order.quantity, order.opens or 0.0)
        return exposures

    def _expose(self, exposures: Exposures, symbol: str, order: Order, quantity: float, opens: float) -> None:
        if quantity:
            price, last = abs(self._expected(symbol, order)), abs(self._price_of(symbol))
            closes = abs(quantity) * (price if isnan(last) else last)  # a position is closed as it is valued
            exposures.order(symbol, 1 if quantity > 0 else -1, closes, min(opens, abs(quantity)) * price)

    def _book(self, symbol: str, fill: Fill) -> None:
        spent = fill.quantity * fill.price + fill.commission
        held = self._market.lots(self.positions.get(symbol, 0.0) + fill.quantity)
        self._cash, self._may_owe, _ = _after(self._cash, self._may_owe, ((spent, fill.quantity, held),))
        if held:
            self.positions[symbol] = held
        else:
            self.positions.pop(symbol, None)

    def _is_overdrawn(self, cash: float, may_owe: float) -> bool:
        return cash < -may_owe - _SLACK * self._account.capital

    # ---- many orders in one step, see barray.trading.engine.basket

    @property
    def standing(self) -> Payment:
        """Where it stands."""
        return Payment(self._cash, self._may_owe)

    def needs(self, quantities: Sequence[float], prices: Sequence[float]) -> list[float]:
        """What orders of these quantities reserve that close nothing. `prices`: last closes."""
        opens = map(abs, quantities)
        if self._charges:
            return [self._need(one, price, one) for one, price in zip(opens, prices, strict=True)]
        margin, reserved = self._account.margin, 1.0 + self._reserve
        return [margin * one * (price * reserved) for one, price in zip(opens, prices, strict=True)]

    def bears(
        self, needs: Sequence[float], standing: Payment, symbols: Sequence[str], positions: Sequence[float]
    ) -> bool:
        """Whether it would approve orders in whole that reserve so much, one after another, standing there, with these
        positions in symbols. False where that hangs on roundings.
        """
        unreserved = self._unreserved(standing.cash, {**self.positions, **dict(zip(symbols, positions, strict=True))})
        reserved = fsum([*self._budgets(), *needs])
        return self._free(unreserved, reserved, standing.cash) > _ROUNDING * (abs(unreserved) + reserved)

    def paid(
        self, standing: Payment, spent: Sequence[float], quantities: Sequence[float], positions: Sequence[float]
    ) -> Payment | None:
        """Where it stands after fills, one a symbol, that cost so much and lead to these positions; None where that is
        nothing that it may owe, or no number.
        """
        least = _SLACK * self._account.capital
        cash, may_owe, enough = _after(*standing, zip(spent, quantities, positions, strict=True), least)
        return Payment(cash, may_owe) if enough else None

    def take(self, payment: Payment, symbols: Sequence[str], positions: Sequence[float]) -> None:
        """Stand there, and hold these shares of symbols, 0 for none."""
        (self._cash, self._may_owe), self.aside = payment, ()
        held = self.positions
        for symbol, position in zip(symbols, positions, strict=True):
            if position:
                held[symbol] = position
            else:
                held.pop(symbol, None)

    def _budgets(self) -> list[float]:
        found = [*self.aside]
        for symbol in tuple(self._reserving):
            budgets = [order.budget for order in self._working[symbol] if order.budget]
            found += budgets
            if not budgets:
                self._reserving.discard(symbol)
        return found

    def _unreserved(self, cash: float, positions: Mapping[str, float]) -> float:
        """What new orders could reserve if none worked."""
        margin = self._account.margin
        if margin == 1.0 and min(positions.values(), default=0.0) >= 0.0:
            return cash
        values = self._values(positions)
        long = fsum(value for value in values if value > 0)
        short = -fsum(value for value in values if value < 0)
        return cash + (1.0 - margin) * long - (1.0 + margin) * short

    def _free(self, unreserved: float, reserved: float, cash: float) -> float:
        return unreserved - reserved - _SLACK * abs(cash)

    def _values(self, positions: Mapping[str, float]) -> list[float]:
        told = self._prices_of
        prices = map(self._price_of, positions) if told is None else told(positions.keys())
        return [position * price for position, price in zip(positions.values(), prices, strict=True) if position]

    def _in_whole(self, request: OrderRequest, free: float) -> Approval | None:
        """What `_approve` comes to where no less than that is free, and nothing is to be cut or refused; else None."""
        order, symbol = request.order, request.symbol
        wanted = abs(order.quantity)
        closes = self._closes(symbol, order)
        opens = wanted - closes
        if not opens or (order.quantity < 0 and not self._account.short):
            return Approval(order.quantity, 0.0)
        price = self._expected(symbol, order)
        if price and closes + opens == wanted and (need := self._need(opens, price, wanted)) <= free:
            return Approval(order.quantity, need)
        return None

    def _approve(self, request: OrderRequest, free: float, exposures: Exposures | None) -> Approval:
        order, symbol = request.order, request.symbol
        least = None if exposures is None else 0.0
        wanted = abs(order.quantity)
        closes = self._closes(symbol, order)
        opens = wanted - closes
        if not opens or (order.quantity < 0 and not self._account.short):  # short selling is the broker's to refuse
            return Approval(order.quantity, 0.0, opens=least)
        price = self._expected(symbol, order)
        if isnan(price) or not price:
            return Approval(0.0, None, NO_PRICE.text, code=NO_PRICE.code)
        paid, source, code = self._affordable(opens, price, wanted, free), "", "no_money"
        side = 1 if order.quantity > 0 else -1
        closed = closes * abs(self._price_of(symbol)) if closes else 0.0
        room = exposures.room(symbol, side, closed) if exposures is not None else None
        if exposures is not None and room is not None and room.value < paid * abs(price):
            paid, source = self._market.lots(room.value / abs(price)), self._told(room, exposures.equity)
            code = f"{LIMITS}{room.limit}"
        budget = self._need(paid, price, wanted) if paid else 0.0
        allowed = min(wanted, max(closes + paid, self._may_close(symbol, order)))
        granted = least if least is None else paid
        if allowed == wanted:
            return Approval(order.quantity, budget, opens=granted)
        source = source or f"{free:,.2f} of cash is free"
        reason = f"{source}, which suffices for {allowed:g} at {price:g}, not for {wanted:g}"
        return Approval(copysign(allowed, order.quantity), budget, reason, granted, code)

    @staticmethod
    def _told(room: Room, equity: float) -> str:
        return (
            f"account.limits.{room.limit} {room.share:g} of an equity of {equity:,.2f} has room for {room.value:,.2f}"
        )

    def _expected(self, symbol: str, order: Order) -> float:
        """The price that an order is judged at."""
        if order.terms.plain:
            return self._price_of(symbol)
        trail = order.terms.trail if order.quantity > 0 else None
        return order.terms.price or self._price_of(symbol) + (trail or 0.0)

    def _closes(self, symbol: str, order: Order) -> float:
        """How much of it closes what is held and no other order closes, absolute."""
        held = self.positions.get(symbol, 0.0)
        if not held or (held > 0.0) == (order.quantity > 0.0):
            return 0.0
        closing = fsum(abs(one) for one in self._ordered(symbol) if (one > 0.0) != (held > 0.0))
        return min(abs(order.quantity), self._market.lots(max(abs(held) - closing, 0.0)))

    def _may_close(self, symbol: str, order: Order) -> float:
        """How much of it could close what is held and what other orders may open, absolute."""
        side = -1.0 if order.quantity > 0.0 else 1.0
        coming = fsum(max(side * one, 0.0) for one in self._ordered(symbol))
        return min(abs(order.quantity), self._market.lots(max(side * self.positions.get(symbol, 0.0) + coming, 0.0)))

    def _ordered(self, symbol: str) -> list[float]:
        """What working orders are for, signed; guards of what is held or may be are none of it."""
        return [order.quantity for order in self._working[symbol] if order.parent is None]

    def _need(self, opens: float, price: float, quantity: float) -> float:
        worst = price * (1.0 + self._reserve)
        commission = self._market.commission.of(quantity, worst) if self._charges else 0.0
        return self._account.margin * opens * worst + commission

    def _affordable(self, opens: float, price: float, quantity: float, free: float) -> float:
        if self._need(opens, price, quantity) <= free:
            return opens
        commission = self._need(0.0, price, quantity)
        most = self._market.lots(max(free - commission, 0.0) / (self._account.margin * price * (1.0 + self._reserve)))
        while most > 0 and self._need(most, price, quantity) > free:
            most = max(self._market.lots(most - (self._market.lot_size or _SLACK * most)), 0.0)
        return min(most, opens)


def _after(
    cash: float, may_owe: float, fills: Iterable[tuple[float, float, float]], least: float = 0.0
) -> tuple[float, float, bool]:
    """Cash, and how far it may be below zero, after fills: what each spent, its quantity, and the position that it led
    to; and whether cash was never below that by more than `least`.
    """
    enough = True
    for spent, quantity, held in fills:
        cash -= spent
        if held < 0:
            may_owe = inf
        elif quantity < 0 and spent > 0:
            may_owe += spent
        enough = enough and cash >= -may_owe - least
    return cash, may_owe, enough
