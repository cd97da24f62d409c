"""Sections of a report on orders, and on what a strategy did beside ordering."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from barray.market.table import Table
from barray.report.markup import NOTHING, Html, count, counted, digits, folded, number, price, section, table, when
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.events import RunEvent

MAX_ORDERS = 200
_MAX_EVENTS = 200
_TONES = {"partly": "warn", "refused": "warn"}
_COLUMNS = ("Placed", "Symbol", "Order", "Ended", "Status", "Tag", "Reason", "Quantity", "Filled", "Price")


def orders(result: BacktestResult) -> Html:
    """How many orders came to what, and the first of them in order of placing; nothing where there were none."""
    every = result.tables.orders
    if not len(every):
        return Html("")
    statuses = every.columns["status"]
    counts = np.bincount(every["status"], minlength=len(statuses.labels)).tolist()
    told = [(many, name, _TONES.get(name, "")) for many, name in zip(counts, statuses.labels, strict=True) if many]
    first = np.argsort(every["placed"], kind="stable")[:MAX_ORDERS].tolist()
    listed = table(_COLUMNS, _order_rows(every, first, result.timezone), left=7, kind="sortable")
    more = f", the first {MAX_ORDERS} of {len(every):,}; orders.parquet, .csv or .json has all"
    note = f"{count(len(first), 'order')}{more if len(every) > MAX_ORDERS else ''}"
    return section("orders", "Orders", counted(told), folded(note, listed), note=result.timezone)


def _order_rows(every: Table, rows: list[int], timezone: str) -> Iterator[tuple[object, ...]]:
    text = {name: every.columns[name] for name in ("symbol", "status", "type", "tag", "reason")}
    for row in rows:
        quantity, filled, ended_ns = (
            float(every["quantity"][row]),
            float(every["filled"][row]),
            int(every["ended"][row]),
        )
        mean = float(every["price"][row])
        yield (
            when(int(every["placed"][row]), timezone),
            text["symbol"].shown(row),
            text["type"].shown(row),
            when(ended_ns, timezone) if ended_ns >= 0 else NOTHING,
            text["status"].shown(row),
            text["tag"].shown(row),
            text["reason"].shown(row),
            number(quantity, digits(quantity), sign=True),
            number(filled, digits(filled), sign=True),
            price(mean) if filled else NOTHING,
        )


def events(result: BacktestResult) -> Html:
    """Symbols and indicators that the strategy added or removed, and hits of limits; nothing where there were none."""
    lines = result.events.lines
    if not lines:
        return Html("")
    rows = (
        (
            when(e.at_ns, result.timezone),
            e.by,
            _done(e),
            e.symbol,
            e.detail or NOTHING,
            e.reason or NOTHING,
            f"{e.count:,}",
        )
        for e in lines[:_MAX_EVENTS]
    )
    every = len(lines) + result.events.left_out
    left_out = every - min(len(lines), _MAX_EVENTS)
    note = count(every, "event") + (f", {left_out:,} not shown" if left_out else "")
    listed = table(("Session time", "By", "What", "Symbol", "Of", "Reason", "Times"), rows, left=6, kind="sortable")
    return section("events", "Events", folded("Added, removed, refused, and held back by limits", listed), note=note)


def _done(event: RunEvent) -> str:
    if event.action == "limit":
        return "limit hit"
    return event.action.replace("_", " ") + ("" if event.accepted else ", refused")
