"""What a backtest's coordinator decides before anything runs. Without Ray."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.backtest import BacktestCoordinator
from barray.coordinator.config.file import as_config
from barray.coordinator.prepare import prepare_run
from barray.trading.strategy.source import StrategySource
from tests.coordinator.processes import Processes
from tests.coordinator.traded import CALENDAR, settings_of

TEXT = "from barray import Strategy\nclass Rests(Strategy):\n    def on_bar(self, ctx): pass\n"
SYMBOLS = ("AAPL", "AMZN", "MSFT", "NVDA", "SPY", "TSLA")


@pytest.mark.parametrize(("cpus", "more"), [(None, 0), (3, 0), (10, 17)])
def test_so_many_processes_are_to_join_that_all_nodes_have_work(universe: Path, cpus: int | None, more: int) -> None:
    told = settings_of(universe, *SYMBOLS, placement={"cpus": cpus} if cpus else {})
    run = prepare_run(as_config(told, strategy_given=True), lambda *_: CALENDAR, StrategySource("rests.py", TEXT))
    coordinator = BacktestCoordinator(run.config, *run.arguments)
    processes: Any = Processes({"one": 1.0, "two": 1.0, "three": 1.0})
    coordinator._transport = coordinator._fleet._transport = processes
    asyncio.run(coordinator._fleet.add(SYMBOLS, per_actor=coordinator._symbols_per_actor(len(SYMBOLS))))
    assert coordinator._fleet.processes == (3 if cpus else 6)
    assert coordinator._more_processes() == more
