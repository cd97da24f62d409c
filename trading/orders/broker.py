"""Orders, and how they meet one symbol's bars: the rules of every fill.

A bar tells its open, high, low and close, not the way between; where that leaves a choice, the worse outcome is taken.

- An order acts from the bar after the one whose close it was placed at.
- Market: at the open.
- Limit: at the open where that is better than the limit, else at the limit where the bar reaches it; touching it is
  enough.
- Stop: at the open where the bar opens beyond the stop (a gap), else at the stop where the bar reaches it. What volume
  then leaves unfilled is a market order from the next bar on.
- Stop-limit: once the stop is reached, a limit order. In the bar that reaches it after the open it fills at the stop
  where that satisfies the limit, else from the next bar on.
- Trailing stop (`trail`): a stop whose level follows the best price since it works at that distance, and never moves
  back. It begins at the open of the first bar that it meets. In a bar it acts at the level known when the bar has
  opened, the open included, as a stop does. A bar that doesn't reach it moves it by its high where it sells, by its low
  where it buys, for the bars after it: what the bar did first is not known.
- In one bar: first what fills at the open, then stops, then limits; in each of these older orders first.
- `stop_loss` and `take_profit` become orders, good till cancelled, for what their entry's fill opened; a later fill of
  the same entry adds to them. What one of them fills the other loses. After a fill at the open both act in the same
  bar; after one within the bar the stop alone does, for the bar may have gone there last. Once the stop is reached or
  the target begins to fill, what is left of the entry is cancelled. They never open a position: they go when the
  position does, and fill no more than is held.
- `trailing_stop` guards in the same way, with a trailing stop. It begins at the open where its entry filled there, else
  at the entry's price before slippage; then that bar moves it by its close alone, for its high and low may have been
  before. With a `stop_loss` both are one order, a trailing stop that begins no farther than the stop_loss.
- An entry opens only between its stop_loss and its take_profit, by its price before slippage. A limit or stop price
  outside is an error when the order is made; a market price outside, by mistake or by a gap, refuses what the order
  would open, for its protection would end it at once. What it closes it closes.
- Prices of orders are above 0. Quantities are rounded towards zero to whole lots; less than a lot is refused by the
  next bar that trades.
- Only market and stop orders slip; no fill leaves the bar's range. All fills of a bar share `volume_share` of its
  volume; what is left of an order stays working.
- Day orders expire at the close of the first session that they could have acted in; placed at a session's last close
  that is the next session.
- Where money does not suffice, the order is cut to what it does suffice for; the rest is cancelled, with the reason.
  Money suffices where equity at the bar's price (before slippage), after slippage and commission, is at least `margin`
  × the position's value. What closes a position, or makes it smaller, is never refused. An order with a `budget` may
  open no more of a position than that pays for (see barray.trading.orders.accounts), whatever the equity; one whose
  account has limits of exposure no more than was approved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import copysign, inf
from typing import Any

from barray.market.bars import Bars, floats
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Order, Refusal, record_of
from barray.trading.orders.reasons import BY_STRATEGY, CLOSED, COUNTERPART, GUARD_REACHED, UNGUARDED, Why
from barray.trading.orders.terms import OrderTerms, TimeInForce

_OPEN, _STOP, _LIMIT = 0, 1, 2
_DUST = 1e-12


@dataclass(frozen=True)
class Account:
    """What a symbol trades with. `capital`: cash at the start. `margin`: equity needed per unit of exposure, 1 is cash
    only, 0.5 lets exposure reach twice the equity. `short`: whether positions may be negative. `flat_at_close`: at each
    session's last bar its close closes the position, with slippage but whatever the volume, and all orders are
    cancelled, those placed at that close too. `carry`: without it every session
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
        self.look_at(bars)
        self._slips, self._charges = market.slips, market.charges
        self.market = market
        self.account = account
        self.cash = account.capital
        self.position = 0.0
        self.working: list[Order] = []
        self._incoming = self.working
        self.fills: list[Fill] = []
        self.refusals: list[Refusal] = []
        self.ended: list[Any] = []
        """Orders that have ended, one record after another; see `record_of`."""
        self.placed = 0
        self._trails = False
        self._late: set[Order] = set()

    def look_at(self, bars: Bars) -> None:
        """Go by these base bars from now on: rows count in them."""
        self._bars, self._has_columns = bars, False

    def _take_columns(self) -> None:
        """Have columns at hand: of many symbols none is ever looked into."""
        bars, self._has_columns = self._bars, True
        self._start_ns: Sequence[int] = bars.start_ns.data
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        self._open, self._high, self._low, self._close, self._volume = map(floats, columns)

    def __getstate__(self) -> dict[str, Any]:
        """All but the bars: who takes it up again has them, see `look_at`."""
        bars = ("_bars", "_has_columns", "_start_ns", "_open", "_high", "_low", "_close", "_volume")
        return {name: value for name, value in vars(self).items() if name not in bars}

    def place(self, terms: OrderTerms, now_ns: int = 0) -> Order:
        """A new order, placed at `now_ns`, working from the next bar on."""
        self.placed = number = self.placed + 1
        if terms.trail is not None:
            self._trails = True
        order = Order(number, terms, self.market.lots(float(terms.quantity)), placed_ns=now_ns)
        self._incoming.append(order)
        return order

    def take_up(self, orders: Iterable[Order], placed: int) -> None:
        """Have these work, of `placed` that there were before."""
        self.placed = placed
        self.working += orders
        self._trails = any(order.terms.trail is not None for order in self.working)

    @property
    def orders(self) -> list[Order]:
        """Orders that have not ended, oldest first."""
        return list(self.working)

    def cancel(self, order: Order, why: Why = BY_STRATEGY, now_ns: int = 0) -> None:
        """End a working order at `now_ns`, for this reason; its fills stay."""
        if order.status == "working":
            self.working.remove(order)
            self._end(order, why, now_ns)
            if order.starved_ns is not None and why.status != "rejected":  # that says why itself
                self.refusals.extend(self._starved(order))

    def _end(self, order: Order, why: Why, now_ns: int) -> None:
        order.why, order.status, order.ended_ns = why, why.status, now_ns
        self.ended += record_of(order)

    def all_refusals(self) -> tuple[Refusal, ...]:
        """Refusals so far, and orders that work but found no volume."""
        return (*self.refusals, *self.starving())

    def starving(self) -> tuple[Refusal, ...]:
        """Of orders that work: those whose prices were met and that found no volume."""
        return tuple(refusal for order in self.working for refusal in self._starved(order))

    def _starved(self, order: Order) -> Iterator[Refusal]:
        """Why an order was never filled, where its prices were met and volume was all it lacked."""
        if order.starved_ns is not None and not order.filled and order.parent is None and order.quantity:
            why = f"costs.volume_share {self.market.volume_share:g} of the bars' volume left it less than a lot"
            yield Refusal(order.starved_ns, order.quantity, why, "no_volume")

    def cancel_all(self, why: Why = BY_STRATEGY, now_ns: int = 0, *, tif: TimeInForce | None = None) -> None:
        """End all orders at `now_ns`, or the working ones of one time in force."""
        for order in self.orders if tif is None else list(self.working):
            if tif is None or order.tif == tif:
                self.cancel(order, why, now_ns)

    @property
    def account_cash(self) -> float:
        """Cash of the account that is traded with."""
        return self.cash

    def account_equity(self, price: float) -> float:
        """What that account is worth with the symbol at `price`."""
        return self.cash + (self.position * price if self.position else 0.0)

    def match(self, row: int) -> None:
        """Let base bar `row` meet the working orders."""
        if not self._has_columns:
            self._take_columns()
        working = self.working
        if len(working) == 1 and working[0].terms.plain and self._fill_whole(working[0], row):
            return
        hits: dict[Order, tuple[int, int, float, float]] = {}
        if self._trails:
            self._follow(row, ended=False)
        for order in working:
            hit = self._hit(order, row)
            if hit is not None:
                hits[order] = (hit[0], order.number, hit[1], order.quantity)
        if hits:
            self._carry_out(hits, row)
        if self._trails:
            self._follow(row, ended=True)

    def _fill_whole(self, order: Order, row: int) -> bool:
        """Fill a market order that works alone, at the open; False, and nothing done, where it may have to be cut."""
        quantity, before, reference = order.quantity, self.position, self._open[row]
        if not quantity or self.market.volume_share is not None:
            return False
        after = before + quantity
        opens = abs(after) > abs(before) or after * before < 0
        if opens and ((after < 0 and not self.account.short) or not self._bears(order, quantity, reference, row)):
            return False
        self._fill(order, quantity, reference, row)
        return True

    def _follow(self, row: int, *, ended: bool) -> None:
        """Move trailing stops by a bar's open, or once it has ended by the best of it that was since they work."""
        for order in self.working:
            if order.terms.trail is not None and not order.triggered:
                best = self._low if order.terms.quantity > 0 else self._high
                prices = self._open if not ended else self._close if order in self._late else best
                order.follow(prices[row])
        self._late.clear()

    def close_session(self, row: int, now_ns: int = 0, *, flat: bool = False) -> None:
        """End what the close after base bar `row` ends, at `now_ns`: day orders; with flat at close, or where it is
        to be `flat`, all orders, and the position by an order of its own.
        """
        if not (flat or self.account.flat_at_close):
            self.cancel_all(CLOSED, now_ns, tif="day")
            return
        self.cancel_all(CLOSED, now_ns)
        if self.position:
            if not self._has_columns:
                self._take_columns()
            self.placed += 1
            end = Order(self.placed, OrderTerms(-self.position), -self.position, why=CLOSED, placed_ns=now_ns)
            self.working.append(end)
            self._fill(end, end.quantity, self._close[row], row, at_close=True)

    def _carry_out(self, hits: dict[Order, tuple[int, int, float, float]], row: int) -> None:
        """Execute what the bar hit, by phase and number; each hit: phase, number, reference price, at most so much."""
        share = self.market.volume_share
        room = inf if share is None else self.market.lots(share * self._volume[row])
        while hits:
            order = min(hits, key=lambda hit: hits[hit][:2]) if len(hits) > 1 else next(iter(hits))
            phase, _, reference, most = hits.pop(order)
            if order.status != "working":
                continue
            before = self.position
            if room <= 0 and order.starved_ns is None:
                order.starved_ns = self._start_ns[row]
            filled = self._execute(order, reference, row, min(room, abs(most))) if room > 0 else 0.0
            room = self.market.lots(room - abs(filled)) if room < inf else inf
            if order.parent is not None:
                if filled or order.triggered:
                    self.cancel(order.parent, GUARD_REACHED, self._start_ns[row])
            elif order.terms.guarded:
                opened = self._opened(before)
                for child in self._protect(order, opened, reference, row, late=phase != _OPEN) if opened else ():
                    hit = self._hit(child, row) if phase == _OPEN or child.stop is not None else None
                    if hit is not None:
                        when, price = hit if phase == _OPEN else (phase, float(child.stop or hit[1]))
                        hits[child] = (when, child.number, price, child.quantity)

    def _hit(self, order: Order, row: int) -> tuple[int, float] | None:
        """When in the bar the order fills, and at what reference price; None where it doesn't."""
        open_, high, low = self._open[row], self._high[row], self._low[row]
        limit, stop, buying = order.terms.limit, order.stop, order.quantity > 0
        if not order.quantity:  # less than a lot: refused whatever its prices
            return _OPEN, open_
        if stop is not None and not order.triggered:
            at_open = open_ >= stop if buying else open_ <= stop
            if not at_open and not (high >= stop if buying else low <= stop):
                return None
            order.triggered = True
            if limit is None:
                return (_OPEN, open_) if at_open else (_STOP, stop)
            if not at_open:
                return (_STOP, stop) if (stop <= limit if buying else stop >= limit) else None
        if limit is None:
            return _OPEN, open_
        if open_ <= limit if buying else open_ >= limit:
            return _OPEN, open_
        return (_LIMIT, limit) if (low <= limit if buying else high >= limit) else None

    def _opened(self, before: float) -> float:
        """What the last fill added to a position, or opened on the other side: signed, 0 where it only closed."""
        after = self.position
        if after * before <= 0:
            return after
        return self.market.lots(after - before) if abs(after) > abs(before) else 0.0

    def _protect(self, parent: Order, opened: float, price: float, row: int, *, late: bool) -> list[Order]:
        """The orders that guard what an entry just opened at `price`; `late`: after the bar's open."""
        asked, children = parent.terms, []
        distance = asked.trailing_stop
        if asked.stop_loss is not None or distance is not None:
            stop = asked.stop_loss if distance is None else None
            child = self._guard(parent, OrderTerms(-opened, stop=stop, trail=distance, tag=asked.tag), row)
            children.append(child)
            if distance is not None and child.stop is None:
                child.stop = asked.stop_loss
                child.follow(price)
                self._trails = True
                if late:
                    self._late.add(child)
        if asked.take_profit is not None:
            children.append(self._guard(parent, OrderTerms(-opened, asked.take_profit, tag=asked.tag), row))
        return children

    def _guard(self, parent: Order, terms: OrderTerms, row: int) -> Order:
        """The order of an entry that guards in this way, made or larger by what `terms` ask for."""
        lots = self.market.lots
        for child in self.working:
            if child.parent is parent and (child.limit is None) == (terms.limit is None):
                child.quantity = lots(child.quantity + terms.quantity)
                child.terms = replace(child.terms, quantity=lots(child.terms.quantity + terms.quantity))
                return child
        self.placed += 1
        child = Order(self.placed, terms, terms.quantity, parent=parent, placed_ns=self._start_ns[row])
        self.working.append(child)
        return child

    def _execute(self, order: Order, reference: float, row: int, most: float) -> float:
        """Fill as much as volume and money allow, at most `most`; the signed quantity filled."""
        quantity = max(-most, min(most, order.quantity))
        if order.parent is not None:  # protection never opens a position
            quantity = max(quantity, -self.position) if quantity < 0 else min(quantity, -self.position)
        affordable, why = self._affordable(order, quantity, reference, row)
        if affordable:
            self._fill(order, affordable, reference, row)
            if self.working:
                self._after_fill(order, affordable, row)
        if why:
            now_ns, (code, text) = self._start_ns[row], why
            self.refusals.append(Refusal(now_ns, order.quantity or order.terms.quantity, text, code))
            self.cancel(order, Why(code, text, "rejected" if not order.filled else "cancelled"), now_ns)
        return affordable

    def _after_fill(self, order: Order, filled: float, row: int) -> None:
        """After a fill: its counterpart shrinks with it, and protection goes that has nothing left to protect."""
        for other in [o for o in self.working if o.parent is not None]:
            if other is not order and order.parent is not None and other.parent is order.parent:
                other.quantity = self.market.lots(other.quantity - filled)
                if not other.quantity:
                    self.cancel(other, COUNTERPART, self._start_ns[row])
            if other.quantity * self.position >= 0:
                self.cancel(other, UNGUARDED, self._start_ns[row])

    def _affordable(
        self, order: Order, quantity: float, reference: float, row: int
    ) -> tuple[float, tuple[str, str] | None]:
        """As much of `quantity` as the account bears, and why not all of it: code and sentence."""
        if not order.quantity:
            return 0.0, ("less_than_a_lot", f"{order.terms.quantity:g} is less than a lot of {self.market.least:g}")
        before = self.position
        after = before + quantity
        if abs(after) <= abs(before) and after * before >= 0:
            return quantity, None
        if after < 0 and not self.account.short:
            return -before, ("no_short", "short selling is off")
        closing = -before if before * quantity < 0 else 0.0
        if why := order.terms.unguarded_at(reference):
            return closing, ("beyond_guard", why)
        if self._bears(order, quantity, reference, row):
            return quantity, None
        opening = quantity - closing
        lot = self.market.lot_size or abs(opening) / 2**40
        low, high = 0, round(abs(opening) / lot)
        while high - low > 1:  # low lots are borne, high are not
            middle = (low + high) // 2
            borne = self._bears(order, closing + copysign(middle * lot, opening), reference, row)
            low, high = (middle, high) if borne else (low, middle)
        cut = self.market.lots(closing + copysign(low * lot, opening))
        means = "money" if order.opens is None else "what was approved"
        return cut, ("no_money", f"{means} suffices for {abs(cut):g} of {abs(quantity):g} at {reference:g}")

    def _bears(self, order: Order, quantity: float, reference: float, row: int) -> bool:
        """Whether money suffices for filling all of `quantity`."""
        if order.opens is not None and self.market.lots(self._opening(quantity) - order.opens) > 0:
            return False
        price = self._price(order, quantity, reference, row) if self._slips else reference
        commission = self.market.commission.of(quantity, price) if self._charges else 0.0
        if order.budget is not None:
            return self.account.margin * max(price, reference) * self._opening(quantity) + commission <= order.budget
        worth = self.cash + self.position * reference
        costs = commission + abs(quantity) * abs(price - reference)
        return worth - costs >= self.account.margin * abs(self.position + quantity) * reference - _DUST * abs(worth)

    def _opening(self, quantity: float) -> float:
        """How much of `quantity` makes a position larger, or opens one on the other side."""
        return abs(quantity) - (min(abs(quantity), abs(self.position)) if self.position * quantity < 0 else 0.0)

    def _price(self, order: Order, quantity: float, reference: float, row: int) -> float:
        if order.limit is not None:
            return reference
        return self.market.slipped(quantity, reference, self._low[row], self._high[row], self._volume[row])

    def _fill(self, order: Order, quantity: float, reference: float, row: int, *, at_close: bool = False) -> None:
        price = self._price(order, quantity, reference, row) if self._slips else reference
        commission = self.market.commission.of(quantity, price) if self._charges else 0.0
        slippage = abs(price - reference) * abs(quantity)
        if order.budget is not None and (opening := self._opening(quantity)):
            order.budget = max(order.budget - self.account.margin * price * opening - commission, 0.0)
            if order.opens is not None:
                order.opens = self.market.lots(max(order.opens - opening, 0.0))
        self.cash -= quantity * price + commission
        held, left = self.position + quantity, order.quantity - quantity
        self.position = self.market.lots(held) if held else 0.0
        bar_ns = self._start_ns[row]
        self.fills.append(Fill(row, bar_ns, quantity, price, commission, slippage, order.number, at_close))
        order.filled += quantity
        order.quantity = self.market.lots(left) if left else 0.0
        if order.quantity == 0 and order.status == "working":
            order.status, order.ended_ns = "filled", order.placed_ns if at_close else bar_ns
            self.working.remove(order)
            self.ended += record_of(order)
