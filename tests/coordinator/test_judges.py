"""Step 0 in the processes that symbols are going to have, and where else it goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from barray.actors.backtest_actor import BacktestActor
from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.fleet import Fleet
from barray.coordinator.judges import Judges
from barray.data_sources.manager import DataManager
from barray.market.validation import SymbolValidationResult
from tests.actors.test_validation import DEADLINE_S, NEEDS, Hanging
from tests.coordinator.processes import Process, Processes
from tests.market.builders import context_for

CHUNKS = (["A"], ["B"], ["C"])


class Told(Processes):
    """Takes down who judges."""

    def __init__(self) -> None:
        super().__init__(kind=BacktestActor)
        self.judged: list[Process | None] = []
        self.busy: set[Process] = set()

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        self.judged.append(None)
        return await super().validate(work, timeout_s, node)

    async def validate_in(self, process: Process, work: tuple[Any, ...], timeout_s: float) -> Any:
        assert process not in self.busy, "a process judges one chunk at a time"
        self.busy.add(process)
        self.judged.append(process)
        try:
            return await super().validate_in(process, work, timeout_s)
        finally:
            self.busy.discard(process)


def judged(judges: Judges, node: str | None = None) -> list[dict[str, SymbolValidationResult]]:
    manager, context = DataManager((Hanging(),)), context_for(NEEDS)

    async def all_chunks() -> list[Any]:
        works = [(chunk, manager, NEEDS, context, DEADLINE_S) for chunk in CHUNKS]
        return await asyncio.gather(*(judges.validate(work, 60.0, node) for work in works))

    return asyncio.run(all_chunks())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_processes_judge_one_chunk_after_another_and_without_any_it_is_done_elsewhere(count: int) -> None:
    processes = Told()
    made = Fleet(ActorsSection(), processes)
    found = judged(Judges(processes, asyncio.run(made.start_ahead(count))))
    assert [list(results) for results in found] == [["A"], ["B"], ["C"]]
    assert all(result.can_proceed for results in found for result in results.values())
    assert set(processes.judged) == (set(processes.started) if count else {None})
    assert len(processes.started) == count


def test_what_a_lost_process_had_is_judged_elsewhere() -> None:
    processes = Told()
    processes.fates = ["dies", ""]
    found = judged(Judges(processes, asyncio.run(Fleet(ActorsSection(), processes).start_ahead(2))))
    assert [list(results) for results in found] == [["A"], ["B"], ["C"]]
    assert None in processes.judged


def test_what_is_to_be_judged_on_a_node_is_judged_there() -> None:
    processes = Told()
    judged(Judges(processes, asyncio.run(Fleet(ActorsSection(), processes).start_ahead(1))), node="here")
    assert set(processes.judged) == {None}


def test_symbols_come_to_processes_that_were_started_ahead_in_their_order_and_those_left_over_end() -> None:
    processes = Processes(kind=BacktestActor)

    async def fleet() -> Fleet:
        made = Fleet(ActorsSection(), processes)
        assert await made.start_ahead(3) == processes.started
        await made.add(["A", "B", "C", "D"], per_actor=2)
        made.kill_idle()
        return made

    made = asyncio.run(fleet())
    assert made.groups == [["A", "B"], ["C", "D"]]
    assert processes.alive == processes.started[:2]
    assert [made._slots[name].process for name in ("A", "C")] == processes.alive
