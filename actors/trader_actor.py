"""The process that trades in a session: account, orders and strategy, over columns that symbols published."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray

from barray.actors.answers_once import AnswersOnce
from barray.actors.portfolio_actor import restored, state_of, until_it_comes_through
from barray.actors.published import collected
from barray.market.bars import Bars
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, BarrayError, ConfigError
from barray.market.known_table import KnownTables
from barray.market.session_range import SessionRange
from barray.trading.engine.coming_bars import ComingBars
from barray.trading.engine.commands import ColumnsLost
from barray.trading.engine.listener import hear_info
from barray.trading.engine.notes import Revised
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.session_commands import (
    Arrive,
    BarsShown,
    Change,
    CloseDay,
    DayClosed,
    DayOpened,
    Gone,
    GoOn,
    OpenDay,
    ShowBars,
)
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.session_columns import completed
from barray.trading.strategy.view import Added, Wish

Ask = Callable[[Any, Sequence[Wish], int], Sequence[Any]]
"""Has a coordinator do what the strategy wishes at a session time; what came of each: an answer, or columns."""


class TraderActor(AnswersOnce):
    """Runs a strategy through one session, as it is told. Its log of commands is its state.

    `ask`, `collect`: other ways to the coordinator, and to what was published, than Ray's.
    """

    def __init__(self, ask: Ask | None = None, collect: Callable[[Iterable[Any]], Any] = collected) -> None:
        super().__init__()
        self._ask, self._collect = ask or _ask_by_ray, collect
        self._run: PortfolioRun
        self._coordinator: Any = None
        self._live: ComingBars | None = None
        self._needs: Needs
        self._tables: KnownTables
        self._range: SessionRange
        hear_info()

    def execute(self, batch: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each."""
        return tuple(self._execute(command) for _, command in batch)

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop the run."""
        del self._run

    def _execute(self, command: Any) -> Any:
        try:
            return self._carry_out(command)
        except BarrayError as error:
            return Failed(error)
        except Exception:
            return Failed(ActorFailed(traceback.format_exc(limit=-3), code="bug"))

    def _carry_out(self, command: Any) -> Any:
        match command:
            case OpenDay():
                return self._open(command)
            case Change(columns, left):
                data = self._collected(columns)
                if data is None:
                    return ColumnsLost()
                for symbol in left:
                    self._run.leave(symbol)
                for _, one in sorted(data.items()):
                    self._run.join(one)
            case Arrive(at_ns, bars):
                return self._arrive(at_ns, bars)
            case GoOn(at_ns):
                self._run.go_on(at_ns)
            case ShowBars(symbols):
                books = self._run.books
                return BarsShown({symbol: books[symbol].data.base for symbol in symbols if symbol in books})
            case CloseDay():
                outcome = self._run.finish()
                told = self._run.working_orders(), state_of(self._run), self._run.positions
                return DayClosed(self._run.notes.take(), outcome, *told)
            case _:
                raise TypeError(f"{type(command).__name__} is no command of a session's trading")
        return Gone(self._run.notes.take(), self._run.error, self._run.pinned)

    def _arrive(self, at_ns: int, bars: Mapping[str, Bars]) -> Gone:
        revised: tuple[Revised, ...] = ()
        if bars and self._live is not None:
            self._run.go_on(at_ns - 1)
            revised = self._live.take_in(self._run, bars, at_ns)
        self._run.arrive(at_ns)
        return Gone(replace(self._run.notes.take(), revised=revised), self._run.error, self._run.pinned)

    def _open(self, command: OpenDay) -> Any:
        self._needs, self._tables = command.plan.strategy().needs(), command.tables
        self._range = command.session_range
        data = self._collected(command.columns)
        if data is None:
            return ColumnsLost()
        if command.state is None:
            run = PortfolioRun(command.plan, command.window, noted=True)
        else:
            run = restored(command.plan, command.state)
        self._run, self._coordinator = run, command.coordinator
        run.additions.add, run.additions.tell = self._add, self._tell
        self._live = None
        if command.live is not None:
            self._live = ComingBars(command.live, self._needs)
        run.load(command.session_range, data, command.base, command.guests)
        opening = run.opening()
        session_range = command.session_range
        row = int(session_range.rows[0])
        late = command.at_ns > int(session_range.sessions.open_ns[row])
        run.begin(row, command.at_ns if late else None)
        return DayOpened(opening, run.notes.take(), run.error, run.pinned)

    def _add(self, symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
        wishes = [Wish("add_symbol", symbol) for symbol in symbols]
        answers = self._ask(self._coordinator, wishes, self._run.now_ns)
        handles = [answer for answer in answers if not isinstance(answer, Added)]
        got: dict[str, SymbolData | str] = {}
        try:
            found = self._collected(handles) or {}
        except ConfigError as error:  # an own indicator failed
            return dict.fromkeys(symbols, str(error))
        for symbol, answer in zip(symbols, answers, strict=True):
            refused = answer.reason if isinstance(answer, Added) else "its columns were lost"
            got[symbol] = found.get(symbol, refused)
        return got

    def _collected(self, handles: Iterable[Any]) -> dict[str, SymbolData] | None:
        """Symbols' columns with all that is the strategy's own; None where they are lost."""
        found = self._collect(handles)
        if found is None:
            return None
        return {symbol: completed(data, self._needs, self._tables, self._range) for symbol, data in found.items()}

    def _tell(self, wish: Wish) -> None:
        self._ask(self._coordinator, [wish], self._run.now_ns)


def _ask_by_ray(coordinator: Any, wishes: Sequence[Wish], at_ns: int) -> Sequence[Any]:
    answers: Sequence[Any] = until_it_comes_through(
        lambda: ray.get(coordinator.ask_for_strategy.remote(tuple(wishes), at_ns))
    )
    return answers
