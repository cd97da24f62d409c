"""A JSON dump as the objects that it was written from: the same summary and symbols, but for rows it doesn't hold."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np

from barray.coordinator.summary import SessionEvent, SessionSummary
from barray.dump.checks.schema import HEADER, SYMBOL, conforming, parse_stamps
from barray.dump.checks.session import SessionFacts, check_session
from barray.dump.readers.json import read_session
from barray.dump.readers.reason import read_reason
from barray.dump.readers.scans import read_scans
from barray.dump.readers.trading import read_trading
from barray.dump.reason import ReasonJson
from barray.dump.schema import (
    ConflictJson,
    HeaderJson,
    IndicatorJson,
    LineageJson,
    QualityJson,
    SeriesJson,
    Step0Json,
    SymbolJson,
)
from barray.dump.violations import Findings
from barray.market.bars import COLUMNS, Bar, Bars, IntArray, parse_ns
from barray.market.calendar import ExtendedHours
from barray.market.errors import BarrayError
from barray.market.indicators import IndicatorData, parse_indicator
from barray.market.interval import Interval
from barray.market.quality import Gap, Quality
from barray.market.series import IntervalBars, lay_on_sessions
from barray.market.symbol_data import AdhocConflict, Lineage, SymbolSessionData
from barray.market.validation import Reason, SymbolValidationResult


def read_json_dump(path: Path, out: Findings) -> tuple[SessionSummary, dict[str, SymbolSessionData]] | None:
    """Summary and symbols; None, with what is wrong in `out`, where it is no dump.

    UnreadableDump where the file is no JSON at all.
    """
    dump = read_session(path, out)
    header = conforming(HEADER, dump.header, "", out) if dump else None
    facts = check_session(header, out, version=1) if header else None
    if dump is None or header is None or facts is None or len(out):
        return None
    symbols: dict[str, SymbolSessionData] = {}
    data: SymbolSessionData | None = None
    for name, value in dump.symbols:
        place = f"symbols.{name}"
        entry = conforming(SYMBOL, value, place, out)
        try:
            data = _symbol(name, entry, facts, out) if entry else None
        except (BarrayError, ValueError, OverflowError) as error:
            out.add(place, "unreadable", str(error), "a symbol as a dump has it")
        if data is None or len(out):
            return None
        symbols[name] = data
    return _summary(header, facts), symbols


def read_summary(value: Any, out: Findings) -> SessionSummary | None:
    """A session's summary, of its header alone; None, with what is wrong in `out`, where it is none."""
    header = conforming(HEADER, value, "", out)
    facts = check_session(header, out, version=1) if header else None
    return None if header is None or facts is None or len(out) else _summary(header, facts)


def _summary(header: HeaderJson, facts: SessionFacts) -> SessionSummary:
    session, hours = header["session"], header["session"]["extended_hours"]
    return SessionSummary(
        calendar=session["calendar"],
        timezone=session["timezone"],
        hours=session["hours"],
        extended_hours=ExtendedHours(*map(time.fromisoformat, _texts(hours))) if hours else None,
        session_date=facts.context.session_date,
        history_first=date.fromisoformat(header["requirements"]["history_first"]),
        daily_first=_date(header["requirements"].get("daily_first")),
        open_ns=facts.context.open_ns,
        close_ns=facts.context.close_ns,
        now_ns=facts.now_ns,
        requirements=facts.requirements,
        step0={symbol: _step0(symbol, entry) for symbol, entry in header["step0"].items()},
        dropped={symbol: _reasons(entries) for symbol, entries in header["dropped"].items()},
        events=tuple(
            SessionEvent(
                parse_ns(entry["at"]),
                entry["action"],
                entry["symbol"],
                entry["by"],
                entry["accepted"],
                entry["reason"],
                entry["detail"],
            )
            for entry in header["events"]
        ),
        trading=read_trading(header["trading"], facts.context) if "trading" in header else None,
        scanned=read_scans(header["scans"], facts.context.session_date) if "scans" in header else None,
    )


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _texts(hours: Any) -> list[str]:
    return [hours[name] for name in ("open", "close", "half_day_close")]


def _step0(symbol: str, entry: Step0Json) -> SymbolValidationResult:
    """Without the measured time, which a dump leaves out."""
    base = entry["base_interval"]
    return SymbolValidationResult(
        symbol,
        can_proceed=entry["can_proceed"],
        reason=entry["reason"],
        data_source_available=entry["data_source"] is not None,
        data_source=entry["data_source"],
        intervals_supported=tuple(entry["intervals_supported"]),
        base_interval=Interval.parse(base) if base else None,
        has_historical_data=entry["has_historical_data"],
        historical_date_range=_range(entry["historical_date_range"]),
        has_session_data=entry["has_session_data"],
        meets_config_requirements=entry["meets_config_requirements"],
        reasons=_reasons(entry["reasons"]),
        sources_asked=tuple(entry["sources_asked"]),
        daily_source=entry.get("daily_source"),
        daily_date_range=_range(entry.get("daily_date_range")),
    )


def _range(dates: list[str] | None) -> tuple[date, date] | None:
    return (date.fromisoformat(dates[0]), date.fromisoformat(dates[1])) if dates else None


def _reasons(entries: list[ReasonJson]) -> tuple[Reason, ...]:
    return tuple(map(read_reason, entries))


def _symbol(name: str, entry: SymbolJson, facts: SessionFacts, out: Findings) -> SymbolSessionData | None:
    place, adhoc, metadata = f"symbols.{name}", entry["adhoc"], entry["metadata"]
    bars = {key: _series(name, key, one, facts, f"{place}.bars.{key}", out) for key, one in entry["bars"].items()}
    series = {key: one for key, one in bars.items() if one is not None}
    indicators = {
        key: _indicator(key, one, series, f"{place}.indicators.{key}", out) for key, one in entry["indicators"].items()
    }
    if len(out):
        return None
    return SymbolSessionData(
        symbol=name,
        meets_session_config_requirements=metadata["meets_session_config_requirements"],
        added_by=metadata["added_by"],
        auto_provisioned=metadata["auto_provisioned"],
        added_at=datetime.fromisoformat(metadata["added_at"]) if metadata["added_at"] else None,
        added_mid_session=metadata["added_mid_session"],
        provisioned_reason=metadata["provisioned_reason"],
        upgraded_from_adhoc=metadata["upgraded_from_adhoc"],
        session_date=facts.context.session_date,
        now_ns=facts.now_ns,
        base_interval=Interval.parse(entry["base_interval"]) if entry["base_interval"] else None,
        bars=series,
        indicators={key: one for key, one in indicators.items() if one is not None},
        quality={key: _quality(one) for key, one in entry["quality"].items()},
        history_quality={key: _quality(one) for key, one in entry["history_quality"].items()},
        adhoc_bars={key: tuple(map(parse_ns, texts)) for key, texts in adhoc["bars"].items()},
        adhoc_indicators=tuple(adhoc["indicators"]),
        conflicts=tuple(_conflict(one) for one in adhoc["conflicts"]),
        lineage=_lineage(entry["lineage"]) if entry["lineage"] else None,
        daily_lineage=_lineage(entry["daily_lineage"]) if "daily_lineage" in entry else None,
        warnings=_reasons(entry.get("warnings", [])),
    )


def _series(
    symbol: str, name: str, entry: SeriesJson, facts: SessionFacts, place: str, out: Findings
) -> IntervalBars | None:
    """The rows that are there; given bars are laid on the session for their ends, derived ones carry them."""
    starts, rows = _stamps(entry["timestamp"], f"{place}.timestamp", out), len(entry["timestamp"])
    lengths = {column: len(values) for column, values in entry.items() if isinstance(values, list)}
    for column in (column for column, length in lengths.items() if length != rows):
        out.add(f"{place}.{column}", "length", f"{lengths[column]} values", f"{rows}, one a timestamp")
    if starts is None or len(out):
        return None
    bars = Bars(starts, *(np.array(entry[column], np.float64) for column in COLUMNS))  # type: ignore[literal-required]
    interval, context = Interval.parse(name), facts.context
    if "derived_from" in entry:
        return _derived(interval, bars, entry, facts, place, out)
    laid = lay_on_sessions(bars, interval, context.sessions, context.row, symbol=symbol, source="dump")
    if len(laid) < rows:
        out.add(place, "outside_session", f"{rows - len(laid)} bars outside the sessions", "bars inside them")
    return laid


def _derived(
    interval: Interval, bars: Bars, entry: SeriesJson, facts: SessionFacts, place: str, out: Findings
) -> IntervalBars | None:
    ends = _stamps(entry.get("end", []), f"{place}.end", out)
    if ends is None or len(ends) != len(bars) or "expected" not in entry or "actual" not in entry:
        out.add(place, "missing", "nothing", "end, expected and actual of derived bars")
        return None
    session = np.searchsorted(facts.context.sessions.open_ns, bars.start_ns, side="right") - 1
    expected, actual = (np.array(entry[column], np.int32) for column in ("expected", "actual"))
    origin = Interval.parse(entry["derived_from"])
    counted = (session.astype(np.int32), expected, actual, entry["history"])
    return IntervalBars(interval, bars, ends, *counted, origin, entry.get("given", 0))


def _indicator(
    key: str, entry: IndicatorJson, series: dict[str, IntervalBars], place: str, out: Findings
) -> IndicatorData | None:
    """The values, NaN in front where the dump has the bars alone."""
    rows = len(series[entry["interval"]]) if entry["interval"] in series else -1
    first = max(entry["first_bar"], 0)
    if first > max(rows, 0) or any(first + len(column) != rows for column in entry["values"].values()):
        out.add(place, "length", "values of another number of bars", f"{rows} rows, as the bars have")
        return None
    before = np.full(first, np.nan)
    values = {
        output: np.concatenate((before, np.array(column, np.float64))) for output, column in entry["values"].items()
    }
    return IndicatorData(parse_indicator(key), values)


def _stamps(texts: list[str], place: str, out: Findings) -> IntArray | None:
    stamps = parse_stamps(texts)
    if stamps is None:
        out.add(place, "bad_stamp", texts[0], "UTC times such as 2024-07-01T13:30:00Z")
    return stamps


def _quality(entry: QualityJson) -> Quality:
    gaps = (Gap(parse_ns(gap["start"]), parse_ns(gap["end"]), gap["missing"]) for gap in entry["gaps"])
    return Quality(entry["expected"], entry["actual"], tuple(gaps))


def _conflict(entry: ConflictJson) -> AdhocConflict:
    start_ns, record = parse_ns(entry["timestamp"]), entry["record"]
    return AdhocConflict(
        Interval.parse(entry["interval"]),
        Bar(start_ns, **entry["adhoc"]),
        Bar(start_ns, **record) if record else None,
    )


def _lineage(entry: LineageJson) -> Lineage:
    first, last = entry["first"], entry["last"]
    return Lineage(
        entry["source"],
        Interval.parse(entry["interval"]),
        parse_ns(first) if first else None,
        parse_ns(last) if last else None,
        entry["bars"],
        entry["dataset"],
    )
