"""What a strategy did to its run beside ordering, and how often limits of exposure held it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

MOST_EVENTS = 10_000
"""Kept of a run."""
_MOST_OF_A_SESSION = 1_000
RunAction = Literal["add_symbol", "remove_symbol", "add_indicator", "add_bar", "limit"]
"""What happens in a run. `limit`: an order was cut or refused by a limit of exposure."""


@dataclass(frozen=True)
class RunEvent:
    """Something that happened at session time `at_ns` (UTC ns), and so often more in that session: `count` in all.

    `by`: strategy, or account for what its limits did. `detail`: the indicator that was added, or the limit's name as
    it stands under account.limits.
    """

    at_ns: int
    action: RunAction
    symbol: str
    by: str
    accepted: bool
    reason: str = ""
    detail: str = ""
    count: int = 1


@dataclass(frozen=True)
class Events:
    """Events in order of time; `left_out`: how many more there were."""

    lines: tuple[RunEvent, ...] = ()
    left_out: int = 0

    @classmethod
    def together(cls, parts: Iterable[Events]) -> Events:
        """All of these, one after another, as many as are kept of a run."""
        every = tuple(parts)
        lines = tuple(line for part in every for line in part.lines)
        return cls(lines[:MOST_EVENTS], sum(part.left_out for part in every) + max(len(lines) - MOST_EVENTS, 0))


NO_EVENTS = Events()


class EventLog:
    """Gathers a session's events; those alike are one, with their number."""

    def __init__(self) -> None:
        self._found: dict[RunEvent, tuple[int, int]] = {}
        self._left_out = 0

    def note(self, event: RunEvent) -> None:
        """Take an event in."""
        alike = replace(event, at_ns=0)
        at_ns, count = self._found.get(alike, (event.at_ns, 0))
        if count or len(self._found) < _MOST_OF_A_SESSION:
            self._found[alike] = at_ns, count + 1
        else:
            self._left_out += 1

    def take(self) -> Events:
        """What came since this was last asked."""
        if not self._found:
            return NO_EVENTS
        lines = tuple(replace(one, at_ns=at_ns, count=count) for one, (at_ns, count) in self._found.items())
        events = Events(lines, self._left_out)
        self._found, self._left_out = {}, 0
        return events
