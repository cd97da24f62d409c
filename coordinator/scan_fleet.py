"""The processes that share a universe out for scans."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.fleet import Fleet, Transport, cpus_of
from barray.data_sources.stacks import StackSources
from barray.market.bars import FloatArray
from barray.market.calendar import Sessions
from barray.market.commands import Failed
from barray.market.errors import BarrayError, NoDataError, SourceUnavailable
from barray.market.interval import Interval, best_base
from barray.market.known_table import KnownTables
from barray.market.listings import Listings
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import SessionRange
from barray.market.universe.growing import Tape
from barray.market.validation import Reason
from barray.trading.scans.commands import (
    LookAt,
    NotRead,
    OpenScans,
    ScanCloses,
    ScanDaily,
    ScanJob,
    ScanSessions,
    SessionParts,
    TakeBars,
)
from barray.trading.scans.evaluate import members_after, session_hits
from barray.trading.scans.forward import Asked
from barray.trading.scans.hits import SessionHits
from barray.trading.scans.keeping import Rules
from barray.trading.scans.needs import ScanNeeds
from barray.trading.scans.plan import Plan
from barray.trading.scans.result import LookedAt
from barray.trading.scans.source import ScanSource

MINUTE = Interval(1, "m")
_SMALLEST_SHARE = 250
"""Symbols: fewer are not worth a process."""
MOST_AT_ONCE = 16
"""Sessions that a call evaluates."""
_ASKED = 8
"""Symbols of which it is asked which intervals there are."""


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """Scans laid out. `requirements`: what full symbols with the scans' indicators need; `session_range`: each session
    with the history of these, whose `daily` says from where on daily bars are looked at.
    """

    config: SessionConfig
    scans: tuple[ScanSource, ...]
    needs: ScanNeeds
    requirements: SymbolRequirements
    session_range: SessionRange
    reader: StackSources
    daily: StackSources | None
    listings: Mapping[str, Listings]
    tables: KnownTables

    def plans(self) -> tuple[Plan, ...]:
        """The scans made ready, here: their classes do not travel."""
        return tuple(source.plan() for source in self.scans)

    def rules(self) -> tuple[Rules, ...]:
        """By what the scans' findings are followed."""
        return tuple(plan.rules(source.digest) for plan, source in zip(self.plans(), self.scans, strict=True))

    def found(self) -> tuple[Interval, list[str]]:
        """The interval to look at, and all symbols that any scan may look at in these sessions; NoDataError where there
        are none, or what is there does not make what scans look at; SourceUnavailable.
        """
        reader, rows = self.reader, self.session_range.rows
        sessions = self.session_range.sessions.take(slice(int(rows[0]), int(rows[-1]) + 1))
        named = self.named()
        if self.config.is_live:
            held: tuple[Interval, ...] = (MINUTE,)  # they come
        else:
            held = reader.intervals(sorted(named or ())[:_ASKED] or list(reader.names(_ASKED)), sessions)
        wanted = self.requirements.all_intervals
        base = best_base(wanted, held) if wanted else min(held, default=None)
        if base is None:
            needed, there = (", ".join(map(str, some)) or "none" for some in (wanted, held))
            raise NoDataError(
                f"the scans look at {needed}, which what is there ({there}) does not derive",
                source=reader.name,
                remedy="name a source of finer bars, or look at coarser ones",
            )
        symbols = sorted(named) if named is not None else self._stored(base, sessions)
        if not symbols and named is not None:
            told = ", ".join(dict.fromkeys(plan.universe.text for plan in self.plans()))
            days = f"{self.session_range.dates[0]} to {self.session_range.dates[-1]}"
            raise NoDataError(
                f"the universe is empty: {told} names no symbol from {days}",
                remedy="check the table's dates, start and end, or widen the universe",
            )
        if not symbols:
            raise NoDataError("there is no symbol to look at", source=reader.name, remedy="check root and layout")
        return base, symbols

    def _stored(self, base: Interval, sessions: Sessions) -> list[str]:
        try:
            return list(self.reader.stored(base, sessions))
        except SourceUnavailable:
            if not self.config.is_live:
                raise
            raise NoDataError(
                "nothing was fetched yet, and the universe is everything that was",
                source=self.reader.name,
                remedy="name the universe, as symbols, a file or listings, or fetch its bars first",
            ) from None

    def job(self, interval: Interval, symbols: Sequence[str]) -> ScanJob:
        """The scans of some symbols, sorted."""
        return ScanJob(
            self.scans,
            tuple(symbols),
            self.session_range,
            interval,
            self.reader,
            self.daily if interval.is_intraday else None,
            self.listings,
            self.tables,
            self.config.renames,
        )

    def named(self) -> set[str] | None:
        """Symbols that universes name on any of the days; None where one of them is all that is stored."""
        found: set[str] = set()
        for plan in self.plans():
            if plan.universe.kind == "everything":
                return None
            for day in self.session_range.dates:
                found.update(plan.universe.on(day, (), self.listings.__getitem__).missing)
        return found


class ScanFleet:
    """Evaluates scans session by session, each process a share of the symbols. `positions`: of all of these, sorted."""

    def __init__(self, prepared: PreparedScan, actors: ActorsSection, transport: Transport) -> None:
        self._prepared = prepared
        self._transport = transport
        self._fleet = Fleet(actors, transport, sessions=MOST_AT_ONCE)
        self.plans: tuple[Plan, ...] = prepared.plans()
        self._jobs: dict[str, ScanJob] = {}
        self._universe: tuple[Interval, list[str]] | None = None
        self.positions: Mapping[str, int] = {}
        self._one_call = asyncio.Lock()

    @property
    def processes(self) -> int:
        """How many there are."""
        return self._fleet.processes

    @property
    def restarts(self) -> int:
        """How many of them were lost and started again."""
        return self._fleet.restarts

    async def start(self, universe: Sequence[str] = ()) -> Interval:
        """Find the universe, and start the processes that share it; the interval of the bars that they look at.
        `universe`: that of a live session, sorted, where it is known.

        NoDataError where there are none; ConfigError, SourceUnavailable, DataError as the sources have it.
        """
        prepared = self._prepared
        await self._transport.make_ready(prepared.config.placement.cpus or 0)
        self._universe = (MINUTE, list(universe)) if universe else await asyncio.to_thread(prepared.found)
        await self._share_out(*self._universe)
        return self._universe[0]

    async def _share_out(self, interval: Interval, symbols: Sequence[str]) -> None:
        """Have each core take a share of the symbols, if there are more cores than shares; all that is known of them is
        read again.
        """
        shares = max(1, min(cpus_of(self._transport), len(symbols) // _SMALLEST_SHARE))
        if shares <= len(self._jobs):
            return
        self._fleet.kill_all()
        parts = np.array_split(np.array(symbols, object), shares)
        names = [f"share {number} of {shares}" for number in range(1, shares + 1)]
        self._jobs = {name: self._prepared.job(interval, one.tolist()) for name, one in zip(names, parts, strict=True)}
        self.positions = {symbol: i for i, symbol in enumerate(symbols)}
        await self._fleet.add(self._jobs)

    async def sessions(self, rows: tuple[int, ...]) -> list[LookedAt | BarrayError]:
        """What the scans found in sessions (their rows), or why nothing can be told of one; ActorFailed where a process
        is lost for good.
        """
        async with self._one_call:
            if await self._fleet.look_after(joins=False) and self._universe is not None:
                await self._share_out(*self._universe)
            return await self._sessions(rows)

    async def _sessions(self, rows: tuple[int, ...]) -> list[LookedAt | BarrayError]:
        members: tuple[Mapping[str, tuple[str, ...]], ...] = ()
        if any(plan.daily.across for plan in self.plans):
            daily = await self._told({name: ScanDaily(job, rows) for name, job in self._jobs.items()}, len(rows))
            members = tuple(map(self._members, daily))
        asked = {name: ScanSessions(job, rows, members) for name, job in self._jobs.items()}
        told = await self._told(asked, len(rows))
        return [met(self.plans, self._prepared.session_range.timezone, shares) for shares in told]

    @property
    def symbols(self) -> tuple[str, ...]:
        """All that any scan may look at, sorted; none before `start`."""
        return tuple(symbol for job in self._jobs.values() for symbol in job.symbols)

    async def open(self, row: int) -> LookedAt | BarrayError:
        """Go along with a session, whose bars come: what there is to say before any has, or why it can't be looked at;
        ActorFailed as above.
        """
        given: Mapping[str, tuple[str, ...]] = {}
        if any(plan.daily.across for plan in self.plans):
            [daily] = await self._told({name: ScanDaily(job, (row,)) for name, job in self._jobs.items()}, 1)
            given = self._members(daily)
        [opened] = await self._told({name: OpenScans(job, row, given) for name, job in self._jobs.items()}, 1)
        return met((), self._prepared.session_range.timezone, opened)

    async def take_in(self, tape: Tape, at_ns: int) -> dict[str, Reason]:
        """Bars of the open session have come by session time `at_ns`, `who` by `positions`; whose were refused, and
        why. ActorFailed.
        """
        await self._fleet.look_after(joins=False)
        commands, first = dict[str, TakeBars](), 0
        for name, job in self._jobs.items():
            own = tape.take((tape.who >= first) & (tape.who < first + len(job.symbols)))
            if len(own.who):
                commands[name] = TakeBars(Tape(own.who - first, own.bars), at_ns)
            first += len(job.symbols)
        reports = await self._reports(commands)
        return {symbol: reason for one in reports for symbol, reason in one.refused.items()}

    async def look(self, at_ns: int, plans: Sequence[Plan]) -> LookedAt | BarrayError:
        """What these scans find at a time of the open session, by what has come; ActorFailed."""
        command = LookAt(at_ns, tuple(plan.name for plan in plans))
        [looked] = await self._told(dict.fromkeys(self._jobs, command), 1)
        return met(plans, self._prepared.session_range.timezone, looked)

    async def closes(self, rows: tuple[int, ...], asked: tuple[Asked, ...]) -> list[dict[str, FloatArray]]:
        """The closes that are asked for, of each session (its row), of symbols whose bars can be read."""
        async with self._one_call:
            commands = {
                name: ScanCloses(job, rows, tuple(_own(job.symbols, one) for one in asked))
                for name, job in self._jobs.items()
            }
            told = await self._told(commands, len(rows))
        return [{k: v for one in shares if not isinstance(one, NotRead) for k, v in one.items()} for shares in told]

    def kill_all(self) -> None:
        """End every process."""
        self._fleet.kill_all()
        self._jobs = {}

    async def _told(self, commands: Mapping[str, Any], n: int) -> list[list[Any]]:
        """By session, what each share came to; raises what a process failed with."""
        reports = await self._reports(commands)
        return [[report[number] for report in reports] for number in range(n)]

    async def _reports(self, commands: Mapping[str, Any]) -> list[Any]:
        reports = list((await self._fleet.execute(commands)).values())
        for report in reports:
            if isinstance(report, Failed):
                raise report.error
        return reports

    def _members(self, shares: Sequence[SessionParts | NotRead]) -> Mapping[str, tuple[str, ...]]:
        read = [one for one in shares if isinstance(one, SessionParts)]
        return {
            plan.name: members_after(plan, parts)
            for plan in self.plans
            if (parts := [one.parts[plan.name] for one in read if plan.name in one.parts])
        }


def met(plans: Sequence[Plan], timezone: str, shares: Sequence[SessionParts | NotRead]) -> LookedAt | BarrayError:
    """What scans found in a session, of what all shares of the universe came to; or why nothing can be told of it."""
    read: list[SessionParts] = []
    for one in shares:
        if isinstance(one, NotRead):
            return one.error
        read.append(one)
    failures = {name: failure for one in read for name, failure in one.failures.items()}
    found: list[SessionHits] = []
    for plan in plans:
        if plan.name in failures:
            continue
        parts = [one.parts[plan.name] for one in read]
        hits = session_hits(plan, timezone, parts[0].times_ns, parts)
        found.append(hits)
        if hits.failure is not None:
            failures[plan.name] = hits.failure
    return LookedAt(
        tuple(found),
        failures,
        {name: sum(one.universe.get(name, 0) for one in read) for name in read[0].universe} if read else {},
        tuple(sorted({symbol for one in read for symbol in one.missing})),
        {symbol: reason for one in read for symbol, reason in one.faults.items()},
        sum(one.bars for one in read),
        tuple(hole for one in read for hole in one.holes),
    )


def _own(symbols: tuple[str, ...], asked: Asked) -> Asked:
    return {symbol: asked[symbol] for symbol in symbols if symbol in asked}
