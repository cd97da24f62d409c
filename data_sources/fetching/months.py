"""Months of the exchange: what a store's files are named by."""

from __future__ import annotations

from datetime import date, datetime, time
from functools import cache
from zoneinfo import ZoneInfo

from barray.data_sources.fetching.ranges import Range
from barray.market.calendar import local_ns
from barray.market.interval import NS_PER_SECOND

EXCHANGE = ZoneInfo("America/New_York")
"""Whose months the files are named by: a session's late hours belong to its own day."""


def months_of(start_ns: int, end_ns: int) -> list[str]:
    """The months that `[start_ns, end_ns)` lies in, in order."""
    if end_ns <= start_ns:
        return []
    month = datetime.fromtimestamp(start_ns // NS_PER_SECOND, EXCHANGE).strftime("%Y-%m")
    found = [month]
    while span_of(month)[1] < end_ns:
        month = _next(month)
        found.append(month)
    return found


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


@cache
def span_of(month: str) -> Range:
    """First instant of a month and of the next, UTC ns."""
    start, end = (date.fromisoformat(f"{name}-01") for name in (month, _next(month)))
    return midnight_ns(start), midnight_ns(end)


@cache
def midnight_ns(day: date) -> int:
    """When a day begins at the exchange, UTC ns."""
    return local_ns(day, time(), EXCHANGE)
