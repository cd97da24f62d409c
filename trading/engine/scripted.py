"""Doing again what a strategy is known to have decided, in the same calls: what it comes to can be compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from barray.market.bars import Bar
from barray.market.errors import BarrayError
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Call, Decision, ToldError
from barray.trading.orders.fills import Fill
from barray.trading.orders.reasons import Why
from barray.trading.orders.terms import OrderTerms
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.view import WindowView

Script = Mapping[tuple[str, Call, int], Sequence[Decision]]
"""Decisions by whose call, which, and its number."""


class ImpossibleDecision(BarrayError):
    """A decision that could not have been made then and there."""


def script_of(decisions: Iterable[Decision]) -> Script:
    """Decisions by the call that they were made in."""
    found: dict[tuple[str, Call, int], list[Decision]] = defaultdict(list)
    for decision in decisions:
        found[decision.own, decision.call, decision.nth].append(decision)
    return dict(found)


@dataclass(frozen=True)
class ScriptedPlan(Plan):
    """A plan whose strategy does what stands in a script. `intervals`: the main one first, as the strategy had them."""

    script: Script = field(default_factory=dict)
    intervals: tuple[str, ...] = ("1m",)

    def strategy(self) -> Strategy:
        """A fresh object, which knows the whole script."""
        return _Scripted(self.script, self.intervals)


class _Scripted(Strategy):
    def __init__(self, script: Script, intervals: Sequence[str]) -> None:
        super().__init__()
        self.interval, self.intervals = intervals[0], intervals[1:]  # type: ignore[misc]
        self._script = script
        self._counts: Counter[Call] = Counter()
        self._day: date | None = None

    def on_start(self, ctx: Context) -> None:
        self._act("on_start", ctx)

    def on_session(self, ctx: Context) -> None:
        if ctx.session_date != self._day:  # else the symbol comes again
            self._day = ctx.session_date
            self._counts.clear()
        self._act("on_session", ctx)

    def on_bar(self, ctx: Context) -> None:
        self._act("on_bar", ctx)

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        self._act("on_fill", ctx)

    def on_window(self, view: WindowView) -> None:
        self._act("on_window", view)

    def _act(self, call: Call, seen: Any) -> None:
        self._counts[call] += 1
        own = "" if isinstance(seen, WindowView) else seen.symbol
        for decision in self._script.get((own, call, self._counts[call]), ()):
            if decision.action == "error":
                raise ToldError(str(decision.detail.get("error")))  # here the strategy raised it
            (_do_in_view if own == "" else _do_in_context)(seen, decision)


def _do_in_context(ctx: Context, decision: Decision) -> None:
    broker = ctx._broker  # what strategies do, they do by these two alone
    if decision.action == "order":
        _require_number(broker.place(terms_of(decision.detail), ctx.now_ns).number, decision)
    elif decision.action == "cancel":
        why = Why(str(decision.detail["code"]), str(decision.detail["reason"]))
        broker.cancel(_numbered(broker.orders, decision), why, ctx.now_ns)
    else:
        raise ImpossibleDecision(f"{decision.action} in {decision.call}", symbol=decision.own)


def _do_in_view(view: WindowView, decision: Decision) -> None:
    action, symbol, detail = decision.action, decision.symbol, decision.detail
    additions, order_manager = view._additions, view._order_manager
    if action == "order":
        _require_number(order_manager.place(symbol, terms_of(detail)).number, decision)
    elif action == "cancel_all":
        order_manager.cancel(symbol)
    elif action == "rebalance":
        order_manager.rebalance(detail["weights"])
    elif action == "add_symbol":
        additions.add_symbols([symbol])
    elif action == "remove_symbol":
        additions.remove_symbol(symbol)
    elif action == "add_bar":
        additions.add_bar(symbol, str(detail["interval"]), Bar(**detail["bar"]))
    elif action == "add_indicator":
        additions.add_indicator(symbol, str(detail["indicator"]))
    else:
        raise ImpossibleDecision(f"{action} in {decision.call}", symbol=symbol)


def terms_of(detail: Mapping[str, Any]) -> OrderTerms:
    """Terms as `order_detail` tells them; ConfigError where they make no sense."""
    return OrderTerms(**{name: value for name, value in detail.items() if name != "number"})


def _require_number(number: int, decision: Decision) -> None:
    if number != decision.detail.get("number"):
        raise ImpossibleDecision(f"order {decision.detail.get('number')} is the {number}.", symbol=decision.symbol)


def _numbered(orders: Iterable[Any], decision: Decision) -> Any:
    for order in orders:
        if order.number == decision.detail.get("number"):
            return order
    raise ImpossibleDecision(f"order {decision.detail.get('number')} is not working", symbol=decision.symbol)
