"""A symbol's broker where accounts are judged window by window: orders wait until what they need is approved."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, inf

from barray.market.bars import Bars
from barray.trading.orders.accounts import Approval, OrderRequest, WorkingOrder
from barray.trading.orders.broker import Account, Broker, Order, Refusal
from barray.trading.orders.costs import Market
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
    account that is shared, None where it trades with its own.
    """

    def __init__(
        self, symbol: str, bars: Bars, market: Market, account: Account, changed: set[str], funds: Funds | None
    ) -> None:
        super().__init__(bars, market, account)
        self.symbol = symbol
        self.booked = 0
        self._changed = changed
        self._funds = funds
        self.waiting: list[Order] = []
        """Orders that wait."""
        self._incoming = self.waiting

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

    def place(self, terms: OrderTerms) -> Order:
        """A new order, which waits."""
        self._changed.add(self.symbol)
        return super().place(terms)

    def cancel(self, order: Order, reason: str = "", status: str = "cancelled") -> None:
        """End an order, whether it works or waits."""
        self._changed.add(self.symbol)
        if order in self._incoming and order.status == "working":
            order.status, order.reason = status, reason
            self._incoming.remove(order)
        else:
            super().cancel(order, reason, status)

    def cancel_all(self, reason: str = "", status: str = "cancelled", *, tif: TimeInForce | None = None) -> None:
        """End all orders, or the working ones of one time in force."""
        if self.working or self._incoming:
            super().cancel_all(reason, status, tif=tif)

    def close_session(self, row: int) -> None:
        """End what the close after base bar `row` ends."""
        if self.working or self.position:
            self._changed.add(self.symbol)
            super().close_session(row)

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

    def approve(self, order: Order, approval: Approval, bar_ns: int) -> None:
        """Let an order that waits work, or what was approved of it. `bar_ns`: the bar at whose close that is so."""
        self._incoming.remove(order)
        quantity, order.budget, reason, order.opens = approval
        if reason:
            cut = copysign(abs(order.quantity) - abs(quantity), order.quantity)
            self.refusals.append(Refusal(bar_ns, cut, reason))
            if order.quantity and not quantity:
                order.status, order.reason = "rejected", reason
                return
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
