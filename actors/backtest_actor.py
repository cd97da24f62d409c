"""The process that holds the bars of one symbol, or of a few, for a backtest, and runs strategies beside them."""

from __future__ import annotations

import traceback
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.actors.published import publish
from barray.data_sources.span_reader import SpanReader
from barray.market.bars import Bars
from barray.market.commands import Failed, prices_of, read_daily
from barray.market.daily import DailyHistory, lay_daily
from barray.market.errors import ActorFailed, BarrayError, DataError, NoDataError
from barray.market.reason_codes import ReasonCode
from barray.market.series import lay_on_sessions
from barray.market.session_range import SourceSpan, source_on
from barray.market.validation import Reason
from barray.trading.engine.commands import LayRange, LoadRange, RangeLaid, RangeRun, RunRange, Unreadable
from barray.trading.engine.listener import hear_info
from barray.trading.engine.symbol_run import LoadedRange, judge_daily, judge_prices, lay_range, loaded_bars, run_range
from barray.trading.results.ledger import LoadedBars
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.data import SymbolData
from barray.trading.sweeps.commands import EvaluateSets, SetsEvaluated
from barray.trading.sweeps.evaluate import evaluate_sets


class BacktestActor(AnswersOnce):
    """Runs strategies over ranges of bars. A plain class; `barray.actors.options` makes a Ray actor of it."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, tuple[LoadedRange, Computed]] = {}
        hear_info()

    def execute(self, batch: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each. A symbol that fails, fails alone: its report is `Failed`."""
        return _with_columns(tuple(self._execute(symbol, command) for symbol, command in batch))

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop these symbols with all that is held of them."""
        for symbol in symbols:
            self._held.pop(symbol, None)

    def _execute(self, symbol: str, command: Any) -> Any:
        try:
            match command:
                case RunRange():
                    return RangeRun(run_range(_load(command), command.plan, command.grid_ns))
                case EvaluateSets():
                    return self._evaluate(symbol, command)
                case LayRange():
                    return _lay_out(command)
            raise TypeError(f"{type(command).__name__} is no command of a backtest")
        except _NewFaults as found:
            return Unreadable(found.error(command), found.faults)
        except BarrayError as error:
            return Failed(error)
        except Exception:  # a symbol's bug must not cost the other symbols of this process
            return Failed(ActorFailed(traceback.format_exc(limit=-3), symbol=symbol, code="bug"))

    def _evaluate(self, symbol: str, command: EvaluateSets) -> SetsEvaluated:
        if symbol not in self._held:
            self._held[symbol] = _load(command), Computed()
        loaded, computed = self._held[symbol]
        return SetsEvaluated(evaluate_sets(loaded, command.plan, command.sets, computed), loaded.warnings)


def _lay_out(command: LayRange) -> tuple[LoadedBars, SymbolData]:
    loaded = _load(command)
    return loaded_bars(loaded), loaded.prepare(command.plan.strategy())


def _with_columns(reports: tuple[Any, ...]) -> tuple[Any, ...]:
    """The reports, columns among them published all together, and only told of."""
    data = {report[1].symbol: report[1] for report in reports if isinstance(report, tuple)}
    if not data:
        return reports
    columns = publish(data)
    return tuple(RangeLaid(report[0], columns) if isinstance(report, tuple) else report for report in reports)


def _load(command: RunRange | LayRange | EvaluateSets) -> LoadedRange:
    return load_range(command.load, anew=not command.plan.account.carry)


def load_range(command: LoadRange, *, anew: bool = False) -> LoadedRange:
    """Read a symbol's bars; where some session's can't be right, that session and those that need it are left out.

    `anew`: see judge_prices. NoDataError where no session is left, SourceUnavailable; DataError for suspected prices
    where they are refused. Where the command says which faults are known, others raise what `execute` answers.
    """
    bad: dict[date, Reason] = {}
    skipped = dict(command.skipped)
    daily = _daily(command)
    try:
        try:
            loaded = _read(command, daily)
        except (DataError, NoDataError):
            bars, bad = _read_by_session(command)
            skipped = {**_in_need_of(command, bad), **skipped}
            loaded = _lay(command, bars, skipped, daily)
    except NoDataError as error:
        left_out = dict.fromkeys(command.session_range.dates, Reason.of(error))
        _report_faults(command, left_out if error.code != "no_daily_history" else {}, skipped, bad)
        raise
    _report_faults(command, _left_out(loaded), skipped, bad)
    try:
        judged = judge_prices(replace(loaded, dataset=getattr(command.reader, "dataset", None)), anew=anew)
    except DataError as error:
        _report_faults(command, {}, (), dict.fromkeys(command.session_range.dates, Reason.of(error)))
        raise
    judged = judge_daily(judged, anew=anew)
    return replace(judged, warnings=(*command.warnings, *judged.warnings))


class _NewFaults(Exception):
    def __init__(self, faults: Mapping[date, Reason]) -> None:
        super().__init__()
        self.faults = faults

    def error(self, command: RunRange | LayRange | EvaluateSets) -> DataError:
        """The first of them, for those that ask no other source."""
        day, reason = min(self.faults.items())
        text = f"{day}: {reason.message}"
        return DataError(text, symbol=command.load.symbol, source=reason.source, remedy=reason.remedy, code=reason.code)


def _report_faults(
    command: LoadRange, left_out: Mapping[date, Reason], expected: Container[date], bad: Mapping[date, Reason]
) -> None:
    """Raise _NewFaults where other sources are to be asked, and some days are news: those whose bars can't be right,
    and sessions that lack bars and were not `expected` to be left out.
    """
    known = command.known_faults
    if known is None:
        return
    found = {**{day: reason for day, reason in left_out.items() if day not in expected}, **bad}
    reader = command.reader
    if news := {day: reason for day, reason in found.items() if day not in known}:
        spans = reader.spans if isinstance(reader, SpanReader) else (SourceSpan(reader.name, max(news)),)
        raise _NewFaults({day: replace(reason, source=source_on(day, spans)) for day, reason in news.items()})


def _left_out(loaded: LoadedRange) -> dict[date, Reason]:
    """Sessions that bars are lacking for, theirs or their history's."""
    held = frozenset(loaded.base.session.tolist())
    without_days = loaded.without_days
    found: dict[date, Reason] = {}
    for day, row in zip(loaded.session_range.dates, loaded.session_range.rows.tolist(), strict=True):
        reason = loaded.skipped.get(day.isoformat())
        if reason and reason != without_days.get(day):
            code: ReasonCode = "no_history" if row in held else "no_session_data"
            found[day] = Reason(code, reason, "check the stamps in the source", loaded.source)
    return found


def _read(command: LoadRange, daily: DailyHistory | None) -> LoadedRange:
    interval, reader = command.base_interval, command.reader
    bars = reader.read_bars(command.symbol, interval, command.session_range.loaded)
    return _lay(command, bars, command.skipped, daily)


def _in_need_of(command: LoadRange, bad: Mapping[date, Reason]) -> dict[date, str]:
    """Sessions that need bars of bad days, as their own or their history's, with the latest's reason."""
    session_range = command.session_range
    found: dict[date, str] = {}
    for day, row in zip(session_range.dates, session_range.rows.tolist(), strict=True):
        needed = session_range.sessions.dates[session_range.history[row] : row + 1]
        wrong = [bad[past] for stamp in needed if (past := stamp.item()) in bad]
        if wrong:
            found[day] = str(wrong[-1])
    return found


def _read_by_session(command: LoadRange) -> tuple[Bars, dict[date, Reason]]:
    """Where the whole can't be read, session by session: the bars of the good ones, and which are at fault."""
    symbol, session_range, interval = command.symbol, command.session_range, command.base_interval
    source, prices = command.reader.name, prices_of(command.reader)
    bad: dict[date, Reason] = {}
    parts: list[Bars] = []
    for row in range(session_range.first_row, int(session_range.rows[-1]) + 1):
        session = session_range.sessions.take(slice(row, row + 1))
        try:
            bars = command.reader.read_bars(symbol, interval, session)
            laid = lay_on_sessions(bars, interval, session, 0, symbol=symbol, source=source, prices=prices)
            parts.append(laid.bars)
        except (DataError, NoDataError) as error:
            if error.code == "no_data":
                continue  # there is nothing: Step 0 knows, or the laying tells
            bad[session.dates[0].item()] = Reason.of(error)
    return Bars.concat(parts), bad


def _lay(command: LoadRange, bars: Bars, skipped: Mapping[date, str], daily: DailyHistory | None) -> LoadedRange:
    symbol, interval, reader = command.symbol, command.base_interval, command.reader
    spans = reader.spans if isinstance(reader, SpanReader) else ()
    prices = prices_of(reader)
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
