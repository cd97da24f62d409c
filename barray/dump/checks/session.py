"""Checks of a dump's header: session, requirements, Step 0 and events; and which symbols follow from them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, time
from typing import TypeVar

from barray.dump.checks.schema import STAMP_FORM, parse_stamp
from barray.dump.schema import EventJson, HeaderJson, HoursJson, RequirementsJson, SessionJson, Step0Json
from barray.dump.violations import Findings
from barray.local.calendar_cache import cached_sessions
from barray.market.bars import format_ns
from barray.market.calendar import ExtendedHours, TradingCalendar
from barray.market.errors import BarrayError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval
from barray.market.reason_codes import MACHINE_FAILED
from barray.market.requirements import SessionContext, SymbolRequirements, calendar_for, session_context

_Name = TypeVar("_Name", Interval, IndicatorSpec)


@dataclass(frozen=True, eq=False)
class SessionFacts:
    """What the symbols are checked against, made from the header and the calendar alone.

    `accepted`: the accepted events of each symbol, in order, without those of the session as a whole. `members`: the
    symbols that should be in the session.
    """

    context: SessionContext
    requirements: SymbolRequirements
    now_ns: int
    step0: dict[str, Step0Json]
    accepted: dict[str, list[EventJson]]
    members: frozenset[str]


def check_session(header: HeaderJson, out: Findings) -> SessionFacts | None:
    """Add what is wrong with the header to `out`; None where the symbols cannot be checked without it."""
    session = header["session"]
    requirements = _requirements(header["requirements"], out)
    day = parse_date(session["date"], "session.date", out)
    now_ns = parse_stamp(session["now"])
    if now_ns is None:
        out.add("session.now", "bad_stamp", session["now"], STAMP_FORM)
    extended_ok, extended = _extended(session["extended_hours"], out)
    if requirements is None or day is None or now_ns is None or not extended_ok:
        return None
    try:
        calendar = calendar_for(
            requirements,
            session["calendar"],
            day,
            day,
            hours=session["hours"],
            extended=extended,
            source=cached_sessions,
        )
        context = session_context(requirements, calendar, day)
    except BarrayError as error:
        place = {"bad_calendar": "session.calendar", "no_session": "session.date"}.get(str(error.code), "session")
        out.add(place, str(error.code), error.reason, error.remedy or "a session of a known calendar")
        return None
    except (OverflowError, ValueError) as error:
        out.add("session", "bad_dates", str(error), "dates that a calendar covers")
        return None
    _check_hours(session, header["requirements"], calendar, context, out)
    _check_step0(header, out)
    _check_degraded(header, out)
    accepted = _accepted(header["events"], now_ns, out)
    members = _members(header, accepted)
    return SessionFacts(context, requirements, now_ns, header["step0"], accepted, members)


def canonical(parsed: _Name | None, text: str, place: str, code: str, out: Findings) -> _Name | None:
    """`parsed` if `text` is how it is written (no `60m` for `1h`), else None with a violation."""
    written = parsed.key if isinstance(parsed, IndicatorSpec) else str(parsed) if parsed else None
    if parsed is None or written != text:
        out.add(place, code, text, written or "one that barray knows")
        return None
    return parsed


def read_interval(text: str, place: str, out: Findings) -> Interval | None:
    """The interval, or None with a violation."""
    try:
        parsed: Interval | None = Interval.parse(text)
    except BarrayError:
        parsed = None
    return canonical(parsed, text, place, "bad_interval", out)


def read_indicator(text: str, place: str, out: Findings) -> IndicatorSpec | None:
    """The indicator, or None with a violation."""
    try:
        parsed: IndicatorSpec | None = parse_indicator(text)
    except BarrayError:
        parsed = None
    return canonical(parsed, text, place, "bad_indicator", out)


def parse_date(text: str, place: str, out: Findings) -> date | None:
    """The day, or None with a violation."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        out.add(place, "bad_date", text, "a date such as 2024-07-01")
        return None
    return day


def _requirements(entry: RequirementsJson, out: Findings) -> SymbolRequirements | None:
    before = len(out)
    where = "requirements"
    intervals = [read_interval(text, f"{where}.intervals[{nth}]", out) for nth, text in enumerate(entry["intervals"])]
    indicators = [
        read_indicator(text, f"{where}.indicators[{nth}]", out) for nth, text in enumerate(entry["indicators"])
    ]
    for name in ("trailing_days", "max_missing_days"):
        if entry[name] < 0:
            out.add(f"{where}.{name}", "out_of_range", entry[name], "0 or more")
    if len(out) > before:
        return None
    return SymbolRequirements(
        tuple(interval for interval in intervals if interval),
        tuple(spec for spec in indicators if spec),
        entry["trailing_days"],
        entry["max_missing_days"],
        entry.get("prices", "positive"),
    )


def _extended(entry: HoursJson | None, out: Findings) -> tuple[bool, ExtendedHours | None]:
    if entry is None:
        return True, None
    times: list[time] = []
    for name in ("open", "close", "half_day_close"):
        text: str = entry[name]
        try:
            times.append(time.fromisoformat(text))
        except ValueError:
            out.add(f"session.extended_hours.{name}", "bad_time", text, "a time of day such as 04:00")
    return (True, ExtendedHours(*times)) if len(times) == 3 else (False, None)


def _check_hours(
    session: SessionJson, entry: RequirementsJson, calendar: TradingCalendar, context: SessionContext, out: Findings
) -> None:
    history_first = str(context.sessions.dates[context.history_row])
    for place, found, expected in (
        ("session.timezone", session["timezone"], calendar.timezone),
        ("session.open", session["open"], format_ns(context.open_ns)),
        ("session.close", session["close"], format_ns(context.close_ns)),
        ("requirements.history_first", entry["history_first"], history_first),
    ):
        if found != expected:
            out.add(place, "calendar", found, expected)


def _check_step0(header: HeaderJson, out: Findings) -> None:
    for section in ("step0", "dropped"):
        out.in_order(list(header[section]), section)
    for symbol, entry in header["step0"].items():
        place = f"step0.{symbol}"
        if entry["can_proceed"] != entry["meets_config_requirements"]:
            out.add(f"{place}.can_proceed", "step0", entry["can_proceed"], entry["meets_config_requirements"])
        for name in ("data_source", "base_interval"):
            if entry["can_proceed"] and entry[name] is None:
                out.add(f"{place}.{name}", "step0", None, "a value, since the symbol can proceed")


def _check_degraded(header: HeaderJson, out: Findings) -> None:
    dropped = header["dropped"].items()
    lost = sorted(symbol for symbol, reasons in dropped if any(reason["code"] in MACHINE_FAILED for reason in reasons))
    if (found := header["session"].get("degraded", [])) != lost:
        out.add("session.degraded", "degraded", found, lost)


def _accepted(events: list[EventJson], now_ns: int, out: Findings) -> dict[str, list[EventJson]]:
    accepted: dict[str, list[EventJson]] = defaultdict(list)
    last_ns: int | None = None
    for nth, event in enumerate(events):
        at_ns = parse_stamp(event["at"])
        if at_ns is None:
            out.add(f"events[{nth}].at", "bad_stamp", event["at"], STAMP_FORM)
        elif at_ns > now_ns:
            out.add(f"events[{nth}].at", "after_now", event["at"], f"at most {format_ns(now_ns)}")
        elif last_ns is not None and at_ns < last_ns:
            out.add(f"events[{nth}].at", "order", event["at"], f"not before {format_ns(last_ns)}")
        last_ns = at_ns if at_ns is not None else last_ns
        if event["action"] == "stream":
            _check_stream(event, f"events[{nth}]", out)
        elif event["accepted"]:
            accepted[event["symbol"]].append(event)
    return dict(accepted)


def _check_stream(event: EventJson, place: str, out: Findings) -> None:
    for name, found, expected in (("symbol", event["symbol"], ""), ("by", event["by"], "coordinator")):
        if found != expected:
            out.add(f"{place}.{name}", "stream_event", found, f"{expected!r}: it is the session's own")


def _members(header: HeaderJson, accepted: dict[str, list[EventJson]]) -> frozenset[str]:
    """Who passed Step 0 and was not dropped, then in and out as the events tell."""
    members = {symbol for symbol, entry in header["step0"].items() if entry["can_proceed"]} - set(header["dropped"])
    for symbol, events in accepted.items():
        for event in events:
            if event["action"] in ("remove_symbol", "drop"):
                members.discard(symbol)
            else:
                members.add(symbol)
    return frozenset(members)
