"""Drives a session of today: time is real, and bars come as minutes close. What it decides, `LiveDay` decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from barray.coordinator import live_day as on
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.driver import Driver, Stage
from barray.coordinator.live_day import LOOK_S, MINUTE, REST_S, LiveDay
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.bars import Bars, format_ns
from barray.market.calendar import Sessions
from barray.market.clock import PracticeClock
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import NS_PER_SECOND
from barray.market.requirements import SessionContext
from barray.market.validation import Reason

if TYPE_CHECKING:
    from barray.coordinator.gateway_pool import GatewayPool

logger = logging.getLogger(__name__)
_FOR_EVER = ("bad_symbol", "request_refused")
"""Failures of a symbol that no further request mends."""


class LiveDriver(Driver):
    """See Driver. A day begins with the first `advance_to`, and takes as long as it takes."""

    def __init__(self, stage: Stage, config: SessionConfig, gateways: GatewayPool) -> None:
        self._stage = stage
        self._listener = config.name
        self._settings = config.live
        self._clock = config.live.clock
        self._gateways = gateways
        self._day: LiveDay | None = None
        self._problem: Reason | None = None
        self._filling: set[asyncio.Task[None]] = set()
        self._universe: frozenset[str] = frozenset()  # what scans look at, but for what the vendor refuses
        self._lag_s = 0.0

    def first_ns(self, context: SessionContext, *, resumed: bool = False) -> int:
        """The open, or the last whole minute of a session that is under way. Where it is over: the close of one that is
        resumed, ConfigError otherwise.
        """
        now_ns = self._clock.now_ns()
        if resumed and now_ns >= context.close_ns:
            return context.close_ns
        if now_ns >= context.close_ns:
            raise ConfigError(
                f"the session of {context.session_date} closed at {format_ns(context.close_ns)}",
                remedy="take session.mode: replay, or run it on the next session's date",
                code="session_over",
            )
        passed = max(0, now_ns - context.open_ns) // MINUTE.ns
        return context.open_ns + passed * MINUTE.ns

    def fetch_until_ns(self) -> int:
        """What is still to come can't be fetched ahead of time."""
        return 0

    async def advance_to(self, to_ns: int | None) -> None:
        """Minute by minute. At the close, until the day is whole."""
        day = self._stage.state.running()
        context, now_ns = day.context, day.clock.now_ns()
        target = context.close_ns if to_ns is None else min(to_ns, context.close_ns)
        if self._day is None:
            self._day = LiveDay(self._settings, context.open_ns, context.close_ns, now_ns, day.moments)
            await self._subscribe(day.full | self._universe)
        async with self._stage.turn():
            await self._stage.run_due()
        ends = self._stage.state.window_ends(target, MINUTE)
        self._day.run_through(ends, to_close=target == context.close_ns)
        while await self._stage.may_go_on() and await self._look(self._day):
            await self._stage.run_due()

    async def _look(self, day: LiveDay) -> bool:
        """Look at the stream and do what follows; whether the session has somewhere to go yet."""
        heard = await self._gateways.hear(self._listener, self._source)
        at_s = asyncio.get_running_loop().time()
        full = frozenset(self._stage.state.open_day().full)
        instructions = day.look(on.Looked(heard, self._clock.now_ns(), at_s, full, self._universe))
        for instruction in instructions:
            if not await self._do(day, instruction):
                return False
        return bool(instructions)

    async def _do(self, day: LiveDay, instruction: on.Instruction) -> bool:
        """Carry it out; False where the session has ended meanwhile."""
        match instruction:
            case on.Subscribe(symbols):
                await self._subscribe(symbols)
            case on.AdvanceTo(to_ns, bars, received_ns):
                reports = await self._stage.advance(to_ns, bars, received_ns)
                if reports is None:
                    return False
                day.count(reports)
                self._lag_s = (self._clock.now_ns() - to_ns) / NS_PER_SECOND
            case on.Fill():
                filling = asyncio.ensure_future(self._fill(day, instruction))
                self._filling.add(filling)
                filling.add_done_callback(self._filling.discard)
            case on.NoteStream(reason, flows):
                self._stage.state.note("stream", "coordinator", reason, accepted=flows)
            case on.WaitUntil(to_ns):
                await self._wait_until(to_ns)
            case on.Wait(seconds):
                await asyncio.sleep(seconds)
        return True

    async def _wait_until(self, to_ns: int) -> None:
        """Until then, or until it is time to look again. A practice clock may jump, once all that is due has come."""
        if not isinstance(self._clock, PracticeClock) or not self._clock.jumps:
            await asyncio.sleep(min(REST_S, max(self._clock.seconds_until(to_ns), LOOK_S / 5)))
        elif self._filling:
            await asyncio.sleep(LOOK_S)
        else:
            self._clock.jump_to(to_ns)

    async def _subscribe(self, symbols: Collection[str]) -> None:
        problem = await self._gateways.listen(self._listener, self._source, sorted(symbols))
        if problem is not None and problem != self._problem:
            logger.warning("stream: %s", problem)
        self._problem = problem

    async def _fill(self, day: LiveDay, fill: on.Fill) -> None:
        source, wanted = self._source, fill.wanted
        try:
            failures = {**await self._gateways.ensure(source, fill.symbols, wanted, wanted.end_ns)}
            left = [symbol for symbol in fill.symbols if symbol not in failures]
            found = await asyncio.to_thread(read_stored, source, left, wanted, failures)
        except Exception as error:  # of any kind: it is told, and the next minute asks again
            found, failures = {}, dict.fromkeys(fill.symbols, Reason.of(error, source.name))
        passing = self._leave_out(failures) if fill.universe else failures
        day.fill_in(found, passing, universe=fill.universe)

    def _leave_out(self, failures: Mapping[str, Reason]) -> dict[str, Reason]:
        """Failures that may pass; of the others' symbols nothing is asked any more."""
        passing = {symbol: reason for symbol, reason in failures.items() if reason.code not in _FOR_EVER}
        self._universe -= failures.keys() - passing.keys()
        return passing

    @property
    def _source(self) -> VendorSource:
        source = self._stage.state.open_day().manager.sources[0]
        if not isinstance(source, VendorSource):
            raise TypeError(f"{source.name} is no vendor's")
        return source

    async def provide(self, symbols: Sequence[str], first_ns: int, days: Sessions) -> Mapping[str, Bars]:
        """See Driver. What can't be had is told, and missing."""
        day, source = self._stage.state.running(), self._source
        now_ns, daily = day.clock.now_ns(), day.manager.daily
        context, self._universe = day.context, frozenset(symbols)
        needed_ns = now_ns if now_ns > context.open_ns else int(context.sessions.close_ns[context.row - 1])
        asked = [(source, Wanted(MINUTE, first_ns, now_ns), needed_ns)]
        if isinstance(daily, VendorSource) and len(days) and isinstance(wanted := daily.wanted_days(days), Wanted):
            asked.append((daily, wanted, int(days.close_ns[-1])))
        for one, wanted, until_ns in asked:
            if failures := await self._gateways.ensure(one, symbols, wanted, until_ns):
                first = next(iter(failures.items()))
                logger.warning("%d symbols: history is not all there: %s: %s", len(failures), *first)
                if one is source:
                    self._leave_out(failures)
        wanted = Wanted(MINUTE, context.open_ns, now_ns)
        return await asyncio.to_thread(read_stored, source, symbols, wanted, {})

    async def listen(self, symbol: str, *, loaded: bool) -> None:
        """Before a symbol is loaded, so that nothing is missed between history and stream, and after.

        After, because the gateway may have been lost meanwhile, and with it what it listened to.
        """
        if self._day is None:
            return
        await self._subscribe([symbol])
        if loaded:
            self._day.join(self._stage.state.running().clock.now_ns())

    def status(self) -> dict[str, Any]:
        """`live` says how the stream fares."""
        return {"live": {**self._day.status(), "lag_s": round(self._lag_s, 3)} if self._day else None}

    async def close(self) -> None:
        """Nobody listens any more."""
        for filling in self._filling:
            filling.cancel()
        if self._day is not None:
            await self._gateways.hang_up(self._listener, self._source)
        self._day = self._problem = None
        self._universe = frozenset()
        self._filling = set()


def read_stored(
    source: VendorSource, symbols: Iterable[str], wanted: Wanted, failures: dict[str, Reason]
) -> Mapping[str, Bars]:
    """What the store holds of each symbol that has any; where it can't be read, that is added to `failures`."""
    found: dict[str, Bars] = {}
    for symbol in symbols:
        try:
            bars = source.store.read(symbol, wanted.interval, wanted.start_ns, wanted.end_ns)
        except BarrayError as error:
            failures[symbol] = Reason.of(error, source.name)
        else:
            found |= {symbol: bars} if len(bars) else {}
    return found
