"""Tables of values by symbol, read from CSV and Parquet: what is accepted, and how what can't be meant is told."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barray.data_sources.known_tables import TableFile
from barray.market.errors import BarrayError, DataError
from barray.market.known_table import KnownTable

CSV = """symbol,known_at,pe,sector
NA,2024-07-02,30.5,Chips
AAPL,2024-07-03,,Phones
AAPL,2024-07-01,28,
"""


def written(folder: Path, text: str, **how: Any) -> KnownTable:
    (folder / "x.csv").write_text(text)
    return TableFile("x", str(folder / "x.csv"), **how).read()


def values(table: KnownTable, column: str, symbol: str) -> list[Any]:
    found, rows = table.columns[column], table.rows[symbol]
    if found.kind == "text":
        return [found.labels[code] if code >= 0 else None for code in found.values[rows]]
    return found.values[rows].tolist()


def test_rows_are_sorted_by_symbol_and_time_and_typed(tmp_path: Path) -> None:
    table = written(tmp_path, CSV)
    assert list(table.rows) == ["AAPL", "NA"], "a ticker is text, whatever it looks like"
    assert table.by_day
    assert table.known.astype("datetime64[D]").tolist() == [date(2024, 7, 1), date(2024, 7, 3), date(2024, 7, 2)]
    np.testing.assert_array_equal(values(table, "pe", "AAPL"), [28.0, np.nan])
    assert values(table, "sector", "AAPL") == [None, "Phones"]
    assert values(table, "sector", "NA") == ["Chips"]


UTC = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
STAMP_NS = 1_719_864_900_000_000_000  # 2024-07-01 20:15 UTC


@pytest.mark.parametrize(
    ("known_at", "timezone", "expected"),
    [
        ([datetime(2024, 7, 1, 20, 15, tzinfo=UTC)], None, STAMP_NS),
        ([datetime(2024, 7, 1, 16, 15, tzinfo=NEW_YORK)], None, STAMP_NS),
        ([datetime(2024, 7, 1, 16, 15)], "America/New_York", STAMP_NS),
        (["2024-07-01T20:15:00Z"], None, STAMP_NS),
        (["2024-07-01T16:15:00-04:00"], None, STAMP_NS),
        ([date(2024, 7, 1)], None, 19_905),
        ([datetime(2024, 7, 1)], None, 19_905),
        (["2024-07-01"], None, 19_905),
    ],
)
def test_a_time_is_utc_and_a_day_stays_one(tmp_path: Path, known_at: Any, timezone: Any, expected: int) -> None:
    pq.write_table(pa.table({"who": ["A"], "when": known_at, "v": [1]}), tmp_path / "x.parquet")
    table = TableFile("x", str(tmp_path / "x.parquet"), "when", "who", timezone).read()
    assert (table.known.tolist(), table.by_day) == ([expected], expected < 10**9)


def test_columns_of_all_usual_types_are_numbers_or_texts(tmp_path: Path) -> None:
    columns = {
        "whole": pa.array([1, None], pa.int32()),
        "flag": [True, None],
        "price": [Decimal("1.25"), None],
        "nothing": pa.array([None, None]),
        "day": [date(2024, 7, 1), None],
        "kind": pa.array(["a", None]).dictionary_encode(),
        "large": pa.array(["a", ""], pa.large_string()),
    }
    pq.write_table(
        pa.table({"symbol": ["A", "A"], "known_at": ["2024-07-01", "2024-07-02"], **columns}), tmp_path / "x.pq"
    )
    table = TableFile("x", str(tmp_path / "x.pq")).read()
    for name, first in (("whole", 1.0), ("flag", 1.0), ("price", 1.25), ("nothing", np.nan)):
        np.testing.assert_array_equal(values(table, name, "A"), [first, np.nan])
    assert [values(table, name, "A") for name in ("day", "kind", "large")] == [
        ["2024-07-01", None],
        ["a", None],
        ["a", None],
    ]


HEAD = "symbol,known_at,pe\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "ticker,known_at,pe\nA,2024-07-01,1\n",
            "has no column 'symbol'; it has ticker, known_at, pe; name it under tables.x.symbol",
        ),
        ("symbol,date,pe\nA,2024-07-01,1\n", "has no column 'known_at'; .* name it under tables.x.known_at"),
        ("symbol,known_at\nA,2024-07-01\n", "no column besides symbol and time"),
        ("symbol,known_at,pe,pe\nA,2024-07-01,1,2\n", "has two columns 'pe'"),
        (HEAD + "A,2024-07-01,1\nB,2024-07-01,2\nA,2024-07-01,3\n", "two rows for A at 2024-07-01, rows 1 and 3"),
        (
            HEAD + "A,2024-07-01T10:00:00Z,1\nA,2024-07-01T12:00:00+02:00,1\n",
            "two rows for A at 2024-07-01T10:00:00Z, rows 1 and 2",
        ),
        (HEAD + "A,2024-07-01,1\n,2024-07-01,1\n", "row 2 has no symbol"),
        (HEAD + "A,2024-07-01,1\nB,,1\n", "row 2 has no known_at"),
        (HEAD + "A,2024-07-01 10:00,1\n", "known_at has no time zone; write times as .*, or say tables.x.timezone"),
        (HEAD + "A,yesterday,1\n", "can't be read as times: 'yesterday' in row 1"),
        (HEAD + "A,20240701,1\n", "known_at is int64, no time"),
        (HEAD, "has no rows"),
        ("", "no readable CSV file"),
        (HEAD + "A,2024-07-01,1,2\n", "no readable CSV file"),
    ],
)
def test_what_can_not_be_meant_is_told_with_row_and_remedy(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BarrayError, match=told) as error:
        written(tmp_path, text)
    assert error.value.remedy
    assert error.value.source == "tables.x"


def test_what_is_no_value_and_what_is_no_file_are_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"symbol": ["A"], "known_at": ["2024-07-01"], "v": [[1, 2]]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"v is list<.*take numbers or texts"):
        TableFile("x", str(tmp_path / "x.parquet")).read()
    with pytest.raises(BarrayError, match="does not exist; add the file"):
        TableFile("x", str(tmp_path / "y.csv")).read()
    (tmp_path / "z.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="no readable Parquet file"):
        TableFile("x", str(tmp_path / "z.parquet")).read()


def test_a_table_is_known_by_all_that_it_says(tmp_path: Path) -> None:
    digests = {
        written(tmp_path, CSV.replace(*change)).digest
        for change in (("", ""), ("28", "29"), ("Chips", "chips"), ("07-03", "07-04"))
    }
    assert len(digests) == 4
    lines = CSV.splitlines()
    assert written(tmp_path, "\n".join([lines[0], *sorted(lines[1:])])).digest == written(tmp_path, CSV).digest
