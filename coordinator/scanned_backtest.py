"""The coordinator of a backtest whose symbols come and go by scans."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from barray.coordinator.steps import Step
from barray.coordinator.visits import VisitedCoordinator
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import RunScannedSessions, SessionOutcome
from barray.trading.engine.scanned_run import ScannedOutcome
from barray.trading.scans.result import LookedAt, ScannedSession, SessionScanned

_AHEAD = 3
"""Sessions that are prepared, or run, at once: what bars of promoted symbols take is bounded by it."""


class ScannedBacktestCoordinator(VisitedCoordinator):
    """Runs one strategy over a range of sessions, with symbols that scans find. Used as BacktestCoordinator is.

    While a session runs, scans look at those after it, and whom they will promote, were nothing held, is laid out by
    processes that go from session to session. Whom they promote besides, because something is held, the engine's
    process asks for. What was found comes along with the results, session by session.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._seen: dict[int, asyncio.Future[LookedAt | BarrayError]] = {}
        self._room = asyncio.Semaphore(_AHEAD)

    async def _run_all(self, grid_interval: Interval) -> None:
        loop = asyncio.get_running_loop()
        rows = self._session_range.rows
        self._seen = {row: loop.create_future() for row in rows[rows > self._run_until].tolist()}
        ahead = asyncio.ensure_future(self._look_ahead())
        try:
            await super()._run_all(grid_interval)
        finally:
            ahead.cancel()
            self._end_scans()

    async def _look_ahead(self) -> None:
        """Look at one session after another, and have whom scans will probably promote laid out."""
        for row, answer in list(self._seen.items()):
            await self._room.acquire()
            try:
                answer.set_result(await self._look_at(row))
            except Exception as error:  # of any kind: whoever waits for the session has it
                answer.set_exception(error)
                return

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

    async def _bring_engine_back(self) -> None:
        self._engine.remove(self._engine.symbols)
        await self._engine.add(["portfolio"])

    # ---- what sessions brought

    def take_up(self, steps: Sequence[Step], state: bytes) -> None:
        """As in PortfolioBacktestCoordinator."""
        super().take_up(steps, state)
        for one in (one for step in steps for one in step.scanned):
            self._done.put_nowait(one)

    def _take(self, row: int, outcome: SessionOutcome) -> None:
        if row not in self._seen:  # it is taken up
            super()._take(row, outcome)
            return
        for symbol in sorted(outcome.begun - self._ledgers.own.keys()):
            visit = self._visits.get((row, symbol))
            if visit is not None and visit.bars is not None:
                self._guest(symbol).add_bars(visit.bars)
                self._since.bars.append((symbol, True, visit.bars))
                self._warn(symbol, visit.bars.warnings)
        super()._take(row, outcome)
        seen, day = self._seen.pop(row).result(), self._session_range.sessions.dates[row].item()
        found: SessionScanned = (day.isoformat(), str(seen))
        if isinstance(seen, LookedAt) and isinstance(outcome, ScannedOutcome):
            found = ScannedSession.of(day, seen, outcome.followed)
        self._done.put_nowait(found)
        self._since.scanned.append(found)
        self._room.release()

    def _dismiss_guests(self, row: int) -> None:
        gone = [symbol for at, symbol in self._visits if at == row]
        keys = [f"{symbol}\n{row}" for symbol in gone]
        self._visitors.remove([key for key in keys if key in self._visitors], keep=True)
        for symbol, key in zip(gone, keys, strict=True):
            del self._visits[row, symbol]
            self._validated.pop(key, None)
