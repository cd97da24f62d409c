"""A symbol of a session as one row of a table: what is kept of it when its bars have passed by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from barray.market.symbol_data import AdhocConflict, SymbolSessionData
from barray.market.validation import Reason


@dataclass(frozen=True)
class SymbolRow:
    """How a symbol came into the session, and what there is of it.

    `bars`: the session's, of the base interval; of an adhoc symbol, all that were given. `quality` (0 to 1) and `gaps`
    are the base interval's in the session, None where it has none. `dataset`: which of the source's, where it says.
    """

    symbol: str
    state: Literal["full", "adhoc"]
    added_by: str
    upgraded: bool
    source: str | None
    dataset: str | None
    bars: int
    quality: float | None
    gaps: int | None
    conflicts: tuple[AdhocConflict, ...]
    warnings: tuple[Reason, ...]

    @classmethod
    def of(cls, data: SymbolSessionData) -> Self:
        """The row of a symbol's state."""
        name = str(data.base_interval)
        base = data.bars.get(name) if data.base_interval else None
        quality = data.quality.get(name) if data.base_interval else None
        return cls(
            symbol=data.symbol,
            state="full" if data.meets_session_config_requirements else "adhoc",
            added_by=data.added_by,
            upgraded=data.upgraded_from_adhoc,
            source=data.lineage.source if data.lineage else None,
            dataset=data.lineage.dataset if data.lineage else None,
            bars=len(base) - base.history if base else sum(len(series) for series in data.bars.values()),
            quality=quality.share if quality else None,
            gaps=len(quality.gaps) if quality else None,
            conflicts=data.conflicts,
            warnings=data.warnings,
        )
