"""A live day on Ray whose processes are all killed, resumed by the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import psutil
import pytest
import yaml

from barray.checkpoint.checkpoint import stored
from barray.market.clock import PracticeClock
from barray.sample.universe import write_sample_data
from tests.barray.checkpoint.test_runs import MARK, members
from tests.commands import run_command
from tests.sessions import wait_until
from tests.vendors.alpaca import bars_below
from tests.vendors.alpaca_day import MINUTE_NS, Day, playing
from tests.vendors.alpaca_server import KEYS, AlpacaServer
from tests.vendors.serving import serving

pytestmark = [pytest.mark.ray]
DAY = date(2024, 7, 3)
OPEN_NS = 1_720_013_400_000_000_000
STRATEGY = """
from barray import Strategy

class Counts(Strategy):
    def on_start(self, view):
        self.seen = 0

    def on_window(self, view):
        self.seen += 1
        if view.minute == 15:
            view.add_symbols(["SPY"])
        if view.minute % 10 == 4:
            view.order(view.symbols[self.seen % len(view.symbols)], self.seen)
"""
SCAN = {
    "name": "rising",
    "universe": ["NVDA", "QQQ", "TSLA"],
    "at": {"every": "10m", "since": "09:40"},
    "where": ["session_volume > 0"],
    "rank": "change_since_open",
    "keep": {"top": 2},
    "promote": {"full": 1, "evict": "rank", "light": 0},
}


def lines_of(recording: Path, kind: str) -> int:
    return recording.read_bytes().count(f'{{"kind":"{kind}"'.encode()) if recording.exists() else 0


def test_a_live_day_goes_on_after_all_of_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["AAPL", "MSFT", "SPY", *SCAN["universe"]]
    write_sample_data(tmp_path / "told", symbols=there, start=date(2024, 7, 1), end=DAY)
    bars = bars_below(tmp_path / "told")
    origin, jumps = time.time(), str(tmp_path / "jumps")
    clock = PracticeClock(OPEN_NS - MINUTE_NS, int(origin * 1e6) * 1000, jumps=jumps)
    server = AlpacaServer(hides_future=True, clock=lambda: clock.now_ns() / 1e9)
    server.hold(bars)
    today = {symbol: series.take(series.start_ns >= OPEN_NS) for symbol, series in bars.items()}

    def mishap(symbol: str, start_ns: int) -> str | None:
        return {5: "late", 12: "twice", 20: "wrong"}.get((start_ns - OPEN_NS) // MINUTE_NS % 30)

    day = Day(server.stream, today, clock, mishap, frozenset())
    monkeypatch.setenv("APCA_API_KEY_ID", KEYS.key)
    monkeypatch.setenv("APCA_API_SECRET_KEY", KEYS.secret)
    with serving(server), playing(day):
        (tmp_path / "counts.py").write_text(STRATEGY)
        source = {"type": "alpaca", "store": str(tmp_path / "store"), "url": server.url, "give_up_s": 5}
        source["stream_url"] = server.url.replace("http", "ws") + "/v2/iex"
        settings = {
            "name": "live",
            "session": {"mode": "live", "start": "2024-07-02", "end": str(DAY)},
            "symbols": ["AAPL", "MSFT"],
            "intervals": ["1m", "5m"],
            "sources": [source],
            "scans": [SCAN],
            "strategy": {"path": str(tmp_path / "counts.py")},
            "export": {"directory": str(tmp_path / "out"), "formats": ["json"]},
            "live": {
                "grace_s": 0.1,
                "stale_s": 5,
                "close_s": 1,
                "practice": {"start": "2024-07-03T13:29:00Z", "origin": origin, "jumps": jumps},
            },
            "ray": {"num_cpus": 2},
        }
        config, kept = tmp_path / "live.yaml", tmp_path / "kept"
        config.write_text(yaml.safe_dump(settings))
        recording = tmp_path / "out" / f"live-{DAY}-recording.jsonl"
        command = [sys.executable, "-m", "barray", "run", str(config), "--quiet", "--checkpoint", str(kept)]
        running = subprocess.Popen(command, env={**os.environ, MARK: str(kept), "BARRAY_COLD": "1"})
        try:
            wait_until(lambda: lines_of(recording, "go") > 40 or running.poll() is not None, 120)
            assert running.poll() is None
        finally:
            for process in members(str(kept)):
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            running.wait(30)
        decided, looked = lines_of(recording, "pages"), lines_of(recording, "look")
        assert decided
        assert looked
        assert stored(kept).finished is None
        resumed = subprocess.run(
            [sys.executable, "-m", "barray", "resume", str(kept), "--quiet"],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert resumed.returncode == 1, resumed.stderr
    assert "session of 2024-07-02" not in resumed.stderr, "it is told once that a date was over"
    assert stored(kept).finished is not None
    dump = tmp_path / "out" / f"live-{DAY}.json"
    events = [(one["action"], one["symbol"]) for one in json.loads(dump.read_bytes())["events"]]
    assert ("resume", "") in events
    assert ("add_symbol", "SPY") in events
    assert {symbol for action, symbol in events if action == "add_symbol"} & set(SCAN["universe"])
    assert run_command("validate-dump", dump).exit_code == 0
    again = run_command("replay-day", recording)
    assert again.exit_code == 0, again.output
    assert "identical decisions" in again.output
    assert "identical hits of scans, at 21 times" in again.output
    assert list((tmp_path / "out").glob("*recording*")) == [recording]
    assert lines_of(recording, "pages") > decided
