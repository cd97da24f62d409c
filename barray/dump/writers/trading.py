"""What a strategy did in a session, as `barray.dump.trading` lays it out."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from typing import Any

from barray.market.bars import COLUMNS, Bar, format_ns
from barray.market.series import IntervalBars
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Pages, Revised
from barray.trading.engine.opening import Opening
from barray.trading.engine.session_trading import SessionTrading
from barray.trading.orders.order_columns import KINDS, STATUSES, Orders


def trading_json(trading: SessionTrading) -> dict[str, Any]:
    """As `TradingJson`."""
    given = trading.given
    plan, needs = given.plan, given.needs
    raised = {one.own: str(one.detail["error"]) for one in trading.pages.decisions if one.action == "error"}
    return {
        "strategy": given.strategy,
        "code": given.code,
        "form": plan.form,
        "parameters": dict(plan.parameters),
        "intervals": [str(one) for one in (needs.interval, *sorted({*needs.intervals} - {needs.interval}))],
        "window": str(trading.window),
        "base": str(trading.base),
        "account": _account(plan),
        "market": asdict(plan.market),
        "began": format_ns(trading.began_ns),
        "until": format_ns(trading.until_ns),
        "opening": _opening(trading.opening),
        "members": list(trading.members),
        "changes": [
            {"at": format_ns(one.at_ns), "joined": list(one.joined), "left": list(one.left)} for one in trading.changes
        ],
        **({} if trading.orders is None else {"orders": orders_json(trading.orders)}),
        **pages_json(trading.pages),
        "positions": trading.positions,
        **({"revised": [_revised(one) for one in trading.pages.revised]} if trading.live else {}),
        "gone": {symbol: _gone(bars, trading.until_ns) for symbol, bars in sorted(trading.gone.items())},
        "errors": {own: text for own, text in raised.items() if own},
        "error": None if trading.error is None else raised.get("", trading.error.strip().rpartition("\n")[2]),
        "logs": [
            {"at": None if line.now_ns is None else format_ns(line.now_ns), "symbol": line.symbol, "text": line.text}
            for line in trading.logs.lines
        ],
        "logs_left_out": trading.logs.left_out,
    }


def orders_json(orders: Orders) -> list[dict[str, Any]]:
    """A row an order, by symbol and number."""
    columns = {
        "symbol": orders.symbol.tolist(),
        "number": orders.number.tolist(),
        "kind": [KINDS[kind] for kind in orders.kind.tolist()],
        "placed": [format_ns(at_ns) for at_ns in orders.placed_ns.tolist()],
        "ended": [None if at_ns < 0 else format_ns(at_ns) for at_ns in orders.ended_ns.tolist()],
        "quantity": orders.quantity.tolist(),
        "filled": orders.filled.tolist(),
        **{
            name: [None if isnan(one) else one for one in getattr(orders, name).tolist()]
            for name in ("limit", "stop", "trail")
        },
        "day": orders.day.tolist(),
        "guards": orders.guards.tolist(),
        "status": [STATUSES[status] for status in orders.status.tolist()],
        **{name: getattr(orders, name).tolist() for name in ("tag", "code", "reason")},
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return sorted(rows, key=lambda row: (row["symbol"], row["number"]))


def pages_json(pages: Pages) -> dict[str, Any]:
    """Decisions, fills, refusals, and where the account stood."""
    return {
        "decisions": [
            {
                "at": format_ns(one.at_ns),
                "own": one.own,
                "call": one.call,
                "nth": one.nth,
                "action": one.action,
                "symbol": one.symbol,
                "detail": dict(one.detail),
            }
            for one in pages.decisions
        ],
        "fills": [_stamped(one._asdict()) for one in pages.fills],
        "refusals": [_stamped(one._asdict()) for one in pages.refusals],
        "stood": {
            "at": [format_ns(one.at_ns) for one in pages.stood],
            "cash": [one.cash for one in pages.stood],
            "equity": [one.equity for one in pages.stood],
        },
    }


def _revised(one: Revised) -> dict[str, Any]:
    before = None if one.before is None else _values(one.before)
    stamps = {"at": format_ns(one.at_ns), "symbol": one.symbol, "bar": format_ns(one.after.start_ns)}
    return {**stamps, "before": before, "after": _values(one.after)}


def _values(bar: Bar) -> list[float]:
    return [getattr(bar, name) for name in COLUMNS]


def _stamped(values: dict[str, Any]) -> dict[str, Any]:
    names = {"at_ns": "at", "bar_ns": "bar"}
    return {names.get(name, name): format_ns(value) if name in names else value for name, value in values.items()}


def _account(plan: Plan) -> dict[str, Any]:
    found = {**asdict(plan.account), "shared": plan.shared, "reserve": plan.reserve}
    if plan.limits is None:
        return found
    groups = {name: {"symbols": sorted(one.symbols), "most": one.most} for name, one in plan.limits.groups.items()}
    limits = {name: getattr(plan.limits, name) for name in ("gross", "net", "symbol")}
    return {**found, "limits": {**limits, "groups": groups}}


def _opening(opening: Opening) -> dict[str, Any]:
    return {
        "cash": opening.cash,
        "may_owe": opening.may_owe,
        "closes": dict(opening.closes),
        "holdings": {
            symbol: {
                "position": one.position,
                "cash": one.cash,
                "booked": list(one.booked),
                "placed": one.placed,
                "orders": [dict(order) for order in one.orders],
                "failed": one.failed,
            }
            for symbol, one in opening.holdings.items()
        },
        "purchases": dict(opening.purchases),
    }


def _gone(series: IntervalBars, until_ns: int) -> dict[str, Any]:
    bars = series.bars.take(slice(series.closed_by(until_ns)))
    columns = {name: getattr(bars, name) for name in COLUMNS}
    return {"interval": str(series.interval), "timestamp": bars.start_ns.view("datetime64[ns]"), **columns}
