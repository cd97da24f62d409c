"""Sessions of a portfolio whose symbols come and go by scans: found, added, upgraded and let go of as time comes to it.

Pure. What a session does by messages between its processes is done here by the same calls in the same order, so a day
comes to the same orders and fills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from barray.market.interval import Interval
from barray.market.renames import Renames
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import SessionOutcome
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.results.events import Events, RunEvent
from barray.trading.scans.follow import Followed
from barray.trading.scans.following import ALREADY_LOADED, BY, Asked, ScanSteps
from barray.trading.scans.hits import Hits, SessionHits
from barray.trading.scans.instructions import Instruction, PromoteSymbol
from barray.trading.scans.plan import Plan
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.panel import PanelBlock

Get = Callable[[Sequence[str], int], Mapping[str, SymbolData | str]]
"""Gets symbols' columns for a session (its row) alone, or says why not."""
UPGRADED = "upgraded"


@dataclass(frozen=True)
class ScannedOutcome(SessionOutcome):
    """What a session brought, and what its scans came to."""

    followed: Followed = field(default_factory=lambda: Followed((), (), ()))


class ScannedRun:
    """A portfolio's run. `block`: of the symbols that are there in any case, None for none.

    What is held at a close is there from the next open on, in any case as long as it can be had. The run ends where
    another company has its symbol then, as `renames` say.
    """

    def __init__(
        self,
        run: PortfolioRun,
        plans: Sequence[Plan],
        get: Get,
        session_range: SessionRange,
        block: PanelBlock | None,
        base: Interval,
        renames: Renames | None = None,
    ) -> None:
        self._renames = renames or Renames()
        self._run, self._plans, self._get = run, tuple(plans), get
        self._range, self._block, self._base = session_range, block, base

    def sessions(
        self,
        rows: Iterable[int],
        found: Callable[[int], Sequence[SessionHits]],
        until: Callable[[SessionOutcome], bool] = lambda _: False,
    ) -> list[ScannedOutcome]:
        """Go through sessions one after another, until what one brought is enough. `found`: what their scans found."""
        outcomes = []
        for row in rows:
            outcomes.append(self.session(row, found(row)))
            if until(outcomes[-1]):
                break
        return outcomes

    def session(self, row: int, found: Sequence[SessionHits]) -> ScannedOutcome:
        """Go through a session (its row) from open to close. `found`: by its scans, at all of its times."""
        run, close_ns = self._run, int(self._range.sessions.close_ns[row])
        day = _Day(ScanSteps(plan.rules() for plan in self._plans), lambda symbols: self._get(symbols, row))
        at: dict[int, list[tuple[str, Hits]]] = {}
        for one in found:
            for hits in one.hits:
                at.setdefault(hits.at_ns, []).append((one.scan, hits))
        self._open(day, row)
        for at_ns in sorted(at):
            if day.begun:
                run.arrive(at_ns)
            joined, left = day.follow(at_ns, at[at_ns], run)
            if day.begun:
                for symbol in left:
                    run.leave(symbol)
                for data in joined:
                    run.join(data)
            elif joined:
                self._begin(day, row, {data.symbol: data for data in joined}, at_ns)
            if day.begun:
                run.go_on(at_ns)
        if not day.begun:
            self._begin(day, row, {})
        run.go_on(close_ns)
        outcome = run.finish()
        events = Events.together((Events(tuple(day.events)), outcome.events))
        lines = tuple(sorted(events.lines, key=lambda one: one.at_ns))
        given = {name: value for name, value in vars(outcome).items() if name != "events"}
        return ScannedOutcome(**given, events=replace(events, lines=lines), followed=day.steps.followed)

    def _open(self, day: _Day, row: int) -> None:
        """Have at the open who is there in any case."""
        block, open_ns = self._block, int(self._range.sessions.open_ns[row])
        pairs = zip(block.symbols, block.data, strict=True) if block is not None else ()
        day.full = {symbol for symbol, data in pairs if row in data.traded.tolist()}
        held = sorted(self._run.positions - (block.index.keys() if block is not None else set()))
        self._run.error = self._run.error or next(self._others(held, row), None)
        got = day.get(held) if held else {}
        for symbol, data in got.items():
            refused = data if isinstance(data, str) else None
            told = refused or "held since the session before"
            day.events.append(RunEvent(open_ns, "add_symbol", symbol, "strategy", refused is None, told))
        there = {symbol: data for symbol, data in got.items() if isinstance(data, SymbolData)}
        day.full |= there.keys()
        if day.full:
            self._begin(day, row, there)

    def _others(self, held: Sequence[str], row: int) -> Iterator[str]:
        """What ends a run: positions in symbols that are another company's from a session on."""
        today, before = (self._range.sessions.dates[one].item() for one in (row, max(row - 1, 0)))
        for symbol in held:
            if self._renames.names(symbol, today) != self._renames.names(symbol, before):
                yield f"{symbol} is held, and is another company's from {today} on: close it before that day"

    def _begin(self, day: _Day, row: int, more: Mapping[str, SymbolData], at_ns: int | None = None) -> None:
        """Begin the session at the open, or at `at_ns`, with these symbols more."""
        block = self._block
        if more:
            own = dict(zip(block.symbols, block.data, strict=True)) if block is not None else {}
            first = self._range.history[row]
            block = PanelBlock({**own, **more}, first, row, self._base, self._range.daily.get(row, first))
        self._run.look_at(self._range, block, self._base, more.keys())
        self._run.begin(row, at_ns)
        day.begun = True


class _Day:
    """A session's course. `full`: who is, but for those that the strategy adds; `adhoc`: who is by scans."""

    def __init__(self, steps: ScanSteps, get: Callable[[Sequence[str]], Mapping[str, SymbolData | str]]) -> None:
        self.steps, self.get = steps, get
        self.begun = False
        self.full: set[str] = set()
        self.adhoc: set[str] = set()
        self.events: list[RunEvent] = []

    def follow(
        self, at_ns: int, hits: Sequence[tuple[str, Hits]], run: PortfolioRun
    ) -> tuple[list[SymbolData], list[str]]:
        """Do what scans ask for that found these at a time: who joins, and who leaves, sorted."""
        steps = self.steps
        instructions = steps.step(at_ns, hits, run.pinned if self.begun else ())
        wanted = [one.symbol for one in instructions if isinstance(one, PromoteSymbol)]
        got = self.get(new) if (new := [symbol for symbol in wanted if symbol not in self._full(run)]) else {}
        joined, left = dict[str, SymbolData](), set[str]()
        for instruction in instructions:
            for asked in steps.asked(instruction):
                symbol, data = asked.symbol, got.get(asked.symbol)
                if steps.is_others(asked, instruction, self._full(run)):
                    steps.note(asked, ALREADY_LOADED)
                    continue
                refused = data if asked.action == "add_symbol" and isinstance(data, str) else None
                self._note(asked, instruction, refused)
                if asked.action == "remove_symbol":
                    left |= {symbol} & self.full
                    self.full.discard(symbol)
                    self.adhoc.discard(symbol)
                elif asked.action == "add_indicator":
                    self.adhoc.add(symbol)
                elif isinstance(data, SymbolData):
                    joined[symbol] = data
                    self.full.add(symbol)
                    self.adhoc.discard(symbol)
                if not steps.note(asked, refused):
                    break
        return [data for _, data in sorted(joined.items())], sorted(left)

    def _full(self, run: PortfolioRun) -> set[str]:
        return self.full | run.present if self.begun else self.full

    def _note(self, asked: Asked, instruction: Instruction, refused: str | None) -> None:
        """Have an event of who becomes full, or is refused, and of who was."""
        symbol, reason = asked.symbol, refused or instruction.reason
        detail = UPGRADED if symbol in self.adhoc and asked.action == "add_symbol" else ""
        if asked.action == "add_symbol" or (asked.action == "remove_symbol" and symbol in self.full):
            event = RunEvent(instruction.at_ns, asked.action, symbol, BY, refused is None, reason, detail)
            self.events.append(event)
