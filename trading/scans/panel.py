"""What a scan in plain Python is given to look at, and what it may return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import FloatArray
from barray.market.errors import ConfigError, shorten
from barray.trading.scans.across import Met
from barray.trading.scans.hits import Hits, SessionHits, failure_of, ordered
from barray.trading.scans.operators import BoolArray, Truth
from barray.trading.scans.plan import Plan

_MOST_NAMES = 12


@dataclass(frozen=True, eq=False)
class ScanPanel:
    """The symbols that are left at a time, and what the scan's `uses` names of them.

    `symbols` sorted. `now`: in the calendar's time zone. `panel["RSI(14)@5m"]`: float64 (symbols,) of a number, bool of
    a condition, object of labels, float64 (bars, symbols) of `bars("close", 30)`, oldest first; all read-only.
    """

    symbols: tuple[str, ...]
    now: datetime
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The values of one that `uses` names, ConfigError for another."""
        if name not in self.values:
            known = ", ".join(list(self.values)[:_MOST_NAMES]) or "nothing"
            raise ConfigError(f"the scan does not use {name!r}", remedy=f"name it in uses, which has: {known}")
        return self.values[name]

    def __len__(self) -> int:
        """How many symbols there are."""
        return len(self.symbols)


def found_by_form(plan: Plan, met: Met, times_ns: Any, timezone: str) -> SessionHits:
    """Who `scan(panel)` finds at each time, up to that at which it raises."""
    hits: list[Hits] = []
    for k, now_ns in enumerate(times_ns.tolist()):
        rows = np.flatnonzero(met.left[k])
        names = tuple(met.symbols[i] for i in rows.tolist())
        values = {name: _of_time(met.value(term), k, rows) for name, term in plan.uses.items()}
        shown = {term.text: _of_time(met.value(term), k, rows) for term in plan.shown}
        shown |= {name: one for name, one in values.items() if one.ndim == 1 and one.dtype == np.float64}
        now = datetime.fromtimestamp(now_ns / 1_000_000_000, ZoneInfo(timezone))
        try:
            left, scores = _answer(plan.scan.scan(ScanPanel(names, now, values)), names)
        except Exception as error:
            return SessionHits(plan.name, tuple(hits), failure_of(plan, error, now_ns, timezone))
        if scores is None and plan.rank is not None:
            scores = _of_time(met.value(plan.rank), k, rows)
        hits.append(ordered(names, left, scores, shown, now_ns))
    return SessionHits(plan.name, tuple(hits))


def _of_time(value: Any, k: int, rows: Any) -> Any:
    if isinstance(value, Truth):
        value = value.yes
    found = value[k if len(value) > 1 else 0][..., rows].copy()
    found.flags.writeable = False
    return found


def _answer(found: Any, symbols: tuple[str, ...]) -> tuple[BoolArray, FloatArray | None]:
    """Who is found, and scores where there are any."""
    if isinstance(found, Mapping):
        position = {symbol: i for i, symbol in enumerate(symbols)}
        if unknown := [one for one in found if one not in position]:
            raise ConfigError(f"scan returns {shorten(str(unknown[0]))!r}, which the panel does not have")
        scores = np.full(len(symbols), np.nan)
        for symbol, score in found.items():
            scores[position[symbol]] = score
        return ~np.isnan(scores), scores
    array = np.asarray(found)
    if array.shape != (len(symbols),) or array.dtype.kind not in "bfiu":
        raise ConfigError(
            f"scan returns {shorten(repr(found), 60)}",
            remedy="return a bool or a number for each of panel.symbols, or a mapping",
        )
    if array.dtype.kind == "b":
        return array, None
    scores = array.astype(np.float64)
    return ~np.isnan(scores), scores
