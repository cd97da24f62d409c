"""Many sessions in a row, each with its own history: what a backtest runs over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import IntArray
from barray.market.calendar import Sessions, TradingCalendar
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.requirements import JumpRule, SessionContext, SymbolRequirements
from barray.market.validation import Reason, SymbolValidationResult

_WEEK = 5
"""Sessions: fewer bars than what one more request to a vendor costs."""


@dataclass(frozen=True, eq=False)
class SessionRange:
    """The sessions to run, among those loaded with them.

    `sessions` spans whole weeks around everything. `rows` int64 (n,): positions in it of the sessions to run,
    ascending. `history`: for each of them, the position of the first session loaded before it. `daily`: for each, that
    of the first one of which daily bars are loaded; empty where base bars are all there is. `max_missing_days`,
    `suspect_jump`: see SessionContext.
    """

    calendar: str
    hours: str
    timezone: str
    sessions: Sessions
    rows: IntArray
    history: dict[int, int]
    max_missing_days: int | None = None
    suspect_jump: JumpRule | None = None
    daily: Mapping[int, int] = field(default_factory=dict)

    @property
    def dates(self) -> list[date]:
        """Labels of the sessions to run."""
        return [stamp.item() for stamp in self.sessions.dates[self.rows]]

    @property
    def first_row(self) -> int:
        """Position of the first session whose bars are loaded."""
        return min(self.history.values())

    @property
    def first_day_row(self) -> int:
        """Position of the first session whose bars, or daily bars, are loaded."""
        return min(self.daily.values(), default=self.first_row)

    @property
    def loaded(self) -> Sessions:
        """The sessions whose bars are read."""
        return self.sessions.take(slice(self.first_row, int(self.rows[-1]) + 1))

    def runs(self, days: Collection[date]) -> list[Sessions]:
        """The sessions that must be loaded to run those with the labels `days`, history included, in consecutive runs.

        Runs that lie no further apart than a week are one.
        """
        bounds: list[tuple[int, int]] = []
        for day, row in zip(self.dates, self.rows.tolist(), strict=True):
            if day not in days:
                continue
            first = self.history[row]
            if bounds and first - bounds[-1][1] <= _WEEK:
                first = min(first, bounds.pop()[0])
            bounds.append((first, row))
        return [self.sessions.take(slice(first, last + 1)) for first, last in bounds]

    @property
    def daily_sessions(self) -> Sessions:
        """The sessions of which daily bars are needed, for any session to run."""
        return self._daily_until(max(self.history.values()))

    @property
    def daily_loaded(self) -> Sessions:
        """The sessions of which daily bars are read: those, and all that they can be compared with."""
        return self._daily_until(int(self.rows[-1]))

    def _daily_until(self, row: int) -> Sessions:
        return self.sessions.take(slice(min(self.daily.values()), row) if self.daily else slice(0, 0))

    def at(self, rows: IntArray) -> SessionRange:
        """The same for some of the sessions to run."""
        chosen = rows.tolist()
        daily = {row: self.daily[row] for row in chosen} if self.daily else {}
        return replace(self, rows=rows, history={row: self.history[row] for row in chosen}, daily=daily)

    def split(self, parts: int) -> list[SessionRange]:
        """The same in consecutive parts of about one length, each with the history of its own sessions."""
        return [self.at(rows) for rows in np.array_split(self.rows, min(parts, len(self.rows)))]

    def context(self, row: int) -> SessionContext:
        """One of the sessions, with its own history."""
        day: date = self.sessions.dates[row].item()
        history, rule, daily = self.history[row], self.suspect_jump, self.daily.get(row)
        if daily == history:
            daily = None
        return SessionContext(
            self.calendar, self.hours, day, self.sessions, row, history, suspect_jump=rule, daily_row=daily
        )

    def without_history(self, held: NDArray[np.integer], interval: Interval) -> dict[date, str]:
        """Sessions to run whose history has too many sessions without a bar, with the reason.

        `held`: positions of the sessions that have bars of `interval`, the base.
        """
        place = self.sessions.week if interval.unit == "w" else np.arange(len(self.sessions))
        missing = ~np.isin(place, place[held])
        spans = {row: (self.history[row], row) for row in self.rows.tolist()}
        return self._lacking(missing, spans, f"no bars in the {self.hours} hours of {{}} of the {{}} trailing sessions")

    def without_daily(self, held: NDArray[np.integer]) -> dict[date, str]:
        """The same of the sessions before the history that have daily bars alone; `held`: those that have one."""
        missing = ~np.isin(np.arange(len(self.sessions)), held)
        spans = {row: (first, self.history[row]) for row, first in self.daily.items()}
        return self._lacking(missing, spans, "no daily bar of {} of the {} sessions before the base bars")

    def _lacking(self, missing: NDArray[np.bool_], spans: Mapping[int, tuple[int, int]], told: str) -> dict[date, str]:
        if self.max_missing_days is None:
            return {}
        before = np.concatenate(([0], np.cumsum(missing)))
        counts = {row: int(before[end] - before[first]) for row, (first, end) in spans.items()}
        days = zip(self.dates, self.rows.tolist(), strict=True)
        return {
            day: told.format(counts[row], spans[row][1] - spans[row][0])
            for day, row in days
            if counts.get(row, 0) > self.max_missing_days
        }

    def grid(self, interval: Interval) -> tuple[IntArray, IntArray]:
        """Ends of all bars that the calendar expects in the sessions to run (UTC ns), and which of them each is in."""
        ends, numbers = [], []
        for number, row in enumerate(self.rows.tolist()):
            _, closes = self.sessions.expected_starts(row, interval, int(self.sessions.close_ns[row]))
            ends.append(closes)
            numbers.append(np.full(len(closes), number))
        return np.concatenate(ends), np.concatenate(numbers)


def session_range_of(requirements: SymbolRequirements, calendar: TradingCalendar, days: Sequence[date]) -> SessionRange:
    """The sessions on `days` (labels, ascending), with the history that each needs.

    ConfigError where there are none, or the calendar has too few before them.
    """
    sessions = calendar.sessions
    rows = [calendar.session(day) for day in days]
    if not rows:
        raise ConfigError(
            "there is no session to run", remedy="give a range of dates that holds one", code="no_session"
        )
    back: dict[int, int] = {}
    base: dict[int, int] = {}
    for row in rows:
        needed, of_base = requirements.history_sessions(sessions, row), requirements.base_sessions(sessions, row)
        if needed is None or of_base is None:
            label = sessions.dates[row].item()
            raise ConfigError(f"{calendar.name}: not enough sessions before {label} for the history that is asked for")
        back[row], base[row] = row - needed, row - of_base
    first = int(np.searchsorted(sessions.week, sessions.week[min(back.values())], side="left"))
    last = int(np.searchsorted(sessions.week, sessions.week[rows[-1]], side="right"))
    return SessionRange(
        calendar.name,
        calendar.hours,
        calendar.timezone,
        sessions.take(slice(first, last)),
        np.array(rows, np.int64) - first,
        {row - first: start - first for row, start in base.items()},
        requirements.max_missing_days,
        requirements.suspect_jump,
        {row - first: start - first for row, start in back.items()} if back != base else {},
    )


@dataclass(frozen=True)
class SourceSpan:
    """Consecutive sessions that one source serves: from after the span before up to that with the label `last`.

    `dataset`: a vendor's feed and adjustment, None where the source doesn't say.
    """

    source: str
    last: date
    dataset: str | None = None


def source_on(day: date, spans: Sequence[SourceSpan]) -> str:
    """Which of these sources, in order of time, serves a session."""
    return next((span.source for span in spans if day <= span.last), spans[-1].source)


@dataclass(frozen=True)
class RangeValidation:
    """Step 0 over a range: the result of the symbol as a whole, and the sessions that it can't run, with reasons.

    `result.can_proceed` says whether any session is left; its source is the first that serves any. `spans`: all
    sessions that are loaded, by the source that they are read from.
    """

    result: SymbolValidationResult
    skipped: dict[date, tuple[Reason, ...]] = field(default_factory=dict)
    spans: tuple[SourceSpan, ...] = ()

    def source_of(self, day: date) -> str:
        """The source that a session that is loaded is read from; ValueError where none serves any."""
        if not self.spans:
            raise ValueError(f"{self.result.symbol} has not passed Step 0")
        return source_on(day, self.spans)

    @property
    def whole(self) -> bool:
        """Whether every session can be run."""
        return self.result.can_proceed and not self.skipped
