"""Sessions with a strategy, without Ray: the real coordinator, symbols and trader, which may be lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from barray.actors.scan_actor import ScanActor
from barray.actors.trader_actor import TraderActor
from barray.coordinator.config.file import as_config
from barray.coordinator.prepare_scans import with_scans
from barray.coordinator.scanning import Scanning
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.coordinator.strategies import trading_in_sessions
from barray.coordinator.summary import SessionSummary
from barray.coordinator.trading import Trading
from barray.dump.files import write_dumps
from barray.market.symbol_data import SymbolSessionData
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.source import StrategySource
from tests.coordinator.processes import Processes
from tests.market.builders import calendar
from tests.sessions import config

CALENDAR = calendar("XNYS", date(2024, 6, 20), date(2024, 7, 8))


class Threads(Processes):
    """Processes whose work may wait for the coordinator."""

    async def execute(self, batches: Any, timeout_s: float, silence_s: float | None = None) -> list[Any]:
        for process, batch in batches:
            process.told += batch
        return [
            await asyncio.to_thread(process.call, lambda actor, batch=batch: actor.execute(batch))
            for process, batch in batches
        ]


class TradedSession:
    """A session of a config with its scans, whose strategy is `text`, if any. `symbols`, `traders`, `scanners`: the
    processes.
    """

    def __init__(self, settings: Mapping[str, Any], text: str | None) -> None:
        source = None if text is None else StrategySource("made_up.py", text)
        chosen, self.given = trading_in_sessions(as_config(settings), source)
        self.config, prepared = with_scans(chosen, lambda *_: CALENDAR)
        actors = self.config.actors
        self.symbols, self.traders, self.scanners = Processes(), Threads(kind=self._trader), Processes(kind=ScanActor)
        trading = scanning = None
        if self.given is not None:
            told = {"whom": lambda: None, "publish": lambda data: tuple(data.values())}
            trading = Trading(self.given, actors, self.traders, **told)
        if prepared is not None:
            scanning = Scanning(prepared, actors, self.scanners)
        self.coordinator = SessionCoordinator(self.config, CALENDAR, self.symbols, None, trading, scanning)
        self.loop: asyncio.AbstractEventLoop

    def _trader(self) -> TraderActor:
        return TraderActor(self._ask, _merged)

    def _ask(self, _: Any, wishes: Sequence[Any], at_ns: int) -> Sequence[Any]:
        asked = self.coordinator.ask_for_strategy(wishes, at_ns)
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(30)

    async def begin(self) -> None:
        """Stand at the next date's open."""
        self.loop = asyncio.get_running_loop()
        await self.coordinator.begin()

    async def dump(self, folder: Path, formats: Sequence[str] = ("json",)) -> list[Path]:
        """Dumps of the session as it stands."""
        summary, snapshots = self.coordinator.summary(), await self.coordinator.snapshots()
        return write_dumps(folder, "traded", formats, summary, lambda: snapshots)


def _merged(handles: Sequence[Sequence[SymbolData]]) -> dict[str, SymbolData]:
    return {data.symbol: data for part in handles for data in part}


def settings_of(universe: Path, *symbols: str, **changes: Any) -> dict[str, Any]:
    """A config of 2024-07-02 alone, with no indicators of its own."""
    day = {"session": {"start": "2024-07-02"}, "intervals": ["1m"], "indicators": [], "history": {"trailing_days": 1}}
    return config(universe, *symbols, **{**day, **changes})


def run_day(settings: Mapping[str, Any], text: str | None) -> tuple[SessionSummary, list[SymbolSessionData]]:
    """The first date from open to close."""
    session = TradedSession(settings, text)

    async def day() -> tuple[SessionSummary, list[SymbolSessionData]]:
        await session.begin()
        await session.coordinator.advance_to()
        return await session.coordinator.end(), await session.coordinator.snapshots()

    return asyncio.run(day())
