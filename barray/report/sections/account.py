"""Sections of a report on the run as a whole."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from barray.report.markup import (
    NOTHING,
    Html,
    money,
    number,
    pairs,
    section,
    table,
    tone,
    toned,
)
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.numbers import ResultNumbers

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def equity(result: BacktestResult) -> Html:
    """Where the script draws equity, drawdown and exposure."""
    if not len(result.account_equity):
        return section("equity", "Equity", Html('<p class="empty">No session was run.</p>'))
    return section(
        "equity",
        "Equity, drawdown and exposure",
        Html('<div id="equity-chart" class="chart">Charts need JavaScript.</div>'),
        note=f"Times of {result.timezone} · drag to zoom",
    )


def months(numbers: ResultNumbers) -> Html:
    """Returns by month, a row a year, with the year's."""
    if not numbers.months:
        return Html("")
    years: dict[str, dict[int, float]] = {}
    for month, value in numbers.months.items():
        years.setdefault(month[:4], {})[int(month[5:])] = value
    largest = max(abs(value) for value in numbers.months.values()) or 1.0
    rows = (
        (year, *(_heat(found.get(month), largest) for month in range(1, 13)), _year(found.values()))
        for year, found in sorted(years.items())
    )
    return section("months", "Monthly returns", table(("Year", *_MONTHS, "Year"), rows, kind="months"), note="Per cent")


def _heat(value: float | None, largest: float) -> Html:
    if value is None:
        return Html("")
    strength = round(10 + 62 * abs(value) / largest)
    return Html(f'<i class="heat {tone(value)}" style="--h:{strength}%">{number(value, 2, sign=True)}</i>')


def _year(values: Iterable[float]) -> Html:
    whole = 100.0 * (float(np.prod([1.0 + value / 100.0 for value in values])) - 1.0)
    return toned(number(whole, 2, sign=True), whole)


def costs(result: BacktestResult, numbers: ResultNumbers) -> Html:
    """What trading cost, and what the result would have been without."""
    total = numbers.total
    slippage = total.slippage or 0.0
    fills = [part.fills for part in result.symbols.values()]
    value = float(sum((np.abs(one.quantity) * one.price).sum() for one in fills))
    spent = total.commission + slippage
    entries = {
        "Commission": money(total.commission),
        "Slippage": money(slippage),
        "Together": money(spent),
        "Profit before costs": money(total.pnl + spent, sign=True),
        "Profit after costs": money(total.pnl, sign=True),
        "Fills": number(sum(len(one) for one in fills), 0),
        "Value traded": money(value),
        "Costs in basis points of it": number(1e4 * spent / value if value else None),
        "Turnover of mean equity": number(total.turnover, 1, "×"),
    }
    return section("costs", "Costs", pairs(entries))


def settings(result: BacktestResult) -> Html:
    """Parameters of the strategy and settings of the run."""
    about = {"Strategy": result.strategy, "Source": result.source, "Form": result.form}
    return section(
        "settings",
        "Parameters and settings",
        Html(f'<div class="two"><div><h3>Parameters</h3>{pairs({**about, **result.parameters})}</div>'),
        Html(f"<div><h3>Settings</h3>{pairs(result.settings)}</div></div>"),
    )


def timings(result: BacktestResult) -> Html:
    """What took how long."""
    bars, engine_s = (
        sum(part.bars for part in result.symbols.values()),
        sum(part.engine_s for part in result.symbols.values()),
    )
    entries = {name: f"{number(taken, 3)} s" for name, taken in result.timings_s.items()}
    entries |= {f"Step 0, answers of {name}": f"{number(taken, 3)} s" for name, taken in _answers_s(result).items()}
    entries["engine, all symbols"] = f"{number(engine_s, 3)} s"
    entries["bars run through"] = f"{bars:,}"
    entries["bars a second in the engine"] = f"{bars / engine_s:,.0f}" if engine_s > 0 else NOTHING
    return section("timings", "Timings", pairs(entries))


def _answers_s(result: BacktestResult) -> dict[str, float]:
    """How long each source took to answer for all symbols, by name, in the order they were asked."""
    taken: dict[str, float] = {}
    for found in result.step0.values():
        for name, asked_s in zip(found.sources_asked, found.asked_s, strict=False):  # none where it is not known
            taken[name] = taken.get(name, 0.0) + asked_s
    return taken
