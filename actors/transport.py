"""The fleet's way to its processes: Ray actors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.actor import ActorHandle

from barray.actors.handles import gather, kill
from barray.actors.options import live_nodes, new_symbol_actor, submit_validation


class RayTransport:
    """See barray.coordinator.fleet.Transport. `new_actor`: which kind of actor, from `barray.actors.options`."""

    def __init__(self, new_actor: Callable[[float, str], ActorHandle[Any]] = new_symbol_actor) -> None:
        self._new_actor = new_actor

    def start(self, num_cpus: float, node: str) -> ActorHandle[Any]:
        """A new process on a node."""
        return self._new_actor(num_cpus, node)

    def nodes(self) -> Mapping[str, float]:
        """CPUs of each node that can run symbols."""
        return live_nodes()

    async def execute(self, batches: Sequence[tuple[Any, Sequence[tuple[str, Any]]]], timeout_s: float) -> list[Any]:
        """Each process's reports on its batch, or the exception that came instead."""
        return await gather([actor.execute.remote(tuple(batch)) for actor, batch in batches], timeout_s)

    async def advance(self, actors: Sequence[Any], to_ns: int, timeout_s: float) -> list[Any]:
        """Each process's symbols that could not advance, or the exception that came instead."""
        return await gather([actor.advance.remote(to_ns) for actor in actors], timeout_s)

    def forget(self, actor: Any, symbols: Sequence[str]) -> None:
        """Have a process drop these symbols; nobody waits for it."""
        actor.forget.remote(list(symbols))

    def kill(self, actor: Any) -> None:
        """End a process now."""
        kill(actor)

    async def validate(self, work: tuple[Any, ...], timeout_s: float) -> Any:
        """Step 0 for a chunk of symbols, as a task on any node."""
        return (await gather([submit_validation(*work)], timeout_s))[0]
