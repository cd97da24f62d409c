"""A session as JSON: `{"schema", "digest", "session", "requirements", "step0", "dropped", "events", "symbols"}`.

Before the symbols stand `trading`, where a strategy traded, and `scans`, where there are any.

The keys are those of `barray.dump.schema`. All stamps are UTC, `2024-07-01T13:30:00Z`; a bar's is its start. What has
no value (an indicator before warm-up) is null.

Which rows a dump holds, so that everything in it can be recomputed from it and nothing stands in it twice:
- given bars (the base interval of the source, intervals of adhoc bars): history and session, all of them;
- derived bars: the session's where intraday, all where daily or weekly, daily ones of another source before them;
- indicator values: the session's where their interval is intraday, all where daily or weekly.

The same session gives the same bytes: symbols sorted, keys in fixed order, no wall clock, no measured time, no path of
the machine. One symbol is one line, so that a diff can be read and a reader needs the memory of one symbol only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from barray.coordinator.summary import SessionEvent, SessionSummary
from barray.data_sources.atomic_file import replacing
from barray.dump.digest import DIGITS, SessionDigest, dumps
from barray.dump.schema import SCHEMA, bars_dumped, digest, quality_json, values_dumped
from barray.dump.writers.scans import scans_json
from barray.dump.writers.trading import trading_json
from barray.market.bars import COLUMNS, Bar, Bars, IntArray, format_ns
from barray.market.calendar import ExtendedHours
from barray.market.requirements import SymbolRequirements
from barray.market.series import IntervalBars
from barray.market.symbol_data import AdhocConflict, Lineage, SymbolSessionData
from barray.market.validation import Reason


def write_json(path: str | Path, summary: SessionSummary, symbols: Iterable[SymbolSessionData]) -> Path:
    """Write the session to `path`, one symbol after another, and give the path.

    `symbols` come sorted by name, each standing at `summary.now_ns`; ValueError otherwise. ConfigError where `path`
    cannot be written. After an error, what stood there before is untouched.
    """
    target, header = Path(path), header_json(summary)
    total = SessionDigest(header)
    with replacing(target) as temporary, temporary.open("wb") as file:
        file.write(b'{"schema":' + dumps(SCHEMA) + b',\n"digest":"')
        at = file.tell()
        file.write(b"0" * DIGITS + b'"')  # known at the end
        for name in ("session", "requirements"):
            file.write(b",\n" + _entry(name, header[name]))
        _block(file, b',\n"step0":{', (_entry(*one) for one in header["step0"].items()), b"}")
        file.write(b",\n" + _entry("dropped", header["dropped"]))
        _block(file, b',\n"events":[', map(dumps, header["events"]), b"]")
        for name in ("trading", "scans"):
            if name in header:
                file.write(b",\n" + _entry(name, header[name]))
        _block(file, b',\n"symbols":{', _symbols(in_order(symbols, summary.now_ns), total), b"}}\n")
        file.seek(at)
        file.write(total.hexdigest().encode())
    return target


def header_json(summary: SessionSummary) -> dict[str, Any]:
    """Everything but the symbols, as `HeaderJson` without its digest."""
    return {
        "schema": SCHEMA,
        "session": _session(summary),
        "requirements": _requirements(summary),
        "step0": {symbol: result.to_dict() for symbol, result in sorted(summary.step0.items())},
        "dropped": {symbol: [*map(reason_json, reasons)] for symbol, reasons in sorted(summary.dropped.items())},
        "events": [_event(event) for event in summary.events],
        **({"trading": trading_json(summary.trading)} if summary.trading else {}),
        **({"scans": scans_json(summary.scanned)} if summary.scanned else {}),
    }


def _symbols(symbols: Iterable[SymbolSessionData], total: SessionDigest) -> Iterator[bytes]:
    for data in symbols:
        entry = symbol_json(data)
        total.add(data.symbol, entry)
        yield _entry(data.symbol, entry)


def in_order(symbols: Iterable[SymbolSessionData], now_ns: int) -> Iterator[SymbolSessionData]:
    """The symbols as they come; ValueError where one is out of order, comes twice, or does not stand at `now_ns`."""
    last: str | None = None
    for data in symbols:
        if last is not None and data.symbol <= last:
            raise ValueError(f"symbol {data.symbol} comes after {last}")
        if data.now_ns != now_ns:
            raise ValueError(f"{data.symbol} stands at {format_ns(data.now_ns)}, the session at {format_ns(now_ns)}")
        last = data.symbol
        yield data


def symbol_json(data: SymbolSessionData) -> dict[str, Any]:
    """One symbol as `SymbolJson`, its columns still NumPy arrays."""
    return {
        "metadata": data.metadata_dict(),
        "base_interval": str(data.base_interval) if data.base_interval else None,
        "lineage": _lineage(data.lineage) if data.lineage else None,
        **({"daily_lineage": _lineage(data.daily_lineage)} if data.daily_lineage else {}),
        "bars": {name: _series(series) for name, series in data.bars.items()},
        "indicators": {key: _indicator(data, key) for key in data.indicators},
        "quality": {name: quality_json(quality) for name, quality in data.quality.items()},
        "history_quality": {name: quality_json(quality) for name, quality in data.history_quality.items()},
        "adhoc": {
            "bars": {name: [format_ns(start_ns) for start_ns in starts] for name, starts in data.adhoc_bars.items()},
            "indicators": list(data.adhoc_indicators),
            "conflicts": [_conflict(conflict) for conflict in data.conflicts],
            "conflicts_digest": digest(Bars.of(c.adhoc for c in data.conflicts)) if data.conflicts else None,
        },
        **({"warnings": [*map(reason_json, data.warnings)]} if data.warnings else {}),
    }


def _series(series: IntervalBars) -> dict[str, Any]:
    shown = series.take(bars_dumped(series))
    columns = {name: getattr(shown.bars, name) for name in COLUMNS}
    entry = {"history": shown.history, "timestamp": _stamps(shown.bars.start_ns), **columns}
    if series.derived_from is None:
        return {**entry, "digest": digest(shown.bars)}
    return {
        **entry,
        "end": _stamps(shown.end_ns),
        "expected": shown.expected,
        "actual": shown.actual,
        "complete": shown.complete,
        "derived_from": str(series.derived_from),
        **({"digest": digest(shown.bars.take(slice(shown.given))), "given": shown.given} if shown.given else {}),
    }


def _indicator(data: SymbolSessionData, key: str) -> dict[str, Any]:
    indicator = data.indicators[key]
    series = data.bars[str(indicator.spec.interval)]
    rows = values_dumped(series)
    return {
        "interval": str(indicator.spec.interval),
        "convention": indicator.spec.convention,
        "first_bar": rows.start - bars_dumped(series).start,
        "values": indicator.take(rows).values,
    }


def _session(summary: SessionSummary) -> dict[str, Any]:
    return {
        "calendar": summary.calendar,
        "timezone": summary.timezone,
        "hours": summary.hours,
        "extended_hours": _hours(summary.extended_hours) if summary.extended_hours else None,
        "date": summary.session_date.isoformat(),
        "open": format_ns(summary.open_ns),
        "close": format_ns(summary.close_ns),
        "now": format_ns(summary.now_ns),
        **({"degraded": list(summary.lost)} if summary.degraded else {}),
    }


def _hours(hours: ExtendedHours) -> dict[str, str]:
    times = {"open": hours.open, "close": hours.close, "half_day_close": hours.half_day_close}
    return {name: time.isoformat("minutes") for name, time in times.items()}


def _requirements(summary: SessionSummary) -> dict[str, Any]:
    requirements = summary.requirements
    return {
        "intervals": [str(interval) for interval in requirements.intervals],
        "indicators": [spec.key for spec in requirements.computed],
        **({"own_indicators": own} if (own := _own(requirements)) else {}),
        "trailing_days": requirements.trailing_days,
        "max_missing_days": requirements.max_missing_days,
        **({"prices": "any"} if requirements.prices == "any" else {}),
        **({"suspect_jump": asdict(requirements.suspect_jump)} if requirements.suspect_jump else {}),
        **({"daily": requirements.daily, "daily_days": requirements.daily_days} if requirements.daily else {}),
        "history_first": summary.history_first.isoformat(),
        **({"daily_first": summary.daily_first.isoformat()} if summary.daily_first else {}),
    }


def _own(requirements: SymbolRequirements) -> list[dict[str, Any]]:
    own = [spec for spec in requirements.indicators if spec.own is not None]
    return [{"name": spec.key, "interval": str(spec.interval), "bars": spec.lookback} for spec in own]


def reason_json(reason: Reason) -> dict[str, Any]:
    """As `ReasonJson`."""
    return {"code": reason.code, "message": reason.message, "remedy": reason.remedy, "source": reason.source}


def _event(event: SessionEvent) -> dict[str, Any]:
    return {
        "at": format_ns(event.at_ns),
        "action": event.action,
        "symbol": event.symbol,
        "by": event.by,
        "accepted": event.accepted,
        "reason": event.reason,
        "detail": event.detail,
    }


def _lineage(lineage: Lineage) -> dict[str, Any]:
    return {
        "source": lineage.source,
        "dataset": lineage.dataset,
        "interval": str(lineage.interval),
        "first": None if lineage.first_ns is None else format_ns(lineage.first_ns),
        "last": None if lineage.last_ns is None else format_ns(lineage.last_ns),
        "bars": lineage.bars,
    }


def _conflict(conflict: AdhocConflict) -> dict[str, Any]:
    return {
        "interval": str(conflict.interval),
        "timestamp": format_ns(conflict.adhoc.start_ns),
        "adhoc": bar_json(conflict.adhoc),
        "record": bar_json(conflict.record) if conflict.record else None,
    }


def bar_json(bar: Bar) -> dict[str, float]:
    """The five values of a bar by name."""
    return {name: getattr(bar, name) for name in COLUMNS}


def _stamps(stamps_ns: IntArray) -> Any:
    return stamps_ns.view("datetime64[ns]")


def _entry(key: str, value: Any) -> bytes:
    return dumps(key) + b":" + dumps(value)


def _block(file: BinaryIO, opening: bytes, lines: Iterable[bytes], closing: bytes) -> None:
    file.write(opening)
    separator = b"\n"
    for line in lines:
        file.write(separator + line)
        separator = b",\n"
    file.write(b"\n" + closing)
