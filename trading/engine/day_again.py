"""A recorded day run again: does the strategy decide the same, and what would it have with the corrected bars?"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from barray.market.appending import by_time
from barray.market.bars import Bars
from barray.market.interval import Interval
from barray.trading.engine.coming_bars import ComingBars
from barray.trading.engine.notes import Decision, Pages
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.recorded_joins import RecordedJoins
from barray.trading.engine.recording import Recording, Step
from barray.trading.engine.session_trading import TradingPlan
from barray.trading.scans.again import Members, ScansAgain
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.session_columns import completed, session_columns, session_range_of_day


@dataclass(frozen=True)
class Difference:
    """The first decision that differs, counted from 0; None where one run had decided all."""

    number: int
    then: Decision | None
    now: Decision | None


@dataclass(frozen=True, eq=False)
class DayAgain:
    """A recorded day, run again. `then`: as recorded; `again`: over the bars as they came; `corrected`: over the last
    version of each, with the symbols that scans would have found of these. `code_changed`: the strategy's code is
    another now. `scans`: the day's scans, run again as well, where it had any.
    """

    then: Pages
    again: Pages
    corrected: Pages
    code_changed: bool
    scans: ScansAgain | None = None

    @property
    def identical(self) -> bool:
        """Whether all that was decided, found and asked for is the same again."""
        return self.difference is None and (self.scans is None or self.scans.difference is None)

    @property
    def difference(self) -> Difference | None:
        """Where the day and its repetition part; None where all decisions are identical."""
        return first_difference(self.then, self.again)


def first_difference(then: Pages, now: Pages) -> Difference | None:
    """The first decision that two runs don't share."""
    both = max(len(then.decisions), len(now.decisions))
    for number in range(both):
        pair = [pages.decisions[number] if number < len(pages.decisions) else None for pages in (then, now)]
        if pair[0] != pair[1]:
            return Difference(number, *pair)
    return None


@dataclass(frozen=True, eq=False)
class Others:
    """What the strategy would have been told, had other symbols been full. `bars`: more of them, by symbol, in their
    last versions.
    """

    steps: Sequence[Step]
    bars: Mapping[str, Bars]


def with_others(steps: Sequence[Step], then: Members, now: Members) -> list[Step]:
    """Steps of a day on which scans had made others full: `then` as it was, `now` as it is to be."""
    told, all_then, current = list[Step](), set[str](), set[str]()
    for step in steps:
        all_then = (all_then - set(step.left)) | set(step.joined)
        wanted = (all_then - _by(then, step.at_ns)) | _by(now, step.at_ns)
        if step.kind == "open":
            current = wanted
            told.append(replace(step, joined=tuple(sorted(wanted))))
            continue
        if step.kind in ("change", "go") and wanted != current:
            joined, left = tuple(sorted(wanted - current)), tuple(sorted(current - wanted))
            told.append(Step("change", step.at_ns, {}, joined, left))
            current = wanted
        if step.kind != "change":
            told.append(step)
    return told


def _by(members: Members, at_ns: int) -> frozenset[str]:
    return next((own for since_ns, own in reversed(members) if since_ns <= at_ns), frozenset())


def run_again(recording: Recording, given: TradingPlan, others: Others | None = None) -> DayAgain:
    """Run a recorded day with a strategy, twice; BarrayError where its bars can't be meant. `others`: with corrected
    bars.
    """
    again = _Again(recording, given, others or Others(recording.steps, {}))
    pages, corrected = again.run(corrected=False), again.run(corrected=True)
    return DayAgain(recording.pages, pages, corrected, given.code != recording.code)


class _Again:
    def __init__(self, recording: Recording, given: TradingPlan, others: Others) -> None:
        self._recording, self._given, self._others = recording, given, others
        self._base = Interval.parse(recording.base)
        self._coming = ComingBars(recording.context, given.needs)

    def run(self, *, corrected: bool) -> Pages:
        recording, given = self._recording, self._given
        context = recording.context
        session_range = session_range_of_day(context, recording.timezone)
        known = recording.columns.keys() | (self._others.bars.keys() if corrected else ())
        columns = {symbol: self._columns(symbol, corrected=corrected) for symbol in known}
        joins = RecordedJoins(columns, context, self._base)
        answers = _answers(recording.pages)

        def data(symbol: str) -> SymbolData:
            laid = session_columns(symbol, context, joins.next(symbol), None, given.needs.without_own())
            return completed(laid, given.needs, given.tables, session_range)

        def add(symbols: Iterable[str], row: int) -> dict[str, SymbolData | str]:
            told = {symbol: answers[symbol].popleft() if answers[symbol] else _UNKNOWN for symbol in symbols}
            return {s: data(s) if one["accepted"] and s in columns else str(one["reason"]) for s, one in told.items()}

        run = PortfolioRun(given.plan, given.window or self._base, add, noted=True)
        for step in self._others.steps if corrected else recording.steps:
            match step.kind:
                case "open":
                    members = {symbol: data(symbol) for symbol in step.joined}
                    run.load(session_range, members, self._base)
                    run.begin(context.row, step.at_ns if step.at_ns > context.open_ns else None)
                case "arrive":
                    run.go_on(step.at_ns - 1)
                    self._coming.take_in(run, {} if corrected else step.bars, step.at_ns)
                    run.arrive(step.at_ns)
                case "change":
                    for symbol in step.left:
                        run.leave(symbol)
                    for symbol in step.joined:
                        run.join(data(symbol))
                case "go":
                    run.go_on(step.at_ns)
        return replace(run.notes.take(), refusals=())

    def _columns(self, symbol: str, *, corrected: bool) -> list[Bars]:
        """A symbol's bars whenever it joined: as they were, or all that came, in their last version."""
        joined = self._recording.columns.get(symbol, [])
        if not corrected:
            return joined
        came = [step.bars[symbol] for step in self._recording.steps if symbol in step.bars]
        every = Bars.concat([*joined, *came, *([self._others.bars[symbol]] if symbol in self._others.bars else [])])
        stamps, from_end = np.unique(every.start_ns[::-1], return_index=True)
        last = every.take(len(every) - 1 - from_end)
        return [by_time(last, Bars.empty())] * max(len(joined), 1) if len(stamps) else joined


_UNKNOWN: Mapping[str, Any] = {"accepted": False, "reason": "it was not asked for on that day"}


def _answers(pages: Pages) -> Mapping[str, deque[Mapping[str, Any]]]:
    found: dict[str, deque[Mapping[str, Any]]] = defaultdict(deque)
    for decision in pages.decisions:
        if decision.action == "add_symbol":
            found[decision.symbol].append(decision.detail)
    return found
