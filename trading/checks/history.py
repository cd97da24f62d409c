"""A strategy run with another length of history, and what its indicators then knew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.checks.decisions import Decisions, decisions_of
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData


def run_with(loaded: LoadedRange, plan: Plan, factor: float = 1) -> tuple[SymbolData, Decisions]:
    """The data and the decisions of a fresh strategy with `factor` times the history, as far as it is loaded."""
    session_range, first = loaded.session_range, first_session(loaded)
    history = {row: max(row - times(row - start, factor), first) for row, start in session_range.history.items()}
    daily = {row: row - times(row - start, factor) for row, start in session_range.daily.items()}
    begin = int(np.searchsorted(loaded.base.session, min(history.values())))
    changed = replace(
        loaded,
        base=loaded.base.take(slice(begin, len(loaded.base))),
        session_range=replace(session_range, history=history, daily=daily),
    )
    data = changed.prepare(plan.strategy())
    return data, decisions_of(plan, data, session_range.timezone)


def first_session(loaded: LoadedRange) -> int:
    """The row of the first session that is loaded."""
    return int(loaded.base.session[0])


def times(sessions: int, factor: float) -> int:
    """How many sessions `factor` times as many are; of none, as of one."""
    return round(max(sessions, 1) * factor) if factor != 1 else sessions


def known_at(name: str, data: SymbolData, ns: IntArray) -> FloatArray:
    """An indicator's values known at times (UTC ns), float64 (n,); NaN where none is."""
    rows = np.searchsorted(data.series[data.specs[name].interval].end_ns, ns, side="right") - 1
    values = data.indicators[name]
    known: FloatArray = (
        np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan) if len(values) else np.full(len(rows), np.nan)
    )
    return known


def median_size(values: FloatArray) -> float:
    """The median size of values, 0 for none."""
    return float(np.nanmedian(np.abs(values))) if not np.isnan(values).all() else 0.0
