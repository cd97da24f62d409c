"""Symbols' processes without Ray: the real actors as objects here, which die, hang or lose answers when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from barray.actors.symbol_actor import SymbolActor
from barray.actors.validation import validate_chunk


class ProcessDied(Exception):
    """What a dead process answers."""


class Process:
    """One process. `fate`: what befalls it on being called: `dies`, `hangs`, `loses` (does it, and answers nothing)."""

    def __init__(self, node: str, actor: Any) -> None:
        self.node, self.actor = node, actor
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
    """See Transport. `cpus`: by node. `fates`: of the processes still to be started, in order."""

    def __init__(self, cpus: Mapping[str, float] | None = None, kind: Callable[[], Any] = SymbolActor) -> None:
        self.cpus = cpus or {"here": 2.0}
        self.kind = kind
        self.started: list[Process] = []
        self.fates: list[str] = []
        self.side_by_side: list[int] = []

    @property
    def alive(self) -> list[Process]:
        """Those that run."""
        return [process for process in self.started if process.alive]

    def nodes(self) -> Mapping[str, float]:
        return self.cpus

    def start(self, num_cpus: float, node: str) -> Process:
        process = Process(node, self.kind())
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

    async def validate(self, work: tuple[Any, ...], timeout_s: float) -> Any:
        return validate_chunk(*work)
