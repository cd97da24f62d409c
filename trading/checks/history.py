"""A strategy run with another length of history, and what its indicators then knew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.session_range import SessionRange
from barray.trading.checks.decisions import Decisions
from barray.trading.checks.subject import Subject
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData


def run_with(subject: Subject, factor: float = 1) -> tuple[list[SymbolData], Decisions]:
    """The data and the decisions of a fresh strategy with `factor` times the history, as far as it is loaded."""
    session_range, first = subject.session_range, first_session(subject)
    history = {row: max(row - times(row - start, factor), first) for row, start in session_range.history.items()}
    daily = {row: row - times(row - start, factor) for row, start in session_range.daily.items()}
    other = replace(session_range, history=history, daily=daily)
    return replace(subject, loaded=tuple(_since(one, other) for one in subject.loaded)).decided()


def _since(loaded: LoadedRange, session_range: SessionRange) -> LoadedRange:
    """A symbol's bars from where a range's history begins."""
    begin = int(np.searchsorted(loaded.base.session, session_range.first_row))
    return replace(loaded, base=loaded.base.take(slice(begin, len(loaded.base))), session_range=session_range)


def first_session(subject: Subject) -> int:
    """The row of the first session that is loaded of any symbol."""
    return min(int(one.base.session[0]) for one in subject.loaded)


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
