"""The coordinator of scans over a range of sessions: an actor that shares a universe out among a few processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from barray.actors.options import new_scan_actor
from barray.actors.transport import RayTransport
from barray.coordinator.asked_once import AskedOnce
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.fleet import Fleet, cpus_of
from barray.coordinator.prepare_scans import PreparedScan
from barray.market.commands import Failed
from barray.market.errors import NoDataError
from barray.market.interval import Interval, best_base
from barray.trading.scans.commands import NotRead, ScanDaily, ScanJob, ScanSessions, SessionParts
from barray.trading.scans.evaluate import members_after, session_hits
from barray.trading.scans.follow import follow
from barray.trading.scans.hits import SessionHits
from barray.trading.scans.plan import Plan
from barray.trading.scans.result import ScannedSession

_SMALLEST_SHARE = 250
"""Symbols: fewer are not worth a process."""
_MOST_AT_ONCE = 16
"""Sessions that a call evaluates."""
_LONGEST_CALLS = 8


class ScanCoordinator(AskedOnce):
    """Evaluates scans session by session. begin → next_sessions … until None → teardown."""

    def __init__(self, config: SessionConfig, prepared: PreparedScan) -> None:
        super().__init__()
        self._config = config
        self._prepared = prepared
        self._range = prepared.session_range
        self._transport = RayTransport(new_scan_actor)
        self._fleet = Fleet(config.actors, self._transport, sessions=_MOST_AT_ONCE)
        self._plans: tuple[Plan, ...] = prepared.plans()
        self._jobs: dict[str, ScanJob] = {}
        self._rows = iter(self._range.rows.tolist())
        self._size = 1
        self._ahead: asyncio.Task[list[ScannedSession | tuple[str, str]]] | None = None
        self._phase = "clean"
        self._done = 0

    async def begin(self) -> int:
        """Find the universe, and start the processes that share it: how many symbols there are.

        NoDataError where there are none; ConfigError, SourceUnavailable, DataError as the sources have it.
        """
        self._phase = "validating"
        sessions = self._range.sessions.take(slice(int(self._range.rows[0]), int(self._range.rows[-1]) + 1))
        interval, symbols = await asyncio.to_thread(self._found, sessions)
        self._phase = "provisioning"
        cpus = cpus_of(self._transport)
        shares = max(1, min(cpus, len(symbols) // _SMALLEST_SHARE))
        prepared = self._prepared
        for number, part in enumerate(np.array_split(np.array(symbols, object), shares), 1):
            self._jobs[f"share {number} of {shares}"] = ScanJob(
                prepared.scans,
                tuple(part.tolist()),
                self._range,
                interval,
                prepared.reader,
                prepared.daily if interval.is_intraday else None,
                prepared.listings,
                prepared.tables,
            )
        await self._fleet.add(self._jobs)
        self._phase = "running"
        return len(symbols)

    def _found(self, sessions: Any) -> tuple[Interval, list[str]]:
        """The interval to look at, and all symbols that any scan may look at in these sessions."""
        prepared, reader = self._prepared, self._prepared.reader
        named = self._named()
        held = reader.intervals(sorted(named or ())[:_LONGEST_CALLS] or self._stored_names(), sessions)
        wanted = prepared.requirements.all_intervals
        base = best_base(wanted, held) if wanted else min(held, default=None)
        if base is None:
            needed, there = (", ".join(map(str, some)) or "none" for some in (wanted, held))
            raise NoDataError(
                f"the scans look at {needed}, which what is there ({there}) does not derive",
                source=reader.name,
                remedy="name a source of finer bars, or look at coarser ones",
            )
        symbols = sorted(named) if named is not None else list(reader.stored(base, sessions))
        if not symbols:
            raise NoDataError("there is no symbol to look at", source=reader.name, remedy="check root and layout")
        return base, symbols

    def _stored_names(self) -> list[str]:
        return list(self._prepared.reader.names(_LONGEST_CALLS))

    def _named(self) -> set[str] | None:
        """Symbols that universes name on any of the days; None where one of them is all that is stored."""
        found: set[str] = set()
        for plan in self._plans:
            if plan.universe.kind == "everything":
                return None
            for day in self._range.dates:
                members = plan.universe.on(day, (), self._prepared.listings.__getitem__)
                found.update(members.missing)
        return found

    async def next_sessions(self) -> list[ScannedSession | tuple[str, str]] | None:
        """The next sessions' outcomes, in order of time, of one that was not run its label and why; None after all.

        ActorFailed where a process is lost for good.
        """
        if self._ahead is None:
            self._ahead = self._begin_next()
        if self._ahead is None:
            self._phase = "done"
            return None
        outcomes = await self._ahead
        self._done += len(outcomes)
        self._ahead = self._begin_next()  # while the asker takes these in
        return outcomes

    def _begin_next(self) -> asyncio.Task[list[ScannedSession | tuple[str, str]]] | None:
        rows = tuple(islice(self._rows, self._size))
        self._size = min(2 * self._size, _MOST_AT_ONCE)
        return asyncio.ensure_future(self._scanned(rows)) if rows else None

    async def _scanned(self, rows: tuple[int, ...]) -> list[ScannedSession | tuple[str, str]]:
        members: tuple[Mapping[str, tuple[str, ...]], ...] = ()
        if any(plan.daily.across for plan in self._plans):
            daily = await self._told({name: ScanDaily(job, rows) for name, job in self._jobs.items()}, len(rows))
            members = tuple(map(self._members, daily))
        parts = await self._told(
            {name: ScanSessions(job, rows, members) for name, job in self._jobs.items()}, len(rows)
        )
        return [self._met(row, shares) for row, shares in zip(rows, parts, strict=True)]

    async def _told(self, commands: Mapping[str, Any], n: int) -> list[list[SessionParts | NotRead]]:
        """By session, what each share came to; raises what a process failed with."""
        reports = await self._fleet.execute(commands)
        for report in reports.values():
            if isinstance(report, Failed):
                raise report.error
        return [[report[number] for report in reports.values()] for number in range(n)]

    def _members(self, shares: Sequence[SessionParts | NotRead]) -> Mapping[str, tuple[str, ...]]:
        read = [one for one in shares if isinstance(one, SessionParts)]
        return {
            plan.name: members_after(plan, parts)
            for plan in self._plans
            if (parts := [one.parts[plan.name] for one in read if plan.name in one.parts])
        }

    def _met(self, row: int, shares: Sequence[SessionParts | NotRead]) -> ScannedSession | tuple[str, str]:
        day = self._range.sessions.dates[row].item()
        read: list[SessionParts] = []
        for one in shares:
            if isinstance(one, NotRead):
                return day.isoformat(), str(one.error)
            read.append(one)
        failures = {name: failure for one in read for name, failure in one.failures.items()}
        found: list[SessionHits] = []
        for plan in self._plans:
            if plan.name in failures:
                continue
            parts = [one.parts[plan.name] for one in read]
            hits = session_hits(plan, self._range.timezone, parts[0].times_ns, parts)
            found.append(hits)
            if hits.failure is not None:
                failures[plan.name] = hits.failure
        followed = follow(self._plans, found)
        return ScannedSession(
            day,
            followed.kept,
            followed.visits,
            followed.instructions,
            failures,
            {plan.name: sum(one.universe.get(plan.name, 0) for one in read) for plan in self._plans},
            tuple(sorted({symbol for one in read for symbol in one.missing})),
            {symbol: reason for one in read for symbol, reason in one.faults.items()},
            sum(one.bars for one in read),
        )

    def status(self) -> dict[str, Any]:
        """Where the scan stands, in JSON types."""
        return {
            "name": self._config.name,
            "phase": self._phase,
            "progress": [self._done, len(self._range.rows)],
            "steps": "sessions",
            "fetching": None,
            "session_date": None,
            "now": None,
            "processes": self._fleet.processes,
        }

    async def teardown(self, *, final: bool = True) -> None:
        """End every process."""
        if self._ahead is not None:
            self._ahead.cancel()
        self._fleet.kill_all()
        self._phase = "clean"
