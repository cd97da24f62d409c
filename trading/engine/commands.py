"""What the process that holds a symbol's data can be told in a backtest, and what it answers. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from barray.market.bars import IntArray
from barray.market.commands import BarReader, Logged
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.orders.accounts import Approval, NewOrder, OrderRequest, WorkingOrder
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fill
from barray.trading.results.result import SymbolResult
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.source import StrategySource
from barray.trading.strategy.view import SymbolView


@dataclass(frozen=True)
class Plan:
    """A strategy with its parameters, and how to run it. `form`: on_bar, signals or on_window.

    `shared`: one account for all symbols; `reserve`: see barray.trading.orders.accounts. `call_timeout_s`: a call of
    the strategy that takes longer (wall clock) is its error; None where it may take for ever.
    """

    source: StrategySource
    parameters: Mapping[str, Any]
    form: str
    market: Market
    account: Account
    shared: bool = False
    reserve: float = 0.02
    call_timeout_s: float | None = None

    @property
    def in_windows(self) -> bool:
        """Whether symbols have to wait for each other."""
        return self.shared or self.form == "on_window"

    def strategy(self) -> Strategy:
        """A fresh object of the strategy."""
        return self.source.load()(**self.parameters)


@dataclass(frozen=True)
class LoadRange:
    """Read a symbol's bars of a range of sessions. `skipped`: sessions that Step 0 refused, with the reason.

    `daily`: reads the daily bars of sessions before those with base bars, where the range has such.
    """

    symbol: str
    session_range: SessionRange
    reader: BarReader
    base_interval: Interval
    skipped: Mapping[date, str]
    daily: BarReader | None = None


@dataclass(frozen=True)
class RunRange(Logged):
    """Load a range, run a strategy over it, and let go of the bars. Leaves nothing behind."""

    recorded = False
    load: LoadRange
    plan: Plan
    grid_ns: IntArray


@dataclass(frozen=True)
class OpenRun(Logged):
    """Load a range and stand before its first session, to go through it in steps. Does nothing where that is done."""

    load: LoadRange
    plan: Plan


@dataclass(frozen=True)
class Opened:
    """The run stands at its beginning. `columns`: names of the indicators in `Stepped.values`.

    `opens`: opens of the sessions that it goes through, UTC ns; it is left out of all others.
    """

    columns: tuple[str, ...]
    base_interval: Interval
    opens: frozenset[int]


@dataclass(frozen=True)
class Step(Logged):
    """Do what is said, then go on to `to_ns`. Does nothing where the run is there already.

    `cancel`: first all orders are cancelled, then `new_orders` placed, then `approvals` carried out. `funds`: cash and
    equity of a shared account, for strategies to look at. `indicators`: more of them, by name, for this session.
    """

    to_ns: int
    cancel: bool = False
    new_orders: tuple[NewOrder, ...] = ()
    approvals: tuple[Approval, ...] = ()
    funds: tuple[float, float] | None = None
    indicators: Mapping[str, IndicatorSpec] = field(default_factory=dict)

    @property
    def only_moves(self) -> bool:
        """Whether it says nothing but where to go: two such steps are one."""
        return self == Step(self.to_ns)

    def joined(self, last: object) -> Step | None:
        """See Logged."""
        return replace(last, to_ns=self.to_ns) if self.only_moves and isinstance(last, Step) else None


@dataclass(frozen=True)
class Stepped(SymbolView):
    """The symbol where the step led, and what the step brought.

    `requests`: orders that wait to be approved. `placed`: number of the order placed last. `failed`: the strategy
    raised.
    """

    placed: int
    fills: tuple[Fill, ...] = ()
    requests: tuple[OrderRequest, ...] = ()
    working: tuple[WorkingOrder, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class CloseRun(Logged):
    """Say what came of a run, as far as it went. `hold_capital`: what buying and holding would have had to spend."""

    recorded = False
    grid_ns: IntArray
    hold_capital: float


@dataclass(frozen=True)
class RangeRun:
    """What came of a run."""

    result: SymbolResult
