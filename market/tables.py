"""A symbol's bars, indicators, quality and gaps as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from barray.market.bars import COLUMNS
from barray.market.indicators import IndicatorData
from barray.market.quality import Quality
from barray.market.series import IntervalBars
from barray.market.table import Column, Table, floats_known, stamps, texts

Qualities = Mapping[str, Mapping[str, Quality]]
"""By part (session, history), then interval."""


def bars_table(series: IntervalBars, adhoc_starts: Sequence[int]) -> Table:
    """Bars of one interval; `adhoc_starts`: starts of those added by hand, UTC ns."""
    starts = series.bars.start_ns
    return Table(
        {
            "timestamp": stamps(starts),
            **{column: Column(getattr(series.bars, column)) for column in COLUMNS},
            "end": stamps(series.end_ns),
            "expected": Column(series.expected),
            "actual": Column(series.actual),
            "complete": Column(series.complete),
            "history": Column(np.arange(len(series)) < series.history),
            "adhoc": Column(np.isin(starts, adhoc_starts)),
        }
    )


def indicators_table(series: IntervalBars, indicators: Mapping[str, IndicatorData]) -> Table:
    """Indicators of one interval's bars, by their keys."""
    columns = {"timestamp": stamps(series.bars.start_ns)}
    for key, indicator in indicators.items():
        if indicator.spec.interval == series.interval:
            for output, values in indicator.values.items():
                columns[key if len(indicator.values) == 1 else f"{key}.{output}"] = floats_known(values)
    return Table(columns)


def quality_table(qualities: Qualities) -> Table:
    """Shares of the expected bars that are there."""
    rows = list(_rows(qualities))
    shares = [np.nan if quality.share is None else quality.share for _, _, quality in rows]
    return Table(
        {
            "interval": texts([name for name, _, _ in rows]),
            "part": texts([part for _, part, _ in rows]),
            "share": floats_known(np.array(shares, np.float64)),
            "expected": Column(np.array([quality.expected for _, _, quality in rows], np.int64)),
            "actual": Column(np.array([quality.actual for _, _, quality in rows], np.int64)),
            "gaps": Column(np.array([len(quality.gaps) for _, _, quality in rows], np.int64)),
        }
    )


def gaps_table(qualities: Qualities) -> Table:
    """The gaps themselves."""
    rows = [(name, part, gap) for name, part, quality in _rows(qualities) for gap in quality.gaps]
    return Table(
        {
            "interval": texts([name for name, _, _ in rows]),
            "part": texts([part for _, part, _ in rows]),
            "start": stamps(np.array([gap.start_ns for _, _, gap in rows], np.int64)),
            "end": stamps(np.array([gap.end_ns for _, _, gap in rows], np.int64)),
            "missing": Column(np.array([gap.missing for _, _, gap in rows], np.int64)),
        }
    )


def _rows(qualities: Qualities) -> Iterator[tuple[str, str, Quality]]:
    for part, found in qualities.items():
        for name, quality in found.items():
            yield name, part, quality
