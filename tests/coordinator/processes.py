"""Symbols' processes without Ray: the real actors as objects here, which die, hang or lose answers when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from barray.actors.nodes import Claim, Node
from barray.actors.symbol_actor import SymbolActor
from barray.actors.validation import validate_chunk
from barray.market.errors import ConfigError


class ProcessDied(Exception):
    """What a dead process answers."""


class Process:
    """One process. `fate`: what befalls it on being called: `dies`, `hangs`, `loses` (does it, and answers nothing)."""

    def __init__(self, node: str, actor: Any, claim: Claim) -> None:
        self.node, self.actor, self.claim = node, actor, claim
        self.fate = ""
        self.alive = True
        self.told: list[tuple[str, Any]] = []

    def call(self, work: Callable[[Any], Any]) -> Any:
        """What calling it comes to: an answer or an exception."""
        if not self.alive or self.fate == "dies":
            self.alive = False
            return ProcessDied("it is dead")
        if self.fate == "hangs":
            return TimeoutError("no answer in time")
        answer = work(self.actor)
        return TimeoutError("no answer in time") if self.fate == "loses" else answer


class Processes:
    """See Transport. `cpus`: by node; `leaving`: those that are about to go; `grows`: whether nodes can be added.

    `fates`: of the processes still to be started, in order.
    """

    def __init__(self, cpus: Mapping[str, float] | None = None, kind: Callable[[], Any] = SymbolActor) -> None:
        self.cpus = cpus or {"here": 2.0}
        self.kind = kind
        self.started: list[Process] = []
        self.fates: list[str] = []
        self.side_by_side: list[int] = []
        self.leaving: set[str] = set()
        self.asked: list[tuple[Claim, int]] = []
        self.grows = False

    @property
    def alive(self) -> list[Process]:
        """Those that run."""
        return [process for process in self.started if process.alive]

    def nodes(self) -> Mapping[str, Node]:
        return {
            name: Node(name, cpus, cpus - sum(one.claim.cpus for one in self.alive if one.node == name))
            for name, cpus in self.cpus.items()
            if name not in self.leaving
        }

    def has_left(self, node: str) -> bool:
        return node in self.leaving

    def node_of(self, process: Process) -> str:
        return process.node

    async def make_room(self, claim: Claim, count: int) -> None:
        self.asked.append((claim, count))
        if not self.grows:
            raise ConfigError(f"no room for {count} more", code="cluster_too_small")
        self.cpus = {**self.cpus, f"new {len(self.cpus)}": claim.cpus * count}

    async def make_ready(self, cpus: int) -> None:
        pass

    @property
    def wait_s(self) -> float:
        return 300.0

    def start(self, claim: Claim, node: str | None) -> Process:
        process = Process(node or "anywhere", self.kind(), claim)
        process.fate = self.fates.pop(0) if self.fates else ""
        self.started.append(process)
        return process

    async def execute(
        self,
        batches: Sequence[tuple[Process, Sequence[tuple[str, Any]]]],
        timeout_s: float,
        silence_s: float | None = None,
    ) -> list[Any]:
        self.side_by_side.append(len(batches))
        await asyncio.sleep(0)  # others go on meanwhile
        for process, batch in batches:
            process.told += batch
        return [process.call(lambda actor, batch=batch: actor.execute(batch)) for process, batch in batches]

    def forget(self, process: Process, symbols: Sequence[str]) -> None:
        process.actor.forget(symbols)

    def kill(self, process: Process) -> None:
        process.alive = False

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        return validate_chunk(*work)

    async def validate_in(self, process: Process, work: tuple[Any, ...], timeout_s: float) -> Any:
        await asyncio.sleep(0)
        return process.call(lambda _: validate_chunk(*work))
