"""Who a scan finds, and why it ended where it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import FloatArray
from barray.market.errors import BarrayError
from barray.trading.scans.operators import BoolArray
from barray.trading.scans.plan import Plan
from barray.trading.strategy.failure import failure_text, file_of, place_in


@dataclass(frozen=True, eq=False)
class Hits:
    """Who passes at a time, the best first. `scores`: the ranking values, NaN where nothing ranks. `values`: the
    numbers compared, by terms' texts. All float64 (symbols,), or of the first symbols alone, see `first`.
    """

    at_ns: int
    symbols: tuple[str, ...]
    scores: FloatArray
    values: Mapping[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.symbols)

    def first(self, n: int | None) -> Hits:
        """The same, with scores and values of the first `n` alone; of all where None."""
        if n is None or n >= len(self.scores):
            return self
        return replace(self, scores=self.scores[:n], values={name: own[:n] for name, own in self.values.items()})

    def of(self, symbol: str) -> dict[str, float]:
        """The values of one that is found; ValueError where it isn't."""
        row = self.symbols.index(symbol)
        return {name: float(column[row]) for name, column in self.values.items()}


@dataclass(frozen=True)
class ScanFailure:
    """Why a scan ended before the session did. `at_ns`: the time that it could not be evaluated for, UTC ns."""

    scan: str
    at_ns: int
    reason: str


@dataclass(frozen=True, eq=False)
class SessionHits:
    """A scan's session: hits of each of its times, up to the one at which it failed, if it did."""

    scan: str
    hits: tuple[Hits, ...]
    failure: ScanFailure | None = None


def ordered(
    symbols: Sequence[str], left: BoolArray, scores: FloatArray | None, values: Mapping[str, FloatArray], at_ns: int
) -> Hits:
    """Those left, the highest score first, symbols in alphabetical order where there is none or it is the same; one
    whose score is NaN is not found.
    """
    if scores is None:
        rows = np.flatnonzero(left)
        own = np.full(len(rows), np.nan)
    else:
        rows = np.flatnonzero(left & ~np.isnan(scores))
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        own = scores[rows]
    found = tuple(symbols[i] for i in rows.tolist())
    return Hits(at_ns, found, own, {name: column[rows] for name, column in values.items()})


def failure_of(plan: Plan, error: Exception, at_ns: int, timezone: str) -> ScanFailure:
    """The error being handled, with its traceback, the scan's file and line, and the time that was looked at."""
    when = datetime.fromtimestamp(at_ns / 1_000_000_000, ZoneInfo(timezone))
    file = file_of(plan.scan)
    if isinstance(error, BarrayError):
        place = "" if file is None else f", {place_in(file, error)}"
        return ScanFailure(plan.name, at_ns, f"{error} ({plan.name}, {when:%Y-%m-%d %H:%M %Z}{place})")
    return ScanFailure(plan.name, at_ns, failure_text(file, plan.name, when))
