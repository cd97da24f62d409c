"""Scans in plain Python, called at each of their times, and what they may return."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import FloatArray
from barray.market.errors import ConfigError, shorten
from barray.trading.scans.across import Met
from barray.trading.scans.hits import Hits, SessionHits, failure_of, ordered
from barray.trading.scans.operators import BoolArray, Truth
from barray.trading.scans.panel import ScanPanel
from barray.trading.scans.plan import Plan


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
