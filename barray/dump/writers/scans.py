"""What scans found in a session, as `barray.dump.scans` lays it out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from barray.market.bars import format_ns
from barray.trading.scans.hits import ScanFailure
from barray.trading.scans.keeping import Rules
from barray.trading.scans.result import ScannedSession
from barray.trading.scans.state import Visit
from barray.trading.scans.step_json import known, step_json


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


def visit_json(visit: Visit) -> dict[str, Any]:
    """As `VisitJson`."""
    return {
        "scan": visit.scan,
        "symbol": visit.symbol,
        "since": format_ns(visit.since_ns),
        "place": visit.place,
        "best": visit.best,
        "values": dict(zip(visit.values, known(list(visit.values.values())), strict=True)),
        "until": None if visit.until_ns is None else format_ns(visit.until_ns),
        "why": visit.why,
    }
