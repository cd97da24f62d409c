"""What scans found in a session, read from a dump: the objects that it was written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from barray.dump.readers.reason import read_reason
from barray.dump.scans import DidJson, HitsJson, ScanJson, ScansJson, ScanStepJson, VisitJson
from barray.market.bars import format_ns, parse_ns
from barray.market.indicators import parse_indicator
from barray.trading.scans import step_json
from barray.trading.scans.follow import Kept, ScanStep, kept_of
from barray.trading.scans.hits import Hits, ScanFailure
from barray.trading.scans.instructions import Instruction
from barray.trading.scans.keeping import Keep, Promote, Rules
from barray.trading.scans.result import ScannedSession
from barray.trading.scans.state import ScanState, Visit
from barray.trading.scans.step_json import KINDS


def read_scans(entry: ScansJson, day: date) -> ScannedSession:
    """The objects; ValueError or one of our errors where a stamp, name or number can't be meant."""
    rules = tuple(map(read_rules, entry["scans"]))
    by_name = {one.name: one for one in rules}
    steps = tuple(_step(one, by_name) for one in entry["steps"])
    failures = {
        one["name"]: ScanFailure(one["name"], parse_ns(one["failed_at"]), str(one["failure"]))
        for one in entry["scans"]
        if one["failed_at"] is not None
    }
    return ScannedSession(
        day,
        tuple(_kept(rules, steps)),
        tuple(map(_visit, entry["visits"])),
        tuple(one for step in steps for one in step.instructions),
        failures,
        {one["name"]: one["looked_at"] for one in entry["scans"]},
        tuple(entry["missing"]),
        {symbol: read_reason(one) for symbol, one in entry["faults"].items()},
        entry["bars"],
        rules,
        steps,
        entry["error"],
        entry["live"],
    )


def read_rules(entry: ScanJson) -> Rules:
    """By what a scan's findings are followed."""
    keep, promote = entry["keep"], entry["promote"]
    return Rules(
        entry["name"],
        Keep(keep["top"], keep["leave_below"]) if keep else None,
        Promote(promote["full"], promote["evict"], promote["light"]) if promote else None,
        tuple(map(parse_indicator, entry["carry"])),
        entry["universe"],
        entry["at"],
        entry["code"],
    )


def read_hits(entry: HitsJson, at_ns: int, leave: int | None) -> Hits:
    """Who was found; ValueError where columns are not as long as they should be."""
    hits = step_json.read_hits(entry, at_ns)
    told = len(hits) if leave is None else min(leave, len(hits))
    for name, column in (("score", hits.scores), *hits.values.items()):
        if len(column) != told:
            raise ValueError(f"{entry['scan']} at {format_ns(at_ns)}: {name} has {len(column)} values, not {told}")
    if len(set(hits.symbols)) < len(hits):
        raise ValueError(f"{entry['scan']} at {format_ns(at_ns)}: a symbol is found twice")
    return hits


def _step(entry: ScanStepJson, rules: Mapping[str, Rules]) -> ScanStep:
    at_ns, found = parse_ns(entry["at"]), []
    for one in entry["hits"]:
        if one["scan"] not in rules:
            raise ValueError(f"{one['scan']} is none of the scans")
        keep = rules[one["scan"]].keep
        found.append((one["scan"], read_hits(one, at_ns, keep.leave if keep else None)))
    refused = {one["symbol"]: one["refused"] for one in entry["did"] if one["refused"] is not None}
    did = tuple(_instruction(one, at_ns) for one in entry["did"])
    there = {one["symbol"] for one in entry["did"] if one["there"]}
    return ScanStep(at_ns, tuple(found), tuple(entry["pinned"]), did, refused, there)


def _instruction(entry: DidJson, at_ns: int) -> Instruction:
    told = entry["symbol"], at_ns, tuple(entry["by"]), entry["reason"]
    if entry["what"] in ("evict", "let_go"):
        return KINDS[entry["what"]](*told)
    kind: Any = KINDS[entry["what"]]
    instruction: Instruction = kind(*told, tuple(map(parse_indicator, entry["indicators"])))
    return instruction


def _visit(entry: VisitJson) -> Visit:
    values = {name: float("nan") if one is None else float(one) for name, one in entry["values"].items()}
    until = None if entry["until"] is None else parse_ns(entry["until"])
    told = entry["scan"], entry["symbol"], parse_ns(entry["since"]), entry["place"], values, entry["best"]
    return Visit(*told, until, entry["why"])


def _kept(rules: Sequence[Rules], steps: Sequence[ScanStep]) -> Iterator[Kept]:
    """Who was kept, as it follows from what was found."""
    state = ScanState(rules)
    for step in steps:
        state.step(step.hits, step.pinned)
        for name, hits in step.hits:
            yield from kept_of(name, hits, state.scans[name].kept)
        for symbol, reason in step.refused.items():
            state.refuse(symbol, reason)
