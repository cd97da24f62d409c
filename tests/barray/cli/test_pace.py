"""A running session held, stepped, resumed, watched and stopped from a second terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from barray.attached import attach
from barray.coordinator.runtime import leave_ray
from tests.barray.checkpoint.test_runs import cut
from tests.barray.cli.test_sessions import BARRAY, barray, start, wait_for_phase, write_config
from tests.commands import run_command
from tests.sessions import family, wait_until, without_agents

pytestmark = pytest.mark.ray


@pytest.fixture
def held(universe: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A session of two dates that takes its time; ended, if it still runs."""
    path = write_config(tmp_path, universe, "held", pause_s=0.2)
    path.write_text(path.read_text().replace("{start: 2024-07-02}", "{start: 2024-07-02, end: 2024-07-03}"))
    process = start(path, "--json", "--out", str(tmp_path / "out"))
    wait_for_phase(process, "running")
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def asked(*command: str) -> dict[str, str]:
    result = run_command("attach", *command, "--json")
    assert result.exit_code == 0, result.stderr
    told: dict[str, str] = json.loads(result.stdout)
    return told


def test_pause_step_resume_watch_and_stop_which_ends_it_with_a_dump_and_an_exit_code_of_its_own(
    held: subprocess.Popen[str], tmp_path: Path
) -> None:
    watching = subprocess.Popen([*BARRAY, "attach", "--watch", "--every", "0.1"], stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("held 2024-07-02 running going")
    paused = asked("pause")
    assert (paused["pace"], asked("status")["now"]) == ("paused", paused["now"])
    minute = int(paused["now"][14:16])
    assert int(asked("step")["now"][14:16]) == (minute + 1) % 60
    assert asked("resume")["pace"] == "going"
    again = barray("attach", "resume", "--json")
    assert again.returncode == 1
    assert "nothing to resume" in json.loads(again.stdout)["error"]
    assert asked("stop", "--reason", "seen enough")["pace"] == "stopped"
    printed, said = held.communicate(timeout=60)
    assert held.returncode == 4, said
    first, second = json.loads(printed)["sessions"]
    assert (first["stopped"], second["error"]["code"]) == ("seen enough", "stopped")
    assert first["now"] < "2024-07-02T20:00"
    (dump,) = first["files"]
    assert barray("validate-dump", dump).returncode == 0
    assert json.loads(Path(dump).read_text())["events"][-1]["reason"] == "seen enough"
    shown, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert {"paused", "stopped"} <= set(shown.split())


def left_alone(session: str) -> str:
    """What a terminal shows of one who watches and then presses Ctrl-C."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
    command = [*BARRAY, "attach", "--watch", "--every", "0.1", "--session", session]
    seen = {**os.environ, "TERM": "xterm"}
    watching = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=seen)
    os.close(theirs)
    shown, end_s = "", time.monotonic() + 60
    while "MSFT" not in shown and time.monotonic() < end_s:
        shown += os.read(ours, 4096).decode(errors="replace")
    watching.send_signal(signal.SIGINT)
    with suppress(OSError):  # the other side is closed
        while part := os.read(ours, 4096):
            shown += part.decode(errors="replace")
    os.close(ours)
    assert watching.wait(30) == 130
    return shown


def test_who_watches_leaves_a_session_alone_and_one_whose_driver_dies_is_gone_with_all_its_processes(
    held: subprocess.Popen[str],
) -> None:
    shown = left_alone("held")
    assert "held · 2024-07-02 · running · going" in shown
    assert "interrupted; the session goes on" in shown
    assert asked("pause")["pace"] == "paused"
    relatives = family(held.pid)
    os.kill(held.pid, signal.SIGKILL)
    held.wait(10)
    wait_until(lambda: not without_agents(relatives))
    assert "no sessions run" in barray("attach", "resume").stderr


def test_what_was_asked_of_a_day_that_is_resumed_is_done_again(universe: Path, tmp_path: Path) -> None:
    kept, out, stopped = tmp_path / "kept", tmp_path / "out", tmp_path / "stopped"
    process = start(write_config(tmp_path, universe, "kept", pause_s=0.2), "--checkpoint", str(kept), "--out", str(out))
    wait_for_phase(process, "running")
    session = attach("kept")
    try:
        session.pause()
        assert session.add_symbol("TSLA")
        values = {"timestamp": "2024-07-02T13:30:00Z", "open": 9, "high": 9.5, "low": 8.5, "close": 9.25, "volume": 100}
        assert session.add_adhoc_bar("SPY", "1m", values)
        session.step()
        assert session.remove_symbol("MSFT")
        session.resume()
        session.stop("seen enough")
    finally:
        leave_ray()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 4, said
    (dump,) = out.glob("*.json")
    whole = dump.read_bytes()
    dump.unlink()
    shutil.copytree(kept, stopped)
    cut(stopped, 7, step=7)  # as if it had died before its end was told
    resumed = barray("resume", stopped, "--quiet")
    assert "resuming barray run" in resumed.stderr
    assert resumed.stderr.splitlines()[0].endswith("requests: 7 done")
    assert resumed.returncode == 4, resumed.stderr
    assert dump.read_bytes() == whole
    config = tmp_path / "session.yaml"
    config.write_text(config.read_text().replace("pause_s: 0.2", "pause_s: 0"))
    resumed = barray("resume", kept, "--quiet")  # whose stop was told: it goes on
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads(dump.read_text())
    assert document["events"] == [one for one in json.loads(whole)["events"] if one["action"] != "stop"]
    assert document["session"]["now"] == "2024-07-02T20:00:00Z"
