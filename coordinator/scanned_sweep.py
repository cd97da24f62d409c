"""The coordinator of a sweep whose symbols come and go by scans, which look once: every set follows what they find."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from barray.actors.options import this_actor
from barray.actors.published import put
from barray.coordinator.backtest import Prepared
from barray.coordinator.portfolio_sweep import Laid, PortfolioSweepCoordinator
from barray.coordinator.visits import VisitedCoordinator
from barray.market.errors import BarrayError
from barray.trading.scans.hits import SessionHits
from barray.trading.scans.plan import Plan
from barray.trading.strategy.needs import Needs
from barray.trading.sweeps.commands import EvaluatePortfolio, EvaluateScanned, LaidBlock
from barray.trading.sweeps.parameter_sets import ParameterSet
from barray.trading.sweeps.table import SetRow

logger = logging.getLogger(__name__)
SCANS = "(scans)"
"""Beside the symbols that a set was made of: what scans found, and the bars of those that they promote."""


class ScannedSweepCoordinator(VisitedCoordinator, PortfolioSweepCoordinator):
    """Evaluates parameter sets of a strategy over one account, with symbols that scans find. Used as SweepCoordinator.

    What scans find hangs on no set: they look at all sessions once, and what they found stays published, as do the
    columns of those that they promote while nothing is held. Whom a set has promoted besides, because it holds
    something, is laid out when the first set asks, and is there for all.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._found: dict[int, Any] = {}
        self._digest = ""

    async def begin(self, done: Collection[str] = ()) -> Prepared:
        """As in PortfolioSweepCoordinator; no symbol need be named."""
        prepared = await super().begin(done)
        if not self._config.symbols:
            self._base = prepared.grid_interval
            await self._add_engines()
        return prepared

    async def evaluate(self, sets: Sequence[ParameterSet], needs: Needs) -> list[SetRow]:
        """As in PortfolioSweepCoordinator."""
        there = self._needs
        if there is None or not _has(there, needs):
            await self._lay_all(needs)
        return await super().evaluate(sets, needs)

    async def _lay_all(self, needs: Needs) -> None:
        self._visits.clear()
        self._needs = needs
        if self._jobs:
            await super()._lay_all(needs)
        else:
            self._laid = Laid((LaidBlock(self._session_range, ()),))
        if not self._found:
            await self._look()
        self._laid = replace(self._laid, data={**self._laid.data, SCANS: self._digest})

    async def _look(self) -> None:
        """Have scans look at all sessions."""
        made = blake2b(digest_size=16)
        for row, day in zip(self._session_range.rows.tolist(), self._session_range.dates, strict=True):
            seen = await self._look_at(row)
            if isinstance(seen, BarrayError):
                logger.warning("%s: scans find nothing: %s", day, seen)
            found = () if isinstance(seen, BarrayError) else _followed(self._scans.plans, seen.found)
            self._found[row] = put(found)
            told = [(one.scan, [(hits.at_ns, hits.symbols) for hits in one.hits]) for one in found]
            visits = sorted((symbol, visit.digest) for (at, symbol), visit in self._visits.items() if at == row)
            made.update(repr((told, visits)).encode())
            self._visitors.remove(list(self._visitors.symbols), keep=True)
        self._digest = made.hexdigest()
        self._scans.kill_all()

    def _evaluation(self, part: Sequence[ParameterSet]) -> EvaluatePortfolio:
        return EvaluateScanned(
            **vars(super()._evaluation(part)),
            scans=self._prepared.scans,
            found=dict(self._found),
            coordinator=this_actor(),
            renames=self._config.renames,
        )


def _followed(plans: Sequence[Plan], found: Sequence[SessionHits]) -> tuple[SessionHits, ...]:
    """What was found, as far as it is followed: who may be kept, without numbers."""
    leave = {plan.name: plan.keep.leave if plan.keep else None for plan in plans}
    return tuple(
        replace(
            one,
            hits=tuple(
                replace(hits, symbols=hits.symbols[: leave[one.scan]], values={}).first(leave[one.scan])
                for hits in one.hits
            ),
        )
        for one in found
    )


def _has(there: Needs, needs: Needs) -> bool:
    """Whether what is laid out for some sets does for others."""
    indicators = frozenset(there.indicators.values())
    return indicators.issuperset(needs.indicators.values()) and set(there.intervals).issuperset(needs.intervals)
