"""A sweep's table as files: for a spreadsheet, and as a page with a heat map."""

from __future__ import annotations

import csv
import io
from html import escape
from pathlib import Path
from typing import Any

from barray.data_sources.atomic_file import replacing
from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import SetRow, score


def write_sweep(result: SweepResult, directory: Path) -> list[Path]:
    """`NAME-sweep.csv`, a row a set, best first, and `NAME-sweep.html`; returns their paths."""
    table, page = directory / f"{result.name}-sweep.csv", directory / f"{result.name}-sweep.html"
    for path, text in ((table, _csv(result)), (page, _page(result))):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [table, page]


def _rows(result: SweepResult) -> list[dict[str, Any]]:
    ranked = [{**row.parameters, **row.figures(result.capital), "error": ""} for row in result.ranked]
    return [*ranked, *({**row.parameters, "error": row.error} for row in result.rows if row.error)]


def _csv(result: SweepResult) -> str:
    rows = _rows(result)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _page(result: SweepResult) -> str:
    """One self-contained page: heat maps over each pair of parameters, and the table."""
    names = list(result.rows[0].parameters) if result.rows else []
    varied = [name for name in names if len({row.parameters[name] for row in result.rows}) > 1]
    pairs = [(x, y) for i, x in enumerate(varied) for y in varied[i + 1 :]][:6]
    maps = "".join(_heat_map(result, x, y) for x, y in pairs)
    columns = [*names, *(n for n in _SHOWN if n != result.metric)]
    columns.insert(len(names), result.metric)
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(row.get(name)))}</td>" for name in columns) + "</tr>"
        for row in _rows(result)[:_MOST]
    )
    title = escape(f"{result.name}: {result.strategy}, {len(result.rows)} sets by {result.metric}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(result.dates[0])} to {escape(result.dates[-1])}; a heat map shows the best value"
        f" over all other parameters.</p>{maps}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


_SHOWN = ("pnl", "return_pct", "sharpe", "sortino", "max_drawdown_pct", "profit_factor", "win_rate_pct", "trades")
_MOST = 1000
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
h1 { font-size: 1.4rem }
table { border-collapse: collapse; margin: 1.5rem 0; display: block; overflow-x: auto }
td { font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right }
td { border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent) }
.map td { border: 0; color: #000; min-width: 3.5rem }
caption { text-align: left }
"""


def _heat_map(result: SweepResult, x: str, y: str) -> str:
    best: dict[tuple[Any, Any], float] = {}
    for row in result.ranked:
        best.setdefault((row.parameters[x], row.parameters[y]), _score(result, row))
    known = [value for value in best.values() if value != float("-inf")]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    xs, ys = (sorted({row.parameters[name] for row in result.rows}) for name in (x, y))
    lines = [f"<tr><th>{escape(y)} \\ {escape(x)}</th>{''.join(f'<th>{escape(str(v))}</th>' for v in xs)}</tr>"]
    for value in ys:
        cells = "".join(_cell(best.get((column, value)), low, high) for column in xs)
        lines.append(f"<tr><th>{escape(str(value))}</th>{cells}</tr>")
    caption = escape(f"{result.metric.replace('_', ' ')} by {x} and {y}")
    return f'<table class="map"><caption>{caption}</caption>{"".join(lines)}</table>'


def _score(result: SweepResult, row: SetRow) -> float:
    return score(row.figures(result.capital), result.metric)


def _cell(value: float | None, low: float, high: float) -> str:
    if value is None or value == float("-inf"):
        return "<td></td>"
    share = 0.5 if high <= low else (value - low) / (high - low)
    hue, light = 25 + 120 * share, 62 + 18 * abs(share - 0.5)
    return f'<td style="background:hsl({hue:.0f} 55% {light:.0f}%)">{_text(value)}</td>'


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
