"""What several strategies need of the same bars, computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from barray.market.bars import FloatArray
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.series import IntervalBars

IndicatorValues = Mapping[str, FloatArray]


class Computed:
    """Derived bars and indicator values of one symbol on one range of sessions, shared by all that run on it.

    Derived bars stay; of indicator values at most `most_bytes`, those not used for longest go first.
    """

    def __init__(self, most_bytes: int = 256 * 1024 * 1024) -> None:
        self._series: dict[Interval, IntervalBars] = {}
        self._values: OrderedDict[IndicatorSpec, IndicatorValues] = OrderedDict()
        self._left = most_bytes

    def series(self, interval: Interval, make: Callable[[], IntervalBars]) -> IntervalBars:
        """Bars of `interval`, made by `make` the first time."""
        if interval not in self._series:
            self._series[interval] = make()
        return self._series[interval]

    def values(self, spec: IndicatorSpec, make: Callable[[], IndicatorValues]) -> IndicatorValues:
        """Values of an indicator, made by `make` where they are not held."""
        held = self._values.get(spec)
        if held is not None:
            self._values.move_to_end(spec)
            return held
        made = make()
        self._values[spec] = made
        self._left -= _bytes(made)
        while self._left < 0 and len(self._values) > 1:
            _, gone = self._values.popitem(last=False)
            self._left += _bytes(gone)
        return made


def _bytes(values: IndicatorValues) -> int:
    return sum(column.nbytes for column in values.values())
