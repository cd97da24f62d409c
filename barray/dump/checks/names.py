"""Reads the names and dates in a dump: a violation for one that is none, or is written otherwise than we write it."""

from __future__ import annotations

from datetime import date
from typing import TypeVar

from barray.dump.violations import Findings
from barray.market.errors import BarrayError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval

_Name = TypeVar("_Name", Interval, IndicatorSpec)


def canonical(parsed: _Name | None, text: str, place: str, code: str, out: Findings) -> _Name | None:
    """`parsed` if `text` is how it is written (no `60m` for `1h`), else None with a violation."""
    written = parsed.key if isinstance(parsed, IndicatorSpec) else str(parsed) if parsed else None
    if parsed is None or written != text:
        out.add(place, code, text, written or "one that barray knows")
        return None
    return parsed


def read_interval(text: str, place: str, out: Findings) -> Interval | None:
    """The interval, or None with a violation."""
    try:
        parsed: Interval | None = Interval.parse(text)
    except BarrayError:
        parsed = None
    return canonical(parsed, text, place, "bad_interval", out)


def read_indicator(text: str, place: str, out: Findings) -> IndicatorSpec | None:
    """The indicator, or None with a violation."""
    try:
        parsed: IndicatorSpec | None = parse_indicator(text)
    except BarrayError:
        parsed = None
    return canonical(parsed, text, place, "bad_indicator", out)


def parse_date(text: str, place: str, out: Findings) -> date | None:
    """The day, or None with a violation."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        out.add(place, "bad_date", text, "a date such as 2024-07-01")
        return None
    return day
