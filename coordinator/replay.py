"""Drives a session of the past: everything has closed, so time passes without waiting for anybody."""

from __future__ import annotations

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.driver import Driver, Stage
from barray.market.bars import format_ns
from barray.market.calendar import TradingCalendar
from barray.market.errors import ConfigError
from barray.market.requirements import SessionContext


class ReplayDriver(Driver):
    """See Driver."""

    def __init__(self, stage: Stage, config: SessionConfig, calendar: TradingCalendar) -> None:
        self._stage = stage
        self._config = config
        self._calendar = calendar

    def first_ns(self, context: SessionContext, *, resumed: bool = False) -> int:
        """The open."""
        return context.open_ns

    def fetch_until_ns(self) -> int:
        """The close of the config's last session: what it needs is fetched along, in fewer requests than by day."""
        section = self._config.session
        last = self._calendar.between(section.start, section.end)[-1]
        return int(self._calendar.sessions.close_ns[self._calendar.session(last)])

    async def advance_to(self, to_ns: int | None) -> None:
        """Window by window. ConfigError where that is after the close."""
        state, run = self._stage.state, self._config.run
        close_ns = state.running().context.close_ns
        target = close_ns if to_ns is None else to_ns
        if target > close_ns:
            raise ConfigError(
                f"{format_ns(target)} is after the session's close", remedy="run to the close, or earlier"
            )
        async with self._stage.turn():
            await self._stage.run_due()
        for end_ns in state.window_ends(target, run.window):
            async with self._stage.window() as passes:
                if not passes or await self._stage.advance(end_ns) is None:
                    return
                await self._stage.run_due()
            await self._stage.rest(run.pause_s)
        await self._stage.may_go_on(last=True)

    async def listen(self, symbol: str, *, loaded: bool) -> None:
        """All its bars are there to be read."""

    async def close(self) -> None:
        """Nothing is open."""
