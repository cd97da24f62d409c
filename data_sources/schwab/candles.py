"""Schwab's candles as bars: checked, in the range that was asked for, stamped as ours are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from barray.data_sources.fetching.months import midnight_ns
from barray.data_sources.fetching.vendor import PageRequest
from barray.market.bars import COLUMNS, Bars, IntArray
from barray.market.interval import NS_PER_DAY, Interval

_LATEST_MS = 4_102_444_800_000  # 2100
_EPOCH = date(1970, 1, 1)


def bars_of(held: Any, symbol: str, request: PageRequest) -> Bars:
    """The answer's bars in the range, days and weeks (from Monday) stamped with New York's midnight.

    Raises of anything else than Schwab's own form.
    """
    candles, empty = held["candles"], held["empty"]
    if not isinstance(candles, list) or empty is not (not candles):
        raise ValueError(f"candles are {type(candles).__name__}, empty is {empty!r}")
    if str(held["symbol"]).replace("/", ".") != symbol:
        raise ValueError(f"it is about {held['symbol']}")
    stamps = _stamps(_numbers(candles, "datetime"), request.interval)
    bars = Bars(stamps, *(_numbers(candles, name).astype(np.float64) for name in COLUMNS))
    return request.checked(bars, symbol, "schwab")


def _numbers(candles: Sequence[Mapping[str, Any]], name: str) -> Any:
    column = np.array([candle[name] for candle in candles])
    if column.ndim != 1 or (len(column) and column.dtype.kind not in "iuf"):
        raise ValueError(f"{name} is not a number everywhere")
    return column


def _stamps(stamp_ms: Any, interval: Interval) -> IntArray:
    """Starts of bars. Schwab stamps days with Chicago's midnight, weeks with one of some day in them."""
    if len(stamp_ms) and not (stamp_ms.dtype.kind in "iu" and stamp_ms.min() >= 0 and stamp_ms.max() < _LATEST_MS):
        raise ValueError("a datetime is none")
    stamps: IntArray = stamp_ms.astype(np.int64) * 1_000_000
    if interval.is_intraday:
        return stamps
    days = stamps // NS_PER_DAY  # a US midnight, and all of the session, are of the same date in UTC
    if interval.unit == "w":
        days -= (days + 3) % 7  # 1970-01-01 was a Thursday
    return np.array([midnight_ns(_EPOCH + timedelta(days=day)) for day in days.tolist()], np.int64)
