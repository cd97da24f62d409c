"""The scans of sessions: what they find is added, upgraded and let go of as time comes to it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from barray.coordinator import messages as ask
from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.fleet import Transport
from barray.coordinator.scan_fleet import PreparedScan, ScanFleet
from barray.market.errors import BarrayError
from barray.market.requirements import SessionContext
from barray.trading.scans.following import BY, Asked, ScanSteps
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import Instruction
from barray.trading.scans.result import LookedAt, ScannedSession

logger = logging.getLogger(__name__)


class Scanning:
    """Scans of one session after another; `steps`: of the one that is open. A session of the past is evaluated at its
    open, for all of its times at once: every function is causal, so what is found at a time is what was known by then,
    and acted on when time comes there.
    """

    def __init__(self, prepared: PreparedScan, actors: ActorsSection, transport: Transport) -> None:
        self._range = prepared.session_range
        self._fleet = ScanFleet(prepared, actors, transport)
        self._rules = prepared.rules()
        self._started = False
        self._begin_nothing()

    def _begin_nothing(self) -> None:
        self._context: SessionContext | None = None
        self._seen = LookedAt((), {}, {}, (), {}, 0)
        self.steps = ScanSteps(self._rules)
        self._at: dict[int, list[tuple[str, Hits]]] = {}
        self._error: str | None = None

    @property
    def processes(self) -> int:
        """How many there are."""
        return self._fleet.processes

    @property
    def restarts(self) -> int:
        """How many of them were lost and started again."""
        return self._fleet.restarts

    @property
    def moments(self) -> tuple[int, ...]:
        """When there is something to do yet, UTC ns, ascending."""
        return tuple(sorted(self._at))

    async def begin(self, context: SessionContext) -> None:
        """Look at a session. Where its bars can't be had, its `error` says why, and nothing is found; ActorFailed where
        a process is lost for good, errors of the sources as ScanFleet.start has them.
        """
        self._begin_nothing()
        self._context = context
        if not self._started:
            await self._fleet.start()
            self._started = True
        row = self._range.rows.tolist()[self._range.dates.index(context.session_date)]
        [seen] = await self._fleet.sessions((row,))
        if isinstance(seen, BarrayError):
            self._error = str(seen)
            logger.error("%s: scans find nothing: %s", context.session_date, seen)
            return
        self._seen = seen
        for failure in seen.failures.values():
            logger.error("scan %s ended: %s", failure.scan, failure.reason.strip().splitlines()[-1])
        for one in seen.found:
            for hits in one.hits:
                self._at.setdefault(hits.at_ns, []).append((one.scan, hits))

    def due(self, now_ns: int, pinned: Collection[str] = ()) -> list[Instruction]:
        """What is to be done by `now_ns`. `pinned`: symbols that must stay full, such as those with a position."""
        found: list[Instruction] = []
        for at_ns in [moment for moment in self.moments if moment <= now_ns]:
            found += self.steps.step(at_ns, self._at.pop(at_ns), pinned)
        return found

    @property
    def session(self) -> ScannedSession | None:
        """What was found so far; None before a session."""
        if self._context is None:
            return None
        found = ScannedSession.of(self._context.session_date, self._seen, self.steps.followed)
        live, steps = self._context.live, tuple(self.steps.taken)
        return replace(found, rules=self._rules, steps=steps, error=self._error, live=live)

    def tear_down(self, *, final: bool) -> None:
        """Forget the session; `final`: no other follows."""
        self._begin_nothing()
        if final:
            self._fleet.kill_all()
            self._started = False


def request_of(asked: Asked) -> ask.Request:
    """The same as others ask it of a session."""
    if asked.indicator is not None:
        return ask.AddIndicator(asked.symbol, asked.indicator, BY)
    return (ask.AddSymbol if asked.action == "add_symbol" else ask.RemoveSymbol)(asked.symbol, BY)
