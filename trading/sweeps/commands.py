"""What processes that hold bars can be told in a sweep, and what they answer. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from barray.market.commands import Logged
from barray.market.interval import Interval
from barray.market.renames import Renames
from barray.market.session_range import SessionRange
from barray.market.validation import Reason
from barray.trading.engine.commands import LoadRange, Plan
from barray.trading.scans.source import ScanSource
from barray.trading.sweeps.evaluate import SetTable
from barray.trading.sweeps.parameter_sets import ParameterSet
from barray.trading.sweeps.table import SetRow


@dataclass(frozen=True)
class EvaluateSets(Logged):
    """Run many parameter sets over a range, which is loaded if it isn't yet, and kept for the next.

    `plan.parameters` are those that the sets leave alone.
    """

    recorded = False
    load: LoadRange
    plan: Plan
    sets: tuple[ParameterSet, ...]


@dataclass(frozen=True)
class SetsEvaluated:
    """What the sets achieved on the symbol. `warnings`: moves of its prices that are suspected."""

    table: SetTable
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class LaidBlock:
    """Sessions of a portfolio and where their columns are: handles of published mappings, SymbolData by symbol."""

    session_range: SessionRange
    columns: tuple[Any, ...]


@dataclass(frozen=True)
class EvaluatePortfolio(Logged):
    """Run parameter sets of a portfolio over blocks of sessions, in order; the answer is ColumnsLost where columns are
    not there, or were laid out for other sets.

    `plan`: see EvaluateSets; `window`, `base`: see RunSessions. `data`: see SetRow.
    """

    recorded = False
    plan: Plan
    window: Interval
    base: Interval
    blocks: tuple[LaidBlock, ...]
    sets: tuple[ParameterSet, ...]
    data: Mapping[str, str]


@dataclass(frozen=True)
class EvaluateScanned(EvaluatePortfolio):
    """The same where symbols come and go by `scans`. `found`: by row of a session a handle of what these found;
    `coordinator`: whom to ask for the columns of those that are promoted.
    """

    scans: tuple[ScanSource, ...] = ()
    found: Mapping[int, Any] = field(default_factory=dict)
    coordinator: Any = None
    renames: Renames = field(default_factory=Renames)


@dataclass(frozen=True)
class PortfolioEvaluated:
    """What the sets achieved, a row each, in their order."""

    rows: tuple[SetRow, ...]
