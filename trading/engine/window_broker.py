"""A symbol's broker where accounts are judged window by window: orders wait until what they need is approved."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, inf

from barray.market.bars import Bars
from barray.trading.engine.holdings import Holdings
from barray.trading.engine.notes import Notes
from barray.trading.orders.accounts import Approval, OrderRequest, WorkingOrder
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Market
from barray.trading.orders.order import Order, Refusal
from barray.trading.orders.reasons import BY_STRATEGY, Why
from barray.trading.orders.terms import OrderTerms, TimeInForce


class Funds:
    """Cash and equity of the account that is traded with, as of the last window's end; looked up when asked for."""

    def __init__(self, look: Callable[[], tuple[float, float]]) -> None:
        self._look = look

    @property
    def cash(self) -> float:
        """Cash."""
        return self._look()[0]

    @property
    def equity(self) -> float:
        """Cash and positions."""
        return self._look()[1]


class WindowBroker(Broker):
    """A broker whose orders wait until they are approved.

    `changed`: symbols whose orders or position changed since the account last heard; it adds its own. `funds`: of the
    account that is shared, None where it trades with its own. `holdings`: has its position, cash and number of orders,
    in the row `slot`.
    """

    def __init__(
        self,
        symbol: str,
        bars: Bars,
        market: Market,
        account: Account,
        changed: set[str],
        funds: Funds | None,
        notes: Notes,
        holdings: Holdings,
        slot: int,
    ) -> None:
        self._holdings, self._slot = holdings, slot
        super().__init__(bars, market, account)
        self.symbol = symbol
        self.booked = 0
        self._changed = changed
        self._funds = funds
        self._notes = notes
        self.waiting: list[Order] = []
        """Orders that wait."""
        self._incoming = self.waiting

    @property
    def position(self) -> float:
        """Shares held, negative short."""
        shares: float = self._holdings.positions[self._slot]
        return shares

    @position.setter
    def position(self, shares: float) -> None:
        self._holdings.positions[self._slot] = shares

    @property
    def cash(self) -> float:
        """Cash of its own account, or what its fills have brought."""
        cash: float = self._holdings.cashes[self._slot]
        return cash

    @cash.setter
    def cash(self, cash: float) -> None:
        self._holdings.cashes[self._slot] = cash

    @property
    def placed(self) -> int:
        """How many orders there were."""
        number: int = self._holdings.numbers[self._slot]
        return number

    @placed.setter
    def placed(self, number: int) -> None:
        self._holdings.numbers[self._slot] = number

    @property
    def orders(self) -> list[Order]:
        """Orders that have not ended, those that wait among them."""
        return [*self.working, *self._incoming]

    @property
    def account_cash(self) -> float:
        """Cash of the account that is traded with, as of the last window's end."""
        return self._funds.cash if self._funds is not None else super().account_cash

    def account_equity(self, price: float) -> float:
        """What that account is worth, as of the last window's end."""
        return self._funds.equity if self._funds is not None else super().account_equity(price)

    def place(self, terms: OrderTerms, now_ns: int = 0) -> Order:
        """A new order, which waits."""
        self._changed.add(self.symbol)
        order = super().place(terms, now_ns)
        self._notes.placed(self.symbol, order)
        return order

    def cancel(self, order: Order, why: Why = BY_STRATEGY, now_ns: int = 0) -> None:
        """End an order, whether it works or waits."""
        self._changed.add(self.symbol)
        if order.status == "working":
            self._notes.cancelled(self.symbol, order, why)
        if order in self._incoming and order.status == "working":
            self._incoming.remove(order)
            self._end(order, why, now_ns)
        else:
            super().cancel(order, why, now_ns)

    def cancel_all(self, why: Why = BY_STRATEGY, now_ns: int = 0, *, tif: TimeInForce | None = None) -> None:
        """End all orders, or the working ones of one time in force."""
        if self.working or self._incoming:
            super().cancel_all(why, now_ns, tif=tif)

    def close_session(self, row: int, now_ns: int = 0, *, flat: bool = False) -> None:
        """End what the close after base bar `row` ends."""
        if self.working or self.position:
            self._changed.add(self.symbol)
            super().close_session(row, now_ns, flat=flat)

    def _fill_whole(self, order: Order, row: int) -> bool:
        self._changed.add(self.symbol)
        return super()._fill_whole(order, row)

    def _carry_out(self, hits: dict[Order, tuple[int, int, float, float]], row: int) -> None:
        self._changed.add(self.symbol)
        super()._carry_out(hits, row)

    def stamp(self, now_ns: int) -> None:
        """Remember that the orders that wait were decided by `now_ns`."""
        for order in self._incoming:
            if order.decided_ns is None:
                order.decided_ns = now_ns

    def requests(self, now_ns: int) -> list[OrderRequest]:
        """The orders that wait, decided by `now_ns` at the latest."""
        symbol = self.symbol
        return [OrderRequest(order.decided_ns or now_ns, symbol, order.number, order) for order in self._incoming]

    def approve(self, order: Order, approval: Approval, bar_ns: int, now_ns: int = 0) -> None:
        """Let an order that waits work, or what was approved of it. `bar_ns`: the bar at whose close that is so, at
        `now_ns`.
        """
        self._incoming.remove(order)
        quantity, order.budget, reason, order.opens, code = approval
        if reason:
            cut = copysign(abs(order.quantity) - abs(quantity), order.quantity)
            self.refusals.append(Refusal(bar_ns, cut, reason, code))
            if order.quantity and not quantity:
                self._end(order, Why(code, reason, "rejected"), now_ns)
                return
            order.why = Why(code, reason)
        order.quantity = quantity
        self.working.append(order)

    def at_work(self) -> tuple[WorkingOrder, ...]:
        """The orders that work, as the account sees them."""
        return tuple(
            WorkingOrder(o.number, o.quantity, o.limit, o.stop, o.budget, o.parent is not None, o.terms.trail)
            for o in self.working
        )

    def reach(self) -> tuple[float, float]:
        """Prices at which an order may fill: a bar whose low is above the first and whose high is below the second
        fills nothing, nor triggers a stop. A trailing stop has to meet every bar.
        """
        low, high = -inf, inf
        for order in self.working:
            stops = order.stop is not None and not order.triggered
            price = order.stop if stops else order.terms.limit
            if price is None or not order.quantity or order.terms.trail is not None:
                return inf, high
            if (order.quantity > 0) != stops:
                low = max(low, price)
            else:
                high = min(high, price)
        return low, high
