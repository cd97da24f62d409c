"""What a symbol can be told (imperative), what it answers (past tense). All frozen; a log of commands is its state.

Time travels with commands: `at_ns` is where session time stands (UTC ns), and what has closed by then is visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from barray.market.bars import Bar, Bars, Prices
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, NoDataError
from barray.market.indicators import IndicatorSpec
from barray.market.interval import DAY, Interval
from barray.market.requirements import SessionContext
from barray.market.symbol_data import AdhocConflict, Lineage, SymbolSessionData
from barray.market.validation import Reason


class BarReader(Protocol):
    """Reads a symbol's bars where they lie. Travels to the symbol inside `Load`.

    One that knows feed and adjustment of its bars says so as `dataset`, a text (`alpaca-iex-raw`), for lineage.
    """

    @property
    def name(self) -> str:
        """Name of the source, for errors and lineage."""
        ...

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        """Bars of these consecutive sessions, oldest first, stamped with their start; more may come with them.

        Raises NoDataError (nothing there), DataError (cannot be right), SourceUnavailable.
        """
        ...


def prices_of(reader: BarReader) -> Prices:
    """What prices a reader's bars may have: what its `prices` says, positive ones where it says nothing."""
    prices: Prices = getattr(reader, "prices", "positive")
    return prices


def read_daily(reader: BarReader | None, symbol: str, sessions: Sessions) -> Bars:
    """Daily bars of these sessions, none where there is no reader or it has none; other errors as it raises them."""
    try:
        return reader.read_bars(symbol, DAY, sessions) if reader and len(sessions) else Bars.empty()
    except NoDataError:
        return Bars.empty()


class Logged:
    """A command, as the log sees it that brings a lost process back: told again in order, it gives the same state.

    `recorded`: whether it changes anything, so that it has to be told again.
    """

    recorded: ClassVar[bool] = True


@dataclass(frozen=True)
class Provision(Logged):
    """Begin as an adhoc symbol: minimal, nothing loaded. Does nothing where the symbol exists."""

    context: SessionContext
    reason: str
    at_ns: int


@dataclass(frozen=True)
class Load(Logged):
    """Become a full symbol: read history and session bars from `reader`, and compute everything.

    On an adhoc symbol this is the upgrade; on a full one it does nothing. `live`: bars of the session come later, by
    AppendBars, so that it may have none yet. `daily`: reads the daily bars of `context.daily_loaded`.
    """

    context: SessionContext
    reader: BarReader
    base_interval: Interval
    intervals: tuple[Interval, ...]
    indicators: tuple[IndicatorSpec, ...]
    added_by: str
    at_ns: int
    live: bool = False
    daily: BarReader | None = None

    def failed_over_days(self, error: BarrayError) -> bool:
        """Whether it is the daily bars that were no good, so that another source of base bars mends nothing."""
        return self.daily is not None and error.source == self.daily.name != self.reader.name

    def read(self, symbol: str) -> tuple[Bars, Bars]:
        """The base bars, and the daily ones of sessions before them; errors as the readers raise them."""
        bars = self.reader.read_bars(symbol, self.base_interval, self.context.loaded)
        return bars, read_daily(self.daily, symbol, self.context.daily_loaded)


@dataclass(frozen=True, eq=False)
class AppendBars(Logged):
    """Take in base bars of the session, in any order: new ones, late ones, and others that replace what was there.

    `since_ns`: where session time stood before; what had closed by then and was not there comes late.
    """

    bars: Bars
    since_ns: int
    at_ns: int


@dataclass(frozen=True)
class AddAdhocBar(Logged):
    """Add a closed bar that nobody loaded; `source` names who adds it."""

    interval: Interval
    bar: Bar
    source: str
    at_ns: int


@dataclass(frozen=True)
class AddAdhocIndicator(Logged):
    """Compute one more indicator, over the bars that the symbol has."""

    spec: IndicatorSpec
    source: str
    at_ns: int


@dataclass(frozen=True)
class TakeSnapshot(Logged):
    """Hand out the visible state."""

    recorded = False
    at_ns: int


Command = Provision | Load | AppendBars | AddAdhocBar | AddAdhocIndicator | TakeSnapshot


@dataclass(frozen=True)
class Provisioned:
    """The symbol exists, adhoc; `new` is False where it did before."""

    new: bool


@dataclass(frozen=True)
class Loaded:
    """The symbol is full; `new` is False where it was before.

    `lineage` covers all bars loaded, closed or not. `conflicts`: adhoc bars that the source of record overruled.
    `warnings`: moves of prices that are suspected, over all bars loaded.
    """

    new: bool
    lineage: Lineage
    conflicts: tuple[AdhocConflict, ...] = ()
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Appended:
    """Bars were taken in: how many were new and in time, came `late`, after the symbol had gone on, or replaced one."""

    new: int
    late: int
    replaced: int


@dataclass(frozen=True)
class Accepted:
    """An adhoc addition was made. `note`: what it does not do, though it may seem to."""

    note: str = ""


@dataclass(frozen=True)
class Rejected:
    """An adhoc addition was not made; nothing changed."""

    reason: str


@dataclass(frozen=True)
class SnapshotTaken:
    """The visible state at the session time that was asked for."""

    data: SymbolSessionData


@dataclass(frozen=True)
class Failed:
    """The command could not be carried out: an error of ours as raised, or the traceback of an unexpected one."""

    error: Exception


Report = Provisioned | Loaded | Appended | Accepted | Rejected | SnapshotTaken | Failed
