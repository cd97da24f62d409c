"""Sections of a report on single symbols and trades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from barray.report.markup import (
    Html,
    count,
    digits,
    join,
    money,
    number,
    percent,
    price,
    section,
    table,
    text,
    tone,
    toned,
    when,
)
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import SymbolResult

MAX_TRADES = 500
_EXTREMES = 5


def extremes(result: BacktestResult) -> Html:
    """Best and worst symbols, as bars."""
    ranked = sorted(result.symbols.values(), key=lambda part: (-part.pnl, part.symbol))
    best = [part for part in ranked[:_EXTREMES] if part.pnl > 0]
    worst = [part for part in ranked[: -_EXTREMES - 1 : -1] if part.pnl < 0]
    if len(ranked) < 2 or not best + worst:
        return Html("")
    largest = max(abs(part.pnl) for part in best + worst)
    lists = (_ranking("Best", best, largest), _ranking("Worst", worst, largest))
    return section("extremes", "Best and worst symbols", Html(f'<div class="two">{join(lists)}</div>'))


def _ranking(title: str, parts: Sequence[SymbolResult], largest: float) -> Html:
    rows = (
        f'<li><span class="who">{text(part.symbol)}</span><span class="bar {tone(part.pnl)}" '
        f'style="--w:{100 * abs(part.pnl) / largest:.1f}%"></span>'
        f'<span class="n">{toned(money(part.pnl, sign=True), part.pnl)}</span></li>'
        for part in parts
    )
    return Html(f'<div><h3>{title}</h3><ol class="ranking">{"".join(rows) or "<li>None</li>"}</ol></div>')


def symbols(result: BacktestResult, numbers: ResultNumbers) -> Html:
    """A row a symbol, sortable."""
    if not result.symbols:
        return section("symbols", "Symbols", Html('<p class="empty">No symbol was run.</p>'))
    columns = (
        "Symbol",
        "Equity",
        "PnL",
        "Return",
        "Hold",
        "Sharpe",
        "Drawdown",
        "Trades",
        "Win rate",
        "Costs",
        "Turnover",
    )
    rows = (_symbol_row(part, result, numbers) for part in result.symbols.values())
    search = Html(
        '<input class="filter" type="search" placeholder="Filter symbols" '
        'aria-label="Filter symbols" data-of="#symbols table" hidden>'
    )
    content = table(columns, rows, left=2, kind="sortable symbols")
    return section("symbols", "Symbols", search if len(result.symbols) > 10 else "", content, note="Sort by any column")


def _symbol_row(part: SymbolResult, result: BacktestResult, numbers: ResultNumbers) -> tuple[object, ...]:
    figures = numbers.symbols[part.symbol]
    whole = 100.0 * part.pnl / result.capital if result.shared and result.capital else figures.return_pct
    fall = None if figures.max_drawdown_pct is None else -figures.max_drawdown_pct
    return (
        part.symbol,
        sparkline(part),
        toned(number(figures.pnl, 2, sign=True), figures.pnl),
        toned(percent(whole, sign=True), whole),
        percent(figures.hold_return_pct, sign=True),
        number(figures.sharpe),
        percent(fall) if fall is not None else number(-figures.max_drawdown),
        number(figures.trades + figures.open_trades, 0),
        percent(figures.win_rate_pct),
        number(figures.commission + (figures.slippage or 0.0)),
        number(figures.turnover, 1, "×"),
    )


def sparkline(part: SymbolResult, points: int = 32) -> Html:
    """A symbol's equity by session, no wider than a word."""
    values = np.concatenate(([0.0], np.cumsum(part.session_pnl)))
    if len(values) == 2 and len(part.equity) > 2:
        values = part.equity - part.capital
    if len(values) < 2 or not np.isfinite(values).all():
        return Html("")
    values = values[np.linspace(0, len(values) - 1, min(len(values), points)).round().astype(np.intp)]
    low, high = float(values.min()), float(values.max())
    heights = 18.0 - 16.0 * (values - low) / (high - low) if high > low else np.full(len(values), 10.0)
    path = " ".join(f"{x:.0f},{y:.1f}" for x, y in zip(np.linspace(1, 71, len(values)), heights, strict=True))
    return Html(
        f'<svg class="spark {tone(part.pnl)}" width="72" height="20" aria-hidden="true">'
        f'<polyline points="{path}"/></svg>'
    )


def candles(charted: int, symbols: int) -> Html:
    """Where the script draws trades on candles."""
    if not charted:
        return Html("")
    return section(
        "candles",
        "Trades on candles",
        Html('<div id="chart-tabs" class="tabs" role="tablist"></div><p id="chart-note" class="note"></p>'),
        Html('<div id="candle-chart" class="chart"></div>'),
        Html(
            '<p class="legend"><span class="key buy">▲</span> long entry <span class="key sell">▼</span> short entry '
            '<span class="key">○</span> exit <span class="key won">╱</span> profit '
            '<span class="key lost">╲</span> loss</p>'
        ),
        note=f"{charted} of {count(symbols, 'symbol')}",
    )


def trades(result: BacktestResult) -> Html:
    """The first trades of all symbols, in order of entry."""
    parts = [part for part in result.symbols.values() if len(part.trades)]
    many = sum(len(part.trades) for part in parts)
    if not many:
        return section("trades", "Trades", Html('<p class="empty">There were no trades.</p>'))
    entries = np.concatenate([part.trades.entry_ns for part in parts])
    owners = np.repeat(np.arange(len(parts)), [len(part.trades) for part in parts])
    rows = np.concatenate([np.arange(len(part.trades)) for part in parts])
    order = np.lexsort((rows, owners, entries))[:MAX_TRADES]
    shown = _trade_rows(result, parts, owners[order].tolist(), rows[order].tolist())
    columns = (
        "Symbol",
        "Side",
        "Entry",
        "Exit",
        "Quantity",
        "Price in",
        "Price out",
        "PnL",
        "Return",
        "Worst",
        "Best",
        "Bars",
    )
    left_out = (
        f"The first {MAX_TRADES:,} of {many:,}; trades.parquet, .csv or .json has all"
        if many > MAX_TRADES
        else count(many, "trade")
    )
    return section(
        "trades", "Trades", table(columns, shown, left=4, kind="sortable"), note=f"{left_out} · {result.timezone}"
    )


def _trade_rows(
    result: BacktestResult, parts: Sequence[SymbolResult], owners: Sequence[int], rows: Sequence[int]
) -> Iterator[tuple[object, ...]]:
    returns = [part.trades.return_pct for part in parts]
    for owner, row in zip(owners, rows, strict=True):
        trades = parts[owner].trades
        quantity, pnl = float(trades.quantity[row]), float(trades.pnl[row])
        out_ns = int(trades.exit_ns[row])
        yield (
            parts[owner].symbol,
            "long" if quantity > 0 else "short",
            when(int(trades.entry_ns[row]), result.timezone),
            when(out_ns, result.timezone) if out_ns >= 0 else "open",
            number(abs(quantity), digits(quantity)),
            price(float(trades.entry_price[row])),
            price(float(trades.exit_price[row])),
            toned(number(pnl, 2, sign=True), pnl),
            toned(percent(float(returns[owner][row]), sign=True), pnl),
            number(float(trades.mae[row])),
            number(float(trades.mfe[row])),
            number(int(trades.bars[row]), 0),
        )


def lineage(result: BacktestResult) -> Html:
    """Which source served which bars."""
    known = [
        (part.symbol, entry, f"{part.bars:,}" if number == 0 else "")
        for part in result.symbols.values()
        if part.lineage is not None
        for number, entry in enumerate((*(part.sources or (part.lineage,)), *((part.daily,) if part.daily else ())))
    ]
    if not known:
        return Html("")
    rows = (
        (
            symbol,
            entry.source if entry.dataset is None else f"{entry.source} ({entry.dataset})",
            str(entry.interval),
            when(entry.first_ns, result.timezone),
            when(entry.last_ns, result.timezone),
            f"{entry.bars:,}",
            bars,
        )
        for symbol, entry, bars in known
    )
    columns = ("Symbol", "Source", "Interval", "First bar", "Last bar", "Bars", "Run through")
    return section(
        "lineage", "Lineage", table(columns, rows, left=5, kind="sortable"), note=f"Starts of bars, {result.timezone}"
    )
