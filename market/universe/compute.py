"""Indicators of many symbols."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.indicators import SESSION_VWAP, IndicatorSpec, compute, session_spans, session_vwap, talib_values
from barray.market.universe.bars import UniverseBars

_EDGES = (slice(None, -1), slice(1, None))


def compute_universe(
    spec: IndicatorSpec, series: UniverseBars, wanted: IntArray | None = None
) -> dict[str, FloatArray]:
    """What `compute` gives for each symbol alone, stacked: float64 (n_bars,) by output, read-only.

    `wanted`: positions of the symbols that are asked for, ascending; the others' values are NaN. ValueError where the
    stack lacks a column that is needed.
    """
    if lacking := [name for name in spec.columns if name not in series.columns]:
        raise ValueError(f"{spec.key} needs the column {lacking[0]}, which was not read")
    if spec.own:
        values = _own_values(spec, series, range(len(series.symbols)) if wanted is None else wanted.tolist())
    elif spec.name == SESSION_VWAP:
        values = {"vwap": session_vwap(series.bars, _sessions(series, wanted))}
    else:
        begins, ends = (series.offsets[edge] if wanted is None else series.offsets[edge][wanted] for edge in _EDGES)
        values = talib_values(spec, series.bars, zip(begins.tolist(), ends.tolist(), strict=True))
    for column in values.values():
        column.flags.writeable = False
    return values


def _own_values(spec: IndicatorSpec, series: UniverseBars, wanted: Iterable[int]) -> dict[str, FloatArray]:
    """An own function is called for one symbol after another."""
    values = {name: np.full(len(series), np.nan) for name in spec.outputs}
    for i in wanted:
        symbol = series.symbols[i]
        for name, column in compute(spec, series.of(symbol)).values.items():
            values[name][series.rows(symbol)] = column
    return values


def _sessions(series: UniverseBars, wanted: IntArray | None) -> list[tuple[int, int]]:
    """Where each session's bars of the symbols start and stop."""
    of_symbol = np.repeat(np.arange(len(series.symbols)), np.diff(series.offsets))
    spans = session_spans(of_symbol * (int(series.session.max(initial=0)) + 1) + series.session)
    if wanted is None:
        return spans
    chosen = np.isin(of_symbol[[start for start, _ in spans]], wanted).tolist()
    return list(compress(spans, chosen))
