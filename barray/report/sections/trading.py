"""Sections of a session's page on the strategy that traded in it."""

from __future__ import annotations

from barray.coordinator.summary import SessionSummary
from barray.export.trading import TradingFigures
from barray.report.markup import NOTHING, Html, count, money, number, pairs, price, section, table, when

MAX_ROWS = 1000


def strategy(summary: SessionSummary) -> Html:
    """What it was, and what it came to; nothing where none traded."""
    trading = summary.trading
    if trading is None:
        return Html("")
    figures, plan, zone = TradingFigures.of(trading), trading.given.plan, summary.timezone
    about = {
        "Strategy": figures.strategy,
        "Form": plan.form,
        "Called every": str(trading.window),
        "Account": "shared" if plan.shared else "one a symbol",
        **plan.parameters,
    }
    came_to = {
        "Profit of the session": money(figures.pnl, sign=True),
        "Equity": money(figures.equity),
        "Cash": money(figures.cash),
        "Commission": money(figures.commission),
        "Orders": number(figures.orders, 0),
        "Fills": number(figures.fills, 0),
        "Cut or refused": number(figures.refused, 0),
        "As of": when(trading.until_ns, zone),
    }
    failed = [(own or "all symbols", text) for own, text in figures.errors.items()]
    content = [
        Html(f'<div class="two"><div>{pairs(came_to)}</div><div>{pairs(about)}</div></div>'),
        *([table(("Failed on", "Error"), failed, left=2, kind="reasons")] if failed else []),
    ]
    if figures.symbols:
        rows = (
            (
                one.symbol,
                number(one.orders, 0),
                number(one.fills, 0),
                number(one.refused, 0),
                number(one.bought, 0),
                number(one.sold, 0),
                money(one.commission),
                number(one.position, 0),
            )
            for one in figures.symbols
        )
        columns = ("Symbol", "Orders", "Fills", "Refused", "Bought", "Sold", "Commission", "Position")
        content.append(table(columns, rows, left=1, kind="sortable"))
    return section("strategy", "Strategy", *content, note="On a simulated account")


def fills(summary: SessionSummary) -> Html:
    """Every fill and refusal, in order; nothing where there was none."""
    trading = summary.trading
    if trading is None or not (trading.pages.fills or trading.pages.refusals):
        return Html("")
    zone, pages = summary.timezone, trading.pages
    filled = (
        (
            when(one.bar_ns, zone),
            one.symbol,
            str(one.order) if one.order else NOTHING,
            number(one.quantity, 0, sign=True),
            price(one.price),
            money(one.commission),
            "at the close" if one.at_close else "",
        )
        for one in pages.fills[:MAX_ROWS]
    )
    columns = ("Bar", "Symbol", "Order", "Shares", "Price", "Commission", "")
    content = [table(columns, filled, left=2, kind="sortable")] if pages.fills else []
    if pages.refusals:
        refused = (
            (when(one.bar_ns, zone), one.symbol, number(one.quantity, 0, sign=True), one.reason)
            for one in pages.refusals[:MAX_ROWS]
        )
        content.append(table(("Bar", "Symbol", "Shares", "Refused because"), refused, left=2, kind="reasons"))
    many = count(len(pages.fills), "fill")
    note = f"The first {MAX_ROWS:,} of {many}" if len(pages.fills) > MAX_ROWS else many
    return section("fills", "Fills", *content, note=f"{note} · {zone}")
