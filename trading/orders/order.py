"""An order on its way, and what is kept of it when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from barray.trading.orders.reasons import NOT_SAID, Why
from barray.trading.orders.terms import OrderTerms, TimeInForce


@dataclass(eq=False, slots=True)
class Order:
    """An order on its way. `terms`: what was asked for; `quantity` (signed): whole lots that are left of it. `status`:
    working, filled, cancelled, expired or rejected. `stop`: stop price; of a trailing stop where it stands, None before
    it meets a bar. `budget`: money set aside for what it opens of a position, less what was spent of it. `opens`: most
    of it that may open one, in shares, where exposure is limited. `starved_ns`: start of the first bar that would have
    filled it, had it had the volume. `decided_ns`: when, UTC ns, where it had to wait for its account. `placed_ns`:
    when it was placed; `ended_ns`: start of the bar that filled the last of it or ended it, else when it ended, -1
    while it works. `why`: it ended, or was cut.
    """

    number: int
    terms: OrderTerms
    quantity: float
    status: str = "working"
    why: Why = NOT_SAID
    filled: float = 0.0
    parent: Order | None = None
    triggered: bool = False
    budget: float | None = None
    opens: float | None = None
    starved_ns: int | None = None
    decided_ns: int | None = None
    stop: float | None = None
    placed_ns: int = 0
    ended_ns: int = -1

    def __post_init__(self) -> None:
        if self.stop is None:
            self.stop = self.terms.stop

    def follow(self, price: float) -> None:
        """Move a trailing stop by a price that there was, if that is a better one."""
        level = self.terms.level(price)
        if self.stop is None or (level < self.stop if self.terms.quantity > 0 else level > self.stop):
            self.stop = level

    @property
    def reason(self) -> str:
        """Why it ended, or was cut; "" where there is nothing to be said."""
        return self.why.text

    @property
    def limit(self) -> float | None:
        """Limit price."""
        return self.terms.limit

    @property
    def tif(self) -> TimeInForce:
        """Time in force: gtc or day."""
        return self.terms.tif

    @property
    def stop_loss(self) -> float | None:
        """Price at which what it opens is closed with a loss."""
        return self.terms.stop_loss

    @property
    def take_profit(self) -> float | None:
        """Price at which what it opens is closed with a profit."""
        return self.terms.take_profit

    @property
    def tag(self) -> str:
        """The strategy's own note."""
        return self.terms.tag

    @property
    def kind(self) -> str:
        """Market, limit, stop, stop_limit or trailing_stop."""
        if self.terms.trail is not None:
            return "trailing_stop"
        if self.stop is None:
            return "market" if self.limit is None else "limit"
        return "stop" if self.limit is None else "stop_limit"


def record_of(order: Order) -> tuple[Any, ...]:
    """What is kept of an order that ended: plain values, which Python's collector of garbage need not look at."""
    terms, parent = order.terms, order.parent
    return (
        order.number,
        order.placed_ns,
        order.ended_ns,
        terms.quantity,
        order.filled,
        order.status,
        order.why,
        terms.limit,
        terms.stop,
        terms.trail,
        terms.tif,
        terms.tag,
        0 if parent is None else parent.number,
    )


@dataclass(frozen=True)
class Refusal:
    """An order, or a part of one, that was not executed: when (start of the base bar, UTC ns) and why; `code`: see
    barray.trading.orders.reasons.
    """

    bar_ns: int
    quantity: float
    reason: str
    code: str = ""
