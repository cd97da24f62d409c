"""Nodes that processes may go to, what a process claims of one, and which of them may bear it. Plain Python, no Ray."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_SELECTOR = re.compile(r"(?P<no>!?)(?:in\((?P<many>[^()]+)\)|(?P<one>[^!(),\s]+))")
_UNBOUND = 1_000_000


@dataclass(frozen=True)
class Node:
    """A node that can bear processes. `free_cpus`, `free_memory` (bytes): of what it offers, what nobody claims yet."""

    id: str
    cpus: float
    free_cpus: float
    free_memory: float = float("inf")
    labels: Mapping[str, str] = field(default_factory=dict)
    is_head: bool = False


@dataclass(frozen=True)
class Claim:
    """What a process claims of its node: a share of its CPUs, and of its memory (bytes)."""

    cpus: float
    memory: float = 0.0

    @property
    def resources(self) -> dict[str, float]:
        """The same as Ray names it."""
        return {"CPU": self.cpus, **({"memory": self.memory} if self.memory else {})}

    def fit(self, node: Node) -> int:
        """How many more processes a node has room for."""
        rooms = [_UNBOUND]
        if self.cpus:
            rooms.append(int(node.free_cpus / self.cpus + 1e-6))
        if self.memory:
            rooms.append(int(node.free_memory / self.memory + 1e-6))
        return min(rooms)


@dataclass(frozen=True)
class Placement:
    """Which nodes may bear processes. `labels`: Ray's selectors by label: `a`, `!a`, `in(a,b)`, `!in(a,b)`.

    `head`: the head node too. `cpus`: how many a run is to have where nodes can be added. `wait_s`: for how long nodes
    that are being added are waited for.
    """

    head: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    wait_s: float = 300.0

    def bears(self, node: Node) -> bool:
        """Whether processes may go to a node."""
        return (self.head or not node.is_head) and all(
            selects(wanted, node.labels.get(name)) for name, wanted in self.labels.items()
        )

    def selector(self, nodes: Iterable[Node]) -> dict[str, str]:
        """The same for Ray to choose by, the nodes being these."""
        heads = [] if self.head else [node.id for node in nodes if node.is_head]
        return {**self.labels, **({"ray.io/node-id": f"!{heads[0]}"} if heads else {})}


def selects(wanted: str, value: str | None) -> bool:
    """Whether a selector accepts a label's value (None: there is no such label); ValueError for what is no selector."""
    found = _SELECTOR.fullmatch(wanted)
    if found is None:
        raise ValueError("write a value as a, !a, in(a,b) or !in(a,b)")
    among = value in ([found["one"]] if found["one"] else [one.strip() for one in found["many"].split(",")])
    return among != bool(found["no"])


def fewest_a_cpu(nodes: Iterable[Node], counts: Mapping[str, int], claim: Claim, started: Counter[str]) -> str | None:
    """The node that has the fewest processes a CPU of those with room for one more; None where none has.

    `counts`: processes by node; `started`: those of them that the nodes' figures don't show yet.
    """
    open_to = [node for node in nodes if claim.fit(node) > started[node.id]]
    best = min(open_to, key=lambda node: ((counts.get(node.id, 0) + 1) / max(node.cpus, 1e-9), node.id), default=None)
    return best.id if best else None


def moves(nodes: Iterable[Node], counts: Mapping[str, int], claim: Claim) -> list[tuple[str, str]]:
    """Which processes to move, from node to node, one after another, so that each node has its share of them."""
    by_id = {node.id: node for node in nodes}
    held, came, found = Counter(counts), Counter[str](), list[tuple[str, str]]()
    while True:
        to = fewest_a_cpu(by_id.values(), held, claim, came)
        full = max((node for node in by_id if held[node]), key=lambda node: held[node] / by_id[node].cpus, default=None)
        if to is None or full is None or held[full] / by_id[full].cpus <= (held[to] + 1) / by_id[to].cpus:
            return found
        held[full] -= 1
        held[to] += 1
        came[to] += 1
        found.append((full, to))
