"""The coordinator of a backtest: an actor that validates, spawns, and lets strategies run where the bars are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from barray.actors.nodes import Claim
from barray.actors.options import new_backtest_actor
from barray.actors.transport import RayTransport
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.crew import Crew
from barray.coordinator.fleet import Fleet, cpus_of
from barray.coordinator.gateway_pool import GatewayPool
from barray.coordinator.judges import Judges
from barray.coordinator.measured import Measured
from barray.coordinator.step0 import Judge, all_failed, require_enough, validate_range
from barray.coordinator.steps import Stepped
from barray.coordinator.summary import lost_symbols
from barray.data_sources.failover import needs_of_range
from barray.data_sources.manager import DataManager
from barray.market.commands import Failed
from barray.market.errors import BarrayError, NoDataError, shorten
from barray.market.interval import Interval
from barray.market.known_table import KnownTables, tables_of
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import RangeValidation, SessionRange
from barray.market.validation import Reason, SymbolValidationResult
from barray.trading.engine.commands import LoadRange, Plan, RangeRun, RunRange, Unreadable
from barray.trading.engine.symbol_run import join_results
from barray.trading.results.events import NO_EVENTS, Events
from barray.trading.results.logs import Logs
from barray.trading.results.result import SymbolResult
from barray.trading.scans.result import SessionScanned

logger = logging.getLogger(__name__)
_PER_CALL = 4
"""Symbols that one call runs: often enough to see progress, seldom enough to cost nothing."""
_MOST_RESULTS, _MOST_BYTES = 16, 32 * 1024 * 1024
"""What one message brings, the more of both: it is there twice for a moment."""
_STAMP_BYTES = 16
"""What a result takes, a stamp of the grid."""
_LEAST_SESSIONS = 1_000
"""Sessions of symbols for which a second process a core is worth its start."""
_STUCK_CALLS = 3
"""What is waited for longer than sessions may take, so that a strategy's endless loop is found where it is."""


_Done = SymbolResult | Logs | Stepped | Callable[[], SymbolResult] | SessionScanned
"""A result may wait to be made until it is fetched: many take memory."""


@dataclass(frozen=True)
class Prepared:
    """What Step 0 left to run, and what it found. `grid_interval`: the finest base interval of any symbol."""

    symbols: tuple[str, ...]
    step0: dict[str, SymbolValidationResult]
    dropped: dict[str, tuple[Reason, ...]]
    grid_interval: Interval


@dataclass(frozen=True)
class Job:
    """What one process does in one go: a symbol over some sessions. `is_guest`: it comes and goes with these."""

    symbol: str
    session_range: SessionRange
    is_guest: bool = False

    @property
    def key(self) -> str:
        """What Step 0 found of it is known by: of a guest, what holds for these sessions."""
        return f"{self.symbol}\n{int(self.session_range.rows[0])}" if self.is_guest else self.symbol


class BacktestCoordinator(Measured):
    """Runs one strategy over a range of sessions, every symbol by itself.

    begin → start → next_results … until None → teardown.
    """

    processes_per_cpu = 2
    """At most, of symbols that share them; two are seldom both in need of it."""
    grows = True
    """Whether nodes that join while it runs get work; if not, all CPUs that it is to have are waited for."""

    def __init__(
        self,
        config: SessionConfig,
        session_range: SessionRange,
        requirements: SymbolRequirements,
        plan: Plan,
        tables: KnownTables | None = None,
    ) -> None:
        super().__init__(config)
        self._known_tables = tables or {}
        self._session_range = session_range
        self._requirements = requirements
        self._plan = plan
        self._transport = RayTransport(new_backtest_actor, config.placement.placement)
        sessions = max(len(session_range.rows), 1) + _STUCK_CALLS
        self._manager = config.data_manager
        self._fleet = Fleet(
            config.actors, self._transport, sessions=sessions, claim=self._claim(), at_home=self._manager.copied
        )
        self._gateways = GatewayPool()
        self._dropped: dict[str, tuple[Reason, ...]] = {}
        self._drops: dict[str, tuple[Reason, ...]] = {}
        self._warned: set[str] = set()
        self._validated: dict[str, RangeValidation] = {}
        self._failing_over = asyncio.Lock()
        self._faults: dict[str, dict[str, dict[date, Reason]]] = {}
        self._jobs: dict[str, Job] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        self._done: asyncio.Queue[_Done | None] = asyncio.Queue()
        self._running: asyncio.Task[None] | None = None
        self._progress = (0, 0)
        self._keeping = False

    def set_credentials(self, secrets: Mapping[str, Any]) -> None:
        """Take the credentials of the config's vendor sources; see GatewayPool."""
        self._gateways.set_credentials(secrets)

    async def begin(self, done: Collection[str] = ()) -> Prepared:
        """Step 0 over all sessions, and a process for every symbol that passed; ValidationFailed where none did,
        ConfigError where the cluster has no room.

        `done`: symbols whose results an earlier coordinator has handed out.
        """
        self._phase = "validating"
        symbols = list(dict.fromkeys(self._config.symbols))
        self._progress = (0, len(symbols))
        await self._transport.make_ready(0 if self.grows else self._config.placement.cpus or 0)
        judges = await self._start_ahead(len(symbols))
        validated = await self._validate(symbols, self._session_range, judge=judges.validate)
        results = {symbol: found.result for symbol, found in validated.items()}
        for symbol, result in results.items():
            if not result.can_proceed:
                self._drop(symbol, result.reasons)
        passed = require_enough(results, per_symbol=self._config.validation.per_symbol)
        self._validated = {symbol: validated[symbol] for symbol in passed}
        self._phase = "provisioning"
        if left := [symbol for symbol in passed if symbol not in done]:
            self._jobs = self._split(left)
            await self._fleet.add(self._jobs, per_actor=self._symbols_per_actor(len(self._jobs)))
        self._fleet.kill_idle()
        bases = [base for symbol in passed if (base := results[symbol].base_interval)]
        return Prepared(tuple(passed), results, dict(self._dropped), min(bases))

    def _claim(self) -> Claim:
        """What a process claims: where CPUs are asked for, its share of one, so that nodes are added for it."""
        own = self._config.actors.claim
        return replace(own, cpus=max(own.cpus, 1 / self.processes_per_cpu)) if self._shares_cpus else own

    @property
    def _shares_cpus(self) -> bool:
        return self.grows and self._config.placement.cpus is not None

    async def _validate(
        self, symbols: Sequence[str], session_range: SessionRange, ahead_ns: int = 0, judge: Judge | None = None
    ) -> dict[str, RangeValidation]:
        """Step 0 over a range, with what is known of the sources' faults. `ahead_ns`: see needs_of_range; `judge`: see
        validate_range.
        """
        return await validate_range(
            symbols,
            replace(self._manager_of(session_range), faults=self._faults),
            self._requirements,
            session_range,
            self._config.validation.deadline_s,
            transport=self._transport,
            fetch=self._gateways.fetch_for(self._requirements, needs_of_range(session_range, ahead_ns)),
            judge=judge,
        )

    def _manager_of(self, session_range: SessionRange) -> DataManager:
        """The sources, with symbols that mean who is called so when these sessions end."""
        return self._manager.on(session_range.dates[-1])

    async def _execute_loading(
        self, jobs: Mapping[str, Job], command: Callable[[LoadRange], Any], fleet: Fleet | None = None
    ) -> dict[str, Any]:
        """Have processes carry out what loads bars; where these prove unreadable, again with the next source's."""
        fleet = fleet or self._fleet
        given = {name: command(self._load(job)) for name, job in jobs.items()}
        reports = await fleet.execute(given)
        while faulty := {name: report for name, report in reports.items() if isinstance(report, Unreadable)}:
            async with self._failing_over:
                for name, report in faulty.items():
                    reports[name] = Failed(error) if (error := await self._fail_over(jobs[name], report)) else report
            again = [name for name in faulty if isinstance(reports[name], Unreadable)]
            reports |= await fleet.execute({name: command(self._load(jobs[name])) for name in again})
        return reports

    async def _fail_over(self, job: Job, report: Unreadable) -> BarrayError | None:
        """Find who else serves the days that could not be read; the error where nothing is left of the symbol."""
        symbol = job.symbol
        self._note_faults(symbol, report.faults)
        whole = job.session_range if job.is_guest else self._session_range
        found = self._validated[job.key] = (await self._validate([symbol], whole))[symbol]
        result = found.result
        if result.can_proceed:
            return None
        return NoDataError(result.reason, symbol=symbol, code=result.reasons[0].code)

    def _note_faults(self, symbol: str, faults: Mapping[date, Reason]) -> None:
        for day, reason in faults.items():
            known = self._faults.setdefault(reason.source or "", {}).setdefault(symbol, {})
            if day not in known:
                known[day] = reason
                logger.warning("%s: %s: %s", symbol, day, reason)

    def _split(self, symbols: Sequence[str]) -> dict[str, Job]:
        """A job a symbol; several where its sessions begin anew and the symbols alone don't keep the cores busy."""
        parts = 1 if self._plan.account.carry else -(-cpus_of(self._transport) // len(symbols))
        jobs: dict[str, Job] = {}
        for symbol in symbols:
            one_source = len(self._validated[symbol].spans) == 1 and not self._session_range.daily
            session_ranges = self._session_range.split(parts if one_source else 1)
            for number, session_range in enumerate(session_ranges):
                jobs[symbol if len(session_ranges) == 1 else f"{symbol}\n{number}"] = Job(symbol, session_range)
        return jobs

    def _symbols_per_actor(self, count: int) -> int:
        """`auto`, or CPUs asked for, keep the cores busy and no more: symbols do not wait for each other here."""
        wanted = self._config.actors.symbols_per_actor
        if wanted != "auto" and not self._shares_cpus:
            return wanted
        cpus, work = cpus_of(self._transport), count * len(self._session_range.rows)
        return -(-count // min(self.processes_per_cpu * cpus, max(cpus, work // _LEAST_SESSIONS)))

    async def _start_ahead(self, count: int) -> Judges:
        """Start processes for `count` symbols, as many as there are cores for, which judge them first.

        None where copies of files decide on which node a symbol is judged.
        """
        needed = 0 if self._manager.copied else -(-count // self._symbols_per_actor(count))
        processes = await self._fleet.start_ahead(min(needed, self.processes_per_cpu * cpus_of(self._transport)))
        return Judges(self._transport, processes)

    def _drop(self, symbol: str, reasons: Sequence[Reason]) -> None:
        self._dropped[symbol] = self._drops[symbol] = tuple(reasons)
        logger.warning("%s: dropped: %s", shorten(symbol), "; ".join(map(str, reasons)))

    def _warn(self, symbol: str, warnings: Sequence[Reason]) -> None:
        """Say once what the symbol's prices are suspected of."""
        if symbol not in self._warned:
            self._warned.add(symbol)
            for warning in warnings:
                logger.warning("%s: %s", symbol, warning)

    def start(self, grid_interval: Interval, keeping: bool = False) -> None:
        """Let all symbols run; their results are handed out by `next_results`. `keeping`: so is what another
        coordinator needs to go on in the middle.
        """
        self._phase, self._keeping = "running", keeping
        self._progress = (0, len(self._jobs))
        self._grid_session = self._session_range.grid(grid_interval)[1]
        self._grid_interval = grid_interval
        self._running = asyncio.ensure_future(self._run_all(grid_interval))

    async def next_results(self) -> list[SymbolResult | Logs | Stepped | SessionScanned] | None:
        """Results that are done, at least one and no great many, in whatever order, and what a strategy over all
        symbols has said since, and what scans found in sessions; None once all are handed out.
        """
        first = await self._done.get()
        taken = [first]
        most = max(_MOST_RESULTS, _MOST_BYTES // (_STAMP_BYTES * max(len(self._grid_session), 1)))
        while not self._done.empty() and len(taken) < most:
            taken.append(self._done.get_nowait())
        if first is None:
            if self._running is not None:
                self._running.result()
            return None
        if taken[-1] is None:
            self._done.put_nowait(None)
        results = [result() if callable(result) else result for result in taken if result is not None]
        self.tally.bars += sum(result.bars for result in results if isinstance(result, SymbolResult))
        return results

    async def _run_all(self, grid_interval: Interval) -> None:
        try:
            crew = Crew(self._fleet, self._run_some, per_call=_PER_CALL, per_cpu=self.processes_per_cpu)
            await crew.run(self._more_processes())
            if len(self._dropped) == len(set(self._config.symbols)):
                raise all_failed(self._dropped, len(self._dropped), per_symbol=True)
        finally:
            self._phase = "ended"
            self._done.put_nowait(None)

    def _more_processes(self) -> int:
        """How many are to join beside those that it begins with, so that there is work for all nodes that come."""
        wanted = self._config.placement.cpus or 0
        there = self._fleet.processes  # fewer than two a CPU where there is little to do
        return max(self.processes_per_cpu * wanted - there, 0) if wanted > cpus_of(self._transport) else 0

    async def _run_some(self, names: Sequence[str]) -> None:
        """Some of one process's jobs."""
        jobs = {name: self._jobs[name] for name in names}
        reports = await self._execute_loading(
            jobs, lambda load: RunRange(load, self._plan, load.session_range.grid(self._grid_interval)[0])
        )
        for name, report in reports.items():
            self._collect(name, report)
        self._progress = (self._progress[0] + len(jobs), self._progress[1])

    def _collect(self, name: str, report: Any) -> None:
        """Hand a symbol's result out once all its jobs are done; drop it where none of them could run."""
        symbol = self._jobs[name].symbol
        reports = self._reports.setdefault(symbol, {})
        reports[name] = report
        names = [other for other, job in self._jobs.items() if job.symbol == symbol]
        if len(reports) < len(names):
            return
        parts = [run.result for other in names if isinstance(run := reports[other], RangeRun)]
        failed = [run for other in names if not isinstance(run := reports[other], RangeRun)]
        lost = [run for run in failed if not isinstance(getattr(run, "error", None), NoDataError)]
        if parts and not lost:
            self._warn(symbol, [warning for part in parts for warning in part.warnings])
            self._done.put_nowait(self._whole(parts))
        else:
            error = (lost or failed)[0]
            self._drop(symbol, [Reason.of(error.error if isinstance(error, Failed) else RuntimeError(repr(error)))])

    def _whole(self, parts: list[SymbolResult]) -> SymbolResult:
        return parts[0] if self._plan.account.carry else join_results(parts, self._grid_session)

    def _load(self, job: Job) -> LoadRange:
        found = self._validated[job.key]
        result = found.result
        if result.base_interval is None:
            raise ValueError(f"{job.symbol} has not passed Step 0")
        skipped = {day: "; ".join(map(str, reasons)) for day, reasons in found.skipped.items()}
        known, warnings = self._known_faults(found, job.session_range)
        manager = self._manager_of(job.session_range)
        reader, others = manager.reader(found), len(manager.sources) > 1
        base, asked, daily = result.base_interval, known if others else None, manager.daily
        tables = tables_of(self._known_tables, job.symbol, job.session_range)
        return LoadRange(job.symbol, job.session_range, reader, base, skipped, daily, asked, warnings, tables)

    def _known_faults(
        self, found: RangeValidation, session_range: SessionRange
    ) -> tuple[frozenset[date], tuple[Reason, ...]]:
        """Days of the range that are still read from a source at fault; and what to say of those that no longer are."""
        still: set[date] = set()
        warnings: list[Reason] = []
        days = {stamp.item() for stamp in session_range.loaded.dates}
        for source, by_symbol in self._faults.items():
            for day, reason in sorted(by_symbol.get(found.result.symbol, {}).items()):
                instead = found.source_of(day)
                if instead == source:
                    still.add(day)
                elif day in days:
                    warnings.append(replace(reason, message=f"{day} is read from {instead}: {reason.message}"))
        return frozenset(still), tuple(warnings)

    def dropped(self) -> dict[str, tuple[str, ...]]:
        """Symbols that ran no session at all, with the reasons."""
        return {symbol: tuple(map(str, reasons)) for symbol, reasons in sorted(self._dropped.items())}

    def lost(self) -> tuple[str, ...]:
        """Those of them that are missing because the machine failed."""
        return lost_symbols(self._dropped)

    def error(self) -> str | None:
        """What ended the run before its time; here every symbol's error is its own."""
        return None

    def events(self) -> Events:
        """What a strategy did to the run beside ordering: nothing, where each symbol is by itself."""
        return NO_EVENTS

    def status(self) -> dict[str, Any]:
        """Where the backtest stands, in JSON types."""
        return {
            "name": self._config.name,
            "phase": self._phase,
            "progress": list(self._progress),
            "fetching": asdict(self._gateways.progress) if self._gateways.progress else None,
            "session_date": None,
            "now": None,
            "processes": self._fleet.processes,
            "restarts": self._fleet.restarts,
        }

    async def gateway_requests(self) -> int:
        """See Measured."""
        return await self._gateways.requests()

    async def teardown(self, *, final: bool = True) -> None:
        """End every process."""
        if self._running is not None:
            self._running.cancel()
        self._fleet.kill_all()
        self._phase = "clean"
