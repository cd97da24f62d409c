"""A live day that is resumed: the strategy is told again what its recording says, and has to decide the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from barray.coordinator.summary import SessionEvent
from barray.coordinator.trading import Trading
from barray.market.bars import Bars
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars
from barray.trading.engine.coming_bars import ComingBars
from barray.trading.engine.day_again import first_difference
from barray.trading.engine.notes import Pages
from barray.trading.engine.recorded_joins import RecordedJoins
from barray.trading.engine.recording import Recording
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.session_columns import session_columns


async def take_up(
    trading: Trading, recording: Recording, context: SessionContext, present: Mapping[str, SymbolData], own: Set[str]
) -> None:
    """Bring a trader to where it was. What it decides beyond what is recorded, as the last that it was told had no
    answer, is recorded. `present`: what the session's symbols have now; `own`: the config's symbols. ConfigError
    (`checkpoint_differs`) where it decides otherwise than it had.
    """
    recorder, trading.recorder = trading.recorder, None
    joins = _Joins(trading, recording, context, present)
    for step in recording.steps:
        match step.kind:
            case "open":
                told = context, recording.timezone, Interval.parse(recording.base), joins.at(step.at_ns, step.joined)
                await trading.open(*told, step.at_ns, frozenset(step.joined) - own)
                joins.remember()
            case "change":
                full = (trading.known | set(step.joined)) - set(step.left)
                await trading.change(joins.at(step.at_ns, step.joined), full, step.at_ns)
            case "arrive":
                await trading.arrive(step.at_ns, step.bars)
            case "go":
                await trading.go_on(step.at_ns)
    beyond = _beyond(recording.pages, trading.day.pages if trading.day is not None else Pages())
    trading.recorder = recorder
    if recorder is not None:
        recorder.pages(beyond)


def wished_before(pages: Pages) -> list[SessionEvent]:
    """The session's events of wishes that were refused, and are not made again."""
    refused = [one for one in pages.decisions if one.action == "add_symbol" and not one.detail["accepted"]]
    return [
        SessionEvent(one.at_ns, "add_symbol", one.symbol, "strategy", False, str(one.detail["reason"]))
        for one in refused
    ]


def session_bars(data: Mapping[str, SymbolData], context: SessionContext) -> dict[str, Bars]:
    """Base bars of the session, by symbol."""
    found = {}
    for symbol, one in data.items():
        bars = one.base.bars
        found[symbol] = bars.take(bars.start_ns >= context.open_ns)
    return {symbol: bars for symbol, bars in found.items() if len(bars)}


class _Joins:
    """Handles of what symbols had whenever they joined, by when and whose doing that was."""

    def __init__(
        self, trading: Trading, recording: Recording, context: SessionContext, present: Mapping[str, SymbolData]
    ) -> None:
        self._trading, self._context, self._present = trading, context, present
        self._needs = trading.given.needs.without_own()
        self._coming = ComingBars(context, self._needs)
        self._decisions = [one for one in recording.pages.decisions if one.action == "add_symbol"]
        steps = [(step.at_ns, 0, symbol) for step in recording.steps for symbol in step.joined]
        added = [(one.at_ns, 1, one.symbol) for one in self._decisions if one.detail["accepted"]]
        laid = RecordedJoins(recording.columns, context, Interval.parse(recording.base))
        self._laid = {key: laid.next(key[2]) for key in sorted([*steps, *added]) if key[2] in laid}

    def at(self, at_ns: int, symbols: Sequence[str]) -> dict[str, Any]:
        """Of symbols that others had join."""
        return self._published({symbol: self._laid[at_ns, 0, symbol] for symbol in symbols})

    def remember(self) -> None:
        """Have the strategy's wishes be answered as they were: what was added is added again, with the bars of then."""
        for one in self._decisions:
            key = one.at_ns, one.symbol
            if not one.detail["accepted"]:
                self._trading.refuse(*key, str(one.detail["reason"]))
            elif (base := self._laid.get((one.at_ns, 1, one.symbol))) is not None:
                self._trading.recorded[key] = self._published({one.symbol: base})[one.symbol]

    def _published(self, bars: Mapping[str, IntervalBars]) -> dict[str, Any]:
        return self._trading.publish({symbol: self._data(symbol, own) for symbol, own in bars.items()})

    def _data(self, symbol: str, base: IntervalBars) -> SymbolData:
        if (now := self._present.get(symbol)) is not None:
            return self._coming.laid(now, base)
        return session_columns(symbol, self._context, base, None, self._needs)


def _beyond(then: Pages, now: Pages) -> Pages:
    many, fills = len(then.decisions), len(then.fills)
    found = first_difference(then, Pages(now.decisions[:many], now.fills[:fills]))
    if found is None and now.fills[:fills] == then.fills:
        return Pages(now.decisions[many:], now.fills[fills:])
    what = f"decision {found.number + 1} was {found.then} and is {found.now}" if found else "its fills are others"
    raise ConfigError(
        f"the strategy does not come to what it had decided on this day before: {what}",
        remedy="a strategy that looks at more than it is given can't be resumed: run the rest of the day anew, "
        "without --checkpoint",
        code="checkpoint_differs",
    )
