"""What a sweep gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from barray.market.html import figure, html_table
from barray.market.table import Column, Table, floats_known, texts
from barray.trading.results.logs import Logs
from barray.trading.sweeps.table import SetRow, WalkForwardStep, like_with_like, score

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ("pnl", "return_pct", "sharpe", "close_drawdown_pct", "trades")
_SHOWN_SETS = 10


@dataclass(frozen=True, eq=False)
class SweepResult:
    """All sets tried, in the order they were asked for. `capital`: of all symbols together, or of the
    account that they share. `metric`: what was sought.

    `walked`: one step a walk-forward window, if the config asks for it. `resumed`: how many sets an earlier, stopped
    run of the same sweep had done. `outdated`: how many it had done of other bars or other symbols: they were evaluated
    anew. `journal`: the file that lets this one be resumed. `lost`: symbols of `dropped` that are missing because the
    machine failed, sorted.

    Only sets made of the same symbols and bars are ranked, those of the most symbols. Others, evaluated after symbols
    were lost on the way, are in `unlike`: without figures, and not in the journal.
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
    outdated: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)
    lost: tuple[str, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether any symbol is missing that would be there had the machine not failed."""
        return bool(self.lost)

    @property
    def logs(self) -> dict[str, Logs]:
        """What the strategy printed and logged, by set, of those that this run evaluated: with the first set, and with
        the first ten in error. Of the others it isn't kept, so that many sets don't drown what one says.
        """
        return {row.key: row.logs for row in self.rows if row.logs.lines}

    @cached_property
    def made_of(self) -> Mapping[str, str]:
        """The symbols that the ranked sets are made of, and the digest of each one's bars."""
        return like_with_like(self.rows)

    @property
    def unlike(self) -> list[SetRow]:
        """Rows without errors that can't be compared with the ranked ones."""
        return [row for row in self.rows if row.error is None and row.data != self.made_of]

    def problem(self, row: SetRow) -> str | None:
        """Why a row has no rank; None where it has one."""
        if row.error is not None or row.data == self.made_of:
            return row.error
        lost = sorted(self.made_of.keys() - row.data.keys())
        if not lost:
            return "not ranked: made of other bars than the rest"
        return f"not ranked: made without {', '.join(lost[:3])}{f' and {len(lost) - 3} more' if len(lost) > 3 else ''}"

    @property
    def ranked(self) -> list[SetRow]:
        """Rows without errors that are made of the same, best first; ties in the order they were tried."""
        good = [row for row in self.rows if self.problem(row) is None]
        return sorted(good, key=lambda row: -score(row.figures(self.capital), self.metric))

    @property
    def best(self) -> SetRow | None:
        """The best set; None where all are in error."""
        return next(iter(self.ranked), None)

    @cached_property
    def table(self) -> Table:
        """A row a set, in the order tried: its parameters, its figures, `error`; see barray.market.table.Table."""
        problems = [self.problem(row) for row in self.rows]
        figures = [
            row.figures(self.capital) if problem is None else {}
            for row, problem in zip(self.rows, problems, strict=True)
        ]
        names = dict.fromkeys(name for row in self.rows for name in row.parameters)
        shown = dict.fromkeys(name for row in figures for name in row if name not in names)
        return Table(
            {
                **{name: _column([row.parameters.get(name) for row in self.rows]) for name in names},
                **{name: floats_known(np.array([row.get(name) for row in figures], np.float64)) for name in shown},
                "error": texts(problems),
            }
        )

    @cached_property
    def sets(self) -> pd.DataFrame:
        """The same as a DataFrame."""
        return self.table.to_pandas(copy=True)

    def _repr_html_(self) -> str:
        best = self.ranked[:_SHOWN_SETS]
        names = list(dict.fromkeys(name for row in best for name in row.parameters))
        rows = []
        for row in best:
            figures = row.figures(self.capital)
            chosen = (*(row.parameters.get(name) for name in names), *(figures[name] for name in _SHOWN))
            rows.append([figure(value) for value in chosen])
        title = f"{self.strategy}: best {len(best)} of {len(self.rows)} sets by {self.metric}"
        return html_table((*names, *(name.replace("_", " ") for name in _SHOWN)), rows, title)


def _column(values: list[Any]) -> Column:
    """Parameters' values: numbers and flags where all are, else texts."""
    array = np.array(values)
    if array.dtype.kind in "bif":
        return Column(array)
    return texts([None if value is None else str(value) for value in values])
