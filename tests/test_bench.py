"""The measurements can be run: each command starts, and the quick ones, made small, print their one line."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cluster_troubles import Drawn, Hit, summary
from bench.processes import left_of, send, started_by
from bench.troubles import Outcome

ROOT = Path(__file__).parents[1]
COMMANDS = [
    path.stem for path in sorted((ROOT / "bench").glob("*.py")) if 'if __name__ == "__main__"' in path.read_text()
]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_says_what_it_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"bench.{name}", raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"bench.{name}", run_name="__main__")
    assert not end.value.code
    assert "options:" in capsys.readouterr().out


def test_each_stands_in_their_readme() -> None:
    readme = (ROOT / "bench/README.md").read_text()
    assert [name for name in COMMANDS if f"`bench.{name}" not in readme] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "figure"),
    [
        (("backtest_engine", "--symbols", "2", "--days", "2", "--repeat", "1"), "event_bars_per_s"),
        (("step0", "--symbols", "20"), "seconds"),
    ],
    ids=["backtest_engine", "step0"],
)
def test_made_small_it_prints_one_line_of_json(arguments: tuple[str, ...], figure: str) -> None:
    command = [sys.executable, "-m", f"bench.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)[figure] > 0


HIDING = """
import ctypes, os, sys, time
from pathlib import Path
from barray.data_sources.environment import take_credentials

take_credentials()  # leaves zeros, behind which psutil reads nothing
if os.fork() == 0:
    if os.fork():
        os._exit(0)  # the child loses its parent
    begin, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49])
    ctypes.memset(begin, 0, end - begin)  # as a title over all of the variables
print("hidden", flush=True)
time.sleep(60)
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows it")
def test_processes_are_found_that_hide_their_variables_and_have_lost_their_parent() -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "canary", "MARK": "ours", **os.environ}
    process = subprocess.Popen(
        [sys.executable, "-c", HIDING],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == [b"hidden\n"] * 2
        found = started_by([process.pid])
        assert [one.environ().get("MARK") for one in found] == [None, None]
        assert sorted(one.ppid() == process.pid for one in found) == [False, False]
        assert process.pid in {one.pid for one in found}
        assert started_by([process.pid], "another title") == []
    finally:
        for one in started_by([process.pid]):
            send(one, 9)
        process.wait()
    assert left_of(lambda: started_by([process.pid]), 5.0) == 0


def test_a_trouble_that_struck_nothing_counts_as_drawn_alone() -> None:
    drawn = Drawn("session", "delay", ("head", "s3"))
    struck = Hit(0, drawn, ("head",), Outcome(0, seconds=2.0), "identical", 0, "resumed", 1.5)
    missed = Hit(1, Drawn("sweep", "", ("head",)), (), Outcome(4, seconds=4.0), "clear_error")
    found = summary([struck, missed])
    assert found["troubles"]["head"] == {"drawn": 2, "hit": 1, "sessions_drawn": 1, "sessions_hit": 1, "identical": 1}
    assert found["troubles"]["s3"] == {"drawn": 1, "hit": 0, "sessions_drawn": 1, "sessions_hit": 0}
    assert found["troubles"]["delay"] == {"drawn": 1, "identical": 1}
    assert (found["identical"], found["clear_error"], found["again"], found["resume_s"]) == (1, 1, {"resumed": 1}, 1.5)
