"""`barray scan` over a sample universe: found by listings and by what is stored, with what is broken told of."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import barray
from barray.market.errors import ConfigError
from barray.trading.scans.result import ScanResult
from tests.commands import run_command

pytestmark = pytest.mark.ray
EXAMPLE = Path("examples/gappers.yaml")
DAYS = (date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("universe")
    made = run_command("sample-data", root, "--universe", 520, "--sessions", 4, "--days", 30)
    assert made.exit_code == 0, made.output
    return root


@pytest.fixture
def config(stored: Path, tmp_path: Path) -> dict[str, Any]:
    """The example, on the universe."""
    told: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    for source in told["sources"]:
        source["root"] = str(stored / Path(source["root"]).name)
    told["listings"] = str(stored / "listings.csv")
    told["tables"]["sectors"]["path"] = str(stored / "sectors.csv")
    told["scans"][0]["path"] = str(EXAMPLE.parent.resolve() / told["scans"][0]["path"])
    told["session"] = {"start": DAYS[0], "end": DAYS[-1]}
    told["report"] = {"directory": str(tmp_path / "out"), "formats": ["parquet", "csv", "json"]}
    return told


def written(config: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def rows(result: ScanResult) -> list[tuple[object, ...]]:
    return [(row.scan, row.at_ns, row.symbol, row.place, row.score) for one in result.sessions for row in one.kept]


def test_a_command_writes_who_was_found_when(config: dict[str, Any], tmp_path: Path) -> None:
    done = run_command("scan", written(config, tmp_path / "gappers.yaml"), "--quiet", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert list(told["sessions"]) == [day.isoformat() for day in DAYS]
    assert told["skipped"] == {}
    assert told["sessions"]["2024-07-05"]["left_out"] > 0  # broken on the last date
    hits = pq.read_table(tmp_path / "out" / "gappers" / "hits.parquet").to_pandas()
    assert set(hits["scan"]) == {"Gappers", "quiet_losers"}
    assert (hits["place"] <= 30).all()
    more = ("--forward", "30m,close,1d", "--history")
    again = run_command("scan", tmp_path / "gappers.yaml", "--quiet", "--out", tmp_path / "again", *more)
    assert again.exit_code == 0, again.output
    for told_too in ("Gappers, quiet_losers: 3 sessions", "What hits earned, by place", "Who was found when, and why"):
        assert told_too in again.stdout
    earned = pq.read_table(tmp_path / "again" / "returns.parquet").to_pandas()
    assert len(earned) == len(hits)
    assert earned["close"].notna().all()
    assert earned["1d"].isna().sum() == (hits["session"] == DAYS[-1]).sum()  # nothing is stored after it
    by_hand = earned[(earned["symbol"] == earned["symbol"][0]) & (earned["session"] == DAYS[0])]
    ends = by_hand["price"] * (1 + by_hand["close"])
    assert ends.max() == pytest.approx(ends.min())
    assert pq.read_table(tmp_path / "again" / "factor.parquet").column_names == ["scan", "date", "asset", "factor"]
    for path in [one for one in map(Path, told["files"]) if one.name != "scan.json"]:
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_scan_finds_beside_others_what_it_finds_alone(config: dict[str, Any], ray_here: None) -> None:
    whole = barray.scan(config)
    assert {one.universe["Gappers"] for one in whole.sessions} != {0}
    apart = barray.scan({**config, "name": "apart", "scans": config["scans"][:1]})
    assert rows(apart) == [row for row in rows(whole) if row[0] == "Gappers"]


def test_a_day_whose_file_is_broken_is_skipped_with_the_reason(
    config: dict[str, Any], stored: Path, tmp_path: Path, ray_here: None
) -> None:
    minutes = tmp_path / "minutes"
    minutes.mkdir()
    for path in (stored / "minutes").iterdir():
        content = path.read_bytes()
        (minutes / path.name).write_bytes(content[:2000] if "07-03" in path.name else content)
    config["sources"][0]["root"] = str(minutes)
    config["scans"] = [{"name": "movers", "at": "10:00", "where": "change_since_open > 0.005"}]
    result = barray.scan(config)
    assert [one.day for one in result.sessions] == [DAYS[0], DAYS[2]]
    assert "2024-07-03.parquet is no readable Parquet file" in result.skipped["2024-07-03"]
    assert all(one.kept for one in result.sessions)


def test_what_cannot_be_meant_is_said_before_anything_starts(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="has no scans; add scans"):
        barray.scan({**config, "scans": [], "symbols": ["AAPL"], "intervals": ["1m"]})
    with pytest.raises(ConfigError, match="there are no listings of that name; add listings"):
        barray.scan({**config, "listings": {}})
    with pytest.raises(ConfigError, match=r"scans\[0\].*neither code .* nor where"):
        barray.scan({**config, "scans": [{"name": "empty"}]})
    with pytest.raises(ConfigError, match="2 scans are called twice"):
        barray.scan({**config, "scans": [{"name": "twice", "where": "gap > 0"}] * 2})
    with pytest.raises(ConfigError, match=r"No such file or directory; check scans\.path"):
        barray.scan({**config, "scans": [{"path": "nowhere.py"}]})


def test_a_session_promotes_what_its_scans_find_and_shows_what_they_saw(
    config: dict[str, Any], tmp_path: Path, ray_here: None
) -> None:
    config["session"] = {"start": DAYS[-1], "end": DAYS[-1]}
    config["intervals"], config["export"] = ["1m"], {"directory": str(tmp_path / "out"), "formats": ["json", "parquet"]}
    with barray.Session(config) as session:
        session.begin()
        session.advance_to("10:05")
        summary = session.summary()
        assert summary.scanned is not None
        now = [row for row in summary.scanned.kept if row.at_ns == summary.now_ns and row.scan == "Gappers"]
        full = [row for row in now if session.get_symbol_metadata(row.symbol).added_by == "scanner"]  # type: ignore[union-attr]
        assert 0 < len(full) <= 5
        for row in full:
            seen = session.snapshot(row.symbol).indicators["RSI(14)@5m"].values["real"]
            assert seen[-1] == row.values["RSI(14)@5m"]
        session.advance_to()
        ended = session.end()
        files = session.export()
        session.teardown()
    added = [event for event in ended.events if event.action == "add_symbol"]
    assert added
    assert {event.by for event in added} == {"scanner"}
    dump = next(path for path in files if path.suffix == ".json" and "scans" not in str(path))
    told = run_command("validate-dump", dump)
    assert told.exit_code == 0, told.output
    hits = next(path for path in files if path.name == "hits.parquet")
    assert pq.read_table(hits).num_rows == len(ended.scanned.kept)  # type: ignore[union-attr]


HOLDER = """
from barray import Strategy

class Holder(Strategy):
    def on_window(self, view):
        for symbol in view.symbols:
            if symbol not in view.positions and view.minutes_to_close > 60:
                view.order(symbol, 10)
"""


def test_a_strategy_trades_what_scans_promote_and_what_it_holds_is_not_evicted(
    config: dict[str, Any], tmp_path: Path, ray_here: None
) -> None:
    (tmp_path / "holder.py").write_text(HOLDER)
    before_close = {"every": "15m", "since": "09:45", "until": "12:45"}  # at which what was added is sold
    movers = {"name": "movers", "at": before_close, "where": "change_since_open > 0.002"}
    movers |= {"rank": "change_since_open", "keep": {"top": 6}, "promote": {"full": 3, "evict": "rank", "light": 0}}
    config |= {"session": {"start": DAYS[1]}, "intervals": ["1m"], "scans": [movers]}
    config |= {"strategy": {"path": str(tmp_path / "holder.py"), "window": "15m"}, "account": {"shared": True}}
    config["export"] = {"directory": str(tmp_path / "out")}
    done = run_command("run", written(config, tmp_path / "held.yaml"), "--quiet", "--json")
    assert done.exit_code == 0, done.output
    [session] = json.loads(done.stdout)["sessions"]
    bought = [event["symbol"] for event in session["events"] if event["action"] == "add_symbol" and event["accepted"]]
    assert len(bought) >= 3
    removed = [event["symbol"] for event in session["events"] if event["action"] == "remove_symbol"]
    held = {symbol for symbol, one in session["symbols"].items() if one["state"].startswith("full")}
    assert len(held) == 3
    assert not held.intersection(removed)
    dump = next(path for path in session["files"] if path.endswith(".json") and "scans" not in path)
    trading = json.loads(Path(dump).read_bytes())["trading"]
    assert {fill["symbol"] for fill in trading["fills"]} >= held
    told = run_command("validate-dump", dump)
    assert told.exit_code == 0, told.output
