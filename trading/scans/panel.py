"""What a scan in plain Python is given to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from barray.market.errors import ConfigError

_MOST_NAMES = 12


@dataclass(frozen=True, eq=False)
class ScanPanel:
    """The symbols that are left at a time, and what the scan's `uses` names of them.

    `symbols` sorted. `now`: in the calendar's time zone. `panel["RSI(14)@5m"]`: float64 (symbols,) of a number, bool of
    a condition, object of labels, float64 (bars, symbols) of `bars("close", 30)`, oldest first; all read-only.
    """

    symbols: tuple[str, ...]
    now: datetime
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The values of one that `uses` names, ConfigError for another."""
        if name not in self.values:
            known = ", ".join(list(self.values)[:_MOST_NAMES]) or "nothing"
            raise ConfigError(f"the scan does not use {name!r}", remedy=f"name it in uses, which has: {known}")
        return self.values[name]

    def __len__(self) -> int:
        """How many symbols there are."""
        return len(self.symbols)
