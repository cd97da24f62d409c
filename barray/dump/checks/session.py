"""Checks of a dump's header: session, requirements, Step 0 and events; and which symbols follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from barray.dump.checks.events import Told, accepted_events, by_symbol, members_told, since_resumed, tell
from barray.dump.checks.names import parse_date, read_indicator, read_interval
from barray.dump.checks.schema import STAMP_FORM, parse_stamp
from barray.dump.checks.step0 import check_step0, check_step0_parts
from barray.dump.schema import (
    EventJson,
    HeaderJson,
    HoursJson,
    OwnIndicatorJson,
    RequirementsJson,
    SessionJson,
    Step0Json,
)
from barray.dump.violations import Findings
from barray.local.calendar_cache import cached_sessions
from barray.market.bars import format_ns
from barray.market.calendar import ExtendedHours, TradingCalendar
from barray.market.errors import BarrayError
from barray.market.indicators import IndicatorSpec
from barray.market.own_indicator import OwnFunction
from barray.market.reason_codes import MACHINE_FAILED
from barray.market.requirements import JumpRule, SessionContext, SymbolRequirements, calendar_for, session_context

MAX_DAYS, MAX_REQUIRED, MAX_BARS = 5_000, 1_000, 1_000_000
"""What a session may require: days of history, intervals, indicators, bars of an own one. More would take longer than
minutes to check."""


@dataclass(frozen=True, eq=False)
class SessionFacts:
    """What the symbols are checked against, made from the header and the calendar alone.

    `accepted`: the accepted events of each symbol, in order, without those of the session as a whole. `members`: the
    symbols that should be in the session; `told`: what Step 0 and the events say of each, None where the layout does
    not promise that they say it. `first_event_ns`: when the first of all events was, where
    it was resumed since then.
    """

    context: SessionContext
    requirements: SymbolRequirements
    now_ns: int
    step0: dict[str, Step0Json]
    accepted: dict[str, list[EventJson]]
    members: frozenset[str]
    told: dict[str, Told] | None
    first_event_ns: int | None = None


def check_session(header: HeaderJson, out: Findings, *, version: int) -> SessionFacts | None:
    """Add what is wrong with the header to `out`; None where the symbols cannot be checked without it.

    `version` of the layout: of the first one less is promised.
    """
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
    check_step0(header, out)
    _check_degraded(header, out)
    accepted = accepted_events(header["events"], now_ns, out)
    members = members_told(header, accepted)
    told: dict[str, Told] | None = None
    since = since_resumed(header["events"])
    if version > 1:
        check_step0_parts(header, requirements, context, out)
        events, step0 = by_symbol(header["events"]), header["step0"]
        resumed_ns = parse_stamp(since[0]["at"]) or 0 if len(since) < len(header["events"]) else 0
        told = {s: tell(s, step0.get(s), events.get(s, []), context, out, resumed_ns) for s in sorted(members)}
    first_ns = parse_stamp(since[0]["at"]) if since else None
    return SessionFacts(context, requirements, now_ns, header["step0"], accepted, members, told, first_ns)


def _requirements(entry: RequirementsJson, out: Findings) -> SymbolRequirements | None:
    before = len(out)
    where = "requirements"
    for section in ("intervals", "indicators"):
        if len(entry[section]) > MAX_REQUIRED:
            out.add(f"{where}.{section}", "out_of_range", len(entry[section]), f"at most {MAX_REQUIRED}")
    if len(out) > before:
        return None
    intervals = [read_interval(text, f"{where}.intervals[{nth}]", out) for nth, text in enumerate(entry["intervals"])]
    indicators = [
        read_indicator(text, f"{where}.indicators[{nth}]", out) for nth, text in enumerate(entry["indicators"])
    ]
    own = [_own(one, f"{where}.own_indicators[{nth}]", out) for nth, one in enumerate(entry.get("own_indicators", ()))]
    if ("daily" in entry) != ("daily_days" in entry):
        out.add(f"{where}.daily_days", "requirements", entry.get("daily_days"), "there where daily is")
    for name in ("trailing_days", "max_missing_days", "daily_days"):
        days = entry.get(name, 0)
        if not isinstance(days, int) or not 0 <= days <= MAX_DAYS:
            out.add(f"{where}.{name}", "out_of_range", days, f"0 to {MAX_DAYS}, as in a config")
    rule = entry.get("suspect_jump")
    if rule is not None and not rule["size"] > 0:
        out.add(f"{where}.suspect_jump.size", "out_of_range", rule["size"], "above 0")
    if len(out) > before:
        return None
    return SymbolRequirements(
        tuple(interval for interval in intervals if interval),
        tuple(spec for spec in (*indicators, *own) if spec),
        entry["trailing_days"],
        entry["max_missing_days"],
        entry.get("prices", "positive"),
        JumpRule(rule["size"], rule["refuse"]) if rule else None,
        entry.get("daily"),
        entry.get("daily_days", 0),
    )


def _own(entry: OwnIndicatorJson, place: str, out: Findings) -> IndicatorSpec | None:
    """As far as history goes back for it."""
    interval = read_interval(entry["interval"], f"{place}.interval", out)
    if not 0 <= entry["bars"] <= MAX_BARS:
        out.add(f"{place}.bars", "out_of_range", entry["bars"], f"0 to {MAX_BARS}")
        return None
    function = OwnFunction(entry["name"], entry["bars"], (), (entry["name"],), False, "", (), entry["name"], None)
    return IndicatorSpec(entry["name"], interval, own=function) if interval else None


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
    daily_first = str(context.daily_dates[0]) if context.daily_dates else None
    for place, found, expected in (
        ("session.timezone", session["timezone"], calendar.timezone),
        ("session.open", session["open"], format_ns(context.open_ns)),
        ("session.close", session["close"], format_ns(context.close_ns)),
        ("requirements.history_first", entry["history_first"], history_first),
        ("requirements.daily_first", entry.get("daily_first"), daily_first),
    ):
        if found != expected:
            out.add(place, "calendar", found, expected)


def _check_degraded(header: HeaderJson, out: Findings) -> None:
    dropped = header["dropped"].items()
    lost = sorted(symbol for symbol, reasons in dropped if any(reason["code"] in MACHINE_FAILED for reason in reasons))
    if (found := header["session"].get("degraded", [])) != lost:
        out.add("session.degraded", "degraded", found, lost)
