"""What is asked of a session from outside comes in between two turns, so that the day comes to the same again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from barray.coordinator.messages import Request
from barray.coordinator.pace import Turnstile
from barray.market.errors import BarrayError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pacing:
    """What is asked of a session's time. `action`: pause, step, resume or stop; `reason`: of a stop."""

    action: str
    reason: str = ""

    def plain(self) -> Pacing:
        """See Request."""
        return self


@dataclass(frozen=True)
class Asked:
    """Something that was asked. `day`: ISO date; `turn`: how many turns of the day had passed; `at_ns`: session time
    then (UTC ns).
    """

    day: str
    turn: int
    at_ns: int
    what: Request | Pacing

    @property
    def told(self) -> str:
        """In a few words."""
        if isinstance(self.what, Pacing):
            return f"{self.day} {self.what.action}"
        return f"{self.day} {type(self.what).__name__} {self.what.symbol}"


class Gate:
    """`do`: carries out what is asked. A turn is a window, and all that is done at its end; the first is without one.

    Where it is to be kept, what is asked takes effect once whoever keeps it has written it down. On a day that is gone
    through again, what was asked on it is done again after the turn that it came after.
    """

    def __init__(self, do: Callable[[Request | Pacing], Awaitable[Any]]) -> None:
        self._do = do
        self._lock = asyncio.Lock()
        self._turn = 0
        self._again: list[Asked] = []
        self._keeps = False
        self._asked: list[Asked] = []
        self._written = 0
        self._more = asyncio.Event()

    def open_day(self, again: Sequence[Asked] | None) -> None:
        """A day begins, on which this was asked before; None: nothing is kept of what is asked on it."""
        self._turn, self._keeps = 0, again is not None
        self._again = sorted(again or (), key=lambda one: one.turn)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Within this block nothing comes in."""
        async with self._lock:
            await self._do_again()
            yield
            self._turn += 1
            await self._do_again()

    @asynccontextmanager
    async def window(self, turnstile: Turnstile, is_over: Callable[[], bool]) -> AsyncIterator[bool]:
        """The same, once a window may pass (False: none will): what holds it came in before, or comes in after."""
        while True:
            async with self._lock:
                passes = turnstile.passes(is_over)
                if passes is not None:
                    yield passes
                    self._turn += passes
                    await self._do_again()
                    return
            await turnstile.changed()

    async def _do_again(self) -> None:
        while self._again and self._again[0].turn <= self._turn:
            asked = self._again.pop(0)
            logger.info("asked before, and done again: %s", asked.told)
            try:
                await self._do(asked.what)
            except BarrayError as error:  # as it was the first time
                logger.warning("%s: %s", asked.told, error)

    async def ask(self, what: Request | Pacing, stands: Callable[[], tuple[str, int] | None]) -> Any:
        """Have it done. `stands`: day and session time (None: no day's); what it raises is the answer."""
        async with self._lock:
            if (at := stands()) is not None and self._keeps:
                self._asked.append(Asked(at[0], self._turn, at[1], what.plain()))
                number = len(self._asked)
                while self._written < number:
                    await self._more.wait()
            return await self._do(what)

    def to_keep(self, written: int) -> list[Asked]:
        """What was asked, but for the first so many, which are written down by now."""
        if written > self._written:
            self._written = written
            self._more.set()
            self._more = asyncio.Event()
        return self._asked[written:]
