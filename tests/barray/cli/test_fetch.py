"""`barray fetch` against a vendor's server: what it brings, what it says, and what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from barray.data_sources.fetching.store import STORE_LAYOUT
from barray.data_sources.parquet.source import ParquetSource
from barray.market.interval import Interval
from barray.market.requirements import calendar_for
from barray.sample.universe import write_sample_data
from tests.commands import run_command
from tests.market.builders import new_york_ns, require, sessions_of, walk
from tests.vendors.schwab_server import KEYS, SchwabServer, token_file, told
from tests.vendors.serving import serving

SESSIONS = calendar_for(require("1d"), "XNYS", date(2024, 6, 3), date(2024, 7, 31), source=sessions_of).sessions
TRUTH = walk(np.array([new_york_ns(day.item(), "00:00") for day in SESSIONS.dates], np.int64), 3)

MEAN = """
from barray import Strategy, parameter

class Mean(Strategy):
    interval = "1d"
    days: int = parameter(3, low=1)

    def indicators(self):
        return {"mean": f"SMA({self.days + 1})"}

    def on_bar(self, ctx):
        pass
"""


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHWAB_API_KEY", KEYS.key)
    monkeypatch.setenv("SCHWAB_APP_SECRET", KEYS.secret)
    for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[SchwabServer]:
    with serving(SchwabServer({"AAPL": TRUTH, "MSFT": TRUTH})) as running:
        yield running


@pytest.fixture
def config(server: SchwabServer, tmp_path: Path) -> Path:
    token = token_file(tmp_path, server.new_access(), now_ns=time.time_ns())
    path = tmp_path / "session.yaml"
    source = {"type": "schwab", "url": server.url, "token": str(token), "give_up_s": 1}
    session = {"start": "2024-07-01", "end": "2024-07-12"}
    path.write_text(
        json.dumps({"session": session, "symbols": ["AAPL", "MSFT"], "intervals": ["1d"], "sources": [source]})
    )
    return path


def fetch(*arguments: object) -> Result:
    return run_command("fetch", *map(str, arguments))


@pytest.mark.long
def test_what_a_config_needs_is_fetched_once(config: Path, server: SchwabServer) -> None:
    result = fetch("--config", config, "--source", "schwab", "--interval", "1d")
    assert result.exit_code == 0, result.output
    assert "2 symbols, 18 new bars, 2 requests" in result.output
    loaded = SESSIONS.take(slice(SESSIONS.index(date(2024, 7, 1)), 1 + (SESSIONS.index(date(2024, 7, 12)) or 0)))
    store = ParquetSource(str(config.parent / "bars" / "schwab-split"), "store", STORE_LAYOUT)
    read = store.read_bars("MSFT", Interval.parse("1d"), loaded)
    assert read.close.tolist() == TRUTH.take(np.isin(SESSIONS.dates, loaded.dates)).close.tolist()
    again = fetch("--config", config, "--source", "schwab", "--interval", "1d")
    assert "0 new bars, 0 requests" in again.output
    assert len(server.asked) == 2


@pytest.mark.long
def test_all_that_a_configs_runs_need_is_fetched_ahead_of_time(config: Path, server: SchwabServer) -> None:
    (config.parent / "mean.py").write_text(MEAN)
    settings = json.loads(config.read_text())
    section = {"path": str(config.parent / "mean.py")}
    config.write_text(json.dumps({**settings, "strategy": section, "sweep": {"parameters": {"days": [2, 5]}}}))
    result = fetch("--config", config, "--source", "schwab")
    assert "2 symbols, 28 new bars, 2 requests" in result.output  # nine days, and five before them
    checked = run_command("check", str(config), "--json")
    found = json.loads(checked.stdout)["sessions"]
    assert {one["can_proceed"] for results in found.values() for one in results.values()} == {True}
    assert found["2024-07-01"]["AAPL"]["historical_date_range"] == ["2024-06-24", "2024-06-28"]
    assert len(server.asked) == 2  # the check has asked for no more


@pytest.mark.long
def test_what_a_configs_scans_look_at_is_fetched_of_the_symbols_that_they_name(
    config: Path, server: SchwabServer
) -> None:
    scan = {"name": "high", "universe": ["AAPL", "MSFT"], "at": "close", "daily": "highest(7) > 0", "where": "gap > 0"}
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "symbols": [], "scans": [scan]}))
    result = fetch("--config", config, "--source", "schwab")
    assert "2 symbols, 32 new bars, 2 requests" in result.output, result.output  # nine days, and seven before them


@pytest.mark.long
def test_of_a_source_of_daily_history_its_days_are_fetched(config: Path, server: SchwabServer, tmp_path: Path) -> None:
    write_sample_data(tmp_path / "minutes", symbols=["AAPL", "MSFT"], start=date(2024, 6, 28), end=date(2024, 7, 2))
    settings = json.loads(config.read_text())
    settings["session"]["end"] = "2024-07-02"
    settings["sources"].insert(0, {"root": str(tmp_path / "minutes")})
    history = {"trailing_days": 1, "daily": "schwab"}
    config.write_text(json.dumps({**settings, "intervals": ["1m"], "indicators": ["SMA(9)@1d"], "history": history}))
    ahead = fetch("--config", config, "--source", "schwab", "--plan", "--json")
    assert json.loads(ahead.stdout)["requests"] == 2
    checked = run_command("check", str(config), "--deep", "--json")  # fetches what is missing itself
    found = json.loads(checked.stdout)["sessions"]
    assert found["2024-07-01"]["AAPL"]["daily_date_range"] == ["2024-06-18", "2024-06-27"]
    assert found["2024-07-02"]["MSFT"]["daily_date_range"] == ["2024-06-20", "2024-06-28"]
    assert {one["can_proceed"] for results in found.values() for one in results.values()} == {True}
    assert {request["frequencyType"] for request in server.asked} == {"daily"}
    again = fetch("--config", config, "--source", "schwab")
    assert "0 new bars, 0 requests" in again.output


@pytest.mark.long
def test_a_configs_interval_is_taken_with_other_dates_and_its_dates_with_another_end(
    config: Path, server: SchwabServer
) -> None:
    since = json.loads(
        fetch("AAPL", "--config", config, "--source", "schwab", "--start", "2024-07-10", "--json").output
    )
    assert since["bars"] == (SESSIONS.dates >= np.datetime64("2024-07-10")).sum()
    until = json.loads(fetch("MSFT", "--config", config, "--source", "schwab", "--end", "2024-07-03", "--json").stdout)
    assert until["bars"] == 3
    none = fetch("MSFT", "--config", config, "--source", "schwab", "--end", "2024-06-03")
    assert none.exit_code == 2
    assert "before the history that the config needs" in none.output


def test_what_the_vendor_cannot_serve_of_a_config_is_refused(config: Path, server: SchwabServer) -> None:
    config.write_text(config.read_text().replace('["1d"]', '["1d", "5s"]'))
    result = fetch("--config", config, "--source", "schwab")
    assert result.exit_code == 2
    assert "5s" in result.output
    assert not server.asked


@pytest.mark.long
def test_a_plan_asks_nobody(config: Path, server: SchwabServer) -> None:
    options = ("--config", config, "--source", "schwab", "--interval", "1d")
    assert "2 symbols: about 2 requests, 0.0 minutes" in fetch(*options, "--plan").output
    planned = json.loads(fetch("A", "B,C", *options, "--plan", "--json").stdout)
    assert (planned["symbols"], planned["requests"]) == (3, 3)
    assert not server.asked
    fetch(*options)
    assert "nothing is missing" in fetch(*options, "--plan").output


@pytest.mark.long
def test_symbols_come_from_a_file_and_the_range_from_options(
    config: Path, server: SchwabServer, tmp_path: Path
) -> None:
    (tmp_path / "symbols.txt").write_text("# mine\nAAPL\n\nNOPE\n")
    options = ("--config", config, "--source", "schwab", "--interval", "1d", "--start", "2024-06-10")
    done = json.loads(fetch(f"@{tmp_path / 'symbols.txt'}", *options, "--end", "2024-06-14", "--json").stdout)
    assert (done["symbols"], done["bars"], done["requests"], done["failures"]) == (2, 5, 2, {})
    assert fetch("AAPL", *options, "--end", "2024-06-10", "--json").exit_code == 0
    assert len(server.asked) == 2


@pytest.mark.long
def test_a_failure_is_named_with_its_reason_and_the_exit_code_says_so(config: Path, server: SchwabServer) -> None:
    server.fault = lambda symbol: "nan" if symbol == "MSFT" else None
    result = fetch("--config", config, "--source", "schwab", "--interval", "1d", "--json")
    assert result.exit_code == 1
    done = json.loads(result.stdout)
    assert list(done["failures"]) == ["MSFT"]
    assert "makes no sense" in done["failures"]["MSFT"]["message"]
    server.fault = told(None)
    again = fetch("--config", config, "--source", "schwab", "--interval", "1d")
    assert again.exit_code == 0
    assert "9 new bars, 1 requests" in again.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("AAPL",), "there is no --start"),
        (("AAPL", "--start", "2024-13-01"), "write dates as 2024-07-01"),
        (("AAPL", "--start", "2024-07-02", "--end", "2024-07-01"), "exchange them"),
        (("--start", "2024-07-01"), "there are no symbols"),
        (("AAPL", "--all", "--start", "2024-07-01"), "give one"),
        (("@/nosuch", "--start", "2024-07-01"), "cannot read /nosuch"),
        (("AAPL", "--start", "2024-07-01", "--source", "yahoo"), "take one of alpaca, schwab"),
        (("AAPL", "--start", "2024-07-01", "--interval", "7m"), "does not serve 7m"),
        (("AAPL", "--start", "2024-07-01", "--interval", "x"), "'x'"),
        (("AAPL", "--start", "2024-07-01", "--feed", "x"), "fetch: feed: 'x'"),
        (("AAPL", "--start", "2024-07-01"), "APCA_API_KEY_ID and APCA_API_SECRET_KEY are not set"),
        (("AAPL", "--start", "2024-07-01", "--source", "schwab"), "fetch: token: is missing"),
        (("AAPL", "--start", "2024-07-01", "--source", "schwab", "--token", "/nosuch"), "/nosuch"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = fetch(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_bad_symbols_are_failures_and_touch_no_path(config: Path, server: SchwabServer) -> None:
    result = fetch(
        "../../etc", "A" * 1000, "AAPL", "--config", config, "--source", "schwab", "--interval", "1d", "--json"
    )
    done = json.loads(result.stdout)
    assert {reason["code"] for reason in done["failures"].values()} == {"bad_symbol"}
    assert len(done["failures"]) == 2
    assert done["bars"] == 9
    assert sorted(path.name for path in (config.parent / "bars" / "schwab-split").iterdir()) == ["AAPL"]


def test_everything_active_cannot_be_asked_of_a_vendor_that_does_not_say(config: Path) -> None:
    result = fetch("--all", "--config", config, "--source", "schwab", "--interval", "1d")
    assert result.exit_code == 1
    assert "no list of its symbols" in result.output
