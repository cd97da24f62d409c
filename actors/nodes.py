"""Nodes that processes may go to, what a process claims of one, and which of them may bear it. Plain Python, no Ray."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import product

_SELECTOR = re.compile(r"(?P<no>!?)(?:in\((?P<many>[^()]+)\)|(?P<one>[^!(),\s]+))")
_UNBOUND = 1_000_000
_PART = "\n"


@dataclass(frozen=True)
class Node:
    """A node that can bear processes. `free_cpus`, `free_memory` (bytes): of what it offers, what nobody claims yet.

    `name`: what it is called by, also after its Ray was started anew; by default its address.
    """

    id: str
    cpus: float
    free_cpus: float
    free_memory: float = float("inf")
    labels: Mapping[str, str] = field(default_factory=dict)
    is_head: bool = False
    name: str = ""

    @property
    def home(self) -> str:
        """Whose copies of files a process finds there."""
        return self.name or self.id


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

    def order(node: Node) -> tuple[float, str, str]:
        return (counts.get(node.id, 0) + 1) / max(node.cpus, 1e-9), node.name, node.id

    best = min(open_to, key=order, default=None)
    return best.id if best else None


def spread(nodes: Iterable[Node], counts: Counter[str], claim: Claim) -> Iterator[str | None]:
    """The nodes for processes to come: each time that with the fewest a CPU; None: where there comes to be room, as
    none has any. `counts`: of processes that there are, by node.
    """
    open_to, held, started = list(nodes), Counter(counts), Counter[str]()
    while True:
        node = fewest_a_cpu(open_to, held, claim, started)
        if node is not None:
            held[node] += 1
            started[node] += 1
        yield node


def shared_out(names: Sequence[str], homes: Sequence[str], each: int) -> list[list[str]]:
    """Names for as many processes as they take, `each` of them in one. `homes`: where each process is.

    How many go to a home is what its processes bear; which, is drawn by hashes (rendezvous): they are mostly those that
    it had before, whoever came and went. Parts of a symbol (its name, a line's end, more) are drawn as one.
    """
    room = {home: each * count for home, count in Counter(homes).items()}
    drawn: dict[str, list[str]] = {home: [] for home in room}
    if len(room) > 1:
        found: dict[str, str] = {}
        for name, home in sorted(product(names, room), key=lambda pair: affinity(*pair), reverse=True):
            if name not in found and room[home]:
                found[name] = home
                room[home] -= 1
        for name in names:
            drawn[found[name]].append(name)
    else:
        drawn = {home: list(names) for home in room}
    taken = Counter[str]()
    groups: list[list[str]] = []
    for home in homes:
        groups.append(drawn[home][taken[home] : taken[home] + each])
        taken[home] += each
    return groups


def affinity(name: str, home: str) -> bytes:
    """How much a name belongs to a home: of several homes, to the one where this is greatest."""
    return blake2b(f"{home}\n{name.partition(_PART)[0]}".encode(), digest_size=8).digest()


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
