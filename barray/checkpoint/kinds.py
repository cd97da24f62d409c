"""All that a checkpoint may hold: results as runs make them, and what says how they belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from barray.coordinator.gate import Asked, Pacing
from barray.coordinator.messages import AddBar, AddIndicator, AddSymbol, RemoveSymbol
from barray.coordinator.steps import Step
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.symbol_data import Lineage, SymbolMetadata
from barray.market.validation import Reason
from barray.trading.engine.commands import SessionOutcome
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import Labels, Orders
from barray.trading.results.days import MergedBars, SessionDays
from barray.trading.results.equity import EquityCurve
from barray.trading.results.events import Events, RunEvent
from barray.trading.results.ledger import LoadedBars
from barray.trading.results.logs import LogLine, Logs
from barray.trading.results.result import SymbolResult, Trades
from barray.trading.scans.commands import Hole
from barray.trading.scans.follow import Kept
from barray.trading.scans.hits import ScanFailure
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, LetGo, PromoteSymbol
from barray.trading.scans.result import ScannedSession
from barray.trading.scans.state import Visit
from barray.trading.sweeps.table import SetRow


@dataclass(frozen=True, eq=False)
class Done:
    """Something that is done, and the name of the file that holds where the strategy stood then."""

    what: Any
    state: str


@dataclass(frozen=True)
class DayDone:
    """A day of `barray run`: what it came to, in JSON types; see barray.cli.run."""

    day: str
    told: Mapping[str, Any]


@dataclass(frozen=True)
class DayBegun:
    """A live day has begun, and is recorded there."""

    day: str
    recording: str


@dataclass(frozen=True)
class StopOver:
    """A day that somebody had stopped has ended as it was to: whoever goes on runs it whole."""

    day: str


@dataclass(frozen=True)
class Finished:
    """All is done. `files`: that were written of it."""

    files: tuple[str, ...]


def unit_of(what: object) -> tuple[str, tuple[str, ...]]:
    """What a thing that is done counts among, and by which names."""
    match what:
        case SymbolResult():
            return "symbols", (what.symbol,)
        case Step() | DayDone():
            return "sessions", what.days if isinstance(what, Step) else (what.day,)
        case ScannedSession():
            return "sessions", (what.day.isoformat(),)
        case (str(day), _):
            return "sessions", (day,)
        case SetRow():
            return "sets", (what.key,)
        case Asked():
            return "requests", (what.told,)
    return "", ()


KINDS = (
    AddAdhoc,
    AddBar,
    AddIndicator,
    AddSymbol,
    AlsoWanted,
    Asked,
    DayBegun,
    DayDone,
    Done,
    EquityCurve,
    Events,
    Evict,
    Fills,
    Finished,
    Hole,
    IndicatorSpec,
    Interval,
    Kept,
    Labels,
    LetGo,
    Lineage,
    LoadedBars,
    LogLine,
    Logs,
    MergedBars,
    Orders,
    Pacing,
    PromoteSymbol,
    Reason,
    Refusal,
    RemoveSymbol,
    RunEvent,
    ScanFailure,
    ScannedSession,
    SessionDays,
    SessionOutcome,
    SetRow,
    Step,
    StopOver,
    SymbolMetadata,
    SymbolResult,
    Trades,
    Visit,
)
