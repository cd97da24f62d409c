"""What a session asks of every symbol, and how much history that takes."""

from __future__ import annotations

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
from barray.market.interval import Interval


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
    `suspect_jump`: None where no move is suspected.
    """

    intervals: tuple[Interval, ...]
    indicators: tuple[IndicatorSpec, ...] = ()
    trailing_days: int = 0
    max_missing_days: int = 0
    prices: Prices = "positive"
    suspect_jump: JumpRule | None = None

    @property
    def all_intervals(self) -> tuple[Interval, ...]:
        """Required intervals and those the indicators run on, each once, finest first."""
        return tuple(sorted({*self.intervals, *(spec.interval for spec in self.indicators)}))

    def history_sessions(self, sessions: Sessions, row: int) -> int | None:
        """How many sessions before position `row` to load so that every indicator is warm at the first bar.

        Whole weeks where weekly bars are required: none of them begins in the middle of its week. None where `sessions`
        does not reach back far enough.
        """
        longest = {spec.interval: spec for spec in sorted(self.indicators, key=lambda spec: spec.lookback)}
        needs = [self.trailing_days, *(_warmup_sessions(spec, sessions, row) for spec in longest.values())]
        if any(need is None or need > row for need in needs):
            return None
        back = max(need or 0 for need in needs)
        if any(interval.unit == "w" for interval in self.all_intervals):
            back = row - _first_of_week(sessions, int(sessions.week[row - back]))
        return back

    def longest_warmup(self, sessions: Sessions, row: int) -> IndicatorSpec | None:
        """The indicator that makes more history than `trailing_days` be loaded before position `row`, if one does."""
        needs = {spec: _warmup_sessions(spec, sessions, row) or 0 for spec in self.indicators}
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

    `row`: position of the session date; `history_row`: of the first session whose bars are loaded. `live`: the
    session's own bars are still to come. `prices`, `suspect_jump`: see SymbolRequirements. `max_missing_days`: so many
    sessions of the history may turn out to have no bar; None lets all.
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
        """Labels of the sessions before the session date that are loaded, oldest first."""
        return [stamp.item() for stamp in self.sessions.dates[self.history_row : self.row]]

    @property
    def loaded(self) -> Sessions:
        """The sessions whose bars are read: the history and the session date."""
        return self.sessions.take(slice(self.history_row, self.row + 1))


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
    back = requirements.history_sessions(calendar.sessions, row)
    if back is None:
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
        row - back - first,
        prices=requirements.prices,
        max_missing_days=requirements.max_missing_days,
        suspect_jump=requirements.suspect_jump,
    )
