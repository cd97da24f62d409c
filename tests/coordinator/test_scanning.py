"""Scans in a session, without Ray: one that raises ends alone, what two want comes once, and limits hold."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from barray.dump.validate import check_dump
from barray.market.commands import Load
from tests.coordinator.traded import TradedSession, settings_of
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
EVERYONE = {
    "name": "everyone",
    "universe": "everything",
    "at": ["10:00", "11:00", "14:00"],
    "where": "session_volume > 0",
    "rank": "session_volume",
    "keep": 6,
    "promote": {"full": 2, "evict": "rank", "light": 3},
    "carry": ["SMA(3)@5m"],
}
RAISES = """
from barray.scans import Scan, at, session_volume

class Raises(Scan):
    at = at("10:00", "11:00")
    where = session_volume() > 0
    uses = {"volume": session_volume()}
    def scan(self, panel):
        if panel.now.hour == 11:
            raise KeyError("lost")
        return panel["volume"]
"""


def run_scans(settings: dict[str, Any], folder: Path, text: str | None = None) -> tuple[TradedSession, dict[str, Any]]:
    """A whole day, and its dump, which is true: the bars were looked at again."""
    session = TradedSession(settings, text)

    async def day() -> Path:
        await session.begin()
        await session.coordinator.advance_to()
        await session.coordinator.end()
        return (await session.dump(folder))[0]

    path = asyncio.run(day())
    found = check_dump(path, config={name: one for name, one in settings.items() if name != "strategy"})
    assert (found.violations, found.unchecked) == ([], ())
    tree: dict[str, Any] = json.loads(path.read_bytes())
    return session, tree


def added(tree: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["at"], one["symbol"]) for one in tree["events"] if one["action"] == "add_symbol" and one["accepted"]]


def test_a_scan_that_raises_ends_that_scan_and_the_session_goes_on(universe: Path, tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text(RAISES)
    scans = [EVERYONE, {"path": str(tmp_path / "raises.py"), "name": "raises"}]
    _, tree = run_scans(settings_of(universe, "AAPL", scans=scans), tmp_path)
    told = {one["name"]: one for one in tree["scans"]["scans"]}
    assert (told["everyone"]["failure"], told["raises"]["failure"]) == (None, "KeyError: 'lost'")
    assert told["raises"]["failed_at"] == "2024-07-02T15:00:00Z"
    found = [[hits["scan"] for hits in step["hits"]] for step in tree["scans"]["steps"]]
    assert found == [["everyone", "raises"], ["everyone"], ["everyone"]]
    assert tree["session"]["now"] == tree["session"]["close"]


def test_what_two_scans_want_is_promoted_once_and_named_by_both(universe: Path, tmp_path: Path) -> None:
    scans = [EVERYONE, {**EVERYONE, "name": "others", "promote": {"full": 2, "evict": "rank", "light": 0}}]
    session, tree = run_scans(settings_of(universe, scans=scans), tmp_path)
    first = tree["scans"]["steps"][0]
    promoted = [did for did in first["did"] if did["what"] == "promote"]
    assert [did["by"] for did in promoted] == [["everyone", "others"]] * 2
    assert [symbol for at, symbol in added(tree) if at == first["at"]] == [did["symbol"] for did in promoted]
    loads = [{symbol for symbol, one in process.told if isinstance(one, Load)} for process in session.symbols.started]
    assert sum(map(len, loads)) == len(added(tree))


def test_limits_hold_where_everybody_hits_and_all_is_let_go_of_again(universe: Path, tmp_path: Path) -> None:
    text = HEAD + "class Counts(Strategy):\n    def on_window(self, view): print(len(view.symbols))\n"
    strategy = {"window": "30m"}
    settings = settings_of(universe, scans=[EVERYONE], strategy=strategy, account={"shared": True})
    session, tree = run_scans(settings, tmp_path, text)
    assert all(len(hits["symbols"]) > 6 for step in tree["scans"]["steps"] for hits in step["hits"])
    trading = session.coordinator.summary().trading
    assert trading is not None
    assert {line.text for line in trading.logs.lines} == {"2"}
    assert len(session.coordinator.symbols()) == 5
    kept = [visit for visit in tree["scans"]["visits"] if visit["until"] is None]
    assert len(kept) == 6


def test_a_symbol_that_the_config_names_is_neither_added_nor_let_go_of(universe: Path, tmp_path: Path) -> None:
    _, tree = run_scans(settings_of(universe, "AAPL", "MSFT", "NVDA", scans=[EVERYONE]), tmp_path)
    did = [did for step in tree["scans"]["steps"] for did in step["did"]]
    there = {one["symbol"] for one in did if one["there"]}
    assert there
    assert there <= {"AAPL", "MSFT", "NVDA"}
    assert not {one["symbol"] for one in tree["events"] if one["action"] == "remove_symbol"} & {"AAPL", "MSFT", "NVDA"}
