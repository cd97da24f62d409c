"""What an order asks for, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal, TypedDict

from barray.market.errors import ConfigError

TimeInForce = Literal["gtc", "day"]
_PRICES = ("limit", "stop", "stop_loss", "take_profit")


class OrderOptions(TypedDict, total=False):
    """What may be said of an order beside its quantity; see OrderTerms."""

    limit: float | None
    stop: float | None
    trail: float | None
    tif: TimeInForce
    stop_loss: float | None
    take_profit: float | None
    trailing_stop: float | None
    tag: str


@dataclass(slots=True)  # frozen, making one would take three times as long
class OrderTerms:
    """What an order asks for; nothing changes it. `quantity`: shares, negative to sell; prices in currency, None for
    none.

    `limit` and `stop` make it a limit, stop or stop-limit order; `trail` a stop order that follows the best price at
    this distance, in currency. `tif`: `gtc` until cancelled, or `day`. `stop_loss`, `take_profit`: prices that guard
    what it opens; `trailing_stop`: distance at which a stop that guards it follows. `tag`: the strategy's own note.
    ConfigError where it makes no sense: a number that is none, a price or distance of 0 or less, another `tif`, a
    limit or stop that is not between its guards, `trail` beside either.

    `plain`: it is a market order, and guards nothing.
    """

    quantity: float
    limit: float | None = None
    stop: float | None = None
    tif: TimeInForce = "gtc"
    stop_loss: float | None = None
    take_profit: float | None = None
    tag: str = ""
    trail: float | None = None
    trailing_stop: float | None = None
    plain: bool = field(init=False, repr=False, default=True)

    def __post_init__(self) -> None:
        if not isfinite(self.quantity):
            raise ConfigError(f"an order's quantity is {self.quantity}", remedy="give a number of shares")
        if self.tif not in ("gtc", "day"):
            raise ConfigError(f"tif is {self.tif!r}", remedy="choose gtc or day")
        if not self.limit is self.stop is self.stop_loss is self.take_profit is None:
            self.plain = False
            self._check_prices()
        if not self.trail is self.trailing_stop is None:
            self.plain = False
            self._check_distances()

    def _check_prices(self) -> None:
        limit, stop = self.limit, self.stop
        for number, price in enumerate((limit, stop, self.stop_loss, self.take_profit)):
            if price is not None and not 0.0 < price < inf:
                raise ConfigError(f"{_PRICES[number]} is {price}", remedy="give a price above 0")
        for entry in (limit, stop):
            if entry is not None and (why := self.unguarded_at(entry)):
                raise ConfigError(why, remedy="a buy's stop_loss lies below its entry and its take_profit above it")

    def _check_distances(self) -> None:
        for name in ("trail", "trailing_stop"):
            distance = getattr(self, name)
            if distance is not None and not (isfinite(distance) and distance > 0):
                raise ConfigError(f"{name} is {distance}", remedy="give a distance above 0, in currency")
        if self.trail is not None and not self.limit is self.stop is None:
            raise ConfigError(
                "an order with trail has a limit or stop too",
                remedy="leave them out: a trailing stop finds its own price",
            )

    def level(self, price: float) -> float:
        """Where a trailing stop stands that this price moved, to 10 decimals: 100.07 - 0.2 is to be 99.87."""
        distance = self.trail or 0.0
        return round(price + distance if self.quantity > 0 else price - distance, 10)

    @property
    def guarded(self) -> bool:
        """Whether what it opens is to be guarded."""
        return not self.stop_loss is self.take_profit is self.trailing_stop is None

    @property
    def price(self) -> float | None:
        """What it is expected to fill at: the limit, else the stop, None where it has neither."""
        return self.limit if self.limit is not None else self.stop

    def unguarded_at(self, entry: float) -> str:
        """Why a fill at the price `entry` would lie beyond the stop_loss or take_profit; "" where it doesn't."""
        stop_loss, take_profit = self.stop_loss, self.take_profit
        if stop_loss is take_profit is None:
            return ""
        below, above, side = ("below", "above", 1.0) if self.quantity > 0 else ("above", "below", -1.0)
        if stop_loss is not None and side * stop_loss >= side * entry:
            return f"stop_loss {stop_loss:g} is not {below} the entry at {entry:g}"
        if take_profit is not None and side * take_profit <= side * entry:
            return f"take_profit {take_profit:g} is not {above} the entry at {entry:g}"
        return ""
