"""What scans found, in a dump: whatever is changed in it is found, also where all digests are made anew."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

import barray
from barray.coordinator.summary import SessionSummary
from barray.dump.digest import SessionDigest
from barray.dump.validate import check_dump
from barray.dump.violations import Violation
from tests.coordinator.traded import TradedSession, settings_of
from tests.trading.windows import HEAD

MOVERS = {
    "name": "movers",
    "universe": "everything",
    "at": {"every": "30m", "since": "10:00"},
    "where": "session_volume > 0",
    "rank": "RSI(14)@5m",
    "keep": {"top": 2, "leave_below": 3},
    "promote": {"full": 1, "evict": "rank", "light": 1},
    "carry": ["RSI(14)@5m"],
}
LOSERS = {**MOVERS, "name": "losers", "rank": "-change_since_open", "promote": {"full": 1, "light": 0}, "carry": []}
HOLDER = HEAD + (
    "class Holder(Strategy):\n"
    "    def on_window(self, view):\n"
    "        for symbol in view.symbols:\n"
    "            if symbol not in view.positions and view.minutes_to_close > 60: view.order(symbol, 10)\n"
)


def settings_with(universe: Path, *scans: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A session with scans alone; a strategy, if any, looks every half hour."""
    told = settings_of(universe, scans=list(scans), account={"shared": True}, **changes)
    return {**told, "strategy": {"window": "30m"}}


@pytest.fixture(scope="module")
def settings(universe: Path) -> dict[str, Any]:
    return settings_with(universe, MOVERS, LOSERS)


@pytest.fixture(scope="module")
def held(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[SessionSummary, list[Path]]:
    """A day with a strategy that holds what is promoted, in all formats."""
    session, folder = TradedSession(settings, HOLDER), tmp_path_factory.mktemp("scanned")

    async def day() -> tuple[SessionSummary, list[Path]]:
        await session.begin()
        await session.coordinator.advance_to()
        summary = await session.coordinator.end()
        return summary, await session.dump(folder, ("json", "csv", "parquet"))

    return asyncio.run(day())


@pytest.fixture(scope="module")
def tree(held: tuple[SessionSummary, list[Path]]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(held[1][0].read_bytes())
    asked = {did["what"] for step in found["scans"]["steps"] for did in step["did"]}
    assert asked >= {"promote", "add", "let_go"}
    return found


def config_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "strategy"}


def violations(tree: dict[str, Any], path: Path, config: dict[str, Any] | None = None) -> list[Violation]:
    """What is wrong with a dump under a digest that is made anew."""
    changed = copy.deepcopy(tree)
    symbols = changed.pop("symbols")
    total = SessionDigest(changed)
    for name, entry in symbols.items():
        total.add(name, entry)
    path.write_text(json.dumps(changed | {"digest": total.hexdigest(), "symbols": symbols}))
    return check_dump(path, config=config).violations


@pytest.mark.long
def test_a_dump_with_scans_is_true_in_every_format_and_says_what_it_did_not_check(
    held: tuple[SessionSummary, list[Path]], settings: dict[str, Any]
) -> None:
    _, files = held
    assert [path.name for path in files if path.suffix == ".csv"] == [
        "traded-2024-07-02.csv",
        "traded-2024-07-02-trading.csv",
        "traded-2024-07-02-scans.csv",
    ]
    for path in files:
        found = check_dump(path, config=config_of(settings))
        assert (found.violations, found.unchecked) == ([], ()), path
    [said] = check_dump(files[0]).unchecked
    assert "not recomputed, because the config" in said
    elsewhere = {**config_of(settings), "sources": [{"root": "/nowhere"}]}
    [said] = check_dump(files[0], config=elsewhere).unchecked
    assert "/nowhere" in said
    other = {**config_of(settings), "scans": [{**MOVERS, "where": "session_volume > 1"}, LOSERS]}
    [said] = check_dump(files[0], config=other).unchecked
    assert "the config's scan movers is another one now" in said


@pytest.mark.long
def test_what_was_found_comes_back_as_it_was(held: tuple[SessionSummary, list[Path]]) -> None:
    summary, files = held
    for path in (files[0], files[-1]):
        dump = barray.read_dump(path)
        assert dump.summary is not None
        assert dump.summary.scanned is not None
        assert summary.scanned is not None
        for name in ("day", "kept", "visits", "instructions", "universe", "missing", "faults", "bars", "rules"):
            assert getattr(dump.summary.scanned, name) == getattr(summary.scanned, name), name


@pytest.mark.long
def test_a_hit_a_value_and_a_rank_that_are_changed_are_found_in_the_bars(
    tree: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    config, path = config_of(settings), tmp_path / "edited.json"
    assert violations(tree, path, config) == []
    for change in ("value", "score", "order", "hit"):
        edited = copy.deepcopy(tree)
        hits = edited["scans"]["steps"][3]["hits"][0]
        if change == "value":
            hits["values"]["RSI(14)@5m"][0] += 1e-9
        elif change == "score":
            hits["score"][1] += 1e-9
        elif change == "order":
            hits["symbols"][:2] = hits["symbols"][1::-1]
        else:
            hits["symbols"].append("ZZZZ")
        found = [one for one in violations(edited, path, config) if one.place.startswith("scans.steps[3].hits")]
        assert found, change
        assert found[0].code == "recomputed"
    edited = copy.deepcopy(tree)
    del edited["scans"]["steps"][-1]
    assert any(one.place.startswith("scans.steps.at") for one in violations(edited, path, config))
    edited = copy.deepcopy(tree)
    edited["scans"]["scans"][0]["looked_at"] += 1
    assert [one.place for one in violations(edited, path, config)] == ["scans.scans[0].looked_at"]


@pytest.mark.long
def test_a_promotion_that_is_missing_or_made_up_is_found_without_any_bars(tree: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "edited.json"
    steps = tree["scans"]["steps"]
    at, first = next(
        (n, k) for n, step in enumerate(steps) for k, did in enumerate(step["did"]) if did["what"] == "promote"
    )

    def places(edited: dict[str, Any]) -> str:
        return " ".join(one.place for one in violations(edited, path))

    edited = copy.deepcopy(tree)
    del edited["scans"]["steps"][at]["did"][first]
    assert f"scans.steps[{at}].did" in places(edited)
    edited = copy.deepcopy(tree)
    edited["scans"]["steps"][at]["did"][first]["by"].append("losers")
    assert f"scans.steps[{at}].did[{first}].by" in places(edited)
    edited = copy.deepcopy(tree)
    edited["scans"]["steps"][-1]["pinned"] = []
    assert f"scans.steps[{len(steps) - 1}].pinned" in places(edited)
    edited = copy.deepcopy(tree)
    edited["scans"]["visits"][0]["best"] += 1
    assert "scans.visits[0].best" in places(edited)
    edited = copy.deepcopy(tree)
    symbol = steps[at]["did"][first]["symbol"]
    edited["events"] = [
        one
        for one in edited["events"]
        if (one["symbol"], one["by"], one["action"]) != (symbol, "scanner", "add_symbol")
    ]
    assert f"scans.steps[{at}]" in places(edited)


@pytest.mark.long
def test_tables_of_parquet_say_what_the_header_says(held: tuple[SessionSummary, list[Path]], tmp_path: Path) -> None:
    import shutil

    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = held[1][-1]
    hits = pq.read_table(folder / "scan_hits.parquet")
    assert {"at", "scan", "place", "symbol", "score", "RSI(14)@5m"} <= set(hits.column_names)
    assert pq.read_table(folder / "fills.parquet").num_rows > 0
    for name in ("scan_hits", "scan_steps", "scan_visits", "fills", "orders", "decisions", "account"):
        copied = tmp_path / name
        shutil.copytree(folder, copied)
        table = pq.read_table(copied / f"{name}.parquet")
        pq.write_table(table.slice(1), copied / f"{name}.parquet")
        assert any(one.place.startswith(f"{name}.parquet") for one in check_dump(copied).violations), name
        (copied / f"{name}.parquet").unlink()
        assert any(one.place == f"{name}.parquet" for one in check_dump(copied).violations), name
    copied = tmp_path / "changed"
    shutil.copytree(folder, copied)
    table = pq.read_table(copied / "scan_hits.parquet")
    score = pa.array([one + 1 for one in table["score"].to_pylist()], pa.float64())
    at = table.schema.get_field_index("score")
    pq.write_table(table.set_column(at, "score", score), copied / "scan_hits.parquet")
    [first, *_] = check_dump(copied).violations
    assert first.place == "scan_hits.parquet[0].score"


@pytest.mark.long
def test_the_csv_of_what_scans_found_tells_edits_by_its_digest(
    held: tuple[SessionSummary, list[Path]], tmp_path: Path
) -> None:
    text = next(path for path in held[1] if path.name.endswith("-scans.csv")).read_text()
    assert {line.split(",")[3] for line in text.splitlines()[1:]} >= {"hit", "promote", "add"}
    edited = tmp_path / "edited.csv"
    edited.write_text(text.replace(",hit,1,", ",hit,2,", 1))
    assert {one.code for one in check_dump(edited).violations} == {"digest"}
