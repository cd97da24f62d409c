"""A backtest as one HTML file that opens anywhere, offline: no request leaves the page, and its policy forbids any."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from barray.data_sources.atomic_file import replacing
from barray.report.charts import MAX_CHARTS, Chart, default_symbols, page_data
from barray.report.markup import Html, join, text
from barray.report.sections import account, summary, symbols
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import BacktestResult

__all__ = ["MAX_CHARTS", "Chart", "default_symbols", "render_report", "write_report"]

_HERE = Path(__file__).parent


def write_report(
    result: BacktestResult,
    path: str | Path,
    charts: Mapping[str, Chart] | None = None,
    numbers: ResultNumbers | None = None,
) -> Path:
    """Write the report to `path`, whole or not at all, and give the path. The same result gives the same bytes.

    `charts`: candles by symbol, the first MAX_CHARTS are drawn; `default_symbols` says whose are worth it. `numbers`:
    `ResultNumbers.of(result)`, where they are at hand already. ConfigError where `path` cannot be written.
    """
    page = render_report(result, charts or {}, numbers or ResultNumbers.of(result))
    target = Path(path)
    with replacing(target) as temporary:
        temporary.write_bytes(page)
    return target


def render_report(result: BacktestResult, charts: Mapping[str, Chart], numbers: ResultNumbers) -> bytes:
    """The page, UTF-8."""
    script = (_HERE / "page.js").read_text("utf-8")
    styles = (_HERE / "page.css").read_text("utf-8")
    charted = min(MAX_CHARTS, sum(symbol in result.symbols for symbol in charts))
    body = join(
        (
            summary.headline(result, numbers),
            summary.validation(result),
            account.equity(result),
            account.months(numbers),
            symbols.extremes(result),
            symbols.symbols(result, numbers),
            symbols.candles(charted, len(result.symbols)),
            symbols.trades(result),
            account.costs(result, numbers),
            account.settings(result),
            symbols.lineage(result),
            account.timings(result),
        )
    )
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(result.name)} · backtest</title>\n<style>{styles}</style>\n</head>\n"
    )
    before = f'{head}<body>\n<main>\n{body}</main>\n<script id="data" type="application/json">'
    after = f"</script>\n<script>{script}</script>\n</body>\n</html>\n"
    return _utf8(before) + page_data(result, numbers, charts) + _utf8(after)


def _policy(script: str) -> Html:
    """Nothing is fetched, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Html(f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'")


def _utf8(page: str) -> bytes:
    return page.encode("utf-8", "replace")  # what a vendor sends may hold half a surrogate pair
