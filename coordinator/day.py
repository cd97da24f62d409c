"""All that a session knows of one date."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from barray.coordinator.schedule import DueAction
from barray.coordinator.summary import AddResult, SessionEvent
from barray.data_sources.manager import DataManager
from barray.market.clock import SimulatedClock
from barray.market.commands import Load, Report
from barray.market.errors import DataError, NoDataError, shorten
from barray.market.requirements import SessionContext
from barray.market.validation import Reason, SymbolValidationResult

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Day:
    """All that belongs to one session date; gone with it. `moments`: when else than by the schedule something is to be
    done, UTC ns.
    """

    context: SessionContext
    clock: SimulatedClock
    schedule: list[DueAction]
    manager: DataManager
    moments: frozenset[int] = frozenset()
    step0: dict[str, SymbolValidationResult] = field(default_factory=dict)
    dropped: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    events: list[SessionEvent] = field(default_factory=list)
    full: set[str] = field(default_factory=set)
    adhoc: set[str] = field(default_factory=set)

    @property
    def symbols(self) -> list[str]:
        """Those in the session, sorted."""
        return sorted(self.full | self.adhoc)

    def join(self, symbol: str) -> None:
        """It is full now."""
        self.full.add(symbol)
        self.adhoc.discard(symbol)
        self.dropped.pop(symbol, None)

    def forget(self, symbol: str) -> None:
        """It is in the session no more."""
        self.full.discard(symbol)
        self.adhoc.discard(symbol)

    def refuse(self, validation: SymbolValidationResult) -> AddResult:
        """Step 0 refused a symbol that was to be added; an adhoc one stays what it was."""
        symbol = validation.symbol
        logger.error("%s: validation failed: %s", shorten(symbol), validation.reason)
        if symbol not in self.adhoc:
            self.dropped[symbol] = validation.reasons
        return AddResult(accepted=False, reason=validation.reason, validation=validation)

    def pass_over(self, loaded: Mapping[str, tuple[Load, Report]]) -> tuple[str, ...]:
        """Ask sources no more about symbols whose bars, of theirs, proved to be no good when they were loaded.

        The symbols for which there are sources after theirs; the others' stay as they are.
        """
        problems: dict[str, dict[str, Reason]] = {}
        for symbol, (load, report) in loaded.items():
            error, source = getattr(report, "error", None), load.reader.name
            if not isinstance(error, DataError | NoDataError) or load.failed_over_days(error):
                continue
            if source != self.manager.sources[-1].name:
                problems.setdefault(source, {})[symbol] = Reason.of(error, source)
                logger.warning("%s: %s", shorten(symbol), problems[source][symbol])
        self.manager = self.manager.passing_over(problems)
        return tuple(symbol for by_symbol in problems.values() for symbol in by_symbol)
