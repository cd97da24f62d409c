"""A run whose bars lie in an object store and whose results go there: through faults, and with no key in sight."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from barray.sample.universe import write_sample_data
from tests.vendors.s3_server import KEY, SECRET, Fault, S3Server

pytestmark = pytest.mark.ray
STRATEGY = """
import os
from pathlib import Path
from barray import Strategy

class Looks(Strategy):
    interval = "1m"

    def on_start(self, ctx):
        print("ENVIRONMENT", dict(os.environ), Path("/proc/self/environ").read_bytes())

    def on_bar(self, ctx):
        pass
"""
CONFIG = """
name: there
session: {{start: 2024-07-02, end: 2024-07-03}}
symbols: [AAPL, MSFT]
intervals: [1m]
history: {{trailing_days: 1}}
sources: [{{root: "{root}"}}]
strategy: {{path: looks.py}}
export: {{directory: "{out}", formats: [json, parquet]}}
report: {{directory: "{out}", formats: [json]}}
ray: {{num_cpus: 2}}
"""


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bars")
    write_sample_data(folder, symbols=["AAPL", "MSFT"], start="2024-07-01", end="2024-07-03")
    return folder


@pytest.fixture(autouse=True)
def _bars_there(s3: S3Server, bars: Path) -> None:
    for path in sorted(bars.rglob("*.parquet")):
        s3.put(f"bars/{path.relative_to(bars)}", path.read_bytes())


def barray(s3: S3Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **s3.environment, "BARRAY_SHARDS": str(folder / "shards")}
    environment.pop("BARRAY_NO_CACHE", None)
    command = [sys.executable, "-m", "barray", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_backtest_reads_and_writes_there_through_faults_and_its_strategy_sees_no_key(
    s3: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "looks.py").write_text(STRATEGY)
    (tmp_path / "there.yaml").write_text(CONFIG.format(root=s3.uri("bars"), out=s3.uri("out")))
    s3.asked.clear()
    s3.faults[:] = [Fault("slow_down", times=3), Fault("cut", path="parquet", times=2)]
    done = barray(s3, tmp_path, "backtest", "there.yaml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "ENVIRONMENT" in done.stderr, "the strategy said what it saw"
    assert SECRET not in done.stderr + done.stdout
    assert KEY not in done.stderr + done.stdout
    assert "wrote s3://market/out/there/summary.json" in done.stdout
    assert "out/there/there.manifest.json" in s3.listed()
    reads = [one.path for one in s3.reads(r"bars/.*\.parquet")]
    assert len(set(reads)) == 6
    assert len(reads) <= 6 + 2, "each file once, and again where it was cut"


def test_a_session_s_dump_is_validated_where_it_lies_and_a_lost_store_is_said_in_a_line(
    s3: S3Server, tmp_path: Path
) -> None:
    (tmp_path / "looks.py").write_text(STRATEGY)
    (tmp_path / "there.yaml").write_text(CONFIG.format(root=s3.uri("bars"), out=s3.uri("dumps")))
    s3.faults.clear()
    done = barray(s3, tmp_path, "run", "there.yaml", "--quiet")
    assert done.returncode == 0, done.stderr
    for name in ("there-2024-07-02.json", "there-2024-07-03-parquet"):
        checked = barray(s3, tmp_path, "validate-dump", s3.uri(f"dumps/{name}"))
        assert (checked.returncode, "nothing is wrong" in checked.stdout) == (0, True), checked.stdout + checked.stderr
    s3.faults[:] = [Fault("denied", path=r"bars")]
    done = barray(s3, tmp_path, "check", "there.yaml")
    assert done.returncode == 1
    assert "s3://market/bars: access is denied; give the processes that read it keys that may" in done.stdout
    assert SECRET not in done.stdout + done.stderr
