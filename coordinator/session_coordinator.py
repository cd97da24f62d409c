"""The coordinator of a session: an actor that owns the clock, the symbols' processes and the life cycle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from barray.actors.options import cluster_cpus
from barray.coordinator.config.model import ACTORS_PER_CPU, SessionConfig
from barray.coordinator.fleet import Fleet
from barray.coordinator.gateway_pool import GatewayPool
from barray.coordinator.lifecycle import Phase, move
from barray.coordinator.schedule import DueAction, due_actions, windows
from barray.coordinator.step0 import all_failed, require_enough, validate_all
from barray.coordinator.summary import AddResult, SessionEvent, SessionSummary
from barray.data_sources.manager import DataManager
from barray.market.adhoc import parse_bar, validate_adhoc_bar, validate_adhoc_indicator
from barray.market.bars import Bar, format_ns
from barray.market.calendar import TradingCalendar
from barray.market.clock import SimulatedClock
from barray.market.commands import (
    Accepted,
    AddAdhocBar,
    AddAdhocIndicator,
    Command,
    Failed,
    Load,
    Loaded,
    Provision,
    Rejected,
    Report,
    SnapshotTaken,
    TakeSnapshot,
)
from barray.market.errors import BarrayError, ConfigError, IllegalTransition, NoDataError, shorten
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, session_context
from barray.market.symbol_data import SymbolMetadata, SymbolSessionData
from barray.market.validation import Reason, SymbolValidationResult

logger = logging.getLogger(__name__)
PACKED_ACTORS_PER_CPU = 8
"""Processes a core where symbols share them: enough to keep the core busy, few enough to start in a second."""


@dataclass(eq=False)
class Day:
    """All that belongs to one session date; gone with it."""

    context: SessionContext
    clock: SimulatedClock
    schedule: list[DueAction]
    manager: DataManager
    step0: dict[str, SymbolValidationResult] = field(default_factory=dict)
    dropped: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    events: list[SessionEvent] = field(default_factory=list)
    full: set[str] = field(default_factory=set)
    adhoc: set[str] = field(default_factory=set)


class SessionCoordinator:
    """Runs sessions, one date after another. Async: reading calls are answered while a session runs.

    begin → advance_to … → end → teardown, then the next date's begin. Additions take effect at window ends, under
    `_symbol_operation_lock`, so that bars that close together are all applied before anybody sees any of them.
    """

    def __init__(self, config: SessionConfig, calendar: TradingCalendar) -> None:
        self._config = config
        self._calendar = calendar
        self._requirements = config.requirements
        self._fleet = Fleet(config.actors)
        self._gateways = GatewayPool()
        self._phase = Phase.CLEAN
        self._day: Day | None = None
        self._next_date: date | None = calendar.between(config.session.start, config.session.end)[0]
        self._symbol_operation_lock = asyncio.Lock()
        self._pending_symbols: set[str] = set()
        self._progress: tuple[int, int] = (0, 0)

    def set_credentials(self, secrets: Mapping[str, Any]) -> None:
        """Take the credentials of the config's vendor sources; see GatewayPool."""
        self._gateways.set_credentials(secrets)

    async def begin(self, day: date | None = None) -> SessionSummary:
        """Validate, plan, provision and load the config's symbols for `day` (default: the next); stand at its open.

        ValidationFailed where nothing is left to run, with every symbol's reasons. After any error: `teardown`.
        """
        self._enter(Phase.VALIDATING)
        session_date = day or self._next_date
        if session_date is None:
            raise ConfigError("there is no next session in the calendar", remedy="begin a given date")
        context = self._context(session_date)
        schedule = due_actions(self._config.schedule, self._calendar, context)
        manager = DataManager(self._config.data_sources)
        self._day = Day(context, SimulatedClock(self._first_ns(context)), schedule, manager)
        await self._load_session_data()
        self._enter(Phase.RUNNING)
        return self.summary()

    def _context(self, session_date: date) -> SessionContext:
        return session_context(self._requirements, self._calendar, session_date)

    def _first_ns(self, context: SessionContext) -> int:
        """Where the session's clock stands at first."""
        return context.open_ns

    async def advance_to(self, to_ns: int | None = None) -> int:
        """Let the session run to `to_ns` (UTC ns; None: its close), window by window. Returns the time reached."""
        day = self._running()
        target = day.context.close_ns if to_ns is None else to_ns
        if target > day.context.close_ns:
            raise ConfigError(
                f"{format_ns(target)} is after the session's close", remedy="run to the close, or earlier"
            )
        await self._run_due(day)
        moments = {action.at_ns for action in day.schedule}
        for window_end in windows(day.clock.now_ns(), target, day.context, self._config.run.window, moments):
            async with self._symbol_operation_lock:
                await self._advance(day, window_end)
            await self._run_due(day)
            if self._config.run.pause_s:
                await asyncio.sleep(self._config.run.pause_s)
        return day.clock.now_ns()

    async def end(self) -> SessionSummary:
        """No more time passes and nothing more is added; the state stays readable until teardown."""
        self._running()
        async with self._symbol_operation_lock:
            self._enter(Phase.ENDED)
        return self.summary()

    async def teardown(self, *, final: bool = False) -> date | None:
        """End every symbol, forget the session, advance to the next trading day and return its date (None: unknown).

        Works from every phase, also after an error. `final`: no session follows, so no process is kept.
        """
        if self._phase is not Phase.TEARING_DOWN:
            self._enter(Phase.TEARING_DOWN)
        self._teardown_and_cleanup(final=final)
        self._enter(Phase.CLEAN)
        return self._next_date

    def _teardown_and_cleanup(self, *, final: bool) -> None:
        """Nothing survives a session: no bars, no adhoc symbols, no pending work."""
        if self._config.actors.lifecycle == "reuse" and not final:
            config_symbols = self._day.full & set(self._config.symbols) if self._day else set()
            self._fleet.release(keep=config_symbols)
        else:
            self._fleet.kill_all()
        self._pending_symbols.clear()
        self._progress = (0, 0)
        if self._day is not None:
            self._advance_to_next_trading_day(self._day.context.session_date)
        self._day = None

    def _advance_to_next_trading_day(self, after: date) -> None:
        row = self._calendar.session(after) + 1
        dates = self._calendar.sessions.dates
        self._next_date = dates[row].item() if row < len(dates) else None

    def _enter(self, phase: Phase) -> None:
        self._phase = move(self._phase, phase)

    def _running(self) -> Day:
        if self._phase is not Phase.RUNNING or self._day is None:
            raise IllegalTransition(f"no session is running (it is {self._phase.value})", remedy="begin one first")
        return self._day

    def _open_day(self) -> Day:
        if self._day is None:
            raise IllegalTransition("no session has begun", remedy="begin one first")
        return self._day

    async def _load_session_data(self) -> None:
        day = self._open_day()
        validated = await self._validate_symbols_for_loading(list(dict.fromkeys(self._config.symbols)))
        self._enter(Phase.PLANNING)
        loads = {symbol: self._plan(day, symbol, "config") for symbol in validated}
        self._enter(Phase.PROVISIONING)
        self._progress = (0, len(loads))
        await self._fleet.add(loads, per_actor=self._symbols_per_actor(len(loads)))
        self._enter(Phase.LOADING)
        await self._load_symbols_full(loads)
        per_symbol = self._config.validation.per_symbol
        if not day.full or (day.dropped and not per_symbol):
            raise all_failed(day.dropped, len(day.step0), per_symbol=per_symbol)

    def _symbols_per_actor(self, count: int) -> int:
        wanted = self._config.actors.symbols_per_actor
        if wanted != "auto":
            return wanted
        return 1 if count <= ACTORS_PER_CPU * cluster_cpus() else -(-count // (PACKED_ACTORS_PER_CPU * cluster_cpus()))

    async def _validate_symbols_for_loading(self, symbols: Sequence[str]) -> list[str]:
        """Step 0 for many: those that may be loaded; others are dropped with a warning, ValidationFailed if all are."""
        day = self._open_day()
        day.step0.update(await self._validate(day, symbols))
        results = {symbol: day.step0[symbol] for symbol in symbols}
        for symbol, result in results.items():
            if not result.can_proceed:
                day.dropped[symbol] = result.reasons
                logger.warning("%s: dropped: %s", shorten(symbol), result.reason)
        return require_enough(results, per_symbol=self._config.validation.per_symbol)

    async def _validate_symbol_for_loading(self, symbol: str) -> SymbolValidationResult:
        """Step 0 for one symbol."""
        return (await self._validate(self._open_day(), [symbol]))[symbol]

    async def _validate(self, day: Day, symbols: Sequence[str]) -> dict[str, SymbolValidationResult]:
        def progress(done: int) -> None:
            self._progress = (done, len(symbols))

        progress(0)
        return await validate_all(
            symbols,
            day.manager,
            self._requirements,
            day.context,
            self._config.validation.deadline_s,
            in_flight=2 * cluster_cpus(),
            fetch=self._gateways.fetch_for(self._requirements, day.context.loaded, self._until_ns()),
            progress=progress,
        )

    def _until_ns(self) -> int:
        """The close of the config's last session: what it needs is fetched along, in fewer requests than day by day."""
        section = self._config.session
        last = self._calendar.between(section.start, section.end)[-1]
        return int(self._calendar.sessions.close_ns[self._calendar.session(last)])

    def _plan(self, day: Day, symbol: str, added_by: str) -> Load:
        """Step 1: what to load from where, and what to compute from it."""
        result = day.step0[symbol]
        if result.base_interval is None or result.data_source is None:
            raise ValueError(f"{symbol} has not passed Step 0")
        return Load(
            day.context,
            day.manager.source(result.data_source),
            result.base_interval,
            self._requirements.all_intervals,
            self._requirements.indicators,
            added_by,
            day.clock.now_ns(),
            day.context.live,
        )

    async def _load_symbols_full(self, loads: Mapping[str, Load]) -> dict[str, Loaded]:
        """Step 3: load symbols that have a process. Those that fail are dropped."""
        day = self._open_day()
        loaded: dict[str, Loaded] = {}
        for symbol, report in (await self._tell(day, loads)).items():
            if isinstance(report, Loaded):
                loaded[symbol] = report
                day.full.add(symbol)
            elif isinstance(report, Failed) and symbol in self._fleet:
                self._drop(day, symbol, report.error)
        self._progress = (len(loaded), len(loads))
        return loaded

    async def _tell(self, day: Day, commands: Mapping[str, Command]) -> dict[str, Report]:
        """Have commands carried out, and drop every symbol whose process was lost for good over it."""
        reports = await self._fleet.execute(commands)
        for symbol, error in self._fleet.pop_lost().items():
            self._drop(day, symbol, error)
        return reports

    def _drop(self, day: Day, symbol: str, error: Exception) -> None:
        reason = _reason(error)
        day.dropped[symbol] = (reason,)
        day.full.discard(symbol)
        day.adhoc.discard(symbol)
        self._fleet.remove([symbol])
        day.events.append(
            SessionEvent(day.clock.now_ns(), "drop", symbol, "coordinator", accepted=True, reason=str(reason))
        )
        logger.warning("%s: dropped: %s", shorten(symbol), reason)

    async def _advance(self, day: Day, to_ns: int) -> None:
        for symbol, report in sorted((await self._fleet.advance(to_ns)).items()):
            self._drop(day, symbol, report.error)
        day.clock.advance_to(to_ns)
        if not self._fleet.symbols:
            raise all_failed(day.dropped, len(day.step0), per_symbol=True)

    async def _run_due(self, day: Day) -> None:
        while day.schedule and day.schedule[0].at_ns <= day.clock.now_ns():
            due = day.schedule.pop(0)
            action = due.action
            if action.add_symbol is not None:
                await self.add_symbol_detailed(action.add_symbol, action.by or "strategy")
            elif action.add_bar is not None and due.bar is not None:
                bar = action.add_bar
                await self.add_adhoc_bar_detailed(bar.symbol, bar.interval, due.bar, action.by or "scanner")
            elif action.add_indicator is not None:
                added = action.add_indicator
                await self.add_adhoc_indicator_detailed(added.symbol, added.indicator, action.by or "scanner")
            elif action.remove_symbol is not None:
                await self.remove_symbol(action.remove_symbol, action.by or "strategy")

    async def add_symbol(self, symbol: str, added_by: str = "strategy") -> bool:
        """Add a symbol with everything the config requires: Steps 0 to 3, then it stands at session time.

        True if it is full now (or was before); an adhoc symbol is upgraded. False, with the reason logged, where Step 0
        or loading failed; an adhoc symbol then stays what it was.
        """
        return (await self.add_symbol_detailed(symbol, added_by)).accepted

    async def add_symbol_detailed(self, symbol: str, added_by: str = "strategy") -> AddResult:
        """`add_symbol`, saying why."""
        if added_by not in ("strategy", "scanner"):
            raise ConfigError(
                f"added_by is {added_by!r}", remedy="a session's symbols are added by strategy or scanner"
            )
        day = self._running()
        async with self._symbol_operation_lock:
            self._running()
            if symbol in day.full:
                return AddResult(accepted=True, reason="already loaded", validation=day.step0[symbol])
            self._pending_symbols.add(symbol)
            try:
                result = await self._add_symbol(day, symbol, added_by)
            finally:
                self._pending_symbols.discard(symbol)
            self._note(day, "add_symbol", symbol, added_by, result)
            return result

    async def _add_symbol(self, day: Day, symbol: str, added_by: str) -> AddResult:
        validation = await self._validate_symbol_for_loading(symbol)
        day.step0[symbol] = validation
        if not validation.can_proceed:
            logger.error("%s: validation failed: %s", shorten(symbol), validation.reason)
            if symbol not in day.adhoc:
                day.dropped[symbol] = validation.reasons
            return AddResult(accepted=False, reason=validation.reason, validation=validation)
        load = self._plan(day, symbol, added_by)
        await self._fleet.add([symbol])
        report = (await self._tell(day, {symbol: load}))[symbol]
        if not isinstance(report, Loaded):
            error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
            if symbol in self._fleet and symbol not in day.adhoc:
                self._drop(day, symbol, error)
            return AddResult(accepted=False, reason=str(error), validation=validation)
        day.full.add(symbol)
        day.adhoc.discard(symbol)
        day.dropped.pop(symbol, None)
        return AddResult(accepted=True, validation=validation, conflicts=report.conflicts)

    async def add_adhoc_bar(
        self, symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any], source: str = "scanner"
    ) -> bool:
        """Add one closed bar after light checks; an unknown symbol is provisioned. False, reason logged, if refused."""
        return (await self.add_adhoc_bar_detailed(symbol, interval, bar, source)).accepted

    async def add_adhoc_bar_detailed(
        self, symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any], source: str = "scanner"
    ) -> AddResult:
        """`add_adhoc_bar`, saying why."""
        day = self._running()
        async with self._symbol_operation_lock:
            ok, reason = self._validate_adhoc_bar(symbol, interval, bar)
            result = AddResult(accepted=ok, reason=reason)
            if ok:
                command = AddAdhocBar(Interval.parse(interval), parse_bar(bar), source, day.clock.now_ns())
                result = await self._add_adhoc(day, symbol, command, "bar_addition")
            self._note(day, "add_bar", symbol, source, result, interval=str(interval), bar=_json_bar(bar))
            return result

    async def add_adhoc_indicator(
        self, symbol: str, indicator_config: str | Mapping[str, Any] | IndicatorSpec, source: str = "scanner"
    ) -> bool:
        """Add one indicator after light checks; an unknown symbol is provisioned. False, reason logged, if refused."""
        return (await self.add_adhoc_indicator_detailed(symbol, indicator_config, source)).accepted

    async def add_adhoc_indicator_detailed(
        self, symbol: str, indicator_config: str | Mapping[str, Any] | IndicatorSpec, source: str = "scanner"
    ) -> AddResult:
        """`add_adhoc_indicator`, saying why."""
        day = self._running()
        async with self._symbol_operation_lock:
            ok, reason = self._validate_adhoc_indicator(symbol, indicator_config)
            result, shown = AddResult(accepted=ok, reason=reason), str(indicator_config)
            if ok:
                spec = parse_indicator(indicator_config)
                shown = spec.key
                command = AddAdhocIndicator(spec, source, day.clock.now_ns())
                result = await self._add_adhoc(day, symbol, command, "indicator_addition")
            self._note(day, "add_indicator", symbol, source, result, indicator=shown)
            return result

    def _validate_adhoc_bar(
        self, symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any]
    ) -> tuple[bool, str]:
        day = self._running()
        return validate_adhoc_bar(symbol, interval, bar, day.context, day.clock.now_ns())

    def _validate_adhoc_indicator(
        self, symbol: str, indicator_config: str | Mapping[str, Any] | IndicatorSpec
    ) -> tuple[bool, str]:
        return validate_adhoc_indicator(symbol, indicator_config)

    async def _add_adhoc(self, day: Day, symbol: str, command: Command, why: str) -> AddResult:
        new = symbol not in self._fleet
        if new:
            logger.info("%s: auto-provisioning (%s)", symbol, why)
            await self._fleet.add([symbol])
            await self._fleet.execute({symbol: Provision(day.context, why, day.clock.now_ns())})
            day.adhoc.add(symbol)
        report = (await self._tell(day, {symbol: command}))[symbol]
        if isinstance(report, Accepted):
            return AddResult(accepted=True)
        if new:
            self._fleet.remove([symbol])
            day.adhoc.discard(symbol)
        reason = report.reason if isinstance(report, Rejected) else str(getattr(report, "error", report))
        return AddResult(accepted=False, reason=reason)

    async def remove_symbol(self, symbol: str, by: str = "strategy") -> bool:
        """End one symbol and its process. False if it isn't in the session."""
        day = self._running()
        async with self._symbol_operation_lock:
            known = symbol in self._fleet
            self._fleet.remove([symbol])
            day.full.discard(symbol)
            day.adhoc.discard(symbol)
            self._note(day, "remove_symbol", symbol, by, AddResult(known, "" if known else "not in the session"))
            return known

    def _note(self, day: Day, action: str, symbol: str, by: str, result: AddResult, **detail: Any) -> None:
        if not result.accepted:
            logger.warning("%s: %s refused: %s", shorten(symbol), action, result.reason)
        now_ns = day.clock.now_ns()
        day.events.append(SessionEvent(now_ns, action, symbol, by, result.accepted, result.reason, detail))

    def symbols(self) -> list[str]:
        """Symbols in the session, sorted."""
        return self._fleet.symbols

    async def snapshot(self, symbol: str) -> SymbolSessionData:
        """A symbol's visible state; NoDataError if it isn't in the session."""
        return (await self.snapshots([symbol]))[0]

    async def get_symbol_metadata(self, symbol: str) -> SymbolMetadata | None:
        """How a symbol came into the session; None if it isn't in it."""
        return (await self.snapshot(symbol)).metadata if symbol in self._fleet else None

    async def snapshots(self, symbols: Sequence[str] | None = None) -> list[SymbolSessionData]:
        """The visible states of symbols (default: all), in the order given, all at one session time."""
        async with self._symbol_operation_lock:
            wanted = self._fleet.symbols if symbols is None else list(symbols)
            for symbol in wanted:
                if symbol not in self._fleet:
                    raise NoDataError(
                        "is not in the session",
                        symbol=symbol,
                        remedy=f"there are: {', '.join(self._fleet.symbols[:20])}",
                    )
            reports = await self._tell(self._open_day(), dict.fromkeys(wanted, TakeSnapshot())) if wanted else {}
        taken = []
        for symbol in wanted:
            report = reports[symbol]
            if not isinstance(report, SnapshotTaken):
                raise report.error if isinstance(report, Failed) else RuntimeError(repr(report))
            taken.append(report.data)
        return taken

    def summary(self) -> SessionSummary:
        """The session as a whole, so far."""
        day, section = self._open_day(), self._config.session
        context = day.context
        return SessionSummary(
            calendar=context.calendar,
            timezone=self._calendar.timezone,
            hours=context.hours,
            extended_hours=section.extended,
            session_date=context.session_date,
            history_first=context.loaded.dates[0].item(),
            open_ns=context.open_ns,
            close_ns=context.close_ns,
            now_ns=day.clock.now_ns(),
            requirements=self._requirements,
            step0=dict(sorted(day.step0.items())),
            dropped=dict(sorted(day.dropped.items())),
            events=tuple(day.events),
        )

    def status(self) -> dict[str, Any]:
        """Where the session stands, in JSON types. Answered in every phase."""
        day = self._day
        return {
            "name": self._config.name,
            "phase": self._phase.value,
            "progress": list(self._progress),
            "fetching": asdict(self._gateways.progress) if self._gateways.progress else None,
            "session_date": day.context.session_date.isoformat() if day else None,
            "now": format_ns(day.clock.now_ns()) if day else None,
            "open": format_ns(day.context.open_ns) if day else None,
            "close": format_ns(day.context.close_ns) if day else None,
            "next_date": self._next_date.isoformat() if self._next_date else None,
            "full": sorted(day.full) if day else [],
            "adhoc": sorted(day.adhoc) if day else [],
            "pending": sorted(self._pending_symbols),
            "dropped": {s: [str(r) for r in reasons] for s, reasons in sorted(day.dropped.items())} if day else {},
            "processes": self._fleet.processes,
        }


def _reason(error: Exception) -> Reason:
    if isinstance(error, BarrayError):
        return Reason(str(error.code), error.reason, error.remedy or "", error.source)
    return Reason("error", f"{type(error).__name__}: {error}")


def _json_bar(bar: Bar | Mapping[str, Any]) -> dict[str, Any]:
    try:
        return asdict(replace(parse_bar(bar)))
    except BarrayError:
        return {str(key): str(value) for key, value in bar.items()} if isinstance(bar, Mapping) else {}
