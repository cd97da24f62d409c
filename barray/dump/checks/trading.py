"""Checks of what a strategy did: its decisions are made again, over the dump's bars, and what comes of them compared.

The engine is the session's own; in place of the strategy stands one that does what is written down. So every fill,
refusal, cash and equity follows from the bars, the decisions and where the account stood before.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import orjson

from barray.dump.checks.session import SessionFacts
from barray.dump.digest import dumps
from barray.dump.readers.trading import read_trading
from barray.dump.schema import EventJson
from barray.dump.trading import TradingJson
from barray.dump.violations import Findings
from barray.dump.writers.trading import orders_json, pages_json
from barray.market.bars import IntArray, format_ns
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions
from barray.trading.engine.coming_bars import ComingBars
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Pages
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.scripted import ScriptedPlan, script_of
from barray.trading.engine.session_trading import SessionTrading
from barray.trading.orders.order_columns import Orders
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.session_columns import session_columns, session_range_of_day

_PLACE = "trading"


def check_trading(
    entry: TradingJson,
    events: Sequence[EventJson],
    bars: Mapping[str, IntervalBars],
    facts: SessionFacts,
    out: Findings,
) -> None:
    """Add what is wrong to `out`. `bars`: the source's base bars of the symbols in the dump."""
    try:
        trading = read_trading(entry, facts.context)
        found, positions, orders = _done_again(trading, bars, facts, _guests(trading, events))
    except Exception as error:  # of any kind: what is written there can't have happened
        out.add(_PLACE, "impossible", f"{type(error).__name__}: {error}", "what can be done again")
        return
    for name, expected in orjson.loads(dumps(pages_json(found))).items():
        out.tree(entry[name], expected, f"{_PLACE}.{name}", "recomputed")  # type: ignore[literal-required]
    if "orders" in entry:
        out.tree(entry["orders"], orjson.loads(dumps(orders_json(orders))), f"{_PLACE}.orders", "recomputed")
    out.tree(entry["positions"], positions, f"{_PLACE}.positions", "recomputed")
    _check_wishes(entry, events, out)
    _check_errors(entry, out)
    if trading.until_ns > facts.now_ns or trading.began_ns < facts.context.open_ns:
        span = f"{format_ns(facts.context.open_ns)} to {format_ns(facts.now_ns)}"
        out.add(f"{_PLACE}.until", "out_of_range", f"{entry['began']} to {entry['until']}", span)


def source_bars(series: IntervalBars, adhoc: IntArray, context: SessionContext, symbol: str) -> IntervalBars:
    """Base bars without those that were added by hand: orders don't fill on these."""
    if not len(adhoc):
        return series
    bars = series.bars.take(~np.isin(series.bars.start_ns, adhoc))
    return lay_on_sessions(bars, series.interval, context.sessions, context.row, symbol=symbol, source="dump")


def _done_again(
    trading: SessionTrading, bars: Mapping[str, IntervalBars], facts: SessionFacts, guests: Collection[str]
) -> tuple[Pages, dict[str, float], Orders]:
    """What the decisions come to, what is held then, and what has become of all orders."""
    context, needs = facts.context, trading.given.needs
    final = {**bars, **trading.gone}
    open_ended = trading.live or trading.until_ns < context.close_ns
    coming = ComingBars(replace(context, live=True), needs)
    by_symbol = coming.as_before(final, trading.pages.revised)
    answers = _answers(trading)

    def data(symbol: str) -> SymbolData:
        if symbol not in by_symbol:
            raise ValueError(f"{symbol} was traded, and there are no bars of it")
        return replace(session_columns(symbol, context, by_symbol[symbol], None, needs), open_ended=open_ended)

    def add(symbols: Iterable[str], row: int) -> dict[str, SymbolData | str]:
        told = {symbol: answers[symbol].popleft() for symbol in symbols}
        return {symbol: data(symbol) if one["accepted"] else one["reason"] for symbol, one in told.items()}

    run = PortfolioRun(_scripted(trading), trading.window, add, noted=True)
    members = {symbol: data(symbol) for symbol in trading.members}
    run.load(session_range_of_day(context, "UTC"), members, trading.base, guests)
    run.stand(trading.opening)
    if trading.error is not None and not trading.pages.stood:  # it had failed in a session before
        run.error = trading.error
    run.begin(context.row, trading.began_ns if trading.began_ns > context.open_ns else None)
    for at_ns in sorted({*(one.at_ns for one in trading.changes), *(one.at_ns for one in trading.pages.revised)}):
        run.go_on(at_ns - 1)
        revised = [one for one in trading.pages.revised if one.at_ns == at_ns]
        for symbol, own in coming.grouped(revised).items():
            by_symbol[symbol] = coming.with_these(by_symbol[symbol], own, symbol)
            if symbol in run.books:
                run.renew(coming.laid(run.books[symbol].data, by_symbol[symbol]))
        run.arrive(at_ns)
        for change in trading.changes:
            for symbol in change.left if change.at_ns == at_ns else ():
                run.leave(symbol)
            for symbol in change.joined if change.at_ns == at_ns else ():
                run.join(data(symbol))
        run.go_on(at_ns)
    run.go_on(trading.until_ns)
    pages = replace(run.notes.take(), revised=trading.pages.revised)
    orders = Orders.concat([run.finish().orders, run.working_orders()])
    return pages, replace(trading, pages=pages).positions, orders


def _guests(trading: SessionTrading, events: Sequence[EventJson]) -> frozenset[str]:
    """Who of those that it began with was added."""
    began = format_ns(trading.began_ns)
    added = (one for one in events if one["action"] == "add_symbol" and one["accepted"] and one["at"] <= began)
    return frozenset(one["symbol"] for one in added if one["reason"] != "already loaded")


def _scripted(trading: SessionTrading) -> ScriptedPlan:
    plan, needs = trading.given.plan, trading.given.needs
    form = "on_window" if plan.form == "on_window" else "on_bar"  # signals are carried out bar by bar
    values = {one.name: getattr(plan, one.name) for one in fields(Plan)} | {"form": form}
    intervals = [str(needs.interval), *(str(one) for one in needs.intervals if one != needs.interval)]
    return ScriptedPlan(**values, script=script_of(trading.pages.decisions), intervals=tuple(intervals))


def _answers(trading: SessionTrading) -> Mapping[str, deque[Mapping[str, Any]]]:
    """What came of each symbol that the strategy asked for, time after time."""
    found: dict[str, deque[Mapping[str, Any]]] = defaultdict(deque)
    for decision in trading.pages.decisions:
        if decision.action == "add_symbol":
            found[decision.symbol].append(decision.detail)
    return found


def _check_wishes(entry: TradingJson, events: Sequence[EventJson], out: Findings) -> None:
    """What the strategy wished for stands among the events."""
    told = Counter((one["at"], str(one["action"]), one["symbol"]) for one in events if one["by"] == "strategy")
    for nth, one in enumerate(entry["decisions"]):
        key = (one["at"], str(one["action"]), one["symbol"])
        if one["action"] not in ("add_symbol", "add_indicator", "add_bar", "remove_symbol"):
            continue
        if not told[key]:
            out.add(f"{_PLACE}.decisions[{nth}]", "event", f"{one['action']} {one['symbol']}", "an event that tells it")
        told[key] -= 1


def _check_errors(entry: TradingJson, out: Findings) -> None:
    """What ended a strategy's calls is what its last decision was."""
    raised = {one["own"]: str(one["detail"].get("error")) for one in entry["decisions"] if one["action"] == "error"}
    whole = raised.pop("", entry["error"])
    if entry["error"] != whole:
        out.add(f"{_PLACE}.error", "error", entry["error"], whole)
    out.tree(entry["errors"], raised, f"{_PLACE}.errors", "error")
