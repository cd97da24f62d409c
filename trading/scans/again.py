"""A recorded day's scans, run again: do they find the same, and what would they have with corrected bars?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from barray.trading.scans.follow import ScanStep
from barray.trading.scans.following import ALREADY_LOADED, Asked, ScanSteps
from barray.trading.scans.hits import Hits
from barray.trading.scans.step_json import NAMES, step_json

Step = Mapping[str, Any]
"""As `step_json` tells it."""
Members = Sequence[tuple[int, frozenset[str]]]
_MOST_SHOWN = 5


@dataclass(frozen=True)
class StepDifference:
    """The first time at which two runs of scans differ: at which, in what, and how, in words."""

    at: str
    what: str
    then: str
    now: str


@dataclass(frozen=True, eq=False)
class ScansAgain:
    """`then`: steps as recorded; `again`: with the bars as they came; `corrected`: with the last version of each.
    `changed`: scans whose code is another now. `full`, `full_corrected`: whom scans had made full in these runs, from
    each time (UTC ns) on.
    """

    then: tuple[Step, ...]
    again: tuple[Step, ...]
    corrected: tuple[Step, ...]
    changed: tuple[str, ...] = ()
    full: Members = ()
    full_corrected: Members = ()

    @property
    def difference(self) -> StepDifference | None:
        """Where the day and its repetition part; None where all is identical."""
        return first_step_difference(self.then, self.again)


def first_step_difference(then: Sequence[Step], now: Sequence[Step]) -> StepDifference | None:
    """The first step that two runs don't share."""
    ours, theirs = ({step["at"]: step for step in steps} for steps in (then, now))
    for at in sorted({*ours, *theirs}):
        one, other = ours.get(at, {}), theirs.get(at, {})
        hits, others = ({entry["scan"]: entry for entry in step.get("hits", ())} for step in (one, other))
        for scan in dict.fromkeys((*hits, *others)):
            if hits.get(scan) != others.get(scan):
                return StepDifference(at, f"hits of {scan}", *_told_hits(hits.get(scan), others.get(scan)))
        if one.get("did") != other.get("did"):
            return StepDifference(at, "what was asked for", *_told_did(one.get("did", ()), other.get("did", ())))
    return None


def as_told(step: ScanStep) -> Step:
    """A step as recordings have it."""
    told: Step = orjson.loads(orjson.dumps(step_json(step)))
    return told


def follow_again(
    steps: ScanSteps, at_ns: int, then: Step | None, found: Sequence[tuple[str, Hits]]
) -> list[tuple[Asked, str | None]]:
    """Follow what is found at a time, where what came of it then comes of it again; what is asked of the session, but
    for what was others' then, and why it was refused (None: it was done).
    """
    asked: list[tuple[Asked, str | None]] = []
    came = {(one["what"], one["symbol"]): one for one in then["did"]} if then else {}
    for instruction in steps.step(at_ns, found, then["pinned"] if then else ()):
        for one in steps.asked(instruction):
            reason = _came_to(came.get((NAMES[type(instruction)], one.symbol)), one)
            steps.note(one, reason)
            if reason != ALREADY_LOADED:
                asked.append((one, reason))
    return asked


def _came_to(then: Step | None, asked: Asked) -> str | None:
    """Why it was refused then; None where it was done, or was not asked for."""
    if then is not None and then["there"]:
        return ALREADY_LOADED
    refused: str | None = then["refused"] if then is not None and asked.action == "add_symbol" else None
    return refused


def figures_of(steps: Sequence[Step]) -> dict[str, int]:
    """How often scans ran, how many hits they had, and how much they asked for."""
    hits = sum(len(entry["symbols"]) for step in steps for entry in step["hits"])
    return {"steps": len(steps), "hits": hits, "asked": sum(len(step["did"]) for step in steps)}


def _told_hits(then: Step | None, now: Step | None) -> tuple[str, str]:
    if then is None or now is None:
        return _listed(then), _listed(now)
    if then["symbols"] != now["symbols"]:
        first = next(i for i in range(len(then["symbols"]) + 1) if then["symbols"][: i + 1] != now["symbols"][: i + 1])
        return _listed(then, first), _listed(now, first)
    columns = {"score": (then["score"], now["score"])}
    columns |= {name: (own, now["values"].get(name)) for name, own in then["values"].items()}
    for name, (own, other) in columns.items():
        for symbol, value, new in zip(then["symbols"], own, other or (), strict=False):
            if value != new:
                return f"{symbol} {name} {value}", f"{symbol} {name} {new}"
    return "other values", "those"


def _listed(entry: Step | None, first: int = 0) -> str:
    if entry is None or not entry["symbols"]:
        return "nothing"
    shown = entry["symbols"][first : first + _MOST_SHOWN]
    place = f"from place {first + 1} " if first else ""
    more = len(entry["symbols"]) - first - len(shown)
    return place + (", ".join(shown) or "nobody") + (f" and {more} more" if more > 0 else "")


def _told_did(then: Sequence[Step], now: Sequence[Step]) -> tuple[str, str]:
    for i in range(max(len(then), len(now))):
        one, other = ([*some[i : i + 1], None][0] for some in (then, now))
        if one != other:
            return _did(one), _did(other)
    return "nothing", "nothing"


def _did(entry: Step | None) -> str:
    if entry is None:
        return "nothing"
    refused = f", refused: {entry['refused']}" if entry["refused"] else ""
    return f"{entry['what']} {entry['symbol']} for {', '.join(entry['by'])}: {entry['reason']}{refused}"
