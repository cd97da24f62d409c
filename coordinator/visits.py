"""Symbols that come for a session each, because scans find them: what coordinators of backtests and sweeps share."""

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
from barray.trading.engine.commands import RangeLaid
from barray.trading.results.ledger import LoadedBars
from barray.trading.scans.follow import follow
from barray.trading.scans.instructions import PromoteSymbol
from barray.trading.scans.result import LookedAt

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Visit:
    """A symbol laid out for one session. `answer`: a handle of its columns, or why there are none; `bars`: of it;
    `digest`: see RangeLaid.
    """

    done: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Any = "it was not asked for"
    bars: LoadedBars | None = None
    digest: str = ""


class VisitedCoordinator(PortfolioBacktestCoordinator):
    """Has scans look at sessions, and lays out whom they promote, by processes that go from session to session."""

    def __init__(self, *arguments: Any) -> None:
        *others, scans = arguments
        super().__init__(*others)
        self._prepared: PreparedScan = scans
        place = self._config.placement.placement
        self._scans = ScanFleet(scans, self._config.actors, RayTransport(new_scan_actor, place))
        self._visitors = Fleet(self._config.actors, RayTransport(new_backtest_actor, place), sessions=2)
        self._visits: dict[tuple[int, str], Visit] = {}
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

    async def _look_at(self, row: int) -> LookedAt | BarrayError:
        """What scans find in a session; whom they promote, were nothing held, is laid out then."""
        [seen] = await self._scans.sessions((self._scan_rows[row],))
        if isinstance(seen, LookedAt):
            instructions = follow(self._scans.plans, seen.found).instructions
            promoted = dict.fromkeys(one.symbol for one in instructions if isinstance(one, PromoteSymbol))
            await self._visit([symbol for symbol in promoted if symbol not in self._jobs], row)
        return seen

    def _answers(self, row: int) -> dict[str, Any]:
        return {symbol: visit.answer for (at, symbol), visit in self._visits.items() if at == row}

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
        new = {symbol: Visit() for symbol in symbols if (row, symbol) not in self._visits}
        self._visits.update({(row, symbol): visit for symbol, visit in new.items()})
        try:
            if new:
                await self._lay_out(new, row)
        finally:
            for visit in new.values():
                visit.done.set()
        for symbol in symbols:
            await self._visits[row, symbol].done.wait()

    async def _lay_out(self, visits: Mapping[str, Visit], row: int) -> None:
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
                visit.answer, visit.bars, visit.digest = report.columns, report.bars, report.digest
            else:
                error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
                self._refuse(visit, symbol, row, str(error))

    def _refuse(self, visit: Visit, symbol: str, row: int, reason: str) -> None:
        visit.answer = reason
        day = self._session_range.sessions.dates[row].item()
        logger.warning("%s: %s: can't be promoted: %s", day, shorten(symbol), reason)

    def _end_scans(self) -> None:
        self._scans.kill_all()
        self._visitors.kill_all()

    def status(self) -> dict[str, Any]:
        """Where the backtest stands, in JSON types."""
        status = super().status()
        return {**status, "processes": status["processes"] + self._scans.processes + self._visitors.processes}

    async def teardown(self, *, final: bool = True) -> None:
        """End every process."""
        await super().teardown(final=final)
        self._end_scans()
