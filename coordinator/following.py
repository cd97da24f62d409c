"""What scans' findings come to in a session, time after time: hits in, requests to the session out. No Ray, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from barray.coordinator import messages as ask
from barray.coordinator.summary import ALREADY_LOADED, AddResult
from barray.trading.scans.follow import Followed, Kept, ScanStep, kept_of
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol
from barray.trading.scans.keeping import Rules
from barray.trading.scans.state import ScanState

BY = "scanner"


class ScanSteps:
    """A session's. What scans added they let go of; what the config, a strategy or somebody else added stays.

    `taken`: the steps so far.
    """

    def __init__(self, rules: Iterable[Rules]) -> None:
        self.rules = tuple(rules)
        self._state = ScanState(self.rules)
        self._own: set[str] = set()
        self._carried: dict[str, set[str]] = {}
        self._refused: dict[str, str] = {}
        self._there: set[str] = set()
        self._kept: list[Kept] = []
        self.taken: list[ScanStep] = []

    def step(self, at_ns: int, found: Sequence[tuple[str, Hits]], pinned: Collection[str]) -> tuple[Instruction, ...]:
        """What is to be done after these were found, all at one time. `pinned`: symbols that must stay full."""
        instructions = self._state.step(found, pinned)
        scans = self._state.scans
        self._kept += [row for name, hits in found for row in kept_of(name, hits, scans[name].kept)]
        leave = {one.name: one.keep.leave if one.keep else None for one in self.rules}
        told = tuple((name, hits.first(leave[name])) for name, hits in found)
        self._refused, self._there = {}, set()
        self.taken.append(ScanStep(at_ns, told, tuple(sorted(pinned)), instructions, self._refused, self._there))
        return instructions

    def requests(self, instruction: Instruction) -> list[ask.Request]:
        """What an instruction asks of the session."""
        symbol = instruction.symbol
        if isinstance(instruction, Evict | LetGo):
            return [ask.RemoveSymbol(symbol, BY)] if symbol in self._own else []
        if isinstance(instruction, PromoteSymbol):
            return [ask.AddSymbol(symbol, BY)]  # with all that scans look at
        if not isinstance(instruction, AddAdhoc | AlsoWanted) or symbol in self._state.full:
            return []
        known = self._carried.setdefault(symbol, set())
        new = [spec for spec in instruction.indicators if spec.key not in known]
        known.update(spec.key for spec in new)
        return [ask.AddIndicator(symbol, spec, BY) for spec in new]

    def note(self, request: ask.Request, result: AddResult) -> bool:
        """What came of a request; whether to go on with those that belong to it."""
        symbol = request.symbol
        if isinstance(request, ask.RemoveSymbol):
            self._own.discard(symbol)
            self._carried.pop(symbol, None)
        elif result.accepted and result.reason == ALREADY_LOADED:
            self._there.add(symbol)
        elif result.accepted:
            self._own.add(symbol)
        elif isinstance(request, ask.AddSymbol):
            self._state.refuse(symbol, result.reason)
            self._refused[symbol] = result.reason
            return False
        return True

    @property
    def followed(self) -> Followed:
        """All that came of it so far."""
        done = tuple(one for step in self.taken for one in step.instructions)
        return Followed(tuple(self._kept), self._state.history, done)
