"""The process that holds the bars of one symbol, or of a few, for a backtest, and runs strategies beside them."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.data_sources.span_reader import SpanReader
from barray.market.bars import Bars
from barray.market.commands import Failed, prices_of, read_daily
from barray.market.daily import DailyHistory, lay_daily
from barray.market.errors import ActorFailed, BarrayError, DataError, NoDataError
from barray.market.series import lay_on_sessions
from barray.trading.engine.commands import CloseRun, LoadRange, Opened, OpenRun, RangeRun, RunRange, Step
from barray.trading.engine.listener import hear_info
from barray.trading.engine.symbol_run import LoadedRange, judge_prices, lay_range, run_range
from barray.trading.engine.window_run import WindowRun
from barray.trading.strategy.computed import Computed
from barray.trading.sweeps.commands import EvaluateSets, SetsEvaluated
from barray.trading.sweeps.evaluate import evaluate_sets


class BacktestActor(AnswersOnce):
    """Runs strategies over ranges of bars. A plain class; `barray.actors.options` makes a Ray actor of it."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, tuple[LoadedRange, Computed]] = {}
        self._runs: dict[str, WindowRun] = {}
        hear_info()

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
                    return RangeRun(run_range(_load(command), command.plan, command.grid_ns))
                case EvaluateSets():
                    return self._evaluate(symbol, command)
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
            self._runs[symbol] = WindowRun(_load(command), command.plan)
        run = self._runs[symbol]
        return Opened(run.columns, command.load.base_interval, run.opens)

    def _evaluate(self, symbol: str, command: EvaluateSets) -> SetsEvaluated:
        if symbol not in self._held:
            self._held[symbol] = _load(command), Computed()
        loaded, computed = self._held[symbol]
        return SetsEvaluated(evaluate_sets(loaded, command.plan, command.sets, computed), loaded.warnings)


def _load(command: RunRange | OpenRun | EvaluateSets) -> LoadedRange:
    return load_range(command.load, anew=not command.plan.account.carry)


def load_range(command: LoadRange, *, anew: bool = False) -> LoadedRange:
    """Read a symbol's bars; where some session's can't be right, that session and those that need it are left out.

    `anew`: see judge_prices. NoDataError where no session is left, SourceUnavailable; DataError for suspected prices
    where they are refused.
    """
    try:
        loaded = _read(command)
    except DataError:
        loaded = _read_by_session(command)
    return judge_prices(replace(loaded, dataset=getattr(command.reader, "dataset", None)), anew=anew)


def _read(command: LoadRange) -> LoadedRange:
    interval, reader = command.base_interval, command.reader
    bars = reader.read_bars(command.symbol, interval, command.session_range.loaded)
    return _lay(command, bars, command.skipped)


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
    return _lay(command, Bars.concat(parts), skipped)


def _lay(command: LoadRange, bars: Bars, skipped: Mapping[date, str]) -> LoadedRange:
    symbol, interval, reader = command.symbol, command.base_interval, command.reader
    spans = reader.spans if isinstance(reader, SpanReader) else ()
    prices, daily = prices_of(reader), _daily(command)
    return lay_range(symbol, bars, interval, command.session_range, reader.name, skipped, prices, spans, daily)


def _daily(command: LoadRange) -> DailyHistory | None:
    reader, session_range = command.daily, command.session_range
    sessions = session_range.daily_loaded
    if reader is None or not len(sessions):
        return None
    given, source = read_daily(reader, command.symbol, sessions), reader.name
    last, prices = int(session_range.rows[-1]), prices_of(reader)
    laid = lay_daily(given, session_range.sessions, last, symbol=command.symbol, source=source, prices=prices)
    return DailyHistory(source, laid, session_range.first_row, getattr(reader, "dataset", None))
