"""What `barray attach --watch` shows: in a terminal of any size, of any phase, and when it is left."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from barray.actors.symbol_actor import SymbolActor
from barray.cli.watch import table
from barray.market.commands import SnapshotTaken, TakeSnapshot
from barray.market.symbol_data import SymbolSessionData
from tests.market.builders import context_for, load_command, require, session_walk

WANTED = require("1m", specs=(), trailing_days=1)
CONTEXT = context_for(WANTED)
STATUS: dict[str, Any] = {
    "name": "watched",
    "phase": "running",
    "pace": "going",
    "progress": [12, 12],
    "session_date": "2024-07-02",
    "now": "2024-07-02T14:30:00Z",
    "full": [f"S{number:02}" for number in range(12)],
    "adhoc": [],
    "pending": [],
    "dropped": {"[red]NOPE": ["has no data for it; check the symbol, or add its data"]},
    "processes": 12,
    "restarts": 1,
    "fetching": None,
}


@pytest.fixture(scope="module")
def symbols() -> list[SymbolSessionData]:
    """Twelve, an hour after the open."""
    at_ns, found = CONTEXT.open_ns + 3600 * 10**9, []
    for seed, symbol in enumerate(STATUS["full"]):
        loaded = load_command(WANTED, CONTEXT, session_walk(CONTEXT, seed), at_ns=CONTEXT.open_ns)
        _, taken = SymbolActor().execute(((symbol, loaded), (symbol, TakeSnapshot(at_ns))))
        assert isinstance(taken, SnapshotTaken)
        found.append(taken.data)
    return found


def shown(status: dict[str, Any], snapshots: list[SymbolSessionData], width: int, height: int) -> list[str]:
    text = io.StringIO()
    Console(width=width, height=height, file=text, soft_wrap=True).print(table(status, snapshots, width, height))
    return [line.rstrip() for line in text.getvalue().splitlines()]


@pytest.mark.parametrize("width", [30, 40, 64, 80, 200])
@pytest.mark.parametrize("height", [5, 12, 24, 60])
def test_it_fits_the_terminal_and_says_what_matters_first(
    symbols: list[SymbolSessionData], width: int, height: int
) -> None:
    lines = shown(STATUS, symbols, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) < max(height, 8)
    text = " ".join(" ".join(lines).split())
    assert "watched · 2024-07-02 · running · going · 2024-07-02T14:30:00Z · 12 full · 1 dropped" in text
    assert "1 restarted" in text
    assert "[red]NOPE: dropped" in text
    if height >= 12:
        assert "1m 14:29Z" in text, "the last bar's start"
        assert "…" not in "".join(line for line in lines if "1m " in line), "numbers are whole"
    if height == 12:
        assert re.search(r"and \d+ more symbols", text)
    if height == 60:
        assert "more symbols" not in text


def test_what_has_no_symbols_of_its_own_is_shown_too() -> None:
    validating = {**STATUS, "phase": "validating", "progress": [3, 12], "full": [], "dropped": {}, "now": None}
    whole = "watched · 2024-07-02 · validating 3/12 · going · 12 processes · 1 restarted"
    assert shown(validating, [], 80, 24) == [whole]
    backtest = {"name": "tested", "phase": "running", "progress": [1, 2], "session_date": None, "now": None}
    assert shown({**backtest, "processes": 2, "restarts": 0}, [], 80, 24) == ["tested · running 1/2 · 2 processes"]
