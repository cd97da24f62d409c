"""The process that holds the bars of one symbol, or of a few, for a backtest, and runs strategies beside them."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.market.bars import Bars
from barray.market.commands import Failed, prices_of
from barray.market.errors import ActorFailed, BarrayError, DataError, NoDataError
from barray.market.series import lay_on_sessions
from barray.trading.engine.commands import CloseRun, LoadRange, Opened, OpenRun, RangeRun, RunRange, Step
from barray.trading.engine.symbol_run import LoadedRange, lay_range, run_range
from barray.trading.engine.window_run import WindowRun
from barray.trading.strategy.computed import Computed
from barray.trading.sweeps.commands import EvaluateSets, SetsEvaluated
from barray.trading.sweeps.evaluate import SetTable, evaluate_sets


class BacktestActor(AnswersOnce):
    """Runs strategies over ranges of bars. A plain class; `barray.actors.options` makes a Ray actor of it."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, tuple[LoadedRange, Computed]] = {}
        self._runs: dict[str, WindowRun] = {}

    def execute(self, batch: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each. A symbol that fails, fails alone: its report is `Failed`."""
        return tuple(self._execute(symbol, command) for symbol, command in batch)

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop these symbols with all that is held of them."""
        for symbol in symbols:
            self._held.pop(symbol, None)
            self._runs.pop(symbol, None)

    def _execute(self, symbol: str, command: Any) -> Any:
        try:
            match command:
                case RunRange():
                    return RangeRun(run_range(load_range(command.load), command.plan, command.grid_ns))
                case EvaluateSets():
                    return SetsEvaluated(self._evaluate(symbol, command))
                case OpenRun():
                    return self._open(symbol, command)
                case Step():
                    return self._runs[symbol].step(command)
                case CloseRun():
                    return RangeRun(self._runs[symbol].close(command))
            raise TypeError(f"{type(command).__name__} is no command of a backtest")
        except BarrayError as error:
            return Failed(error)
        except Exception:  # a symbol's bug must not cost the other symbols of this process
            return Failed(ActorFailed(traceback.format_exc(limit=-3), symbol=symbol, code="bug"))

    def _open(self, symbol: str, command: OpenRun) -> Opened:
        if symbol not in self._runs:
            self._runs[symbol] = WindowRun(load_range(command.load), command.plan)
        return Opened(self._runs[symbol].columns, command.load.base_interval)

    def _evaluate(self, symbol: str, command: EvaluateSets) -> SetTable:
        if symbol not in self._held:
            self._held[symbol] = load_range(command.load), Computed()
        loaded, computed = self._held[symbol]
        return evaluate_sets(loaded, command.plan, command.sets, computed)


def load_range(command: LoadRange) -> LoadedRange:
    """Read a symbol's bars; where some session's can't be right, that session and those that need it are left out.

    NoDataError where no session is left, SourceUnavailable.
    """
    try:
        return _read(command)
    except DataError:
        return _read_by_session(command)


def _read(command: LoadRange) -> LoadedRange:
    interval, reader = command.base_interval, command.reader
    bars = reader.read_bars(command.symbol, interval, command.session_range.loaded)
    return lay_range(
        command.symbol, bars, interval, command.session_range, reader.name, command.skipped, prices_of(reader)
    )


def _read_by_session(command: LoadRange) -> LoadedRange:
    """Where the whole can't be read, session by session: those at fault are left out, and those that need them."""
    symbol, session_range, interval = command.symbol, command.session_range, command.base_interval
    source, prices = command.reader.name, prices_of(command.reader)
    bad: dict[int, str] = {}
    parts: list[Bars] = []
    for row in range(session_range.first_row, int(session_range.rows[-1]) + 1):
        session = session_range.sessions.take(slice(row, row + 1))
        try:
            bars = command.reader.read_bars(symbol, interval, session)
            laid = lay_on_sessions(bars, interval, session, 0, symbol=symbol, source=source, prices=prices)
            parts.append(laid.bars)
        except NoDataError:
            continue
        except DataError as error:
            bad[row] = str(error)
    skipped = dict(command.skipped)
    for day, row in zip(session_range.dates, session_range.rows.tolist(), strict=True):
        wrong = [bad[past] for past in range(session_range.history[row], row + 1) if past in bad]
        if wrong:
            skipped.setdefault(day, wrong[-1])
    bars = Bars.concat(parts)
    return lay_range(symbol, bars, interval, session_range, source, skipped, prices)
