"""Scans in a live day: they see what has come, promote, and a strategy trades; recorded, and run again from that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

import barray
from barray.actors.scan_actor import ScanActor
from barray.cli.app import app
from barray.coordinator.prepare_scans import with_scans
from barray.coordinator.scanning import Scanning
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.coordinator.strategies import trading_in_sessions
from barray.coordinator.trading import Trading
from barray.dump.files import write_dumps
from barray.dump.validate import check_dump
from barray.market.bars import Bar, Bars
from barray.market.errors import NoDataError
from barray.trading.engine.recording import Scanned, read_recording
from barray.trading.strategy.source import StrategySource
from tests.coordinator.processes import Processes
from tests.coordinator.test_drivers import CALENDAR, CONTEXT, MINUTE_NS, OPEN, Live, minute, minutes
from tests.coordinator.traded import Threads, TradedSession
from tests.market.builders import session_walk
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
SYMBOLS = tuple(f"S{i}" for i in range(7))
TRUTH = {symbol: session_walk(CONTEXT, 20 + seed) for seed, symbol in enumerate(SYMBOLS)}
RISING = {
    "name": "rising",
    "universe": list(SYMBOLS),
    "at": {"every": "10m", "since": "09:40"},
    "where": ["session_volume > 0", "SMA(3)@5m > 0"],
    "rank": "change_since_open",
    "keep": {"top": 3, "leave_below": 4},
    "promote": {"full": 2, "evict": "rank", "light": 1},
    "carry": ["SMA(3)@5m"],
}
BUYS = """
class Buys(Strategy):
    def on_window(self, view):
        for symbol in view.symbols:
            if view.minute % 15 == 0 and symbol not in view.positions: view.order(symbol, 2)
        if view.minute % 40 == 39:
            for symbol in view.positions: view.order_target(symbol, 0)
"""


class ScannedLive(TradedSession):
    """A live session with scans, and a strategy `text` if there is one; see Live and TradedSession."""

    def __init__(self, folder: Path, text: str | None = HEAD + BUYS, **changes: Any) -> None:
        changes = {"symbols": [], "scans": [RISING], "account": {"shared": True}, **changes}
        live = Live(folder, export={"directory": str(folder / "out")}, **changes)
        self.live, self.folder = live, folder
        live.vendor.bars = TRUTH
        source = None if text is None else StrategySource("made_up.py", text)
        chosen, self.given = trading_in_sessions(live.coordinator._config, source)
        self.config, prepared = with_scans(chosen, lambda *_: CALENDAR)
        assert prepared is not None
        actors = self.config.actors
        self.symbols, self.traders, self.scanners = (
            live.processes,
            Threads(kind=self._trader),
            Processes(kind=ScanActor),
        )
        trading = None
        if self.given is not None:
            trading = Trading(self.given, actors, self.traders, lambda: None, lambda data: tuple(data.values()))
        scanning = Scanning(prepared, actors, self.scanners)
        live.coordinator = self.coordinator = SessionCoordinator(
            self.config, CALENDAR, live.processes, live.vendor, trading, scanning
        )

    def day(self, *stops: int, then: Callable[[int], None] = lambda stop: None) -> dict[str, Any]:
        """The whole day; its dump, which is true."""

        async def whole() -> Path:
            await self.begin()
            for stop in stops:
                await self.live.to(stop)
                then(stop)
            await self.live.to()
            await self.coordinator.end()
            summary, snapshots = self.coordinator.summary(), await self.coordinator.snapshots()
            (path,) = write_dumps(self.folder / "out", "live", ("json",), summary, lambda: snapshots)
            await self.coordinator.teardown(final=True)
            assert self.scanners.alive == self.traders.alive == self.symbols.alive == []
            return path

        path = asyncio.run(whole())
        assert check_dump(path).violations == []
        tree: dict[str, Any] = json.loads(path.read_bytes())
        return tree

    @property
    def recording(self) -> Path:
        (found,) = Path(self.config.export.directory).glob("*-recording.jsonl")
        return found


def change_since_open(symbol: str, at_ns: int, came: Callable[[str, int], Bars]) -> float:
    own = came(symbol, at_ns)
    return float(own.close[-1] / own.open[0] - 1)


def well(symbol: str, at_ns: int) -> Bars:
    own = TRUTH[symbol]
    return own.take((own.start_ns >= OPEN) & (own.start_ns + MINUTE_NS <= at_ns))


def found_at(tree: dict[str, Any]) -> dict[int, list[str]]:
    steps = tree["scans"]["steps"]
    return {int(np.datetime64(one["at"][:-1], "ns").astype(np.int64)): one["hits"][0]["symbols"] for one in steps}


def test_what_is_found_is_what_has_come_and_it_is_promoted_and_traded(tmp_path: Path) -> None:
    day = ScannedLive(tmp_path)
    tree = day.day()
    found = found_at(tree)
    assert list(found) == [minute(count) for count in range(10, 211, 10)]
    for at_ns, symbols in found.items():
        assert symbols == sorted(SYMBOLS, key=lambda symbol: -change_since_open(symbol, at_ns, well))
    first = tree["scans"]["steps"][0]
    assert [one["what"] for one in first["did"]] == ["promote", "promote", "add"]
    fills = {one["symbol"] for one in tree["trading"]["fills"]}
    assert set(found[minute(10)][:2]) <= fills <= set(SYMBOLS)
    assert tree["scans"]["live"]
    assert (tree["scans"]["error"], tree["scans"]["missing"]) == (None, [])
    [dump] = (tmp_path / "out").glob("live-*.json")
    checked = check_dump(dump, config=day.config)
    assert checked.violations == []
    [unchecked] = checked.unchecked
    assert "barray replay-day scans them again" in str(unchecked)


RAISES = """
from barray.scans import Scan, every, session_volume, symbols

class Raises(Scan):
    universe = symbols("S0", "S1")
    at = every("10m")
    where = session_volume() > 0
    uses = {"volume": session_volume()}
    def scan(self, panel):
        if panel.now.hour == 11:
            raise KeyError("lost")
        return panel["volume"]
"""
MISHAPS = {12: "late", 17: "twice", 19: "wrong", 29: "late", 33: "lost", 59: "wrong"}


def mishap(symbol: str, start_ns: int) -> str:
    """The minutes that scans see last among them."""
    return MISHAPS.get((start_ns - OPEN) // MINUTE_NS + int(symbol[1:]) % 2, "")


def as_it_came(scanned: Scanned) -> Callable[[str, int], Bars]:
    """What was known by a time, by the recording: the last version of each bar."""

    def known(symbol: str, at_ns: int) -> Bars:
        who = scanned.universe.index(symbol)
        bars: dict[int, Bar] = {}
        for batch in (one for look in scanned.looks if look.at_ns <= at_ns for one in look.bars):
            own = batch.tape.bars.take(batch.tape.who == who)
            bars |= {own[row].start_ns: own[row] for row in range(len(own))}
        return Bars.of([bars[start] for start in sorted(bars) if OPEN <= start <= at_ns - MINUTE_NS])

    return known


def test_late_corrected_doubled_and_lost_bars_are_seen_as_they_were_known_then(tmp_path: Path) -> None:
    day = ScannedLive(tmp_path)
    day.live.vendor.mishap, day.live.vendor.cut = mishap, minutes(84, 87)
    tree = day.day()
    with day.recording.open("rb") as lines:
        scanned = read_recording(lines, "it").scanned
    known = as_it_came(scanned)
    for at_ns, symbols in found_at(tree).items():
        assert symbols == sorted(SYMBOLS, key=lambda symbol: -change_since_open(symbol, at_ns, known))
    assert [one["at"] for one in scanned.steps] == [one["at"] for one in tree["scans"]["steps"]]
    seen = {at_ns: {s: known(s, at_ns).equals(well(s, at_ns)) for s in SYMBOLS} for at_ns in found_at(tree)}
    assert {all(own.values()) for own in seen.values()} == {True, False}
    assert not any(seen[minute(30)][symbol] for symbol in SYMBOLS if int(symbol[1:]) % 2 == 0)
    for symbol in SYMBOLS:  # after the cut history fills the universe's bars, too
        held, true = (bars(symbol, minute(110)) for bars in (known, well))
        assert held.take(held.start_ns >= minute(80)).equals(true.take(true.start_ns >= minute(80)))
    for one in scanned.looked_at:
        assert (one.received_ns >= one.tape.bars.start_ns + MINUTE_NS).all()


def test_a_scan_that_raises_ends_and_the_others_and_the_session_go_on(tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text(RAISES)
    scans = [RISING, {"path": str(tmp_path / "raises.py"), "name": "raises"}]
    tree = ScannedLive(tmp_path, None, scans=scans).day()
    told = {one["name"]: one for one in tree["scans"]["scans"]}
    assert (told["rising"]["failure"], told["raises"]["failure"]) == (None, "KeyError: 'lost'")
    assert told["raises"]["failed_at"] == "2024-07-03T15:00:00Z"
    found = [[hits["scan"] for hits in step["hits"]] for step in tree["scans"]["steps"]]
    assert found == [["rising", "raises"]] * 8 + [["rising"]] * 13
    assert tree["session"]["now"] == tree["session"]["close"]


def test_a_scan_process_that_dies_comes_back_and_finds_the_same(tmp_path: Path) -> None:
    calm, struck = ScannedLive(tmp_path / "calm"), ScannedLive(tmp_path / "struck")
    for day in (calm, struck):
        day.live.vendor.mishap = mishap

    def strike(stop: int) -> None:
        for process in struck.scanners.alive:
            process.fate = "dies"

    first, second = calm.day(45, 95), struck.day(45, 95, then=strike)
    assert len(struck.scanners.started) == 3
    assert second["scans"] == first["scans"]
    assert second["trading"]["fills"] == first["trading"]["fills"]


def test_processes_that_are_lost_for_good_end_scans_and_not_the_session(tmp_path: Path) -> None:
    day = ScannedLive(tmp_path, actors={"max_restarts": 0})

    def strike(stop: int) -> None:
        for process in day.scanners.alive:
            process.fate = "dies"

    tree = day.day(45, then=strike)
    assert "its process was lost" in tree["scans"]["error"]
    assert len(tree["scans"]["steps"]) == 4
    assert tree["trading"]["until"] == tree["session"]["close"]


def test_a_symbol_that_the_vendor_does_not_know_is_missing_and_asked_for_no_more(tmp_path: Path) -> None:
    day = ScannedLive(tmp_path, None, scans=[{**RISING, "universe": [*SYMBOLS, "NOPE"]}])
    day.live.vendor.cut = minutes(84, 87)
    tree = day.day()
    assert (tree["scans"]["missing"], tree["scans"]["error"]) == (["NOPE"], None)
    asked = [symbols for symbols, _ in day.live.vendor.asked if "NOPE" in symbols]
    assert len(asked) == 1
    assert day.live.vendor.wanted == set(SYMBOLS)
    assert len([symbols for symbols, _ in day.live.vendor.asked if set(SYMBOLS) <= set(symbols)]) < 8


def test_begun_in_the_middle_scans_see_the_session_so_far(tmp_path: Path) -> None:
    day = ScannedLive(tmp_path, begun=60)
    tree = day.day()
    found = found_at(tree)
    assert list(found) == [minute(count) for count in range(60, 211, 10)]
    for at_ns, symbols in found.items():
        assert symbols == sorted(SYMBOLS, key=lambda symbol: -change_since_open(symbol, at_ns, well))


def test_everything_in_the_store_is_nothing_before_something_was_fetched(tmp_path: Path) -> None:
    scan = {name: one for name, one in RISING.items() if name != "universe"}
    with pytest.raises(NoDataError, match="nothing was fetched yet"):
        ScannedLive(tmp_path, None, scans=[scan]).day()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> ScannedLive:
    """A day of mishaps, with a strategy from a file."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "buys.py").write_text(HEAD + BUYS)
    day = ScannedLive(folder, None, strategy={"path": str(folder / "buys.py")})
    day.live.vendor.mishap = mishap
    day.day()
    return day


def test_the_recording_finds_and_decides_the_same_again_and_says_what_corrections_changed(
    recorded: ScannedLive,
) -> None:
    again = barray.replay_day(recorded.recording)
    assert again.identical
    assert again.scans is not None
    assert len(again.scans.again) == 21
    assert len(again.then.decisions) > 5
    assert again.scans.corrected != again.scans.again
    told = CliRunner().invoke(app, ["replay-day", str(recorded.recording)])
    assert told.exit_code == 0, told.output
    assert "identical hits of scans, at 21 times" in told.output
    assert f"identical decisions: {len(again.then.decisions)}" in told.output
    assert "What they changed of scans" in told.output


def edited(recording: Path, change: Callable[[dict[str, Any]], bool]) -> Path:
    """A copy whose first line that can be changed so is."""
    lines = [json.loads(line) for line in recording.read_bytes().splitlines()]
    next(line for line in lines if change(line))
    copy = recording.with_name("edited.jsonl")
    copy.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return copy


def test_a_recording_that_was_edited_is_told_by_the_first_difference(recorded: ScannedLive) -> None:
    def another_close(line: dict[str, Any]) -> bool:
        if line["kind"] != "looked_at" or line["at"] != minute(30):
            return False
        line["close"] = [value * 1.001 * (1 + who) for value, who in zip(line["close"], line["who"], strict=True)]
        line["high"] = [max(pair) for pair in zip(line["high"], line["close"], strict=True)]
        return True

    def another_hit(line: dict[str, Any]) -> bool:
        if line["kind"] != "look" or line["at"] != minute(50):
            return False
        line["step"]["hits"][0]["symbols"].reverse()
        return True

    def refused(line: dict[str, Any]) -> bool:
        if line["kind"] != "look":
            return False
        line["step"]["did"].pop()
        return True

    run = CliRunner()
    for change, said in (
        (another_close, "scans differ at 2024-07-03T14:00:00Z, in hits of rising"),
        (another_hit, "scans differ at 2024-07-03T14:20:00Z, in hits of rising"),
        (refused, "scans differ at 2024-07-03T13:40:00Z, in what was asked for: then nothing, now add S"),
    ):
        path = edited(recorded.recording, change)
        told = run.invoke(app, ["replay-day", str(path)])
        assert told.exit_code == 1
        assert said in told.output.replace("\n", " ")
        tree = json.loads(run.invoke(app, ["replay-day", str(path), "--json"]).stdout)
        assert (tree["identical"], tree["scans"]["identical"], tree["difference"]) == (False, False, None)


def test_a_day_of_scans_alone_is_recorded_and_run_again(tmp_path: Path) -> None:
    day = ScannedLive(tmp_path, None)
    day.day()
    again = barray.replay_day(day.recording)
    assert again.identical
    assert again.scans is not None
    assert again.scans.again
    assert not again.then.decisions


def test_with_corrected_bars_the_strategy_trades_whom_scans_would_have_found_then(tmp_path: Path) -> None:
    volume = {symbol: float(well(symbol, minute(10)).volume.sum()) for symbol in SYMBOLS}
    busiest = sorted(SYMBOLS, key=lambda symbol: -volume[symbol])
    (tmp_path / "buys.py").write_text(HEAD + BUYS)
    scan = {**RISING, "rank": "session_volume", "at": "09:40"}
    day = ScannedLive(tmp_path, None, scans=[scan], strategy={"path": str(tmp_path / "buys.py")})
    missed = set(range(1, 10))
    day.live.vendor.mishap = lambda symbol, start: (
        "lost" if symbol == busiest[0] and (start - OPEN) // MINUTE_NS in missed else ""
    )  # history has them at the close
    day.day()
    again = barray.replay_day(day.recording)
    assert again.identical
    assert again.scans is not None
    assert [again.scans.full[0][1], again.scans.full_corrected[0][1]] == [set(busiest[1:3]), set(busiest[:2])]
    traded = [{one.symbol for one in pages.fills} for pages in (again.then, again.again, again.corrected)]
    assert traded == [set(busiest[1:3]), set(busiest[1:3]), set(busiest[:2])]
