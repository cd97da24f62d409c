"""A backtest as one HTML file that opens anywhere, offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from barray.report.charts import MAX_CHARTS, Chart, default_symbols, page_data
from barray.report.document import document, write_document
from barray.report.markup import join
from barray.report.sections import account, orders, summary, symbols
from barray.trading.results.backtest import BacktestResult

__all__ = ["MAX_CHARTS", "Chart", "default_symbols", "render_report", "write_report"]


def write_report(result: BacktestResult, path: str | Path, charts: Mapping[str, Chart] | None = None) -> Path:
    """Write the report to `path`, whole or not at all, and give the path. The same result gives the same bytes.

    `charts`: candles by symbol, the first MAX_CHARTS are drawn; `default_symbols` says whose are worth it. ConfigError
    where `path` cannot be written.
    """
    return write_document(Path(path), render_report(result, charts or {}))


def render_report(result: BacktestResult, charts: Mapping[str, Chart]) -> bytes:
    """The page, UTF-8."""
    numbers = result.tables.numbers
    charted = min(MAX_CHARTS, sum(symbol in result.symbols for symbol in charts))
    body = join(
        (
            summary.headline(result, numbers),
            summary.validation(result),
            summary.logs(result),
            account.equity(result),
            account.months(numbers),
            symbols.extremes(result),
            symbols.symbols(result, numbers),
            symbols.candles(charted, len(result.symbols)),
            symbols.trades(result),
            orders.orders(result),
            orders.events(result),
            account.costs(result, numbers),
            account.settings(result),
            symbols.lineage(result),
            account.timings(result),
        )
    )
    return document(f"{result.name} · backtest", body, page_data(result, numbers, charts))
