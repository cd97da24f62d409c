"""The coordinator of a backtest whose symbols share an account or a strategy: one process runs them all."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
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
from barray.trading.engine.run_ledgers import RunLedgers
from barray.trading.results.events import Events
from barray.trading.results.ledger import Grid, Ledger

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
        self._ledgers = RunLedgers(self._plan, self._session_range)
        self._added: dict[tuple[int, str], Any] = {}
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
                (self._guest(symbol) if is_guest else self._ledgers.ledger(symbol)).add_bars(bars)
            for symbol, days in step.skipped.items():
                self._ledgers.ledger(symbol).skipped |= days
            for symbol, reasons in step.dropped.items():
                self._go_without(symbol, reasons)
            for row, outcome in zip(step.rows, step.outcomes, strict=True):
                self._take(row, outcome)
            self._ledgers.stand(step.rows[-1], step.working)
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
                self._ledgers.ledger(symbol).add_bars(report.bars)
                self._since.bars.append((symbol, False, report.bars))
                handles[report.columns] = None
                continue
            error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
            if isinstance(error, NoDataError):
                days = dict.fromkeys((day.isoformat() for day in block.dates), str(error))
                self._ledgers.ledger(symbol).skipped |= days
                self._since.skipped.setdefault(symbol, {}).update(days)
            else:
                self._lose(symbol, error)
        return tuple(handles)

    def _lose(self, symbol: str, error: Exception) -> None:
        """Go on without a symbol; where it has traded with an account that is shared, that is no run of it any more."""
        ledger = self._ledgers.own.get(symbol)
        self._go_without(symbol, [Reason.of(error)])
        if ledger is not None and ledger.has_traded and self._plan.shared:
            self._error = f"{symbol} was lost after it had traded with the shared account: {error}"

    def _go_without(self, symbol: str, reasons: Sequence[Reason]) -> None:
        self._drop(symbol, reasons)
        self._since.dropped[symbol] = tuple(reasons)
        self._ledgers.own.pop(symbol, None)
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
                self._ledgers.stand(rows[len(report.outcomes) - 1], report.working)
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
        said = self._ledgers.take(row, outcome)
        self._error = self._error or outcome.error
        if said.lines or said.left_out:
            self._done.put_nowait(said)
        self._dismiss_guests(row)
        sessions = self._session_range.sessions
        self._at = (sessions.dates[row].item().isoformat(), int(sessions.close_ns[row]))
        self._progress = (self._progress[0] + 1, len(self._session_range.rows))

    def _hand_out_results(self) -> None:
        """Have every symbol's result fetched, which is made then."""
        ledgers, whole = self._ledgers, self._session_range
        lacking = ledgers.lacking
        for symbol, why in lacking.items():
            self._drop(symbol, [Reason.of(NoDataError(why, code="no_session_data"))])
        if len(lacking) == len(ledgers.own) and not ledgers.guests and not self._config.scans:
            raise all_failed(self._dropped, len(self._dropped), per_symbol=True)
        lengths = np.array([len(ends) for ends in self._grid_ends()], np.int64)
        grid = Grid(whole.rows, tuple(day.isoformat() for day in whole.dates), lengths)
        reasons = {symbol: "; ".join(map(str, self._drops.get(symbol, ()))) for symbol in ledgers.guests}
        for result in ledgers.results(grid, len(self._jobs), reasons):
            self._done.put_nowait(result)

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
        self._dropped.pop(symbol, None)
        return self._ledgers.guest(symbol)

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
        return self._ledgers.events

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
