"""The coordinator of a sweep: the bars stay in the processes, only parameters travel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from barray.coordinator.backtest import BacktestCoordinator, Job
from barray.coordinator.crew import share_with
from barray.coordinator.step0 import all_failed
from barray.market.accounting import require_accounted
from barray.trading.strategy.needs import Needs
from barray.trading.sweeps.commands import EvaluateSets, SetsEvaluated
from barray.trading.sweeps.evaluate import SetTable
from barray.trading.sweeps.parameter_sets import ParameterSet
from barray.trading.sweeps.table import SetRow, rows_of

_SETS_PER_CALL = 32
"""So that a call takes a second at most, and what waits for it is seen to go on."""


class SweepCoordinator(BacktestCoordinator):
    """Evaluates parameter sets on every symbol. begin → load → evaluate … → teardown.

    Processes keep the bars; before sets are evaluated, nodes that joined are given a share of the symbols.
    """

    grows = False

    async def load(self, needs: Needs) -> dict[str, str]:
        """Have the bars loaded: the symbols that can be run, and the digest of each one's. `needs`: of sets to come;
        here each process finds them itself. Errors as in `evaluate`.
        """
        return {table.symbol: table.data for table in await self._tables([])}

    async def evaluate(self, sets: Sequence[ParameterSet], needs: Needs) -> list[SetRow]:
        """What the sets achieved, a row each; symbols that fail are dropped. `needs`: see `load`.

        ValidationFailed where all symbols have failed, BarrayError (`unaccounted`) where one has neither all sets nor a
        reason.
        """
        return rows_of(await self._tables(sets), len(self._session_range.rows))

    async def _tables(self, sets: Sequence[ParameterSet]) -> list[SetTable]:
        """A table for each symbol that can be run; without sets, which bars it is of."""
        self._phase = "evaluating"
        await share_with(self._fleet, await self._fleet.look_after(joins=False), self.processes_per_cpu)
        groups = [[name for name in group if name in self._jobs] for group in self._fleet.groups]
        tables = await asyncio.gather(*(self._evaluate_group(group, sets) for group in groups))
        found = [table for group in tables for table in group]
        whole = [table.symbol for table in found if len(table) == len(sets)]
        require_accounted({job.symbol for job in self._jobs.values()}, whole, self._dropped)
        if not found:
            raise all_failed(self._dropped, len(self._dropped), per_symbol=True)
        return found

    async def _evaluate_group(self, group: Sequence[str], sets: Sequence[ParameterSet]) -> list[SetTable]:
        """One process's symbols one after another: all sets of a symbol use what was computed for the others."""
        tables: list[SetTable] = []
        for name in group:
            job = self._jobs[name]
            if job.symbol in self._dropped:
                continue
            parts: list[SetTable] = []
            for start in range(0, max(len(sets), 1), _SETS_PER_CALL):
                chunk = tuple(sets[start : start + _SETS_PER_CALL])
                report = (await self._execute_loading({name: job}, partial(EvaluateSets, plan=self._plan, sets=chunk)))[
                    name
                ]
                if not isinstance(report, SetsEvaluated):
                    self._collect(name, report)
                    break
                parts.append(report.table)
                self._warn(job.symbol, report.warnings)
            else:
                tables.append(SetTable.concat(parts))
        return tables

    def _split(self, symbols: Sequence[str]) -> dict[str, Job]:
        """One process holds all sessions of a symbol: it is the sets that are many."""
        return {symbol: Job(symbol, self._session_range) for symbol in symbols}
