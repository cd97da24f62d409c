"""The coordinator of a backtest whose symbols share an account or a strategy: one process runs them all."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from barray.actors.options import new_portfolio_actor, this_actor
from barray.actors.transport import RayTransport
from barray.coordinator.backtest import BacktestCoordinator, Job
from barray.coordinator.crew import share_with
from barray.coordinator.fleet import Fleet
from barray.coordinator.judges import Judges
from barray.coordinator.step0 import all_failed
from barray.coordinator.steps import Since, Step, Stepped
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, NoDataError
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.market.validation import Reason
from barray.trading.engine.commands import (
    ColumnsLost,
    LayRange,
    LoadRange,
    RangeLaid,
    RunSessions,
    SessionOutcome,
    SessionsRun,
)
from barray.trading.engine.scanned_run import UPGRADED
from barray.trading.engine.symbol_run import skipping
from barray.trading.orders.order_columns import NO_ORDERS, Orders, by_symbol
from barray.trading.results.events import NO_EVENTS, Events
from barray.trading.results.ledger import Grid, Ledger
from barray.trading.results.logs import Logs

logger = logging.getLogger(__name__)
_ENGINE = "portfolio"
_BLOCK_BYTES = 32 * 1024 * 1024
_BYTES_A_BAR = 72


class PortfolioBacktestCoordinator(BacktestCoordinator):
    """Runs one strategy over a range of sessions, all symbols in one process. Used as BacktestCoordinator is.

    The symbols' processes read, derive and compute a block of sessions at a time and publish the columns; the engine's
    process maps them and runs the sessions, while the next block is made. What it did comes back session by session,
    with the state that it led to, so that another process can go on from there. It does so where the node is to leave;
    nodes that join are given a share of the symbols.
    """

    processes_per_cpu = 1  # besides the engine's
    grows = False
    engines: tuple[str, ...] = (_ENGINE,)
    """What the engine's processes are called that are started beside Step 0."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        settings = self._config.actors.model_copy(update={"max_restarts": 0})  # what is lost is brought back here
        sessions = len(self._session_range.rows) + 1
        transport = RayTransport(new_portfolio_actor, self._config.placement.placement)
        self._engine = Fleet(settings, transport, sessions=sessions)
        self._ledgers: dict[str, Ledger] = {}
        self._guests: dict[str, Ledger] = {}
        self._added: dict[tuple[int, str], Any] = {}
        self._ended: list[tuple[int, Orders]] = []
        self._working = (0, NO_ORDERS)
        self._events = NO_EVENTS
        self._state: bytes | str | None = None
        self._error: str | None = None
        self._at: tuple[str, int] | None = None
        self._laying = asyncio.Lock()
        self._excused = 0
        self._since = Since()
        self._run_until = -1
        self._engine_up: asyncio.Future[None] | None = None
        self._base: Interval

    async def _start_ahead(self, count: int) -> Judges:
        """The symbols' processes, and the engine's."""
        self._engine_up = asyncio.ensure_future(self._engine.add(self.engines))
        return await super()._start_ahead(count)

    def _split(self, symbols: Sequence[str]) -> dict[str, Job]:
        """A job a symbol: its sessions are laid out in blocks, one after another."""
        return {symbol: Job(symbol, self._session_range) for symbol in symbols}

    def take_up(self, steps: Sequence[Step], state: bytes) -> None:
        """Go on after these steps of an earlier coordinator, from the state that the last of them led to."""
        for step in steps:
            for symbol, is_guest, bars in step.bars:
                (self._guest(symbol) if is_guest else self._ledger(symbol)).add_bars(bars)
            for symbol, days in step.skipped.items():
                self._ledger(symbol).skipped |= days
            for symbol, reasons in step.dropped.items():
                self._go_without(symbol, reasons)
            for row, outcome in zip(step.rows, step.outcomes, strict=True):
                self._take(row, outcome)
            self._working = step.rows[-1], step.working
            self._error = self._error or step.error
            self._run_until = step.rows[-1]
        self._state = state

    async def _run_all(self, grid_interval: Interval) -> None:
        try:
            await self._run_blocks(grid_interval)
            self._fleet.kill_all()  # what they did is in the ledgers, and results take memory
            self._engine.kill_all()
            self._hand_out_results()
        finally:
            self._phase = "ended"
            self._done.put_nowait(None)

    async def _run_blocks(self, grid_interval: Interval) -> None:
        self._base = grid_interval
        rows = self._session_range.rows
        self._progress = (int(np.sum(rows <= self._run_until)), len(rows))
        blocks = [block for block in self._blocks() if block.rows[-1] > self._run_until]
        if not blocks:
            return
        up = self._engine_up or asyncio.ensure_future(self._engine.add(self.engines))
        laid = asyncio.ensure_future(self._lay(blocks[0]))
        try:
            await up
            for number, block in enumerate(blocks):
                columns = await laid
                if number + 1 < len(blocks):
                    laid = asyncio.ensure_future(self._lay(blocks[number + 1]))
                following = int(blocks[number + 1].rows[0]) if number + 1 < len(blocks) else None
                await self._run_block(number, block, columns, following)
        finally:
            laid.cancel()

    def _blocks(self) -> list[SessionRange]:
        """The sessions in parts that are laid out together: as many as fit in memory, but not fewer than each needs of
        history. A strategy of one symbol looks back as far as the run goes, so it has them all; and beside daily bars,
        days are those of base bars wherever any are loaded, which must not depend on the parts.
        """
        whole = self._session_range
        if self._plan.form != "on_window" or whole.daily:
            return [whole]
        row = int(whole.rows[-1])
        _, ends = whole.sessions.expected_starts(row, self._base, int(whole.sessions.close_ns[row]))
        fit = self.block_bytes // (self.bytes_a_bar * max(len(self._jobs), 1) * max(len(ends), 1))
        back = max(row - first for row, first in whole.history.items())
        return whole.split(-(-len(whole.rows) // max(fit, back, 1)))

    @property
    def block_bytes(self) -> int:
        """What a block may take."""
        return _BLOCK_BYTES

    @property
    def bytes_a_bar(self) -> int:
        """What is published of one, about."""
        return _BYTES_A_BAR

    async def _lay(self, block: SessionRange) -> tuple[Any, ...]:
        """Have all symbols' columns of a block published; handles of them."""
        async with self._laying:
            await share_with(self._fleet, await self._fleet.look_after(joins=False), self.processes_per_cpu)
            jobs = {name: Job(name, block) for name in self._jobs}
            reports = await self._execute_loading(jobs, self._laying_out)
            for symbol, error in self._fleet.pop_lost().items():
                if symbol in self._jobs:
                    reports.setdefault(symbol, Failed(error))
            return self._take_laid(reports, block)

    async def _hand_over(self) -> None:
        """Between sessions: have what is on nodes that leave go on elsewhere. A strategy that can't stays."""
        if not isinstance(self._state, str):
            await self._engine.look_after(joins=False)
        if not self._laying.locked():  # if it is, this waits for the next block
            async with self._laying:
                await share_with(self._fleet, await self._fleet.look_after(joins=False), self.processes_per_cpu)

    def _laying_out(self, load: LoadRange) -> LayRange:
        return LayRange(load, self._plan)

    def _take_laid(self, reports: Mapping[str, Any], block: SessionRange) -> tuple[Any, ...]:
        handles: dict[Any, None] = {}
        for symbol, report in reports.items():
            if isinstance(report, RangeLaid):
                self._warn(symbol, report.bars.warnings)
                self._ledger(symbol).add_bars(report.bars)
                self._since.bars.append((symbol, False, report.bars))
                handles[report.columns] = None
                continue
            error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
            if isinstance(error, NoDataError):
                days = dict.fromkeys((day.isoformat() for day in block.dates), str(error))
                self._ledger(symbol).skipped |= days
                self._since.skipped.setdefault(symbol, {}).update(days)
            else:
                self._lose(symbol, error)
        return tuple(handles)

    def _ledger(self, symbol: str) -> Ledger:
        capital = 0.0 if self._plan.shared else self._plan.account.capital
        return self._ledgers.setdefault(symbol, Ledger(symbol, capital, not self._plan.account.carry))

    def _lose(self, symbol: str, error: Exception) -> None:
        """Go on without a symbol; where it has traded with an account that is shared, that is no run of it any more."""
        ledger = self._ledgers.get(symbol)
        self._go_without(symbol, [Reason.of(error)])
        if ledger is not None and ledger.has_traded and self._plan.shared:
            self._error = f"{symbol} was lost after it had traded with the shared account: {error}"

    def _go_without(self, symbol: str, reasons: Sequence[Reason]) -> None:
        self._drop(symbol, reasons)
        self._since.dropped[symbol] = tuple(reasons)
        self._ledgers.pop(symbol, None)
        self._fleet.remove([symbol])
        self._jobs.pop(symbol, None)

    async def _run_block(
        self, number: int, block: SessionRange, columns: tuple[Any, ...], following: int | None
    ) -> None:
        rows, losses = block.rows[block.rows > self._run_until].tolist(), Counter[int | None]()
        while rows:
            await self._hand_over()
            together = rows[:1] if losses else rows  # which session it is that ends a process shows when it is alone
            report = await self._run_sessions(number, block, columns, together, [*rows, following][len(together)])
            if isinstance(report, SessionsRun):
                for row, outcome in zip(rows, report.outcomes, strict=False):
                    self._take(row, outcome)
                self._state = report.state
                self._working = rows[len(report.outcomes) - 1], report.working
                self._keep(rows, report)
                rows = rows[len(report.outcomes) :]
                continue
            if isinstance(report, ColumnsLost):
                columns = await self._lay(block)
                if self._fleet.moved > self._excused:  # their process left with its node
                    self._excused = self._fleet.moved
                    continue
            losses[rows[0]] += 1
            again = losses[rows[0]] <= self._config.actors.max_restarts
            lost = bool(self._engine.pop_lost())
            if isinstance(report, ColumnsLost) and again:
                continue
            if lost and again:
                await self._bring_engine_back()
            elif self._error is None:
                error = _error_of(report)
                if lost or isinstance(report, ColumnsLost):
                    error = _lost("portfolio's process" if lost else "symbols' columns", losses[rows[0]])
                day = self._session_range.sessions.dates[rows[0]].item().isoformat()
                self._error = f"the run ended before {day}: {error}"
                await self._bring_engine_back()
            else:
                raise _error_of(report)

    def _keep(self, rows: Sequence[int], report: SessionsRun) -> None:
        """Hand out what another coordinator needs to go on from here."""
        if not self._keeping:
            return
        if isinstance(report.state, str):
            logger.warning("the checkpoint goes no further: %s", report.state)
            self._keeping = False
            return
        done, dates = rows[: len(report.outcomes)], self._session_range.sessions.dates
        days = [dates[row].item().isoformat() for row in done]
        self._done.put_nowait(Stepped(self._since.step(done, days, report, self._error), report.state))
        self._since = Since()

    async def _run_sessions(
        self, number: int, block: SessionRange, columns: tuple[Any, ...], rows: Sequence[int], following: int | None
    ) -> Any:
        return await self._engine_does(self._command(number, block, columns, rows, following))

    def _command(
        self, number: int, block: SessionRange, columns: tuple[Any, ...], rows: Sequence[int], following: int | None
    ) -> RunSessions:
        window = self._config.strategy.window if self._config.strategy is not None else None
        return RunSessions(
            plan=self._plan,
            window=window or self._base,
            base=self._base,
            block=number,
            session_range=block,
            columns=columns,
            rows=tuple(rows),
            next_row=following,
            state=self._state,
            stopped=self._error,
            coordinator=this_actor(),
        )

    async def _engine_does(self, command: RunSessions) -> Any:
        return (await self._engine.execute({_ENGINE: command}))[_ENGINE]

    async def _bring_engine_back(self) -> None:
        """Have a new process go on from the state that the last report told; it asks anew for what it adds."""
        for row in {row for row, _ in self._added}:
            self._dismiss_guests(row)
        self._engine.remove([_ENGINE])
        await self._engine.add([_ENGINE])

    def _take(self, row: int, outcome: SessionOutcome) -> None:
        """Book what a session brought."""
        every = {**self._ledgers, **self._guests}
        for symbol, day in (outcome.days.days() if outcome.days is not None else {}).items():
            if symbol in every:
                every[symbol].days[row] = day
        for symbol in outcome.begun:
            if symbol in every:
                every[symbol].begun.append(row)
        for symbol, ledger in every.items():
            ledger.starving = outcome.starving.get(symbol, ())
        self._take_events(row, outcome.events)
        if len(outcome.orders):
            self._ended.append((row, outcome.orders))
        for symbol, error in outcome.errors.items():
            if symbol in every:
                every[symbol].error = every[symbol].error or error
        self._error = self._error or outcome.error
        for symbol in {line.symbol for line in outcome.logs.lines} & every.keys():
            said = Logs(tuple(line for line in outcome.logs.lines if line.symbol == symbol))
            every[symbol].logs = Logs.together((every[symbol].logs, said))
        over_all = Logs(tuple(line for line in outcome.logs.lines if not line.symbol), outcome.logs.left_out)
        if over_all.lines or over_all.left_out:
            self._done.put_nowait(over_all)
        self._dismiss_guests(row)
        sessions = self._session_range.sessions
        self._at = (sessions.dates[row].item().isoformat(), int(sessions.close_ns[row]))
        self._progress = (self._progress[0] + 1, len(self._session_range.rows))

    def _take_events(self, row: int, events: Events) -> None:
        open_ns = int(self._session_range.sessions.open_ns[row])
        for event in events.lines:
            if event.action == "add_symbol" and event.accepted and event.symbol in self._guests:
                upgraded = event.detail == UPGRADED
                self._guests[event.symbol].note_added(event.at_ns, open_ns, event.by, upgraded=upgraded)
        self._events = Events.together((self._events, events))

    def _hand_out_results(self) -> None:
        """Have every symbol's result fetched, which is made then."""
        every = {**self._ledgers, **self._guests}
        for symbol, (orders, rows) in by_symbol([*self._ended, self._working]).items():
            if symbol in every:
                every[symbol].orders, every[symbol].order_rows = orders, rows
        whole = self._session_range
        lengths = [len(ends) for ends in self._grid_ends()]
        grid = Grid(whole.rows, tuple(day.isoformat() for day in whole.dates), np.array(lengths, np.int64))
        run = {symbol: ledger for symbol, ledger in self._ledgers.items() if ledger.bars}
        for symbol, ledger in self._ledgers.items():
            if not ledger.bars:
                self._drop(
                    symbol, [Reason.of(NoDataError(next(iter(ledger.skipped.values())), code="no_session_data"))]
                )
        if not run and not self._guests and not self._config.scans:
            raise all_failed(self._dropped, len(self._dropped), per_symbol=True)
        capital = self._plan.account.capital
        hold = capital / max(len(self._jobs), 1) if self._plan.shared else capital
        for _, ledger in sorted(run.items()):
            self._done.put_nowait(partial(ledger.result, grid, hold))
        self._ledgers.clear()
        for symbol, ledger in sorted(self._guests.items()):
            why = "; ".join(map(str, self._drops.get(symbol, ())))
            result = ledger.result(grid, 0.0, guest=True)
            self._done.put_nowait(skipping(result, whole.dates, why) if why else result)

    def _grid_ends(self) -> Iterator[Any]:
        sessions = self._session_range.sessions
        for row in self._session_range.rows.tolist():
            yield sessions.expected_starts(row, self._base, int(sessions.close_ns[row]))[1]

    # ---- symbols that the strategy adds, for a session each

    async def add_for_strategy(self, symbols: Sequence[str], row: int, lost: Sequence[Any] = ()) -> dict[str, Any]:
        """Steps 0 to 3 of symbols for a session: a handle of each one's columns, or why there are none. `lost`: handles
        of columns that can't be had any more.

        Asked again, as by a process that takes up what another had begun, it answers the same.
        """
        for symbol in symbols:
            if self._added.get((row, symbol)) in lost:
                del self._added[row, symbol]
        wanted = [symbol for symbol in symbols if (row, symbol) not in self._added]
        if wanted:
            self._added.update({(row, symbol): answer for symbol, answer in (await self._get(wanted, row)).items()})
        return {symbol: self._added[row, symbol] for symbol in symbols}

    async def _get(self, symbols: Sequence[str], row: int) -> dict[str, Any]:
        whole = self._session_range
        today = whole.at(np.array([row]))
        validated = await self._validate(list(symbols), today, int(whole.loaded.close_ns[-1]))
        refused = {symbol: found.result for symbol, found in validated.items() if not found.result.can_proceed}
        answers: dict[str, Any] = {symbol: result.reason for symbol, result in refused.items()}
        passed = [symbol for symbol in symbols if symbol not in answers]
        jobs = {symbol: Job(symbol, today, is_guest=True) for symbol in passed}
        self._validated.update({job.key: validated[symbol] for symbol, job in jobs.items()})
        await self._fleet.add(passed, per_actor=self._symbols_per_actor(len(passed)))
        reports = await self._execute_loading(jobs, lambda load: LayRange(load, self._plan))
        for symbol, report in reports.items():
            answers[symbol] = self._welcome(symbol, report)
        return answers

    def _welcome(self, symbol: str, report: Any) -> Any:
        if not isinstance(report, RangeLaid):
            self._fleet.remove([symbol])
            return str(_error_of(report))
        self._guest(symbol).add_bars(report.bars)
        self._since.bars.append((symbol, True, report.bars))
        return report.columns

    def _guest(self, symbol: str) -> Ledger:
        capital = 0.0 if self._plan.shared else self._plan.account.capital
        self._dropped.pop(symbol, None)
        return self._guests.setdefault(symbol, Ledger(symbol, capital, anew=True))

    def _dismiss_guests(self, row: int) -> None:
        """End what was there for one session; what it brought is booked."""
        gone = [symbol for at, symbol in self._added if at == row]
        self._fleet.remove([symbol for symbol in gone if symbol in self._fleet and symbol not in self._jobs])
        for symbol in gone:
            del self._added[row, symbol]

    # ---- what the driver asks

    def error(self) -> str | None:
        """What ended the run before its time: the strategy's traceback, or a symbol lost."""
        return self._error

    def events(self) -> Events:
        """What the strategy did to the run beside ordering, and hits of limits."""
        return self._events

    def status(self) -> dict[str, Any]:
        """Where the backtest stands, in JSON types."""
        both = (self._fleet, self._engine)
        counts = {"processes": sum(one.processes for one in both), "restarts": sum(one.restarts for one in both)}
        status = {**super().status(), **counts}
        if self._at is None:
            return status
        day, now_ns = self._at
        return {**status, "session_date": day, "now": datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).isoformat()}

    async def teardown(self, *, final: bool = True) -> None:
        """End every process."""
        await super().teardown(final=final)
        self._engine.kill_all()


def _error_of(report: Any) -> Exception:
    if isinstance(report, Failed):
        return report.error
    return RuntimeError(repr(report))


def _lost(what: str, times: int) -> ActorFailed:
    remedy = "look into Ray's logs for memory or crashes, or raise actors.max_restarts"
    return ActorFailed(f"the {what} got lost {times} times", remedy=remedy)
