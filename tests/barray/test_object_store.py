"""A run whose bars lie in an object store and whose results go there: through faults, and with no key in sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from barray.data_sources.fetching.store import BarStore
from barray.data_sources.fetching.vendor import Dataset
from barray.market.interval import Interval
from barray.sample.universe import write_sample_data
from tests.vendors.alpaca import bars_below
from tests.vendors.alpaca_server import AlpacaServer
from tests.vendors.s3_server import KEY, SECRET, Fault, S3Server
from tests.vendors.serving import serving

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


def test_a_vendor_s_bars_are_fetched_there_once_and_read_from_there_when_it_is_down(
    s3: S3Server, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("APCA_API_KEY_ID", "canary-key-4b2")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "canary-secret-9f8")
    (tmp_path / "looks.py").write_text(STRATEGY)
    server = AlpacaServer()
    server.hold(bars_below(bars))
    with serving(server):
        settings = CONFIG.replace('{{root: "{root}"}}', f'{{{{type: alpaca, url: "{server.url}", store: "{{root}}"}}}}')
        (tmp_path / "there.yaml").write_text(settings.format(root=s3.uri("store"), out=tmp_path / "out"))
        done = barray(s3, tmp_path, "fetch", "AAPL", "--config", "there.yaml", "--quiet")
        assert done.returncode == 0, done.stderr + done.stdout
        assert "in s3://market/store/alpaca-iex-raw" in done.stdout
        asked = len(server.asked)
        again = barray(s3, tmp_path, "fetch", "AAPL", "--config", "there.yaml", "--quiet")
        assert "0 requests" in again.stdout, again.stdout + again.stderr
        assert len(server.asked) == asked
        done = barray(s3, tmp_path, "backtest", "there.yaml", "--quiet")
        assert done.returncode == 0, done.stderr + done.stdout
        assert {request["symbols"] for request in server.asked[asked:]} == {"MSFT"}, "the gateway adds what is missing"
    first = (tmp_path / "out/there/summary.json").read_bytes()
    s3.asked.clear()
    done = barray(s3, tmp_path, "backtest", "there.yaml", "--quiet")
    assert done.returncode == 0, done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout
    assert "canary-secret" not in done.stderr + done.stdout
    summary = json.loads((tmp_path / "out/there/summary.json").read_bytes())
    assert (summary["error"], summary["dates"]) == (None, ["2024-07-02", "2024-07-03"])
    assert summary["statistics"] == json.loads(first)["statistics"]
    assert s3.reads(r"\.parquet") == [], "this node has copies"
    store = BarStore(s3.uri("store"), Dataset("alpaca", "iex"))
    for symbol, truth in bars_below(bars).items():
        ends = int(truth.start_ns[0]), int(truth.start_ns[-1]) + 1
        assert store.read(symbol, Interval.parse("1m"), *ends).equals(truth)
