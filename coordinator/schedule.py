"""When the session stops to do something: scheduled actions and the cuts that they and the window make."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from barray.coordinator.config.schedule import ScheduledAction, ScheduledBar
from barray.coordinator.messages import AddBar, AddIndicator, AddSymbol, RemoveSymbol, Request
from barray.market.adhoc import parse_bar
from barray.market.bars import Bar
from barray.market.calendar import TradingCalendar
from barray.market.interval import Interval
from barray.market.requirements import SessionContext


@dataclass(frozen=True)
class DueAction:
    """An action of the schedule on one session date: due once the clock reaches `at_ns` (UTC ns)."""

    at_ns: int
    request: Request


def due_actions(
    schedule: Iterable[ScheduledAction], calendar: TradingCalendar, context: SessionContext
) -> list[DueAction]:
    """The date's actions in order of time, those of one time in the order they are written.

    What lies after the close (of a half day, say) is not due that day.
    """
    day = context.session_date
    due = []
    for action in schedule:
        at_ns = calendar.at(day, action.at)
        if action.day in (None, day) and at_ns <= context.close_ns:
            due.append(DueAction(at_ns, _request(action, calendar, context)))
    return sorted(due, key=lambda entry: entry.at_ns)


def _request(action: ScheduledAction, calendar: TradingCalendar, context: SessionContext) -> Request:
    if (added := action.add_bar) is not None:
        return AddBar(added.symbol, added.interval, _bar(added, calendar, context), action.by or "scanner")
    if (indicator := action.add_indicator) is not None:
        return AddIndicator(indicator.symbol, indicator.indicator, action.by or "scanner")
    if action.add_symbol is not None:
        return AddSymbol(action.add_symbol, action.by or "strategy")
    return RemoveSymbol(str(action.remove_symbol), action.by or "strategy")


def _bar(added: ScheduledBar, calendar: TradingCalendar, context: SessionContext) -> Bar:
    values = added.model_dump(include={"open", "high", "low", "close", "volume"})
    if added.time is not None:
        return Bar(calendar.at(context.session_date, added.time), **values)
    return parse_bar({"timestamp": added.timestamp, **values})


def windows(
    now_ns: int, target_ns: int, context: SessionContext, window: Interval | None, moments: Collection[int]
) -> list[int]:
    """Ends of the windows from `now_ns` to `target_ns` (UTC ns; the last one is the target): at every multiple of
    `window` after the open, and wherever something is due.
    """
    cuts = {moment for moment in moments if now_ns < moment < target_ns}
    if window is not None and window.is_intraday:
        first = context.open_ns + ((now_ns - context.open_ns) // window.ns + 1) * window.ns
        cuts.update(range(first, target_ns, window.ns))
    return [*sorted(cuts), target_ns] if target_ns > now_ns else []
