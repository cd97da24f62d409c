"""What is checked: a plan on the bars that it runs on, of one symbol, or of all symbols of a portfolio together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from barray.market.bars import IntArray
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.checks.decisions import Decisions, decisions_of
from barray.trading.checks.portfolio import portfolio_decisions
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData

PORTFOLIO = "portfolio"
"""What a report calls all symbols together."""


@dataclass(frozen=True, eq=False)
class Subject:
    """`loaded`: of the same sessions. `window`: see portfolio_decisions."""

    plan: Plan
    loaded: tuple[LoadedRange, ...]
    window: Interval | None = None

    @classmethod
    def of(cls, loaded: LoadedRange | Sequence[LoadedRange], plan: Plan, window: Interval | None = None) -> Subject:
        """Of one symbol, or of all that a plan sees or pays for together."""
        return cls(plan, (loaded,) if isinstance(loaded, LoadedRange) else tuple(loaded), window)

    @property
    def name(self) -> str:
        """What a report calls it."""
        return PORTFOLIO if self.plan.in_windows else self.loaded[0].symbol

    @property
    def session_range(self) -> SessionRange:
        """The sessions."""
        return self.loaded[0].session_range

    @property
    def bars(self) -> int:
        """How many base bars there are."""
        return sum(len(one.base) for one in self.loaded)

    @property
    def closes(self) -> IntArray:
        """When base bars close in sessions that are traded, UTC ns, ascending."""
        ends = [one.base.end_ns[np.isin(one.base.session, one.traded)] for one in self.loaded]
        return np.unique(np.concatenate(ends))

    def row_of(self, ns: int) -> int:
        """Row of the session that a time lies in; a close lies in the session that it ends."""
        return int(np.searchsorted(self.session_range.sessions.open_ns, ns)) - 1

    def at_most_until(self, cut_ns: int) -> Subject:
        """Without the bars that close after a time, and without sessions after that one."""
        session = self.row_of(cut_ns)
        return replace(self, loaded=tuple(_until(one, cut_ns, session) for one in self.loaded))

    def decided(self, last_row: int | None = None) -> tuple[list[SymbolData], Decisions]:
        """What it is run on, derived and computed anew, and what fresh strategies decide; see `decide`."""
        data = [one.prepare(self.plan.strategy()) for one in self.loaded]
        return data, self.decide(data, last_row)

    def decide(self, data: Sequence[SymbolData], last_row: int | None = None) -> Decisions:
        """What fresh strategies decide on given data. `last_row`: of the last session that it is about."""
        if self.plan.in_windows:
            return portfolio_decisions(self.plan, data, self.session_range, self.window, last_row)
        return decisions_of(self.plan, data[0], self.session_range.timezone)


def _until(loaded: LoadedRange, cut_ns: int, session: int) -> LoadedRange:
    base, tables = loaded.base, {name: table.until(cut_ns) for name, table in loaded.tables.items()}
    known, traded = base.take(slice(0, base.closed_by(cut_ns))), _up_to(loaded.traded, session)
    return replace(loaded, base=known, traded=traded, tables=tables)


def _up_to(rows: IntArray, last: int) -> IntArray:
    return rows[rows <= last]
