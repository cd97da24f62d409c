"""Dumps of sessions with daily bars of another source: both series are there, and each of their numbers is proved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import barray
from barray.dump.validate import validate_session_dump
from barray.dump.writers.csv import write_csv
from barray.dump.writers.json import write_json
from barray.dump.writers.parquet import write_parquet
from tests.barray.dump_builder import Built, build, laid_out, signed, tree_of
from tests.market.builders import HALF_DAY

DAYS = "symbols", "ALL", "bars", "1d"


def built(**changes: Any) -> Built:
    return build(trailing_days=2, daily="days", **changes)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tree_of(built(minutes=61).write(tmp_path_factory.mktemp("dump") / "session.json"))


@pytest.mark.long
@pytest.mark.parametrize("changes", [{}, {"minutes": 61}, {"minutes": 210, "day": HALF_DAY}])
def test_dumps_as_written_are_true_and_read_back_the_same(changes: dict[str, Any], tmp_path: Path) -> None:
    made = built(**changes)
    path = made.write(tmp_path / "dump.json")
    folder = write_parquet(tmp_path / "tables", made.summary, made.symbols)
    sheet = write_csv(tmp_path / "dump.csv", made.summary, made.symbols)
    assert [validate_session_dump(one) for one in (path, folder, sheet)] == [[], [], []]
    dump, tables = barray.read_dump(path), barray.read_dump(folder)
    assert dump.summary is not None
    assert write_json(tmp_path / "again.json", dump.summary, dump.symbols.values()).read_bytes() == path.read_bytes()
    again = write_parquet(tmp_path / "again", made.summary, tables.symbols.values())
    for file in folder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    for data in made.symbols:
        for read in (dump.symbols[data.symbol], tables.symbols[data.symbol]):
            assert read.daily_lineage == data.daily_lineage
            if "1d" in data.bars:
                assert read.bars["1d"].given == data.bars["1d"].given


def test_a_dump_names_both_sources_and_what_each_gave(tree: dict[str, Any]) -> None:
    entry, wanted = tree["symbols"]["ALL"], tree["requirements"]
    assert (wanted["daily"], wanted["daily_first"], wanted["history_first"]) == ("days", "2024-05-20", "2024-06-03")
    assert (entry["lineage"]["source"], entry["lineage"]["interval"]) == ("memory", "1m")
    lineage = entry["daily_lineage"]
    assert (lineage["source"], lineage["interval"], lineage["bars"]) == ("days", "1d", 8)
    assert (lineage["first"][:10], lineage["last"][:10]) == ("2024-05-20", "2024-05-31")
    assert entry["bars"]["1d"]["given"] == 8
    assert entry["bars"]["1w"]["derived_from"] == "1d"
    assert tree["step0"]["ALL"]["daily_date_range"] == ["2024-05-20", "2024-05-31"]
    assert "daily_lineage" not in tree["symbols"]["HAND"]


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if not isinstance(tree, dict | list):
        yield path
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(value, (*path, key))


def changed(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value}x"
    return not value if isinstance(value, bool) else value + 1


@pytest.mark.long
def test_each_number_of_the_daily_series_is_proved_without_the_dumps_digest(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    entry = tree["symbols"]["ALL"]
    paths = [
        *(("symbols", "ALL", "bars", "1d", *path) for path in leaves(entry["bars"]["1d"])),
        *(("symbols", "ALL", "bars", "1w", *path) for path in leaves(entry["bars"]["1w"])),
        *(("symbols", "ALL", "daily_lineage", *path) for path in leaves(entry["daily_lineage"])),
        *(("symbols", "ALL", "history_quality", "1d", *path) for path in leaves(entry["history_quality"]["1d"])),
        ("requirements", "daily"),
        ("requirements", "daily_first"),
        ("step0", "ALL", "daily_source"),
        ("step0", "ALL", "daily_date_range", 0),
    ]
    edges = {0, 7, 8, 9}  # the first and last day of each source
    text, path_of = orjson.dumps(tree), tmp_path / "session.json"
    for path in paths:
        edited = orjson.loads(text)
        parent = edited
        for key in path[:-1]:
            parent = parent[key]
        if path[-1] == "dataset" or (isinstance(path[-1], int) and path[-1] not in edges):
            continue  # a dataset is told by the dump's digest alone
        parent[path[-1]] = changed(parent[path[-1]])
        path_of.write_bytes(laid_out(signed(edited)))
        assert validate_session_dump(path_of), path


@pytest.mark.parametrize("section", ["daily_lineage", "given", "digest"])
def test_what_tells_of_the_second_series_cannot_be_left_out(tree: dict[str, Any], tmp_path: Path, section: str) -> None:
    edited = orjson.loads(orjson.dumps(tree))
    entry = edited["symbols"]["ALL"]
    (entry if section == "daily_lineage" else entry["bars"]["1d"]).pop(section)
    path = tmp_path / "session.json"
    path.write_bytes(laid_out(signed(edited)))
    assert validate_session_dump(path)
