"""A universe that is shared out for scans, while nodes come and go. Without Ray."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from barray.actors.scan_actor import ScanActor
from barray.coordinator import fleet, scan_fleet
from barray.coordinator.config.file import as_config
from barray.coordinator.prepare_scans import prepare_scan
from barray.coordinator.scan_fleet import ScanFleet
from barray.sample.universe import write_sample_data
from tests.coordinator.processes import Processes
from tests.coordinator.traded import CALENDAR

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def small_shares_that_are_often_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_fleet, "_SMALLEST_SHARE", 2)
    monkeypatch.setattr(fleet, "_TEND_S", -1.0)


def found(root: Path, *changes: tuple[str, Any]) -> tuple[list[str], list[list[str]]]:
    """What is found in each session, before each of which some attribute of the processes is set; and the nodes that
    processes are on then.
    """
    scan = {"name": "up", "at": ["10:00", "12:00"], "where": ["RSI(5)@1m > 40"], "rank": "change_since_open"}
    told = {"session": {"start": "2024-07-01", "end": "2024-07-03"}, "scans": [scan], "sources": [{"root": str(root)}]}
    config = as_config(told)
    prepared = prepare_scan(config, lambda *_: CALENDAR)
    processes = Processes({"one": 1.0, "two": 1.0}, ScanActor)

    async def go() -> tuple[list[str], list[list[str]]]:
        made, sessions, nodes = ScanFleet(prepared, config.actors, processes), list[str](), list[list[str]]()
        await made.start()
        for number, row in enumerate(prepared.session_range.rows.tolist()):
            for name, value in changes[number : number + 1]:
                setattr(processes, name, value)
            sessions += map(repr, await made.sessions((row,)))
            nodes.append(sorted(process.node for process in processes.alive))
        made.kill_all()
        assert processes.alive == []
        return sessions, nodes

    return asyncio.run(go())


def test_nodes_that_join_are_given_shares_and_those_that_leave_are_left(tmp_path: Path) -> None:
    write_sample_data(tmp_path, symbols=9, start=date(2024, 6, 27), end=date(2024, 7, 3))
    calm, nodes = found(tmp_path)
    assert nodes == [["one", "two"]] * 3
    more = {"one": 1.0, "two": 1.0, "new": 2.0}
    troubled, nodes = found(tmp_path, ("cpus", more), ("leaving", {"one"}))
    assert nodes == [["new", "new", "one", "two"], ["new", "new", "new", "two"], ["new", "new", "new", "two"]]
    assert troubled == calm
