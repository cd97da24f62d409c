"""A symbol's bars, indicators, quality and gaps as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from barray.market.bars import COLUMNS
from barray.market.errors import ConfigError
from barray.market.quality import Quality
from barray.market.series import IntervalBars
from barray.market.table import Column, Table, floats_known, stamps, texts

if TYPE_CHECKING:
    from barray.market.symbol_data import SymbolSessionData


def symbol_table(data: SymbolSessionData, what: str, interval: str | None) -> Table:
    """See SymbolSessionData.table."""
    if what == "quality":
        return _quality(data)
    if what == "gaps":
        return _gaps(data)
    if what not in ("bars", "indicators"):
        raise ConfigError(f"{what!r} is no table of a symbol", remedy="choose bars, indicators, quality or gaps")
    name = str(data.base_interval) if interval is None and data.base_interval else str(interval)
    series = data.bars.get(name)
    if series is None:
        raise ConfigError(
            f"there are no bars of {name}", symbol=data.symbol, remedy=f"choose from {', '.join(data.bars) or 'none'}"
        )
    return _bars(data, name, series) if what == "bars" else _indicators(data, name, series)


def _bars(data: SymbolSessionData, name: str, series: IntervalBars) -> Table:
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
            "adhoc": Column(np.isin(starts, data.adhoc_bars.get(name, ()))),
        }
    )


def _indicators(data: SymbolSessionData, name: str, series: IntervalBars) -> Table:
    columns = {"timestamp": stamps(series.bars.start_ns)}
    for key, indicator in data.indicators.items():
        if str(indicator.spec.interval) == name:
            for output, values in indicator.values.items():
                columns[key if len(indicator.values) == 1 else f"{key}.{output}"] = floats_known(values)
    return Table(columns)


def _quality(data: SymbolSessionData) -> Table:
    rows = list(_qualities(data))
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


def _gaps(data: SymbolSessionData) -> Table:
    rows = [(name, part, gap) for name, part, quality in _qualities(data) for gap in quality.gaps]
    return Table(
        {
            "interval": texts([name for name, _, _ in rows]),
            "part": texts([part for _, part, _ in rows]),
            "start": stamps(np.array([gap.start_ns for _, _, gap in rows], np.int64)),
            "end": stamps(np.array([gap.end_ns for _, _, gap in rows], np.int64)),
            "missing": Column(np.array([gap.missing for _, _, gap in rows], np.int64)),
        }
    )


def _qualities(data: SymbolSessionData) -> Iterator[tuple[str, str, Quality]]:
    for part, found in (("session", data.quality), ("history", data.history_quality)):
        for name, quality in found.items():
            yield name, part, quality
