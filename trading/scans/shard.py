"""Scans of some symbols, over sessions, where their bars are read: all that is a symbol's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from barray.market.bars import IntArray
from barray.market.universe.bars import UniverseBars
from barray.market.universe.rows import aligned
from barray.market.validation import Reason
from barray.trading.scans.bars import ScanBars, last_closed
from barray.trading.scans.commands import ScanJob, SessionParts
from barray.trading.scans.evaluate import Part, daily_part, members_after, where_part
from barray.trading.scans.hits import ScanFailure, failure_of
from barray.trading.scans.needs import needs_of
from barray.trading.scans.past import DayStore, NotReadable, SessionPast
from barray.trading.scans.plan import Plan


class ScanShard:
    """Evaluates a job's sessions in order of time. What sessions share is read and computed once; NotReadable where a
    session's bars can't be had.
    """

    def __init__(self, job: ScanJob) -> None:
        self._job = job
        self._plans = [source.plan() for source in job.scans]
        self._store = DayStore(job, needs_of(self._plans))
        self._range = job.session_range
        self._day = self._range.sessions.dates

    def daily(self, row: int) -> SessionParts:
        """What the daily stages let through."""
        parts: dict[str, Part] = {}
        failures: dict[str, ScanFailure] = {}
        bars = self._before_open(row)
        universe = {plan.name: self._members(plan, row) for plan in self._plans}
        for plan in self._plans:
            try:
                parts[plan.name] = daily_part(plan, bars, universe[plan.name])
            except NotReadable:
                raise
            except Exception as error:
                failures[plan.name] = failure_of(plan, error, bars.open_ns, bars.timezone)
        counts = {name: len(members) for name, members in universe.items()}
        return SessionParts(parts, failures, counts, (), self._store.faults.get(row, {}), 0)

    def session(self, row: int, given: Mapping[str, tuple[str, ...]]) -> SessionParts:
        """What `where` lets through; `given`: who passed the daily stage, by scan, where that is known."""
        before = self.daily(row) if len(given) < len(self._plans) else None
        own = frozenset(self._job.symbols)
        members = {name: tuple(symbol for symbol in those if symbol in own) for name, those in given.items()}
        failures: dict[str, ScanFailure] = dict(before.failures) if before else {}
        for plan in self._plans:
            if plan.name not in members and before is not None and plan.name in before.parts:
                members[plan.name] = members_after(plan, [before.parts[plan.name]])
        wanted = sorted(set().union(*members.values())) if members else []
        self._store.leave(row)
        base = self._store.base(row, wanted) if self._job.interval.is_intraday else self._store.days(row)
        bars = self._bars(row, aligned(base, wanted))
        faults = self._store.faults.setdefault(row, {})
        parts: dict[str, Part] = {}
        for plan in self._plans:
            if plan.name not in members:
                continue
            times_ns = plan.times.of(bars.session_date, bars.open_ns, bars.close_ns, bars.timezone)
            try:
                parts[plan.name] = _of_the_able(plan, bars, times_ns, members[plan.name], faults)
            except NotReadable:
                raise
            except Exception as error:
                at_ns = int(times_ns[0]) if len(times_ns) else bars.close_ns
                failures[plan.name] = failure_of(plan, error, at_ns, bars.timezone)
        closed = last_closed(bars.base, np.arange(len(wanted)), np.array([bars.close_ns]))[0]
        has = (closed >= 0) & (bars.base.session[closed] == row) if len(bars.base) else closed >= 0
        missing = tuple(s for s, there in zip(wanted, has.tolist(), strict=True) if not there and s not in faults)
        counts = before.universe if before else {name: len(found) for name, found in members.items()}
        return SessionParts(parts, failures, counts, missing, dict(faults), len(bars.base))

    def _members(self, plan: Plan, row: int) -> tuple[str, ...]:
        listings = self._job.listings
        day = self._day[row].item()
        return plan.universe.on(day, self._job.symbols, listings.__getitem__).symbols

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


def _of_the_able(
    plan: Plan, bars: ScanBars, times_ns: IntArray, members: Sequence[str], faults: Mapping[str, Reason]
) -> Part:
    """What `where` lets through of those without faults, which may show as history is read."""
    while True:
        able = [symbol for symbol in members if symbol not in faults]
        part = where_part(plan, bars, times_ns, able)
        if not any(symbol in faults for symbol in able):
            return part
