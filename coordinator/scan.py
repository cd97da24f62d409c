"""The coordinator of scans over a range of sessions: an actor that shares a universe out among a few processes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from itertools import islice
from typing import Any

from barray.actors.options import new_scan_actor
from barray.actors.transport import RayTransport
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.measured import Measured
from barray.coordinator.scan_fleet import MOST_AT_ONCE, PreparedScan, ScanFleet
from barray.market.bars import FloatArray
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.trading.scans.follow import follow
from barray.trading.scans.forward import Asked
from barray.trading.scans.result import ScannedSession, SessionScanned


class ScanCoordinator(Measured):
    """Evaluates scans session by session. begin → next_sessions … until None → teardown."""

    def __init__(self, config: SessionConfig, prepared: PreparedScan) -> None:
        super().__init__(config)
        self._range = prepared.session_range
        self._fleet = ScanFleet(prepared, config.actors, RayTransport(new_scan_actor, config.placement.placement))
        self._rows = iter(self._range.rows.tolist())
        self._size = 1
        self._ahead: asyncio.Task[list[SessionScanned]] | None = None
        self._done = 0

    async def begin(self, done: Collection[str] = ()) -> Interval:
        """Find the universe, and start the processes that share it; the interval of the bars that they look at.

        `done`: sessions, by ISO date, whose outcomes an earlier coordinator has handed out.
        """
        rows, dates = self._range.rows.tolist(), self._range.dates
        left = [row for row, day in zip(rows, dates, strict=True) if day.isoformat() not in done]
        self._rows, self._done = iter(left), len(rows) - len(left)
        self._phase = "provisioning"
        interval = await self._fleet.start()
        self._phase = "running"
        return interval

    async def next_sessions(self) -> list[SessionScanned] | None:
        """The next sessions' outcomes, in order of time; None after the last. ActorFailed where a process is lost for
        good.
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

    async def closes(self, rows: tuple[int, ...], asked: tuple[Asked, ...]) -> list[dict[str, FloatArray]]:
        """Newest closes of sessions (their rows), as `asked` of each; errors as for `next_sessions`."""
        return await self._fleet.closes(rows, asked)

    def _begin_next(self) -> asyncio.Task[list[SessionScanned]] | None:
        rows = tuple(islice(self._rows, self._size))
        self._size = min(2 * self._size, MOST_AT_ONCE)
        return asyncio.ensure_future(self._scanned(rows)) if rows else None

    async def _scanned(self, rows: tuple[int, ...]) -> list[SessionScanned]:
        outcomes: list[SessionScanned] = []
        for row, seen in zip(rows, await self._fleet.sessions(rows), strict=True):
            day = self._range.sessions.dates[row].item()
            if isinstance(seen, BarrayError):
                outcomes.append((day.isoformat(), str(seen)))
            else:
                outcomes.append(ScannedSession.of(day, seen, follow(self._fleet.plans, seen.found)))
        return outcomes

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
            "restarts": self._fleet.restarts,
        }

    async def teardown(self, *, final: bool = True) -> None:
        """End every process."""
        if self._ahead is not None:
            self._ahead.cancel()
        self._fleet.kill_all()
        self._phase = "clean"
