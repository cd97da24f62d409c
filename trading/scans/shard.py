"""Scans of some symbols, over sessions, where their bars are read: all that is a symbol's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.interval import Interval
from barray.market.universe.bars import UniverseBars
from barray.market.universe.derive import derive_universe
from barray.market.universe.growing import Tape
from barray.market.universe.rows import aligned
from barray.market.validation import Reason
from barray.trading.scans.bars import ScanBars, last_closed
from barray.trading.scans.commands import Hole, ScanJob, SessionParts
from barray.trading.scans.evaluate import Part, able_part, daily_part, members_after
from barray.trading.scans.explain import Explainer
from barray.trading.scans.hits import ScanFailure, failure_of
from barray.trading.scans.needs import columns_on, compared_with, needs_of
from barray.trading.scans.past import DayStore, NotReadable, SessionPast
from barray.trading.scans.plan import Plan
from barray.trading.scans.session_values import usual_volumes
from barray.trading.scans.shared import SharedValues
from barray.trading.scans.universe import Members


@dataclass
class _Day:
    """A session that is looked at. `members`: who passed the daily stage, by scan; `wanted`: all of them, sorted;
    `universe`: how many each scan was to look at; `before`, `usual`: see ScanBars.
    """

    row: int
    members: Mapping[str, tuple[str, ...]]
    wanted: tuple[str, ...]
    universe: Mapping[str, int]
    failures: Mapping[str, ScanFailure]
    before: Mapping[Interval, UniverseBars] = field(default_factory=dict)
    usual: Mapping[int, FloatArray] = field(default_factory=dict)


class ScanShard:
    """Evaluates a job's sessions in order of time. What sessions share is read and computed once; NotReadable where a
    session's bars can't be had. `whole`: read bars up to a session's close, also where no scan looks at them.
    """

    def __init__(self, job: ScanJob, *, whole: bool = False) -> None:
        self._job = job
        self._plans = [source.plan() for source in job.scans]
        needs = needs_of(self._plans)
        self._store = DayStore(job, replace(needs, until=None) if whole else needs)
        self._range = job.session_range
        self._back = needs.sessions_back
        self._dates = self._range.sessions.dates
        self._day: _Day | None = None

    def daily(self, row: int) -> SessionParts:
        """What the daily stages let through."""
        parts: dict[str, Part] = {}
        failures: dict[str, ScanFailure] = {}
        bars = self._before_open(row)
        universe = {plan.name: self._looked_at(plan, row).symbols for plan in self._plans}
        for plan in self._plans:
            try:
                parts[plan.name] = daily_part(plan, bars, universe[plan.name])
            except NotReadable:
                raise
            except Exception as error:
                failures[plan.name] = failure_of(plan, error, bars.open_ns, bars.timezone)
        counts = {name: len(members) for name, members in universe.items()}
        return SessionParts(parts, failures, counts, (), self._store.wrong.get(row, {}), 0)

    def session(self, row: int, given: Mapping[str, tuple[str, ...]]) -> SessionParts:
        """What `where` lets through; `given`: who passed the daily stage, by scan, where that is known."""
        day = self._begun(row, given)
        self._store.leave(row)
        return self._found(day, {plan.name: self._times(plan, row) for plan in self._plans})

    def open(self, row: int, given: Mapping[str, tuple[str, ...]]) -> SessionParts:
        """Go along with a session: its bars come by `take_in`. What its scans look at of the sessions before is read
        now. `given`: as for `session`.
        """
        self._store.open(row)
        day = self._begun(row, given)
        bars = self._opened(row, day.wanted)
        day.usual = {n: usual_volumes(bars, n) for n in sorted(set(compared_with(self._plans)))}
        if bars.past is not None and bars.past.first_row < row:
            history = bars.past.bars(day.wanted)
            further = {interval for plan in self._plans for interval in columns_on(plan)} - {self._job.interval}
            day.before = {one: derive_universe(history, one, self._range.sessions, row) for one in sorted(further)}
        self._store.leave(row)
        self._day = day
        return SessionParts({}, day.failures, day.universe, (), dict(self._store.wrong.get(row, {})), 0)

    def take_in(self, tape: Tape) -> dict[str, Reason]:
        """Bars of the open session have come, `who` by positions in the job's symbols; whose were refused, and why."""
        return self._store.take_in(tape)

    def look(self, at_ns: int, names: Collection[str]) -> SessionParts:
        """What `where` lets through of scans of the open session at one time, by what has come; ValueError where none
        is open.
        """
        if self._day is None:
            raise ValueError("no session is open")
        return self._found(replace(self._day, failures={}), dict.fromkeys(names, np.array([at_ns], np.int64)))

    def _begun(self, row: int, given: Mapping[str, tuple[str, ...]]) -> _Day:
        before = self.daily(row) if len(given) < len(self._plans) else None
        own = frozenset(self._job.symbols)
        members = {name: tuple(symbol for symbol in those if symbol in own) for name, those in given.items()}
        for plan in self._plans:
            if plan.name not in members and before is not None and plan.name in before.parts:
                members[plan.name] = members_after(plan, [before.parts[plan.name]])
        universe = before.universe if before else {p.name: len(self._looked_at(p, row).symbols) for p in self._plans}
        wanted = sorted(set().union(*members.values())) if members else []
        return _Day(row, members, tuple(wanted), universe, dict(before.failures) if before else {})

    def _times(self, plan: Plan, row: int) -> IntArray:
        sessions = self._range.sessions
        opens_ns, closes_ns = int(sessions.open_ns[row]), int(sessions.close_ns[row])
        return plan.times.of(self._dates[row].item(), opens_ns, closes_ns, self._range.timezone)

    def _found(self, day: _Day, times: Mapping[str, IntArray]) -> SessionParts:
        row, wanted = day.row, day.wanted
        bars = replace(self._opened(row, wanted), before=day.before, usual=day.usual)
        faults = self._store.wrong.setdefault(row, {})
        parts: dict[str, Part] = {}
        failures = dict(day.failures)
        shared = SharedValues() if len(self._plans) > 1 else None
        for plan in self._plans:
            if plan.name not in day.members or plan.name not in times:
                continue
            times_ns = times[plan.name]
            try:
                parts[plan.name] = able_part(plan, bars, times_ns, day.members[plan.name], faults, shared)
            except NotReadable:
                raise
            except Exception as error:
                at_ns = int(times_ns[0]) if len(times_ns) else bars.close_ns
                failures[plan.name] = failure_of(plan, error, at_ns, bars.timezone)
        closed = last_closed(bars.base, np.arange(len(wanted)), np.array([bars.close_ns]))[0]
        has = (closed >= 0) & (bars.base.session[closed] == row) if len(bars.base) else closed >= 0
        missing = tuple(s for s, there in zip(wanted, has.tolist(), strict=True) if not there and s not in faults)
        holes = tuple(self._holes(row, wanted))
        return SessionParts(parts, failures, day.universe, missing, dict(faults), len(bars.base), holes)

    def _holes(self, row: int, symbols: Sequence[str]) -> Iterator[Hole]:
        """What is wrong with earlier sessions that volumes are compared with."""
        own = sorted(set(symbols).difference(self._store.wrong.get(row, {})))
        for before in range(max(row - self._back, 0), row):
            for symbol, reason in self._store.faults_of(before, own, row):
                yield Hole(symbol, self._dates[before].item(), reason)

    def explainer(self, row: int, plan: Plan) -> Explainer:
        """What became of symbols of a session, where this job has all of a universe's."""
        members = self._looked_at(plan, row)
        before, bars = self._before_open(row), self._opened(row, members.symbols)
        return Explainer(plan, bars, members, before, self._store.wrong.setdefault(row, {}))

    def able(self, row: int, plan: Plan) -> tuple[ScanBars, list[str]]:
        """A session's bars, of the universe of the day, and those of it whose bars are right."""
        self._store.leave(row)
        seen = self.explainer(row, plan)
        seen.part  # noqa: B018  # what is wrong with history shows as it is read
        return seen.bars, [symbol for symbol in seen.bars.symbols if symbol not in seen.faults]

    def closes(self, row: int, asked: Mapping[str, IntArray]) -> dict[str, FloatArray]:
        """The newest close of a session by each time that is asked for, of symbols of this job that have bars: float64
        (times,), NaN where there is none by then.
        """
        stack = self._store.closes(row, tuple(symbol for symbol in self._job.symbols if symbol in asked))
        found: dict[str, FloatArray] = {}
        for symbol in stack.symbols:
            own = stack.of(symbol)
            closed = np.searchsorted(own.end_ns, asked[symbol], side="right")
            found[symbol] = np.append(np.nan, own.bars.close)[closed]
        return found

    def _looked_at(self, plan: Plan, row: int) -> Members:
        return plan.universe.on(self._dates[row].item(), self._job.symbols, self._job.listings.__getitem__)

    def _opened(self, row: int, symbols: Sequence[str]) -> ScanBars:
        """The session's bars of some symbols, sorted."""
        base = self._store.base(row, symbols) if self._job.interval.is_intraday else self._store.days(row)
        return self._bars(row, aligned(base, symbols))

    def _before_open(self, row: int) -> ScanBars:
        """Daily bars alone; where the base bars' own days are meant, those of history."""
        symbols = self._job.symbols
        if not self._job.interval.is_intraday:
            return self._bars(row, self._store.days(row))
        return self._bars(row, aligned(self._store.base(row, ()), symbols))

    def _bars(self, row: int, base: UniverseBars) -> ScanBars:
        past = SessionPast(self._store, self._job, row) if self._job.interval.is_intraday else None
        sessions, zone = self._range.sessions, self._range.timezone
        days = self._store.daily(row)
        own = None if days is None else aligned(days, base.symbols)
        return ScanBars(sessions, row, zone, base, own, past, self._job.tables)
