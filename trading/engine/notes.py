"""Taking down what a strategy decides, with the call that it does so in, and what comes of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, Protocol

from barray.market.bars import Bar
from barray.trading.orders.accounts import Accounts
from barray.trading.orders.broker import Broker
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Order
from barray.trading.orders.reasons import Why
from barray.trading.orders.terms import OrderTerms
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context

Call = Literal["on_start", "on_session", "on_bar", "on_fill", "on_window"]
Action = Literal[
    "order", "cancel", "cancel_all", "rebalance", "add_symbol", "add_indicator", "add_bar", "remove_symbol", "error"
]
_ASKED = {one.name: one.default for one in fields(OrderTerms) if one.init}


@dataclass(frozen=True)
class Decision:
    """Something that a strategy did in its `nth` call of a kind this session, counted from 1 for each symbol's own.

    `at_ns`: session time as the call sees it, UTC ns; in `on_fill` that of the bar before the fill's. `symbol`: what it
    is about, "" for none. `own`: whose call it was, "" of a strategy over all symbols. `detail`, in JSON types: an
    order's number and terms, the number of what is cancelled, a rebalancing's weights, what was asked for and what came
    of it, or an error's last line.
    """

    at_ns: int
    own: str
    call: Call
    nth: int
    action: Action
    symbol: str
    detail: Mapping[str, Any]


class Filled(NamedTuple):
    """A fill, booked at the window's end `at_ns`; the other fields are those of Fill."""

    at_ns: int
    symbol: str
    order: int
    bar_ns: int
    quantity: float
    price: float
    commission: float
    slippage: float
    at_close: bool


class Refused(NamedTuple):
    """An order, or a part of one, that was not executed; see Refusal."""

    at_ns: int
    symbol: str
    bar_ns: int
    quantity: float
    reason: str


class Stood(NamedTuple):
    """Where the account stood at a window's end, or at the open."""

    at_ns: int
    cash: float
    equity: float


class Revised(NamedTuple):
    """A bar that came at `at_ns`, when its window was past, or in place of another: `before`, None where none was."""

    at_ns: int
    symbol: str
    after: Bar
    before: Bar | None


@dataclass(frozen=True)
class Pages:
    """A part of a session's journal, in order of time."""

    decisions: tuple[Decision, ...] = ()
    fills: tuple[Filled, ...] = ()
    refusals: tuple[Refused, ...] = ()
    stood: tuple[Stood, ...] = ()
    revised: tuple[Revised, ...] = ()

    def __add__(self, other: Pages) -> Pages:
        return Pages(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class ToldError(Exception):
    """An error that there was before. `told`: as what it was told then."""

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.told = told


class Written(Protocol):
    """A symbol, as far as what came of its orders is taken down; `noted` says how many fills and refusals are."""

    symbol: str
    noted: tuple[int, int]

    @property
    def broker(self) -> Broker:
        """Its broker."""
        ...


def order_detail(order: Order) -> dict[str, Any]:
    """An order's number, and its terms as far as they say anything."""
    terms = ((name, getattr(order.terms, name), plain) for name, plain in _ASKED.items())
    return {"number": order.number, **{name: value for name, value, plain in terms if value != plain}}


class Notes:
    """Decisions of a run, taken down while `on`. `now_ns`: tells the session time of whoever is called."""

    def __init__(self, now_ns: Callable[[], int | None], *, on: bool) -> None:
        self.on = on
        self._now_ns = now_ns
        self._decisions: list[Decision] = []
        self._fills: list[Filled] = []
        self._refusals: list[Refused] = []
        self._stood: list[Stood] = []
        self._counts: Counter[tuple[str, Call]] = Counter()
        self._last: dict[str, Call] = {}
        self._inside: str | None = None

    def begin(self) -> None:
        """A session begins: calls are counted anew."""
        self._counts.clear()
        self._last.clear()
        self._inside = None

    def take(self) -> Pages:
        """What was taken down since this was last asked."""
        pages = Pages(tuple(self._decisions), tuple(self._fills), tuple(self._refusals), tuple(self._stood))
        self._decisions, self._fills, self._refusals, self._stood = [], [], [], []
        return pages

    def stood(self, at_ns: int, accounts: Accounts, books: Iterable[Written]) -> None:
        """A window has ended: where the account stands, and what was filled and refused since the last."""
        self.met(at_ns, books)
        self._stood.append(Stood(at_ns, accounts.cash, accounts.equity))

    def met(self, at_ns: int, books: Iterable[Written]) -> None:
        """A window's bars were met: what was filled and refused since this was last told."""
        for book in books:
            symbol, fills, refusals = book.symbol, book.broker.fills, book.broker.refusals
            filled, refused = book.noted
            if len(fills) > filled:
                for fill in fills[filled:]:
                    costs = fill.quantity, fill.price, fill.commission, fill.slippage
                    self._fills.append(Filled(at_ns, symbol, fill.order, fill.bar_ns, *costs, fill.at_close))
            for refusal in refusals[refused:]:
                self._refusals.append(Refused(at_ns, symbol, refusal.bar_ns, refusal.quantity, refusal.reason))
            book.noted = len(fills), len(refusals)

    def enter(self, own: str, call: Call) -> None:
        """A call begins."""
        if self.on:
            self._counts[own, call] += 1
            self._last[own], self._inside = call, own

    def leave(self) -> None:
        """It has come back, or what is done now is done in one step that was noted."""
        self._inside = None

    def placed(self, symbol: str, order: Order) -> None:
        """A strategy placed an order."""
        if self._inside is not None:
            self._note("order", symbol, order_detail(order))

    def cancelled(self, symbol: str, order: Order, why: Why) -> None:
        """A strategy cancelled one."""
        if self._inside is not None:
            self._note("cancel", symbol, {"number": order.number, "code": why.code, "reason": why.text})

    def whole(self, action: Action, symbol: str, **detail: Any) -> str | None:
        """A strategy did something that is one thing, however many orders it makes: till `again`, none is noted."""
        inside = self._inside
        if inside is not None:
            self._note(action, symbol, detail)
            self._inside = None
        return inside

    def again(self, inside: str | None) -> None:
        """The call goes on."""
        self._inside = inside

    def failed(self, own: str) -> None:
        """A call raised the error that is being handled, or did not return."""
        error = sys.exception()
        if self.on and error is not None:
            self._inside = own
            text = error.told if isinstance(error, ToldError) else f"{type(error).__name__}: {error}"
            self._note("error", "", {"error": text})
            self._inside = None

    def _note(self, action: Action, symbol: str, detail: Mapping[str, Any]) -> None:
        own = self._inside or ""
        call = self._last.get(own, "on_start")
        decision = Decision(self._now_ns() or 0, own, call, self._counts[own, call], action, symbol, detail)
        self._decisions.append(decision)

    def over(self, strategy: Strategy, symbol: str) -> Strategy:
        """A symbol's own strategy, its calls noted."""
        if not self.on:
            return strategy
        reports_fills = type(strategy).on_fill is not Strategy.on_fill
        return (_NotedFills if reports_fills else _Noted)(strategy, self, symbol)


class _Noted(Strategy):
    def __init__(self, strategy: Strategy, notes: Notes, symbol: str) -> None:
        super().__init__()
        self._inner, self._notes, self._symbol = strategy, notes, symbol

    def on_start(self, ctx: Context) -> None:
        self._notes.enter(self._symbol, "on_start")
        self._inner.on_start(ctx)
        self._notes.leave()

    def on_session(self, ctx: Context) -> None:
        self._notes.enter(self._symbol, "on_session")
        self._inner.on_session(ctx)
        self._notes.leave()

    def on_bar(self, ctx: Context) -> None:
        self._notes.enter(self._symbol, "on_bar")
        self._inner.on_bar(ctx)
        self._notes.leave()


class _NotedFills(_Noted):
    def on_fill(self, ctx: Context, fill: Fill) -> None:
        self._notes.enter(self._symbol, "on_fill")
        self._inner.on_fill(ctx, fill)
        self._notes.leave()
