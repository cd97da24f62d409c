"""What a strategy needs of every symbol, as Step 0 requires it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval


@dataclass(frozen=True)
class Needs:
    """What a strategy object needs of every symbol. `interval`: its main one; `indicators` by the strategy's names."""

    interval: Interval
    intervals: tuple[Interval, ...]
    indicators: Mapping[str, IndicatorSpec]
