"""What the coordinator says of a session as a whole, beside its symbols: for exports, status and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from barray.market.calendar import ExtendedHours
from barray.market.html import NOTHING, html_table
from barray.market.reason_codes import MACHINE_FAILED
from barray.market.requirements import SymbolRequirements
from barray.market.symbol_data import AdhocConflict
from barray.market.validation import Reason, SymbolValidationResult
from barray.trading.engine.session_trading import SessionTrading
from barray.trading.scans.result import ScannedSession

EventAction = Literal["add_symbol", "add_bar", "add_indicator", "remove_symbol", "drop", "stream", "stop", "resume"]
"""What happens in a session. `stream`: bars stopped coming or came again; `stop`: somebody ended it early; `resume`:
all had died, and it goes on.
"""
OF_SESSION: Mapping[str, str] = {"stream": "coordinator", "stop": "user", "resume": "coordinator"}
"""Events of a session as a whole, whose symbol is "", and by whom each is."""


@dataclass(frozen=True)
class AddResult:
    """What became of an addition. `conflicts`: adhoc bars that the source of record overruled in an upgrade."""

    accepted: bool
    reason: str = ""
    validation: SymbolValidationResult | None = None
    conflicts: tuple[AdhocConflict, ...] = ()


@dataclass(frozen=True)
class SessionEvent:
    """Something done to the session, or that befell it, at session time `at_ns` (UTC nanoseconds).

    `symbol`: "" where it concerns the session as a whole. `detail` holds JSON types.
    """

    at_ns: int
    action: EventAction
    symbol: str
    by: str
    accepted: bool
    reason: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionSummary:
    """One session date: what was required, what Step 0 found, who was dropped and why, what happened on the way.

    `history_first`: label of the first session whose bars were loaded (the session date itself without history);
    `daily_first`: of the first one before these whose daily bars were, None without such.
    `scanned`: what scans found, where there are any.
    `trading`: what a strategy did in it, None where none was there.
    `step0` holds every symbol asked for, `dropped` the reasons of those that are not in the session. Sorted by symbol.
    """

    calendar: str
    timezone: str
    hours: str
    extended_hours: ExtendedHours | None
    session_date: date
    history_first: date
    open_ns: int
    close_ns: int
    now_ns: int
    requirements: SymbolRequirements
    step0: dict[str, SymbolValidationResult]
    dropped: dict[str, tuple[Reason, ...]]
    events: tuple[SessionEvent, ...]
    daily_first: date | None = None
    scanned: ScannedSession | None = None
    trading: SessionTrading | None = None

    @property
    def stopped(self) -> str | None:
        """Why somebody ended the session early; None where nobody did."""
        return next((event.reason for event in self.events if event.action == "stop"), None)

    @property
    def lost(self) -> tuple[str, ...]:
        """Symbols that are missing because the machine failed, sorted; see `lost_symbols`."""
        return lost_symbols(self.dropped)

    @property
    def degraded(self) -> bool:
        """Whether any symbol is missing that would be there had the machine not failed."""
        return bool(self.lost)

    def _repr_html_(self) -> str:
        rows = [
            (
                symbol,
                "dropped" if symbol in self.dropped else "in" if result.can_proceed else "not loaded",
                result.data_source or NOTHING,
                result.base_interval or NOTHING,
                "; ".join(map(str, self.dropped.get(symbol, ()))),
            )
            for symbol, result in self.step0.items()
        ]
        counts = f"{len(self.step0)} asked for, {len(self.dropped)} dropped, {len(self.events)} events"
        return html_table(("symbol", "step 0", "source", "base", "reasons"), rows, f"{self.session_date}, {counts}")


def lost_symbols(dropped: Mapping[str, Sequence[Reason]]) -> tuple[str, ...]:
    """Symbols that were dropped for no fault of theirs or of their data: their process, or their gateway, was lost."""
    return tuple(sorted(s for s, reasons in dropped.items() if any(r.code in MACHINE_FAILED for r in reasons)))
