"""What a fill costs: commissions, slippage, and the market's rounding and limits. Scalars and arrays alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, copysign, trunc
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray

Number = TypeVar("Number", float, FloatArray)
_DUST = 1e-9
_NEARLY = 1.0 + 1e-12
_ON_ARRAYS: tuple[Any, ...] = (np.minimum, np.maximum, np.ceil, np.rint)
_ON_FLOATS: tuple[Any, ...] = (min, max, ceil, round)  # NumPy is ten times as slow over a single float


def whole(lots: float) -> float:
    """Rounded towards zero; what is less than rounding dust below a whole number is that."""
    return float(trunc(lots * _NEARLY + copysign(_DUST, lots)))


@dataclass(frozen=True)
class Commission:
    """Per fill, in currency: `per_share` × shares + `per_trade` + `bps` of the value, at least `minimum`."""

    per_share: float = 0.0
    per_trade: float = 0.0
    bps: float = 0.0
    minimum: float = 0.0

    def of(self, quantity: Number, price: Number) -> Number:
        """Commission of filling `quantity` (either sign) at `price`."""
        shares = abs(quantity)
        if not (self.per_share or self.per_trade or self.bps or self.minimum):
            return 0.0 * shares
        raw = self.per_share * shares + self.per_trade + self.bps * 1e-4 * shares * price
        if isinstance(raw, np.ndarray):
            return np.where(shares > 0, np.maximum(raw, self.minimum), 0.0)
        return max(raw, self.minimum) if shares > 0 else 0.0


@dataclass(frozen=True)
class Slippage:
    """How much worse than the reference price a market or stop order fills.

    `per_share`: currency a share. `bps`: of the price. `impact`: of the price, times the square of the fill's share of
    the bar's volume (zipline's volume share model). Limit orders do not slip.
    """

    per_share: float = 0.0
    bps: float = 0.0
    impact: float = 0.0

    def of(self, quantity: Number, price: Number, volume: Number) -> Number:
        """Currency a share, never negative."""
        slip = self.per_share + self.bps * 1e-4 * price
        if self.impact:
            least, most, *_ = _ON_ARRAYS if isinstance(price, np.ndarray) else _ON_FLOATS
            share = least(abs(quantity) / most(volume, 1.0), 1.0)
            slip = slip + self.impact * share * share * price
        return slip


@dataclass(frozen=True)
class Market:
    """How orders are executed.

    `lot_size`: quantities are rounded down to a multiple of it, 0 leaves them alone. `tick_size`: prices of fills that
    slipped are rounded to it, against the order; 0 leaves them alone. `volume_share`: of a bar's volume that all orders
    together may fill; None for any, even in a bar without volume (indexes and some feeds have none). No fill leaves its
    bar's range, whatever the slippage.
    """

    commission: Commission = Commission()
    slippage: Slippage = Slippage()
    lot_size: float = 1.0
    tick_size: float = 0.0
    volume_share: float | None = None

    @cached_property
    def slips(self) -> bool:
        """Whether fills may be at other prices than those of reference."""
        return self.slippage != Slippage()

    @cached_property
    def charges(self) -> bool:
        """Whether fills cost commissions."""
        return self.commission != Commission()

    @property
    def least(self) -> float:
        """The smallest quantity that is traded."""
        return self.lot_size or _DUST

    def lots(self, quantity: float) -> float:
        """`quantity` rounded towards zero to whole lots; what is less than rounding dust is 0."""
        if not self.lot_size:
            return quantity if abs(quantity) > _DUST else 0.0
        return whole(quantity / self.lot_size) * self.lot_size

    def slipped(self, quantity: Number, reference: Number, low: Number, high: Number, volume: Number) -> Number:
        """Price at which `quantity` (signed) fills whose reference price is `reference`, inside [low, high]."""
        slippage = self.slippage
        if not (slippage.per_share or slippage.bps or slippage.impact):
            return reference
        least, most, ceil, whole = _ON_ARRAYS if isinstance(reference, np.ndarray) else _ON_FLOATS
        side = 2.0 * (quantity > 0) - 1.0
        price = reference + side * slippage.of(quantity, reference, volume)
        if self.tick_size:
            ticks = side * price / self.tick_size
            price = side * ceil(ticks - _DUST) * self.tick_size
            price = whole(price * 1e10) / 1e10  # 1013 × 0.01 is 10.129999999999999
        return least(most(price, low), high)  # type: ignore[no-any-return]


def lots_array(quantity: FloatArray, lot_size: float) -> FloatArray:
    """`Market.lots` of many."""
    if not lot_size:
        return np.where(np.abs(quantity) > _DUST, quantity, 0.0)
    ratio = quantity / lot_size if lot_size != 1.0 else quantity
    lots: NDArray[np.float64] = ratio * _NEARLY
    lots += np.copysign(_DUST, ratio)
    np.trunc(lots, lots)
    if lot_size != 1.0:
        lots *= lot_size
    return lots
