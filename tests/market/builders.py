"""Makers of small sessions, bars and symbols, and an in-memory source of bars."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import Bar, Bars
from barray.market.calendar import RegularSessions, Sessions, TradingCalendar, exchange_sessions, load_calendar
from barray.market.commands import Command, Load, TakeSnapshot
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, SymbolRequirements, calendar_for, session_context
from barray.market.series import IntervalBars, lay_on_sessions
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession

MINUTE_NS = 60 * 1_000_000_000
NEW_YORK = ZoneInfo("America/New_York")
WEDNESDAY = date(2024, 6, 5)
HALF_DAY = date(2024, 7, 3)


def utc_ns(text: str) -> int:
    """UTC nanoseconds of `2024-06-05T13:30` (UTC, or with an offset)."""
    stamp = datetime.fromisoformat(text)
    return int((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def new_york_ns(day: date, wall_time: str) -> int:
    """UTC nanoseconds of a New York wall-clock time such as `09:30`."""
    return int(datetime.combine(day, time.fromisoformat(wall_time), NEW_YORK).timestamp()) * 1_000_000_000


def intervals(*texts: str) -> tuple[Interval, ...]:
    return tuple(map(Interval.parse, texts))


def indicators(*texts: str) -> tuple[IndicatorSpec, ...]:
    return tuple(map(parse_indicator, texts))


@functools.cache
def _twenty_years(name: str) -> RegularSessions:
    return exchange_sessions(name, date(2005, 1, 1), date(2026, 12, 31))


def sessions_of(name: str, first: date, last: date) -> RegularSessions:
    """A SessionSource. To look each range up by itself would take a tenth of a second."""
    return _twenty_years(name).between(first, last)


@functools.cache
def calendar(name: str, first: date, last: date, hours: str = "regular") -> TradingCalendar:
    return load_calendar(name, first, last, hours=hours, source=sessions_of)


def require(*texts: str, specs: Sequence[str] = (), trailing_days: int = 0, max_missing: int = 0) -> SymbolRequirements:
    return SymbolRequirements(intervals(*texts), indicators(*specs), trailing_days, max_missing)


@functools.cache
def context_for(
    requirements: SymbolRequirements, day: date = WEDNESDAY, name: str = "XNYS", hours: str = "regular"
) -> SessionContext:
    found = calendar_for(requirements, name, day, day, hours=hours, source=sessions_of)
    return session_context(requirements, found, day)


def expected_stamps(sessions: Sessions, row: int, step_ns: int = MINUTE_NS) -> np.ndarray:
    """Starts of all bars of a session, counted one by one from the open: every `step_ns`, but in the midday break."""
    return np.array(
        [
            stamp
            for stamp in range(int(sessions.open_ns[row]), int(sessions.close_ns[row]), step_ns)
            if not int(sessions.break_start_ns[row]) <= stamp < int(sessions.break_end_ns[row])
        ],
        np.int64,
    )


def walk(stamps: np.ndarray, seed: int = 0) -> Bars:
    """A random walk in cents with whole volumes, so that sums are exact."""
    random = np.random.default_rng(seed)
    n = len(stamps)
    close = 10_000 + np.cumsum(random.integers(-20, 21, n))
    open_ = close + random.integers(-15, 16, n)
    high = np.maximum(open_, close) + random.integers(0, 10, n)
    low = np.minimum(open_, close) - random.integers(0, 10, n)
    volume = random.integers(0, 5_000, n).astype(np.float64)
    return Bars(stamps.copy(), *(column / 100.0 for column in (open_, high, low, close)), volume)


def session_walk(context: SessionContext, seed: int = 0, interval: str = "1m") -> Bars:
    """A random walk over all that `context` loads, no bar missing."""
    rows = range(context.history_row, context.row + 1)
    step_ns = Interval.parse(interval).ns
    return walk(np.concatenate([expected_stamps(context.sessions, row, step_ns) for row in rows]), seed)


def flat(start_ns: int, price: float = 100.0, volume: float = 10.0) -> Bar:
    """A bar that never moved."""
    return Bar(start_ns, price, price, price, price, volume)


def lay(bars: Bars, interval: str, sessions: Sessions, row: int = 0) -> IntervalBars:
    return lay_on_sessions(bars, Interval.parse(interval), sessions, row, symbol="TEST", source="memory")


def with_bar(bars: Bars, row: int, **changes: float) -> Bars:
    """The same bars, one of them changed."""
    return Bars.of([replace(bars[i], **changes) if i == row else bars[i] for i in range(len(bars))])


def days_of(bars: Bars, sessions: Sessions) -> Bars:
    """The daily bars of minutes, counted one by one, of the sessions that they span."""
    rows = []
    for open_ns, close_ns in zip(sessions.open_ns.tolist(), sessions.close_ns.tolist(), strict=True):
        own = bars.take((bars.start_ns >= open_ns) & (bars.start_ns < close_ns))
        if len(own):
            high, low = max(own.high.tolist()), min(own.low.tolist())
            total = sum(own.volume.tolist())
            rows.append(Bar(open_ns, float(own.open[0]), high, low, float(own.close[-1]), total))
    return Bars.of(rows)


@dataclass(frozen=True)
class MemoryReader:
    """A source of record that holds its bars in memory."""

    bars: Bars
    name: str = "memory"

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        inside = (self.bars.start_ns >= sessions.open_ns[0]) & (self.bars.start_ns < sessions.close_ns[-1])
        return self.bars.take(inside)


def load_command(
    requirements: SymbolRequirements,
    context: SessionContext,
    bars: Bars,
    *,
    base: str = "1m",
    added_by: str = "config",
    at_ns: int | None = None,
) -> Load:
    return Load(
        context,
        MemoryReader(bars),
        Interval.parse(base),
        requirements.intervals,
        requirements.indicators,
        added_by,
        context.open_ns if at_ns is None else at_ns,
    )


def run(session: SymbolSession, *commands: Command) -> SymbolSession:
    """Apply the commands, reading what a load needs as the symbol's actor does."""
    for command in commands:
        if isinstance(command, Load) and session.needs_bars(command):
            session.apply(command, *command.read(session.symbol))
        else:
            session.apply(command)
    return session


def loaded(requirements: SymbolRequirements, context: SessionContext, bars: Bars, now_ns: int) -> SymbolSessionData:
    """What a symbol from the config shows at `now_ns`."""
    session = run(SymbolSession("TEST"), load_command(requirements, context, bars), TakeSnapshot(now_ns))
    return session.snapshot()


def assert_same_arrays(left: object, right: object, where: str) -> None:
    """Every array of two dataclasses of arrays is the same to the last bit (NaN equal to NaN)."""
    for field in fields(left):  # type: ignore[arg-type]
        one, other = getattr(left, field.name), getattr(right, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, f"{where}.{field.name}"
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), f"{where}.{field.name}"
        elif isinstance(one, Bars):
            assert_same_arrays(one, other, f"{where}.{field.name}")
        else:
            assert one == other, f"{where}.{field.name}"


def assert_same_view(
    left: SymbolSessionData, right: SymbolSessionData, *, names: Sequence[str], keys: Sequence[str]
) -> None:
    """Same session time, and the same bars and quality of these intervals and values of these indicators."""
    assert left.now_ns == right.now_ns
    for name in names:
        assert_same_arrays(left.bars[name], right.bars[name], name)
        assert left.quality[name] == right.quality[name], name
        assert left.history_quality.get(name) == right.history_quality.get(name), name
    for key in keys:
        one, other = left.indicators[key].values, right.indicators[key].values
        assert list(one) == list(other)
        for output, column in one.items():
            assert np.array_equal(column, other[output], equal_nan=True), f"{key}.{output}"


def assert_same_snapshot(left: SymbolSessionData, right: SymbolSessionData) -> None:
    """Everything is the same: data, order and metadata."""
    assert list(left.bars) == list(right.bars)
    assert list(left.indicators) == list(right.indicators)
    assert_same_view(left, right, names=list(left.bars), keys=list(left.indicators))
    for field in fields(left):
        if field.name not in {"bars", "indicators"}:
            assert getattr(left, field.name) == getattr(right, field.name), field.name
