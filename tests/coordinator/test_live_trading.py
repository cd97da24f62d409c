"""A strategy in a live day: called once a window, by what is known then; recorded, and run again from that."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import barray
from barray.cli.app import app
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.coordinator.strategies import trading_in_sessions
from barray.coordinator.trading import Trading
from barray.dump.files import write_dumps
from barray.dump.validate import validate_session_dump
from barray.trading.engine.day_again import DayAgain, run_again
from barray.trading.engine.recording import read_recording
from barray.trading.strategy.source import StrategySource
from tests.coordinator.test_drivers import CALENDAR, MINUTE_NS, OPEN, Live, minute, minutes
from tests.coordinator.test_trading import LOOKS, OWN
from tests.coordinator.traded import Threads, TradedSession
from tests.trading.random_days import TEXTS
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
BUYS = """
class Buys(Strategy):
    def on_window(self, view):
        if view.minute in (5, 9): view.order('AAPL', 2)
"""


class TradedLive(TradedSession):
    """A live session in which a strategy trades; see Live and TradedSession."""

    def __init__(self, folder: Path, text: str, **changes: Any) -> None:
        live = Live(folder, export={"directory": str(folder / "out")}, **changes)
        self.live = live
        source = StrategySource("made_up.py", text)
        self.config, given = trading_in_sessions(live.coordinator._config, source)
        assert given is not None
        self.given = given
        self.symbols, self.traders = live.processes, Threads(kind=self._trader)
        trading = Trading(given, self.config.actors, self.traders, lambda: None, lambda data: tuple(data.values()))
        live.coordinator = self.coordinator = SessionCoordinator(
            self.config, CALENDAR, live.processes, live.vendor, trading
        )

    def day(self, *stops: int, die_at: int | None = None) -> Path:
        """The whole day; its dump."""

        async def whole() -> Path:
            await self.begin()
            for stop in stops:
                await self.live.to(stop)
                for process in self.traders.alive if stop == die_at else ():
                    process.fate = "dies"
            await self.live.to()
            await self.coordinator.end()
            summary, snapshots = self.coordinator.summary(), await self.coordinator.snapshots()
            folder = Path(self.config.export.directory)
            (path,) = write_dumps(folder, "live", ("json",), summary, lambda: snapshots)
            await self.coordinator.teardown(final=True)
            assert self.traders.alive == []
            return path

        return asyncio.run(whole())

    @property
    def recording(self) -> Path:
        (found,) = Path(self.config.export.directory).glob("*-recording.jsonl")
        return found

    def again(self) -> DayAgain:
        with self.recording.open("rb") as lines:
            return run_again(read_recording(lines, "it"), self.given)


@pytest.mark.parametrize("form", ["on_window", "on_bar", "signals"])
def test_whatever_comes_late_or_wrong_the_recording_decides_the_same(tmp_path: Path, form: str) -> None:
    text = HEAD + TEXTS[form].replace('"G", "H", "NONE"', '"SPY", "NOPE"').replace('"G"', '"SPY"')
    strategy = {"parameters": {"seed": 7}, "form": form}
    day = TradedLive(tmp_path, text, strategy=strategy, account={"capital": 9_000, "shared": True})
    mishaps = {5: "late", 7: "twice", 9: "wrong", 60: "lost", 100: "wrong"}
    day.live.vendor.mishap = lambda symbol, start: mishaps.get((start - OPEN) // MINUTE_NS, "")
    day.live.vendor.cut = minutes(120, 125)
    path = day.day(50, die_at=50)
    assert validate_session_dump(path) == []
    trading = json.loads(path.read_bytes())["trading"]
    assert trading["fills"]
    assert len(trading["revised"]) > 6
    again = day.again()
    assert len(again.then.decisions) == len(trading["decisions"]) > 10
    assert again.difference is None
    assert again.again.fills == again.then.fills
    assert again.corrected.decisions != again.again.decisions
    assert not again.code_changed


@pytest.mark.parametrize("form", ["on_window", "on_bar"])
def test_own_indicators_and_tables_go_along_with_what_comes_and_decide_the_same_again(
    tmp_path: Path, form: str
) -> None:
    (tmp_path / "scores.csv").write_text("symbol,known_at,score\nAAPL,2024-07-01,0.01\nMSFT,2024-07-01,-0.02\n")
    (tmp_path / "owns.py").write_text(HEAD + OWN + LOOKS[form])
    day = TradedLive(
        tmp_path,
        HEAD + OWN + LOOKS[form],
        tables={"scores": {"path": str(tmp_path / "scores.csv")}},
        strategy={"parameters": {"n": 5}, "form": form},
    )
    mishaps = {5: "late", 7: "twice", 9: "wrong", 60: "lost"}
    day.live.vendor.mishap = lambda symbol, start: mishaps.get((start - OPEN) // MINUTE_NS, "")
    assert validate_session_dump(day.day()) == []
    again = barray.replay_day(day.recording, tmp_path / "owns.py")
    assert again.difference is None
    assert len(again.then.decisions) > 5


def test_each_bar_is_recorded_as_it_came_and_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    text = HEAD + "class Quiet(Strategy):\n    def on_window(self, view): pass\n"
    day = TradedLive(tmp_path, text)
    day.live.vendor.mishap = lambda symbol, start: {9: "wrong"}.get((start - OPEN) // MINUTE_NS, "")
    day.day()
    lines = [json.loads(line) for line in day.recording.read_bytes().splitlines()]
    came = [
        (line["symbol"], version, received, line["at"])
        for line in lines
        if line["kind"] == "bars"
        for start, version, received in zip(line["start"], line["version"], line["received"], strict=True)
        if start == minute(9)
    ]
    assert [(symbol, version) for symbol, version, _, _ in came][:4] == [
        ("AAPL", 1),
        ("MSFT", 1),
        ("AAPL", 2),
        ("MSFT", 2),
    ]
    assert all(minute(10) <= received <= at + 2 * MINUTE_NS for _, _, received, at in came)
    assert sum(line["kind"] == "arrive" for line in lines) >= 210
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(day.recording.read_bytes()[:-7])
    with cut.open("rb") as opened:
        assert read_recording(opened, "it").steps


def test_another_strategy_is_told_where_it_parts_from_the_day(tmp_path: Path) -> None:
    text = HEAD + BUYS
    day = TradedLive(tmp_path, text)
    day.day()
    other = StrategySource("made_up.py", text.replace("(5, 9)", "(5, 11)"))
    _, given = trading_in_sessions(day.config.model_copy(update={"strategy": None}), other)
    assert given is not None
    with day.recording.open("rb") as lines:
        again = run_again(read_recording(lines, "it"), given)
    assert again.code_changed
    difference = again.difference
    assert difference is not None
    assert difference.number == 1
    assert difference.then is not None
    assert difference.now is not None
    assert (difference.then.at_ns, difference.now.at_ns) == (minute(9), minute(11))
    assert not barray.replay_day(day.recording, day.given.plan.source).code_changed


def test_the_command_says_identical_or_the_first_that_differs(tmp_path: Path) -> None:
    code = tmp_path / "buys.py"
    code.write_text(HEAD + BUYS)
    day = TradedLive(tmp_path, HEAD + BUYS)
    day.live.vendor.mishap = lambda symbol, start: {8: "wrong"}.get((start - OPEN) // MINUTE_NS, "")
    day.day()
    run = CliRunner()
    same = run.invoke(app, ["replay-day", str(day.recording), "--strategy", str(code)])
    assert same.exit_code == 0
    assert "identical decisions: 2" in same.output
    assert "What the corrections changed" in same.output
    code.write_text(HEAD + BUYS.replace("(5, 9)", "(5, 9, 20)"))
    other = run.invoke(app, ["replay-day", str(day.recording), "--strategy", str(code)])
    assert other.exit_code == 1
    assert "decision 3 differs: then nothing, now 2024-07-03T13:50:00Z order AAPL quantity 2" in other.output
    told = json.loads(run.invoke(app, ["replay-day", str(day.recording), "--strategy", str(code), "--json"]).stdout)
    assert (told["identical"], told["difference"]["number"], told["again"]["decisions"]) == (False, 2, 3)
    unnamed = run.invoke(app, ["replay-day", str(day.recording)])
    assert (unnamed.exit_code, "was recorded with a strategy that a program gave" in unnamed.output) == (2, True)
    assert run.invoke(app, ["replay-day", str(tmp_path / "nothing.jsonl")]).exit_code == 2
    assert run.invoke(app, ["replay-day", str(code)]).exit_code != 0


def test_begun_in_the_middle_the_strategy_is_called_from_then_on(tmp_path: Path) -> None:
    text = HEAD + "class Counts(Strategy):\n    def on_bar(self, ctx):\n        if ctx.bar % 50 == 0: ctx.buy(1)\n"
    day = TradedLive(tmp_path, text, begun=100)
    path = day.day()
    assert validate_session_dump(path) == []
    trading = json.loads(path.read_bytes())["trading"]
    assert trading["began"] == "2024-07-03T15:10:00Z"
    assert {one["at"] >= trading["began"] for one in trading["decisions"]} == {True}
    assert day.again().difference is None
