"""The coordinator of a session: an actor that carries out what the session's state decides, and answers the face."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from barray.actors.options import new_scan_actor, new_trader_actor
from barray.actors.transport import RayTransport
from barray.coordinator import messages as ask
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.day_recorder import DayRecorder
from barray.coordinator.driver import Driver
from barray.coordinator.fleet import Fleet, Transport, cpus_of
from barray.coordinator.gate import Asked
from barray.coordinator.gateway_pool import GatewayPool
from barray.coordinator.lifecycle import Phase
from barray.coordinator.live import LiveDriver
from barray.coordinator.live_day import MINUTE
from barray.coordinator.pace import Pace
from barray.coordinator.paced import Paced
from barray.coordinator.replay import ReplayDriver
from barray.coordinator.scan_fleet import PreparedScan
from barray.coordinator.scanning import Scanning
from barray.coordinator.session_state import SessionState, T, Work
from barray.coordinator.step0 import validate_all
from barray.coordinator.summary import AddResult, SessionSummary
from barray.coordinator.taken_up import Resumed
from barray.coordinator.trading import Trading
from barray.data_sources.failover import needs_of_session
from barray.market.bars import Bar, Bars, IntArray, format_ns
from barray.market.calendar import TradingCalendar
from barray.market.commands import Report
from barray.market.errors import IllegalTransition
from barray.market.requirements import SessionContext
from barray.market.symbol_data import SymbolMetadata, SymbolSessionData
from barray.market.symbols import require_text
from barray.market.validation import SymbolValidationResult
from barray.trading.engine.session_trading import TradingPlan
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.view import Added, Wish


class SessionCoordinator(Paced):
    """Runs sessions, one date after another. Async: reading calls are answered while a session runs.

    begin → advance_to … → end → teardown, then the next date's begin. Additions take effect at window ends, under
    `_symbol_operation_lock`, so that bars that close together are all applied before anybody sees any of them.
    `trading`: the strategy that trades in them, if one does; `scans`: what looks for symbols to add. `transport`,
    `gateways`: other ways to processes and vendors than Ray.
    """

    def __init__(
        self,
        config: SessionConfig,
        calendar: TradingCalendar,
        transport: Transport | None = None,
        gateways: GatewayPool | None = None,
        trading: TradingPlan | Trading | None = None,
        scans: PreparedScan | Scanning | None = None,
    ) -> None:
        super().__init__(config)
        if isinstance(scans, PreparedScan):
            scans = Scanning(scans, config.actors, RayTransport(new_scan_actor, config.placement.placement))
        self._scanning = scans
        self._timezone = calendar.timezone
        self._recorder: DayRecorder | None = None
        self._asked_before: list[Asked] = []  # on a day that is resumed, before it was left
        if isinstance(trading, TradingPlan):
            trading = Trading(trading, config.actors, RayTransport(new_trader_actor, config.placement.placement))
        self._trading = trading
        self._transport = transport or RayTransport(placement=config.placement.placement)
        self._gateways = gateways or GatewayPool()
        self._fleet = Fleet(config.actors, self._transport, at_home=config.data_manager.copied)
        self._symbol_operation_lock = asyncio.Lock()
        self.state = SessionState(config, calendar, self._enter)
        self._driver: Driver = ReplayDriver(self, config, calendar)
        if config.is_live:
            self._driver = LiveDriver(self, config, self._gateways)

    def set_credentials(self, secrets: Mapping[str, Any]) -> None:
        """Take the credentials of the config's vendor sources; see GatewayPool."""
        self._gateways.set_credentials(secrets)

    async def begin(
        self, day: date | None = None, again: Sequence[Asked] | None = None, recording: str | None = None
    ) -> SessionSummary:
        """Validate, plan, provision and load the config's symbols for `day` (default: the next); stand at its open.
        `again`: see Gate.open_day; `recording`: of a live day that is resumed, which the strategy takes up.

        ValidationFailed where nothing is left to run, with every symbol's reasons; IllegalTransition where the session
        was stopped. After any error: `teardown`.
        """
        if self._turnstile.pace is Pace.STOPPED:
            raise IllegalTransition("the session was stopped: no further date begins", code="stopped")
        await self._transport.make_ready(self._config.placement.cpus or 0)
        self.state.enter(Phase.VALIDATING)
        context = self.state.context(day)
        self.state.open(context, self._driver.first_ns(context, resumed=recording is not None))
        self._asked_before = [*(again or ())] if recording is not None else []
        self._gate.open_day(again if recording is None else ())
        await self._carry_out(self.state.load_session_data(cpus_of(self._transport)))
        for symbol in sorted(self._trading.overnight - self.state.running().full if self._trading else ()):
            await self._change(ask.AddSymbol(symbol, "strategy"))  # which holds it since the session before
        if context.live and (self._trading or self._scanning):
            self._record(context, None if recording is None else Path(recording))
        if self._scanning is not None:
            now_ns = self.state.running().clock.now_ns()
            earlier = self._recorder.taken_up if self._recorder is not None else None
            await self._scanning.begin(context, now_ns, self._driver.provide, earlier.scanned if earlier else None)
            self.state.running().moments = frozenset(self._scanning.moments)
        return self.summary()

    def _record(self, context: SessionContext, earlier: Path | None) -> None:
        code = self._trading.given.code if self._trading else ""
        self._recorder = DayRecorder(self._config, context, self._timezone, code, str(MINUTE), earlier)
        for one in (self._trading, self._scanning):
            if one is not None:
                one.recorder = self._recorder

    async def advance_to(self, to_ns: int | None = None) -> int:
        """Let the session run to `to_ns` (UTC ns; None: its close), window by window. Returns the time reached.

        IllegalTransition for an earlier time than it stands at; ConfigError for what is no time of the session.
        """
        day = self.state.running()
        if to_ns is not None:
            self.state.require_ahead(to_ns)
        with self._turnstile.passing():
            await self._driver.advance_to(to_ns)
        return day.clock.now_ns()

    def carried(self) -> bytes | str | None:
        """What goes from one session to the next, of whoever trades; see Trading.carried."""
        return self._trading.carried if self._trading is not None else None

    def carry(self, state: bytes) -> None:
        """Go on from there in the next session; IllegalTransition where none trades."""
        if self._trading is None:
            raise IllegalTransition("no strategy trades in this session")
        self._trading.carry(state)

    def recording(self) -> str | None:
        """Where the day that is open is recorded, if it is."""
        return str(self._recorder.path.absolute()) if self._recorder is not None else None

    async def advance(
        self,
        to_ns: int,
        bars: Mapping[str, Bars] | None = None,
        received_ns: Mapping[str, IntArray] | None = None,
    ) -> Mapping[str, Report] | None:
        """See Stage."""
        if self._scanning is not None:
            await self._scanning.take_in(bars or {}, received_ns or {}, to_ns)
        if self._trading is not None:
            self._trading.note_bars(to_ns, bars or {}, received_ns or {})
            for stop_ns in self._trading.stops_before(to_ns):
                await self._trading.go_on(stop_ns)
                await self._pass_time(stop_ns)
            await self._trading.arrive(to_ns, bars or {})
        return await self._pass_time(to_ns, bars)

    async def _pass_time(self, to_ns: int, bars: Mapping[str, Bars] | None = None) -> Mapping[str, Report] | None:
        async with self._symbol_operation_lock:
            if self.state.phase is not Phase.RUNNING:
                return None
            return await self._carry_out(self.state.advance(to_ns, bars or {}))

    async def run_due(self) -> None:
        """See Stage."""
        earlier = self._recorder.pop_taken_up() if self._recorder is not None else None
        if earlier is not None:
            await self._resumed().take_up(earlier, self._asked_before)
        while self.state.phase is Phase.RUNNING and (action := self.state.due()) is not None:
            await self._change(action.request)
        if self._scanning is not None and self.state.phase is Phase.RUNNING:
            await self._follow(self._scanning, self.state.running().clock.now_ns())
        if self._trading is not None and self.state.phase is Phase.RUNNING:
            await self._have_traded(self._trading)

    def _resumed(self) -> Resumed:
        own = frozenset(self._config.symbols)
        does = self._laid, self._do_asked, self.change_all, self._follow
        return Resumed(self.state, own, self._trading, self._scanning, *does)

    async def _follow(self, scanning: Scanning, to_ns: int) -> None:
        """Do what scans ask for by then."""
        day, pinned = self.state.running(), self._trading.pinned if self._trading else ()
        await scanning.follow(day, to_ns, pinned, self.change_all, lambda: self.state.phase is Phase.RUNNING)

    async def _have_traded(self, trading: Trading) -> None:
        """Tell the strategy's process who came and went, and have the strategy called for up to now. Where there is no
        full symbol yet, it waits for the first.
        """
        day = self.state.running()
        if trading.day is None and not day.full:
            return
        columns = await self._columns(trading.strangers(day.full))
        if trading.day is None:
            base, now_ns = self.state.base_interval(), day.clock.now_ns()
            guests = columns.keys() - set(self._config.symbols)
            await trading.open(day.context, self._timezone, base, columns, now_ns, guests)
        else:
            await trading.change(columns, day.full, day.clock.now_ns())
        await trading.go_on(day.clock.now_ns())

    async def _laid(self, symbols: Sequence[str], needs: Needs) -> dict[str, SymbolData]:
        async with self._symbol_operation_lock:
            return await self._carry_out(self.state.columns(symbols, needs))

    async def _columns(self, symbols: Sequence[str]) -> dict[str, Any]:
        if self._trading is None or not symbols:
            return {}
        data = await self._laid(symbols, self._trading.given.needs.without_own())
        if self._recorder is not None:
            self._recorder.columns(data, self.state.running().clock.now_ns())
        return self._trading.publish(data)

    async def ask_for_strategy(self, wishes: Sequence[Wish], at_ns: int) -> list[Any]:
        """What came of a strategy's wishes at session time `at_ns`: an Added, or a handle of an added symbol's columns.

        Asked again, as by a process that takes up what another had begun, it answers the same. IllegalTransition where
        none trades.
        """
        if self._trading is None:
            raise IllegalTransition("no strategy trades in this session")
        return await self._trading.answer(wishes, at_ns, self._fulfil)

    async def _fulfil(self, wishes: Sequence[Wish], at_ns: int) -> list[Any]:
        day = self.state.running()
        if day.clock.now_ns() < at_ns:
            await self._pass_time(at_ns)
        told = len(day.events)
        results = dict(zip(wishes, await self.change_all([*map(_request_of, wishes)]), strict=True))
        if at_ns < day.clock.now_ns():  # it was wished for then, on a day that is resumed now
            day.events[told:] = [replace(one, at_ns=at_ns) for one in day.events[told:]]
        added = [wish.symbol for wish, result in results.items() if wish.kind == "add_symbol" and result.accepted]
        recorded = self._trading.recorded if self._trading else {}
        columns = {symbol: recorded.pop((at_ns, symbol)) for symbol in added if (at_ns, symbol) in recorded}
        columns |= await self._columns([symbol for symbol in added if symbol not in columns])
        return [self._answer(wish, result, columns) for wish, result in results.items()]

    def _answer(self, wish: Wish, result: AddResult, columns: Mapping[str, Any]) -> Any:
        if self._trading is not None and wish.symbol in columns and wish.kind == "add_symbol":
            self._trading.welcome(wish.symbol)
            return columns[wish.symbol]
        if self._trading is not None and wish.kind == "remove_symbol":
            self._trading.dismiss(wish.symbol)
        lost = wish.kind == "add_symbol" and result.accepted
        return Added(result.accepted and not lost, "its process was lost" if lost else result.reason)

    async def _change(self, request: ask.Request) -> AddResult:
        self.state.running()
        async with self._symbol_operation_lock:
            return await self._carry_out(self.state.change(request))

    async def change_all(self, requests: Sequence[ask.Request]) -> list[AddResult]:
        """The same of several, in order; symbols that are to be added one after another are added side by side."""
        results: list[AddResult] = []
        for adds, group in groupby(requests, lambda one: isinstance(one, ask.AddSymbol)):
            if adds:
                self.state.running()
                symbols = [one for one in group if isinstance(one, ask.AddSymbol)]
                async with self._symbol_operation_lock:
                    results += await self._carry_out(self.state.add_symbols(symbols))
            else:
                results += [await self._change(one) for one in group]
        return results

    async def end(self) -> SessionSummary:
        """No more time passes and nothing more is added; the state stays readable until teardown.

        ValidationFailed where all symbols that were left are found to be lost.
        """
        self.state.running()
        async with self._symbol_operation_lock:
            await self._carry_out(self.state.end())
        self._turnstile.tell()
        if self._trading is not None:
            await self._trading.close(self.state.open_day().clock.now_ns())
        return self.summary()

    async def teardown(self, *, final: bool = False) -> date | None:
        """End every symbol, forget the session, advance to the next trading day and return its date (None: unknown).

        Works from every phase, also after an error. `final`: no session follows, so no process is kept.
        """
        await self._driver.close()
        if self._scanning is not None:
            self._scanning.tear_down(final=final)
        if self._trading is not None:
            self._trading.tear_down()
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        await self._carry_out(self.state.tear_down(final=final))
        self._turnstile.tell()
        return self.state.next_date

    async def _carry_out(self, work: Work[T]) -> T:
        """Do what the state asks for, one instruction after another, and tell it what each came to; its answer."""
        came_to: Any = None
        with closing(work):
            while True:
                try:
                    instruction = work.send(came_to)
                except StopIteration as done:
                    answer: T = done.value
                    return answer
                came_to = await self._do(instruction)

    async def _do(self, instruction: ask.Instruction) -> Any:
        match instruction:
            case ask.Validate(symbols):
                return await self._validate(symbols)
            case ask.Provide(symbols, per_actor):
                return await self._fleet.add(symbols, per_actor=per_actor)
            case ask.Tell(commands):
                reports = await self._fleet.execute(commands)
                self.tally.take(reports)
                return ask.Told(reports, self._fleet.pop_lost())
            case ask.Heartbeat(at_ns, silent_s):
                await self._fleet.heartbeat(at_ns, silent_s)
                return self._fleet.pop_lost()
            case ask.End(symbols):
                return self._fleet.remove(symbols)
            case ask.EndAll(keep):
                return self._fleet.kill_all() if keep is None else self._fleet.release(keep)
            case ask.Listen(symbol, loaded):
                return await self._driver.listen(symbol, loaded=loaded)

    async def _validate(self, symbols: Sequence[str]) -> dict[str, SymbolValidationResult]:
        def progress(done: int) -> None:
            self.state.progress = (done, len(symbols))

        progress(0)
        day, requirements = self.state.open_day(), self._config.requirements
        return await validate_all(
            symbols,
            day.manager,
            requirements,
            day.context,
            self._config.validation.deadline_s,
            transport=self._transport,
            fetch=self._gateways.fetch_for(requirements, needs_of_session(day.context, self._driver.fetch_until_ns())),
            progress=progress,
        )

    def symbols(self) -> list[str]:
        """Symbols in the session, sorted."""
        return self.state.day.symbols if self.state.day else []

    async def snapshot(self, symbol: str) -> SymbolSessionData:
        """A symbol's visible state; NoDataError if it isn't in the session, ConfigError for what is no text."""
        return (await self.snapshots([symbol]))[0]

    async def get_symbol_metadata(self, symbol: str) -> SymbolMetadata | None:
        """How a symbol came into the session; None if it isn't in it. ConfigError for what is no text."""
        require_text(symbol)
        return (await self.snapshot(symbol)).metadata if symbol in self._fleet else None

    async def snapshots(
        self, symbols: Sequence[str] | None = None, *, gone_ok: bool = False
    ) -> list[SymbolSessionData]:
        """The visible states of symbols (default: all), in the order given, all at one session time.

        Without those that are no longer there, where that is `gone_ok`; otherwise NoDataError, ActorFailed.
        """
        async with self._symbol_operation_lock:
            return await self._carry_out(self.state.snapshots(symbols, gone_ok=gone_ok))

    def summary(self) -> SessionSummary:
        """The session as a whole, so far."""
        scanned = self._scanning.session if self._scanning else None
        trading = self._trading.day if self._trading else None
        return replace(self.state.summary(), scanned=scanned, trading=trading)

    def status(self) -> dict[str, Any]:
        """Where the session stands, in JSON types. Answered in every phase."""
        fetching = asdict(self._gateways.progress) if self._gateways.progress else None
        others = (self._scanning, self._trading)
        processes = self._fleet.processes + sum(one.processes for one in others if one is not None)
        restarts = self._fleet.restarts + sum(one.restarts for one in others if one is not None)
        told = {"pace": self._turnstile.told, "processes": processes, "restarts": restarts}
        return self.state.status(fetching, **told, **self._driver.status())

    def _enter(self, phase: Phase) -> None:
        self._phase = phase.value

    def log_context(self) -> dict[str, Any]:
        """See Measured."""
        now_ns = self._now_ns()
        return {**super().log_context(), **({} if now_ns is None else {"now": format_ns(now_ns)})}

    async def gateway_requests(self) -> int:
        """See Measured."""
        return await self._gateways.requests()


def _request_of(wish: Wish) -> ask.Request:
    if wish.kind == "add_indicator":
        return ask.AddIndicator(wish.symbol, wish.indicator, "strategy")
    if wish.kind == "add_bar":
        return ask.AddBar(wish.symbol, wish.interval, _bar_of(wish), "strategy")
    return (ask.AddSymbol if wish.kind == "add_symbol" else ask.RemoveSymbol)(wish.symbol, "strategy")


def _bar_of(wish: Wish) -> Bar:
    values = dict(wish.bar)
    return Bar(int(values.pop("start_ns")), **values)
