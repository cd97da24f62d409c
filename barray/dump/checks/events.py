"""Checks of a dump's events, and what they tell: who is in the session, and how each symbol came into it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from barray.coordinator.summary import OF_SESSION
from barray.dump.checks.schema import STAMP_FORM, parse_stamp
from barray.dump.schema import EventJson, HeaderJson, Step0Json
from barray.dump.violations import Findings
from barray.market.adhoc import parse_bar, place
from barray.market.bars import Bar, format_ns
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.requirements import SessionContext

_LEAVING = ("remove_symbol", "drop")


@dataclass(frozen=True, eq=False)
class Told:
    """How a symbol came into the session, and what was added to it by hand since.

    `at_ns`: when it was added or upgraded; None for one of the config, which no event tells of. `bars`: each with its
    interval, stamped as the session does; `indicators` by key, in the order that they were added.
    """

    full: bool
    added_by: str
    at_ns: int | None = None
    provisioned: str | None = None
    upgraded: bool = False
    bars: list[tuple[Interval, Bar]] = field(default_factory=list)
    indicators: list[str] = field(default_factory=list)


def by_symbol(events: list[EventJson]) -> dict[str, list[EventJson]]:
    """The events of each symbol, in order."""
    found: dict[str, list[EventJson]] = defaultdict(list)
    for event in events:
        found[event["symbol"]].append(event)
    return dict(found)


def accepted_events(events: list[EventJson], now_ns: int, out: Findings) -> dict[str, list[EventJson]]:
    """The accepted events of each symbol, in order; what is wrong with any event goes to `out`."""
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
        if by := OF_SESSION.get(event["action"]):
            _check_own(event, by, f"events[{nth}]", out)
        elif event["accepted"]:
            accepted[event["symbol"]].append(event)
    return dict(accepted)


def _check_own(event: EventJson, by: str, place: str, out: Findings) -> None:
    for name, found, expected in (("symbol", event["symbol"], ""), ("by", event["by"], by)):
        if found != expected:
            out.add(f"{place}.{name}", f"{event['action']}_event", found, f"{expected!r}: it is the session's own")


def since_resumed(events: list[EventJson]) -> list[EventJson]:
    """Those since the session's symbols were loaded, which a session that is resumed does anew."""
    resumed = [nth for nth, event in enumerate(events) if event["action"] == "resume"]
    return events[resumed[-1] :] if resumed else events


def members_told(header: HeaderJson, accepted: dict[str, list[EventJson]]) -> frozenset[str]:
    """Who passed Step 0 and was not dropped, then in and out as the events tell."""
    members = {symbol for symbol, entry in header["step0"].items() if entry["can_proceed"]} - set(header["dropped"])
    for symbol, events in accepted.items():
        for event in events:
            if event["action"] in _LEAVING:
                members.discard(symbol)
            else:
                members.add(symbol)
    return frozenset(members)


def tell(
    symbol: str,
    step0: Step0Json | None,
    events: list[EventJson],
    context: SessionContext,
    out: Findings,
    resumed_ns: int = 0,
) -> Told:
    """What Step 0, and the symbol's events after it, say of one that is in the session. `resumed_ns`: when it was
    resumed, if it was: what had been added before is added again then.
    """
    of_config = Told(full=True, added_by="config")
    told = of_config if step0 and step0["can_proceed"] and not _was_asked_for(events) else None
    for event in events:
        if event["accepted"] and event["action"] not in OF_SESSION:
            told = _after(told, event, context, out, resumed_ns)
    return told or of_config


def _was_asked_for(events: list[EventJson]) -> bool:
    """Whether it was added, or somebody tried to, before it was ever removed: then the session began without it."""
    for event in events:
        if event["action"] == "add_symbol":
            return True
        if event["accepted"] and event["action"] in _LEAVING:
            return False
    return False


def _after(told: Told | None, event: EventJson, context: SessionContext, out: Findings, resumed_ns: int) -> Told | None:
    at_ns, action = max(parse_stamp(event["at"]) or 0, resumed_ns), event["action"]
    if action in _LEAVING:
        return None
    if action == "add_symbol":
        before = told or Told(full=True, added_by="")
        upgraded = told is not None
        return replace(before, full=True, added_by=event["by"], at_ns=at_ns, upgraded=upgraded)
    why = "bar_addition" if action == "add_bar" else "indicator_addition"
    now = told or Told(full=False, added_by="adhoc", at_ns=at_ns, provisioned=why)
    try:
        if action == "add_bar":
            interval = Interval.parse(event["detail"]["interval"])
            now.bars.append((interval, place(parse_bar(event["detail"]["bar"]), interval, context)))
        else:
            now.indicators.append(str(event["detail"]["indicator"]))
    except (BarrayError, KeyError, TypeError, ValueError, AttributeError) as error:
        out.add(f"events.{_name(event)}.detail", "event", str(error), "what was added, as the session notes it")
    return now


def _name(event: EventJson) -> str:
    """A name for an event: its symbol and time."""
    return f"{event['symbol']}[{event['at']}]"
