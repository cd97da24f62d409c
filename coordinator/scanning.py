"""The scans of sessions: what they find is added, upgraded and let go of as time comes to it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from barray.coordinator import messages as ask
from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.fleet import Transport
from barray.coordinator.scan_fleet import PreparedScan, ScanFleet
from barray.coordinator.summary import AddResult
from barray.market.errors import BarrayError
from barray.market.requirements import SessionContext
from barray.trading.scans.follow import Followed, Kept, kept_of
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol
from barray.trading.scans.result import LookedAt, ScannedSession
from barray.trading.scans.state import ScanState

logger = logging.getLogger(__name__)
BY = "scanner"


class Scanning:
    """Scans of one session after another. A session of the past is evaluated at its open, for all of its times at once:
    every function is causal, so what is found at a time is what was known by then, and acted on when time comes there.
    """

    def __init__(self, prepared: PreparedScan, actors: ActorsSection, transport: Transport) -> None:
        self._range = prepared.session_range
        self._fleet = ScanFleet(prepared, actors, transport)
        self._started = False
        self._begin_nothing()

    def _begin_nothing(self) -> None:
        self._context: SessionContext | None = None
        self._seen: LookedAt | None = None
        self._state = ScanState(self._fleet.plans)
        self._at: dict[int, list[tuple[str, Hits]]] = {}
        self._kept: list[Kept] = []
        self._done: list[Instruction] = []
        self._own: set[str] = set()
        self._carried: dict[str, set[str]] = {}
        self.error: str | None = None

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
        """Look at a session. Where its bars can't be had, `error` says why, and nothing is found; ActorFailed where a
        process is lost for good, errors of the sources as ScanFleet.start has them.
        """
        self._begin_nothing()
        self._context = context
        if not self._started:
            await self._fleet.start()
            self._started = True
        row = self._range.rows.tolist()[self._range.dates.index(context.session_date)]
        [seen] = await self._fleet.sessions((row,))
        if isinstance(seen, BarrayError):
            self.error = str(seen)
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
            hits = self._at.pop(at_ns)
            found += self._state.step(hits, pinned)
            self._kept += [row for name, one in hits for row in kept_of(name, one, self._state.scans[name].kept)]
        self._done += found
        return found

    def requests(self, instruction: Instruction) -> list[ask.Request]:
        """What an instruction asks of the session."""
        symbol = instruction.symbol
        if isinstance(instruction, Evict | LetGo):
            return [ask.RemoveSymbol(symbol, BY)] if symbol in self._own else []
        if isinstance(instruction, PromoteSymbol):
            return [ask.AddSymbol(symbol, BY)]  # with all that scans look at
        if not isinstance(instruction, AddAdhoc | AlsoWanted) or symbol in self._state.full:
            return []
        known = self._carried.setdefault(symbol, set())
        new = [spec for spec in instruction.indicators if spec.key not in known]
        known.update(spec.key for spec in new)
        return [ask.AddIndicator(symbol, spec, BY) for spec in new]

    def note(self, request: ask.Request, result: AddResult) -> bool:
        """What came of a request; whether to go on with those that belong to it."""
        symbol = request.symbol
        if isinstance(request, ask.RemoveSymbol):
            self._own.discard(symbol)
            self._carried.pop(symbol, None)
        elif result.accepted and result.reason != "already loaded":
            self._own.add(symbol)
        elif isinstance(request, ask.AddSymbol) and not result.accepted:
            self._state.refuse(symbol, result.reason)
            return False
        return True

    @property
    def session(self) -> ScannedSession | None:
        """What was found so far; None where nothing could be looked at."""
        if self._context is None or self._seen is None:
            return None
        followed = Followed(tuple(self._kept), self._state.history, tuple(self._done))
        return ScannedSession.of(self._context.session_date, self._seen, followed)

    def tear_down(self, *, final: bool) -> None:
        """Forget the session; `final`: no other follows."""
        self._begin_nothing()
        if final:
            self._fleet.kill_all()
            self._started = False
