"""Several symbols in one process: the same dumps, and a symbol that fails still fails alone."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import barray
from barray.coordinator.config.actors import ACTORS_PER_CPU
from barray.coordinator.messages import Instruction, Tell
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.commands import Load
from barray.market.interval import Interval
from tests.sessions import bar, config, symbol_processes, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
SYMBOLS = ("AAPL", "AMZN", "MSFT", "NVDA", "SPY")
ONE_DAY = {"start": "2024-07-02"}


def dumps(settings: dict[str, Any], folder: Path, *, kill: bool = False) -> dict[str, bytes]:
    with barray.Session(settings) as session:
        for day in session.dates:
            session.begin(day)
            session.advance_to("11:00")
            session.add_symbol("TSLA")
            session.add_adhoc_bar("QQQ", "1m", bar(f"{day}T14:59:00Z"))
            if kill:
                for process in symbol_processes():
                    process.send_signal(signal.SIGKILL)
            session.advance_to()
            session.end()
            session.export(folder, ["json"])
            session.teardown()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_packing_does_not_change_a_byte_of_the_dump(universe: Path, tmp_path: Path) -> None:
    alone = dumps(config(universe, *SYMBOLS), tmp_path / "1")
    for name, per_actor, lifecycle, kill in (("2", 2, "reuse", False), ("9", 9, "kill", True)):
        actors = {"symbols_per_actor": per_actor, "lifecycle": lifecycle}
        packed = dumps(config(universe, *SYMBOLS, actors=actors), tmp_path / name, kill=kill)
        assert packed == alone


def test_symbols_share_processes_as_the_config_says(universe: Path) -> None:
    actors = {"symbols_per_actor": 2}
    with barray.Session(config(universe, *SYMBOLS, session=ONE_DAY, actors=actors)) as session:
        session.begin()
        wait_until(lambda: len(symbol_processes()) == 3)
        session.add_symbol("TSLA")  # one added mid-session gets a process of its own
        wait_until(lambda: len(symbol_processes()) == 4)
        session.remove_symbol("AAPL")  # its neighbour AMZN stays
        assert len(symbol_processes()) == 4
        session.remove_symbol("AMZN")
        wait_until(lambda: len(symbol_processes()) == 3)
        session.advance_to()
        assert len(session.snapshot("MSFT").bars["1m"]) == 3 * 390


def test_a_config_that_asks_for_more_processes_than_the_cores_bear_is_warned(
    universe: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = [f"X{number}" for number in range(ACTORS_PER_CPU * 2)]  # none has data, so none gets a process
    for symbols, warned in (([*crowd, "AAPL"], True), ([*crowd[1:], "AAPL"], False)):
        caplog.clear()
        with barray.Session(config(universe, *symbols, session=ONE_DAY)) as session:
            session.begin()
        assert ("symbols_per_actor: auto" in caplog.text) == warned


def test_damaged_bars_cost_their_symbol_and_no_neighbour(universe: Path) -> None:
    symbols = ("AAPL", "NFLX", "MSFT")
    actors = {"symbols_per_actor": 3}
    with barray.Session(config(universe, *symbols, session={"start": "2024-07-03"}, actors=actors)) as session:
        summary = session.begin()
        assert list(summary.dropped) == ["NFLX"]
        session.advance_to()
        assert session.symbols() == ["AAPL", "MSFT"]
        wait_until(lambda: len(symbol_processes()) == 1)  # those of sessions before may be on their way out


@dataclass(frozen=True)
class DeadlyReader:
    """Ends the process that reads, as a crash in native code would."""

    name: str = "deadly"

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        os._exit(1)


class DeadlyCoordinator(SessionCoordinator):
    """Loads MSFT with the deadly reader."""

    async def _do(self, instruction: Instruction) -> Any:
        if isinstance(instruction, Tell) and isinstance(load := instruction.commands.get("MSFT"), Load):
            instruction = Tell({**instruction.commands, "MSFT": replace(load, reader=DeadlyReader())})
        return await super()._do(instruction)


def test_a_symbol_that_crashes_its_process_fails_alone(universe: Path) -> None:
    settings = config(
        universe, *SYMBOLS, session=ONE_DAY, actors={"symbols_per_actor": 5, "max_restarts": 1}, name="deadly"
    )
    with barray.Session(settings, coordinator=DeadlyCoordinator) as session:
        summary = session.begin()
        assert {symbol: reasons[0].code for symbol, reasons in summary.dropped.items()} == {"MSFT": "actor_failed"}
        session.advance_to()
        assert session.symbols() == ["AAPL", "AMZN", "NVDA", "SPY"]


def test_a_packed_process_that_may_not_be_restarted_costs_all_its_symbols(universe: Path) -> None:
    actors = {"symbols_per_actor": 2, "max_restarts": 0, "heartbeat_s": 0}
    settings = config(universe, *SYMBOLS[:4], session=ONE_DAY, actors=actors)
    with barray.Session(settings) as session:
        session.begin()
        (victim, other) = symbol_processes()
        victim.kill()
        session.advance_to()
        assert symbol_processes() == [other]
        dropped = session.summary().dropped
        assert {str(reason[0].code) for reason in dropped.values()} == {"actor_failed"}
        assert sorted([*dropped, *session.symbols()]) == sorted(SYMBOLS[:4])
        assert len(dropped) == 2


def test_a_neighbour_lost_with_its_process_is_dropped_at_once_though_it_was_told_nothing(universe: Path) -> None:
    settings = config(universe, *SYMBOLS[:4], session=ONE_DAY, actors={"symbols_per_actor": 2, "max_restarts": 0})
    with barray.Session(settings) as session:
        session.begin()
        for process in symbol_processes():
            process.kill()
        refused = session.add_adhoc_indicator_detailed(SYMBOLS[0], "SMA(2)@1m")
        assert not refused.accepted
        assert "process was lost" in refused.reason
        assert list(session.summary().dropped) == list(SYMBOLS[:2])
        assert session.symbols() == list(SYMBOLS[2:4])
        assert session.status()["full"] == list(SYMBOLS[2:4])
