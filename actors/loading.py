"""Reading a symbol's bars of a range of sessions where they lie, whatever there may be wrong with some of them."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import date

from barray.data_sources.span_reader import SpanReader
from barray.market.bars import Bars
from barray.market.commands import prices_of, read_daily
from barray.market.daily import DailyHistory, lay_daily
from barray.market.errors import DataError, NoDataError
from barray.market.reason_codes import ReasonCode
from barray.market.series import lay_on_sessions
from barray.market.session_range import SourceSpan, source_on
from barray.market.validation import Reason
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.symbol_run import LoadedRange, judge_daily, judge_prices, lay_range


def load_range(command: LoadRange, *, anew: bool = False) -> LoadedRange:
    """Read a symbol's bars; where some session's can't be right, that session and those that need it are left out.

    `anew`: see judge_prices. NoDataError where no session is left, SourceUnavailable; DataError for suspected prices
    where they are refused. Where the command says which faults are known, NewFaults of others.
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
    return replace(judged, warnings=(*command.warnings, *judged.warnings), tables=command.tables)


class NewFaults(Exception):
    """Bars of these days can't be right, and other sources are to be asked."""

    def __init__(self, faults: Mapping[date, Reason]) -> None:
        super().__init__()
        self.faults = faults

    def error(self, symbol: str) -> DataError:
        """The first of them, for those that ask no other source."""
        day, reason = min(self.faults.items())
        text = f"{day}: {reason.message}"
        return DataError(text, symbol=symbol, source=reason.source, remedy=reason.remedy, code=reason.code)


def _report_faults(
    command: LoadRange, left_out: Mapping[date, Reason], expected: Container[date], bad: Mapping[date, Reason]
) -> None:
    """Raise NewFaults where other sources are to be asked, and some days are news: those whose bars can't be right,
    and sessions that lack bars and were not `expected` to be left out.
    """
    known = command.known_faults
    if known is None:
        return
    found = {**{day: reason for day, reason in left_out.items() if day not in expected}, **bad}
    reader = command.reader
    if news := {day: reason for day, reason in found.items() if day not in known}:
        spans = reader.spans if isinstance(reader, SpanReader) else (SourceSpan(reader.name, max(news)),)
        raise NewFaults({day: replace(reason, source=source_on(day, spans)) for day, reason in news.items()})


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
