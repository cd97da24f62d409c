"""The top of a report: what was run, what came of it, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from barray.report.markup import (
    NOTHING,
    Html,
    count,
    counted,
    digits,
    folded,
    money,
    number,
    percent,
    section,
    table,
    text,
    tone,
    toned,
    top,
    when,
)
from barray.report.sections.step0 import step0
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import SymbolResult

_MAX_REFUSALS = 100
_MAX_LINES = 500


def headline(result: BacktestResult, numbers: ResultNumbers) -> Html:
    """What was run, and what came of it."""
    total = numbers.total
    span = f"{result.dates[0]} – {result.dates[-1]}" if result.dates else "no sessions"
    facts = (
        result.strategy,
        f"{result.form} form",
        span,
        count(len(result.dates), "session"),
        count(len(result.symbols), "symbol"),
        f"{result.base_interval} bars",
        result.calendar,
        "shared account" if result.shared else "an account a symbol",
        *((f"degraded: {count(len(result.lost), 'symbol')} lost",) if result.degraded else ()),
    )
    against = (
        f"Buy and hold {percent(total.hold_return_pct, sign=True)}"
        if total.hold_return_pct is not None
        else "No buy and hold to compare with"
    )
    return Html(
        f"{top('Backtest report', result.name, facts)}"
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
            f"{count(total.max_drawdown_sessions, 'session')} under water",
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
    warned = [part for part in parts if part.warnings]
    dropped = len(result.dropped) - len(result.lost)
    counts = (
        (len(parts) - len(failed), "ran to the end", "good"),
        (dropped, "dropped in Step 0", "bad" if dropped else ""),
        *([(len(result.lost), "lost by the machine", "bad")] if result.degraded else []),
        (len(skipped), "with sessions skipped", "warn" if skipped else ""),
        (len(failed), "stopped by an error", "bad" if failed else ""),
        (len(refused), "with orders refused", "warn" if refused else ""),
        (len(warned), "with suspected prices", "warn" if warned else ""),
    )
    content = [counted(counts)]
    if result.error is not None:
        content.append(_failure("The run stopped", result.error))
    if result.degraded:
        content.append(_failure("Degraded", f"the machine failed, and lost {', '.join(result.lost)}"))
    if result.dropped:
        rows = ((symbol, " · ".join(reasons)) for symbol, reasons in result.dropped.items())
        content.append(table(("Dropped symbol", "Reasons"), rows, left=2, kind="reasons"))
    if result.step0:
        content.append(step0(result.step0.values()))
    if warned:
        rows = ((part.symbol, str(warning)) for part in warned for warning in part.warnings)
        content.append(table(("Symbol", "Suspected move of its prices"), rows, left=2, kind="reasons"))
    if skipped:
        content.append(_skipped(skipped, len(result.dates)))
    content.extend(
        _failure(f"{part.symbol}: the strategy raised{when(part.error_ns, result.timezone, ' at ')}", part.error or "")
        for part in failed
    )
    if refused:
        content.append(_refusals(refused, result))
    return section("validation", "Validation", *content, note="Symbols, sessions and orders that were left out")


def logs(result: BacktestResult) -> Html:
    """What the strategy printed and logged; nothing where it was silent."""
    lines = result.logs.lines
    if not lines:
        return Html("")
    rows = (
        (NOTHING if line.now_ns is None else when(line.now_ns, result.timezone), line.symbol or NOTHING, line.text)
        for line in lines[:_MAX_LINES]
    )
    every = len(lines) + result.logs.left_out
    left_out = every - min(len(lines), _MAX_LINES)
    note = count(every, "line") + (f", {left_out:,} left out" if left_out else "")
    listed = folded("Printed and logged", table(("Session time", "Symbol", "Line"), rows, left=3))
    return section("logs", "What the strategy said", listed, note=note)


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
        (
            when(at, result.timezone),
            symbol,
            refusal.reason,
            number(refusal.quantity, digits(refusal.quantity), sign=True),
        )
        for at, symbol, refusal in found[:_MAX_REFUSALS]
    )
    more = f", the first {_MAX_REFUSALS} of {len(found):,}" if len(found) > _MAX_REFUSALS else ""
    listed = table(("Bar", "Symbol", "Reason", "Quantity"), rows, left=3)
    return folded(f"{count(len(found), 'order')} refused, in whole or in part{more}", listed)


def _first(entry: tuple[int, str, object]) -> tuple[int, str]:
    return entry[:2]
