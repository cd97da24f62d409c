from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import barray
from barray.dump.objects.parquet import digest_of
from barray.dump.validate import Violation, validate_session_dump
from barray.dump.writers.parquet import write_parquet
from barray.market.errors import DataError
from tests.barray.dump_builder import Built, build
from tests.examples import at_most

NAMES = ("bars.parquet", "indicators.parquet", "symbols.parquet")
HEADER, DIGEST = b"barray:header", b"barray:digest"
Tables = dict[str, Any]


def written(built: Built, folder: Path) -> Path:
    return write_parquet(folder, built.summary, built.symbols)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = written(build(), tmp_path_factory.mktemp("parquet"))
    return {
        name: pq.read_table(folder / name).replace_schema_metadata(pq.read_metadata(folder / name).metadata)
        for name in NAMES
    }


def check(tables: Tables, folder: Path) -> list[Violation]:
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / name)
    return validate_session_dump(folder)


def places(violations: list[Violation]) -> dict[str, str]:
    return {violation.place: violation.code for violation in violations}


def with_cell(tables: Tables, name: str, column: str, row: int, value: Any) -> Tables:
    table = tables[name]
    kind = table.schema.field(column).type
    values = table.column(column).combine_chunks()
    changed = pa.concat_arrays([values.slice(0, row), pa.array([value], kind), values.slice(row + 1)])
    return {**tables, name: table.set_column(table.schema.get_field_index(column), column, changed)}


def with_header(tables: Tables, **sections: Any) -> Tables:
    metadata = tables["symbols.parquet"].schema.metadata
    header = {**orjson.loads(metadata[HEADER]), **sections}
    table = tables["symbols.parquet"].replace_schema_metadata({**metadata, HEADER: orjson.dumps(header)})
    return {**tables, "symbols.parquet": table}


def signed(tables: Tables) -> Tables:
    """With the digest of what they hold: as a forger leaves them."""
    metadata = tables["symbols.parquet"].schema.metadata
    total = digest_of(tables, metadata[HEADER]).encode()
    return {**tables, "symbols.parquet": tables["symbols.parquet"].replace_schema_metadata({**metadata, DIGEST: total})}


@pytest.mark.long
@pytest.mark.parametrize(
    "built",
    [
        pytest.param(build, id="whole session"),
        pytest.param(lambda: build(minutes=61), id="in the middle of a bar"),
        pytest.param(lambda: build(minutes=960, hours="extended"), id="extended hours"),
        pytest.param(lambda: build(trailing_days=0), id="history for warm-up alone"),
    ],
)
def test_tables_as_written_are_true(built: Any, tmp_path: Path) -> None:
    assert validate_session_dump(written(built(), tmp_path)) == []


@pytest.mark.long
def test_tables_written_again_by_another_hand_are_true(tables: Tables, tmp_path: Path) -> None:
    for name, table in tables.items():
        pq.write_table(table, tmp_path / name, row_group_size=97, compression="snappy")
    assert validate_session_dump(tmp_path) == []


@pytest.mark.long
def test_a_cell_is_found_by_the_digest_and_by_what_follows_from_it(tables: Tables, tmp_path: Path) -> None:
    bars = tables["bars.parquet"].to_pandas()
    row = int(np.flatnonzero((bars["symbol"] == "ALL") & (bars["interval"] == "5m") & ~bars["history"])[17])
    edited = with_cell(tables, "bars.parquet", "high", row, 1000.0)
    assert places(check(edited, tmp_path / "edited")) == {
        "symbols.ALL.bars.5m[17].high": "derived_bar",
        "digest": "digest",
    }
    forged = signed(edited)
    assert places(check(forged, tmp_path / "forged")) == {"symbols.ALL.bars.5m[17].high": "derived_bar"}


@pytest.mark.long
def test_the_header_is_checked_as_that_of_json(tables: Tables, tmp_path: Path) -> None:
    metadata = tables["symbols.parquet"].schema.metadata
    step0 = orjson.loads(metadata[HEADER])["step0"]
    step0["ALL"]["has_historical_data"] = False
    edited = with_header(tables, step0=step0)
    expected = {"step0.ALL.has_historical_data": "step0"}
    assert places(check(edited, tmp_path / "edited")) == {**expected, "digest": "digest"}
    assert places(check(signed(edited), tmp_path / "forged")) == expected


@pytest.mark.long
@settings(max_examples=at_most(60), deadline=None, derandomize=True)
@given(st.data())
def test_any_cell_changed_is_rejected(
    tables: Tables, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(NAMES))
    table = tables[name]
    column = data.draw(st.sampled_from(table.schema.names))
    row = data.draw(st.integers(0, table.num_rows - 1))
    value, other = table.column(column)[row], data.draw(other_than(table.schema.field(column).type))
    if pa.scalar(other, value.type) != value:
        edited = with_cell(tables, name, column, row, other)
        assert check(edited, tmp_path_factory.getbasetemp() / "cell"), (name, column, row, value, other)


def other_than(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_string(kind):
        return st.sampled_from([None, "", "ALL", "1m", "x"])
    if pa.types.is_boolean(kind):
        return st.sampled_from([None, True, False])
    if pa.types.is_floating(kind):
        return st.sampled_from([None, 0.0, 1.5, -3.0])
    if pa.types.is_list(kind):
        return st.sampled_from([None, []])
    return st.sampled_from([None, 0, 1, 7])  # counts, and stamps


def test_a_value_that_is_missing_is_named_with_its_symbol(tables: Tables, tmp_path: Path) -> None:
    check(with_cell(tables, "symbols.parquet", "quality", 1, None), tmp_path)
    (found,) = validate_session_dump(tmp_path)
    assert found.found.startswith("symbols.GAP: a value is missing")
    with pytest.raises(DataError, match=r"symbols\.GAP: a value is missing"):
        barray.read_dump(tmp_path)


def test_more_rows_than_the_bound_are_not_read(tables: Tables, tmp_path: Path) -> None:
    check(tables, tmp_path)
    (found,) = validate_session_dump(tmp_path, max_rows=100)
    assert found.code == "unreadable"
    assert f"bars.parquet: has {tables['bars.parquet'].num_rows:,} rows, the bound is 100; max_rows" in found.found


def test_tables_without_a_header_are_of_the_first_layout(tables: Tables, tmp_path: Path) -> None:
    bare = {name: table.replace_schema_metadata(None) for name, table in tables.items()}
    assert places(check(bare, tmp_path)) == {"symbols.parquet": "schema"}


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_table_that_is_missing_or_broken_is_a_violation(
    tables: Tables, tmp_path: Path, content: bytes | None
) -> None:
    check(tables, tmp_path)
    (tmp_path / "indicators.parquet").unlink()
    if content is not None:
        (tmp_path / "indicators.parquet").write_bytes(content)
    (found,) = validate_session_dump(tmp_path)
    assert (found.place, found.code) == ("file", "unreadable")
    assert found.found.startswith("indicators.parquet: is no table of a dump")
