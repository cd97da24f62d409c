"""A session's scans followed from time to time: who is kept, promoted and let go of, and all of it as it happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from barray.trading.scans.hits import Hits, SessionHits
from barray.trading.scans.instructions import Instruction
from barray.trading.scans.plan import Plan
from barray.trading.scans.state import ScanState, Visit


@dataclass(frozen=True)
class Kept:
    """A symbol that a scan keeps at a time (UTC ns). `place`: its rank, from 1; `score`: the ranking value, NaN where
    nothing ranks; `values`: the numbers compared, by terms' texts. `found`: how many the scan found at that time.
    """

    scan: str
    at_ns: int
    symbol: str
    place: int
    score: float
    values: Mapping[str, float]
    found: int


@dataclass(frozen=True)
class Followed:
    """What the scans of a session came to, in order of time."""

    kept: tuple[Kept, ...]
    visits: tuple[Visit, ...]
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, eq=False)
class ScanStep:
    """A time (UTC ns) at which scans ran in a session. `hits`: by scan, those that did not fail; `scores` and `values`
    of as many as may be kept. `pinned`: who had to stay, sorted; `instructions`: what was asked of the session;
    `refused`: symbols that it could not promote, and why; `there`: those to promote that were full already.
    """

    at_ns: int
    hits: tuple[tuple[str, Hits], ...]
    pinned: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    refused: Mapping[str, str]
    there: Collection[str] = frozenset()


def follow(plans: Sequence[Plan], found: Sequence[SessionHits]) -> Followed:
    """Follow scans through a session where all that they ask for is done at once."""
    state = ScanState(plans)
    at: dict[int, list[tuple[str, Hits]]] = {}
    for one in found:
        for hits in one.hits:
            at.setdefault(hits.at_ns, []).append((one.scan, hits))
    kept: list[Kept] = []
    instructions: list[Instruction] = []
    for now_ns in sorted(at):
        instructions += state.step(at[now_ns])
        kept += [row for name, hits in at[now_ns] for row in kept_of(name, hits, state.scans[name].kept)]
    return Followed(tuple(kept), state.history, tuple(instructions))


def kept_of(scan: str, hits: Hits, places: Mapping[str, int]) -> list[Kept]:
    """Rows of those that a scan keeps, with their `places`."""
    rows = []
    for symbol, place in places.items():
        values = {name: float(column[place - 1]) for name, column in hits.values.items()}
        rows.append(Kept(scan, hits.at_ns, symbol, place, float(hits.scores[place - 1]), values, len(hits)))
    return rows
