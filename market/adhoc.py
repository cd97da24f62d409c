"""The light checks an adhoc bar or indicator has to pass. Step 0 is not among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from barray.market.bars import COLUMNS, Bar, Bars, format_ns, value_problem
from barray.market.errors import BarrayError, ConfigError, DataError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions, stamp_daily
from barray.market.symbols import symbol_problem

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_NS, _LAST_NS = -(9_214 * 10**15), 9_214 * 10**15  # what int64 nanoseconds reach, less a day for local midnights


def parse_bar(bar: Bar | Mapping[str, Any]) -> Bar:
    """A Bar from a mapping with `timestamp` (aware datetime or ISO text with an offset) or `start_ns`, and the columns.

    Raises ConfigError naming the key at fault.
    """
    if not isinstance(bar, Bar | Mapping):
        raise ConfigError(f"{bar!r} is not a bar", remedy=f"give timestamp, {', '.join(COLUMNS)}")
    bar = asdict(bar) if isinstance(bar, Bar) else bar
    entries = dict(bar)
    values = []
    for name in COLUMNS:
        try:
            value = entries.pop(name)
            if isinstance(value, bool):
                raise TypeError
            values.append(float(value))
        except KeyError:
            raise ConfigError(f"the bar has no {name}", remedy=f"give timestamp, {', '.join(COLUMNS)}") from None
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"the bar's {name} is {bar[name]!r}", remedy="give a number") from None
    start_ns = _parse_stamp(entries.pop("timestamp", None)) if "timestamp" in entries else entries.pop("start_ns", None)
    if not isinstance(start_ns, int | np.integer) or isinstance(start_ns, bool):
        raise ConfigError("the bar has no timestamp", remedy="give its start, such as 2024-07-01T13:30:00Z")
    if not _FIRST_NS <= start_ns <= _LAST_NS:
        raise ConfigError(
            "the bar's start lies outside the years 1678 to 2261", remedy="give UTC nanoseconds since 1970"
        )
    if entries:
        raise ConfigError(
            f"a bar has no {min(map(str, entries))!r}", remedy=f"its keys are timestamp, {', '.join(COLUMNS)}"
        )
    return Bar(int(start_ns), *values)


def _parse_stamp(stamp: Any) -> int:
    if isinstance(stamp, str):
        try:
            stamp = datetime.fromisoformat(stamp)
        except ValueError:
            raise ConfigError(f"{stamp!r} is not a time", remedy="write it as 2024-07-01T13:30:00Z") from None
    if not isinstance(stamp, datetime):
        raise ConfigError(f"{stamp!r} is not a time", remedy="give a datetime, or text such as 2024-07-01T13:30:00Z")
    if stamp.tzinfo is None:
        raise ConfigError(f"{stamp.isoformat()} has no time zone", remedy="add one, such as Z for UTC")
    return (stamp - _EPOCH) // timedelta(microseconds=1) * 1_000


def validate_adhoc_bar(
    symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any], context: SessionContext, now_ns: int
) -> tuple[bool, str]:
    """Known interval, sane values, a stamp on the session grid, and closed by `now_ns`. Gives (ok, reason)."""
    try:
        series = adhoc_series(symbol, Interval.parse(interval), [parse_bar(bar)], context)
    except BarrayError as error:
        return False, str(error)
    end_ns = int(series.end_ns[0])
    if end_ns > now_ns:
        return (
            False,
            f"the bar closes at {format_ns(end_ns)}, after session time {format_ns(now_ns)}; add it once it has closed",
        )
    return True, ""


def validate_adhoc_indicator(symbol: str, config: str | Mapping[str, Any] | IndicatorSpec) -> tuple[bool, str]:
    """Known function, parameters and interval. Gives (ok, reason)."""
    if problem := symbol_problem(symbol):
        return False, problem
    try:
        parse_indicator(config)
    except BarrayError as error:
        return False, str(error)
    return True, ""


def adhoc_series(symbol: str, interval: Interval, bars: list[Bar], context: SessionContext) -> IntervalBars:
    """Adhoc bars laid on the sessions, oldest first.

    DataError where one is no bar, off the grid or outside the hours; ConfigError for the symbol.
    """
    if problem := symbol_problem(symbol):
        raise ConfigError(problem, code="bad_symbol")
    for bar in bars:
        if problem := value_problem(bar, context.prices):
            raise DataError(
                f"bar at {format_ns(bar.start_ns)}: {problem}", symbol=symbol, interval=str(interval), code="bad_values"
            )
    columns = Bars.of(sorted((place(bar, interval, context) for bar in bars), key=lambda bar: bar.start_ns))
    series = lay_on_sessions(
        columns, interval, context.sessions, context.row, symbol=symbol, source="adhoc", prices=context.prices
    )
    if len(series) < len(bars):
        kept = set(series.bars.start_ns.tolist())
        stamp = next(int(ns) for ns in columns.start_ns if int(ns) not in kept)
        first, last = context.sessions.dates[[0, -1]]
        raise DataError(
            f"the bar at {format_ns(stamp)} lies outside the {context.hours} hours of the sessions {first} to {last}",
            symbol=symbol,
            interval=str(interval),
            code="outside_session",
        )
    return series


def place(bar: Bar, interval: Interval, context: SessionContext) -> Bar:
    """The bar with its stamp where this interval's bars begin (a daily bar's midnight becomes the session open)."""
    if interval.is_intraday:
        return bar
    moved = stamp_daily(np.array([bar.start_ns], np.int64), interval, context.sessions)
    return replace(bar, start_ns=int(moved[0]))
