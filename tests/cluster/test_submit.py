"""`barray submit` to a head that was started as `cluster.yaml` says: what goes, what comes back, and Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from barray.checkpoint.checkpoint import stored
from barray.market.errors import BarrayError
from barray.sample.universe import write_sample_data
from tests.cluster.test_deploy import ROOT, environment_of, started
from tests.commands import run_command
from tests.sessions import wait_until
from tests.vendors.s3_server import free_port

pytest.importorskip("opencensus", reason="needs the extra cluster: ray[default], whose head takes jobs")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
CONFIG = """
name: sent
session: {start: 2024-07-02, end: 2024-07-03}
symbols: [AAPL, MSFT]
intervals: [1m]
history: {trailing_days: 1}
sources: [{root: bars}]
strategy: {path: strategy.py}
report: {directory: mine, formats: [json]}
"""
STRATEGY = """
from barray import Strategy
from beside import act

class Sent(Strategy):
    interval = "1m"

    def on_bar(self, ctx):
        act(ctx)
"""


@dataclass(frozen=True)
class Head:
    address: str
    environment: dict[str, str]

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-m", "barray", "submit", str(folder / "sent.yaml"), "--address", self.address]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """Started by the file's own words, but for ports and CPUs, and without an autoscaler that reaches others by ssh.

    Ray gives its agents 15 s to import what they need, on a machine that may be busy: then it is started again.
    """
    folder = tmp_path_factory.mktemp("head")
    environment = environment_of(folder)
    command = yaml.safe_load((ROOT / "cluster.yaml").read_text())["head_start_ray_commands"][-1]
    assert " --autoscaling-config=~/ray_bootstrap_config.yaml" in command
    command = command.replace(" --autoscaling-config=~/ray_bootstrap_config.yaml", "")
    for _ in range(3):
        port = free_port()
        words = f"{command.replace('6379', str(free_port()))} --num-cpus=2 --dashboard-port={port} --block"
        with started(["bash", "-c", words], environment, folder / "head.log") as node:
            if _takes_jobs(node, port):
                yield Head(f"http://127.0.0.1:{port}", environment)
                return
    pytest.fail((folder / "head.log").read_text()[-2000:])


def _takes_jobs(node: psutil.Process, port: int) -> bool:
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    end = time.monotonic() + 60
    request = Request(f"http://127.0.0.1:{port}/nodes?view=summary", headers={"Authorization": f"Bearer {'f' * 64}"})
    while time.monotonic() < end and node.is_running() and node.status() != psutil.STATUS_ZOMBIE:
        try:
            with urlopen(request, timeout=5) as answer:
                if '"ALIVE"' in answer.read().decode():
                    return True
        except (URLError, OSError):
            pass
        time.sleep(0.2)
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sample_data(tmp_path / "bars", symbols=["AAPL", "MSFT"], start="2024-07-01", end="2024-07-03")
    (tmp_path / "sent.yaml").write_text(CONFIG)
    (tmp_path / "strategy.py").write_text(STRATEGY)
    return tmp_path


def test_a_submitted_backtest_s_output_files_and_exit_code_come_back(head: Head, folder: Path) -> None:
    (folder / "beside.py").write_text("def act(ctx):\n    ctx.sell(1) if ctx.position else ctx.buy(1)\n")
    done = subprocess.run(
        head.command(folder), cwd=folder, env=head.environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sent, 2 symbols, 2024-07-02 to 2024-07-03" in done.stdout
    assert "barray-result" not in done.stdout
    assert json.loads((folder / "mine/sent/summary.json").read_bytes())["statistics"]["trades"] > 100
    (folder / "beside.py").write_text("def act(ctx):\n    raise KeyError('mine')\n")
    done = subprocess.run(
        head.command(folder), cwd=folder, env=head.environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 1, "as barray backtest"
    assert "the strategy failed on 2 of 2 symbols; first: KeyError: 'mine'" in done.stdout


def test_ctrl_c_asks_whether_the_job_is_to_be_stopped(head: Head, folder: Path) -> None:
    (folder / "beside.py").write_text("import time\ndef act(ctx):\n    print('sleeps'); time.sleep(1)\n")
    mine, its = os.openpty()
    running = subprocess.Popen(
        head.command(folder), cwd=folder, env=head.environment, stdin=its, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("job raysubmit_")
        time.sleep(1)  # it follows by now
        running.send_signal(signal.SIGINT)
        os.write(mine, b"y\n")
        said = running.communicate(timeout=90)[1]
    finally:
        running.kill()
        os.close(mine)
        os.close(its)
    assert running.returncode == 130, said
    assert "is stopped" in said


def test_a_job_that_is_killed_goes_on_in_the_next_with_the_files_of_both(head: Head, folder: Path) -> None:
    (folder / "beside.py").write_text("def act(ctx):\n    ctx.sell(1) if ctx.position else ctx.buy(1)\n")
    config = folder / "sent.yaml"
    config.write_text(
        CONFIG.replace("report: {", "run: {window: 10m, pause_s: 0.1}\nexport: {") + "ray: {num_cpus: 2}\n"
    )
    kept = folder / "kept"
    submit = [*head.command(folder), "--command", "run", "--checkpoint", str(kept)]
    first = subprocess.Popen(submit, cwd=folder, env=head.environment, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: days_done(kept) == 1, 120)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "barray job run" in " ".join(process.cmdline()[-8:]) and str(kept) in process.cmdline():
                process.kill()
    said = first.communicate(timeout=60)[1]
    assert (first.returncode, days_done(kept)) == (137, 1), said
    assert "the same barray submit again goes on with what is done" in said
    assert not (folder / "mine").exists()
    again = subprocess.run(
        submit, cwd=folder, env=head.environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert again.returncode == 0, again.stderr
    came = {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    shutil.rmtree(folder / "mine")
    calm = run_command("run", config, "--quiet")
    assert calm.exit_code == 0, calm.output
    assert came == {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    assert len(came) == 2


def days_done(kept: Path) -> int:
    with suppress(BarrayError):
        return len(stored(kept).names.get("sessions", ()))
    return 0


def test_a_checkpoint_that_would_not_have_the_files_of_its_days_is_refused(folder: Path) -> None:
    (folder / "beside.py").write_text("")
    refused = run_command("submit", folder / "sent.yaml", "--command", "run", "--checkpoint", "s3://bucket/kept")
    assert refused.exit_code == 2
    assert "have export.directory be in s3:// too" in " ".join(refused.output.split())
