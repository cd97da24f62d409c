"""Questions about scans that need no Ray: what became of a symbol, and whether a hit depends on the future."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

import barray
from barray.market.errors import BarrayError, ConfigError
from barray.sample.listed import ListedUniverse, write_listed_universe
from tests.commands import run_command

pytestmark = pytest.mark.long
FRIDAY = date(2024, 7, 5)


@pytest.fixture(scope="module")
def universe(tmp_path_factory: pytest.TempPathFactory) -> ListedUniverse:
    return write_listed_universe(tmp_path_factory.mktemp("universe"), symbols=60, end=FRIDAY, sessions=4, days=30)


@pytest.fixture
def config(universe: ListedUniverse) -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(universe.sources)
    movers = {
        "name": "movers",
        "universe": "listed",
        "daily": "close(1) > 5",
        "at": {"every": "30m", "since": "09:45", "until": "11:15"},
        "where": ["change_since_open > 0", "relative_volume(1) > 0.2", "RSI(14)@1m > 20"],
        "rank": "change_since_open",
        "keep": {"top": 3},
    }
    late = {"name": "late", "at": "15:30", "where": "gap > 0.5"}
    return told | {
        "name": "asked",
        "session": {"start": "2024-07-03", "end": "2024-07-05"},
        "listings": str(universe.root / "listings.csv"),
        "scans": [movers, late],
    }


def written(config: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_command_says_at_each_time_which_stage_let_a_symbol_go(config: dict[str, Any], tmp_path: Path) -> None:
    path = written(config, tmp_path / "scan.yaml")
    done = run_command("scan", path, "--explain", "AMD", "--date", "2024-07-03", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    times = ["13:45", "14:15", "14:45", "15:15", "19:30"]  # of a half day, which ends at 17:00
    assert [one["timestamp"][11:16] for one in told] == times[:-1]
    assert all(one["text"].startswith("movers, AMD, 2024-07-03 ") for one in told)
    table = run_command("scan", path, "--explain", "AMD")
    assert table.exit_code == 0, table.output
    assert "AMD, 2024-07-05" in table.stdout
    assert "gap() > 0.5 does not hold" in " ".join(table.stdout.replace("│", " ").split())
    assert not (tmp_path / "barray-report").exists()


def test_what_is_explained_is_what_the_scan_found(config: dict[str, Any], universe: ListedUniverse) -> None:
    from barray.coordinator.config.file import as_config
    from barray.coordinator.prepare_scans import prepare_scan
    from barray.local.connection import load_calendar
    from barray.trading.scans.evaluate import session_hits
    from barray.trading.scans.follow import follow
    from barray.trading.scans.shard import ScanShard

    prepared = prepare_scan(as_config(config), load_calendar)
    plan, row = prepared.plans()[0], int(prepared.session_range.rows[-1])
    part = ScanShard(prepared.job(*prepared.found())).session(row, {}).parts["movers"]
    hits = session_hits(plan, "America/New_York", part.times_ns, [part])
    kept = {(one.at_ns, one.symbol): one for one in follow([plan], [hits]).kept}
    assert len({symbol for _, symbol in kept}) > 3
    stages = set()
    for symbol in [*{symbol for _, symbol in kept}, *universe.broken]:
        for told in barray.explain(config, symbol, scans=["movers"]):
            stages.add(told.stage)
            assert (told.stage == "found") == ((told.at_ns, symbol) in kept)
            if told.stage == "found":
                assert told.values == kept[told.at_ns, symbol].values
    assert stages >= {"found", "bars", "keep"}


def test_what_cannot_be_asked_is_refused_with_its_cause(config: dict[str, Any], tmp_path: Path) -> None:
    for given, told in [
        ({"day": "2024-07-04"}, r"^XNYS has no session on 2024-07-04"),
        ({"day": "yesterday"}, "'yesterday' is no date"),
        ({"at": "23:05"}, "the session 2024-07-05 does not hold 23:05"),
        ({"at": "9h"}, "'9h' is no time of day"),
        ({"scans": ["nobody"]}, "there is no scan nobody; there are: movers, late"),
        ({"at": "09:40"}, "movers has not run by then; it runs at: every"),
    ]:
        with pytest.raises(ConfigError, match=told):
            barray.explain(config, "AMD", **given)
    with pytest.raises(ConfigError, match="symbol"):
        barray.explain(config, "A/B")
    assert [one.scan for one in barray.explain(config, "AMD", at="10:00")] == ["movers"]
    assert [one.stage for one in barray.explain(config, "NOSUCH", at="close")] == ["universe", "universe"]
    lone = run_command("scan", written(config, tmp_path / "scan.yaml"), "--at", "10:00")
    assert (lone.exit_code, "--at goes with --explain; add --explain SYMBOL" in lone.output) == (2, True)
    (tmp_path / "semicolons.csv").write_text("symbol;start;end\nAMD;;\n")
    with pytest.raises(ConfigError, match=r"semicolons\.csv: its columns are not separated by commas"):
        barray.explain(config | {"listings": str(tmp_path / "semicolons.csv")}, "AMD")
    missing = {"name": "filed", "universe": {"file": "no.txt"}, "where": "gap > 0"}
    with pytest.raises(ConfigError, match=r"no\.txt: No such file .*; check the path of the file of the universe"):
        barray.explain(config | {"scans": [missing]}, "AMD")
    (tmp_path / "later.csv").write_text("symbol,start,end\nAMD,2030-01-01,\n")
    later = config | {"listings": str(tmp_path / "later.csv"), "scans": config["scans"][:1]}
    with pytest.raises(BarrayError, match=r"the universe is empty: listed\(\) names no symbol from 2024-07-05"):
        barray.explain(later, "AMD", day="2024-07-05")


PEEKING = """
import numpy as np
from barray import indicator
from barray.scans import Scan, at, col

@indicator(bars=0)
def rises(close):
    return np.append(close[1:], close[-1:]) - close

class Peeking(Scan):
    at = at("10:00")
    where = col(rises @ "1m") > 0
    rank = col("close")
"""


def test_a_scan_that_looks_ahead_is_told_with_symbol_and_time(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "peeking.py").write_text(PEEKING)
    config["scans"] = [config["scans"][0], {"path": str(tmp_path / "peeking.py")}]
    done = run_command("lookahead", written(config, tmp_path / "scan.yaml"), "--cuts", 3, "--json")
    assert done.exit_code == 1, done.output
    honest, peeking = json.loads(done.stdout)
    assert (honest["scan"], honest["verdict"]) == ("movers", "ok")
    assert (peeking["scan"], peeking["verdict"]) == ("Peeking", "looks ahead")
    symbol = peeking["sentences"][1].removeprefix("2024-07-03 10:00: ").partition(":")[0]
    told = run_command("lookahead", tmp_path / "scan.yaml", "--cuts", 3, "--symbols", symbol)
    assert (told.exit_code, f"2024-07-03 10:00: {symbol}: found" in " ".join(told.stdout.split())) == (1, True)
    nobody = run_command("lookahead", tmp_path / "scan.yaml", "--symbols", "NOSUCH")
    assert (nobody.exit_code, "no scan looks at NOSUCH" in nobody.output) == (2, True)
