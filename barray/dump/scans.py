"""Layout of what scans found in a session, under `scans` in the header of a dump; a part of `barray.dump.schema`.

`steps` are what went in and what was asked of the session, time after time; all else of what came of them is computed
again by `barray.dump.checks.scans`, and what was found, from the universe's bars, by `barray.dump.checks.scans_again`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from barray.dump.reason import ReasonJson
from barray.trading.scans.step_json import What

_closed = with_config(ConfigDict(extra="forbid", strict=True))


@_closed
class KeepJson(TypedDict):
    """`Keep`: so many are taken in, and stay while they are not below that place."""

    top: int
    leave_below: int


@_closed
class PromoteJson(TypedDict):
    """`Promote`: so many of those kept become full symbols, and so many others adhoc ones."""

    full: int
    evict: Literal["rank", "never"]
    light: int


@_closed
class ScanJson(TypedDict):
    """A scan: how it is followed. `universe` and `at` as it writes them; `code`: digest of its code and parameters.
    `looked_at`: how many symbols its universe had. `failed_at`, `failure`: when and why it ended, null where it didn't.
    """

    name: str
    code: str
    universe: str
    at: str
    keep: KeepJson | None
    promote: PromoteJson | None
    carry: list[str]
    looked_at: int
    failed_at: str | None
    failure: str | None


@_closed
class HitsJson(TypedDict):
    """Who a scan found at a time, the best first. `score`: the ranking values, null where nothing ranks; `values`: the
    numbers compared, by terms' texts. Both of the first symbols alone, as many as may be kept.
    """

    scan: str
    symbols: list[str]
    score: list[float | None]
    values: dict[str, list[float | None]]


@_closed
class DidJson(TypedDict):
    """What was asked of the session, and why. `by`: names of scans; `indicators`: what they want carried. `refused`:
    why it was not done, null where it was; `there`: it was a full symbol already.
    """

    what: What
    symbol: str
    by: list[str]
    reason: str
    indicators: list[str]
    refused: str | None
    there: bool


@_closed
class ScanStepJson(TypedDict):
    """A time at which scans ran. `pinned`: symbols that had to stay, as the strategy held them or had orders."""

    at: str
    pinned: list[str]
    hits: list[HitsJson]
    did: list[DidJson]


@_closed
class VisitJson(TypedDict):
    """`Visit`: a symbol that a scan kept, from `since` on at `place`, at `best` at that; `until` and `why` are null
    while it is kept.
    """

    scan: str
    symbol: str
    since: str
    place: int
    best: int
    values: dict[str, float | None]
    until: str | None
    why: str | None


@_closed
class ScansJson(TypedDict):
    """What scans found in a session, and what came of it. `missing`: symbols of their universes without bars; `faults`:
    those whose bars can't be right, and why. `bars`: how many were looked at. `error`: why nothing could be, null
    where it could. `live`: bars came as the session went on.
    """

    scans: list[ScanJson]
    steps: list[ScanStepJson]
    visits: list[VisitJson]
    missing: list[str]
    faults: dict[str, ReasonJson]
    bars: int
    error: str | None
    live: bool
