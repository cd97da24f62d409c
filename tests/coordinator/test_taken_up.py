"""A live day whose processes all died goes on: from its recording, and with what the vendor's history has."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.gate import Asked
from barray.coordinator.messages import AddBar, AddSymbol
from barray.dump.files import write_dumps
from barray.dump.validate import validate_session_dump
from barray.market.errors import ConfigError, DataError
from barray.trading.engine.recording import Recording, read_recording
from tests.coordinator.test_drivers import MINUTE_NS, OPEN, minute
from tests.coordinator.test_live_trading import TradedLive
from tests.trading.random_days import TEXTS
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
ADDS = """
class Adds(Strategy):
    def on_window(self, view):
        if view.minute == 20: view.add_symbols(['SPY', 'NOPE'])
        if view.minute in (30, 160) and 'SPY' in view.symbols: view.order('SPY', 2)
        if view.minute == 40: view.remove_symbol('SPY')
        if view.minute == 50: view.add_symbols(['SPY'])
        if view.minute == 55: view.add_adhoc_indicator('AAPL', 'SMA(7)@1m')
        if view.minute % 25 == 3: view.order('AAPL', 1)
"""


def begun(folder: Path, text: str, at: int = -1, **changes: Any) -> TradedLive:
    """A live session on which bars come late and wrong."""
    folder /= str(at)  # else its clock would stand where another's had come to
    folder.mkdir(parents=True)
    day = TradedLive(folder, text, begun=at, **changes)
    mishaps = {5: "late", 7: "twice", 9: "wrong", 60: "lost"}
    day.live.vendor.mishap = lambda symbol, start: mishaps.get((start - OPEN) // MINUTE_NS, "")
    return day


def died(day: TradedLive, at: int) -> Path:
    """Its recording, as it stood when all of it died so many minutes after the open."""

    async def part() -> None:
        await day.begin()
        await day.live.to(at)

    asyncio.run(part())
    return day.recording


def resumed(day: TradedLive, recording: Path, *asked: Asked) -> Path:
    """The rest of the day; its dump."""

    async def rest() -> Path:
        day.loop = asyncio.get_running_loop()
        await day.coordinator.begin(None, asked, str(recording))
        await day.live.to()
        await day.coordinator.end()
        summary, snapshots = day.coordinator.summary(), await day.coordinator.snapshots()
        (path,) = write_dumps(Path(day.config.export.directory), "live", ("json",), summary, lambda: snapshots)
        await day.coordinator.teardown(final=True)
        return path

    return asyncio.run(rest())


def read(recording: Path) -> Recording:
    with recording.open("rb") as lines:
        return read_recording(lines, str(recording))


@pytest.mark.parametrize("form", ["on_window", "on_bar", "signals", "adds"])
def test_it_decides_the_same_up_to_then_and_goes_on(form: str, tmp_path: Path) -> None:
    text = TEXTS.get(form, ADDS).replace('"G", "H", "NONE"', '"SPY", "NOPE"').replace('"G"', '"SPY"')
    own = {"strategy": {"parameters": {"seed": 7}, "form": form}} if form != "adds" else {}
    changes = {**own, "account": {"capital": 9_000, "shared": True}}
    recording = died(begun(tmp_path, HEAD + text, **changes), 130)
    whole = recording.read_bytes()
    recording.write_bytes(whole[: len(whole) - random.Random(form).randrange(1, 400)])
    before = read(recording)
    assert before.pages.decisions
    path = resumed(begun(tmp_path, HEAD + text, at=140, **changes), recording)
    assert validate_session_dump(path) == []
    after = read(recording)
    assert after.pages.decisions[: len(before.pages.decisions)] == before.pages.decisions
    assert max(one.at_ns for one in after.pages.decisions) > minute(200)
    trading = json.loads(path.read_bytes())["trading"]
    assert len(trading["decisions"]) == len(after.pages.decisions)
    again = begun(tmp_path / "again", HEAD + text, **changes)
    (tmp_path / "again/-1/out").mkdir()
    (tmp_path / "again/-1/out/x-recording.jsonl").write_bytes(recording.read_bytes())
    assert again.again().difference is None


def test_what_was_asked_for_is_there_again(tmp_path: Path) -> None:
    recording = died(begun(tmp_path, HEAD + ADDS), 52)
    values = {"start_ns": minute(3), "open": 5, "high": 9, "low": 1, "close": 4, "volume": 10}
    day = begun(tmp_path, HEAD + ADDS, at=60)
    asked = [AddSymbol("QQQ"), AddBar("TSLA", "1m", values)]
    path = resumed(day, recording, *(Asked("2024-07-03", 0, minute(20), one) for one in asked))
    document = json.loads(path.read_bytes())
    assert validate_session_dump(path) == []
    events = [(one["action"], one["symbol"], one["accepted"]) for one in document["events"]]
    assert ("add_bar", "TSLA", True) in events
    assert ("add_symbol", "SPY", True) in events, "which the strategy had asked for"


def test_a_strategy_that_decides_otherwise_is_refused_and_so_is_what_is_no_recording(tmp_path: Path) -> None:
    recording = died(begun(tmp_path, HEAD + ADDS), 90)
    other = HEAD + ADDS.replace("% 25 == 3", "% 25 == 4")
    with pytest.raises(ConfigError, match="does not come to what it had decided") as refused:
        resumed(begun(tmp_path, other, at=100), recording)
    assert refused.value.code == "checkpoint_differs"
    with pytest.raises(ConfigError, match="put the day's recording back"):
        resumed(begun(tmp_path, HEAD + ADDS, at=101), tmp_path / "nothing.jsonl")
    recording.write_text("x")
    with pytest.raises(DataError, match="no recording"):
        resumed(begun(tmp_path, HEAD + ADDS, at=102), recording)
