"""Scans of a live session: looked at when their times come, by the bars that have come."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from dataclasses import replace

from barray.coordinator.scan_fleet import ScanFleet
from barray.market.bars import format_ns
from barray.market.errors import BarrayError
from barray.market.requirements import SessionContext
from barray.market.universe.growing import Tape
from barray.trading.scans.hits import Hits, ScanFailure
from barray.trading.scans.plan import Plan
from barray.trading.scans.result import LookedAt

logger = logging.getLogger(__name__)


class LiveLooks:
    """Which scans are to run when, and what there is to say of the universe so far: `seen`. A scan that fails runs no
    more; where bars can't be had, or a process is lost for good, none does, and `error` says why. The session goes on.
    """

    def __init__(self, fleet: ScanFleet, row: int, context: SessionContext, timezone: str, since_ns: int) -> None:
        self._fleet, self._row = fleet, row
        self.due: dict[int, list[Plan]] = {}
        for plan in fleet.plans:
            times = plan.times.of(context.session_date, context.open_ns, context.close_ns, timezone).tolist()
            for at_ns in (one for one in times if one >= since_ns):
                self.due.setdefault(at_ns, []).append(plan)
        self.seen = LookedAt((), {}, {}, (), {}, 0)
        self.error: str | None = None

    async def open(self) -> None:
        """Have what scans look at of earlier sessions read, and the daily stages evaluated."""
        await self._seen(self._fleet.open(self._row))

    async def take_in(self, tape: Tape, at_ns: int) -> None:
        """Bars of the universe have come by session time `at_ns`."""
        if self.error is not None:
            return
        try:
            refused = await self._fleet.take_in(tape, at_ns)
        except BarrayError as error:
            self._end(error)
            return
        for symbol, reason in sorted(refused.items()):
            logger.warning("%s: bars that came are not looked at: %s", symbol, reason)

    async def look(self, at_ns: int) -> list[tuple[str, Hits]]:
        """What scans find at a time; nothing of one that has failed."""
        plans = [plan for plan in self.due.pop(at_ns, []) if plan.name not in self.seen.failures]
        if not plans or self.error is not None:
            return []
        looked = await self._seen(self._fleet.look(at_ns, plans))
        return [(one.scan, hits) for one in looked.found for hits in one.hits] if looked is not None else []

    async def _seen(self, asked: Awaitable[LookedAt | BarrayError]) -> LookedAt | None:
        try:
            looked = await asked
        except BarrayError as error:
            looked = error
        if isinstance(looked, BarrayError):
            self._end(looked)
            return None
        told_failures(looked.failures)
        self.seen = replace(looked, found=(), failures={**self.seen.failures, **looked.failures})
        return looked

    def _end(self, error: BarrayError) -> None:
        self.error = str(error)
        logger.error("scans find nothing any more: %s", error)
        self.due.clear()


def told_failures(failures: Mapping[str, ScanFailure]) -> None:
    """Log why scans ended."""
    for failure in failures.values():
        what = failure.reason.strip().splitlines()[-1]
        logger.error("scan %s ended at %s: %s", failure.scan, format_ns(failure.at_ns), what)
