"""What lets a session's time pass (a Driver), and what it may do with the session (a Stage)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from barray.coordinator.session_state import SessionState
from barray.market.bars import Bars, IntArray
from barray.market.calendar import Sessions
from barray.market.commands import Report
from barray.market.requirements import SessionContext


class Stage(Protocol):
    """A session. `state` is there to be read."""

    @property
    def state(self) -> SessionState:
        """What the session has decided so far."""
        ...

    async def advance(
        self, to_ns: int, bars: Mapping[str, Bars] = ..., received_ns: Mapping[str, IntArray] = ...
    ) -> Mapping[str, Report] | None:
        """Give symbols and scans bars that have come, and let time go on to `to_ns`: nobody sees the one without the
        other.

        `received_ns`: when each bar came, by symbol, where somebody knows.
        What symbols said of the bars; None where the session has ended meanwhile, and nothing was done.
        """
        ...

    async def run_due(self) -> None:
        """Do what the schedule has for up to now."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Within this block nothing that is asked from outside comes in."""
        ...

    def window(self) -> AbstractAsyncContextManager[bool]:
        """The same, once a window may pass: it waits while the session is paused. False where none may."""
        ...

    async def may_go_on(self, *, last: bool = False) -> bool:
        """Whether another window may pass (`last`: there is none); waits while the session is paused."""
        ...

    async def rest(self, seconds: float) -> None:
        """Let others have their turn, and so many seconds pass."""
        ...


class Driver(Protocol):
    """Where a session's time comes from: the past, or a clock."""

    def first_ns(self, context: SessionContext, *, resumed: bool = False) -> int:
        """Where the session's clock stands at first; ConfigError where there is nothing left of the session. `resumed`:
        it had begun before.
        """
        ...

    def fetch_until_ns(self) -> int:
        """Up to when bars may be fetched ahead of time."""
        ...

    async def advance_to(self, to_ns: int | None) -> None:
        """Let the session run to `to_ns` (UTC ns; None: its close)."""
        ...

    async def provide(self, symbols: Sequence[str], first_ns: int, days: Sessions) -> Mapping[str, Bars]:
        """Have bars from `first_ns` (UTC ns) on, and those of `days`, there to be read of symbols that scans look at,
        and those to come handed on with full symbols'. What has come of the session already.
        """
        return {}

    async def listen(self, symbol: str, *, loaded: bool) -> None:
        """A symbol is about to join the session that runs, or has."""
        ...

    def status(self) -> dict[str, Any]:
        """What there is to say beside the session's own status, in JSON types."""
        return {}

    async def close(self) -> None:
        """The session is over."""
        ...
