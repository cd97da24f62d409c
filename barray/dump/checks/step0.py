"""Checks of Step 0 in a dump: its parts follow from one another, and agree with requirements, drops and events."""

from __future__ import annotations

from datetime import date

from barray.dump.checks.events import by_symbol
from barray.dump.checks.names import parse_date, read_interval
from barray.dump.reason import ReasonJson
from barray.dump.schema import HeaderJson, Step0Json
from barray.dump.violations import Findings
from barray.market.requirements import SessionContext, SymbolRequirements

_NOT_OF_THE_SESSION = ("interval_unavailable", "no_history")
"""Codes of the checks beside that of the session's own data."""


def check_step0(header: HeaderJson, out: Findings) -> None:
    """Symbols in order, and what every layout promises of one that can proceed."""
    for section in ("step0", "dropped"):
        out.in_order(list(header[section]), section)
    for symbol, entry in header["step0"].items():
        place = f"step0.{symbol}"
        if entry["can_proceed"] != entry["meets_config_requirements"]:
            out.add(f"{place}.can_proceed", "step0", entry["can_proceed"], entry["meets_config_requirements"])
        for name in ("data_source", "base_interval"):
            if entry["can_proceed"] and entry[name] is None:
                out.add(f"{place}.{name}", "step0", None, "a value, since the symbol can proceed")


def check_step0_parts(
    header: HeaderJson, requirements: SymbolRequirements, context: SessionContext, out: Findings
) -> None:
    """All that a result of Step 0 says follows from its reasons, its intervals and the requirements."""
    for symbol, entry in header["step0"].items():
        place = f"step0.{symbol}"
        _check_outcome(entry, place, out)
        _check_source(entry, requirements, place, out)
        _check_base(entry, requirements, place, out)
        _check_range(entry, requirements, context, place, out)
        _check_daily(entry, requirements, context, place, out)
    _check_dropped(header, out)


def _check_outcome(entry: Step0Json, place: str, out: Findings) -> None:
    passed, reasons = entry["can_proceed"], entry["reasons"]
    expected = "" if passed else "; ".join(map(_sentence, reasons))
    if entry["reason"] != expected:
        out.add(f"{place}.reason", "step0", entry["reason"], expected)
    if not passed and not reasons:
        out.add(f"{place}.reasons", "step0", "none", "a reason, since the symbol can't proceed")
    if entry["data_source"] is None or passed:
        _check_flags(entry, place, history=passed, session=passed, out=out)
    elif all(one["source"] is not None for one in reasons):
        own = [one["code"] for one in reasons if one["source"] == entry["data_source"]]
        if "no_daily_history" in own:
            own.remove("no_daily_history")
        session = all(code in _NOT_OF_THE_SESSION for code in own)
        _check_flags(entry, place, history="no_history" not in own, session=session, out=out)


def _check_flags(entry: Step0Json, place: str, *, history: bool, session: bool, out: Findings) -> None:
    for name, expected in (("has_historical_data", history), ("has_session_data", session)):
        if entry[name] != expected:  # type: ignore[literal-required]
            out.add(f"{place}.{name}", "step0", entry[name], expected)  # type: ignore[literal-required]


def _sentence(reason: ReasonJson) -> str:
    where = f"[{reason['source']}] " if reason["source"] else ""
    return f"{where}{reason['message']}" + (f"; {reason['remedy']}" if reason["remedy"] else "")


def _check_source(entry: Step0Json, requirements: SymbolRequirements, place: str, out: Findings) -> None:
    asked, source = entry["sources_asked"], entry["data_source"]
    told = {*asked, requirements.daily} if requirements.daily else {*asked}
    if source is not None and source not in asked:
        out.add(f"{place}.data_source", "step0", source, f"one of those asked: {', '.join(asked) or 'none'}")
    if entry["can_proceed"] and asked and asked[-1] != source:
        out.add(f"{place}.sources_asked", "step0", asked[-1], f"{source} last: none is asked after the one that serves")
    for nth, reason in enumerate(entry["reasons"]):
        if asked and reason["source"] is not None and reason["source"] not in told:
            out.add(f"{place}.reasons[{nth}].source", "step0", reason["source"], f"one of {', '.join(asked)}")
    if source is None and (entry["intervals_supported"] or entry["historical_date_range"]):
        out.add(f"{place}.data_source", "step0", None, "the source of these intervals and dates")


def _check_base(entry: Step0Json, requirements: SymbolRequirements, place: str, out: Findings) -> None:
    names = enumerate(entry["intervals_supported"])
    offered = [read_interval(text, f"{place}.intervals_supported[{nth}]", out) for nth, text in names]
    base = requirements.base_of(one for one in offered if one)
    if entry["base_interval"] != (str(base) if base else None):
        out.add(f"{place}.base_interval", "step0", entry["base_interval"], str(base) if base else None)


def _check_range(
    entry: Step0Json, requirements: SymbolRequirements, context: SessionContext, place: str, out: Findings
) -> None:
    """First and last of the days of the history that are there; all but `max_missing_days` are."""
    place = f"{place}.historical_date_range"
    whole = entry["has_historical_data"]
    _check_days(entry["historical_date_range"], context.history_dates, requirements, place, out, whole=whole)


def _check_daily(
    entry: Step0Json, requirements: SymbolRequirements, context: SessionContext, place: str, out: Findings
) -> None:
    """The same of the days before these, where another source gives daily bars of them."""
    days, asked = context.daily_dates, bool(entry["sources_asked"])
    expected = requirements.daily if days and asked else None
    if entry.get("daily_source") != expected:
        out.add(f"{place}.daily_source", "step0", entry.get("daily_source"), expected)
    if ("daily_source" in entry) != ("daily_date_range" in entry):
        out.add(f"{place}.daily_date_range", "step0", entry.get("daily_date_range"), "there with daily_source")
    elif expected is not None:
        found, whole = entry.get("daily_date_range"), entry["can_proceed"]
        _check_days(found, days, requirements, f"{place}.daily_date_range", out, whole=whole)


def _check_days(
    found: list[str] | None,
    days: list[date],
    requirements: SymbolRequirements,
    place: str,
    out: Findings,
    *,
    whole: bool,
) -> None:
    if found is None:
        if whole and len(days) > requirements.max_missing_days:
            out.add(place, "step0", None, f"days from {days[0]} to {days[-1]}")
        return
    if len(found) != 2:
        out.add(place, "length", f"{len(found)} dates", "2, the first and the last")
        return
    first, last = (parse_date(text, f"{place}[{nth}]", out) for nth, text in enumerate(found))
    if first is None or last is None:
        return
    if first not in days or last not in days or first > last:
        out.add(place, "step0", found, f"days of the history, in order, {_span(days)}")
    elif whole and days.index(first) + len(days) - 1 - days.index(last) > (requirements.max_missing_days):
        out.add(place, "step0", found, f"{_span(days)}, but for {requirements.max_missing_days} that may be missing")


def _span(days: list[date]) -> str:
    return f"{days[0]} to {days[-1]}" if days else "of which there are none"


def _check_dropped(header: HeaderJson, out: Findings) -> None:
    """Whom Step 0 refused, and nothing let in, is dropped for its reasons; whoever else was dropped, an event tells."""
    events = by_symbol(header["events"])
    for symbol, entry in header["step0"].items():
        if entry["can_proceed"] or any(event["accepted"] for event in events.get(symbol, ())):
            continue
        if symbol not in header["dropped"]:
            out.add(f"dropped.{symbol}", "missing", "nothing", "the symbol: Step 0 did not let it proceed")
        else:
            out.tree(header["dropped"][symbol], entry["reasons"], f"dropped.{symbol}", "step0")
    for symbol, reasons in header["dropped"].items():
        told = [_sentence(reason) for reason in reasons]
        why = {one["reason"] for one in events.get(symbol, ()) if one["action"] in ("drop", "add_symbol")}
        refused = header["step0"].get(symbol)
        if refused is not None and not refused["can_proceed"]:
            why.add(refused["reason"])
        if "; ".join(told) not in why:
            out.add(f"dropped.{symbol}", "step0", "; ".join(told), "the reasons of Step 0, or of an event")
