"""What a sweep gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from barray.trading.sweeps.table import SetRow, WalkForwardStep, score


@dataclass(frozen=True, eq=False)
class SweepResult:
    """All sets tried, in the order they were asked for. `capital`: of all symbols together. `metric`: what was sought.

    `walked`: one step a walk-forward window, if the config asks for it. `resumed`: how many sets an earlier, stopped
    run of the same sweep had done. `journal`: the file that lets this one be resumed.
    """

    name: str
    strategy: str
    metric: str
    capital: float
    dates: tuple[str, ...]
    rows: tuple[SetRow, ...]
    dropped: Mapping[str, tuple[str, ...]]
    journal: Path
    walked: tuple[WalkForwardStep, ...] = ()
    resumed: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def ranked(self) -> list[SetRow]:
        """Rows without errors, best first; ties in the order they were tried."""
        good = [row for row in self.rows if row.error is None]
        return sorted(good, key=lambda row: -score(row.figures(self.capital), self.metric))

    @property
    def best(self) -> SetRow | None:
        """The best set; None where all are in error."""
        return next(iter(self.ranked), None)
