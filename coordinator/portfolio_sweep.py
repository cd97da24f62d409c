"""The coordinator of a portfolio's sweep: the columns are published once, and every core runs sets over them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from barray.actors.options import new_portfolio_actor
from barray.actors.transport import RayTransport
from barray.coordinator.backtest import Prepared
from barray.coordinator.fleet import Fleet, cpus_of
from barray.coordinator.portfolio_backtest import PortfolioBacktestCoordinator
from barray.coordinator.step0 import all_failed
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, NoDataError
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import ColumnsLost, LayRange, LoadRange, RangeLaid
from barray.trading.results.logs import NO_LOGS
from barray.trading.strategy.needs import Needs
from barray.trading.sweeps.commands import EvaluatePortfolio, LaidBlock, PortfolioEvaluated
from barray.trading.sweeps.parameter_sets import ParameterSet
from barray.trading.sweeps.table import SetRow

_BLOCK_BYTES = 256 * 1024 * 1024
_MOST_SETS = 32
"""In one call: what a lost process costs."""


@dataclass(frozen=True)
class Laid:
    """All sessions as they were laid out together, and the digest of each symbol's bars."""

    blocks: tuple[LaidBlock, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)


class PortfolioSweepCoordinator(PortfolioBacktestCoordinator):
    """Evaluates parameter sets of a strategy over all symbols, or over one account. Used as SweepCoordinator is.

    All blocks of sessions stay published (what does not fit the object store, Ray writes to disk); each core has a
    process that maps them, one after another, and runs some of the sets through all of them. Where columns are lost
    with their process, or were laid out for other sets, they are laid out anew. Where a process that runs sets is lost,
    another runs these from the beginning.
    """

    engines = ()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        sessions = len(self._session_range.rows) * _MOST_SETS
        transport = RayTransport(new_portfolio_actor, self._config.placement.placement)
        self._engine = Fleet(self._config.actors, transport, sessions=sessions)
        self._laid = Laid()
        self._laying_anew = asyncio.Lock()
        self._needs: Needs | None = None
        self._digests: dict[str, list[str]] = {}

    async def begin(self, done: Collection[str] = ()) -> Prepared:
        """As in BacktestCoordinator, and a process for every core."""
        prepared = await super().begin(done)
        self._base = prepared.grid_interval
        await self._add_engines()
        return prepared

    async def _add_engines(self) -> None:
        await self._engine.add([f"sets {number}" for number in range(cpus_of(self._transport))])

    async def load(self, needs: Needs) -> dict[str, str]:
        """Have the bars laid out for sets to come, which need this together: the symbols that can be run, with the
        digest of each one's bars. ValidationFailed where none can.
        """
        self._phase = "evaluating"
        await self._lay_all(needs)
        return dict(self._laid.data)

    async def evaluate(self, sets: Sequence[ParameterSet], needs: Needs) -> list[SetRow]:
        """What the sets achieved, a row each; of those that a process is lost with again and again, why they have no
        figures. `needs`: what is laid out where more is needed than there is. ValidationFailed where no symbol can be
        run any more, ActorFailed where their columns don't stay.
        """
        await self._see_to_nodes()
        engines = self._engine.symbols
        whole = len(self._laid.blocks) == 1  # a process keeps it, and stacks nothing twice
        waiting = iter(_parts(len(sets), len(engines) * (2 if whole else 1), smaller=whole))
        found: dict[int, list[SetRow]] = {}
        self._progress = (0, len(sets))

        async def work(engine: str) -> None:
            for part in waiting:
                found[part.start] = await self._rows(engine, sets[part], needs)
                self._progress = (self._progress[0] + len(found[part.start]), len(sets))

        await asyncio.gather(*map(work, engines))
        return [row for _, rows in sorted(found.items()) for row in rows]

    async def _see_to_nodes(self) -> None:
        """Have what is on nodes that leave go on elsewhere, and each core of nodes that joined have its process."""
        async with self._laying:
            await self._fleet.look_after(joins=False)
        await self._engine.look_after(joins=False)
        there = len(self._engine.symbols)
        await self._engine.add([f"sets {number}" for number in range(there, cpus_of(self._transport))])

    async def _rows(self, engine: str, part: Sequence[ParameterSet], needs: Needs) -> list[SetRow]:
        """Rows of a part of the sets."""
        report = await self._run(engine, part, needs)
        if isinstance(report, PortfolioEvaluated):
            return list(report.rows)
        self._engine.remove([engine])
        await self._engine.add([engine])
        if len(part) > 1:  # which of them it is that ends a process shows when it is alone
            return [row for one in part for row in await self._rows(engine, [one], needs)]
        error = report.error if isinstance(report, Failed) else RuntimeError(repr(report))
        return [SetRow.failed(part[0], str(error), len(self._session_range.rows), {}, NO_LOGS)]

    async def _run(self, engine: str, part: Sequence[ParameterSet], needs: Needs) -> Any:
        """What a process reports of a part of the sets, once their columns are there."""
        for _ in range(self._config.actors.max_restarts + 2):
            laid = self._laid
            report = (await self._engine.execute({engine: self._evaluation(part)}))[engine]
            if not isinstance(report, ColumnsLost):
                return report
            async with self._laying_anew:
                if laid is self._laid:
                    await self._lay_all(needs)
        remedy = "look into Ray's logs for memory or crashes, or raise actors.max_restarts"
        raise ActorFailed("symbols' columns got lost again and again", remedy=remedy)

    def _evaluation(self, part: Sequence[ParameterSet]) -> EvaluatePortfolio:
        """What a process is told of a part of the sets."""
        window = self._config.strategy.window if self._config.strategy is not None else None
        return EvaluatePortfolio(
            plan=self._plan,
            window=window or self._base,
            base=self._base,
            blocks=self._laid.blocks,
            sets=tuple(part),
            data=self._laid.data,
        )

    async def _lay_all(self, needs: Needs) -> None:
        """Have all sessions laid out with all that sets need, without the symbols that are lost on the way."""
        self._needs = needs
        there: set[str] | None = None
        while there != self._jobs.keys():
            there, self._digests = set(self._jobs), {}
            blocks = tuple([LaidBlock(block, await self._lay(block)) for block in self._blocks()])
        for symbol, why in self._ledgers.lacking.items():
            self._lose(symbol, NoDataError(why, code="no_session_data"))
        if not self._ledgers.own:
            raise all_failed(self._dropped, len(self._dropped), per_symbol=True)
        self._laid = Laid(blocks, {symbol: _joined(self._digests[symbol]) for symbol in sorted(self._ledgers.own)})

    def _laying_out(self, load: LoadRange) -> LayRange:
        return LayRange(load, self._plan, self._needs)

    def _take_laid(self, reports: Mapping[str, Any], block: SessionRange) -> tuple[Any, ...]:
        for symbol, report in reports.items():
            self._digests.setdefault(symbol, []).append(report.digest if isinstance(report, RangeLaid) else "")
        return super()._take_laid(reports, block)

    @property
    def block_bytes(self) -> int:
        """More than for one run, for each block is mapped and stacked once for some of the sets."""
        return _BLOCK_BYTES

    @property
    def bytes_a_bar(self) -> int:
        """With what all sets need."""
        return super().bytes_a_bar + 8 * len(self._requirements.indicators)


def _parts(count: int, shares: int, *, smaller: bool) -> list[slice]:
    """Sets, for processes to take as they are free: so many shares, or each a share of what is left then, so that all
    are done at about the same time, however long their sets take.
    """
    parts, start = list[slice](), 0
    while start < count:
        share = -(-(count - start if smaller else count) // shares)
        parts.append(slice(start, min(start + min(share, _MOST_SETS), count)))
        start = parts[-1].stop
    return parts


def _joined(digests: Sequence[str]) -> str:
    """One digest of a symbol's bars, of all blocks."""
    return digests[0] if len(digests) == 1 else blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()
