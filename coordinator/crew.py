"""Processes that share out work among them, while nodes join and leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any

from barray.coordinator.fleet import Fleet
from barray.market.errors import ActorFailed

_LOOK_S = 2.0
"""How often nodes are looked at."""
Work = Callable[[Sequence[str]], Awaitable[None]]
"""Does what some names stand for, all of them of one process."""


class Crew:
    """A fleet's processes at work: each does its own first, and who is through takes from who has most left.

    Nodes that join are given processes, `per_cpu` for each of their CPUs. A process whose node leaves ends after the
    call that it is in; another starts in its stead where there is room, or comes to be, and what it had left is for
    all. A process that is through ends, so that its node is free. `per_call`: names that one call does.
    """

    def __init__(self, fleet: Fleet, work: Work, *, per_call: int, per_cpu: int) -> None:
        self._fleet = fleet
        self._work = work
        self._per_call, self._per_cpu = per_call, per_cpu
        self._waiting: dict[str, list[str]] = {}
        self._leaving: set[str] = set()
        self._tasks: set[asyncio.Future[None]] = set()
        self._busy = 0

    async def run(self, more: int = 0) -> None:
        """Have all done. `more`: how many processes are to join, beside those there are, as there comes to be room.

        ActorFailed where none is left to work, and what the work raises. At the end no process is left.
        """
        looked_s = asyncio.get_running_loop().time()
        nodes = self._fleet.node_cpus()
        for group in self._fleet.groups:
            self._waiting[group[0]] = group
        for anchor in list(self._waiting):
            self._begin(self._run(anchor))
        for _ in range(min(more, self._calls_left)):
            self._enlist(None)
        try:
            while self._busy or any(self._waiting.values()):
                if not self._tasks:
                    raise ActorFailed(
                        "no node came in time for a backtest's processes", remedy="raise placement.wait_s"
                    )
                done, _ = await asyncio.wait(self._tasks, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._tasks.discard(task)
                    task.result()
                if (now_s := asyncio.get_running_loop().time()) - looked_s >= _LOOK_S:
                    nodes, looked_s = self._look(nodes, pending=more > 0), now_s
        finally:
            for task in self._tasks:
                task.cancel()
            self._fleet.kill_all()

    @property
    def _calls_left(self) -> int:
        return -(-sum(map(len, self._waiting.values())) // self._per_call)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    def _enlist(self, node: str | None) -> None:
        name = self._fleet.enlist(node)
        self._waiting[name] = []
        self._begin(self._join(name))

    def _look(self, before: dict[str, float], *, pending: bool) -> dict[str, float]:
        """See to nodes that leave and to those that have joined. `pending`: processes wait for these already."""
        self._leaving.update(self._fleet.leaving())
        nodes = self._fleet.node_cpus()
        for node in () if pending else nodes.keys() - before.keys():
            for _ in range(min(round(self._per_cpu * nodes[node]), self._calls_left)):
                self._enlist(node)
        return nodes

    async def _join(self, anchor: str) -> None:
        if await self._fleet.is_up(anchor):
            await self._run(anchor)

    async def _run(self, anchor: str) -> None:
        while names := self._take(anchor):
            self._busy += 1
            try:
                await self._work(names)
            finally:
                self._busy -= 1
            if anchor in self._leaving:
                self._leaving.discard(anchor)
                self._fleet.renew(anchor)
                if not await self._fleet.is_up(anchor):
                    return
        self._fleet.remove(self._fleet.beside(anchor))

    def _take(self, anchor: str) -> list[str]:
        """The next names for a process: of its own, or of who has most left."""
        source = anchor if self._waiting[anchor] else max(self._waiting, key=lambda one: len(self._waiting[one]))
        waiting = self._waiting[source]
        if source == anchor:
            names, self._waiting[source] = waiting[: self._per_call], waiting[self._per_call :]
            return names
        names, self._waiting[source] = waiting[-self._per_call :], waiting[: -self._per_call]
        self._fleet.hand(names, anchor)
        return names


async def share_with(fleet: Fleet, nodes: Collection[str], per_cpu: int) -> None:
    """Start processes on nodes that have joined, and hand each its share of the symbols, from whom has most of them.

    For symbols that were told nothing that lasts, while no call of theirs is under way.
    """
    cpus = fleet.node_cpus()
    for node in sorted(cpus.keys() & set(nodes)):
        for _ in range(round(per_cpu * cpus[node])):
            each = len(fleet.symbols) // (fleet.processes + 1)
            if not each:
                return
            name = fleet.enlist(node)
            if not await fleet.is_up(name):
                fleet.remove([name])
                return
            for _ in range(each):
                fleet.hand([max(fleet.groups, key=len)[-1]], name)
