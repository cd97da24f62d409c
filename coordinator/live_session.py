"""The coordinator of a live session: the same session, but time is real and bars come as minutes close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from barray.coordinator.lifecycle import Phase
from barray.coordinator.schedule import windows
from barray.coordinator.session_coordinator import Day, SessionCoordinator
from barray.coordinator.summary import AddResult
from barray.data_sources.fetching.stream import Heard
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.bars import Bars, format_ns
from barray.market.commands import AppendBars, Appended, Rejected
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.validation import Reason

logger = logging.getLogger(__name__)
_MINUTE = Interval(1, "m")
_POLL_S = 0.1
_WAIT_S = 0.5


@dataclass
class LiveCounts:
    """What the stream brought so far. `late`: after their minute; `replaced`: corrections; `filled`: from history."""

    bars: int = 0
    late: int = 0
    replaced: int = 0
    refused: int = 0
    filled: int = 0
    gaps: int = 0


class LiveCoordinator(SessionCoordinator):
    """Used as SessionCoordinator is; `advance_to` takes as long as it takes.

    Listening → each minute's end: wait for the minute's bars, append, advance, do what is due. Up to `_complete_ns` the
    bars are whole; where the stream was cut or fell silent after it, they are fetched from history, side by side.
    """

    _listener = ""
    _heard = Heard()
    _complete_ns = 0
    _connections = 0  # how many there had been when the bars were whole
    _seen = 0
    _seen_ns = 0  # when this connection was first seen
    _stale = False
    _problem: Reason | None = None
    _filling: asyncio.Task[bool] | None = None

    def _context(self, session_date: date) -> SessionContext:
        return replace(super()._context(session_date), live=True)

    def _first_ns(self, context: SessionContext) -> int:
        """The open, or the last whole minute of a session that is under way."""
        now_ns = self._config.live.clock.now_ns()
        if now_ns >= context.close_ns:
            raise ConfigError(
                f"the session of {context.session_date} closed at {format_ns(context.close_ns)}",
                remedy="take session.mode: replay, or run it on the next session's date",
                code="session_over",
            )
        passed = max(0, now_ns - context.open_ns) // _MINUTE.ns
        return context.open_ns + passed * _MINUTE.ns

    def _until_ns(self) -> int:
        return 0  # what is still to come can't be fetched ahead of time

    async def advance_to(self, to_ns: int | None = None) -> int:
        """Live until `to_ns` (UTC ns; None: the close), minute by minute. Returns the time reached."""
        day = self._running()
        target = day.context.close_ns if to_ns is None else min(to_ns, day.context.close_ns)
        await self._listen(day)
        await self._run_due(day)
        moments = {action.at_ns for action in day.schedule}
        for end_ns in windows(day.clock.now_ns(), target, day.context, _MINUTE, moments):
            await self._wait_for(day, end_ns)
            async with self._symbol_operation_lock:
                if self._phase is not Phase.RUNNING:  # somebody has ended it, to keep what there is
                    return day.clock.now_ns()
                await self._take_in(day)
                await self._advance(day, end_ns)
            self._judge(day, end_ns)
            await self._run_due(day)
        if day.clock.now_ns() == day.context.close_ns:
            await self._settle(day)
        return day.clock.now_ns()

    async def _listen(self, day: Day) -> None:
        if self._listener:
            return
        self._listener, self._counts = self._config.name, LiveCounts()
        self._pending: dict[str, list[Bars]] = {}
        self._newest: dict[str, int] = {}
        self._complete_ns = day.clock.now_ns()
        await self._listen_to(day.full)

    async def _listen_to(self, symbols: Collection[str]) -> None:
        problem = await self._gateways.listen(self._listener, self._source, sorted(symbols))
        if problem is not None and problem != self._problem:
            logger.warning("stream: %s", problem)
        self._problem = problem

    @property
    def _source(self) -> VendorSource:
        source = self._open_day().manager.sources[0]
        if not isinstance(source, VendorSource):
            raise TypeError(f"{source.name} is no vendor's")
        return source

    async def _add_symbol(self, day: Day, symbol: str, added_by: str) -> AddResult:
        if self._listener:
            await self._listen_to([symbol])  # first, so that nothing is missed between history and stream
        result = await super()._add_symbol(day, symbol, added_by)
        if result.accepted and self._listener:
            await self._listen_to([symbol])  # again: the gateway may have been lost meanwhile, and what it listened to
            self._complete_ns = min(self._complete_ns, day.clock.now_ns())
            self._connections, self._seen = 0, 0  # what closed since it was loaded: from history
        return result

    async def _wait_for(self, day: Day, end_ns: int) -> None:
        """Until the minute is over and its bars are here, or nobody should wait for them any more."""
        clock = self._config.live.clock
        due_ns = (end_ns - day.context.open_ns) // _MINUTE.ns * _MINUTE.ns + day.context.open_ns - _MINUTE.ns
        waited_s = 0.0
        while True:
            await self._hear(day)
            left_s = (end_ns - clock.now_ns()) / 1e9
            if left_s <= 0:
                is_behind = left_s * 1e9 <= -_MINUTE.ns
                whole = all(self._newest.get(symbol, 0) >= due_ns for symbol in day.full)
                if whole or is_behind or waited_s >= self._config.live.grace_s:
                    return
                waited_s += _POLL_S / 2
                await asyncio.sleep(_POLL_S / 2)
            else:
                await asyncio.sleep(min(_WAIT_S, max(self._real_s(left_s), _POLL_S / 10)))

    def _real_s(self, seconds: float) -> float:
        practice = self._config.live.practice
        return seconds / practice.speed if practice else seconds

    async def _hear(self, day: Day) -> None:
        heard = await self._gateways.hear(self._listener, self._source)
        if heard is None:  # the gateway was another session's, and went with it
            self._heard = replace(self._heard, connected=False)
            self._connections = 0
            await self._listen_to(day.full)
            return
        self._heard = heard
        if heard.connections != self._seen:
            self._seen, self._seen_ns = heard.connections, self._config.live.clock.now_ns()
        for symbol, bars in heard.bars.items():
            self._pending.setdefault(symbol, []).append(bars)
            self._newest[symbol] = max(self._newest.get(symbol, 0), int(bars.start_ns.max()))
            self._counts.bars += len(bars)
        for text in heard.refused:
            self._counts.refused += 1
            logger.warning("a bar of the stream was refused: %s", text)

    async def _take_in(self, day: Day) -> None:
        """Append what came, each symbol what is its own."""
        pending, self._pending = self._pending, {}
        commands = {
            symbol: AppendBars(Bars.concat(parts), day.clock.now_ns())
            for symbol, parts in sorted(pending.items())
            if symbol in day.full
        }
        for symbol, report in (await self._tell(day, commands)).items() if commands else ():
            if isinstance(report, Appended):
                self._counts.late += report.late
                self._counts.replaced += report.replaced
            elif isinstance(report, Rejected):
                self._counts.refused += 1
                logger.warning("%s: bars of the stream were refused: %s", symbol, report.reason)

    def _judge(self, day: Day, end_ns: int) -> None:
        """Are the bars up to here whole? If not, have them fetched."""
        heard, was_stale = self._heard, self._stale
        self._stale = heard.silent_s > self._config.live.stale_s
        if self._stale and not was_stale:
            self._note_stream(f"no bars for {heard.silent_s:.0f} s {heard.problem}".rstrip(), accepted=False)
        elif was_stale and not self._stale:
            self._note_stream("bars come again", accepted=True)
        flows = heard.connected and not self._stale
        if flows and heard.connections == self._connections:
            self._complete_ns = max(self._complete_ns, end_ns)
        elif self._filling is None:
            self._filling = asyncio.ensure_future(self._fill(day, self._complete_ns, heard.connections if flows else 0))

    def _note_stream(self, reason: str, *, accepted: bool) -> None:
        logger.warning("stream: %s", reason)
        self._note(self._open_day(), "stream", "", "coordinator", AddResult(accepted, reason))

    async def _fill(self, day: Day, from_ns: int, connections: int) -> bool:
        """Fetch the bars since `from_ns`. They are whole then, if the stream has been there for a minute: what closed
        while it connected may have come to history a little later.
        """
        try:
            source = self._source
            end_ns = min(self._config.live.clock.now_ns() // _MINUTE.ns * _MINUTE.ns, day.context.close_ns)
            if end_ns <= from_ns:
                return True
            wanted = Wanted(_MINUTE, from_ns - _MINUTE.ns, end_ns)
            symbols = sorted(day.full)
            failures = {**await self._gateways.ensure(source, symbols, wanted, end_ns)}
            found = await asyncio.to_thread(_read, source, [s for s in symbols if s not in failures], wanted, failures)
            for symbol, bars in found.items():
                self._pending.setdefault(symbol, []).insert(0, bars)  # what the stream says comes later, and wins
                self._counts.filled += len(bars)
            for symbol, reason in list(failures.items())[:1]:
                logger.warning("%d symbols: a gap was not filled: %s: %s", len(failures), symbol, reason)
            if not failures and connections == self._seen and end_ns >= self._seen_ns + _MINUTE.ns:
                self._complete_ns, self._connections = end_ns, connections
                self._counts.gaps += connections > 1
            return not failures
        finally:
            self._filling = None

    async def _settle(self, day: Day) -> None:
        """After the close: corrections still come, and what the stream has lost unnoticed is in history."""
        end_s = asyncio.get_running_loop().time() + self._config.live.close_s
        while True:
            await self._hear(day)
            left_s = end_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await asyncio.sleep(min(left_s, _WAIT_S))
        if self._filling is not None:
            await self._filling
        await self._fill(day, day.context.open_ns + _MINUTE.ns, 0)
        async with self._symbol_operation_lock:
            await self._take_in(day)

    async def teardown(self, *, final: bool = False) -> date | None:
        """See SessionCoordinator; nobody listens any more."""
        if self._filling is not None:
            self._filling.cancel()
        if self._listener and self._day is not None:
            await self._gateways.hang_up(self._listener, self._source)
        self._listener, self._heard, self._connections, self._seen, self._stale = "", Heard(), 0, 0, False
        return await super().teardown(final=final)

    def status(self) -> dict[str, Any]:
        """See SessionCoordinator; `live` says how the stream fares."""
        shown: dict[str, Any] = {**super().status(), "live": None}
        if self._listener:
            heard = self._heard
            state = {"connected": heard.connected, "connections": heard.connections, "stale": self._stale}
            silent = {"silent_s": round(heard.silent_s, 1), "problem": heard.problem}
            shown["live"] = {**state, **silent, **asdict(self._counts)}
        return shown


def _read(
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
