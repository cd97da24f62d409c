"""The symbols' processes: starting them, telling them things, bringing back the dead, ending them all."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from barray.actors.nodes import Claim, Node, affinity, moves, shared_out, spread
from barray.coordinator.config.actors import ACTORS_PER_CPU, ActorsSection
from barray.market.commands import Failed, Logged, Rejected
from barray.market.errors import ActorFailed
from barray.market.interval import NS_PER_SECOND

logger = logging.getLogger(__name__)
_START_S = 2.0
"""What may pass until one more process is up, the machine being busy with the others."""
LOSS_COUNTS_NS = 3600 * NS_PER_SECOND
"""Session time for which a loss counts. A process that is lost more often has a cause that stays."""
IN_FLIGHT = 256
"""Calls under way at once. More would only queue up."""
PACKED_ACTORS_PER_CPU = 8
"""Processes a core where symbols share them: enough to keep the core busy, few enough to start in a second."""
_TEND_S = 2.0
"""How often a session looks at its nodes, at most."""
Batch = Sequence[tuple[str, Any]]


class Transport(Protocol):
    """Starts processes and reaches them. What died, hangs or answers too late answers with an exception."""

    def start(self, claim: Claim, node: str | None) -> Any:
        """Start a process on a node (None: where there comes to be room); what it is called by from then on.

        It dies with its starter, and nobody but the fleet brings it back.
        """
        ...

    def nodes(self) -> Mapping[str, Node]:
        """Nodes that may bear processes, and stay, by their ids."""
        ...

    def has_left(self, node: str) -> bool:
        """Whether a node leaves, or has left, for another reason than that it failed."""
        ...

    def node_of(self, process: Any) -> str:
        """Where a process runs; empty while it waits for a node."""
        ...

    async def make_room(self, claim: Claim, count: int) -> None:
        """Have nodes added until there is room for so many processes more; ConfigError where there won't be."""
        ...

    async def make_ready(self, cpus: int) -> None:
        """Have nodes with so many CPUs, and one in any case; ConfigError where there won't be."""
        ...

    @property
    def wait_s(self) -> float:
        """How long a process may have to wait for a node that is added."""
        ...

    async def execute(
        self, batches: Sequence[tuple[Any, Batch]], timeout_s: float, silence_s: float | None = None
    ) -> list[Any]:
        """Have processes carry out commands, side by side: each one's reports, or an exception.

        `silence_s`: how long a process may not stir at all, however long its work takes (None: is not looked at).
        """
        ...

    def forget(self, process: Any, symbols: Sequence[str]) -> None:
        """Have a process drop symbols with all it holds of them."""
        ...

    def kill(self, process: Any) -> None:
        """End a process; nothing happens where it is dead already."""
        ...

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        """Step 0 for a chunk of symbols, on a node, if there is room, or wherever there is: see validate_chunk."""
        ...


def cpus_of(transport: Transport) -> int:
    """CPUs of all nodes together, at least 1."""
    return max(1, int(sum(node.cpus for node in transport.nodes().values())))


def symbols_per_actor(wanted: int | str, count: int, cpus: int) -> int:
    """How many of `count` symbols share a process. `auto`: each its own as long as the cores bear it."""
    if isinstance(wanted, int):
        return wanted
    return 1 if count <= ACTORS_PER_CPU * cpus else -(-count // (PACKED_ACTORS_PER_CPU * cpus))


@dataclass(eq=False)
class _Slot:
    """One process, its node (empty: that is not known yet), and the symbols in it.

    `losses`: when it was lost, as far as that still counts. `heard_s`: when it last answered, by the loop's clock.
    """

    process: Any
    node: str
    symbols: list[str]
    losses: list[int] = field(default_factory=list)
    heard_s: float = 0.0


class Fleet:
    """Owns every symbol's process and every symbol's log. A symbol is in the fleet from `add` to `remove`.

    A log is what a symbol was told that made it what it is. Recovery is replay: a process that died or hangs is killed,
    started anew and told again what its symbols were told.
    `sessions`: how many one call works through; it may take so many times as long, though not without stirring.
    A loss counts for an hour of session time, or until the process has done something that has no time (`_forgive`);
    not at all where its node was to go: `moved` counts these, and those handed over before. `claim`: of a process, if
    not the settings'. `at_home`: symbols go back to the nodes that they were on before, as far as that leaves no node
    with more to do; see `shared_out`.
    """

    def __init__(
        self,
        settings: ActorsSection,
        transport: Transport,
        *,
        sessions: int = 1,
        claim: Claim | None = None,
        at_home: bool = False,
    ) -> None:
        self._settings = settings
        self._at_home = at_home
        self._claim = claim or settings.claim
        self._call_s = settings.call_timeout_s * sessions
        self._silence_s = settings.call_timeout_s if sessions > 1 else None
        self._now_ns = 0
        self._transport = transport
        self._slots: dict[str, _Slot] = {}
        self._logs: dict[str, list[Logged]] = {}
        self._idle: list[_Slot] = []
        self._lost: dict[str, ActorFailed] = {}
        self.restarts = 0
        self.moved = 0
        self._helpers = 0
        self._known: set[str] | None = None
        self._tended_s = 0.0

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._slots

    @property
    def symbols(self) -> list[str]:
        """Symbols that have a process, sorted."""
        return sorted(self._slots)

    @property
    def groups(self) -> list[list[str]]:
        """The symbols of each process."""
        return [list(slot.symbols) for slot in dict.fromkeys(self._slots.values())]

    @property
    def processes(self) -> int:
        """How many processes there are, idle ones included."""
        return len(set(self._slots.values())) + len(self._idle)

    async def start_ahead(self, count: int) -> list[Any]:
        """Start so many processes for symbols to come, without waiting until they are up; ConfigError as in `add`."""
        await self._make_room(count)
        slots = [_Slot(*self._start(node), []) for node in islice(self._places(), count)]
        self._idle += reversed(slots)  # the first is the first to be taken
        return [slot.process for slot in slots]

    async def add(self, symbols: Iterable[str], *, per_actor: int = 1) -> None:
        """Give symbols processes, `per_actor` of them in each, idle ones first, and wait until all are up.

        ConfigError, before any is started, where the cluster has no room for them and none can be added.
        """
        new = [symbol for symbol in symbols if symbol not in self._slots]
        count = -(-len(new) // per_actor)
        self._end_idle_that_leave()
        await self._make_room(count - len(self._idle))
        fresh = max(count - len(self._idle), 0)
        nodes = list(islice(self._places(), fresh))
        idle = [self._idle.pop() for _ in range(count - fresh)]
        homes = [self._home(node) for node in (*(slot.node for slot in idle), *nodes)]
        slots = []
        for number, group in enumerate(shared_out(new, homes, per_actor)):
            slot = idle[number] if number < len(idle) else _Slot(*self._start(nodes[number - len(idle)]), [])
            slot.symbols, slot.losses = group, []
            slots.append(slot)
            self._slots.update(dict.fromkeys(group, slot))
            self._logs.update({symbol: [] for symbol in group})
        await self._send({slot: [] for slot in slots}, starting=len(slots))

    async def heartbeat(self, now_ns: int, silent_s: float) -> None:
        """Ask processes that have not been heard for `silent_s` for a sign of life, and bring the lost ones back.

        `now_ns`: session time. Which are lost for good, `pop_lost` says. Now and then nodes are looked at, too: `tend`.
        """
        self._now_ns = max(self._now_ns, now_ns)
        before_s = asyncio.get_running_loop().time() - silent_s
        await self.look_after()
        await self._send({slot: () for slot in self._slots.values() if slot.heard_s <= before_s})

    async def execute(self, commands: Mapping[str, Any]) -> dict[str, Any]:
        """Tell each symbol its command, all side by side; one report each, sorted by symbol. Nothing raises."""
        self._now_ns = max((self._now_ns, *(_time_of(command) for command in commands.values())))
        by_slot: dict[_Slot, list[tuple[str, Any]]] = {}
        for symbol in sorted(commands):
            by_slot.setdefault(self._slots[symbol], []).append((symbol, commands[symbol]))
        reports = await self._send(by_slot)
        for symbol, command in commands.items():
            if command.recorded and not isinstance(reports[symbol], Failed | Rejected):
                self._logs[symbol].append(command)
        return {symbol: reports[symbol] for symbol in sorted(commands)}

    async def look_after(self, *, joins: bool = True) -> set[str]:
        """`tend`, unless that was done just now."""
        due = self._tended_s < asyncio.get_running_loop().time() - _TEND_S
        return await self.tend(joins=joins) if due else set()

    async def tend(self, *, joins: bool = True) -> set[str]:
        """Hand over what is on nodes that leave, before they go, and give nodes that have joined their share; the nodes
        that have. `joins`: no process moves to these if not.

        A process moves as a lost one comes back, by replay, but the first is ended only when the second stands there.
        No call of it may be under way.
        """
        self._tended_s = asyncio.get_running_loop().time()
        nodes, slots = self._transport.nodes(), list(dict.fromkeys(self._slots.values()))
        places, moving = self._places(), dict[_Slot, str | None]()
        for slot in slots:
            slot.node = slot.node or self._transport.node_of(slot.process)
            if slot.node and slot.node not in nodes and self._transport.has_left(slot.node):
                moving[slot] = next(places)
        joined = set(nodes) - self._known if self._known is not None else set[str]()
        if joined and joins and not moving:
            held = Counter(slot.node for slot in slots)
            for source, to in moves(nodes.values(), held, self._claim):
                there = [slot for slot in slots if slot.node == source and slot not in moving]
                moving[max(there, key=lambda slot: affinity(slot.symbols[0], self._home(to)))] = to
        self._known = set(nodes)
        await asyncio.gather(*(self._move(slot, node, beside=len(moving)) for slot, node in moving.items()))
        return joined

    def node_cpus(self) -> dict[str, float]:
        """CPUs of each node that may bear processes and stays."""
        return {node.id: node.cpus for node in self._transport.nodes().values()}

    def leaving(self) -> list[str]:
        """The first symbol of each process whose node leaves."""
        nodes, slots = self._transport.nodes(), dict.fromkeys(self._slots.values())
        for slot in slots:
            slot.node = slot.node or self._transport.node_of(slot.process)
        left = [slot for slot in slots if slot.node and slot.node not in nodes]
        return [slot.symbols[0] for slot in left if self._transport.has_left(slot.node)]

    def enlist(self, node: str | None = None) -> str:
        """Start a process, on a node or where there comes to be room, without waiting: its name, as if of a symbol."""
        self._helpers += 1
        name = f"helper\n{self._helpers}"
        self._slots[name], self._logs[name] = _Slot(*self._start(node), [name]), []
        return name

    async def is_up(self, symbol: str) -> bool:
        """Wait until a symbol's process is there; whether it came to be in time."""
        slot = self._slots[symbol]
        (answer,) = await self._transport.execute([(slot.process, [])], *self._patience(1, placed=False))
        return not isinstance(answer, Exception)

    def renew(self, symbol: str) -> None:
        """End a symbol's process and start another, without what its symbols were told."""
        slot = self._slots[symbol]
        self._transport.kill(slot.process)
        slot.process, slot.node = self._start(next(self._places()))

    def hand(self, symbols: Sequence[str], to: str) -> None:
        """Have symbols that were told nothing that lasts share the process of another."""
        for symbol in symbols:
            before, slot = self._slots[symbol], self._slots[to]
            self._transport.forget(before.process, [symbol])
            before.symbols.remove(symbol)
            slot.symbols.append(symbol)
            self._slots[symbol] = slot

    def beside(self, symbol: str) -> list[str]:
        """The symbols of a symbol's process."""
        return list(self._slots[symbol].symbols)

    async def _move(self, slot: _Slot, node: str | None, *, beside: int) -> None:
        process, _ = self._start(node)
        calls = [(process, self._replay(slot))]
        answer = (await self._transport.execute(calls, *self._patience(beside, placed=node is not None)))[0]
        if isinstance(answer, Exception):  # the first goes on, as long as it can
            self._transport.kill(process)
            return
        self._transport.kill(slot.process)
        logger.info("%s: handed over to another node", ", ".join(slot.symbols))
        slot.process, slot.node, slot.heard_s = process, node or "", asyncio.get_running_loop().time()
        self.moved += 1

    def pop_lost(self) -> dict[str, ActorFailed]:
        """Symbols whose process was lost for good since this was last asked, told something just now or not."""
        lost, self._lost = self._lost, {}
        return dict(sorted(lost.items()))

    def remove(self, symbols: Collection[str], *, keep: bool = False) -> None:
        """End these symbols; a process with none left is killed, or waits for others where it is to be kept."""
        for symbol in symbols:
            slot = self._slots.pop(symbol, None)
            self._logs.pop(symbol, None)
            self._lost.pop(symbol, None)
            if slot is None:
                continue
            slot.symbols.remove(symbol)
            if slot.symbols or keep:
                self._transport.forget(slot.process, [symbol])
                self._idle += [] if slot.symbols else [slot]
            else:
                self._transport.kill(slot.process)

    def release(self, keep: Collection[str]) -> None:
        """End all symbols. Processes whose symbols are all in `keep` stay, emptied, for the next session."""
        for slot in list(dict.fromkeys(self._slots.values())):
            if set(slot.symbols) <= set(keep):
                self._transport.forget(slot.process, slot.symbols)
                self._idle.append(slot)
                for symbol in slot.symbols:
                    del self._slots[symbol], self._logs[symbol]
        self.remove(list(self._slots))
        self._lost.clear()

    def kill_all(self) -> None:
        """End every process, idle ones too."""
        self.remove(list(self._slots))
        self.kill_idle()

    def kill_idle(self) -> None:
        """End the processes that have no symbols."""
        for slot in self._idle:
            self._transport.kill(slot.process)
        self._idle.clear()

    def _end_idle_that_leave(self) -> None:
        nodes = self._transport.nodes()
        for slot in [slot for slot in self._idle if slot.node and slot.node not in nodes]:
            self._idle.remove(slot)
            self._transport.kill(slot.process)

    async def _make_room(self, count: int) -> None:
        nodes = self._transport.nodes()
        if self._known is None:
            self._known, self._tended_s = set(nodes), asyncio.get_running_loop().time()
        if count > 0 and sum(self._claim.fit(node) for node in nodes.values()) < count:
            await self._transport.make_room(self._claim, count)

    def _places(self) -> Iterator[str | None]:
        """The nodes for processes to come.

        Ray's own SPREAD skips a node that looks busy, as every node does after a fanned-out Step 0, and then puts all
        on one.
        """
        counts = Counter(slot.node for slot in (*dict.fromkeys(self._slots.values()), *self._idle))
        return spread(self._transport.nodes().values(), counts, self._claim)

    def _home(self, node: str | None) -> str:
        known = self._transport.nodes().get(node or "") if self._at_home else None
        return known.home if known else ""

    def _start(self, node: str | None) -> tuple[Any, str]:
        return self._transport.start(self._claim, node), node or ""

    async def _send(self, batches: Mapping[_Slot, Batch], *, starting: int = 0) -> dict[str, Any]:
        """Each symbol's report. `starting`: how many of the processes are not up yet."""
        timeout_s, silence_s = self._patience(starting)
        reports: dict[str, Any] = {}
        pending = list(batches)
        while pending:
            now, pending = pending[:IN_FLIGHT], pending[IN_FLIGHT:]
            calls = [(slot.process, batches[slot]) for slot in now]
            answers = await self._transport.execute(calls, timeout_s, silence_s)
            came = await self._bring_all_back({slot: batches[slot] for slot in now}, answers)
            for slot, answer in came.items():
                reports.update(zip((symbol for symbol, _ in batches[slot]), answer, strict=True))
                self._forgive(slot, batches[slot])
                slot.heard_s = asyncio.get_running_loop().time()
        return reports

    async def _bring_all_back(self, batches: Mapping[_Slot, Batch], answers: Sequence[Any]) -> dict[_Slot, Any]:
        """The answers, with those of lost processes once these are back: all are brought back side by side."""
        came = dict(zip(batches, answers, strict=True))
        lost = [slot for slot, answer in came.items() if isinstance(answer, Exception)]
        again = [self._bring_back(slot, batches[slot], came[slot], beside=len(lost)) for slot in lost]
        return {**came, **dict(zip(lost, await asyncio.gather(*again), strict=True))}

    def _replay(self, slot: _Slot) -> list[tuple[str, Logged]]:
        """What a process's symbols were told that made them what they are."""
        return [(symbol, command) for symbol in slot.symbols for command in self._logs[symbol]]

    def _forgive(self, slot: _Slot, batch: Batch) -> None:
        """What a process has got through shows that it is not the work that ends it."""
        if batch and not batch[0][1].recorded:
            del slot.losses[:1]

    def _may_come_back(self, slot: _Slot) -> bool:
        """Whether a process that was lost is started again; the loss is counted, unless its node was to go."""
        if slot.node and self._transport.has_left(slot.node):
            self.moved += 1
            return True
        slot.losses = [at_ns for at_ns in slot.losses if self._now_ns - at_ns < LOSS_COUNTS_NS]
        if len(slot.losses) >= self._settings.max_restarts:
            return False
        slot.losses.append(self._now_ns)
        return True

    async def _bring_back(self, slot: _Slot, batch: Batch, cause: Exception, *, beside: int = 1) -> Sequence[Any]:
        """Start a slot's process again, replay its symbols' logs, and carry the interrupted batch out.

        `beside`: how many are brought back at once.
        """
        listed = ", ".join(slot.symbols)
        while self._may_come_back(slot):
            told, of = "%s: process lost (%s); starting it again and replaying", {"node": slot.node}
            logger.warning(told, listed, type(cause).__name__, extra=of)
            self._transport.kill(slot.process)
            self.restarts += 1
            slot.process, slot.node = self._start(next(self._places()))
            replay = self._replay(slot)
            calls = [(slot.process, [*replay, *batch])]
            answer = (await self._transport.execute(calls, *self._patience(beside, placed=bool(slot.node))))[0]
            if not isinstance(answer, Exception):
                return list(answer[len(replay) :])
            cause = answer
        self._transport.kill(slot.process)
        if len(slot.symbols) > 1 and self._settings.max_restarts > 0:
            return await self._bring_back_apart(slot, batch, cause)
        reason = f"its process was lost {len(slot.losses) + 1} times, at last by {type(cause).__name__}"
        remedy = "look into Ray's logs for memory or crashes, or raise actors.max_restarts"
        if isinstance(cause, TimeoutError):
            remedy = "look for a call that never comes back, or raise actors.call_timeout_s"
        errors = {symbol: ActorFailed(reason, symbol=symbol, remedy=remedy) for symbol in slot.symbols}
        self._lost.update(errors)
        return [Failed(errors[symbol]) for symbol, _ in batch]

    def _patience(self, starting: int, *, placed: bool = True) -> tuple[float, float | None]:
        """How long a process may take that is started beside others, and how long it may not stir. One that is not
        `placed` waits for a node first.
        """
        extra_s = _START_S * starting + (0.0 if placed else self._transport.wait_s)
        return self._call_s + extra_s, None if self._silence_s is None else self._silence_s + extra_s

    async def _bring_back_apart(self, slot: _Slot, batch: Batch, cause: Exception) -> Sequence[Any]:
        """Bring the symbols of a process back in a process each, once: if one of them is the cause, it fails alone."""
        told = dict(batch)
        own = {symbol: [(symbol, told[symbol])] if symbol in told else [] for symbol in slot.symbols}
        tried = [self._now_ns] * (self._settings.max_restarts - 1)
        alone = {symbol: _Slot(slot.process, slot.node, [symbol], list(tried)) for symbol in slot.symbols}
        self._slots.update(alone)
        again = [self._bring_back(alone[symbol], own[symbol], cause, beside=len(own)) for symbol in slot.symbols]
        reports = dict(zip(slot.symbols, await asyncio.gather(*again), strict=True))
        return [reports[symbol][0] for symbol, _ in batch]


def _time_of(command: Any) -> int:
    """The session time that a command carries, UTC ns; 0 if it carries none."""
    return int(getattr(command, "at_ns", 0))
