"""What an order asks for, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypedDict

from barray.market.errors import ConfigError

TimeInForce = Literal["gtc", "day"]


class OrderOptions(TypedDict, total=False):
    """What may be said of an order beside its quantity; see OrderTerms."""

    limit: float | None
    stop: float | None
    tif: TimeInForce
    stop_loss: float | None
    take_profit: float | None
    tag: str


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What an order asks for. `quantity`: shares, negative to sell; prices in currency, None for none.

    `limit` and `stop` make it a limit, stop or stop-limit order; `tif`: `gtc` until cancelled, or `day`. `stop_loss`,
    `take_profit`: prices that guard what it opens. `tag`: the strategy's own note. ConfigError where it makes no sense:
    a number that is none, a price of 0 or less, another `tif`, a limit or stop that is not between its guards.
    """

    quantity: float
    limit: float | None = None
    stop: float | None = None
    tif: TimeInForce = "gtc"
    stop_loss: float | None = None
    take_profit: float | None = None
    tag: str = ""

    def __post_init__(self) -> None:
        if not isfinite(self.quantity):
            raise ConfigError(f"an order's quantity is {self.quantity}", remedy="give a number of shares")
        if self.tif not in ("gtc", "day"):
            raise ConfigError(f"tif is {self.tif!r}", remedy="choose gtc or day")
        if not self.limit is self.stop is self.stop_loss is self.take_profit is None:
            self._check_prices()

    def _check_prices(self) -> None:
        for name in ("limit", "stop", "stop_loss", "take_profit"):
            price = getattr(self, name)
            if price is not None and not (isfinite(price) and price > 0):
                raise ConfigError(f"{name} is {price}", remedy="give a price above 0")
        for entry in (self.limit, self.stop):
            if entry is not None and (why := self.unguarded_at(entry)):
                raise ConfigError(why, remedy="a buy's stop_loss lies below its entry and its take_profit above it")

    @property
    def price(self) -> float | None:
        """What it is expected to fill at: the limit, else the stop, None for a market order."""
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
