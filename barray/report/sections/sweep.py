"""Sections of a sweep's page: what was tried, heat maps over its parameters, and a row a set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from barray.export.sweep import set_rows
from barray.report.markup import NOTHING, Html, count, folded, join, money, number, section, table, text, top
from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import score

MAX_SETS = 1000
_MAX_MAPS = 6
_FIGURES = ("pnl", "return_pct", "sharpe", "sortino", "close_drawdown_pct", "profit_factor", "win_rate_pct", "trades")


def headline(result: SweepResult) -> Html:
    """What was tried, on what."""
    span = f"{result.dates[0]} – {result.dates[-1]}" if result.dates else "no sessions"
    facts = (
        result.strategy,
        f"{count(len(result.rows), 'set')} by {_words(result.metric)}",
        span,
        count(len(result.dates), "session"),
        f"capital {money(result.capital)}",
        *((f"degraded: the machine failed, and lost {', '.join(result.lost)}",) if result.degraded else ()),
    )
    return top("Sweep report", result.name, facts)


def heat_maps(result: SweepResult) -> Html:
    """The best value of the metric over each pair of parameters that vary; nothing where fewer than two do."""
    names = list(result.rows[0].parameters) if result.rows else []
    varied = [name for name in names if len({row.parameters[name] for row in result.rows}) > 1]
    pairs = list(combinations(varied, 2))[:_MAX_MAPS]
    if not pairs:
        return Html("")
    maps = join(_heat_map(result, x, y) for x, y in pairs)
    return section("maps", "Heat maps", maps, note="The best value over all other parameters")


def _heat_map(result: SweepResult, x: str, y: str) -> Html:
    best: dict[tuple[Any, Any], float] = {}
    for row in result.ranked:
        best.setdefault((row.parameters[x], row.parameters[y]), score(row.figures(result.capital), result.metric))
    known = [value for value in best.values() if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    xs, ys = (sorted({row.parameters[name] for row in result.rows}) for name in (x, y))
    rows = ((value, *(_heat(best.get((column, value)), low, high) for column in xs)) for value in ys)
    caption = f"{_words(result.metric)} by {x} and {y}"
    return table((f"{y} \\ {x}", *map(str, xs)), rows, kind="map", name=caption)


def _heat(value: float | None, low: float, high: float) -> Html:
    if value is None or value == -math.inf:
        return Html("")
    share = 0.5 if high <= low else min(max((value - low) / (high - low), 0.0), 1.0)
    return Html(f'<i class="heat rank" style="--h:{100 * share:.0f}%">{number(value)}</i>')


def sets(result: SweepResult) -> Html:
    """A row a set, best first, those in error last; sortable."""
    if not result.rows:
        return section("sets", "Parameter sets", Html('<p class="empty">No set was tried.</p>'))
    parameters = list(result.rows[0].parameters)
    figures = (result.metric, *(name for name in _FIGURES if name != result.metric))
    rows = [_set_row(row, parameters, figures) for row in set_rows(result)[:MAX_SETS]]
    many = len(result.rows)
    notes = [f"The best {MAX_SETS:,} of {many:,}; the table beside this page has all"] if many > MAX_SETS else []
    if result.unlike:
        notes.append(f"{count(len(result.unlike), 'set')} {result.problem(result.unlike[0])}")
    note = ". ".join(notes)
    columns = [*parameters, *map(_words, figures)]
    return section("sets", "Parameter sets", table(columns, rows, left=0, kind="sortable sets"), note=note)


def logs(result: SweepResult) -> Html:
    """What the strategy printed and logged with the sets of which that is kept; nothing where it was silent."""
    if not result.logs:
        return Html("")
    parts = [
        folded(
            f"{of}: {count(len(said.lines) + said.left_out, 'line')}",
            table(("Symbol", "Line"), ((line.symbol or NOTHING, line.text) for line in said.lines), left=2),
        )
        for of, said in result.logs.items()
    ]
    note = "Kept of the first set, and of the first ten in error"
    return section("logs", "What the strategy said", *parts, note=note)


def _set_row(row: dict[str, Any], parameters: Sequence[str], figures: Sequence[str]) -> tuple[object, ...]:
    shown = (number(row.get(name), 0 if isinstance(row.get(name), int) else 2) for name in figures)
    return (*(text(row[name]) for name in parameters), *shown)


def _words(name: str) -> str:
    return name.replace("_", " ")
