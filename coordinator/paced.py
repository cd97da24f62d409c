"""A coordinator of sessions that others than its driver may ask: to change one, to hold it, and to end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from barray.coordinator import messages as ask
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.gate import Asked, Gate, Pacing
from barray.coordinator.lifecycle import Phase
from barray.coordinator.measured import Measured
from barray.coordinator.pace import Pace, Turnstile
from barray.coordinator.session_state import SessionState
from barray.coordinator.summary import AddResult
from barray.market.bars import Bar
from barray.market.errors import IllegalTransition
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval


class Paced(Measured):
    """See the module. Whatever is asked comes in by the gate, between two windows."""

    state: SessionState

    def __init__(self, config: SessionConfig) -> None:
        super().__init__(config)
        self._turnstile = Turnstile()
        self._gate = Gate(self._do_asked)

    async def _change(self, request: ask.Request) -> AddResult:
        """Do it now."""
        raise NotImplementedError

    async def change(self, request: ask.Request) -> AddResult:
        """Add or remove something at session time, between two windows; what became of it, and why."""
        result: AddResult = await self._gate.ask(request, self._stands_running)
        return result

    async def add_symbol(self, symbol: str, added_by: str = "strategy") -> bool:
        """Add a symbol with everything the config requires, or upgrade an adhoc one; False, logged, if refused."""
        return (await self.change(ask.AddSymbol(symbol, added_by))).accepted

    async def add_adhoc_bar(
        self, symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any], source: str = "scanner"
    ) -> bool:
        """Add one closed bar after light checks; False, logged, if refused."""
        return (await self.change(ask.AddBar(symbol, interval, bar, source))).accepted

    async def add_adhoc_indicator(
        self, symbol: str, indicator_config: str | Mapping[str, Any] | IndicatorSpec, source: str = "scanner"
    ) -> bool:
        """Add one indicator after light checks; False, logged, if refused."""
        return (await self.change(ask.AddIndicator(symbol, indicator_config, source))).accepted

    async def remove_symbol(self, symbol: str, by: str = "strategy") -> bool:
        """End one symbol and its process; False if it isn't in the session."""
        return (await self.change(ask.RemoveSymbol(symbol, by))).accepted

    async def may_go_on(self, *, last: bool = False) -> bool:
        """See Stage."""
        return await self._turnstile.may_go_on(self._is_over(), last=last)

    def _is_over(self) -> Callable[[], bool]:
        day = self.state.day
        return lambda: self.state.phase is not Phase.RUNNING or self.state.day is not day

    async def rest(self, seconds: float) -> None:
        """See Stage."""
        await self._turnstile.rest(seconds)

    async def pause(self) -> int | None:
        """Hold the session where its window ends, until somebody resumes it; where it stands (UTC ns; None: no day).

        IllegalTransition where it was stopped, or is live: its time is everybody's.
        """
        self._require_past("pause")
        await self._gate.ask(Pacing("pause"), self._stands)
        await self._turnstile.standing()
        return self._now_ns()

    async def step(self) -> int | None:
        """Let one window of a paused session pass; where it stands then.

        IllegalTransition where it isn't paused, is live, or nobody lets its time pass.
        """
        self._require_past("step")
        await self._gate.ask(Pacing("step"), self._stands)
        await self._turnstile.standing()
        return self._now_ns()

    async def resume(self) -> None:
        """Let a paused session go on; IllegalTransition where it isn't paused, or is live."""
        self._require_past("resume")
        await self._gate.ask(Pacing("resume"), self._stands)

    async def stop(self, reason: str) -> None:
        """End the session where its window ends, as a close would; no further date begins. Asked again: as before."""
        await self._gate.ask(Pacing("stop", reason), self._stands)

    def _stop(self, reason: str) -> None:
        if self._turnstile.pace is not Pace.STOPPED:
            if self._stands() is not None:
                self.state.note("stop", "user", reason)
            self._turnstile.stop()

    async def _do_asked(self, what: ask.Request | Pacing) -> Any:
        if not isinstance(what, Pacing):
            return await self._change(what)
        turns = {"pause": self._turnstile.pause, "step": self._turnstile.step, "resume": self._turnstile.resume}
        return self._stop(what.reason) if what.action == "stop" else turns[what.action]()

    def to_keep(self, written: int) -> list[Asked]:
        """What was asked from outside on days that are kept, but for the first so many; see Gate."""
        return self._gate.to_keep(written)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See Stage."""
        return self._gate.turn()

    def window(self) -> AbstractAsyncContextManager[bool]:
        """See Stage."""
        return self._gate.window(self._turnstile, self._is_over())

    def _stands(self) -> tuple[str, int] | None:
        """Day and session time of what is not over yet."""
        day = self.state.day
        if day is None or self.state.phase is Phase.ENDED:
            return None
        return day.context.session_date.isoformat(), day.clock.now_ns()

    def _stands_running(self) -> tuple[str, int] | None:
        self.state.running()
        return self._stands()

    def _now_ns(self) -> int | None:
        return self.state.day.clock.now_ns() if self.state.day else None

    def _require_past(self, asked: str) -> None:
        if self._config.is_live:
            raise IllegalTransition(
                f"a live session's time goes on by itself: there is no way to {asked} it",
                remedy="stop it, or run the recorded day again as a replay",
            )
