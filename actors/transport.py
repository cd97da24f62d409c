"""The fleet's way to its processes: Ray actors, called by numbers, so that a call may be made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ray.actor import ActorHandle

from barray.actors.handles import Send, answer_of_the_living, gather, kill, settled
from barray.actors.options import live_nodes, new_symbol_actor, pulse, submit_validation


@dataclass(eq=False)
class Process:
    """An actor, how many calls of it were made, and the symbols that it has not yet been told to forget."""

    actor: Any
    calls: int = 0
    forget: list[str] = field(default_factory=list)

    def call(self, method: str, *arguments: Any) -> Send:
        """The next call, to be made as often as it takes; see AnswersOnce."""
        self.calls += 1
        forget, self.forget = self.forget, []
        return partial(self.actor.once.remote, [self.calls, forget, method, list(arguments)])


class RayTransport:
    """See barray.coordinator.fleet.Transport. `new_actor`: which kind of actor, from `barray.actors.options`."""

    def __init__(self, new_actor: Callable[[float, str], ActorHandle[Any]] = new_symbol_actor) -> None:
        self._new_actor = new_actor

    def start(self, num_cpus: float, node: str) -> Process:
        """A new process on a node."""
        return Process(self._new_actor(num_cpus, node))

    def nodes(self) -> Mapping[str, float]:
        """CPUs of each node that can run symbols."""
        return live_nodes()

    async def execute(
        self,
        batches: Sequence[tuple[Process, Sequence[tuple[str, Any]]]],
        timeout_s: float,
        silence_s: float | None = None,
    ) -> list[Any]:
        """Each process's reports on its batch, or the exception that came instead."""
        calls = [(process, process.call("execute", tuple(batch))) for process, batch in batches]
        if silence_s is None:
            return await gather([call for _, call in calls], timeout_s)
        living = [answer_of_the_living(call, partial(pulse, process.actor), silence_s) for process, call in calls]
        return await settled(living, timeout_s)

    def forget(self, process: Process, symbols: Sequence[str]) -> None:
        """Have a process drop these symbols, with the next thing that it is told."""
        process.forget += symbols

    def kill(self, process: Process) -> None:
        """End a process now."""
        kill(process.actor)

    async def validate(self, work: tuple[Any, ...], timeout_s: float) -> Any:
        """Step 0 for a chunk of symbols, as a task on any node."""
        return (await gather([partial(submit_validation, *work)], timeout_s))[0]
