"""The coordinator of a backtest whose symbols come and go by scans."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from barray.actors.options import new_backtest_actor, new_scan_actor
from barray.actors.transport import RayTransport
from barray.coordinator.backtest import Job, Prepared
from barray.coordinator.fleet import Fleet, cpus_of
from barray.coordinator.portfolio_backtest import PortfolioBacktestCoordinator
from barray.coordinator.scan_fleet import PreparedScan, ScanFleet
from barray.market.commands import Failed
from barray.market.errors import BarrayError, shorten
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import RangeLaid, RunScannedSessions, SessionOutcome
from barray.trading.engine.scanned_run import ScannedOutcome
from barray.trading.results.ledger import Ledger, LoadedBars
from barray.trading.scans.follow import follow
from barray.trading.scans.instructions import PromoteSymbol
from barray.trading.scans.result import LookedAt, ScannedSession

logger = logging.getLogger(__name__)
_AHEAD = 3
"""Sessions that are prepared, or run, at once: what bars of promoted symbols take is bounded by it."""


@dataclass(eq=False)
class _Visit:
    """A symbol laid out for one session. `answer`: a handle of its columns, or why there are none; `bars`: of it."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Any = "it was not asked for"
    bars: LoadedBars | None = None


class ScannedBacktestCoordinator(PortfolioBacktestCoordinator):
    """Runs one strategy over a range of sessions, with symbols that scans find. Used as BacktestCoordinator is.

    While a session runs, scans look at those after it, and whom they will promote, were nothing held, is laid out by
    processes that go from session to session. Whom they promote besides, because something is held, the engine's
    process asks for. What was found comes along with the results, session by session.
    """

    def __init__(self, *arguments: Any) -> None:
        *others, scans = arguments
        super().__init__(*others)
        self._prepared: PreparedScan = scans
        place = self._config.placement.placement
        self._scans = ScanFleet(scans, self._config.actors, RayTransport(new_scan_actor, place))
        transport, at_home = RayTransport(new_backtest_actor, place), self._manager.copied
        self._visitors = Fleet(self._config.actors, transport, sessions=2, at_home=at_home)
        self._visits: dict[tuple[int, str], _Visit] = {}
        self._seen: dict[int, asyncio.Future[LookedAt | BarrayError]] = {}
        self._room = asyncio.Semaphore(_AHEAD)
        rows = self._session_range.rows.tolist()
        self._scan_rows = dict(zip(rows, scans.session_range.rows.tolist(), strict=True))

    async def begin(self, done: Collection[str] = ()) -> Prepared:
        """As in BacktestCoordinator; no symbol need be named. Errors too as ScanFleet.start has them."""
        looking = asyncio.ensure_future(self._scans.start())
        try:
            prepared = await super().begin(done) if self._config.symbols else None
            interval = await looking
        finally:
            looking.cancel()
        return prepared or Prepared((), {}, {}, interval)

    async def _run_all(self, grid_interval: Interval) -> None:
        loop = asyncio.get_running_loop()
        self._seen = {row: loop.create_future() for row in self._session_range.rows.tolist()}
        ahead = asyncio.ensure_future(self._look_ahead())
        try:
            await super()._run_all(grid_interval)
        finally:
            ahead.cancel()
            self._end_scans()

    def _end_scans(self) -> None:
        self._scans.kill_all()
        self._visitors.kill_all()

    async def _look_ahead(self) -> None:
        """Look at one session after another, and have whom scans will probably promote laid out."""
        plans = self._scans.plans
        for row, answer in list(self._seen.items()):
            await self._room.acquire()
            try:
                [seen] = await self._scans.sessions((self._scan_rows[row],))
                if isinstance(seen, LookedAt):
                    promoted = [
                        one.symbol
                        for one in follow(plans, seen.found).instructions
                        if isinstance(one, PromoteSymbol) and one.symbol not in self._jobs
                    ]
                    await self._visit(list(dict.fromkeys(promoted)), row)
            except Exception as error:  # of any kind: whoever waits for the session has it
                answer.set_exception(error)
                return
            answer.set_result(seen)

    async def _run_sessions(
        self, number: int, block: SessionRange, columns: tuple[Any, ...], rows: Sequence[int], following: int | None
    ) -> Any:
        seen = [await self._seen[rows[0]]]
        for row in rows[1:]:
            if not self._seen[row].done():
                break
            seen.append(self._seen[row].result())
        chosen = rows[: len(seen)]
        pairs = list(zip(chosen, seen, strict=True))
        command = RunScannedSessions(
            **vars(self._command(number, block, columns, chosen, [*rows, following][len(chosen)])),
            scans=self._prepared.scans,
            found={row: one.found if isinstance(one, LookedAt) else () for row, one in pairs},
            ready={row: self._answers(row) for row in chosen},
            renames=self._config.renames,
        )
        return await self._engine_does(command)

    def _answers(self, row: int) -> dict[str, Any]:
        return {symbol: visit.answer for (at, symbol), visit in self._visits.items() if at == row}

    # ---- symbols for a session each

    async def add_for_strategy(self, symbols: Sequence[str], row: int, lost: Sequence[Any] = ()) -> dict[str, Any]:
        """As in PortfolioBacktestCoordinator, for scans and the strategy alike."""
        for symbol in symbols:
            visit = self._visits.get((row, symbol))
            if visit is not None and visit.answer in lost:
                del self._visits[row, symbol]
        await self._visit(symbols, row)
        return {symbol: self._visits[row, symbol].answer for symbol in symbols}

    async def _visit(self, symbols: Sequence[str], row: int) -> None:
        """Have symbols laid out for a session that are not yet."""
        new = {symbol: _Visit() for symbol in symbols if (row, symbol) not in self._visits}
        self._visits.update({(row, symbol): visit for symbol, visit in new.items()})
        try:
            if new:
                await self._lay_out(new, row)
        finally:
            for visit in new.values():
                visit.done.set()
        for symbol in symbols:
            await self._visits[row, symbol].done.wait()

    async def _lay_out(self, visits: Mapping[str, _Visit], row: int) -> None:
        today, whole = self._session_range.at(np.array([row])), self._session_range
        validated = await self._validate(list(visits), today, int(whole.loaded.close_ns[-1]))
        jobs: dict[str, Job] = {}
        for symbol, found in validated.items():
            if not found.result.can_proceed:
                self._refuse(visits[symbol], symbol, row, found.result.reason)
                continue
            job = Job(symbol, today, is_guest=True)
            jobs[job.key], self._validated[job.key] = job, found
        if not jobs:
            return
        await self._visitors.add(jobs, per_actor=-(-len(jobs) // cpus_of(self._transport)))
        reports = await self._execute_loading(jobs, self._laying_out, self._visitors)
        self._visitors.pop_lost()  # their reports say so
        for key, report in reports.items():
            symbol, visit = jobs[key].symbol, visits[jobs[key].symbol]
            if isinstance(report, RangeLaid):
                visit.answer, visit.bars = report.columns, report.bars
            else:
                error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
                self._refuse(visit, symbol, row, str(error))

    def _refuse(self, visit: _Visit, symbol: str, row: int, reason: str) -> None:
        visit.answer = reason
        day = self._session_range.sessions.dates[row].item()
        logger.warning("%s: %s: can't be promoted: %s", day, shorten(symbol), reason)

    async def _bring_engine_back(self) -> None:
        self._engine.remove(self._engine.symbols)
        await self._engine.add(["portfolio"])

    # ---- what sessions brought

    def _take(self, row: int, outcome: SessionOutcome) -> None:
        for symbol in sorted(outcome.begun - self._ledgers.keys()):
            visit = self._visits.get((row, symbol))
            if visit is not None and visit.bars is not None:
                capital = 0.0 if self._plan.shared else self._plan.account.capital
                self._guests.setdefault(symbol, Ledger(symbol, capital, anew=True)).add_bars(visit.bars)
                self._warn(symbol, visit.bars.warnings)
        super()._take(row, outcome)
        seen, day = self._seen.pop(row).result(), self._session_range.sessions.dates[row].item()
        if isinstance(seen, LookedAt) and isinstance(outcome, ScannedOutcome):
            self._done.put_nowait(ScannedSession.of(day, seen, outcome.followed))
        else:
            self._done.put_nowait((day.isoformat(), str(seen)))
        self._room.release()

    def _dismiss_guests(self, row: int) -> None:
        gone = [symbol for at, symbol in self._visits if at == row]
        keys = [f"{symbol}\n{row}" for symbol in gone]
        self._visitors.remove([key for key in keys if key in self._visitors], keep=True)
        for symbol, key in zip(gone, keys, strict=True):
            del self._visits[row, symbol]
            self._validated.pop(key, None)

    def status(self) -> dict[str, Any]:
        """Where the backtest stands, in JSON types."""
        status = super().status()
        return {**status, "processes": status["processes"] + self._scans.processes + self._visitors.processes}

    async def teardown(self, *, final: bool = True) -> None:
        """End every process."""
        await super().teardown(final=final)
        self._end_scans()
