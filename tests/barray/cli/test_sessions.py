"""The command line with real Ray, as a user runs it: processes of their own, a second terminal, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import Result

from tests.commands import run_command
from tests.sessions import family, symbol_processes, wait_until, without_agents

pytestmark = pytest.mark.ray
BARRAY = [sys.executable, "-m", "barray"]
CONFIG = """\
name: NAME
session: {start: 2024-07-02}
symbols: [AAPL, MSFT, NOPE]
intervals: [1m, 5m]
indicators: ["RSI(14)@5m"]
history: {trailing_days: 2}
sources: [{root: ROOT}]
run: {window: 1m, pause_s: PAUSE}
export: {formats: [json]}
ray: {num_cpus: 2}
"""


def write_config(folder: Path, universe: Path, name: str = "cli", pause_s: float = 0.0) -> Path:
    path = folder / "session.yaml"
    path.write_text(CONFIG.replace("NAME", name).replace("ROOT", str(universe)).replace("PAUSE", str(pause_s)))
    return path


def barray(*arguments: object, timeout_s: float = 90) -> subprocess.CompletedProcess[str]:
    command = [*BARRAY, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_run_writes_valid_dumps_pages_and_json_for_machines(universe: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, universe)
    text = config.read_text().replace("formats: [json]", "formats: [json, html]")
    config.write_text(text + "report: {charts: 0}\nstrategy: {path: mine.py}\n")
    mine = "from barray import Strategy\n\n\nclass Mine(Strategy):\n    def on_bar(self, ctx):\n"
    (tmp_path / "mine.py").write_text(mine + "        if ctx.minute == 5: ctx.buy(3)\n")
    result = barray("run", config, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ignored"] == ["report"]
    said = "note: barray run makes no use of report (for backtest and sweep and scan)"
    assert said in result.stderr.splitlines()
    (session,) = json.loads(result.stdout)["sessions"]
    assert session["date"] == "2024-07-02"
    assert list(session["symbols"]) == ["AAPL", "MSFT"]
    assert session["symbols"]["AAPL"]["source"] == "parquet"
    assert list(session["dropped"]) == ["NOPE"]
    dump, page = map(Path, session["files"])
    assert barray("validate-dump", dump).returncode == 0
    assert page == dump.with_suffix(".html")
    assert "<td>AAPL</td><td>full</td><td>config</td><td>parquet</td>" in page.read_text("utf-8")
    assert "has no data for NOPE" in page.read_text("utf-8")
    traded = session["trading"]
    assert (traded["strategy"], traded["orders"], traded["fills"], traded["errors"]) == ("Mine", 2, 2, {})
    assert {symbol: one["position"] for symbol, one in traded["symbols"].items()} == {"AAPL": 3.0, "MSFT": 3.0}
    assert '<section id="strategy">' in page.read_text("utf-8")


def test_a_strategy_that_fails_in_a_session_is_told_and_the_exit_code_is_1(universe: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, universe)
    config.write_text(config.read_text() + "strategy: {path: bad.py}\n")
    bad = "from barray import Strategy\n\n\nclass Bad(Strategy):\n    def on_window(self, view):\n        1 / 0\n"
    (tmp_path / "bad.py").write_text(bad)
    result = barray("run", config)
    assert result.returncode == 1
    assert "the strategy failed: ZeroDivisionError: division by zero" in result.stdout
    assert "wrote" in result.stdout


def test_a_run_with_no_symbol_left_fails_with_every_reason_and_no_traceback(universe: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path, universe)
    path.write_text(path.read_text().replace("AAPL, MSFT, NOPE", 'NOPE, "../../x"'))
    result = barray("run", path)
    assert result.returncode == 1
    assert "none of 2 symbols can be loaded" in result.stderr
    assert "has no data for NOPE" in result.stderr
    assert "Traceback" not in result.stderr


def one_bad_date(universe: Path, folder: Path) -> Path:
    """A config for 1 to 3 July, of which the second has no bars."""
    for symbol in ("AAPL", "MSFT"):
        (folder / "bars" / symbol / "1m").mkdir(parents=True)
        for day in (1, 3):
            file = f"{symbol}/1m/2024-07-{day:02}.parquet"
            (folder / "bars" / file).symlink_to(universe / file)
    path = write_config(folder, folder / "bars")
    text = path.read_text().replace("{start: 2024-07-02}", "{start: 2024-07-01, end: 2024-07-03}")
    text = text.replace("trailing_days: 2", "trailing_days: 0").replace('"RSI(14)@5m"', "")
    path.write_text(text.replace("export: {", f"export: {{directory: {folder}/out, "))
    return path


def test_one_bad_date_is_marked_and_the_others_are_run(universe: Path, tmp_path: Path) -> None:
    result = barray("run", one_bad_date(universe, tmp_path), "--json")
    assert result.returncode == 1
    assert "error: 2024-07-02: none of 3 symbols can be loaded" in result.stderr
    first, bad, last = json.loads(result.stdout)["sessions"]
    assert [day["date"] for day in (first, bad, last)] == ["2024-07-01", "2024-07-02", "2024-07-03"]
    for good in (first, last):
        assert "error" not in good
        assert sorted([*good["symbols"], *good["dropped"]]) == ["AAPL", "MSFT", "NOPE"]
        assert Path(good["files"][0]).exists()
    assert bad["error"]["code"] == "validation_failed"
    assert sorted(bad["dropped"]) == ["AAPL", "MSFT", "NOPE"]
    assert "2024-07-02" in bad["dropped"]["AAPL"][0]


def test_from_python_one_bad_date_is_raised_when_the_others_are_done(universe: Path, tmp_path: Path) -> None:
    script = f"import barray; barray.run({str(one_bad_date(universe, tmp_path))!r})"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=90, check=False)
    assert "ValidationFailed: 1 of 3 dates failed; the others were run:\n2024-07-02: none of 3" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cli-2024-07-01.json", "cli-2024-07-03.json"]


@pytest.fixture
def slow_session(universe: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A session that takes its time, in a process of its own, once it runs."""
    path = write_config(tmp_path, universe, "slow", pause_s=0.2)
    process = start(path)
    wait_for_phase(process, "running")
    yield process
    process.send_signal(signal.SIGINT)
    process.wait(60)


@pytest.mark.parametrize(("allowed", "status"), [("false", 3), ("true", 0)])
def test_a_run_that_lost_a_symbol_because_its_process_died_is_degraded(
    universe: Path, tmp_path: Path, allowed: str, status: int
) -> None:
    path = write_config(tmp_path, universe, "lossy", pause_s=0.05)
    config = path.read_text().replace("window: 1m", "window: 5m")
    path.write_text(f"{config}actors: {{max_restarts: 0}}\nvalidation: {{allow_lost: {allowed}}}\n")
    process = start(path, "--json", "--out", str(tmp_path))
    wait_for_phase(process, "running")
    symbol_processes(process.pid)[0].kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    told = json.loads(out)
    (lost,) = told["degraded"]
    assert f"degraded: the machine failed, and lost 1 symbol: {lost}" in err
    assert set(told["sessions"][0]["dropped"]) == {lost, "NOPE"}
    dump = tmp_path / "lossy-2024-07-02.json"
    assert json.loads(dump.read_text())["session"]["degraded"] == [lost]
    assert barray("validate-dump", dump).returncode == 0


_started: list[subprocess.Popen[str]] = []


def start(path: Path, *options: str) -> subprocess.Popen[str]:
    command = [*BARRAY, "run", str(path), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """End what a failing test leaves running."""
    yield
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def wait_for_phase(process: subprocess.Popen[str], phase: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().endswith(phase):
            return
    raise AssertionError(f"ended before it was {phase}")


def here(*arguments: object) -> Result:
    """`barray attach` in this process, which need not be started for it."""
    return run_command("attach", *arguments)


def test_a_second_terminal_reads_and_changes_a_running_session(slow_session: subprocess.Popen[str]) -> None:
    status = json.loads(barray("attach", "status", "--json").stdout)
    assert status["name"] == "slow"
    assert status["phase"] == "running"
    assert status["full"] == ["AAPL", "MSFT"]
    assert barray("attach", "add-symbol", "NVDA", "--session", "slow").returncode == 0
    refused = here("add-symbol", "NOPE")
    assert refused.exit_code == 1
    assert "has no data for NOPE" in refused.stdout
    assert here("add-indicator", "TSLA", "SMA(2)@1m").exit_code == 0
    added = here("add-bar", "TSLA", "1m", "2024-07-02T13:30:00Z", 9, 10, 8, 9.5, 100)
    assert added.exit_code == 0, added.stdout
    shown = json.loads(here("snapshot", "TSLA", "--json").stdout)
    assert shown["bars"]["1m"]["close"] == [9.5]
    assert "RSI(14)@5m" in here("snapshot", "NVDA").stdout
    assert here("remove-symbol", "TSLA").exit_code == 0
    assert here("remove-symbol", "TSLA").exit_code == 1
    again = here("remove-symbol", "TSLA", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (1, {"symbol": "TSLA", "removed": False})
    no_bar = here("add-bar", "TSLA", "1m", "2024-07-02T13:30:00Z", 9, 8, 10, 9.5, 100, "--json")
    assert no_bar.exit_code == 1
    assert json.loads(no_bar.stdout)["accepted"] is False
    assert "high" in json.loads(no_bar.stdout)["reason"]
    more = here("add-indicator", "NVDA", "SMA(3)@1m", "--json")
    assert json.loads(more.stdout) == {"symbol": "NVDA", "accepted": True, "reason": "", "conflicts": []}
    unknown = here("add-symbol", "NVDA", "--session", "nosuch", "--json")
    assert unknown.exit_code == 2
    assert "running: slow" in json.loads(unknown.stdout)["error"]
    missing = here("status", "--session", "nosuch")
    assert missing.exit_code == 2
    assert "running: slow" in missing.stderr


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    """Send Ctrl-C; the process says so in a line and takes every other process along."""
    relatives = family(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    word, status = ("interrupted", 130) if number == signal.SIGINT else ("terminated", 143)
    assert process.returncode == status, said
    assert said.splitlines()[-1].startswith(f"error: {word}")
    assert "Traceback" not in said
    assert "***" not in said, "a stack of Ray's"
    wait_until(lambda: not without_agents(relatives))  # asked again and again: a new process has no name yet


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_running_session_and_everything_with_it(
    universe: Path, tmp_path: Path, number: int
) -> None:
    process = start(write_config(tmp_path, universe, pause_s=0.5))
    wait_for_phase(process, "running")
    assert family(process.pid)
    interrupt(process, number)


@pytest.mark.parametrize("delay_s", [0.8, 1.6, 2.2, 2.8, 3.4])
def test_ctrl_c_at_any_moment_of_the_start_leaves_nothing(universe: Path, tmp_path: Path, delay_s: float) -> None:
    """Whatever it is doing by then: importing, starting Ray, validating, provisioning, loading."""
    process = start(write_config(tmp_path, universe, pause_s=0.5))
    time.sleep(delay_s)
    interrupt(process)


@pytest.mark.parametrize("vital", ["gcs_server", "raylet"])
def test_a_run_whose_ray_is_killed_says_so_once_and_leaves_nothing(universe: Path, tmp_path: Path, vital: str) -> None:
    path = write_config(tmp_path, universe, pause_s=0.5)
    path.write_text(path.read_text().replace("{start: 2024-07-02}", "{start: 2024-07-02, end: 2024-07-03}"))
    process = start(path, "--json")
    wait_for_phase(process, "running")
    relatives = family(process.pid)
    next(one for one in relatives if one.name() == vital).kill()
    out, err = process.communicate(timeout=30)  # Ray itself would end it after a minute, from C++
    assert process.returncode == 1
    said = [line for line in err.splitlines() if "error" in line]
    assert [line.partition(";")[0] for line in said] == [
        f"error: 2024-07-02: Ray's {vital} has ended, and what ran on this Ray with it"
    ]
    assert [day["error"]["code"] for day in json.loads(out)["sessions"]] == ["ray_lost", "ray_lost"]
    _, alive = psutil.wait_procs(relatives, timeout=20)
    assert without_agents(alive) == []


def test_a_killed_driver_takes_everything_with_it(universe: Path, tmp_path: Path) -> None:
    process = start(write_config(tmp_path, universe, pause_s=0.5))
    wait_for_phase(process, "running")
    children = family(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    wait_until(lambda: not without_agents(children))


def test_what_ray_prints_meanwhile_does_not_get_into_the_json(universe: Path, tmp_path: Path) -> None:
    process = start(write_config(tmp_path, universe, pause_s=0.01), "--json")
    wait_for_phase(process, "running")
    symbol_processes(process.pid)[0].kill()
    printed, said = process.communicate(timeout=60)
    assert "A worker died or was killed" in said, "Ray had nothing to print: nothing was tested"
    assert list(json.loads(printed)) == ["degraded", "sessions", "ignored"]


DIES_ONCE = """
import os, pathlib
from barray import Strategy
class Dies(Strategy):
    def on_bar(self, ctx):
        print("bar", ctx.bar)
        mark = pathlib.Path("MARK")
        if ctx.symbol == "MSFT" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
"""


def test_a_backtest_whose_worker_dies_prints_nothing_but_its_json(universe: Path, tmp_path: Path) -> None:
    config, mark = write_config(tmp_path, universe), tmp_path / "died"
    (tmp_path / "dies.py").write_text(DIES_ONCE.replace("MARK", str(mark)))
    config.write_text(config.read_text() + "strategy: {path: dies.py}\n")
    result = barray("backtest", config, "--json")
    assert result.returncode == 0, result.stderr
    assert mark.exists()
    told = json.loads(result.stdout)
    assert sorted(told["symbols"]) == ["AAPL", "MSFT"]
    assert told["errors"] == {}
    assert "MSFT 2024-07-02 09:31:00 EDT: bar" in result.stderr


def test_attaching_where_nothing_runs_says_so() -> None:
    result = barray("attach", "status", "--address", "127.0.0.1:1", timeout_s=20)
    assert result.returncode == 1
    assert "no Ray at 127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


def test_every_listener_of_a_local_session_is_on_loopback(slow_session: subprocess.Popen[str]) -> None:
    everyone = [psutil.Process(slow_session.pid), *family(slow_session.pid)]
    listening = [c for p in everyone for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening
    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}
