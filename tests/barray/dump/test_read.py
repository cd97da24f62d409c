"""A dump read back is what was written."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import barray
from barray.dump.writers.csv import write_csv
from barray.dump.writers.json import write_json
from barray.dump.writers.parquet import write_parquet
from barray.market.errors import ConfigError, DataError
from tests.barray.dump_builder import build, laid_out, tree_of
from tests.examples import at_most
from tests.market.builders import HALF_DAY

WEEK = [build(60), build(), build(210, HALF_DAY), build(100, hours="extended")]


@pytest.mark.parametrize("built", WEEK)
def test_json_written_again_is_the_same_to_the_byte(built: Any, tmp_path: Path) -> None:
    path = built.write(tmp_path / "dump.json")
    dump = barray.read_dump(path)
    assert dump.summary is not None
    again = write_json(tmp_path / "again.json", dump.summary, dump.symbols.values())
    assert again.read_bytes() == path.read_bytes()


def test_a_json_dump_has_the_sessions_own_tables(tmp_path: Path) -> None:
    """Given bars whole, derived intraday ones of the session; indicator values where the dump has them."""
    built = build()
    dump = barray.read_dump(str(built.write(tmp_path / "dump.json")))
    for data in built.symbols:
        read = dump.symbols[data.symbol]
        for name, series in data.bars.items():
            given = pl.DataFrame(data.table("bars", name))
            if series.derived_from is not None and series.interval.is_intraday:
                given = given.filter(~pl.col("history"))
            assert pl.DataFrame(read.table("bars", name)).equals(given), (data.symbol, name)
        for what in ("quality", "gaps"):
            assert pl.DataFrame(read.table(what)).equals(pl.DataFrame(data.table(what)))
        session = pl.DataFrame(data.table("indicators", "5m")).slice(data.bars["5m"].history)
        assert pl.DataFrame(read.table("indicators", "5m")).tail(len(session)).equals(session)
        for name in ("lineage", "conflicts", "adhoc_bars", "adhoc_indicators", "base_interval", "now_ns"):
            assert getattr(read, name) == getattr(data, name), name
        assert read.metadata_dict() == data.metadata_dict()


def test_a_json_dump_has_the_sessions_summary(tmp_path: Path) -> None:
    built = build()
    summary = barray.read_dump(built.write(tmp_path / "dump.json")).summary
    unmeasured = {symbol: replace(result, elapsed_s=0.0) for symbol, result in built.summary.step0.items()}
    assert summary == replace(built.summary, step0=unmeasured)


@pytest.mark.long
def test_parquet_gives_every_row_back(tmp_path: Path) -> None:
    built = build()
    dump = barray.read_dump(write_parquet(tmp_path / "tables", built.summary, built.symbols))
    assert list(dump.symbols) == [data.symbol for data in built.symbols]
    for data in built.symbols:
        read = dump.symbols[data.symbol]
        for name in data.bars:
            assert pa.table(read.table("bars", name)).equals(pa.table(data.table("bars", name))), name
            values = pl.DataFrame(read.table("indicators", name))
            written = pl.DataFrame(data.table("indicators", name))  # sorted by key in the file
            assert values.select(sorted(values.columns)).equals(written.select(sorted(written.columns))), name
        assert read.metadata_dict() == data.metadata_dict()
        assert (read.lineage, read.quality, read.adhoc_bars) == (data.lineage, data.quality, data.adhoc_bars)
    unmeasured = {symbol: replace(result, elapsed_s=0.0) for symbol, result in built.summary.step0.items()}
    assert dump.summary == replace(built.summary, step0=unmeasured)


@pytest.mark.long
def test_parquet_written_again_is_the_same_to_the_byte(tmp_path: Path) -> None:
    built = build()
    first = write_parquet(tmp_path / "first", built.summary, built.symbols)
    again = write_parquet(tmp_path / "again", built.summary, barray.read_dump(first).symbols.values())
    for name in ("bars.parquet", "indicators.parquet", "symbols.parquet"):
        assert (again / name).read_bytes() == (first / name).read_bytes()


def test_csv_gives_a_table_a_symbol(tmp_path: Path) -> None:
    built = build()
    dump = barray.read_dump(write_csv(tmp_path / "dump.csv", built.summary, built.symbols))
    gap = next(data for data in built.symbols if data.symbol == "GAP")
    rows = pl.DataFrame(dump.rows["GAP"])
    assert len(rows) == 390
    bars = rows.filter(pl.col("close").is_not_null())
    session = pl.DataFrame(gap.table("bars", "1m")).filter(~pl.col("history"))
    assert bars["close"].to_list() == session["close"].to_list()
    assert bars["timestamp"].to_list() == session["timestamp"].to_list()
    assert rows["quality"][-1] == 381 / 390
    assert dump.symbols["HAND"].auto_provisioned
    assert dump.symbols["LATE"].added_by == "strategy"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "line 1"),
        (b"[]", "file"),
        (b'{"symbols":{}}', "schema"),
        (b'{"schema":"barray.session/1","symbols":{}}', "session"),
    ],
)
def test_what_is_no_dump_is_refused_with_the_place(content: bytes, place: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=place):
        barray.read_dump(path)


def test_a_column_that_is_too_short_is_named(tmp_path: Path) -> None:
    tree = tree_of(build().write(tmp_path / "dump.json"))
    tree["symbols"]["GAP"]["bars"]["5m"]["close"].pop()
    (tmp_path / "short.json").write_bytes(laid_out(tree))
    with pytest.raises(DataError, match=r"symbols\.GAP\.bars\.5m\.close: length"):
        barray.read_dump(tmp_path / "short.json")


def test_a_file_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        barray.read_dump(tmp_path / "none.json")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bars\.parquet"):
        barray.read_dump(tmp_path)
    built = build()
    folder = write_parquet(tmp_path / "tables", built.summary, built.symbols)
    pq.write_table(pa.table({"symbol": ["A"]}), folder / "bars.parquet")
    with pytest.raises(DataError, match=r"bars\.parquet: .* is not as a dump has it"):
        barray.read_dump(folder)


@pytest.mark.long
def test_values_that_begin_beyond_all_bars_are_named_and_cost_no_memory(tmp_path: Path) -> None:
    tree = tree_of(build(60).write(tmp_path / "dump.json"))
    tree["symbols"]["ALL"]["indicators"]["RSI(14)@5m"]["first_bar"] = 10**15
    (tmp_path / "spoilt.json").write_bytes(laid_out(tree))
    with pytest.raises(DataError, match=r"symbols\.ALL\.indicators\.RSI\(14\)@5m: length"):
        barray.read_dump(tmp_path / "spoilt.json")


def test_a_cell_of_two_lines_is_told_in_one(tmp_path: Path) -> None:
    built = build(60)
    path = write_csv(tmp_path / "dump.csv", built.summary, built.symbols)
    rows = path.read_text().splitlines()
    rows[1] = rows[1].replace(rows[1].split(",")[1], '"10\n31"', 1)
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError, match="ALL_open: not_a_number") as refused:
        barray.read_dump(path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("seed", range(at_most(40)))
def test_a_dump_spoilt_anywhere_is_read_or_refused_and_nothing_else(seed: int, tmp_path: Path) -> None:
    """One value somewhere is replaced by another kind of value."""
    tree = tree_of(build(60).write(tmp_path / "dump.json"))
    tree["symbols"] = {name: tree["symbols"][name] for name in ("HAND", "UP")}
    _spoil(tree, random.Random(seed))
    (tmp_path / "spoilt.json").write_text(json.dumps(tree))
    with suppress(DataError):
        assert set(barray.read_dump(tmp_path / "spoilt.json").symbols) <= {"HAND", "UP"}


def _spoil(node: Any, chance: random.Random) -> None:
    """Go down the tree at random and replace what is found there."""
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = chance.choice(list(keys))
        below = node[key]
        if isinstance(below, dict | list) and below and chance.random() < 0.9:
            node = below
            continue
        node[key] = chance.choice([None, -1, 2**70, "", "9m", "2024-13-01T00:00:00Z", [], {}, True, "1970-01-01"])
        return


def test_the_summary_of_a_dump_shows_in_a_notebook(tmp_path: Path) -> None:
    page = barray.read_dump(build().write(tmp_path / "dump.json"))._repr_html_()
    assert str(date(2024, 6, 5)) in page
    assert "GAP" in page
