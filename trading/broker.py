"""Orders, and how they meet one symbol's bars: the rules of every fill.

A bar tells its open, high, low and close, not the way between; where that leaves a choice, the worse outcome is taken.

- An order acts from the bar after the one whose close it was placed at.
- Market: at the open.
- Limit: at the open where that is better than the limit, else at the limit where the bar reaches it.
- Stop: at the open where the bar opens beyond the stop (a gap), else at the stop where the bar reaches it.
- Stop-limit: once the stop is reached, a limit order. In the bar that reaches it after the open it fills at the stop
  where that satisfies the limit, else from the next bar on.
- In one bar: first what fills at the open, then stops, then limits; in each of these older orders first.
- `stop_loss` and `take_profit` become orders once their entry fills; one that fills cancels the other. After an entry
  at the open both act in the same bar, after one within the bar the stop alone does.
- Only market and stop orders slip; no fill leaves the bar's range. All fills of a bar share `volume_share` of its
  volume; what is left of an order stays working.
- Where money does not suffice, the order is cut to what it does suffice for; the rest is cancelled, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from market.bars import Bars
from market.errors import ConfigError
from trading.costs import Market
from trading.fills import Fill

TimeInForce = Literal["gtc", "day"]
_OPEN, _STOP, _LIMIT = 0, 1, 2


@dataclass(eq=False, slots=True)
class Order:
    """An order. `quantity` (signed): what is left of it. `status`: working, filled, cancelled, expired or rejected."""

    number: int
    quantity: float
    limit: float | None = None
    stop: float | None = None
    tif: TimeInForce = "gtc"
    stop_loss: float | None = None
    take_profit: float | None = None
    tag: str = ""
    status: str = "working"
    reason: str = ""
    filled: float = 0.0
    parent: int | None = None
    triggered: bool = False
    budget: float | None = None

    @property
    def kind(self) -> str:
        """Market, limit, stop or stop_limit."""
        if self.stop is None:
            return "market" if self.limit is None else "limit"
        return "stop" if self.limit is None else "stop_limit"


@dataclass(frozen=True)
class Refusal:
    """An order, or a part of one, that was not executed: when (start of the base bar, UTC ns) and why."""

    bar_ns: int
    quantity: float
    reason: str


@dataclass(frozen=True)
class Account:
    """What a symbol trades with. `capital`: cash at the start. `margin`: equity needed per unit of exposure, 1 is cash
    only, 0.5 lets exposure reach twice the equity. `short`: whether positions may be negative. `flat_at_close`: at each
    session's last bar its close closes the position, and all orders are cancelled. `carry`: without it every session
    starts anew, with the capital and a fresh strategy object, and ends flat.
    """

    capital: float = 100_000.0
    margin: float = 1.0
    short: bool = True
    flat_at_close: bool = False
    carry: bool = True


class Broker:
    """Holds one symbol's orders, position and cash, and carries orders out bar by bar."""

    def __init__(self, bars: Bars, market: Market, account: Account) -> None:
        self._start_ns = bars.start_ns
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        self._open, self._high, self._low, self._close, self._volume = (column.tolist() for column in columns)
        self.market = market
        self.account = account
        self.cash = account.capital
        self.position = 0.0
        self.working: list[Order] = []
        self.fills: list[Fill] = []
        self.refusals: list[Refusal] = []
        self._placed = 0

    def place(
        self,
        quantity: float,
        *,
        limit: float | None = None,
        stop: float | None = None,
        tif: TimeInForce = "gtc",
        stop_loss: float | None = None,
        take_profit: float | None = None,
        tag: str = "",
        budget: float | None = None,
    ) -> Order:
        """A new order, working from the next bar on; ConfigError where it makes no sense."""
        for name, price in (("limit", limit), ("stop", stop), ("stop_loss", stop_loss), ("take_profit", take_profit)):
            if price is not None and not (isfinite(price) and price > 0):
                raise ConfigError(f"{name} is {price}", mend="give a price above 0")
        if not isfinite(quantity):
            raise ConfigError(f"an order's quantity is {quantity}", mend="give a number of shares")
        if tif not in ("gtc", "day"):
            raise ConfigError(f"tif is {tif!r}", mend="choose gtc or day")
        whole = self.market.lots(float(quantity))
        self._placed += 1
        order = Order(self._placed, whole, limit, stop, tif, stop_loss, take_profit, tag, budget=budget)
        if whole == 0:
            order.status, order.reason = "rejected", f"{quantity:g} is less than a lot of {self.market.lot_size:g}"
        else:
            self.working.append(order)
        return order

    def cancel(self, order: Order, reason: str = "", status: str = "cancelled") -> None:
        """Take a working order out; its fills stay."""
        if order.status == "working":
            order.status, order.reason = status, reason
            self.working.remove(order)

    def cancel_all(self, reason: str = "", status: str = "cancelled", *, tif: TimeInForce | None = None) -> None:
        """Take out all working orders, or those of one time in force."""
        for order in list(self.working):
            if tif is None or order.tif == tif:
                self.cancel(order, reason, status)

    def equity(self, row: int) -> float:
        """Cash and position at a bar's close."""
        return self.cash + self.position * float(self._close[row])

    def match(self, row: int) -> None:
        """Let base bar `row` meet the working orders."""
        room = self._room(row)
        pending = [
            (phase, order.number, price, order)
            for order in self.working
            if (hit := self._hit(order, row))
            for phase, price in (hit,)
        ]
        while pending and room > 0:
            pending.sort(key=lambda entry: entry[:2])
            phase, _, price, order = pending.pop(0)
            if order.status != "working":
                continue
            filled = self._execute(order, price, row, room)
            room -= abs(filled)
            if filled and (order.stop_loss is not None or order.take_profit is not None):
                for child in self._protect(order, filled):
                    hit = self._hit(child, row)
                    if hit and (phase == _OPEN or child.stop is not None):
                        pending.append(
                            (
                                max(hit[0], _STOP),
                                child.number,
                                hit[1] if phase == _OPEN else self._beyond(child, price),
                                child,
                            )
                        )

    def close_out(self, row: int) -> None:
        """Flat at close: cancel everything and close the position at the bar's close."""
        self.cancel_all("the session closed", "expired")
        if self.position:
            order = Order(0, -self.position)
            self._fill(order, -self.position, self._close[row], row, at_close=True)

    def _room(self, row: int) -> float:
        share = self.market.volume_share
        return inf if share is None else self.market.lots(share * self._volume[row])

    def _hit(self, order: Order, row: int) -> tuple[int, float] | None:
        """When in the bar the order fills, and at what reference price; None where it doesn't."""
        open_, high, low, limit, stop = self._open[row], self._high[row], self._low[row], order.limit, order.stop
        buying = order.quantity > 0
        if stop is not None and not order.triggered:
            at_open = open_ >= stop if buying else open_ <= stop
            if not at_open and not (high >= stop if buying else low <= stop):
                return None
            if limit is None:
                return (_OPEN, open_) if at_open else (_STOP, stop)
            order.triggered = True
            if not at_open:
                return (_STOP, stop) if (stop <= limit if buying else stop >= limit) else None
        if limit is None:
            return _OPEN, open_
        if open_ <= limit if buying else open_ >= limit:
            return _OPEN, open_
        return (_LIMIT, limit) if (low <= limit if buying else high >= limit) else None

    def _beyond(self, child: Order, entry: float) -> float:
        """Price of a stop that its own entry, within the bar, may already lie beyond."""
        stop = float(child.stop or entry)
        return min(stop, entry) if child.quantity < 0 else max(stop, entry)

    def _protect(self, parent: Order, filled: float) -> list[Order]:
        """The orders that guard what an entry just filled."""
        children = []
        for limit, stop in ((None, parent.stop_loss), (parent.take_profit, None)):
            if limit is None and stop is None:
                continue
            known = [o for o in self.working if o.parent == parent.number and (o.stop is None) == (stop is None)]
            if known:
                known[0].quantity -= filled
                children.append(known[0])
                continue
            self._placed += 1
            child = Order(self._placed, -filled, limit, stop, tag=parent.tag, parent=parent.number)
            self.working.append(child)
            children.append(child)
        return children

    def _execute(self, order: Order, reference: float, row: int, room: float) -> float:
        """Fill as much as volume and money allow; the signed quantity filled."""
        wanted = order.quantity
        if order.parent is not None:  # protection never opens a position
            held = -self.position
            wanted = max(min(wanted, held), 0.0) if wanted > 0 else min(max(wanted, held), 0.0)
            if not wanted:
                self.cancel(order, "there is no position left to protect")
                return 0.0
        quantity = max(-room, min(room, wanted))
        affordable, why = self._affordable(order, quantity, reference, row)
        if affordable:
            self._fill(order, affordable, reference, row)
        if why:
            self.refusals.append(Refusal(int(self._start_ns[row]), quantity - affordable, why))
            self.cancel(order, why, "rejected" if not order.filled else "cancelled")
        elif order.parent is not None and order.status == "filled":
            for sibling in [o for o in self.working if o.parent == order.parent]:
                self.cancel(sibling, "its counterpart filled")
        return affordable

    def _affordable(self, order: Order, quantity: float, reference: float, row: int) -> tuple[float, str]:
        """As much of `quantity` as the account bears, and why not all of it."""
        before = self.position
        after = before + quantity
        if abs(after) <= abs(before) and after * before >= 0:
            return quantity, ""
        price = self._price(order, quantity, reference, row)
        commission = self.market.commission.of(quantity, price)
        if order.budget is not None and quantity > 0:
            most = self.market.lots((order.budget - commission) / price) if price else quantity
            if quantity <= most:
                return quantity, ""
            return max(most, 0.0), f"the {order.budget:,.2f} set aside for it suffice for {max(most, 0):g} at {price:g}"
        if after < 0 and not self.account.short:
            return -before if before > 0 else 0.0, "short selling is off"
        equity = self.cash + before * reference - commission - abs(quantity) * abs(price - reference)
        most = self.market.lots(max(equity, 0.0) / (self.account.margin * price)) if price else inf
        if abs(after) <= most:
            return quantity, ""
        reach = most if after > 0 else -most
        cut = reach - before
        if cut * quantity <= 0:
            cut = -before if before * quantity < 0 else 0.0
        return cut, f"money suffices for {most:g} at {price:g}, not for {abs(after):g}"

    def _price(self, order: Order, quantity: float, reference: float, row: int) -> float:
        if order.limit is not None:
            return reference
        bar: tuple[float, float, float] = (self._low[row], self._high[row], self._volume[row])
        return self.market.slipped(quantity, reference, *bar)

    def _fill(self, order: Order, quantity: float, reference: float, row: int, *, at_close: bool = False) -> None:
        price = self._price(order, quantity, reference, row)
        commission = self.market.commission.of(quantity, price)
        slippage = abs(price - reference) * abs(quantity)
        self.cash -= quantity * price + commission
        self.position += quantity
        bar_ns = int(self._start_ns[row])
        self.fills.append(Fill(row, bar_ns, quantity, price, commission, slippage, order.number, at_close))
        order.filled += quantity
        order.quantity -= quantity
        if order.quantity == 0 and order.status == "working":
            order.status = "filled"
            if order.number:
                self.working.remove(order)
