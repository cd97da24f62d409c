"""The array form of a strategy: its decisions as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray
from barray.market.errors import ConfigError

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Signals:
    """What to do at the close of each bar of the strategy's interval; all arrays (n,), n = len(data.bars).

    `entries`: buy `size` shares (0: none) where no position is held and no order works. `exits`: cancel what works of a
    long entry and sell the long position. `short_entries`, `short_exits`: the same the other way round. An entry of a
    bar that also has an exit of its side counts for nothing, as do a long and a short entry of one bar; an exit with
    the other side's entry reverses a position in one order. `stop_loss`, `take_profit`: prices that guard the entries
    of their bar, NaN for none; `trailing_stop`: the distance of a stop that guards them and follows. All others are
    market orders: they fill at the next base bar's open.
    """

    entries: BoolArray
    exits: BoolArray
    short_entries: BoolArray | None = None
    short_exits: BoolArray | None = None
    size: float | FloatArray = 1.0
    stop_loss: FloatArray | None = None
    take_profit: FloatArray | None = None
    trailing_stop: FloatArray | None = None

    def check(self, bars: int) -> None:
        """Raise ConfigError where these are not the decisions of `bars` bars."""
        for name in ("entries", "exits", "short_entries", "short_exits"):
            array = getattr(self, name)
            if array is not None and (
                not isinstance(array, np.ndarray) or array.dtype != np.bool_ or array.shape != (bars,)
            ):
                raise ConfigError(
                    f"signals: {name} is no bool array of {bars} bars", remedy="return one value a bar of data"
                )
        for name in ("size", "stop_loss", "take_profit", "trailing_stop"):
            array = getattr(self, name)
            if isinstance(array, np.ndarray) and array.shape != (bars,):
                raise ConfigError(
                    f"signals: {name} has shape {array.shape}", remedy=f"return one value for each of {bars} bars"
                )
        entering = self.entries if self.short_entries is None else self.entries | self.short_entries
        for name in ("size", "stop_loss", "take_profit", "trailing_stop"):
            low = 0.0 if name == "size" else np.nextafter(0.0, 1.0)
            value = getattr(self, name)
            if value is None:
                continue
            at = value[entering] if isinstance(value, np.ndarray) else np.array([value], np.float64)
            good = (at >= low) & (at < np.inf) | (np.isnan(at) if name != "size" else False)
            if not good.all():
                raise ConfigError(f"signals: {name} is {at[~good][0]} at an entry", remedy="give a number above 0")
