"""The scans of sessions: what they find is added, upgraded and let go of as time comes to it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from barray.coordinator import messages as ask
from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.day import Day
from barray.coordinator.day_recorder import DayRecorder
from barray.coordinator.fleet import Transport
from barray.coordinator.looks import LiveLooks, told_failures
from barray.coordinator.scan_fleet import PreparedScan, ScanFleet
from barray.coordinator.summary import AddResult
from barray.market.bars import Bars, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, ConfigError, IllegalTransition
from barray.market.requirements import SessionContext
from barray.market.universe.growing import Tape
from barray.trading.engine.recording import Look, Scanned
from barray.trading.engine.recording import LookedAt as LookedAtThen
from barray.trading.scans.again import as_told, first_step_difference, follow_again
from barray.trading.scans.following import ALREADY_LOADED, BY, Asked, ScanSteps
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import Instruction, PromoteSymbol
from barray.trading.scans.result import LookedAt, ScannedSession
from barray.trading.scans.step_json import read_hits

logger = logging.getLogger(__name__)
ChangeAll = Callable[[Sequence[ask.Request]], Awaitable[list[AddResult]]]
"""Does what is asked of the session, in order; what became of each."""
Provide = Callable[[Sequence[str], int, Sessions], Awaitable[Mapping[str, Bars]]]
"""See Driver.provide."""


class Scanning:
    """Scans of one session after another; `steps`: of the one that is open. A session of the past is evaluated at its
    open, for all of its times at once: every function is causal, so what is found at a time is what was known by then,
    and acted on when time comes there. A live one is looked at when time is there, by the bars that have come.
    """

    def __init__(self, prepared: PreparedScan, actors: ActorsSection, transport: Transport) -> None:
        self._range = prepared.session_range
        self._back = prepared.needs.sessions_back
        self._fleet = ScanFleet(prepared, actors, transport)
        self._rules = prepared.rules()
        self._started = False
        self.recorder: DayRecorder | None = None
        self._begin_nothing()

    def _begin_nothing(self) -> None:
        self._context: SessionContext | None = None
        self._seen = LookedAt((), {}, {}, (), {}, 0)
        self.steps = ScanSteps(self._rules)
        self._at: dict[int, list[tuple[str, Hits]]] = {}
        self._error: str | None = None
        self._live: LiveLooks | None = None
        self._came: Mapping[str, Bars] = {}

    @property
    def processes(self) -> int:
        """How many there are."""
        return self._fleet.processes

    @property
    def restarts(self) -> int:
        """How many of them were lost and started again."""
        return self._fleet.restarts

    @property
    def universe(self) -> tuple[str, ...]:
        """All symbols that are looked at, sorted; none before `start`."""
        return self._fleet.symbols

    @property
    def moments(self) -> tuple[int, ...]:
        """When there is something to do yet, UTC ns, ascending."""
        return tuple(sorted(self._live.due if self._live else self._at))

    async def start(self, universe: Sequence[str] = ()) -> None:
        """Find the universe, and start the processes that share it, once; errors as ScanFleet.start has them."""
        if not self._started:
            await self._fleet.start(universe)
            self._started = True

    def _looks_back(self, context: SessionContext) -> tuple[int, Sessions]:
        """From when on base bars are looked at for a session, UTC ns, and the sessions whose daily bars are."""
        row, sessions = self._row(context), self._range.sessions
        first = max(min(self._range.history[row], row - self._back), 0)
        return int(sessions.open_ns[first]), sessions.take(slice(self._range.daily.get(row, row), row))

    async def begin(
        self, context: SessionContext, now_ns: int, provide: Provide, earlier: Scanned | None = None
    ) -> None:
        """Look at a session. Where its bars can't be had, its `error` says why, and nothing is found; ActorFailed where
        a process is lost for good, errors of the sources as ScanFleet.start has them. `now_ns`: where it stands; those
        of a live one run from then on, with what `provide` has of the universe. `earlier`: what is recorded of one that
        is resumed, on which they ran; then come `look_again` and `catch_up`.
        """
        self._begin_nothing()
        self._context = context
        resumed = earlier if earlier is not None and earlier.universe else None
        await self.start(resumed.universe if resumed else ())
        if context.live:
            self._came = await provide(self.universe, *self._looks_back(context))
            since_ns = resumed.since_ns if resumed else now_ns
            self._live = LiveLooks(self._fleet, self._row(context), context, self._range.timezone, since_ns)
            await self._live.open()
            if resumed is None:
                if self.recorder is not None:
                    self.recorder.universe(self.universe, self._rules, now_ns)
                await self.catch_up((), now_ns)
            return
        [seen] = await self._fleet.sessions((self._row(context),))
        if isinstance(seen, BarrayError):
            self._error = str(seen)
            logger.error("%s: scans find nothing: %s", context.session_date, seen)
            return
        self._seen = seen
        told_failures(seen.failures)
        for one in seen.found:
            for hits in one.hits:
                self._at.setdefault(hits.at_ns, []).append((one.scan, hits))

    def _row(self, context: SessionContext) -> int:
        row: int = self._range.rows.tolist()[self._range.dates.index(context.session_date)]
        return row

    async def take_in(self, bars: Mapping[str, Bars], received_ns: Mapping[str, IntArray], at_ns: int) -> None:
        """Bars have come by session time `at_ns`; those of a live universe are looked at from now on. `received_ns`:
        when each did, where somebody knows.
        """
        positions = self._fleet.positions
        known = {symbol: own for symbol, own in bars.items() if symbol in positions}
        if self._live is not None and known:
            tape = Tape.of(known, positions)
            if self.recorder is not None:
                came = [received_ns.get(symbol, np.full(len(own), at_ns)) for symbol, own in known.items()]
                self.recorder.looked_at(tape, np.concatenate(came), at_ns)
            await self._live.take_in(tape, at_ns)

    async def look_again(self, look: Look) -> list[tuple[Asked, str | None]]:
        """Look once more at a time of a day that is resumed, by the bars that had come then; what was asked of the
        session, and why it was refused (None: it was done). ConfigError (`checkpoint_differs`) where others are found.
        """
        live = self._looks
        for one in look.bars:
            await live.take_in(one.tape, one.at_ns)
        found = await live.look(look.at_ns)
        if live.error is not None and look.step is not None:  # what had been found is known all the same
            found = [(one["scan"], read_hits(one, look.at_ns)) for one in look.step["hits"]]
        asked = follow_again(self.steps, look.at_ns, look.step, found)
        then, now = [look.step] if look.step else [], [as_told(self.steps.taken[-1])] if found else []
        if (apart := first_step_difference(then, now)) is not None:
            raise ConfigError(
                f"scans do not come to what they had on this day before, at {apart.at}, in {apart.what}: "
                f"it was {apart.then} and is {apart.now}",
                remedy="a scan that looks at more than its bars, or at earlier sessions that are others now, can't be "
                "resumed: run the rest of the day anew, without --checkpoint",
                code="checkpoint_differs",
            )
        return asked

    async def catch_up(self, later: Sequence[LookedAtThen], now_ns: int) -> None:
        """Take in what had come after the last look, and what has come since, by `now_ns`."""
        for one in later:
            await self._looks.take_in(one.tape, one.at_ns)
        came, self._came = self._came, {}
        await self.take_in(came, {}, now_ns)

    @property
    def _looks(self) -> LiveLooks:
        if self._live is None:
            raise IllegalTransition("no live session is looked at")
        return self._live

    async def follow(
        self, day: Day, to_ns: int, pinned: Collection[str], change_all: ChangeAll, goes_on: Callable[[], bool]
    ) -> None:
        """Do what scans ask for by `to_ns`. `pinned`: symbols that must stay full, such as those with a position."""
        for at_ns in [moment for moment in self.moments if moment <= to_ns]:
            hits = self._at.pop(at_ns) if self._live is None else await self._live.look(at_ns)
            if hits:
                await self._carry_out(self.steps.step(at_ns, hits, pinned), day, change_all, goes_on)
            if self.recorder is not None and not self._ended:
                self.recorder.look(at_ns, self.steps.taken[-1] if hits else None)
        if self.recorder is not None and self._ended is not None:
            self.recorder.scans_ended(self._ended, to_ns)

    @property
    def _ended(self) -> str | None:
        return self._live.error if self._live is not None else self._error

    async def _carry_out(
        self, instructions: Sequence[Instruction], day: Day, change_all: ChangeAll, goes_on: Callable[[], bool]
    ) -> None:
        steps = self.steps
        for promotes, group in groupby(instructions, lambda one: isinstance(one, PromoteSymbol)):
            for some in [[*group]] if promotes else ([one] for one in group):  # each sees what came of those before
                if not goes_on():
                    return
                every = [(asked, one) for one in some for asked in steps.asked(one)]
                others = {asked for asked, one in every if steps.is_others(asked, one, day.full)}
                ours = [asked for asked, _ in every if asked not in others]
                results = iter(await change_all([*map(request_of, ours)]))
                for asked, _ in every:
                    result = None if asked in others else next(results)
                    refused = None if result is None or result.accepted else result.reason
                    steps.note(asked, ALREADY_LOADED if result is None else refused)

    @property
    def session(self) -> ScannedSession | None:
        """What was found so far; None before a session."""
        if self._context is None:
            return None
        seen = self._live.seen if self._live is not None else self._seen
        found = ScannedSession.of(self._context.session_date, seen, self.steps.followed)
        live, steps = self._context.live, tuple(self.steps.taken)
        return replace(found, rules=self._rules, steps=steps, error=self._ended, live=live)

    def tear_down(self, *, final: bool) -> None:
        """Forget the session; `final`: no other follows. A live one's log goes with its processes."""
        final = final or self._live is not None
        self.recorder = None
        self._begin_nothing()
        if final:
            self._fleet.kill_all()
            self._started = False


def request_of(asked: Asked) -> ask.Request:
    """The same as others ask it of a session."""
    if asked.indicator is not None:
        return ask.AddIndicator(asked.symbol, asked.indicator, BY)
    return (ask.AddSymbol if asked.action == "add_symbol" else ask.RemoveSymbol)(asked.symbol, BY)
