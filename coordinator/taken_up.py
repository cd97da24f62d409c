"""A live day that is resumed: scans and strategy are told again what its recording says, and have to find and decide
the same; then they get what has come since.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from barray.coordinator import messages as ask
from barray.coordinator.gate import Asked, Pacing
from barray.coordinator.scanning import ChangeAll, Scanning, request_of
from barray.coordinator.session_state import SessionState
from barray.coordinator.summary import AddResult, SessionEvent
from barray.coordinator.trading import Trading
from barray.market.bars import Bars, format_ns
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars
from barray.trading.engine.coming_bars import ComingBars
from barray.trading.engine.day_again import first_difference
from barray.trading.engine.notes import Pages
from barray.trading.engine.recorded_joins import RecordedJoins
from barray.trading.engine.recording import Look, Recording, Step
from barray.trading.scans.following import BY
from barray.trading.scans.following import Asked as AskedByScans
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.session_columns import session_columns

logger = logging.getLogger(__name__)
Lay = Callable[[Sequence[str], Needs], Awaitable[Mapping[str, SymbolData]]]
"""Has full symbols hand out their columns."""


@dataclass(frozen=True)
class Resumed:
    """A session whose day is resumed. `own`: the config's symbols; `do_asked`: does what was asked from outside;
    `follow`: what scans ask for by a time.
    """

    state: SessionState
    own: frozenset[str]
    trading: Trading | None
    scanning: Scanning | None
    lay: Lay
    do_asked: Callable[[ask.Request | Pacing], Awaitable[Any]]
    change_all: ChangeAll
    follow: Callable[[Scanning, int], Awaitable[None]]

    async def take_up(self, earlier: Recording, asked: Sequence[Asked]) -> None:
        """Bring scans and strategy to where they were, in the order in which it had happened, and have them go on with
        what has come since, as after a cut of the stream. `asked`: what had been asked from outside. ConfigError
        (`checkpoint_differs`) where they find or decide otherwise than they had.
        """
        day, trading, scanning = self.state.running(), self.trading, self.scanning
        others = deque(self._others(asked))
        if told := earlier.in_order:
            left_ns = max(one.at_ns for one in told)
            day.events[:] = [_as_of(told[0].at_ns, one) for one in day.events]  # who was held over the night came then
            self.state.note("resume", "coordinator", f"the day was left at {format_ns(left_ns)}")
        trader = _Trader(trading, earlier, day.context, self._present, self.own) if trading is not None else None
        for one in told:
            await self._do_others(others, one.at_ns)
            if isinstance(one, Look):
                if scanning is not None:
                    await self._do_again(one.at_ns, await scanning.look_again(one))
            elif trader is not None:
                await trader.tell(one)
        await self._do_others(others, day.clock.now_ns() + 1)
        if trader is not None:
            trader.record()
        if scanning is not None:
            await self._go_on_looking(scanning, earlier)
        if trading is not None and earlier.steps:
            await self._go_on_trading(trading, earlier)
        day.events[:] = sorted([*day.events, *_wished_before(earlier.pages)], key=lambda one: one.at_ns)

    def _others(self, asked: Sequence[Asked]) -> list[tuple[int, int, ask.Request | Pacing]]:
        """What the schedule and others had asked for: before what, and as of when. At a window's end the schedule comes
        first; what came from outside came after all else.
        """
        scheduled = [(one.at_ns, one.at_ns, one.request) for one in iter(self.state.due, None)]
        return sorted([*scheduled, *((one.at_ns + 1, one.at_ns, one.what) for one in asked)], key=lambda one: one[0])

    async def _do_others(self, others: deque[tuple[int, int, ask.Request | Pacing]], by_ns: int) -> None:
        while others and others[0][0] <= by_ns:
            _, at_ns, what = others.popleft()
            try:
                await self._as_of(at_ns, self.do_asked(what))
            except BarrayError as error:  # as it was the first time
                logger.warning("%s", error)

    async def _as_of(self, at_ns: int, work: Awaitable[Any]) -> None:
        """Have it done, and events tell of it as of then."""
        events = self.state.running().events
        told = len(events)
        await work
        events[told:] = [_as_of(at_ns, one) for one in events[told:]]

    async def _present(self, symbols: Collection[str]) -> Mapping[str, SymbolData]:
        """What those of them have that are full."""
        full = self.state.running().full.intersection(symbols)
        return await self.lay(sorted(full), self.trading.given.needs.without_own()) if self.trading and full else {}

    async def _do_again(self, at_ns: int, asked: Sequence[tuple[AskedByScans, str | None]]) -> None:
        """Do what was done of what scans asked for then; events tell it as it was. A symbol that can't be full again is
        dropped now.
        """
        day = self.state.running()
        told, now_ns = len(day.events), day.clock.now_ns()
        came_to = iter(await self.change_all([request_of(one) for one, refused in asked if refused is None]))
        dropped = {one.symbol: one for one in day.events[told:] if one.action == "drop"}
        events: list[SessionEvent] = []
        for one, refused in asked:
            result = next(came_to) if refused is None else AddResult(False, refused)
            if one.action == "add_symbol" and refused is None:
                if not result.accepted:
                    drop = SessionEvent(now_ns, "drop", one.symbol, "coordinator", True, result.reason)
                    dropped.setdefault(one.symbol, drop)
                result = AddResult(True)
            detail = {"indicator": one.indicator.key} if one.indicator is not None else {}
            events.append(SessionEvent(at_ns, one.action, one.symbol, BY, result.accepted, result.reason, detail))
        day.events[told:] = [*events, *dropped.values()]

    async def _go_on_looking(self, scanning: Scanning, earlier: Recording) -> None:
        """Have scans look by what has come since, also at times of theirs that passed meanwhile."""
        day = self.state.running()
        now_ns = day.clock.now_ns()
        await scanning.catch_up(earlier.scanned.later, now_ns)
        for at_ns in [moment for moment in scanning.moments if moment < now_ns]:
            await self._as_of(at_ns, self.follow(scanning, at_ns))

    async def _go_on_trading(self, trading: Trading, earlier: Recording) -> None:
        """Give the strategy what has come since."""
        day = self.state.running()
        now_ns = day.clock.now_ns()
        if now_ns > earlier.steps[-1].at_ns:
            bars = _session_bars(await self._present(trading.known), day.context)
            trading.note_bars(now_ns, bars, {})
            await trading.arrive(now_ns, bars)


def _as_of(at_ns: int, event: SessionEvent) -> SessionEvent:
    """The same then; that something is lost is so now."""
    return event if event.action == "drop" else replace(event, at_ns=at_ns)


def _wished_before(pages: Pages) -> list[SessionEvent]:
    """The session's events of wishes that were refused, and are not made again."""
    refused = [one for one in pages.decisions if one.action == "add_symbol" and not one.detail["accepted"]]
    return [
        SessionEvent(one.at_ns, "add_symbol", one.symbol, "strategy", False, str(one.detail["reason"]))
        for one in refused
    ]


def _session_bars(data: Mapping[str, SymbolData], context: SessionContext) -> dict[str, Bars]:
    """Base bars of the session, by symbol."""
    found = {}
    for symbol, one in data.items():
        bars = one.base.bars
        found[symbol] = bars.take(bars.start_ns >= context.open_ns)
    return {symbol: bars for symbol, bars in found.items() if len(bars)}


class _Trader:
    """A trader that is told again what it was told. `present`: what full symbols of these have now."""

    def __init__(
        self,
        trading: Trading,
        recording: Recording,
        context: SessionContext,
        present: Callable[[Collection[str]], Awaitable[Mapping[str, SymbolData]]],
        own: Set[str],
    ) -> None:
        self._trading, self._recording, self._context, self._own = trading, recording, context, own
        self._joins = _Joins(trading, recording, context, present)
        self._recorder, trading.recorder = trading.recorder, None

    async def tell(self, step: Step) -> None:
        """Tell it, and hear what it decides."""
        trading, recording = self._trading, self._recording
        match step.kind:
            case "open":
                joined = await self._joins.at(step.at_ns, step.joined)
                told = self._context, recording.timezone, Interval.parse(recording.base), joined
                await trading.open(*told, step.at_ns, frozenset(step.joined) - self._own)
                await self._joins.remember()
            case "change":
                full = (trading.known | set(step.joined)) - set(step.left)
                await trading.change(await self._joins.at(step.at_ns, step.joined), full, step.at_ns)
            case "arrive":
                await trading.arrive(step.at_ns, step.bars)
            case "go":
                await trading.go_on(step.at_ns)

    def record(self) -> None:
        """What it has decided beyond what is recorded, as the last that it was told had no answer, is recorded, and so
        is all from here on. ConfigError (`checkpoint_differs`) where it has decided otherwise than it had.
        """
        day = self._trading.day
        beyond = _beyond(self._recording.pages, day.pages if day is not None else Pages())
        self._trading.recorder = self._recorder
        if self._recorder is not None:
            self._recorder.pages(beyond)


class _Joins:
    """Handles of what symbols had whenever they joined, by when and whose doing that was."""

    def __init__(
        self,
        trading: Trading,
        recording: Recording,
        context: SessionContext,
        present: Callable[[Collection[str]], Awaitable[Mapping[str, SymbolData]]],
    ) -> None:
        self._trading, self._context, self._present = trading, context, present
        self._needs = trading.given.needs.without_own()
        self._coming = ComingBars(context, self._needs)
        self._decisions = [one for one in recording.pages.decisions if one.action == "add_symbol"]
        steps = [(step.at_ns, 0, symbol) for step in recording.steps for symbol in step.joined]
        added = [(one.at_ns, 1, one.symbol) for one in self._decisions if one.detail["accepted"]]
        laid = RecordedJoins(recording.columns, context, Interval.parse(recording.base))
        self._laid = {key: laid.next(key[2]) for key in sorted([*steps, *added]) if key[2] in laid}

    async def at(self, at_ns: int, symbols: Sequence[str]) -> dict[str, Any]:
        """Of symbols that others had join."""
        return await self._published({symbol: self._laid[at_ns, 0, symbol] for symbol in symbols})

    async def remember(self) -> None:
        """Have the strategy's wishes be answered as they were: what was added is added again, with the bars of then."""
        for one in self._decisions:
            key = one.at_ns, one.symbol
            if not one.detail["accepted"]:
                self._trading.refuse(*key, str(one.detail["reason"]))
            elif (base := self._laid.get((one.at_ns, 1, one.symbol))) is not None:
                self._trading.recorded[key] = (await self._published({one.symbol: base}))[one.symbol]

    async def _published(self, bars: Mapping[str, IntervalBars]) -> dict[str, Any]:
        now = await self._present(bars)
        return self._trading.publish({symbol: self._data(symbol, own, now) for symbol, own in bars.items()})

    def _data(self, symbol: str, base: IntervalBars, present: Mapping[str, SymbolData]) -> SymbolData:
        if (now := present.get(symbol)) is not None:
            return self._coming.laid(now, base)
        return session_columns(symbol, self._context, base, None, self._needs)


def _beyond(then: Pages, now: Pages) -> Pages:
    many, fills = len(then.decisions), len(then.fills)
    found = first_difference(then, Pages(now.decisions[:many], now.fills[:fills]))
    if found is None and now.fills[:fills] == then.fills:
        return Pages(now.decisions[many:], now.fills[fills:])
    what = f"decision {found.number + 1} was {found.then} and is {found.now}" if found else "its fills are others"
    raise ConfigError(
        f"the strategy does not come to what it had decided on this day before: {what}",
        remedy="a strategy that looks at more than it is given can't be resumed: run the rest of the day anew, "
        "without --checkpoint",
        code="checkpoint_differs",
    )
