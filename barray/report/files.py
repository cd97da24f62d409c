"""A backtest's files: the report with its charts, and the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from barray.actors.backtest_actor import load_range
from barray.coordinator.prepare import PreparedRun
from barray.data_sources.atomic_folder import replacing_folder
from barray.data_sources.manager import DataManager
from barray.dump.files import FORMATS
from barray.export.results import table_names, write_tables
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.series import derive
from barray.report.charts import Chart, default_symbols
from barray.report.page import render_report
from barray.trading.engine.commands import LoadRange
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.numbers import ResultNumbers

_CANDLES = 1500
"""Bars that a chart shows at most; coarser ones are drawn where there would be more."""
_COARSER = ("1m", "2m", "5m", "15m", "30m", "1h", "1d", "1w")


def write_backtest(
    result: BacktestResult,
    run: PreparedRun,
    out: Path | None = None,
    numbers: ResultNumbers | None = None,
) -> list[Path]:
    """Write what the config's `report` asks for into `out` (default: its directory, and the config's name in it).

    All or nothing: files of an earlier result there go when all of this one's are written, and not before. `run`: what
    was run to come to `result`. ConfigError where `out` can't be written.
    """
    config = run.config
    folder = out or Path(config.report.directory) / config.name
    numbers = numbers or ResultNumbers.of(result)
    formats = config.report.formats
    page = ["report.html"] if "html" in formats else []
    charts = charts_of(result, run) if page else {}
    with replacing_folder(folder, ["report.html", *table_names(FORMATS)]) as draft:
        write_tables(result, draft, formats, numbers)
        for name in page:
            (draft / name).write_bytes(render_report(result, charts, numbers))
    return [folder / name for name in (*page, *table_names(formats))]


def charts_of(result: BacktestResult, run: PreparedRun) -> Mapping[str, Chart]:
    """Candles and indicators of the best and worst symbols, read from their source again; none where they can't be."""
    config, session_range = run.config, run.session_range
    symbols = default_symbols(result, -(-config.report.charts // 2), config.report.charts // 2)
    if not symbols:
        return {}
    manager = DataManager(config.data_sources)
    charts: dict[str, Chart] = {}
    for symbol in symbols:
        lineage = result.symbols[symbol].lineage
        if lineage is None:
            continue
        command = LoadRange(symbol, session_range, manager.source(lineage.source), lineage.interval, {})
        try:
            data = load_range(command).prepare(run.plan.strategy())
        except BarrayError:  # it was readable a moment ago; a report without this chart is still a report
            continue
        interval = _interval(data.interval, len(data.bars))
        bars = derive(data.base, interval, session_range.sessions, int(session_range.rows[0]))
        first = int(bars.session.searchsorted(int(session_range.rows[0])))
        lines = {
            name: values[first:] for name, values in data.indicators.items() if data.specs[name].interval == interval
        }
        charts[symbol] = Chart(str(interval), bars.bars.take(slice(first, None)), lines)
    return charts


def _interval(main: Interval, bars: int) -> Interval:
    """The strategy's interval, or the first coarser one with few enough bars."""
    if bars <= _CANDLES:
        return main
    for text in _COARSER:
        interval = Interval.parse(text)
        if main.derives(interval) and bars * main.ns / interval.ns <= _CANDLES:
            return interval
    return Interval.parse("1w")
