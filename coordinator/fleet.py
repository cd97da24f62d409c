"""The symbols' processes: starting them, telling them things, bringing back the dead, ending them all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray.actor import ActorHandle

from barray.actors.handles import gather, kill, submit, submit_advance
from barray.actors.options import live_nodes, new_symbol_actor
from barray.actors.symbol_actor import SymbolActor
from barray.coordinator.config.model import ActorsSection
from barray.market.commands import Advance, Command, Failed, Rejected, Report, TakeSnapshot
from barray.market.errors import ActorFailed
from barray.trading.engine.commands import CloseRun, RunRange, Step
from barray.trading.sweeps.commands import EvaluateSets

logger = logging.getLogger(__name__)
_START_S = 2.0
"""What Ray may take to start one more process, the machine being busy with the others."""
IN_FLIGHT = 256
"""Calls under way at once. More would only queue up in Ray."""


@dataclass(eq=False)
class _Slot:
    """One process, its node, and the symbols in it. `restarts`: how often it was brought back in this session."""

    actor: ActorHandle[SymbolActor]
    node: str
    symbols: list[str]
    restarts: int = 0


@dataclass
class _Log:
    """What a symbol was told that made it what it is; replayed, it gives the same state again."""

    commands: list[Any] = field(default_factory=list)
    now: Advance | None = None

    def record(self, command: Any) -> None:
        if isinstance(command, Advance):
            self.now = command
        elif isinstance(command, Step) and command.only_moves and isinstance(last := self.commands[-1], Step):
            self.commands[-1] = replace(last, to_ns=command.to_ns)
        elif not isinstance(command, TakeSnapshot | RunRange | EvaluateSets | CloseRun):
            self.commands.append(command)

    def replay(self) -> list[Any]:
        return [*self.commands, self.now] if self.now else list(self.commands)


class Fleet:
    """Owns every symbol actor and every symbol's log. A symbol is in the fleet from `add` to `remove`.

    Recovery is replay: a process that died or hangs is killed, started anew and told again what its symbols were told.
    """

    def __init__(
        self, settings: ActorsSection, new_actor: Callable[[float, str], ActorHandle[Any]] = new_symbol_actor
    ) -> None:
        self._settings = settings
        self._new_actor = new_actor
        self._slots: dict[str, _Slot] = {}
        self._logs: dict[str, _Log] = {}
        self._idle: list[_Slot] = []
        self._lost: dict[str, ActorFailed] = {}

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

    async def add(self, symbols: Iterable[str], *, per_actor: int = 1) -> None:
        """Give symbols processes, `per_actor` of them in each, idle ones first, and wait until all are up."""
        new = [symbol for symbol in symbols if symbol not in self._slots]
        groups = [new[start : start + per_actor] for start in range(0, len(new), per_actor)]
        places = self._places()
        slots = []
        for group in groups:
            slot = self._idle.pop() if self._idle else _Slot(*self._start(next(places)), [])
            slot.symbols, slot.restarts = group, 0
            slots.append(slot)
            self._slots.update(dict.fromkeys(group, slot))
            self._logs.update({symbol: _Log() for symbol in group})
        await self._send({slot: [] for slot in slots}, self._settings.call_timeout_s + _START_S * len(slots))

    async def advance(self, to_ns: int) -> dict[str, Failed]:
        """Let every symbol advance to `to_ns`, all side by side; the symbols that could not."""
        slots = list(dict.fromkeys(self._slots.values()))
        failed: dict[str, Failed] = {}
        for start in range(0, len(slots), IN_FLIGHT):
            part = slots[start : start + IN_FLIGHT]
            answers = await gather([submit_advance(slot.actor, to_ns) for slot in part], self._settings.call_timeout_s)
            for slot, answer in zip(part, answers, strict=True):
                if isinstance(answer, Exception):
                    batch = [(symbol, Advance(to_ns)) for symbol in slot.symbols]
                    reports = await self._bring_back(slot, batch, answer)
                    named = zip((symbol for symbol, _ in batch), reports, strict=True)
                    failed.update({symbol: report for symbol, report in named if isinstance(report, Failed)})
                else:
                    failed.update(answer)
        for symbol in self._slots.keys() - failed.keys():
            self._logs[symbol].record(Advance(to_ns))
        return failed

    async def execute(self, commands: Mapping[str, Any]) -> dict[str, Any]:
        """Tell each symbol its command, all side by side; one report each, sorted by symbol. Nothing raises."""
        by_slot: dict[_Slot, list[tuple[str, Command]]] = {}
        for symbol in sorted(commands):
            by_slot.setdefault(self._slots[symbol], []).append((symbol, commands[symbol]))
        reports = await self._send(by_slot)
        for symbol, command in commands.items():
            if not isinstance(reports[symbol], Failed | Rejected):
                self._logs[symbol].record(command)
        return {symbol: reports[symbol] for symbol in sorted(commands)}

    def pop_lost(self) -> dict[str, ActorFailed]:
        """Symbols whose process was lost for good since this was last asked, told something just now or not."""
        lost, self._lost = self._lost, {}
        return dict(sorted(lost.items()))

    def remove(self, symbols: Collection[str]) -> None:
        """End these symbols; a process with none left is killed."""
        for symbol in symbols:
            slot = self._slots.pop(symbol, None)
            self._logs.pop(symbol, None)
            self._lost.pop(symbol, None)
            if slot is None:
                continue
            slot.symbols.remove(symbol)
            if slot.symbols:
                slot.actor.forget.remote([symbol])
            else:
                kill(slot.actor)

    def release(self, keep: Collection[str]) -> None:
        """End all symbols. Processes whose symbols are all in `keep` stay, emptied, for the next session."""
        for slot in list(dict.fromkeys(self._slots.values())):
            if set(slot.symbols) <= set(keep):
                slot.actor.forget.remote(list(slot.symbols))
                self._idle.append(slot)
                for symbol in slot.symbols:
                    del self._slots[symbol], self._logs[symbol]
        self.remove(list(self._slots))
        self._lost.clear()

    def kill_all(self) -> None:
        """End every process, idle ones too."""
        self.remove(list(self._slots))
        for slot in self._idle:
            kill(slot.actor)
        self._idle.clear()

    def _places(self) -> Iterator[str]:
        """The nodes for processes to come: each time the one that has the fewest of ours a CPU.

        Ray's own SPREAD skips a node that looks busy, as every node does after a fanned-out Step 0, and then puts all
        on one.
        """
        nodes = live_nodes()
        counts = Counter(slot.node for slot in (*dict.fromkeys(self._slots.values()), *self._idle))
        while True:
            node = min(nodes, key=lambda node: ((counts[node] + 1) / nodes[node], node))
            counts[node] += 1
            yield node

    def _start(self, node: str) -> tuple[ActorHandle[Any], str]:
        return self._new_actor(self._settings.num_cpus, node), node

    async def _send(
        self, batches: Mapping[_Slot, Sequence[tuple[str, Command]]], timeout_s: float | None = None
    ) -> dict[str, Report]:
        timeout_s = timeout_s or self._settings.call_timeout_s
        reports: dict[str, Report] = {}
        pending = list(batches)
        while pending:
            now, pending = pending[:IN_FLIGHT], pending[IN_FLIGHT:]
            answers = await gather([submit(slot.actor, batches[slot]) for slot in now], timeout_s)
            for slot, answer in zip(now, answers, strict=True):
                if isinstance(answer, Exception):
                    answer = await self._bring_back(slot, batches[slot], answer)  # noqa: PLW2901
                reports.update(zip((symbol for symbol, _ in batches[slot]), answer, strict=True))
        return reports

    async def _bring_back(
        self, slot: _Slot, batch: Sequence[tuple[str, Command]], cause: Exception
    ) -> Sequence[Report]:
        """Start a slot's process again, replay its symbols' logs, and carry the interrupted batch out."""
        listed = ", ".join(slot.symbols)
        while slot.restarts < self._settings.max_restarts:
            slot.restarts += 1
            logger.warning("%s: process lost (%s); starting it again and replaying", listed, type(cause).__name__)
            kill(slot.actor)
            slot.actor, slot.node = self._start(next(self._places()))
            replay = [(symbol, command) for symbol in slot.symbols for command in self._logs[symbol].replay()]
            answer = (await gather([submit(slot.actor, [*replay, *batch])], self._settings.call_timeout_s))[0]
            if not isinstance(answer, Exception):
                return list(answer[len(replay) :])
            cause = answer
        kill(slot.actor)
        if len(slot.symbols) > 1 and self._settings.max_restarts > 0:
            return await self._bring_back_apart(slot, batch, cause)
        reason = f"its process was lost {slot.restarts + 1} times, at last by {type(cause).__name__}"
        remedy = "look into Ray's logs for memory or crashes, or raise actors.max_restarts"
        errors = {symbol: ActorFailed(reason, symbol=symbol, remedy=remedy) for symbol in slot.symbols}
        self._lost.update(errors)
        return [Failed(errors[symbol]) for symbol, _ in batch]

    async def _bring_back_apart(
        self, slot: _Slot, batch: Sequence[tuple[str, Command]], cause: Exception
    ) -> Sequence[Report]:
        """Bring the symbols of a process back in a process each, once: if one of them is the cause, it fails alone."""
        reports: dict[str, Report] = {}
        told = dict(batch)
        for symbol in slot.symbols:
            alone = _Slot(slot.actor, slot.node, [symbol], restarts=self._settings.max_restarts - 1)
            self._slots[symbol] = alone
            own = [(symbol, told[symbol])] if symbol in told else []
            reports.update(zip([symbol] * len(own), await self._bring_back(alone, own, cause), strict=True))
        return [reports[symbol] for symbol, _ in batch]
