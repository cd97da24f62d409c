"""The process of one symbol, or of a few: reads their bars and carries commands out on their sessions."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.market.commands import Command, Failed, Load, Report
from barray.market.errors import ActorFailed, BarrayError
from barray.market.symbol_session import SymbolSession
from barray.trading.engine.session_commands import ColumnsLaid, LayColumns
from barray.trading.strategy.session_columns import session_columns

Batch = Sequence[tuple[str, Command | LayColumns]]


class SymbolActor(AnswersOnce):
    """Holds the sessions of its symbols. A plain class; `barray.actors.options` makes a Ray actor of it."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions: dict[str, SymbolSession] = {}

    def execute(self, batch: Batch) -> tuple[Report | ColumnsLaid, ...]:
        """Carry out commands in order, one report each. A symbol that fails, fails alone: its report is `Failed`."""
        return tuple(self._execute(symbol, command) for symbol, command in batch)

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop these symbols with all they hold; the process can then serve others, or another day."""
        for symbol in symbols:
            self._sessions.pop(symbol, None)

    def _execute(self, symbol: str, command: Command | LayColumns) -> Any:
        session = self._sessions.setdefault(symbol, SymbolSession(symbol))
        try:
            if isinstance(command, LayColumns):
                return ColumnsLaid(session_columns(symbol, *session.laid(), command.needs))
            if isinstance(command, Load) and session.needs_bars(command):
                return session.apply(command, *command.read(symbol))
            return session.apply(command)
        except BarrayError as error:
            return Failed(error)
        except Exception:  # a symbol's bug must not cost the other symbols of this process
            return Failed(ActorFailed(traceback.format_exc(limit=-3), symbol=symbol, code="bug"))
