"""What a session asks of every symbol, and how much history that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from barray.market.bars import Prices
from barray.market.calendar import (
    ExtendedHours,
    Sessions,
    SessionSource,
    TradingCalendar,
    exchange_sessions,
    load_calendar,
)
from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec
from barray.market.interval import DAY, Interval, best_base


@dataclass(frozen=True)
class JumpRule:
    """Which moves of prices are suspected of not being the market's: see barray.market.jumps.

    `size`: 0.4 where of two prices the higher is 40 % above the lower. `refuse`: bars with such a move can't be right.
    """

    size: float
    refuse: bool = False


@dataclass(frozen=True)
class SymbolRequirements:
    """Intervals, indicators and history that a full symbol must have.

    `trailing_days` sessions before the session date are loaded, more where an indicator's warm-up needs them;
    `max_missing_days` of them may have no data at all. `prices`: of bars added by hand, whose source nobody names.
    `suspect_jump`: None where no move is suspected. `daily`: name of the source that gives daily bars of those sessions
    before the date that only indicators of days and weeks need, and of `daily_days` before it in any case; None where
    all sessions have bars of one interval.
    """

    intervals: tuple[Interval, ...]
    indicators: tuple[IndicatorSpec, ...] = ()
    trailing_days: int = 0
    max_missing_days: int = 0
    prices: Prices = "positive"
    suspect_jump: JumpRule | None = None
    daily: str | None = None
    daily_days: int = 0

    @property
    def computed(self) -> tuple[IndicatorSpec, ...]:
        """The indicators that a symbol computes itself: all but a strategy's own, whose functions are elsewhere."""
        return tuple(spec for spec in self.indicators if spec.own is None)

    @property
    def all_intervals(self) -> tuple[Interval, ...]:
        """Required intervals and those the indicators run on, each once, finest first."""
        return tuple(sorted({*self.intervals, *(spec.interval for spec in self.indicators)}))

    def base_of(self, available: Iterable[Interval]) -> Interval | None:
        """The interval to load of those a source has: the coarsest that all others derive from, None where none is.

        Beside daily bars of another source it is an intraday one.
        """
        return best_base(self.all_intervals, [one for one in available if one.is_intraday or self.daily is None])

    def history_sessions(self, sessions: Sessions, row: int) -> int | None:
        """How many sessions before position `row` to load so that every indicator is warm at the first bar.

        Whole weeks where weekly bars are required: none of them begins in the middle of its week. None where `sessions`
        does not reach back far enough.
        """
        longest = {spec.interval: spec for spec in sorted(self.indicators, key=lambda spec: spec.lookback)}
        asked = max(self.trailing_days, self.daily_days if self.daily else 0)
        needs = [asked, *(_warmup_sessions(spec, sessions, row) for spec in longest.values())]
        if any(need is None or need > row for need in needs):
            return None
        back = max(need or 0 for need in needs)
        if any(interval.unit == "w" for interval in self.all_intervals):
            back = row - _first_of_week(sessions, int(sessions.week[row - back]))
        return back

    def base_sessions(self, sessions: Sessions, row: int) -> int | None:
        """How many of these have bars of the base interval: all, but for those whose daily bars suffice."""
        every = self.history_sessions(sessions, row)
        if every is None or self.daily is None:
            return every
        intraday = [_warmup_sessions(spec, sessions, row) for spec in self.indicators if spec.interval.is_intraday]
        return max([self.trailing_days, *(need or 0 for need in intraday)])

    def longest_warmup(self, sessions: Sessions, row: int) -> IndicatorSpec | None:
        """The indicator that makes more base bars than `trailing_days` be loaded before position `row`, if one does."""
        own = [spec for spec in self.indicators if spec.interval.is_intraday or self.daily is None]
        needs = {spec: _warmup_sessions(spec, sessions, row) or 0 for spec in own}
        longest = max(needs, key=lambda spec: needs[spec], default=None)
        return longest if longest is not None and needs[longest] > self.trailing_days else None


def _first_of_week(sessions: Sessions, week: int) -> int:
    return int(np.searchsorted(sessions.week, week))


_BEYOND = timedelta(days=10)
"""Longest holiday there may be before the session after the last one."""


def _warmup_sessions(spec: IndicatorSpec, sessions: Sessions, row: int) -> int | None:
    lookback = spec.lookback
    if spec.interval.unit == "d" or lookback == 0:
        return lookback
    if spec.interval.unit == "w":
        weeks = np.unique(sessions.week[: row + 1])  # a week of holidays has no bar
        return row - _first_of_week(sessions, weeks[-1 - lookback]) if lookback < len(weeks) else None
    have = 0
    for back in range(1, row + 1):
        starts, _ = sessions.expected_starts(row - back, spec.interval, int(sessions.close_ns[row - back]))
        have += len(starts)
        if have >= lookback:
            return back
    return None


@dataclass(frozen=True, eq=False)
class SessionContext:
    """The session date among its sessions: `sessions` spans whole weeks around the history and the session date.

    `row`: position of the session date; `history_row`: of the first session whose bars are loaded; `daily_row`: of the
    first of which daily bars alone are loaded, None where there is none. `live`: the session's own bars are still to
    come. `prices`, `suspect_jump`: see SymbolRequirements. `max_missing_days`: so many sessions of the history, and
    those with daily bars again, may turn out to have no bar; None lets all.
    """

    calendar: str
    hours: str
    session_date: date
    sessions: Sessions
    row: int
    history_row: int
    live: bool = False
    prices: Prices = "positive"
    max_missing_days: int | None = None
    suspect_jump: JumpRule | None = None
    daily_row: int | None = None

    @property
    def open_ns(self) -> int:
        """Open of the session, UTC nanoseconds."""
        return int(self.sessions.open_ns[self.row])

    @property
    def close_ns(self) -> int:
        """Close of the session, UTC nanoseconds."""
        return int(self.sessions.close_ns[self.row])

    @property
    def history_dates(self) -> list[date]:
        """Labels of the sessions before the session date whose base bars are loaded, oldest first."""
        return [stamp.item() for stamp in self.sessions.dates[self.history_row : self.row]]

    @property
    def daily_dates(self) -> list[date]:
        """Labels of the sessions before those, of which daily bars alone are loaded."""
        return [stamp.item() for stamp in self.daily_sessions.dates]

    @property
    def loaded(self) -> Sessions:
        """The sessions whose bars are read: the history and the session date."""
        return self.sessions.take(slice(self.history_row, self.row + 1))

    @property
    def daily_sessions(self) -> Sessions:
        """The sessions before these, of which daily bars are needed."""
        return self.sessions.take(slice(self.first_row(DAY), self.history_row))

    @property
    def daily_loaded(self) -> Sessions:
        """The sessions of which daily bars are read: those, and all that they can be compared with."""
        return self.sessions.take(slice(self.first_row(DAY), self.row))

    def first_row(self, interval: Interval) -> int:
        """Position of the first session that has bars of `interval`."""
        return self.history_row if self.daily_row is None or interval.is_intraday else self.daily_row


def calendar_for(
    requirements: SymbolRequirements,
    name: str,
    first: date,
    last: date,
    *,
    hours: str = "regular",
    extended: ExtendedHours | None = None,
    source: SessionSource = exchange_sessions,
) -> TradingCalendar:
    """The calendar from far enough before `first` for its session's history, to the next session after `last`.

    ConfigError where no calendar goes back so far, or `first` to `last` holds no session.
    """
    margin = timedelta(days=14 + 2 * requirements.trailing_days)
    while margin < timedelta(days=366 * 40):
        calendar = load_calendar(name, first - margin, last + _BEYOND, hours=hours, extended=extended, source=source)
        days = calendar.between(first, last)
        if not days:
            calendar.session(first)  # says which sessions are near
        if requirements.history_sessions(calendar.sessions, calendar.session(days[0])) is not None:
            return calendar
        margin *= 3
    raise ConfigError(
        f"the history that trailing_days and indicators need before {first} goes back beyond any calendar",
        remedy="ask for less history or shorter indicators",
    )


def session_context(requirements: SymbolRequirements, calendar: TradingCalendar, day: date) -> SessionContext:
    """Where `day` stands and how far back its history goes; ConfigError if it is no session."""
    row = calendar.session(day)
    back, of_base = (
        requirements.history_sessions(calendar.sessions, row),
        requirements.base_sessions(calendar.sessions, row),
    )
    if back is None or of_base is None:
        raise ConfigError(f"{calendar.name}: not enough sessions before {day} for the history that is asked for")
    sessions = calendar.sessions
    first = int(np.searchsorted(sessions.week, sessions.week[row - back], side="left"))
    last = int(np.searchsorted(sessions.week, sessions.week[row], side="right"))
    window = sessions.take(slice(first, last))
    return SessionContext(
        calendar.name,
        calendar.hours,
        day,
        window,
        row - first,
        row - of_base - first,
        prices=requirements.prices,
        max_missing_days=requirements.max_missing_days,
        suspect_jump=requirements.suspect_jump,
        daily_row=row - back - first if of_base < back else None,
    )
