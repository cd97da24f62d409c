"""What the process that holds some symbols' bars for scans can be told, and what it answers. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from barray.market.bars import IntArray
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.listings import Listings
from barray.market.renames import Renames
from barray.market.session_range import SessionRange
from barray.market.universe.growing import Tape
from barray.market.universe.stack import Stack
from barray.market.validation import Reason
from barray.trading.scans.evaluate import Part
from barray.trading.scans.hits import ScanFailure
from barray.trading.scans.source import ScanSource
from barray.trading.scans.tables import KnownRows

Faults = Mapping[str, Reason]


class StackReader(Protocol):
    """Reads bars of many symbols at once. Picklable: it travels to where the bars are looked at.

    `prices`: see barray.market.bars.
    """

    @property
    def name(self) -> str:
        """By which errors name it."""
        ...

    def read_stack(
        self,
        interval: Interval,
        sessions: Sessions,
        *,
        symbols: tuple[str, ...],
        columns: tuple[str, ...],
        first_ns: int | None = None,
    ) -> tuple[Stack, Faults]:
        """Bars of these sessions (consecutive), of those of the symbols (sorted) that have any, and why others' can't
        be read. `first_ns`: only bars that start within so long of their session's open are wanted. SourceUnavailable,
        DataError where nothing can be read.
        """
        ...


@dataclass(frozen=True)
class ScanJob:
    """Scans over sessions, of some symbols (sorted). `session_range`: `history` is what indicators need, and `daily`
    where the scans' daily bars begin. `daily`: reads daily bars, where those of the base interval are not meant.
    `sessions_back`: see ScanNeeds. `renames`: a symbol of a session is who is called so that day, and has its bars
    under all names.
    """

    scans: tuple[ScanSource, ...]
    symbols: tuple[str, ...]
    session_range: SessionRange
    interval: Interval
    reader: StackReader
    daily: StackReader | None
    listings: Mapping[str, Listings] = field(default_factory=dict)
    tables: Mapping[str, KnownRows] = field(default_factory=dict)
    renames: Renames = field(default_factory=Renames)


@dataclass(frozen=True)
class ScanDaily:
    """Evaluate the daily stages of sessions (their rows), as far as they are symbols' own."""

    job: ScanJob
    rows: tuple[int, ...]
    recorded = False


@dataclass(frozen=True)
class ScanSessions:
    """Evaluate sessions (their rows), as far as conditions are symbols' own. `members`: who passed the daily stages, by
    scan, of each session; those of scans that are not named are found here.
    """

    job: ScanJob
    rows: tuple[int, ...]
    members: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    recorded = False


@dataclass(frozen=True, eq=False)
class ScanCloses:
    """Tell the newest closes of symbols in sessions (their rows), as `asked` of each session."""

    job: ScanJob
    rows: tuple[int, ...]
    asked: tuple[Mapping[str, IntArray], ...]
    recorded = False


@dataclass(frozen=True)
class OpenScans:
    """Go along with a session (its row), whose bars come from now on. `members`: as in ScanSessions, of this one."""

    job: ScanJob
    row: int
    members: Mapping[str, tuple[str, ...]]
    recorded = True


@dataclass(frozen=True, eq=False)
class TakeBars:
    """Bars have come, `who` by positions in the job's symbols, by session time `at_ns`."""

    tape: Tape
    at_ns: int
    recorded = True


@dataclass(frozen=True)
class LookAt:
    """Evaluate scans of the open session, by their names, at one time (UTC ns), by what has come."""

    at_ns: int
    scans: tuple[str, ...]
    recorded = False


@dataclass(frozen=True)
class BarsTaken:
    """Bars were taken in, but for those that were `refused`, by symbol."""

    refused: Faults


@dataclass(frozen=True)
class Hole:
    """An earlier session that `relative_volume` goes without for a symbol, as its bars of that day can't be right."""

    symbol: str
    day: date
    reason: Reason


@dataclass(frozen=True, eq=False)
class SessionParts:
    """What some symbols came to in a session. `parts`: by scan, of those that did not fail; `failures` of the others.

    `universe`: how many symbols each scan looks at; `missing`: those of them that have no bars in the session.
    `faults`: symbols whose bars can't be right, and why; they are looked at by no scan.
    """

    parts: Mapping[str, Part]
    failures: Mapping[str, ScanFailure]
    universe: Mapping[str, int]
    missing: tuple[str, ...]
    faults: Faults
    bars: int
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True)
class NotRead:
    """Nothing can be told of a session: its bars, of all symbols, can't be reached or can't be right."""

    error: BarrayError
