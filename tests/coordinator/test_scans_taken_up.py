"""A live day with scans whose processes all died goes on: it finds, promotes and decides as if it had not."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.day_recorder import DayRecorder
from barray.coordinator.gate import Asked
from barray.coordinator.messages import AddSymbol
from barray.coordinator.prepare_scans import with_scans
from barray.coordinator.scans_again import run_scans_again
from barray.dump.files import write_dumps
from barray.dump.validate import validate_session_dump
from barray.market.bars import format_ns
from barray.market.errors import ConfigError
from barray.trading.engine.day_again import run_again
from tests.coordinator.test_drivers import CALENDAR, CONTEXT, MINUTE_NS, OPEN, minute
from tests.coordinator.test_live_scanning import BUYS, ScannedLive, edited, found_at, mishap
from tests.coordinator.test_taken_up import read, resumed
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
MEDDLES = (
    HEAD
    + BUYS
    + """
        if view.minute == 25 and view.symbols: view.remove_symbol(view.symbols[0])
        if view.minute == 61: view.add_symbols(['S0', 'S3'])
        if view.minute == 95: view.remove_symbol('S3')
"""
)
SCHEDULE = [{"at": "10:02", "add_symbol": "S2"}, {"at": "11:00", "remove_symbol": "S2"}]
ASKED = Asked("2024-07-03", 1, minute(7), AddSymbol("S4"))


class Whole:
    """A day on which nothing died: its recording and its dump's tree. One asked for S4 at its minute 7."""

    def __init__(self, folder: Path, text: str | None, mishaps: Any = None, **changes: Any) -> None:
        self.text, self.changes, self.mishaps = text, changes, mishaps
        day = self.day(folder, -1)

        async def played() -> Path:
            await day.begin()
            await day.live.to(7)
            await day.coordinator.change(ASKED.what)
            await day.live.to()
            await day.coordinator.end()
            summary, snapshots = day.coordinator.summary(), await day.coordinator.snapshots()
            (path,) = write_dumps(folder, "live", ("json",), summary, lambda: snapshots)
            await day.coordinator.teardown(final=True)
            return path

        path = asyncio.run(played())
        assert validate_session_dump(path) == []
        self.tree = json.loads(path.read_bytes())
        self.recording = day.recording.read_bytes()

    def day(self, folder: Path, begun: int) -> ScannedLive:
        day = ScannedLive(folder, self.text, begun=begun, **self.changes)
        if self.mishaps is not None:
            day.live.vendor.mishap = self.mishaps
        return day

    def cut(self, rng: random.Random, first: int) -> tuple[bytes, int]:
        """What was written by the death in some minute from `first` on, to any byte; and the minute."""
        ends = [0]
        for line in self.recording.splitlines(keepends=True):
            ends.append(ends[-1] + len(line))
        told = [json.loads(line).get("at", OPEN) for line in self.recording.splitlines()]
        chosen = rng.choice([n for n, at in enumerate(told) if minute(first) <= at < minute(200)])
        return self.recording[: rng.randrange(ends[chosen], ends[chosen + 1])], (max(told[:chosen]) - OPEN) // MINUTE_NS

    def resumed(self, folder: Path, written: bytes, at: int) -> tuple[ScannedLive, dict[str, Any]]:
        """The rest of the day, gone on with at a minute; its dump, which is true, as is its recording."""
        folder.mkdir(parents=True)
        day = self.day(folder, at)
        recording = folder / "out" / "live-2024-07-03-recording.jsonl"
        recording.parent.mkdir()
        recording.write_bytes(written)
        path = resumed(day, recording, ASKED)
        assert validate_session_dump(path) == []
        again = read(recording)
        _, prepared = with_scans(day.config, lambda *_: CALENDAR)
        assert prepared is not None
        assert run_scans_again(again, prepared).difference is None
        if day.given is not None:
            assert run_again(again, day.given).difference is None
        return day, json.loads(path.read_bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"), MEDDLES, schedule=SCHEDULE)


def told(tree: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    columns = ("at", "action", "symbol", "by", "accepted", "reason", "detail")
    return [tuple(one[name] for name in columns) for one in tree["events"] if one["action"] != "resume"]


@pytest.mark.parametrize("seed", range(2))
def test_wherever_its_recording_is_cut_the_day_comes_to_the_same(whole: Whole, tmp_path: Path, seed: int) -> None:
    day, tree = whole.resumed(tmp_path / "resumed", *whole.cut(random.Random(seed), 10 + 90 * seed))
    assert tree["scans"] == whole.tree["scans"]
    for name in ("decisions", "fills", "positions", "changes"):
        assert tree["trading"][name] == whole.tree["trading"][name], name
    assert told(tree) == told(whole.tree)
    assert tree["symbols"].keys() == whole.tree["symbols"].keys()
    looks = [
        [line for line in map(json.loads, written.splitlines()) if line["kind"] == "look"]
        for written in (day.recording.read_bytes(), whole.recording)
    ]
    assert looks[0] == looks[1]


def test_a_recording_is_gone_on_with_behind_the_last_that_says_something(whole: Whole, tmp_path: Path) -> None:
    config, rng = whole.day(tmp_path, -1).config, random.Random(3)
    (tmp_path / "all").write_bytes(whole.recording)
    every = [(type(one), one.at_ns, one.line) for one in read(tmp_path / "all").in_order]
    for _ in range(40):
        written, _ = whole.cut(rng, 10)
        path = tmp_path / "cut.jsonl"
        path.write_bytes(written)
        recorder = DayRecorder(config, CONTEXT, "UTC", "", "1m", path)
        recorder.close()
        earlier = recorder.pop_taken_up()
        assert earlier is not None
        assert whole.recording.startswith(path.read_bytes())
        assert len(path.read_bytes()) > len(written) - 20_000
        found = [(type(one), one.at_ns, one.line) for one in earlier.in_order]
        assert found == every[: len(found)]
        assert recorder.pop_taken_up() is None


def test_times_of_scans_that_passed_meanwhile_are_made_up_for(tmp_path: Path) -> None:
    whole = Whole(tmp_path / "whole", None)
    written, at = whole.cut(random.Random(1), 60)
    day, tree = whole.resumed(tmp_path / "resumed", written, at + 34)
    assert tree["scans"] == whole.tree["scans"]
    assert [line for line in told(tree) if line[3] == "scanner"] == [
        line for line in told(whole.tree) if line[3] == "scanner"
    ]
    resumes = [one for one in tree["events"] if one["action"] == "resume"]
    assert len(resumes) == 1
    third, last = whole.resumed(tmp_path / "third", day.recording.read_bytes(), 205)
    assert last["scans"] == whole.tree["scans"]
    assert len(third.scanners.started) == 1


def test_a_day_whose_close_passed_meanwhile_is_ended(whole: Whole, tmp_path: Path) -> None:
    written, at = whole.cut(random.Random(8), 150)
    _, tree = whole.resumed(tmp_path / "resumed", written, 230)
    assert tree["session"]["now"] == tree["session"]["close"]
    assert [one["hits"] for one in tree["scans"]["steps"]] == [one["hits"] for one in whole.tree["scans"]["steps"]]
    decided = [one for one in whole.tree["trading"]["decisions"] if one["at"] < format_ns(minute(at))]
    assert [one for one in tree["trading"]["decisions"] if one["at"] < format_ns(minute(at))] == decided
    assert tree["trading"]["until"] == tree["session"]["close"]


def test_what_came_late_or_wrong_had_been_seen_so_and_what_history_says_is_seen_now(tmp_path: Path) -> None:
    whole = Whole(tmp_path / "whole", MEDDLES, mishap)
    written, at = whole.cut(random.Random(4), 100)
    _, tree = whole.resumed(tmp_path / "resumed", written, at + 3)
    before, after = (found_at(one) for one in (whole.tree, tree))
    assert list(after) == list(before)
    assert {at_ns: own for at_ns, own in after.items() if at_ns <= minute(at)} == {
        at_ns: own for at_ns, own in before.items() if at_ns <= minute(at)
    }


def test_scans_that_find_otherwise_are_refused(whole: Whole, tmp_path: Path) -> None:
    def another_hit(line: dict[str, Any]) -> bool:
        if line["kind"] != "look" or line["at"] != minute(50):
            return False
        line["step"]["hits"][0]["symbols"].reverse()
        return True

    (tmp_path / "it.jsonl").write_bytes(whole.recording)
    other = edited(tmp_path / "it.jsonl", another_hit).read_bytes()
    with pytest.raises(ConfigError, match="at 2024-07-03T14:20:00Z, in hits of rising") as refused:
        whole.resumed(tmp_path / "resumed", other, 205)
    assert refused.value.code == "checkpoint_differs"


def test_where_scans_can_not_look_any_more_what_they_had_promoted_stays(tmp_path: Path) -> None:
    whole = Whole(tmp_path / "whole", None, actors={"max_restarts": 0})
    written, at = whole.cut(random.Random(2), 60)
    (tmp_path / "resumed").mkdir()
    day, recording = whole.day(tmp_path / "resumed", at), tmp_path / "it.jsonl"
    recording.write_bytes(written)
    day.scanners.fates = ["dies"]
    path = resumed(day, recording, ASKED)
    assert validate_session_dump(path) == []
    scans = json.loads(path.read_bytes())["scans"]
    assert "its process was lost" in scans["error"]
    assert scans["steps"] == whole.tree["scans"]["steps"][: len(scans["steps"])] != []


def test_a_promoted_symbol_that_can_not_be_had_any_more_is_dropped_and_the_day_goes_on(
    whole: Whole, tmp_path: Path
) -> None:
    written, at = whole.cut(random.Random(5), 100)
    (tmp_path / "resumed").mkdir()
    day, recording = whole.day(tmp_path / "resumed", at), tmp_path / "it.jsonl"
    recording.write_bytes(written)
    first = read(recording).scanned.steps[0]["did"]
    promoted = next(one["symbol"] for one in first if one["what"] == "promote" and not one["there"])
    day.symbols.fates = ["", *["dies"] * 4]  # that of S4 lives
    path = resumed(day, recording, ASKED)
    assert validate_session_dump(path) == []
    tree = json.loads(path.read_bytes())
    assert ("drop", promoted) in [(one["action"], one["symbol"]) for one in tree["events"]]
    assert len(tree["scans"]["steps"]) == 21
