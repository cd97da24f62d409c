"""What scans found in a session, as `barray.dump.scans` lays it out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from barray.dump.scans import What
from barray.market.bars import format_ns
from barray.trading.scans.follow import ScanStep
from barray.trading.scans.hits import Hits, ScanFailure
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol
from barray.trading.scans.keeping import Rules
from barray.trading.scans.result import ScannedSession
from barray.trading.scans.state import Visit

KINDS: Mapping[What, type[Instruction]] = {
    "promote": PromoteSymbol,
    "add": AddAdhoc,
    "also": AlsoWanted,
    "evict": Evict,
    "let_go": LetGo,
}


def scans_json(scanned: ScannedSession) -> dict[str, Any]:
    """As `ScansJson`."""
    return {
        "scans": [
            scan_json(one, scanned.universe.get(one.name, 0), scanned.failures.get(one.name)) for one in scanned.rules
        ],
        "steps": [step_json(step) for step in scanned.steps],
        "visits": [visit_json(visit) for visit in scanned.visits],
        **left_out_json(scanned),
        "bars": scanned.bars,
        "error": scanned.error,
        "live": scanned.live,
    }


def left_out_json(scanned: Any) -> dict[str, Any]:
    """`missing` and `faults` of a session or of what was looked at."""
    return {
        "missing": list(scanned.missing),
        "faults": {symbol: asdict(reason) for symbol, reason in sorted(scanned.faults.items())},
    }


def scan_json(one: Rules, looked_at: int, failure: ScanFailure | None) -> dict[str, Any]:
    """As `ScanJson`. Of a failure what was raised: where, with paths of the machine, stands around it."""
    raised = failure.reason.strip().splitlines()[-1] if failure else ""
    return {
        "name": one.name,
        "code": one.digest,
        "universe": one.universe,
        "at": one.times,
        "keep": {"top": one.keep.n, "leave_below": one.keep.leave} if one.keep else None,
        "promote": {"full": one.promote.n, "evict": one.promote.evict, "light": one.promote.light}
        if one.promote
        else None,
        "carry": [spec.key for spec in one.carry],
        "looked_at": looked_at,
        "failed_at": format_ns(failure.at_ns) if failure else None,
        "failure": (raised.rpartition(f" ({one.name}, ")[0] or raised) if failure else None,
    }


def step_json(step: ScanStep) -> dict[str, Any]:
    """As `ScanStepJson`."""
    return {
        "at": format_ns(step.at_ns),
        "pinned": list(step.pinned),
        "hits": [hits_json(name, hits) for name, hits in step.hits],
        "did": did_json(step),
    }


def hits_json(scan: str, hits: Hits) -> dict[str, Any]:
    """As `HitsJson`."""
    values = {name: _known(column.tolist()) for name, column in hits.values.items()}
    return {"scan": scan, "symbols": list(hits.symbols), "score": _known(hits.scores.tolist()), "values": values}


def did_json(step: ScanStep) -> list[dict[str, Any]]:
    """As a list of `DidJson`. Only what was to be promoted can be refused, and none that is evicted is others'."""
    names = {kind: name for name, kind in KINDS.items()}
    return [
        {
            "what": names[type(one)],
            "symbol": one.symbol,
            "by": list(one.by),
            "reason": one.reason,
            "indicators": [spec.key for spec in getattr(one, "indicators", ())],
            "refused": step.refused.get(one.symbol) if isinstance(one, PromoteSymbol) else None,
            "there": not isinstance(one, Evict) and one.symbol in step.there,
        }
        for one in step.instructions
    ]


def visit_json(visit: Visit) -> dict[str, Any]:
    """As `VisitJson`."""
    return {
        "scan": visit.scan,
        "symbol": visit.symbol,
        "since": format_ns(visit.since_ns),
        "place": visit.place,
        "best": visit.best,
        "values": dict(zip(visit.values, _known(list(visit.values.values())), strict=True)),
        "until": None if visit.until_ns is None else format_ns(visit.until_ns),
        "why": visit.why,
    }


def _known(values: list[float]) -> list[float | None]:
    return [None if math.isnan(one) else one for one in values]
