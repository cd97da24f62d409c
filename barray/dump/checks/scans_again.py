"""What scans found, found again from the universe's bars, to the last bit: hits, their order, values, who was left out.

The bars are no part of a dump: they lie where the session's config has them. Where they, or the same scans, can't be
had, nothing is said to be wrong, and it is said that nothing was computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare_scans import prepare_scan
from barray.coordinator.scan_fleet import PreparedScan, met
from barray.dump.checks.session import SessionFacts
from barray.dump.digest import dumps
from barray.dump.scans import ScansJson
from barray.dump.violations import Findings
from barray.dump.writers.scans import left_out_json, scan_json
from barray.local.connection import load_calendar
from barray.market.bars import format_ns
from barray.market.errors import BarrayError
from barray.trading.scans.commands import NotRead, SessionParts
from barray.trading.scans.past import NotReadable
from barray.trading.scans.result import LookedAt
from barray.trading.scans.shard import ScanShard
from barray.trading.scans.step_json import hits_json

_PLACE = "scans"


def check_hits(entry: ScansJson, config: SessionConfig, facts: SessionFacts, out: Findings) -> str | None:
    """Add what differs to `out`; or why nothing could be computed again."""
    if entry["live"]:
        return "its bars came as the session went on; barray replay-day scans them again, as its recording has them"
    if entry["error"] is not None:
        return f"the session could not look at its universe: {entry['error']}"
    try:
        prepared = prepare_scan(_as_it_ran(config, facts), load_calendar)
        rules = {one.name: one for one in prepared.rules()}
        for one in entry["scans"]:
            if one["name"] not in rules or rules[one["name"]].digest != one["code"]:
                return f"the config's scan {one['name']} is another one now"
        [row] = prepared.session_range.rows.tolist()
        looked = _looked_at(prepared, row)
    except BarrayError as error:
        return str(error)
    if isinstance(looked, BarrayError):
        return str(looked)
    names = [one["name"] for one in entry["scans"]]
    scans = [scan_json(rules[name], looked.universe.get(name, 0), looked.failures.get(name)) for name in names]
    _compare(entry["scans"], scans, f"{_PLACE}.scans", out)
    for name, expected in (*left_out_json(looked).items(), ("bars", looked.bars)):
        _compare(entry[name], expected, f"{_PLACE}.{name}", out)  # type: ignore[literal-required]
    _check_steps(entry, _steps(looked, prepared, facts.now_ns), out)
    return None


def _as_it_ran(config: SessionConfig, facts: SessionFacts) -> SessionConfig:
    """The config on the one date, with all that the session required of its symbols: so far back its history went."""
    required, day = facts.requirements, facts.context.session_date
    history = {"trailing_days": required.trailing_days, "daily_days": required.daily_days}
    changed = {
        "session": config.session.model_copy(update={"start": day, "end": day, "mode": "replay"}),
        "intervals": required.intervals,
        "indicators": required.indicators,
        "history": config.history.model_copy(update=history),
    }
    return config.model_copy(update=changed).standing_in(config.where)


def _looked_at(prepared: PreparedScan, row: int) -> LookedAt | BarrayError:
    """What the scans find in a session, in this process; or why nothing can be told of it."""
    shard = ScanShard(prepared.job(*prepared.found()))
    found: SessionParts | NotRead
    try:
        found = shard.session(row, {})
    except NotReadable as failed:
        found = NotRead(failed.error)
    return met(prepared.plans(), prepared.session_range.timezone, [found])


def _steps(looked: LookedAt, prepared: PreparedScan, until_ns: int) -> Mapping[str, list[dict[str, Any]]]:
    """What each time of the session found, by its stamp."""
    leave = {plan.name: plan.keep.leave if plan.keep else None for plan in prepared.plans()}
    found: dict[int, list[dict[str, Any]]] = {}
    for one in looked.found:
        for hits in one.hits:
            if hits.at_ns <= until_ns:
                found.setdefault(hits.at_ns, []).append(hits_json(one.scan, hits.first(leave[one.scan])))
    return {format_ns(at_ns): orjson.loads(dumps(found[at_ns])) for at_ns in sorted(found)}


def _check_steps(entry: ScansJson, expected: Mapping[str, list[dict[str, Any]]], out: Findings) -> None:
    told = [step["at"] for step in entry["steps"]]
    out.tree(told, list(expected), f"{_PLACE}.steps.at", "recomputed")
    for number, step in enumerate(entry["steps"]):
        if step["at"] in expected:
            out.tree(step["hits"], expected[step["at"]], f"{_PLACE}.steps[{number}].hits", "recomputed")


def _compare(found: Any, expected: Any, place: str, out: Findings) -> None:
    out.tree(found, orjson.loads(dumps(expected)), place, "recomputed")
