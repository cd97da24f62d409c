"""What scans found over a range of sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from barray.market.accounting import require_accounted
from barray.market.table import Column, Table, floats_known, stamps, texts
from barray.market.validation import Reason
from barray.trading.scans.commands import Hole
from barray.trading.scans.follow import Followed, Kept, ScanStep
from barray.trading.scans.forward import ForwardReturns
from barray.trading.scans.hits import ScanFailure, SessionHits
from barray.trading.scans.instructions import Instruction
from barray.trading.scans.keeping import Rules
from barray.trading.scans.state import Visit, told_of


@dataclass(frozen=True)
class LookedAt:
    """What scans found in a session, before any of it is followed; see ScannedSession."""

    found: tuple[SessionHits, ...]
    failures: Mapping[str, ScanFailure]
    universe: Mapping[str, int]
    missing: tuple[str, ...]
    faults: Mapping[str, Reason]
    bars: int
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True)
class ScannedSession:
    """A session of some scans. `universe`: how many symbols each was to look at, among them the `missing`, without
    bars that day, and those of `faults`, whose bars can't be right. `bars`: how many were looked at. `rules` and
    `steps`: where a session followed them, by what and how it went; `error`: why nothing could be looked at in it;
    `live`: its bars came as it went on. `holes`: earlier sessions that volumes are not compared with.
    """

    day: date
    kept: tuple[Kept, ...]
    visits: tuple[Visit, ...]
    instructions: tuple[Instruction, ...]
    failures: Mapping[str, ScanFailure]
    universe: Mapping[str, int]
    missing: tuple[str, ...]
    faults: Mapping[str, Reason]
    bars: int
    rules: tuple[Rules, ...] = ()
    steps: tuple[ScanStep, ...] = ()
    error: str | None = None
    live: bool = False
    holes: tuple[Hole, ...] = ()

    @classmethod
    def of(cls, day: date, seen: LookedAt, followed: Followed) -> ScannedSession:
        """What was found, and what came of it."""
        return cls(
            day,
            followed.kept,
            followed.visits,
            followed.instructions,
            seen.failures,
            seen.universe,
            seen.missing,
            seen.faults,
            seen.bars,
            holes=seen.holes,
        )


SessionScanned = ScannedSession | tuple[str, str]
"""A session's; of one that was not run its label and why."""


@dataclass(frozen=True)
class ScanResult:
    """Scans over a range of sessions. `dates`: of those asked for; `skipped`: those of them that were not run, and why.

    `timezone`: the calendar's. `timings_s`: seconds (wall clock) by phase. `forward`: what hits earned, where that was
    asked for.
    """

    name: str
    scans: tuple[str, ...]
    dates: tuple[str, ...]
    sessions: tuple[ScannedSession, ...]
    skipped: Mapping[str, str]
    timezone: str
    timings_s: Mapping[str, float]
    forward: ForwardReturns | None = None

    @classmethod
    def of(
        cls,
        name: str,
        scans: Iterable[str],
        dates: Sequence[date],
        timezone: str,
        done: Sequence[SessionScanned],
        timings_s: Mapping[str, float],
    ) -> ScanResult:
        """Of all sessions; BarrayError (`unaccounted`) where one was neither run nor skipped."""
        sessions = tuple(one for one in done if isinstance(one, ScannedSession))
        skipped = dict(one for one in done if isinstance(one, tuple))
        labels = tuple(day.isoformat() for day in dates)
        require_accounted(set(labels), [one.day.isoformat() for one in sessions], skipped)
        return cls(name, tuple(scans), labels, sessions, skipped, timezone, dict(timings_s))

    @classmethod
    def of_session(cls, name: str, one: ScannedSession, timezone: str) -> ScanResult:
        """One session's."""
        return cls(name, tuple(one.universe), (one.day.isoformat(),), (one,), {}, timezone, {})

    @cached_property
    def failures(self) -> tuple[ScanFailure, ...]:
        """Scans that ended before their session did."""
        return tuple(failure for one in self.sessions for failure in one.failures.values())

    @cached_property
    def hits(self) -> Table:
        """Who was kept at each time: a row a scan, time and symbol, with the numbers that were compared."""
        rows = [(one.day, kept) for one in self.sessions for kept in one.kept]
        names = list(dict.fromkeys(name for _, kept in rows for name in kept.values))
        columns = {
            "session": _days([day for day, _ in rows]),
            "timestamp": stamps(np.array([kept.at_ns for _, kept in rows], np.int64)),
            "scan": texts([kept.scan for _, kept in rows]),
            "symbol": texts([kept.symbol for _, kept in rows]),
            "place": Column(np.array([kept.place for _, kept in rows], np.int64)),
            "found": Column(np.array([kept.found for _, kept in rows], np.int64)),
            "score": floats_known(np.array([kept.score for _, kept in rows], np.float64)),
        }
        nothing = float("nan")
        for name in names:
            column = np.array([kept.values.get(name, nothing) for _, kept in rows], np.float64)
            columns[name if name not in columns else f"{name} (value)"] = floats_known(column)
        return Table(columns)

    @cached_property
    def history(self) -> Table:
        """Who was kept from when to when, with the numbers compared when it `came`, and `why` no longer."""
        rows = [(one.day, visit) for one in self.sessions for visit in one.visits]
        until = [visit.until_ns for _, visit in rows]
        known = np.array([at_ns or 0 for at_ns in until], np.int64)
        return Table(
            {
                "session": _days([day for day, _ in rows]),
                "scan": texts([visit.scan for _, visit in rows]),
                "symbol": texts([visit.symbol for _, visit in rows]),
                "since": stamps(np.array([visit.since_ns for _, visit in rows], np.int64)),
                "until": stamps(known, np.array([at_ns is None for at_ns in until], np.bool_)),
                "place": Column(np.array([visit.place for _, visit in rows], np.int64)),
                "best": Column(np.array([visit.best for _, visit in rows], np.int64)),
                "came": texts([told_of(visit.values) for _, visit in rows]),
                "why": texts([visit.why for _, visit in rows]),
            }
        )

    @cached_property
    def left_out(self) -> Table:
        """Symbols of a universe that no scan could look at, and those whose volume is compared with fewer sessions: a
        row a session and symbol, with the reason.
        """
        rows = [
            (one.day, symbol, reason)
            for one in self.sessions
            for symbol, reason in (
                *((symbol, "no bars by the last time that is looked at") for symbol in one.missing),
                *((symbol, str(reason)) for symbol, reason in sorted(one.faults.items())),
                *((hole.symbol, f"relative_volume goes without {hole.day}: {hole.reason}") for hole in one.holes),
            )
        ]
        return Table(
            {
                "session": _days([day for day, _, _ in rows]),
                "symbol": texts([symbol for _, symbol, _ in rows]),
                "reason": texts([reason for _, _, reason in rows]),
            }
        )


def _days(days: list[date]) -> Column:
    return Column(np.array(days, "datetime64[D]").astype(np.int32), "day")
