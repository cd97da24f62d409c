"""What a session decides, as a state machine: no Ray, no I/O, no wall clock, nothing awaited.

The state owns the phase, the session clock, who is full, adhoc or dropped, Step 0's results, the schedule and the
events. What it decides it decides in `Work`: a generator that yields one instruction after another and is sent what
each came to; its value is the answer. One Work runs at a time, but for queries, which change nothing. Whoever carries
the instructions out (SessionCoordinator; a test) decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from barray.coordinator import messages as ask
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.day import Day
from barray.coordinator.fleet import symbols_per_actor
from barray.coordinator.lifecycle import Phase, move
from barray.coordinator.schedule import DueAction, due_actions, windows
from barray.coordinator.step0 import all_failed, require_enough
from barray.coordinator.summary import AddResult, EventAction, SessionEvent, SessionSummary
from barray.market import commands
from barray.market.accounting import require_accounted
from barray.market.adhoc import parse_bar, validate_adhoc_bar, validate_adhoc_indicator
from barray.market.bars import Bars, format_ns
from barray.market.calendar import TradingCalendar
from barray.market.clock import SimulatedClock
from barray.market.commands import Command, Report
from barray.market.errors import ActorFailed, ConfigError, IllegalTransition, NoDataError, shorten
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, session_context
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbols import require_text
from barray.market.validation import Reason, SymbolValidationResult
from barray.trading.engine.session_commands import ColumnsLaid, LayColumns
from barray.trading.scans.following import ALREADY_LOADED
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.needs import Needs

logger = logging.getLogger(__name__)
T = TypeVar("T")
Work = Generator[ask.Instruction, Any, T]


class SessionState:
    """One session date after another. `day` is None while there is none; `progress` counts symbols, done and in all.
    `enters` hears of each phase.
    """

    def __init__(
        self, config: SessionConfig, calendar: TradingCalendar, enters: Callable[[Phase], object] = lambda _: None
    ) -> None:
        self._enters = enters
        self._config = config
        self._calendar = calendar
        self._requirements = config.requirements
        self.phase = Phase.CLEAN
        self.day: Day | None = None
        self.next_date: date | None = calendar.between(config.session.start, config.session.end)[0]
        self.progress = (0, 0)
        self._pending: set[str] = set()

    def enter(self, phase: Phase) -> None:
        """Go on to `phase`; IllegalTransition where no move leads there."""
        self.phase = move(self.phase, phase)
        self._enters(phase)

    def running(self) -> Day:
        """The day that time passes on; IllegalTransition where none does."""
        if self.phase is not Phase.RUNNING or self.day is None:
            raise IllegalTransition(f"no session is running (it is {self.phase.value})", remedy="begin one first")
        return self.day

    def open_day(self) -> Day:
        """The day there is; IllegalTransition where there is none."""
        if self.day is None:
            raise IllegalTransition("no session has begun", remedy="begin one first")
        return self.day

    def context(self, session_date: date | None) -> SessionContext:
        """Where `session_date` (default: the next) stands among the sessions; ConfigError if it is none."""
        session_date = session_date or self.next_date
        if session_date is None:
            raise ConfigError("there is no next session in the calendar", remedy="begin a given date")
        found = session_context(self._requirements, self._calendar, session_date)
        return replace(found, live=True) if self._config.is_live else found

    def open(self, context: SessionContext, first_ns: int) -> None:
        """Begin a day: its clock stands at `first_ns`."""
        schedule = due_actions(self._config.schedule, self._calendar, context)
        manager = self._config.data_manager.on(context.session_date)
        self.day = Day(context, SimulatedClock(first_ns), schedule, manager)

    def load_session_data(self, cpus: int) -> Work[None]:
        """Steps 0 to 3 for the config's symbols; ValidationFailed where nothing is left to run. With scans it may begin
        without any.
        """
        day, per_symbol = self.open_day(), self._config.validation.per_symbol
        symbols = tuple(dict.fromkeys(self._config.symbols))
        validated = (yield from self._validate_symbols_for_loading(symbols)) if symbols else []
        self.enter(Phase.PLANNING)
        loads = {symbol: self._plan(day, symbol, "config") for symbol in validated}
        self.enter(Phase.PROVISIONING)
        self.progress = (0, len(loads))
        if loads:
            yield ask.Provide(tuple(loads), symbols_per_actor(self._config.actors.symbols_per_actor, len(loads), cpus))
        self.enter(Phase.LOADING)
        yield from self._load_symbols_full(loads)
        if (symbols and not day.full) or (day.dropped and not per_symbol):
            raise all_failed(day.dropped, len(day.step0), per_symbol=per_symbol)
        self.enter(Phase.RUNNING)

    def _validate_symbols_for_loading(self, symbols: tuple[str, ...]) -> Work[list[str]]:
        """Step 0 for many: those that may be loaded; others are dropped with a warning, ValidationFailed if all are."""
        day = self.open_day()
        results: Mapping[str, SymbolValidationResult] = yield ask.Validate(symbols)
        day.step0.update(results)
        for symbol, result in results.items():
            if not result.can_proceed:
                day.dropped[symbol] = result.reasons
                logger.warning("%s: dropped: %s", shorten(symbol), result.reason)
        return require_enough(results, per_symbol=self._config.validation.per_symbol)

    def _plan(self, day: Day, symbol: str, added_by: str) -> commands.Load:
        """Step 1: what to load from where, and what to compute from it."""
        result, wanted = day.step0[symbol], self._requirements
        if result.base_interval is None or result.data_source is None:
            raise ValueError(f"{symbol} has not passed Step 0")
        reader, base = day.manager.source(result.data_source), result.base_interval
        what = (day.context, reader, base, wanted.all_intervals, wanted.computed)
        return commands.Load(*what, added_by, day.clock.now_ns(), day.context.live, day.manager.daily)

    def _load_symbols_full(self, loads: Mapping[str, commands.Load]) -> Work[None]:
        """Step 3: load symbols that have a process. Those that fail are dropped."""
        day = self.open_day()
        told = yield from self._tell_to_load(loads)
        for symbol, report in told.reports.items():
            if isinstance(report, commands.Loaded):
                day.full.add(symbol)
                _warn(symbol, report)
            elif not day.step0[symbol].can_proceed:
                day.dropped[symbol] = day.step0[symbol].reasons
                logger.warning("%s: dropped: %s", shorten(symbol), day.step0[symbol].reason)
                yield ask.End((symbol,))
            elif isinstance(report, commands.Failed) and symbol not in told.lost:
                yield from self._drop(symbol, report.error)
        self.progress = (len(day.full), len(loads))

    def _tell_to_load(self, loads: Mapping[str, commands.Load]) -> Work[ask.Told]:
        """Have symbols loaded. Where bars prove to be no good that Step 0 let through, it judges the symbol anew,
        without the source of these, and the next that serves it is loaded from.
        """
        day = self.open_day()
        told = yield from self._tell(loads)
        reports, lost, left = dict(told.reports), dict(told.lost), dict(loads)
        while passed := day.pass_over({s: (load, reports[s]) for s, load in left.items() if s not in lost}):
            results: Mapping[str, SymbolValidationResult] = yield ask.Validate(passed)
            day.step0.update(results)
            left = {s: self._plan(day, s, loads[s].added_by) for s in passed if results[s].can_proceed}
            told = (yield from self._tell(left)) if left else ask.Told({}, {})
            reports.update(told.reports)
            lost.update(told.lost)
        return ask.Told(reports, lost)

    def _tell_or_drop(self, given: Mapping[str, Command | LayColumns]) -> Work[Mapping[str, Any]]:
        """Have commands carried out, and drop every symbol that can't; what each came to."""
        told = yield from self._tell(given)
        for symbol, report in told.reports.items():
            if isinstance(report, commands.Failed) and symbol not in told.lost:
                yield from self._drop(symbol, report.error)
        return told.reports

    def _tell(self, given: Mapping[str, Command | LayColumns]) -> Work[ask.Told]:
        """Have commands carried out, and drop every symbol whose process was lost for good over it."""
        told: ask.Told = yield ask.Tell(given)
        for symbol, error in told.lost.items():
            yield from self._drop(symbol, error)
        return told

    def _drop(self, symbol: str, error: Exception) -> Work[None]:
        day, reason = self.open_day(), Reason.of(error)
        day.dropped[symbol] = (reason,)
        day.forget(symbol)
        yield ask.End((symbol,))
        self._record("drop", symbol, "coordinator", True, str(reason))
        logger.warning("%s: dropped: %s", shorten(symbol), reason)

    def require_ahead(self, to_ns: int) -> None:
        """IllegalTransition where session time is past `to_ns` already, ConfigError where that is no whole number."""
        if isinstance(to_ns, bool) or not isinstance(to_ns, int):
            raise ConfigError(f"{to_ns!r} is no time", remedy="give UTC nanoseconds, a whole number")
        now_ns = self.running().clock.now_ns()
        if to_ns < now_ns:
            raise IllegalTransition(
                f"the session stands at {format_ns(now_ns)} and cannot go back to {format_ns(to_ns)}",
                remedy="begin the session again to see an earlier time",
            )

    def window_ends(self, to_ns: int, window: Interval | None) -> list[int]:
        """Where time stops on its way to `to_ns`: see `schedule.windows`."""
        day = self.running()
        moments = {*(action.at_ns for action in day.schedule), *day.moments}
        return windows(day.clock.now_ns(), to_ns, day.context, window, moments)

    def advance(self, to_ns: int, bars: Mapping[str, Bars]) -> Work[Mapping[str, Report]]:
        """Let the session's clock go on, and give full symbols bars of theirs that have come; what each made of them.

        Nobody else is told: time comes to a symbol with its next command. ValidationFailed where no symbol is left.
        """
        day = self.running()
        now_ns = day.clock.now_ns()
        given = {s: commands.AppendBars(own, now_ns, to_ns) for s, own in bars.items() if s in day.full}
        reports = (yield from self._tell_or_drop(given)) if given else {}
        yield from self._heartbeat(to_ns, self._config.actors.heartbeat_s)
        day.clock.advance_to(to_ns)
        self._require_any()
        return reports

    def columns(self, symbols: Sequence[str], needs: Needs) -> Work[dict[str, SymbolData]]:
        """Have full symbols hand out their columns. Those that can't are dropped."""
        now_ns = self.running().clock.now_ns()
        reports = yield from self._tell_or_drop({symbol: LayColumns(needs, now_ns) for symbol in symbols})
        return {symbol: one.data for symbol, one in reports.items() if isinstance(one, ColumnsLaid)}

    def base_interval(self) -> Interval:
        """The finest that any full symbol was loaded with; ValueError where there is none."""
        day = self.running()
        return min(found for symbol in day.full if (found := day.step0[symbol].base_interval) is not None)

    def _heartbeat(self, at_ns: int, silent_s: float) -> Work[None]:
        """Drop symbols whose process was lost for good; ValidationFailed where none is left."""
        lost: Mapping[str, ActorFailed] = yield ask.Heartbeat(at_ns, silent_s)
        for symbol, error in lost.items():
            yield from self._drop(symbol, error)
        if lost:
            self._require_any()

    def _require_any(self) -> None:
        day = self.running()
        if not day.full and not day.adhoc and not self._config.scans:
            raise all_failed(day.dropped, len(day.step0), per_symbol=True)

    def end(self) -> Work[None]:
        """No more time passes. Every process is asked once more, so that what was lost is known."""
        yield from self._heartbeat(self.running().clock.now_ns(), 0.0)
        self.enter(Phase.ENDED)

    def due(self) -> DueAction | None:
        """Take the next action of the schedule whose time has come."""
        day = self.running()
        if day.schedule and day.schedule[0].at_ns <= day.clock.now_ns():
            return day.schedule.pop(0)
        return None

    def change(self, request: ask.Request) -> Work[AddResult]:
        """Do what is asked at session time, or say why not. ConfigError where that can't be asked."""
        self.running()
        match request:
            case ask.AddSymbol():
                return self._first(self.add_symbols([request]))
            case ask.AddBar():
                return self._add_adhoc_bar(request)
            case ask.AddIndicator():
                return self._add_adhoc_indicator(request)
            case ask.RemoveSymbol():
                return self._remove_symbol(request)

    @staticmethod
    def _first(work: Work[list[T]]) -> Work[T]:
        return (yield from work)[0]

    def add_symbols(self, requests: Sequence[ask.AddSymbol]) -> Work[list[AddResult]]:
        """What became of each, side by side: accepted where it is full now (or was before). Where Step 0 or loading
        failed an adhoc symbol stays what it was. ConfigError where that can't be asked.
        """
        day, new = self.running(), dict[str, ask.AddSymbol]()
        for request in requests:
            if request.by not in ("strategy", "scanner"):
                raise ConfigError(
                    f"added_by is {request.by!r}", remedy="a session's symbols are added by strategy or scanner"
                )
            if request.symbol not in day.full:
                new.setdefault(request.symbol, request)
        self._pending |= new.keys()
        try:
            for symbol in new:
                yield ask.Listen(symbol)
            results = yield from self._validate_and_load(day, new)
            for symbol in day.full & new.keys():
                yield ask.Listen(symbol, loaded=True)
        finally:
            self._pending -= new.keys()
        for symbol, request in new.items():
            self._note("add_symbol", symbol, request.by, results[symbol])
        return [results.get(s) or AddResult(True, ALREADY_LOADED, day.step0[s]) for s in (r.symbol for r in requests)]

    def _validate_and_load(self, day: Day, new: Mapping[str, ask.AddSymbol]) -> Work[dict[str, AddResult]]:
        results: dict[str, AddResult] = {}
        if new:
            day.step0.update((yield ask.Validate(tuple(new))))
        loads = {s: self._plan(day, s, one.by) for s, one in new.items() if day.step0[s].can_proceed}
        told = ask.Told({}, {})
        if loads:
            yield ask.Provide(tuple(loads))
            told = yield from self._tell_to_load(loads)
        for symbol in new:
            report, validation = told.reports.get(symbol), day.step0[symbol]
            if not validation.can_proceed:
                if symbol in loads and symbol not in day.adhoc:
                    yield ask.End((symbol,))
                results[symbol] = day.refuse(validation)
            elif isinstance(report, commands.Loaded):
                _warn(symbol, report)
                day.join(symbol)
                results[symbol] = AddResult(accepted=True, validation=validation, conflicts=report.conflicts)
            else:
                error = report.error if isinstance(report, commands.Failed) else RuntimeError(repr(report))
                if symbol not in told.lost and symbol not in day.adhoc:
                    yield from self._drop(symbol, error)
                results[symbol] = AddResult(accepted=False, reason=str(error), validation=validation)
        return results

    def _add_adhoc_bar(self, request: ask.AddBar) -> Work[AddResult]:
        day, symbol, interval, bar = self.running(), request.symbol, request.interval, request.bar
        now_ns = day.clock.now_ns()
        ok, reason = validate_adhoc_bar(symbol, interval, bar, day.context, now_ns)
        result = AddResult(ok, reason)
        if ok:
            command = commands.AddAdhocBar(Interval.parse(interval), parse_bar(bar), request.by, now_ns)
            result = yield from self._add_adhoc(symbol, command, "bar_addition")
        return self._note("add_bar", symbol, request.by, result, interval=str(interval), bar=request.bar_told())

    def _add_adhoc_indicator(self, request: ask.AddIndicator) -> Work[AddResult]:
        day, symbol = self.running(), request.symbol
        ok, reason = validate_adhoc_indicator(symbol, request.indicator)
        result, shown = AddResult(ok, reason), str(request.indicator)
        if ok:
            spec = parse_indicator(request.indicator)
            shown = spec.key
            command = commands.AddAdhocIndicator(spec, request.by, day.clock.now_ns())
            result = yield from self._add_adhoc(symbol, command, "indicator_addition")
        return self._note("add_indicator", symbol, request.by, result, indicator=shown)

    def _add_adhoc(self, symbol: str, command: Command, why: str) -> Work[AddResult]:
        day = self.running()
        given, new = [command], symbol not in day.symbols
        if new:
            logger.info("%s: auto-provisioning (%s)", symbol, why)
            yield ask.Provide((symbol,))
            day.adhoc.add(symbol)
            given.insert(0, commands.Provision(day.context, why, day.clock.now_ns()))
        report: Report | None = None
        while given and not isinstance(report, commands.Failed):
            report = (yield from self._tell({symbol: given.pop(0)})).reports[symbol]
        if isinstance(report, commands.Accepted):
            return AddResult(accepted=True, reason=report.note)
        if new and symbol in day.adhoc:
            day.forget(symbol)
            yield ask.End((symbol,))
        reason = report.reason if isinstance(report, commands.Rejected) else str(getattr(report, "error", report))
        return AddResult(accepted=False, reason=reason)

    def _remove_symbol(self, request: ask.RemoveSymbol) -> Work[AddResult]:
        day, symbol = self.running(), request.symbol
        known = symbol in day.symbols
        day.forget(symbol)
        result = AddResult(known, "" if known else "not in the session")
        self._note("remove_symbol", symbol, request.by, result)
        yield ask.End((symbol,))
        return result

    def note(self, action: EventAction, by: str, reason: str, *, accepted: bool = True) -> None:
        """Put down what befell the session as a whole."""
        logger.warning("the %s: %s", action, reason)
        self._record(action, "", by, accepted, reason)

    def _note(self, action: EventAction, symbol: str, by: str, result: AddResult, **detail: Any) -> AddResult:
        if not result.accepted:
            logger.warning("%s: %s refused: %s", shorten(symbol), action, result.reason)
        self._record(action, symbol, by, result.accepted, result.reason, **detail)
        return result

    def _record(self, action: EventAction, symbol: str, by: str, accepted: bool, reason: str, **detail: Any) -> None:
        day = self.open_day()
        day.events.append(SessionEvent(day.clock.now_ns(), action, symbol, by, accepted, reason, detail))

    def tear_down(self, *, final: bool) -> Work[None]:
        """End every symbol and forget the session: no bars, no adhoc symbols, no pending work survive it."""
        if self.phase is not Phase.TEARING_DOWN:
            self.enter(Phase.TEARING_DOWN)
        reuse = self._config.actors.lifecycle == "reuse" and not final
        full = self.day.full if self.day else set()
        yield ask.EndAll(frozenset(full & set(self._config.symbols)) if reuse else None)
        self._pending.clear()
        self.progress = (0, 0)
        if self.day is not None:
            self._advance_to_next_trading_day(self.day.context.session_date)
        self.day = None
        self.enter(Phase.CLEAN)

    def _advance_to_next_trading_day(self, after: date) -> None:
        row = self._calendar.session(after) + 1
        dates = self._calendar.sessions.dates
        self.next_date = dates[row].item() if row < len(dates) else None

    def snapshots(self, symbols: Sequence[str] | None, *, gone_ok: bool = False) -> Work[list[SymbolSessionData]]:
        """Visible states (default: of all), in the order given; NoDataError for one that isn't in the session, and
        ActorFailed for one found to be lost: with `gone_ok` these are left out. ConfigError for one that is no text.
        """
        day = self.open_day()
        for symbol in symbols or ():
            require_text(symbol)
        present = dict.fromkeys(day.symbols)
        wanted = list(present if symbols is None else symbols)
        missing = [symbol for symbol in wanted if symbol not in present]
        if missing and not gone_ok:
            listed = ", ".join([*present][:20])
            raise NoDataError("is not in the session", symbol=missing[0], remedy=f"there are: {listed}")
        take = commands.TakeSnapshot(day.clock.now_ns())
        told = yield from self._tell({symbol: take for symbol in wanted if symbol in present})
        gone = {*missing, *(told.lost if gone_ok else ())}
        return [_taken(told.reports[symbol]) for symbol in wanted if symbol not in gone]

    def summary(self) -> SessionSummary:
        """The session as a whole, so far.

        BarrayError (`unaccounted`) where it runs with a symbol of the config that is neither full nor left out.
        """
        day, section = self.open_day(), self._config.session
        if self.phase in (Phase.RUNNING, Phase.ENDED):
            self._require_accounted(day)
        context = day.context
        return SessionSummary(
            calendar=context.calendar,
            timezone=self._calendar.timezone,
            hours=context.hours,
            extended_hours=section.extended,
            session_date=context.session_date,
            history_first=context.loaded.dates[0].item(),
            daily_first=context.daily_dates[0] if context.daily_dates else None,
            open_ns=context.open_ns,
            close_ns=context.close_ns,
            now_ns=day.clock.now_ns(),
            requirements=self._requirements,
            step0=dict(sorted(day.step0.items())),
            dropped=dict(sorted(day.dropped.items())),
            events=tuple(day.events),
        )

    def _require_accounted(self, day: Day) -> None:
        removed = {event.symbol: "removed" for event in day.events if event.action == "remove_symbol"}
        left_out = {symbol: why for symbol, why in removed.items() if symbol not in day.full} | day.dropped
        require_accounted(self._config.symbols, day.full, left_out)

    def status(self, fetching: object, **more: Any) -> dict[str, Any]:
        """Where the session stands, in JSON types, in every phase; `fetching` and `more` are what others know."""
        day = self.day
        return {
            "name": self._config.name,
            "phase": self.phase.value,
            "progress": list(self.progress),
            "fetching": fetching,
            "session_date": day.context.session_date.isoformat() if day else None,
            "now": format_ns(day.clock.now_ns()) if day else None,
            "open": format_ns(day.context.open_ns) if day else None,
            "close": format_ns(day.context.close_ns) if day else None,
            "next_date": self.next_date.isoformat() if self.next_date else None,
            "full": sorted(day.full) if day else [],
            "adhoc": sorted(day.adhoc) if day else [],
            "pending": sorted(self._pending),
            "dropped": {s: [str(r) for r in reasons] for s, reasons in sorted(day.dropped.items())} if day else {},
            **more,
        }


def _warn(symbol: str, report: commands.Loaded) -> None:
    for warning in report.warnings:
        logger.warning("%s: %s", symbol, warning)


def _taken(report: Report) -> SymbolSessionData:
    if isinstance(report, commands.SnapshotTaken):
        return report.data
    raise report.error if isinstance(report, commands.Failed) else RuntimeError(repr(report))
