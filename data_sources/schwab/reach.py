"""How far back Schwab's bars go. Its answers are silent about it: what is not there looks as if it had never been."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

import numpy as np

from barray.data_sources.fetching.vendor import PageRequest, RequestRefused
from barray.market.bars import Bars, format_ns
from barray.market.interval import NS_PER_SECOND, Interval

_DAY = timedelta(days=1)
_MINUTE = Interval(1, "m")
_INTERVALS = tuple(map(Interval.parse, ("1m", "5m", "10m", "15m", "30m", "1d", "1w")))
_QUIET_DAYS = 2  # from Monday to Friday: holidays
_REMEDY = "begin later, take coarser bars, or another source"


def _seen(interval: Interval) -> timedelta | None:
    """The most that was seen, as schwab-py says; None where no end is known."""
    return timedelta(days=48 if interval == _MINUTE else 270) if interval.is_intraday else None


def _sure(interval: Interval) -> timedelta | None:
    """What nobody has seen less than."""
    return timedelta(days=30 if interval == _MINUTE else 180) if interval.is_intraday else None


NATIVE: Mapping[Interval, timedelta | None] = MappingProxyType(
    {interval: back - _DAY if (back := _seen(interval)) else None for interval in _INTERVALS}
)
"""Intervals Schwab serves. A day less than was seen: what is planned with it is asked for a little later."""


def check_asked(request: PageRequest, now_ns: int) -> None:
    """RequestRefused if no answer can be believed, so far back does the range begin."""
    back = _seen(request.interval)
    if back is not None and request.start_ns < now_ns - _ns(back):
        raise RequestRefused(
            f"{format_ns(request.start_ns)} is too far back: Schwab has {request.interval} of {back.days} days",
            source="schwab",
            remedy=_REMEDY,
        )


def check_shown(request: PageRequest, bars: Bars, now_ns: int) -> None:
    """RequestRefused if the answer may have been cut: it begins late, in a range that begins very far back.

    An answer without bars is believed if its range comes near: then the symbol has none.
    """
    back = _sure(request.interval)
    if back is None or request.start_ns >= (sure_ns := now_ns - _ns(back)):
        return
    first_ns = int(bars.start_ns[0]) if len(bars) else request.end_ns
    quiet = np.busday_count(_date(request.start_ns), _date(first_ns))
    if quiet > _QUIET_DAYS and (len(bars) or request.end_ns <= sure_ns):
        found = f"its {request.interval} begin at {format_ns(first_ns)}" if len(bars) else "it shows none"
        raise RequestRefused(
            f"bars from {format_ns(request.start_ns)} on were asked for, and {found}: the others may lie too far back",
            source="schwab",
            remedy=_REMEDY,
        )


def _date(stamp_ns: int) -> date:
    return datetime.fromtimestamp(stamp_ns // NS_PER_SECOND, UTC).date()


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * NS_PER_SECOND
