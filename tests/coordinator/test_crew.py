"""A crew without Ray: who does what, and what nodes that come and go change about it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from barray.actors.nodes import Claim
from barray.coordinator import crew
from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.crew import Crew
from barray.coordinator.fleet import Fleet
from tests.coordinator.processes import Processes


class Worker:
    """An actor that has nothing to remember."""

    def execute(self, batch: Sequence[tuple[str, Any]]) -> list[str]:
        return [f"did {symbol}" for symbol, _ in batch]

    def forget(self, symbols: Sequence[str]) -> None:
        pass


class Task:
    """A command that no log keeps."""

    recorded = False


class Run:
    """Names worked through by a fleet; what happens when so many are done stands in `events`."""

    def __init__(self, cpus: dict[str, float], names: str, per_actor: int, claim: Claim | None = None) -> None:
        self.processes = Processes(cpus, Worker)
        self.fleet = Fleet(ActorsSection(max_restarts=0), self.processes, claim=claim)
        self.done: list[str] = []
        self.by_node: Counter[str] = Counter()
        self.events: dict[int, Any] = {}
        asyncio.run(self.go(names, per_actor)) if names else None

    async def work(self, names: Sequence[str]) -> None:
        (process,) = {self.fleet._slots[name].process for name in names}
        await asyncio.sleep(self.pause_s)
        reports = await self.fleet.execute({name: Task() for name in names})
        assert list(reports.values()) == [f"did {name}" for name in sorted(names)]
        self.by_node[process.node] += len(names)
        self.done += names
        for count in [count for count in self.events if count <= len(self.done)]:
            self.events.pop(count)()

    pause_s = 0.0

    async def go(self, names: str, per_actor: int, more: int = 0) -> None:
        await self.fleet.add(names, per_actor=per_actor)
        await Crew(self.fleet, self.work, per_call=2, per_cpu=1).run(more)


NAMES = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_LOOK_S", 0.001)


def run(cpus: dict[str, float], per_actor: int, *, more: int = 0, claim: Claim | None = None, **events: Any) -> Run:
    made = Run(cpus, "", per_actor, claim)
    made.pause_s = 0.002
    made.events = {int(name.removeprefix("at_")): partial_of(made, what) for name, what in events.items()}
    asyncio.run(made.go(NAMES, per_actor, more))
    assert sorted(made.done) == list(NAMES), "each once"
    assert made.processes.alive == []
    return made


def partial_of(made: Run, what: Any) -> Any:
    return lambda: what(made.processes)


def test_who_is_through_takes_from_who_has_most_left() -> None:
    made = run({"one": 1.0, "two": 1.0}, 20)
    assert made.by_node["one"] + made.by_node["two"] == len(NAMES)
    assert min(made.by_node.values()) >= 10, "20 and 6 were theirs"


def test_a_node_that_joins_gets_work() -> None:
    def join(processes: Processes) -> None:
        processes.cpus = {**processes.cpus, "new": 2.0}

    made = run({"one": 1.0}, 26, at_4=join)
    assert made.by_node["new"] >= 8


def test_processes_that_wait_for_nodes_take_part_once_they_are_up() -> None:
    made = run({"one": 1.0}, 26, more=2, claim=Claim(1.0))
    assert [process.node for process in made.processes.started] == ["one", "anywhere", "anywhere"]
    assert made.by_node["anywhere"] >= 12


def test_a_node_that_leaves_is_free_after_the_call_that_is_under_way_and_nothing_is_lost() -> None:
    def leave(processes: Processes) -> None:
        processes.leaving = {"two"}

    made = run({"one": 1.0, "two": 1.0}, 13, claim=Claim(1.0), at_4=leave)
    assert made.by_node["two"] <= 8
    assert [process.node for process in made.processes.started] == ["one", "two", "anywhere"]


def test_what_the_work_raises_ends_all() -> None:
    made = Run({"one": 1.0}, "", 4)
    made.events = {2: lambda: 1 / 0}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(made.go("abcd", 4))
    assert made.processes.alive == []
