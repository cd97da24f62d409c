"""The coordinator of a backtest whose symbols share an account or a strategy: time moves in windows for all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from barray.coordinator.backtest import BacktestCoordinator, Job
from barray.coordinator.step0 import all_failed, validate_range
from barray.market.commands import Failed
from barray.market.interval import Interval
from barray.market.validation import Reason
from barray.trading.engine.commands import CloseRun, Opened, OpenRun, RangeRun, Stepped
from barray.trading.engine.listener import hear_info
from barray.trading.engine.portfolio import PortfolioEngine
from barray.trading.engine.symbol_run import add_results, skipping
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.results.result import SymbolResult
from barray.trading.strategy.view import Added, Moment


class WindowedBacktestCoordinator(BacktestCoordinator):
    """Runs one strategy over a range of sessions, all symbols window by window. Used as BacktestCoordinator is.

    The symbols' processes hold bars and orders, `PortfolioEngine` the account and a cross-symbol strategy;
    this moves time.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._portfolio = PortfolioEngine(self._plan, self._add_from_strategy)
        self._moment: Moment | None = None
        self._row = 0
        self._traded: set[str] = set()
        self._guest_parts: dict[str, list[SymbolResult]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: str | None = None
        self._logs = NO_LOGS
        hear_info()

    def _split(self, symbols: Sequence[str]) -> dict[str, Job]:
        """Every symbol waits for the others at each window's end: nothing can run ahead."""
        return {symbol: Job(symbol, self._session_range) for symbol in symbols}

    async def _run_all(self, grid_interval: Interval) -> None:
        try:
            with ThreadPoolExecutor(1, "strategy") as strategy:  # it may call back, so the loop must not wait for it
                await self._run_windows(grid_interval, strategy)
        finally:
            self._phase = "ended"
            self._done.put_nowait(None)

    async def _run_windows(self, grid_interval: Interval, strategy: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        _, self._grid_session = self._session_range.grid(grid_interval)
        moments = list(self._moments(grid_interval))
        self._progress = (0, len(moments))
        await self._open()
        for row, moment in moments:
            self._row, self._moment = row, moment
            await self._step(moment.now_ns)
            await self._loop.run_in_executor(strategy, self._portfolio.end_window, moment)
            self._pass_on(self._portfolio.logs())
            self._error = self._error or self._portfolio.error
            if moment.closing:
                await self._dismiss_guests(grid_interval)
            self._progress = (self._progress[0] + 1, len(moments))
            if self._error is not None:
                break
        await self._dismiss_guests(grid_interval)
        results = await self._close(self._portfolio.symbols, grid_interval, self._hold_capital())
        if not results and not self._guest_parts:
            raise all_failed(self._dropped, len(self._dropped), per_symbol=True)
        for result in results.values():
            self._done.put_nowait(self._whole([result]))
        for parts in self._guest_parts.values():
            result = add_results(parts)
            why = "; ".join(map(str, self._drops.get(result.symbol, ())))
            self._done.put_nowait(skipping(result, self._session_range.dates, why) if why else result)

    def _pass_on(self, logs: Logs) -> None:
        """Hand out what the strategy has said since the last time."""
        known, self._logs = self._logs, logs
        if logs != known:
            self._done.put_nowait(Logs(logs.lines[len(known.lines) :], logs.left_out - known.left_out))

    def _moments(self, grid_interval: Interval) -> Iterator[tuple[int, Moment]]:
        """Every session's open and the ends of its windows, with the session's row."""
        session_range, section = self._session_range, self._config.strategy
        window = section.window if section is not None and section.window is not None else grid_interval
        for row, day in zip(session_range.rows.tolist(), session_range.dates, strict=True):
            open_ns, close_ns = int(session_range.sessions.open_ns[row]), int(session_range.sessions.close_ns[row])
            _, ends = session_range.sessions.expected_starts(row, window, close_ns)
            yield row, Moment(open_ns, day, open_ns, close_ns, session_range.timezone, opening=True)
            for end_ns in ends.tolist():
                yield row, Moment(end_ns, day, open_ns, close_ns, session_range.timezone)

    async def _open(self) -> None:
        opening = {name: OpenRun(self._load(job), self._plan) for name, job in self._jobs.items()}
        reports = await self._fleet.execute(opening)
        for symbol in self._working_ones(reports, Opened):
            self._portfolio.join(symbol, reports[symbol])
        if not self._portfolio.symbols:
            raise all_failed(self._dropped, len(self._dropped), per_symbol=True)

    async def _step(self, to_ns: int) -> None:
        """Let all symbols go on, each process with all of its symbols in one call."""
        reports = await self._fleet.execute(self._portfolio.steps(to_ns))
        for symbol, error in self._fleet.pop_lost().items():
            reports.setdefault(symbol, Failed(error))
        went = {symbol: reports[symbol] for symbol in self._working_ones(reports, Stepped)}
        self._traded.update(symbol for symbol, report in went.items() if report.fills)
        self._portfolio.apply(went)

    def _working_ones(self, reports: Mapping[str, Any], wanted: type) -> list[str]:
        """Symbols that answered as they should; the others are dropped."""
        for symbol, report in reports.items():
            if not isinstance(report, wanted):
                error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
                self._drop(symbol, [Reason.of(error)])
                self._remove(symbol)
                if symbol in self._traded and self._plan.shared:
                    self._error = f"{symbol} was lost after it had traded with the shared account: {error}"
        return [symbol for symbol, report in reports.items() if isinstance(report, wanted)]

    def _remove(self, symbol: str) -> None:
        self._portfolio.leave(symbol)
        self._fleet.remove([symbol])
        self._jobs.pop(symbol, None)

    def _hold_capital(self) -> float:
        """What buy and hold spends on each symbol: an equal part of a shared account."""
        capital = self._plan.account.capital
        return capital / max(len(self._jobs), 1) if self._plan.shared else capital

    async def _close(
        self, symbols: Sequence[str], grid_interval: Interval, hold_capital: float
    ) -> dict[str, SymbolResult]:
        grid_ns, _ = self._session_range.grid(grid_interval)
        reports = await self._fleet.execute({symbol: CloseRun(grid_ns, hold_capital) for symbol in symbols})
        return {symbol: reports[symbol].result for symbol in self._working_ones(reports, RangeRun)}

    def _add_from_strategy(self, symbol: str) -> Added:
        """For the strategy, which runs in a thread of its own."""
        if self._loop is None:
            return Added(False, "the run has not begun")
        return asyncio.run_coroutine_threadsafe(self._add(symbol), self._loop).result()

    async def _add(self, symbol: str) -> Added:
        """Steps 0 to 3 for the rest of the session; the symbol then stands where the others do."""
        moment, plan = self._moment, self._plan
        if moment is None:
            return Added(False, "the run has not begun")
        today = self._session_range.at(np.array([self._row]))
        deadline_s = self._config.validation.deadline_s
        validated = await validate_range(
            [symbol],
            self._manager,
            self._requirements,
            today,
            deadline_s,
            transport=self._transport,
            fetch=self._gateways.fetch_for(self._requirements, today, int(self._session_range.loaded.close_ns[-1])),
        )
        if not validated[symbol].result.can_proceed:
            return Added(False, validated[symbol].result.reason)
        self._validated[symbol] = validated[symbol]
        await self._fleet.add([symbol])
        flat = replace(plan, account=replace(plan.account, flat_at_close=True))
        opened = (await self._fleet.execute({symbol: OpenRun(self._load(Job(symbol, today)), flat)}))[symbol]
        if not isinstance(opened, Opened):
            self._fleet.remove([symbol])
            return Added(False, str(opened.error if isinstance(opened, Failed) else opened))
        self._portfolio.join(symbol, opened, guest=True)
        step = self._portfolio.steps_of(symbol, moment.now_ns)
        report = (await self._fleet.execute({symbol: step}))[symbol]
        if not isinstance(report, Stepped):
            self._remove(symbol)
            return Added(False, str(report.error if isinstance(report, Failed) else report))
        self._portfolio.apply({symbol: report})
        self._dropped.pop(symbol, None)
        return Added(True)

    async def _dismiss_guests(self, grid_interval: Interval) -> None:
        for symbol, result in (await self._close(self._portfolio.guests, grid_interval, 0.0)).items():
            rows = self._session_range.rows
            pnl = np.where(rows == self._row, result.session_pnl.sum(), 0.0)
            closes = np.where(rows == self._row, result.last_price, np.nan)  # none of the others was its own
            part = replace(result, session_pnl=pnl, session_close=closes)
            self._guest_parts.setdefault(symbol, []).append(part)
            self._remove(symbol)

    def error(self) -> str | None:
        """What ended the run before its time: the strategy's traceback, or a symbol lost."""
        return self._error

    def status(self) -> dict[str, Any]:
        """Where the backtest stands, in JSON types."""
        if self._moment is None:
            return super().status()
        now = datetime.fromtimestamp(self._moment.now_ns // 1_000_000_000, UTC).isoformat()
        return {**super().status(), "session_date": self._moment.session_date.isoformat(), "now": now}
