"""Runs whose processes die go on from their checkpoint, and end with the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import barray
from barray.checkpoint.checkpoint import stored
from barray.coordinator.config.file import parse_config
from barray.market.errors import ConfigError
from barray.report.files import write_backtest
from barray.runs.backtest import backtested
from tests.commands import run_command

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
OWN = """
from barray import Strategy

class Own(Strategy):
    def on_bar(self, ctx):
        if ctx.bar % 9 == 0:
            ctx.buy(3)
        elif ctx.bar % 9 == 5:
            ctx.close_position()
"""
TOGETHER = """
import time
from barray import Strategy

class Together(Strategy):
    def on_start(self, view):
        self.seen = []

    def on_session(self, view):
        time.sleep(0.6)  # so that each session is a step of its own
        print("session", len(self.seen))
        self.seen.append(view.now)
        view.add_symbols(["TSLA"])

    def on_window(self, view):
        symbol = view.symbols[(len(self.seen) + view.minute // 10) % len(view.symbols)]
        if view.minute % 10 == 0:
            view.order(symbol, 5 + len(self.seen))
        elif view.minute % 10 == 7 and view.positions.get(symbol):
            view.order(symbol, -3)
"""
SCANNED = """
import time
from barray import Strategy

class Scanned(Strategy):
    def on_session(self, view):
        time.sleep(0.6)

    def on_window(self, view):
        self.seen = getattr(self, "seen", 0) + 1
        for symbol in view.symbols:
            if view.minute % 20 == 5 and not view.positions.get(symbol):
                view.order(symbol, 5 + self.seen % 3)
            elif view.minute % 30 == 7 and view.minutes_to_close > 60:
                view.order_target(symbol, 0)
"""
CODE = {"own": OWN, "together": TOGETHER, "scanned": SCANNED}
MOVERS = {
    "name": "movers",
    "at": {"every": "15m", "since": "09:45"},
    "where": ["change_since_open > 0.001"],
    "rank": "change_since_open",
    "keep": {"top": 4},
    "promote": {"full": 2, "evict": "rank", "light": 1},
    "carry": ["SMA(3)@5m"],
}


def settings(folder: Path, universe: Path, kind: str, out: Path) -> dict[str, Any]:
    path = folder / f"{kind}.py"
    path.write_text(CODE[kind])
    return {
        "name": "test",
        "session": {"start": "2024-06-26", "end": "2024-07-03"},
        "symbols": ["SPY"] if kind == "scanned" else ["AAPL", "MSFT", "NVDA", "SPY", "AMZN"],
        "sources": [{"root": str(universe)}],
        "strategy": {"path": str(path)},
        "account": {"shared": kind != "own"},
        "scans": [MOVERS] if kind == "scanned" else [],
        "costs": {"commission": {"per_share": 0.005}},
        "report": {"directory": str(out), "formats": ["parquet", "csv", "json"], "charts": 0},
        "actors": {"symbols_per_actor": 1 if kind == "own" else "auto"},
    }


def content(files: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files}


def tables(config: dict[str, Any], checkpoint: Path | None) -> dict[str, bytes]:
    """The bytes of all that a backtest writes."""
    shutil.rmtree(config["report"]["directory"], ignore_errors=True)
    with backtested(parse_config(config), checkpoint=checkpoint) as (result, run):
        return content(write_backtest(result, run))


def cut(checkpoint: Path, done: int, step: int = 211) -> None:
    """As if the writer had been killed in the middle of the record after so many."""
    first, *others = sorted(checkpoint.glob("*.journal"))
    for path in others:
        path.unlink()
    whole = first.read_bytes()
    for size in range(len(whole), 0, -step):
        first.write_bytes(whole[:size])
        if len(stored(checkpoint).done) == done:
            return
    raise AssertionError("there are fewer")


@pytest.mark.parametrize("kind", ["own", "together", "scanned"])
def test_a_backtest_goes_on_from_any_record_and_ends_with_the_same(kind: str, universe: Path, tmp_path: Path) -> None:
    config = settings(tmp_path, universe, kind, tmp_path / "out")
    calm = tables(config, None)
    assert len(calm["fills.csv"].splitlines()) > 100
    kept = tmp_path / "kept"
    assert tables(config, kept) == calm
    assert stored(kept).finished is not None
    assert tables(config, kept) == calm, "nothing is left to be run"
    done = len(stored(kept).done) - 2  # without what says that it is finished, twice
    assert done >= 5
    cut(kept, done - 1 if kind != "own" else random.Random(15).randint(1, done - 1))
    assert tables(config, kept) == calm


MARK = "BARRAY_KILLED"


def members(mark: str, title: str = "") -> list[psutil.Process]:
    """Processes of a command, found by the mark in their environment, those whose command line has `title` in it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and title in " ".join(process.cmdline()):
                found.append(process)
    return found


def killed(config: Path, command: str, checkpoint: Path, done: int, title: str) -> None:
    """Run a command, and kill its processes of that title once so much of it is done; all of them in the end."""
    environment = {**os.environ, MARK: str(checkpoint), "BARRAY_COLD": "1"}
    line = [sys.executable, "-m", "barray", command, str(config), "--quiet", "--checkpoint", str(checkpoint)]
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until and process.poll() is None:
            with suppress(ConfigError):
                if len(stored(checkpoint).done) >= done:
                    break
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        for victim in members(str(checkpoint), title):
            with suppress(psutil.Error):
                victim.send_signal(signal.SIGKILL)
        assert process.wait(60) != 0
    finally:
        for victim in members(str(checkpoint)):
            with suppress(psutil.Error):
                victim.kill()
        process.wait()


@pytest.mark.parametrize(("title", "done"), [("", 2), ("ray::PortfolioBacktestCoordinator", 3)])
def test_a_backtest_whose_processes_are_killed_is_resumed(
    title: str, done: int, universe: Path, tmp_path: Path
) -> None:
    config = settings(tmp_path, universe, "together", tmp_path / "out")
    path, kept = tmp_path / "config.yaml", tmp_path / "kept"
    path.write_text(yaml.safe_dump(config))
    killed(path, "backtest", kept, done, title)
    assert done <= len(stored(kept).done) < 6
    resumed = run_command("resume", kept, "--quiet")
    assert resumed.exit_code == 0, resumed.output
    found = content(list((tmp_path / "out").rglob("*.*")))
    assert found == tables({**config, "report": {**config["report"], "directory": str(tmp_path / "calm")}}, None)
    again = run_command("resume", kept)
    assert "the run is finished" in again.output
    assert again.exit_code == 0


def test_what_can_not_go_on_is_refused_with_the_reason(universe: Path, tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    shutil.copytree(universe / "AAPL", bars / "AAPL")
    config = {**settings(tmp_path, universe, "own", tmp_path / "out"), "symbols": ["AAPL"]}
    config["sources"] = [{"root": str(bars)}]
    path, kept = tmp_path / "config.yaml", tmp_path / "kept"
    path.write_text(yaml.safe_dump(config))
    tables(config, kept)

    def refused(changed: dict[str, Any]) -> str:
        path.write_text(yaml.safe_dump(changed))
        ended = run_command("backtest", path, "--checkpoint", kept)
        assert ended.exit_code == 2
        return " ".join(ended.output.split())

    assert "costs.commission.per_share was 0.005 and is 0.01" in refused(
        {**config, "costs": {"commission": {"per_share": 0.01}}}
    )
    code = Path(config["strategy"]["path"])
    code.write_text(OWN.replace("ctx.buy(3)", "ctx.buy(4)"))
    assert "the code of the strategy changed" in refused(config)
    code.write_text(OWN)
    os.utime(next(bars.rglob("*2024-07-01*")))
    assert "the files of bars of AAPL in parquet changed" in refused(config)
    nothing = run_command("resume", tmp_path / "nothing")
    assert nothing.exit_code == 2
    assert "there is nothing to resume in" in nothing.output


def sessions(config: dict[str, Any], folder: Path) -> Path:
    """A config of sessions that trade, exported to a folder."""
    of_sessions = {name: value for name, value in config.items() if name != "report"}
    strategy = {**config["strategy"], "window": "5m"}
    exported = {"directory": str(folder), "formats": ["json"]}
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**of_sessions, "intervals": ["1m"], "strategy": strategy, "export": exported}))
    return path


def test_sessions_go_on_after_the_last_day_that_is_done(universe: Path, tmp_path: Path) -> None:
    config = {**settings(tmp_path, universe, "together", tmp_path / "x"), "symbols": ["AAPL", "MSFT"]}
    config["session"] = {"start": "2024-06-28", "end": "2024-07-03"}
    kept = tmp_path / "kept"
    calm = run_command("run", sessions(config, tmp_path / "calm"), "--quiet", "--json")
    first = sessions(config, tmp_path / "first")
    whole = run_command("run", first, "--quiet", "--json", "--checkpoint", kept)
    assert [run.exit_code for run in (calm, whole)] == [0, 0], whole.output
    wanted = content(list((tmp_path / "calm").iterdir()))
    assert len(wanted) == 4
    assert content(list((tmp_path / "first").iterdir())) == wanted
    cut(kept, 3)
    (tmp_path / "first" / "test-2024-07-03.json").unlink()
    resumed = run_command("resume", kept, "--quiet", "--json")
    assert resumed.exit_code == 0, resumed.output
    assert content(list((tmp_path / "first").iterdir())) == wanted
    assert resumed.stdout == whole.stdout
    assert "the run is finished" in run_command("resume", kept).output
    files = barray.run(first, checkpoint=kept)
    assert [Path(path).name for path in files] == sorted(wanted), "from Python too"


def listed(folder: Path) -> dict[str, bytes]:
    return content([path for path in folder.rglob("*") if path.is_file() and path.suffix in (".csv", ".parquet")])


def test_a_sweep_goes_on_from_the_sets_that_are_done(universe: Path, tmp_path: Path) -> None:
    config = settings(tmp_path, universe, "own", tmp_path / "out")
    code = Path(config["strategy"]["path"])
    code.write_text(
        OWN.replace("import Strategy", "import Strategy, parameter")
        .replace("    def on_bar", "    size: int = parameter(3, low=1, high=400)\n    def on_bar", 1)
        .replace("ctx.buy(3)", "ctx.buy(self.size)")
    )
    config |= {"symbols": ["AAPL", "MSFT"], "sweep": {"parameters": {"size": {"low": 1, "high": 140, "step": 1}}}}
    path, kept = tmp_path / "config.yaml", tmp_path / "kept"
    path.write_text(yaml.safe_dump(config))
    whole = run_command("sweep", path, "--quiet", "--checkpoint", kept, "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    assert stored(kept).told == "sets: 140 done"
    cut(kept, 77)
    shutil.copytree(tmp_path / "whole", tmp_path / "calm")
    resumed = run_command("resume", kept, "--quiet")
    assert resumed.exit_code == 0, resumed.output
    assert len(stored(kept).done) == 141
    assert listed(tmp_path / "whole") == listed(tmp_path / "calm") != {}
    assert "the run is finished" in run_command("resume", kept).output
    fresh = run_command("sweep", path, "--quiet", "--checkpoint", kept, "--fresh")
    assert (fresh.exit_code, "begins anew" in fresh.output) == (2, True)


def test_a_scan_goes_on_after_the_last_session_that_is_done(universe: Path, tmp_path: Path) -> None:
    config = {
        "name": "moves",
        "session": {"start": "2024-06-26", "end": "2024-07-03"},
        "symbols": ["AAPL", "MSFT", "NVDA", "SPY"],
        "sources": [{"root": str(universe)}],
        "scans": [
            {
                "name": "moves",
                "at": ["10:00", "14:00"],
                "where": ["change_since_open > 0"],
                "rank": "change_since_open",
                "keep": {"top": 2},
            }
        ],
        "report": {"directory": str(tmp_path / "out")},
    }
    path, kept = tmp_path / "config.yaml", tmp_path / "kept"
    path.write_text(yaml.safe_dump(config))
    whole = run_command("scan", path, "--quiet", "--checkpoint", kept, "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    assert stored(kept).told == "sessions: 6 done"
    cut(kept, 4)
    shutil.copytree(tmp_path / "whole", tmp_path / "calm")
    resumed = run_command("resume", kept, "--quiet")
    assert resumed.exit_code == 0, resumed.output
    assert listed(tmp_path / "whole") == listed(tmp_path / "calm") != {}
    assert "the run is finished" in run_command("resume", kept).output
