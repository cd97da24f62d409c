"""What the process that holds a symbol's data can be told in a backtest, and what it answers. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from barray.market.bars import IntArray
from barray.market.commands import BarReader, Failed, Logged
from barray.market.interval import Interval
from barray.market.known_table import SymbolTables
from barray.market.renames import Renames
from barray.market.session_range import SessionRange
from barray.market.validation import Reason
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.limits import Limits
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import NO_ORDERS, Orders
from barray.trading.results.days import SessionDays
from barray.trading.results.events import NO_EVENTS, Events
from barray.trading.results.ledger import LoadedBars
from barray.trading.results.logs import Logs
from barray.trading.results.result import SymbolResult
from barray.trading.scans.hits import SessionHits
from barray.trading.scans.source import ScanSource
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.source import StrategySource


@dataclass(frozen=True)
class Plan:
    """A strategy with its parameters, and how to run it. `form`: on_bar, signals or on_window.

    `shared`: one account for all symbols; `reserve`: see barray.trading.orders.accounts; `limits`: of its exposure.
    `call_timeout_s`: a call of the strategy that takes longer (wall clock) is its error; None where it may take for
    ever.
    """

    source: StrategySource
    parameters: Mapping[str, Any]
    form: str
    market: Market
    account: Account
    shared: bool = False
    reserve: float = 0.02
    call_timeout_s: float | None = None
    limits: Limits | None = None

    @property
    def in_windows(self) -> bool:
        """Whether symbols have to wait for each other."""
        return self.shared or self.form == "on_window"

    @cached_property
    def own(self) -> Account:
        """What a symbol trades with: nothing of its own where the account is shared."""
        return replace(self.account, capital=0.0) if self.shared else self.account

    def strategy(self) -> Strategy:
        """A fresh object of the strategy."""
        return self.source.load()(**self.parameters)


@dataclass(frozen=True)
class SessionOutcome:
    """What a session of a portfolio brought. `days`: of the symbols that had fills or held something, if any. `begun`:
    symbols that it was run for. `starving`: orders that still work and found no volume, by symbol. `errors`: tracebacks
    of symbols' own strategies, with the time (UTC ns). `error`: what ended the run. `orders`: those that ended.
    """

    days: SessionDays | None
    begun: frozenset[str]
    starving: Mapping[str, tuple[Refusal, ...]]
    errors: Mapping[str, tuple[str, int | None]]
    logs: Logs
    error: str | None = None
    orders: Orders = NO_ORDERS
    events: Events = NO_EVENTS


@dataclass(frozen=True)
class LoadRange:
    """Read a symbol's bars of a range of sessions. `skipped`: sessions that Step 0 refused, with the reason.

    `daily`: reads the daily bars of sessions before those with base bars, where the range has such. `known_faults`:
    days whose bars are known to be no good; where there are others, nothing is done, and the answer is Unreadable. None
    where no other source is to be asked: then sessions with such days are left out. `warnings`: what is to be said of
    the symbol's bars already. `tables`: what the user's tables say of it.
    """

    symbol: str
    session_range: SessionRange
    reader: BarReader
    base_interval: Interval
    skipped: Mapping[date, str]
    daily: BarReader | None = None
    known_faults: frozenset[date] | None = None
    warnings: tuple[Reason, ...] = ()
    tables: SymbolTables = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable(Failed):
    """Nothing was done: bars of these days, which Step 0 let through, are no good, and another source may have them."""

    faults: Mapping[date, Reason] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRange(Logged):
    """Load a range, run a strategy over it, and let go of the bars. Leaves nothing behind."""

    recorded = False
    load: LoadRange
    plan: Plan
    grid_ns: IntArray


@dataclass(frozen=True)
class LayRange(Logged):
    """Load a range, derive and compute what the plan's strategy needs, and hand it out. Leaves nothing behind.

    `needs`: of all sets of a sweep together, in place of the strategy's, see SymbolData.seen_with.
    """

    recorded = False
    load: LoadRange
    plan: Plan
    needs: Needs | None = None


@dataclass(frozen=True)
class RangeLaid:
    """`bars`: what there is of it. `columns`: a handle of a published mapping that has them, SymbolData by symbol.
    `digest`: of the bars, where they were laid out for a sweep.
    """

    bars: LoadedBars
    columns: Any
    digest: str = ""


@dataclass(frozen=True)
class RunSessions(Logged):
    """Go on with a portfolio's run over sessions of one block, as many as fit in a while, at least one.

    `state`: where the run stands, None at its beginning, a text why that can't be told. `stopped`: what ended the run;
    from then on positions are only valued. `block`: number of the block that `session_range` lays out and
    `columns` are handles of. `rows`: sessions to run, in order; `next_row`: the one after them. `coordinator`: whom to
    ask for more symbols.
    """

    recorded = False
    plan: Plan
    window: Interval
    base: Interval
    block: int
    session_range: SessionRange
    columns: tuple[Any, ...]
    rows: tuple[int, ...]
    next_row: int | None
    state: bytes | str | None
    stopped: str | None = None
    coordinator: Any = None


@dataclass(frozen=True)
class RunScannedSessions(RunSessions):
    """The same where symbols come and go by `scans`. By row of a session: `found`, what these found, and `ready`, a
    handle of the columns of each symbol that they will probably promote, or why there are none.
    """

    scans: tuple[ScanSource, ...] = ()
    found: Mapping[int, tuple[SessionHits, ...]] = field(default_factory=dict)
    ready: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    renames: Renames = field(default_factory=Renames)


@dataclass(frozen=True)
class SessionsRun:
    """What the first of the sessions brought, and the state they led to, or why that can't be told. `working`: orders
    that have not ended.
    """

    outcomes: tuple[SessionOutcome, ...]
    state: bytes | str
    engine_s: float
    working: Orders = NO_ORDERS


@dataclass(frozen=True)
class ColumnsLost:
    """Nothing was run: a process died, and columns that it had published with it."""


@dataclass(frozen=True)
class RangeRun:
    """What came of a run."""

    result: SymbolResult
