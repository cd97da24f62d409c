"""What the process that trades in a session can be told, and what it answers. All frozen; `at_ns`: session time.

A log of the recorded ones is its state: told again in order, another process stands where the first did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from barray.market.bars import Bars
from barray.market.commands import Logged
from barray.market.interval import Interval
from barray.market.known_table import KnownTables
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.notes import Pages
from barray.trading.engine.opening import Opening
from barray.trading.orders.order_columns import Orders
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.needs import Needs


@dataclass(frozen=True)
class LayColumns(Logged):
    """To a symbol: hand out the whole day's columns, with its history."""

    recorded = False
    needs: Needs
    at_ns: int


@dataclass(frozen=True)
class ColumnsLaid:
    """All that a strategy sees of a symbol, in the session's course."""

    data: SymbolData


@dataclass(frozen=True)
class OpenDay(Logged):
    """Stand at `at_ns`, the open or later, with these symbols. `columns`: handles of what was published; `guests`:
    those of them that others added. `state`: where the account stood after the session before, None at the beginning,
    a text why that can't be told. `coordinator`: whom the strategy's wishes go to. `live`: the session, where its bars
    are still to come. `tables`: the config's.
    """

    plan: Plan
    window: Interval
    base: Interval
    session_range: SessionRange
    columns: tuple[Any, ...]
    state: bytes | str | None
    coordinator: Any
    at_ns: int
    live: SessionContext | None = None
    tables: KnownTables = field(default_factory=dict)
    guests: tuple[str, ...] = ()


@dataclass(frozen=True)
class DayOpened:
    """The strategy was called at the open. `opening`: where the account stood before. `error`: what ended its
    run, in the session before. `pinned`: see Gone.
    """

    opening: Opening
    pages: Pages
    error: str | None = None
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Arrive(Logged):
    """Go through all windows that end before `at_ns`, take in bars that have come since, by symbol, and of a window
    that ends there let the bars happen.
    """

    at_ns: int
    bars: Mapping[str, Bars] = field(default_factory=dict)


@dataclass(frozen=True)
class Change(Logged):
    """Symbols joined and left the session, by somebody else's doing than the strategy's."""

    columns: tuple[Any, ...]
    left: tuple[str, ...]
    at_ns: int


@dataclass(frozen=True)
class GoOn(Logged):
    """Go through all windows that end by `at_ns`."""

    at_ns: int


@dataclass(frozen=True)
class Gone:
    """What happened on the way. `error`: the traceback of a strategy over all symbols, which ended it. `pinned`:
    symbols of which something is held, or ordered.
    """

    pages: Pages
    error: str | None = None
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ShowBars(Logged):
    """Hand out base bars of symbols that were there."""

    recorded = False
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class BarsShown:
    """By symbol, of history and session."""

    bars: Mapping[str, IntervalBars]


@dataclass(frozen=True)
class CloseDay(Logged):
    """The session is over."""

    at_ns: int


@dataclass(frozen=True)
class DayClosed:
    """What it brought, the orders that still work, and the state that it led to, or why that can't be told. `held`:
    symbols that are held over the close.
    """

    pages: Pages
    outcome: SessionOutcome
    working: Orders
    state: bytes | str
    held: frozenset[str] = frozenset()
