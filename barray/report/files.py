"""A backtest's files: the report with its charts, and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from barray.actors.loading import load_range
from barray.coordinator.prepare import PreparedRun
from barray.data_sources.atomic_folder import replacing_folder
from barray.data_sources.object_store.publish import Place, below, published
from barray.dump.files import FORMATS
from barray.export.results import table_names, write_tables
from barray.export.scan import write_scan
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.series import derive
from barray.market.session_range import RangeValidation, SessionRange, SourceSpan
from barray.market.symbol_data import Lineage
from barray.report.charts import Chart, default_symbols
from barray.report.page import render_report
from barray.trading.engine.commands import LoadRange
from barray.trading.results.backtest import BacktestResult

_CANDLES = 1500
"""Bars that a chart shows at most; coarser ones are drawn where there would be more."""
_COARSER = ("1m", "2m", "5m", "15m", "30m", "1h", "1d", "1w")


def write_backtest(result: BacktestResult, run: PreparedRun, out: Place | None = None) -> list[Place]:
    """Write what the config's `report` asks for into `out` (default: its directory, and the config's name in it).

    All or nothing: files of an earlier result there go when all of this one's are written, and not before. What scans
    found goes into the folder `scans` there, see `write_scan`. `run`: what was run to come to `result`. `out` may be in
    an object store, see `published`; ConfigError where it can't be.
    """
    config = run.config
    folder = out or below(config.report.directory, config.name)
    formats = config.report.formats
    page = ["report.html"] if "html" in formats else []

    def write(folder: Path) -> list[Path]:
        with (
            replacing_folder(folder, ["report.html", *table_names(FORMATS)]) as draft,
            ThreadPoolExecutor(1) as beside,  # reading decodes, and writing encodes: neither holds up the other
        ):
            charts = beside.submit(charts_of, result, run) if page else None
            write_tables(result, draft, formats)
            if charts is not None:
                (draft / page[0]).write_bytes(render_report(result, charts.result()))
        written = [folder / name for name in (*page, *table_names(formats))]
        if result.scanned is not None:
            written += write_scan(result.scanned, folder / "scans", [one for one in formats if one != "html"])
        return written

    return published(folder, config.name, write)


def charts_of(result: BacktestResult, run: PreparedRun) -> Mapping[str, Chart]:
    """Candles and indicators of the best and worst symbols, read from their source again; none where they can't be."""
    config, session_range = run.config, run.session_range
    symbols = default_symbols(result, -(-config.report.charts // 2), config.report.charts // 2)
    if not symbols:
        return {}
    manager = config.data_manager
    charts: dict[str, Chart] = {}
    for symbol in symbols:
        lineage = result.symbols[symbol].lineage
        if lineage is None or symbol not in result.step0:  # of one that was added, for a session alone
            continue
        spans = _spans(result.symbols[symbol].sources or (lineage,), session_range)
        reader = manager.reader(RangeValidation(result.step0[symbol], spans=spans))
        command = LoadRange(symbol, session_range, reader, lineage.interval, {}, manager.daily)
        try:
            data = load_range(command).prepare(run.plan.strategy())
        except BarrayError:  # it was readable a moment ago; a report without this chart is still a report
            continue
        interval = _interval(data.interval, len(data.bars))
        bars = data.series.get(interval) or derive(
            data.base, interval, session_range.sessions, int(session_range.rows[0])
        )
        first = int(bars.session.searchsorted(int(session_range.rows[0])))
        lines = {
            name: values[first:] for name, values in data.indicators.items() if data.specs[name].interval == interval
        }
        charts[symbol] = Chart(str(interval), bars.bars.take(slice(first, None)), lines)
    return charts


def _spans(lineages: Sequence[Lineage], session_range: SessionRange) -> tuple[SourceSpan, ...]:
    """Which source to read which sessions from: each up to the session of its last bar."""
    sessions = session_range.sessions
    rows = np.searchsorted(sessions.open_ns, [one.last_ns or 0 for one in lineages], side="right") - 1
    return tuple(
        SourceSpan(one.source, sessions.dates[row].item()) for one, row in zip(lineages, rows.tolist(), strict=True)
    )


def _interval(main: Interval, bars: int) -> Interval:
    """The strategy's interval, or the first coarser one with few enough bars."""
    if bars <= _CANDLES:
        return main
    for text in _COARSER:
        interval = Interval.parse(text)
        if main.derives(interval) and bars * main.ns / interval.ns <= _CANDLES:
            return interval
    return Interval.parse("1w")
