"""Trading sessions of an exchange calendar, as arrays that travel cheaply to every symbol."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import IntArray
from barray.market.errors import ConfigError
from barray.market.interval import Interval

DateArray = NDArray[np.datetime64]


@dataclass(frozen=True)
class ExtendedHours:
    """Local wall-clock times at which trading outside regular hours begins and ends; `half_day_close` on half days."""

    open: time
    close: time
    half_day_close: time


US_EXTENDED = ExtendedHours(time(4), time(20), time(17))
_KNOWN_EXTENDED = {"XNYS": US_EXTENDED}


@dataclass(frozen=True, eq=False)
class Sessions:
    """Consecutive sessions, oldest first. All arrays have one length.

    `dates` datetime64[D]: session labels. `open_ns`, `close_ns` int64: UTC nanoseconds, the close exclusive.
    `break_start_ns`, `break_end_ns`: the midday break; both equal the close where there is none.
    """

    dates: DateArray
    open_ns: IntArray
    close_ns: IntArray
    break_start_ns: IntArray
    break_end_ns: IntArray

    def __len__(self) -> int:
        return len(self.dates)

    def take(self, rows: slice) -> Sessions:
        """The chosen consecutive sessions."""
        return Sessions(*(getattr(self, field.name)[rows] for field in fields(self)))

    def index(self, day: date) -> int | None:
        """Position of the session labelled `day`, or None if that is no session."""
        wanted = np.datetime64(day, "D")
        row = int(np.searchsorted(self.dates, wanted))
        return row if row < len(self) and self.dates[row] == wanted else None

    @property
    def week(self) -> IntArray:
        """int64 (n,): number of the ISO week (Monday to Sunday) that each session's label lies in."""
        return (self.dates.astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday

    def slots_before(self, stamp_ns: IntArray, rows: NDArray[np.intp] | slice, step_ns: int) -> IntArray:
        """How many bars of length `step_ns` are expected to *start* before each stamp, in the session of the same row.

        Bars start at open + k * step; none lies in the midday break or starts from the close on.
        """
        open_ns, close_ns = self.open_ns[rows], self.close_ns[rows]
        break_start, break_end = self.break_start_ns[rows], self.break_end_ns[rows]

        def starts_before(edge: IntArray) -> IntArray:
            return -((open_ns - edge) // step_ns)

        resume = np.maximum(break_start, break_end - step_ns + 1)  # a bar that reaches beyond the break is traded in
        morning = starts_before(np.minimum(stamp_ns, break_start))
        afternoon = starts_before(np.clip(stamp_ns, resume, close_ns)) - starts_before(resume)
        slots: IntArray = np.maximum(morning, 0) + afternoon
        return slots

    def expected_starts(self, row: int, interval: Interval, until_ns: int) -> tuple[IntArray, IntArray]:
        """Starts and ends, int64 (k,), of the bars of session `row` that are expected to have closed by `until_ns`."""
        open_ns, close_ns = int(self.open_ns[row]), int(self.close_ns[row])
        if not interval.is_intraday:
            closed = close_ns <= until_ns
            return np.array([open_ns][:closed], np.int64), np.array([close_ns][:closed], np.int64)
        starts = np.arange(open_ns, close_ns, interval.ns, dtype=np.int64)
        ends = np.minimum(starts + interval.ns, close_ns)
        if until_ns >= close_ns <= self.break_start_ns[row]:
            return starts, ends
        in_break = (starts >= self.break_start_ns[row]) & (ends <= self.break_end_ns[row])
        keep = ~in_break & (ends <= until_ns)
        return starts[keep], ends[keep]


@dataclass(frozen=True, eq=False)
class TradingCalendar:
    """Sessions of one exchange, with its hours applied. Built by `load_calendar`."""

    name: str
    timezone: str
    hours: str
    sessions: Sessions

    def session(self, day: date) -> int:
        """Position of the session on `day`; ConfigError if there is none, naming the neighbours."""
        row = self.sessions.index(day)
        if row is not None:
            return row
        after = int(np.searchsorted(self.sessions.dates, np.datetime64(day, "D")))
        around = [str(self.sessions.dates[i]) for i in (after - 1, after) if 0 <= i < len(self.sessions)]
        raise ConfigError(
            f"{self.name} has no session on {day} ({day:%A})",
            remedy=f"the nearest are {' and '.join(around)}" if around else "choose a date inside the calendar",
            code="no_session",
        )

    def between(self, first: date, last: date) -> list[date]:
        """Labels of the sessions from `first` to `last`, both included."""
        dates = self.sessions.dates
        chosen = dates[(dates >= np.datetime64(first, "D")) & (dates <= np.datetime64(last, "D"))]
        return [stamp.item() for stamp in chosen]

    def at(self, day: date, wall_time: time) -> int:
        """UTC nanoseconds of a local wall-clock time on `day`."""
        return local_ns(day, wall_time, ZoneInfo(self.timezone))


def local_ns(day: date, wall_time: time, zone: ZoneInfo) -> int:
    """UTC nanoseconds since 1970 of a wall-clock time in `zone`."""
    return round(datetime.combine(day, wall_time, zone).timestamp()) * 1_000_000_000


@dataclass(frozen=True, eq=False)
class RegularSessions:
    """Regular hours of the exchange calendar `name`, its canonical one. `half_days` are labels of sessions."""

    name: str
    timezone: str
    sessions: Sessions
    half_days: frozenset[date]

    def between(self, first: date, last: date) -> RegularSessions:
        """Those from `first` to `last`, both included."""
        edges = np.array([first, last + timedelta(days=1)], "datetime64[D]")
        begin, end = np.searchsorted(self.sessions.dates, edges)
        half_days = frozenset(day for day in self.half_days if first <= day <= last)
        return RegularSessions(self.name, self.timezone, self.sessions.take(slice(begin, end)), half_days)


SessionSource = Callable[[str, date, date], RegularSessions]
"""Looks up the regular sessions of a named calendar from one date to another, both included."""


def exchange_sessions(name: str, first: date, last: date) -> RegularSessions:
    """Sessions as the exchange_calendars library has them; ConfigError for an unknown name, or dates it lacks.

    The library takes as long for a week as for ten years, so whole decades are kept, where a calendar has them.
    """
    begin, end = date(max(first.year // 10 * 10, 1), 1, 1), date(last.year // 10 * 10 + 9, 12, 31)
    with suppress(ConfigError):
        if len((found := _exchange_sessions(name, begin, end).between(first, last)).sessions):
            return found
    return _exchange_sessions(name, first, last)


@functools.lru_cache(maxsize=32)
def _exchange_sessions(name: str, first: date, last: date) -> RegularSessions:
    import exchange_calendars  # pulls in pandas: never in a symbol actor

    if name not in exchange_calendars.get_calendar_names(include_aliases=True):
        raise ConfigError(
            f"{name!r} is not an exchange calendar",
            remedy="use a name such as XNYS, XLON, XTKS, 24/7",
            code="bad_calendar",
        )
    try:
        source = exchange_calendars.get_calendar(name, start=first.isoformat(), end=last.isoformat(), side="left")
    except (ValueError, exchange_calendars.errors.CalendarError) as error:
        raise ConfigError(f"calendar {name} cannot cover {first} to {last}: {error}", code="no_session") from error
    schedule = source.schedule

    def ns(column: str) -> IntArray:
        stamps: DateArray = schedule[column].to_numpy(dtype="datetime64[ns]")
        return stamps.astype(np.int64)

    open_ns, close_ns = ns("open"), ns("close")
    no_break = schedule["break_start"].isna().to_numpy()
    sessions = Sessions(
        dates=schedule.index.to_numpy().astype("datetime64[D]"),
        open_ns=open_ns,
        close_ns=close_ns,
        break_start_ns=np.where(no_break, close_ns, ns("break_start")),
        break_end_ns=np.where(no_break, close_ns, ns("break_end")),
    )
    half_days = frozenset(stamp.date() for stamp in source.early_closes)
    return RegularSessions(source.name, str(source.tz), sessions, half_days)


def load_calendar(
    name: str,
    first: date,
    last: date,
    *,
    hours: str = "regular",
    extended: ExtendedHours | None = None,
    source: SessionSource = exchange_sessions,
) -> TradingCalendar:
    """Sessions of exchange calendar `name` from the week of `first` to the week of `last`, whole weeks.

    `hours` is `regular` or `extended`; extended hours are known for US stocks (04:00 to 20:00 New York, 17:00 on
    half days) and must be given as `extended` elsewhere. Raises ConfigError for an unknown name, or dates the calendar
    lacks.
    """
    first_monday = first - timedelta(days=first.weekday())
    last_sunday = last + timedelta(days=6 - last.weekday())
    regular = source(name, first_monday, last_sunday)
    if hours == "regular":
        return TradingCalendar(regular.name, regular.timezone, hours, regular.sessions)
    if hours != "extended":
        raise ConfigError(f"hours is {hours!r}", remedy="choose regular or extended")
    wanted = extended or _KNOWN_EXTENDED.get(regular.name)
    if wanted is None:
        raise ConfigError(
            f"the extended hours of {regular.name} are not known",
            remedy="give session.extended_hours: open, close, half_day_close",
        )
    return TradingCalendar(regular.name, regular.timezone, hours, _extend(regular, wanted))


def _extend(regular: RegularSessions, hours: ExtendedHours) -> Sessions:
    """The same sessions with extended hours."""
    zone = ZoneInfo(regular.timezone)
    days = [stamp.item() for stamp in regular.sessions.dates]
    open_ns = np.array([local_ns(day, hours.open, zone) for day in days], np.int64)
    closes = [hours.half_day_close if day in regular.half_days else hours.close for day in days]
    close_ns = np.array([local_ns(day, close, zone) for day, close in zip(days, closes, strict=True)], np.int64)
    return Sessions(regular.sessions.dates, open_ns, close_ns, close_ns, close_ns)
