"""Checks of what scans found in a session: it is followed again, by the session's own rules, and what it comes to is
compared: who is promoted, added, evicted and let go of, why, and that events tell of each.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import orjson

from barray.dump.checks.schema import parse_stamp
from barray.dump.checks.session import SessionFacts
from barray.dump.digest import dumps
from barray.dump.readers.scans import read_scans
from barray.dump.readers.trading import read_trading
from barray.dump.schema import EventJson, HeaderJson
from barray.dump.violations import Findings
from barray.dump.writers.scans import visit_json
from barray.market.bars import format_ns
from barray.trading.engine.notes import Filled
from barray.trading.engine.session_trading import SessionTrading
from barray.trading.scans.follow import ScanStep
from barray.trading.scans.following import ALREADY_LOADED, BY, Asked, ScanSteps
from barray.trading.scans.result import ScannedSession
from barray.trading.scans.step_json import did_json

_PLACE = "scans"


def check_scans(header: HeaderJson, facts: SessionFacts, out: Findings) -> None:
    """Add what is wrong to `out`. What was found is taken as it is: see `barray.dump.checks.scans_again`."""
    entry = header["scans"]
    try:
        scanned = read_scans(entry, facts.context.session_date)
        _check_times(scanned, facts, out)
        trading = read_trading(header["trading"], facts.context) if "trading" in header else None
        _Followed(header, scanned, trading, out).check()
    except Exception as error:  # of any kind: what is written there can't have happened
        out.add(_PLACE, "impossible", f"{type(error).__name__}: {error}", "what can be followed again")


def _check_times(scanned: ScannedSession, facts: SessionFacts, out: Findings) -> None:
    last_ns = facts.context.open_ns
    for number, step in enumerate(scanned.steps):
        if not last_ns < step.at_ns <= facts.now_ns:
            span = f"after {format_ns(last_ns)}, by {format_ns(facts.now_ns)}"
            out.add(f"{_PLACE}.steps[{number}].at", "order", format_ns(step.at_ns), span)
        last_ns = step.at_ns
    for name, failure in scanned.failures.items():
        late = [s for s in scanned.steps if s.at_ns >= failure.at_ns and any(name == scan for scan, _ in s.hits)]
        if late:
            out.add(
                f"{_PLACE}.scans", "failed", f"{name} found at {format_ns(late[0].at_ns)}", "nothing once it failed"
            )


class _Followed:
    """A session's scans followed again, in step with its events."""

    def __init__(
        self, header: HeaderJson, scanned: ScannedSession, trading: SessionTrading | None, out: Findings
    ) -> None:
        self._header, self._scanned, self._trading, self._out = header, scanned, trading, out
        self._events = header["events"]
        self._at = 0  # events before this one have been told of

    def check(self) -> None:
        entry, steps, out = self._header["scans"], ScanSteps(self._scanned.rules), self._out
        for number, step in enumerate(self._scanned.steps):
            place = f"{_PLACE}.steps[{number}]"
            pinned = _pinned_at(self._trading, step.at_ns, step.pinned)
            out.tree(list(step.pinned), pinned, f"{place}.pinned", "recomputed")
            for instruction in steps.step(step.at_ns, step.hits, step.pinned):
                for asked in steps.asked(instruction):
                    if not steps.note(asked, self._told(asked, step, place)):
                        break
            did = orjson.loads(dumps(did_json(steps.taken[-1])))
            out.tree(entry["steps"][number]["did"], did, f"{place}.did", "recomputed")
        visits = orjson.loads(dumps([*map(visit_json, steps.followed.visits)]))
        out.tree(entry["visits"], visits, f"{_PLACE}.visits", "recomputed")

    def _told(self, asked: Asked, step: ScanStep, place: str) -> str | None:
        """What an event says came of it, see ScanSteps.note; a symbol that was full already needs none."""
        action, symbol = asked.action, asked.symbol
        for number in range(self._at, len(self._events)):
            event = self._events[number]
            same = (event["action"], event["symbol"], event["by"]) == (action, symbol, BY)
            if same and parse_stamp(event["at"]) == step.at_ns and _is_meant(event, asked):
                self._at = number + 1
                return None if event["accepted"] else event["reason"]
        if symbol not in step.there:
            self._out.add(place, "event", "nothing", f"an event at {format_ns(step.at_ns)}: {action} {symbol}, by {BY}")
        elif not self._is_full(symbol, step.at_ns):
            self._out.add(place, "event", f"{symbol} is there", "a symbol that was full already")
        return ALREADY_LOADED

    def _is_full(self, symbol: str, at_ns: int) -> bool:
        """Whether the config's, or what an event before let in and none let go."""
        own = [event for event in self._events if event["symbol"] == symbol and event["accepted"]]
        before = [event for event in own if (parse_stamp(event["at"]) or 0) <= at_ns]
        moved = [event for event in before if event["action"] in ("add_symbol", "remove_symbol", "drop")]
        return moved[-1]["action"] == "add_symbol" if moved else symbol in self._header["step0"]


def _is_meant(event: EventJson, asked: Asked) -> bool:
    return asked.indicator is None or event["detail"].get("indicator") == asked.indicator.key


def _pinned_at(trading: SessionTrading | None, at_ns: int, told: Collection[str]) -> list[str]:
    """Who must stay when scans are followed at a time, sorted: who is held, by what has been filled by then, and those
    of the symbols `told` that a strategy has ordered before.
    """
    if trading is None or trading.began_ns >= at_ns:
        return []
    leaving = {symbol for one in trading.changes if one.at_ns < at_ns for symbol in one.left}

    def is_known(fill: Filled) -> bool:  # what ends with one that leaves in this window comes after
        return fill.at_ns <= at_ns and not (fill.at_ns == at_ns and fill.at_close and fill.symbol in leaving)

    fills = tuple(filter(is_known, trading.pages.fills))
    held = replace(trading, pages=replace(trading.pages, fills=fills)).positions
    ordered = {one for one in told if one in trading.opening.holdings}
    for decision in trading.pages.decisions:
        if decision.at_ns <= at_ns:
            ordered |= {decision.symbol, *decision.detail.get("weights", ())}
    return sorted({*held, *ordered.intersection(told)})
