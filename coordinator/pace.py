"""Whether a session's time goes on: from outside it can be held after a window, let go by one, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum

from barray.market.errors import IllegalTransition


class Pace(Enum):
    """How a session's time goes. PAUSED: once the window that it is in has ended, it stands there."""

    GOING = "going"
    PAUSED = "paused"
    STOPPED = "stopped"


class Turnstile:
    """Where a session's time asks, before each window and after the last, whether it may go on.

    One for all dates of a coordinator. Everybody who is attached turns the same: a pause asked for twice is one,
    each step lets one window pass, and a stop is for good.
    """

    def __init__(self) -> None:
        self.pace = Pace.GOING
        self._steps = 0
        self._passing = self._held = 0
        self._changed = asyncio.Event()

    @property
    def told(self) -> str:
        """The pace in a word; `pausing`: not yet where it is to stand."""
        return "pausing" if self.pace is Pace.PAUSED and not self.stands else self.pace.value

    @property
    def stands(self) -> bool:
        """Whether no time passes, nor will before somebody asks for it."""
        return self._steps == 0 and self._held == self._passing

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Time is wanted to pass within this block."""
        self._passing += 1
        try:
            yield
        finally:
            self._passing -= 1
            self.tell()

    def passes(self, is_over: Callable[[], bool], *, last: bool = False) -> bool | None:
        """Whether a window passes now; None: that is not said yet, see `changed`. `is_over`: nobody waits any more, of
        which `tell` tells. `last`: there is none left; a step is for the next call's first.
        """
        if is_over() or self.pace is Pace.STOPPED:
            return False
        if self.pace is Pace.GOING:
            return True
        if self._steps:
            self._steps -= not last
            return True
        return None

    async def changed(self) -> None:
        """Stand, until something is asked of it."""
        self._held += 1
        self.tell()
        await self._changed.wait()
        self._held -= 1

    async def may_go_on(self, is_over: Callable[[], bool], *, last: bool = False) -> bool:
        """Wait while it is paused; whether a window may pass then. The arguments: see `passes`."""
        while (passes := self.passes(is_over, last=last)) is None:
            await self.changed()
        return passes

    async def rest(self, seconds: float) -> None:
        """Let others have their turn, and so many seconds pass, unless something is asked of it meanwhile."""
        if seconds == 0:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def tell(self) -> None:
        """Have everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _turn(self, pace: Pace) -> None:
        self.pace = pace
        self._steps = 0
        self.tell()

    def pause(self) -> None:
        """Hold it where the window that it is in ends; IllegalTransition where it was stopped."""
        if self.pace is Pace.STOPPED:
            raise IllegalTransition("the session was stopped, and ends", code="stopped")
        if self.pace is Pace.GOING:
            self._turn(Pace.PAUSED)

    def step(self) -> None:
        """Let one window pass; IllegalTransition where it isn't paused, or nobody drives it."""
        self._require_paused("step")
        if not self._passing:
            raise IllegalTransition(
                "no time is passing: what drives the session is doing something else",
                remedy="step once it lets time pass again; `status` shows the phase",
            )
        self._steps += 1
        self.tell()

    def resume(self) -> None:
        """Let it go on; IllegalTransition where it isn't paused."""
        self._require_paused("resume")
        self._turn(Pace.GOING)

    def stop(self) -> None:
        """End it where the window that it is in ends, for good."""
        self._turn(Pace.STOPPED)

    def _require_paused(self, asked: str) -> None:
        if self.pace is not Pace.PAUSED:
            raise IllegalTransition(f"the session is {self.pace.value}: there is nothing to {asked}", remedy="pause it")

    async def standing(self) -> None:
        """Wait until it stands, or goes on since somebody else wants it."""
        while self.pace is Pace.PAUSED and not self.stands:
            await self._changed.wait()
