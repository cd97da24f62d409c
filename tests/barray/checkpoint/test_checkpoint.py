"""Who may write a checkpoint, what it refuses to go on with, and what of it is never loaded."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import orjson
import pytest

from barray.checkpoint.checkpoint import Checkpoint, Run, stored
from barray.checkpoint.folder import Folder
from barray.checkpoint.frames import framed, opening, read_journal
from barray.checkpoint.kinds import DayDone, Done
from barray.checkpoint.seal import NAMED, key_path
from barray.market.errors import BarrayError, ConfigError, DataError
from tests.commands import run_command

MADE = {"session.start": "2024-07-01", "the code of the strategy": "a", "the version of numpy": "1"}
DAYS = [DayDone(f"2024-07-0{number}", {"symbols": {}}) for number in range(1, 6)]


def run(command: str = "run", **made: str) -> Run:
    return Run(command, {"config": "/x.yaml"}, {**MADE, **made})


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(NAMED, raising=False)


def test_what_was_done_is_there_for_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    for day in DAYS:
        with Checkpoint(folder, run()) as kept:
            assert list(kept.done) == DAYS[: len(kept.done)]
            kept.add([day])
    found = stored(folder)
    assert list(found.done) == DAYS
    assert found.told == "sessions: 5 done"
    assert found.finished is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_what_is_done_is_said_and_what_a_program_began_goes_on_in_the_program(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, Run("run", {}, {})) as kept:
        kept.add(DAYS[:2])
    shown = run_command("resume", tmp_path, "--show")
    assert (shown.exit_code, shown.stdout) == (0, "sessions: 2 done: 2024-07-01 2024-07-02\n")
    told = orjson.loads(run_command("resume", tmp_path, "--show", "--json").stdout)
    assert told == {"command": "run", "finished": False, "done": {"sessions": ["2024-07-01", "2024-07-02"]}}
    refused = run_command("resume", tmp_path)
    assert (refused.exit_code, "was begun by a program" in refused.output) == (2, True)


def test_where_nothing_was_begun_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is nothing to resume"):
        stored(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot write"):
        Checkpoint(Path("/proc/none"), run())


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"session.start": "2024-07-02"}, 'session.start was "2024-07-01" and is "2024-07-02"'),
        ({"symbols": "AAPL"}, 'symbols was not there and is "AAPL"'),
        ({"the code of the strategy": "b"}, "the code of the strategy changed"),
        ({"the version of numpy": "2"}, "the version of numpy was 1 and is 2"),
    ],
)
def test_another_run_is_refused_with_what_differs(tmp_path: Path, made: dict[str, str], told: str) -> None:
    Checkpoint(tmp_path, run()).close()
    with pytest.raises(ConfigError, match=told) as error:
        Checkpoint(tmp_path, run(**made))
    assert error.value.code == "checkpoint_differs"
    with pytest.raises(ConfigError, match="is of barray run, not of barray scan"):
        Checkpoint(tmp_path, run("scan"))
    Checkpoint(tmp_path, run()).close()


def _hold(folder: Path, told: multiprocessing.connection.Connection) -> None:
    with Checkpoint(folder, run()):
        told.send(os.getpid())
        signal.pause()


@pytest.mark.long
def test_of_two_that_resume_at_once_one_is_told_of_the_other_until_that_dies(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, there))
    other.start()
    pid = here.recv()
    with pytest.raises(ConfigError, match=f"process {pid} on .*, goes on with this run") as error:
        Checkpoint(tmp_path, run())
    assert error.value.code == "checkpoint_held"
    os.kill(pid, signal.SIGKILL)
    other.join()
    with Checkpoint(tmp_path, run()) as kept:
        kept.add(DAYS[:1])


def test_one_who_was_taken_for_dead_is_told_that_another_went_on_and_loses_it_nothing(tmp_path: Path) -> None:
    slow = Checkpoint(tmp_path, run())
    slow.add(DAYS[:1])
    (tmp_path / "lock").unlink()  # as where a share has lost its locks
    with Checkpoint(tmp_path, run()) as quick:
        assert list(quick.done) == DAYS[:1]
        quick.add(DAYS[1:2])
        with pytest.raises(ConfigError, match="goes on with this run"):
            slow.add(DAYS[1:2])
        quick.add(DAYS[2:3])
    slow.close()
    assert list(stored(tmp_path).done) == DAYS[:3]


def test_of_two_that_begin_the_same_segment_one_does(tmp_path: Path) -> None:
    one, other = Folder(tmp_path), Folder(tmp_path)
    one.take()
    content, _ = opening(1, read_journal({}, "x").end, "x")
    one.begin(1, content)
    with pytest.raises(ConfigError, match="goes on with this run"):
        other.begin(1, content)
    one.release()


def test_a_strategys_state_comes_back_and_only_the_last_are_kept(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, run()) as kept:
        for number, day in enumerate(DAYS):
            kept.add_with_state(day, b"state %d" % number)
    assert len(list(tmp_path.glob("state-*"))) == 2
    with Checkpoint(tmp_path, run()) as kept:
        assert [one.what for one in kept.done if isinstance(one, Done)] == DAYS
        assert kept.state(kept.done[-1].state) == b"state 4"
    assert key_path().stat().st_mode & 0o777 == 0o600


def last_state(folder: Path) -> Path:
    last = stored(folder).done[-1]
    assert isinstance(last, Done)
    return folder / last.state


def test_a_state_that_this_user_did_not_write_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "checkpoint"
    with Checkpoint(folder, run()) as kept:
        kept.add_with_state(DAYS[0], b"first")
        kept.add_with_state(DAYS[1], b"second")
    state = last_state(folder)
    first, second = (path.read_bytes() for path in sorted(folder.glob("state-*")))

    def refused() -> str:
        with Checkpoint(folder, run()) as kept, pytest.raises(BarrayError) as error:
            kept.state(state.name)
        return str(error.value)

    for content in (b"", b"x" * 80, second[:-1], bytes([second[0] ^ 1]) + second[1:], first):
        state.write_bytes(content)
        assert "is not loaded" in refused()
    state.write_bytes(second)
    with Checkpoint(tmp_path / "other", run()) as other:
        other.add_with_state(DAYS[0], b"second")
    state.write_bytes(last_state(tmp_path / "other").read_bytes())
    assert "is not loaded" in refused(), "it is another checkpoint's"
    state.unlink()
    assert "can't be read" in refused()
    state.write_bytes(second)
    key_path().chmod(0o640)
    assert "is not yours alone" in refused()
    monkeypatch.setenv(NAMED, str(tmp_path / "missing"))
    assert f"name it by {NAMED}" in refused()
    monkeypatch.setenv(NAMED, str(tmp_path / "another"))
    (tmp_path / "another").write_bytes(b"k" * 32)
    (tmp_path / "another").chmod(0o600)
    assert "is not loaded" in refused()


@pytest.mark.long
def test_a_writer_that_is_killed_at_any_byte_leaves_what_can_be_gone_on_with(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, run()) as kept:
        for day in DAYS[:3]:
            kept.add([day])
    segment = tmp_path / "00000001.journal"
    whole = segment.read_bytes()
    for size in range(0, len(whole), 23):
        for path in tmp_path.glob("*.journal"):
            path.unlink()
        segment.write_bytes(whole[:size])
        with Checkpoint(tmp_path, run()) as kept:
            done = list(kept.done)
            assert done == DAYS[: len(done)]
            kept.add(DAYS[len(done) :])
        assert list(stored(tmp_path).done) == DAYS


def test_a_disk_that_is_full_ends_the_run_and_leaves_a_whole_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoint(tmp_path, run())
    kept.add(DAYS[:1])
    real, room = os.write, 10

    def write(file: int, content: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        count = min(room, len(content))
        room -= count
        return real(file, bytes(content[:count]))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(ConfigError, match="No space left"):
            kept.add(DAYS[1:])
    with pytest.raises(RuntimeError, match="half a record"):
        kept.add(DAYS[1:])
    kept.close()
    assert list(stored(tmp_path).done) == DAYS[:1]


def test_damage_is_refused_with_the_place(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, run()) as kept:
        kept.add(DAYS)
    segment = tmp_path / "00000001.journal"
    damaged = bytearray(segment.read_bytes())
    damaged[300] ^= 4
    segment.write_bytes(damaged)
    for look in (lambda: stored(tmp_path), lambda: Checkpoint(tmp_path, run())):
        with pytest.raises(DataError, match=r"segment 1 .*, at byte ") as error:
            look()
        assert error.value.code == "checkpoint_damaged"
    assert framed([], kept._end) == (b"", kept._end)
