"""The sections of a report, one function each, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import isnan
from zoneinfo import ZoneInfo

import numpy as np

from barray.report_html import (
    NOTHING,
    Html,
    folded,
    join,
    money,
    number,
    pairs,
    percent,
    section,
    table,
    text,
    tone,
    toned,
)
from barray.result_numbers import ResultNumbers
from market.interval import NS_PER_SECOND
from trading.results import BacktestResult, SymbolResult

MAX_TRADES = 500
_MAX_REFUSALS = 100
_MAX_NAMED = 12
_EXTREMES = 5
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def headline(result: BacktestResult, numbers: ResultNumbers) -> Html:
    """What was run, and what came of it."""
    total = numbers.total
    span = f"{result.dates[0]} – {result.dates[-1]}" if result.dates else "no sessions"
    facts = (
        result.strategy,
        f"{result.form} form",
        span,
        _count(len(result.dates), "session"),
        _count(len(result.symbols), "symbol"),
        f"{result.base_interval} bars",
        result.calendar,
        "shared account" if result.shared else "an account a symbol",
    )
    against = (
        f"Buy and hold {percent(total.hold_return_pct, sign=True)}"
        if total.hold_return_pct is not None
        else "No buy and hold to compare with"
    )
    return Html(
        f'<header class="top"><p class="kicker">Backtest report</p><h1>{text(result.name)}</h1>'
        f'<ul class="facts">{join(Html(f"<li>{text(fact)}</li>") for fact in facts if fact)}</ul></header>\n'
        f'<div class="headline"><div class="hero"><p class="label">Total profit</p>'
        f'<p class="big {tone(total.pnl)}">{money(total.pnl, sign=True)}</p>'
        f"<p>{toned(percent(total.return_pct, sign=True), total.return_pct)} on {money(result.capital)}</p>"
        f"<p>{against}</p></div>{_tiles(result, numbers)}</div>\n"
    )


def _tiles(result: BacktestResult, numbers: ResultNumbers) -> Html:
    total = numbers.total
    traded_pct = 100.0 * (total.commission + (total.slippage or 0.0)) / result.capital if result.capital else None
    tiles = (
        ("CAGR", percent(total.cagr_pct, sign=True), f"volatility {percent(total.volatility_pct)}"),
        ("Sharpe", number(total.sharpe), f"Sortino {number(total.sortino)}"),
        (
            "Max drawdown",
            percent(-total.max_drawdown_pct if total.max_drawdown_pct is not None else None),
            f"{_count(total.max_drawdown_sessions, 'session')} under water",
        ),
        ("Trades", number(total.trades, 0), f"{number(total.open_trades, 0)} still open"),
        ("Win rate", percent(total.win_rate_pct), f"profit factor {number(total.profit_factor)}"),
        ("Expectancy", number(total.expectancy, sign=True), "a trade, after commission"),
        ("Exposure", percent(total.exposure_pct), f"turnover {number(total.turnover, 1)}×"),
        ("Costs", money(total.commission + (total.slippage or 0.0)), f"{percent(traded_pct)} of capital"),
    )
    shown = (
        f'<div class="tile"><p class="label">{name}</p><p class="value">{value}</p><p class="sub">{beside}</p></div>'
        for name, value, beside in tiles
    )
    return Html(f'<div class="tiles">{"".join(shown)}</div>')


def validation(result: BacktestResult) -> Html:
    """Who was left out or stopped, and why."""
    parts = result.symbols.values()
    skipped = [part for part in parts if part.skipped]
    failed = [part for part in parts if part.error is not None]
    refused = [part for part in parts if part.refusals]
    counts = (
        (len(parts) - len(failed), "ran to the end", "good"),
        (len(result.dropped), "dropped in Step 0", "bad" if result.dropped else ""),
        (len(skipped), "with sessions skipped", "warn" if skipped else ""),
        (len(failed), "stopped by an error", "bad" if failed else ""),
        (len(refused), "with orders refused", "warn" if refused else ""),
    )
    content = [
        Html('<ul class="counts">'),
        *(Html(f'<li class="{kind}"><b>{count:,}</b> {text(name)}</li>') for count, name, kind in counts),
        Html("</ul>"),
    ]
    if result.error is not None:
        content.append(_failure("The run stopped", result.error))
    if result.dropped:
        rows = ((symbol, " · ".join(reasons)) for symbol, reasons in result.dropped.items())
        content.append(table(("Dropped symbol", "Reasons"), rows, left=2, kind="reasons"))
    if skipped:
        content.append(_skipped(skipped, len(result.dates)))
    content.extend(
        _failure(f"{part.symbol}: the strategy raised{_when(part.error_ns, result, ' at ')}", part.error or "")
        for part in failed
    )
    if refused:
        content.append(_refusals(refused, result))
    return section("validation", "Validation", *content, note="Symbols, sessions and orders that were left out")


def _failure(what: str, trace: str) -> Html:
    last = trace.strip().splitlines()[-1:] or [""]
    summary = Html(f'<span class="loss">{text(what)}</span> <code>{text(last[0][:200])}</code>')
    return folded(summary, Html(f"<pre>{text(trace)}</pre>"))


def _skipped(parts: Sequence[SymbolResult], sessions: int) -> Html:
    rows = (
        (part.symbol, number(len(part.skipped), 0), number(sessions - len(part.skipped), 0), _few(part.skipped.items()))
        for part in parts
    )
    return table(("Symbol", "Skipped", "Run", "Reasons"), rows, kind="reasons skipped")


def _few(items: Iterable[tuple[str, str]]) -> str:
    entries = [f"{day}: {reason}" for day, reason in items]
    more = f" · and {len(entries) - 3} more" if len(entries) > 3 else ""
    return " · ".join(entries[:3]) + more


def _refusals(parts: Sequence[SymbolResult], result: BacktestResult) -> Html:
    found = sorted(((refusal.bar_ns, part.symbol, refusal) for part in parts for refusal in part.refusals), key=_first)
    rows = (
        (_when(at, result), symbol, refusal.reason, number(refusal.quantity, _digits(refusal.quantity), sign=True))
        for at, symbol, refusal in found[:_MAX_REFUSALS]
    )
    more = f", the first {_MAX_REFUSALS} of {len(found):,}" if len(found) > _MAX_REFUSALS else ""
    listed = table(("Bar", "Symbol", "Reason", "Quantity"), rows, left=3)
    return folded(f"{_count(len(found), 'order')} refused, in whole or in part{more}", listed)


def _first(entry: tuple[int, str, object]) -> tuple[int, str]:
    return entry[:2]


def equity(result: BacktestResult) -> Html:
    """Where the script draws equity and drawdown."""
    if not len(result.equity):
        return section("equity", "Equity", Html('<p class="empty">No session was run.</p>'))
    return section(
        "equity",
        "Equity and drawdown",
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
        note=f"{charted} of {_count(symbols, 'symbol')}",
    )


def trades(result: BacktestResult) -> Html:
    """The first trades of all symbols, in order of entry."""
    parts = [part for part in result.symbols.values() if len(part.trades)]
    count = sum(len(part.trades) for part in parts)
    if not count:
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
        f"The first {MAX_TRADES:,} of {count:,}; trades.parquet, .csv or .json has all"
        if count > MAX_TRADES
        else _count(count, "trade")
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
            _when(int(trades.entry_ns[row]), result),
            _when(out_ns, result) if out_ns >= 0 else "open",
            number(abs(quantity), _digits(quantity)),
            _price(float(trades.entry_price[row])),
            _price(float(trades.exit_price[row])),
            toned(number(pnl, 2, sign=True), pnl),
            toned(percent(float(returns[owner][row]), sign=True), pnl),
            number(float(trades.mae[row])),
            number(float(trades.mfe[row])),
            number(int(trades.bars[row]), 0),
        )


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


def lineage(result: BacktestResult) -> Html:
    """Which source served which bars."""
    known = [(part.symbol, part.lineage, part.bars) for part in result.symbols.values() if part.lineage is not None]
    if not known:
        return Html("")
    rows = (
        (
            symbol,
            entry.source,
            str(entry.interval),
            _when(entry.first_ns, result),
            _when(entry.last_ns, result),
            f"{entry.bars:,}",
            f"{bars:,}",
        )
        for symbol, entry, bars in known
    )
    columns = ("Symbol", "Source", "Interval", "First bar", "Last bar", "Bars", "Run through")
    return section(
        "lineage", "Lineage", table(columns, rows, left=5, kind="sortable"), note=f"Starts of bars, {result.timezone}"
    )


def timings(result: BacktestResult) -> Html:
    """What took how long."""
    bars, engine_s = (
        sum(part.bars for part in result.symbols.values()),
        sum(part.engine_s for part in result.symbols.values()),
    )
    entries = {name: f"{number(taken, 3)} s" for name, taken in result.timings_s.items()}
    entries["engine, all symbols"] = f"{number(engine_s, 3)} s"
    entries["bars run through"] = f"{bars:,}"
    entries["bars a second in the engine"] = f"{bars / engine_s:,.0f}" if engine_s > 0 else NOTHING
    return section("timings", "Timings", pairs(entries))


def _when(stamp_ns: int | None, result: BacktestResult, before: str = "") -> str:
    if stamp_ns is None:
        return "" if before else NOTHING
    moment = datetime.fromtimestamp(stamp_ns // NS_PER_SECOND, UTC).astimezone(ZoneInfo(result.timezone))
    return f"{before}{moment:%Y-%m-%d %H:%M}{f':{moment:%S}' if moment.second else ''}"


def _price(value: float) -> str:
    return number(value, 2 if abs(value) >= 1 else 5)


def _digits(quantity: float) -> int:
    return 0 if isnan(quantity) or quantity == round(quantity) else 4


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
