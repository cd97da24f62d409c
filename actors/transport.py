"""The fleet's way to its processes: Ray actors, called by numbers, so that a call may be made again."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ray.actor import ActorHandle

from barray.actors import cluster
from barray.actors.handles import Send, answer_of_the_living, gather, kill, settled
from barray.actors.nodes import Claim, Node, Placement
from barray.actors.options import new_symbol_actor, placed, pulse, submit_validation

_ANY = Placement()
_FRESH_S = 0.1
"""For how long what Ray said of its nodes will do: a session's start asks several times, three calls each."""
_FREED_S = 3.0
"""What has just ended, such as Step 0 or a run before, has given back its CPUs by then."""


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

    def __init__(
        self, new_actor: Callable[..., ActorHandle[Any]] = new_symbol_actor, placement: Placement = _ANY
    ) -> None:
        self._new_actor = new_actor
        self._placement = placement
        self._selector: Mapping[str, str] = placement.labels
        self._nodes: Mapping[str, Node] = {}
        self._seen_s = float("-inf")

    def start(self, claim: Claim, node: str | None) -> Process:
        """A new process on a node, or where Ray finds room for it."""
        return Process(self._new_actor(**placed(claim, node, self._selector)))

    def nodes(self) -> Mapping[str, Node]:
        """Nodes that may bear processes, and stay, by their ids."""
        if time.monotonic() - self._seen_s > _FRESH_S:
            nodes = cluster.staying_nodes()
            self._selector = self._placement.selector(nodes)
            self._nodes = {node.id: node for node in nodes if self._placement.bears(node)}
            self._seen_s = time.monotonic()
        return self._nodes

    def has_left(self, node: str) -> bool:
        """Whether a node leaves, or has left, for another reason than that it failed."""
        return cluster.has_left(node)

    def node_of(self, process: Process) -> str:
        """Where a process runs; empty while it waits for a node."""
        return cluster.node_of(process.actor)

    async def make_room(self, claim: Claim, count: int) -> None:
        """Have nodes added until there is room for so many processes more; ConfigError where there won't be."""
        bundles = [claim.resources] * count

        def there() -> bool:
            return sum(claim.fit(node) for node in self.nodes().values()) >= count

        alone = [replace(node, free_cpus=node.cpus) for node in self.nodes().values()]
        if sum(map(claim.fit, alone)) >= count:
            end_s = time.monotonic() + _FREED_S
            while not there() and time.monotonic() < end_s:
                await asyncio.sleep(_FRESH_S)
        await cluster.bring_nodes(bundles, self._placement, there, cluster.claimed(claim, count))

    async def make_ready(self, cpus: int) -> None:
        """Have nodes with so many CPUs, and one in any case; ConfigError where there won't be."""

        def missing() -> int:
            nodes = self.nodes().values()
            return math.ceil(max(cpus, 1) - sum(node.cpus for node in nodes)) if cpus or not nodes else 0

        if (count := missing()) > 0:
            what = f"the run asks for {max(cpus, 1)} CPUs"
            await cluster.bring_nodes([{"CPU": 1.0}] * count, self._placement, lambda: missing() <= 0, what)

    @property
    def wait_s(self) -> float:
        """How long a process may have to wait for a node that is added."""
        return self._placement.wait_s

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

    async def validate_in(self, process: Process, work: tuple[Any, ...], timeout_s: float) -> Any:
        """Step 0 for a chunk of symbols in a process of BacktestActor's kind, or the exception that came instead."""
        return (await gather([process.call("validate", *work)], timeout_s))[0]

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        """Step 0 for a chunk of symbols, as a task on a node if there is room, or on any."""
        share = 0.01 if self._placement.cpus else 0.5  # where processes claim whole cores there is no half left
        return (await gather([partial(submit_validation, share, self._selector, node, *work)], timeout_s))[0]
