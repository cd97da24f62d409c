"""The process that runs a portfolio, or a sweep's sets of one: account, orders and strategies, over columns that others
published.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import ActorUnavailableError

from barray.actors.answers_once import AnswersOnce
from barray.actors.handles import FIRST_PAUSE_S, LONGEST_PAUSE_S
from barray.actors.published import collected, got
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, BarrayError
from barray.market.interval import Interval
from barray.trading.engine.commands import (
    ColumnsLost,
    Plan,
    RunScannedSessions,
    RunSessions,
    SessionOutcome,
    SessionsRun,
)
from barray.trading.engine.listener import hear_info
from barray.trading.engine.portfolio import PortfolioRun, block_of
from barray.trading.engine.scanned_run import ScannedRun
from barray.trading.scans.hits import SessionHits
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.panel import PanelBlock
from barray.trading.sweeps.commands import EvaluatePortfolio, EvaluateScanned, LaidBlock, PortfolioEvaluated
from barray.trading.sweeps.portfolio_sets import PortfolioSets, Seen, SweptScans

_LONGEST_S = 0.5
"""Sessions are run for so long in one call: what a lost process costs, or one session if that takes longer."""
_TRIES = 4
"""Times that columns are asked for that get lost."""


class PortfolioActor(AnswersOnce):
    """Runs a portfolio's sessions. Every command brings the state that the one before it led to, so that another
    process can go on where this one was lost; here the run itself is kept, as long as no command contradicts it.

    Sets of a sweep are run from the first session to the last in one command. What is kept of them is the panel, and
    how they see it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._run: PortfolioRun | None = None
        self._stands_at: tuple[int | None, int | None] = (None, None)
        self._panel: PanelBlock | None = None
        self._seen: Seen | None = None
        self._block: PanelBlock | None = None
        self._mapped: tuple[Any, ...] | None = None
        hear_info()

    def execute(self, batch: Sequence[tuple[str, RunSessions | EvaluatePortfolio]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each."""
        return tuple(self._execute(command) for _, command in batch)

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop the run, and the panel."""
        self._run = self._panel = self._seen = self._mapped = self._block = None

    def _execute(self, command: RunSessions | EvaluatePortfolio) -> Any:
        try:
            if isinstance(command, EvaluatePortfolio):
                return self._evaluate(command)
            run = self._run_of(command)
            if run is None:
                return ColumnsLost()
            return self._go(run, command)
        except BarrayError as error:
            self._run = None
            return Failed(error)
        except Exception:
            self._run = None
            return Failed(ActorFailed(traceback.format_exc(limit=-3), code="bug"))

    def _evaluate(self, command: EvaluatePortfolio) -> PortfolioEvaluated | ColumnsLost:
        fetched: dict[Any, Any] = {}
        scans = _swept(command, fetched) if isinstance(command, EvaluateScanned) else None
        runs = PortfolioSets(command.plan, command.window, command.base, command.sets, scans)
        for number, laid in enumerate(command.blocks, 1):
            if not self._map(laid, command.base) or not runs.are_laid_out_in(self._panel):
                return ColumnsLost()
            runs.go(laid.session_range, self._panel, self._seen, last=number == len(command.blocks))
            fetched.clear()
        return PortfolioEvaluated(tuple(runs.rows(command.data)))

    def _map(self, laid: LaidBlock, base: Interval) -> bool:
        """Have a block's panel, unless its columns are lost; it stays until another is asked for."""
        if self._mapped == laid.columns:
            return True
        self._panel = self._seen = self._mapped = None
        data = collected(laid.columns)
        if data is None:
            return False
        self._panel = block_of(laid.session_range, data, base) if data else None
        self._seen = Seen(self._panel) if self._panel is not None else None
        self._mapped = laid.columns
        return True

    def _run_of(self, command: RunSessions) -> PortfolioRun | None:
        """The run, standing before the command's first session; None where columns were lost."""
        run, (block, row) = self._run, self._stands_at
        if run is None or row != command.rows[0]:
            state = command.state
            run = PortfolioRun(command.plan, command.window) if state is None else restored(command.plan, state)
            block = None
        if block != command.block:
            data = collected(command.columns)
            if data is None:
                return None
            run.load(command.session_range, data, command.base)
            self._block = run.block
        run.error = run.error or command.stopped
        coordinator = command.coordinator
        run.additions.add = None if coordinator is None else lambda symbols, at: _added(coordinator, symbols, at)
        self._run, self._stands_at = run, (command.block, command.rows[0])
        return run

    def _go(self, run: PortfolioRun, command: RunSessions) -> SessionsRun:
        began = time.perf_counter()

        def until(_: SessionOutcome) -> bool:
            return time.perf_counter() - began >= _LONGEST_S

        if isinstance(command, RunScannedSessions):
            plans, get = [source.plan() for source in command.scans], partial(_found, command)
            block, renames = self._block, command.renames
            scanned = ScannedRun(run, plans, get, command.session_range, block, command.base, renames)
            outcomes: Sequence[SessionOutcome] = scanned.sessions(
                command.rows, lambda row: command.found.get(row, ()), until
            )
        else:
            outcomes = run.sessions(command.rows, until)
        engine_s = time.perf_counter() - began
        following = command.rows[len(outcomes)] if len(outcomes) < len(command.rows) else command.next_row
        self._stands_at = (command.block, following)
        return SessionsRun(tuple(outcomes), state_of(run), engine_s, run.working_orders())


def restored(plan: Plan, state: bytes | str) -> PortfolioRun:
    """A run as `state_of` told it; ActorFailed where it couldn't."""
    if isinstance(state, str):
        raise ActorFailed(
            f"the process that ran the strategy was lost, and it can't go on elsewhere: {state}",
            remedy="keep in the strategy's attributes only what can be pickled",
        )
    plan.strategy()  # so that its module is there
    run: PortfolioRun = cloudpickle.loads(state)
    return run


def state_of(run: PortfolioRun) -> bytes | str:
    """The run as it may go on elsewhere, or why it can't."""
    try:
        state: bytes = cloudpickle.dumps(run)  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever the user's strategy remembers
        return f"what the strategy remembers can't be saved: {type(error).__name__}: {error}"
    return state


def _added(coordinator: Any, symbols: Sequence[str], row: int) -> dict[str, SymbolData | str]:
    """Have the coordinator get symbols for a session."""
    return _mapped(coordinator, _asked(coordinator, symbols, row), row)


def _asked(coordinator: Any, symbols: Sequence[str], row: int, lost: Sequence[Any] = ()) -> Mapping[str, Any]:
    """A handle of each symbol's columns, or why there are none; a call that doesn't come through is made again. `lost`:
    handles of what can't be had any more.
    """
    answers: Mapping[str, Any] = until_it_comes_through(
        lambda: ray.get(coordinator.add_for_strategy.remote(tuple(symbols), row, tuple(lost)))
    )
    return answers


def _mapped(coordinator: Any, answers: Mapping[str, Any], row: int) -> dict[str, SymbolData | str]:
    """The columns; what was lost with its process is asked for anew."""
    found = None
    for _ in range(_TRIES):
        handles = [answer for answer in answers.values() if not isinstance(answer, str)]
        found = collected(handles)
        if found is not None:
            break
        answers = _asked(coordinator, tuple(answers), row, handles)
    found = found or {}
    return {
        s: found.get(s, answer if isinstance(answer, str) else "its process was lost") for s, answer in answers.items()
    }


def _found(command: RunScannedSessions, symbols: Sequence[str], row: int) -> dict[str, SymbolData | str]:
    """Symbols that scans want in a session: those laid out already, and others."""
    ready = command.ready.get(row, {})
    more = [symbol for symbol in symbols if symbol not in ready]
    answers = {symbol: ready[symbol] for symbol in symbols if symbol in ready}
    return _mapped(command.coordinator, {**answers, **(_asked(command.coordinator, more, row) if more else {})}, row)


def _swept(command: EvaluateScanned, fetched: dict[Any, Any]) -> SweptScans:
    """What sets follow of scans; what was `fetched` for one of them is there for the others."""

    def found(row: int) -> Sequence[SessionHits]:
        if row not in fetched:
            fetched[row] = got(command.found[row])
        hits: Sequence[SessionHits] = fetched[row]
        return hits

    def get(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
        if new := [symbol for symbol in symbols if (row, symbol) not in fetched]:
            added = _added(command.coordinator, new, row)
            fetched.update({(row, symbol): one for symbol, one in added.items()})
        return {symbol: fetched[row, symbol] for symbol in symbols}

    return SweptScans([source.plan() for source in command.scans], found, get, command.renames)


def until_it_comes_through(call: Callable[[], Any]) -> Any:
    """What a call comes to that is made again as long as the actor can't be reached."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return call()
        except ActorUnavailableError:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
