"""One file of bars: types, pieces, statistics."""

from __future__ import annotations

import random
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from barray.data_sources.parquet.file import BarFile, Columns
from barray.data_sources.parquet.values import floats
from barray.market.bars import Bars
from barray.market.errors import DataError, NoDataError
from tests.data_sources.files import MONDAY, changed, minutes, named, table, write
from tests.market.builders import MINUTE_NS, new_york_ns, utc_ns

ALWAYS = (-(2**62), 2**62)
OPEN_NS = utc_ns("2024-07-01T13:30")  # 09:30 in New York, summer time


def opened(path: Path, **columns: Any) -> BarFile:
    return BarFile(fs.LocalFileSystem(), str(path), path.name, "files", Columns(**columns))


def read(path: Path, symbol: str | None = None, **columns: Any) -> Bars:
    return opened(path, **columns).read(symbol, *ALWAYS)


def test_bars_come_as_they_were_written(tmp_path: Path) -> None:
    bars = read(write(tmp_path / "a.parquet", minutes(MONDAY, count=3, volume=7)))
    assert bars.start_ns.tolist() == [OPEN_NS, OPEN_NS + MINUTE_NS, OPEN_NS + 2 * MINUTE_NS]
    assert bars.open.tolist() == bars.high.tolist() == bars.low.tolist() == bars.close.tolist() == [100, 100.01, 100.02]
    assert bars.volume.tolist() == [7, 7, 7]


def test_more_rows_than_the_bound_are_refused_by_the_footer(tmp_path: Path) -> None:
    """A few kilobytes of Parquet can hold many million rows; those of other row groups do not count."""
    path = tmp_path / "a.parquet"
    pq.write_table(minutes(MONDAY, count=390), path, row_group_size=100)
    first, last = OPEN_NS, OPEN_NS + 99 * MINUTE_NS
    assert len(opened(path, max_rows=100).read(None, first, last)) == 100
    with pytest.raises(DataError, match=r"a\.parquet has 390 rows to be read at once, the bound is 389; .*max_rows"):
        read(path, max_rows=389)
    with pytest.raises(DataError, match="has 200 rows to be read at once") as caught:
        opened(path, max_rows=199).read(None, first, last + MINUTE_NS)
    assert caught.value.code == "too_many_rows"


@pytest.mark.parametrize(
    "kind", [pa.float32(), pa.float64(), pa.decimal128(12, 4), pa.int32(), pa.int64(), pa.uint16()]
)
def test_prices_of_any_number_type_become_floats(tmp_path: Path, kind: pa.DataType) -> None:
    whole = pa.array([Decimal(101), Decimal(102), Decimal(103)], pa.decimal128(12, 4)).cast(kind)
    bars = read(write(tmp_path / "a.parquet", changed(minutes(MONDAY, count=3), "close", whole)))
    assert bars.close.dtype == np.float64
    assert bars.close.tolist() == [101, 102, 103]


DECIMALS = st.tuples(st.integers(-(10**17), 10**17), st.integers(0, 17)).map(lambda t: Decimal(t[0]).scaleb(-t[1]))


@given(st.lists(DECIMALS, min_size=1, max_size=20), st.booleans())
def test_a_decimal_becomes_the_float_nearest_to_it(values: list[Decimal], some_missing: bool) -> None:
    """Dividing by a power of ten in floats, as casts do, is off by the last bit for one in many."""
    for kind in (pa.decimal128(36, 17), pa.decimal256(60, 17)):
        column = pa.chunked_array([pa.array([*values, *([None] * some_missing)], kind)])
        read_ = floats(column)
        assert read_[: len(values)].tolist() == [float(value) for value in values]
        assert np.isnan(read_[len(values) :]).all()


def test_cents_as_decimals_are_what_they_are_written_as(tmp_path: Path) -> None:
    texts = [f"{whole}.{cents:02}" for whole in (0, 9, 104, 5_813) for cents in range(1, 100)]
    bars = table([OPEN_NS + nth * MINUTE_NS for nth in range(len(texts))])
    for name in ("open", "high", "low", "close"):
        bars = changed(bars, name, pa.array([Decimal(text) for text in texts], pa.decimal128(18, 6)))
    assert read(write(tmp_path / "a.parquet", bars)).close.tolist() == [float(text) for text in texts]


def test_prices_of_half_precision_are_refused(tmp_path: Path) -> None:
    bars = changed(minutes(MONDAY, count=2), "close", pa.array(np.array([100.1, 100.2], np.float16)))
    with pytest.raises(DataError, match="close is halffloat") as caught:
        opened(write(tmp_path / "a.parquet", bars))
    assert caught.value.code == "wrong_types"


@pytest.mark.parametrize("kind", ["s", "ms", "us"])
def test_a_stamp_beyond_all_arithmetic_is_refused(tmp_path: Path, kind: str) -> None:
    """As nanoseconds it would wrap to some other year without a word."""
    stamps = pa.array([datetime(2024, 7, 1), datetime(9999, 12, 31)], pa.timestamp("us", "UTC")).cast(
        pa.timestamp(kind, "UTC")
    )
    path = write(tmp_path / "a.parquet", changed(minutes(MONDAY, count=2), "timestamp", stamps))
    for ask in (BarFile.stamp_range, lambda file: file.read(None, *ALWAYS)):
        with pytest.raises(DataError, match="beyond the years 1850 to 2200") as caught:
            ask(opened(path))
        assert caught.value.code == "bad_stamps"


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "+09:00"])
def test_stamps_of_any_unit_and_zone_become_utc(tmp_path: Path, unit: str, zone: str) -> None:
    stamps = pa.array([OPEN_NS], pa.int64()).cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp(unit, zone))
    path = write(tmp_path / "a.parquet", changed(minutes(MONDAY, count=1), "timestamp", stamps))
    assert read(path).start_ns.tolist() == [OPEN_NS]
    assert opened(path).stamp_range() == (OPEN_NS, OPEN_NS)


def naive(path: Path, *stamps: str) -> Path:
    times = pa.array([datetime.fromisoformat(stamp) for stamp in stamps], pa.timestamp("us"))
    return write(path, changed(table([0] * len(stamps)), "timestamp", times))


@pytest.mark.parametrize(
    ("zone", "stamp", "utc"),
    [
        ("UTC", "2024-07-01T13:30", "2024-07-01T13:30"),
        ("America/New_York", "2024-07-01T09:30", "2024-07-01T13:30"),
        ("America/New_York", "2024-01-02T09:30", "2024-01-02T14:30"),
        ("Asia/Tokyo", "2024-07-01T09:00", "2024-07-01T00:00"),
    ],
)
def test_naive_stamps_are_read_in_the_zone_that_the_source_names(
    tmp_path: Path, zone: str, stamp: str, utc: str
) -> None:
    path = naive(tmp_path / "a.parquet", stamp)
    assert read(path, timezone=zone).start_ns.tolist() == [utc_ns(utc)]
    assert opened(path, timezone=zone).stamp_range() == (utc_ns(utc), utc_ns(utc))


def test_the_named_zone_is_not_that_of_stamps_that_have_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", minutes(MONDAY, count=1))
    assert read(path, timezone="Asia/Tokyo").start_ns.tolist() == [OPEN_NS]


def test_an_hour_that_the_clocks_repeat_is_refused(tmp_path: Path) -> None:
    path = naive(tmp_path / "a.parquet", "2024-11-03T01:30")
    with pytest.raises(DataError, match="America/New_York") as caught:
        read(path, timezone="America/New_York")
    assert caught.value.code == "bad_stamps"


def test_dates_are_midnights(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", changed(table([0, 0]), "timestamp", pa.array([MONDAY, date(2024, 7, 2)])))
    midnights = [utc_ns("2024-07-01T00:00"), utc_ns("2024-07-02T00:00")]
    assert read(path).start_ns.tolist() == midnights
    assert opened(path).stamp_range() == (midnights[0], midnights[1])


def test_columns_in_many_pieces_are_put_together(tmp_path: Path) -> None:
    whole = minutes(MONDAY, count=100)
    bars = read(
        write(tmp_path / "a.parquet", pa.concat_tables([whole.slice(0, 33), whole.slice(33)]), row_group_size=9)
    )
    assert len(bars) == 100
    assert bars.close.tolist() == whole["close"].to_pylist()
    assert np.diff(bars.start_ns).tolist() == [MINUTE_NS] * 99


def test_only_the_symbol_asked_is_read_from_a_file_of_many(tmp_path: Path) -> None:
    parts = [named("A", minutes(MONDAY, price=10)), named("B", minutes(MONDAY, price=20)), named("C", minutes(MONDAY))]
    for size in (1, 4, 100):
        path = write(tmp_path / f"{size}.parquet", pa.concat_tables(parts), row_group_size=size)
        assert read(path, "B").open.tolist() == [20, 20.01, 20.02, 20.03, 20.04]
        assert opened(path).symbols == {"A", "B", "C"}


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_symbols_may_be_stored_in_any_kind_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    bars = pa.concat_tables([named("A", minutes(MONDAY, price=10)), named("B", minutes(MONDAY, price=20))])
    path = write(tmp_path / "a.parquet", changed(bars, "symbol", bars["symbol"].cast(kind)))
    assert opened(path).symbols == {"A", "B"}
    assert read(path, "B").open[0] == 20


def test_row_groups_of_other_symbols_and_times_are_not_read(tmp_path: Path) -> None:
    """Their pages are overwritten with nonsense, so reading them would fail."""
    days = [MONDAY, date(2024, 7, 2)]
    parts = [named(symbol, minutes(day)) for symbol in "ABC" for day in days]
    path = write(tmp_path / "a.parquet", pa.concat_tables(parts), row_group_size=5, compression="none")
    file = pq.ParquetFile(path).metadata
    content = bytearray(path.read_bytes())
    for group in set(range(6)) - {3}:  # group 3: B on Tuesday
        for column in range(file.num_columns):
            chunk = file.row_group(group).column(column)
            start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
            content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    tuesday = (new_york_ns(days[1], "09:30"), new_york_ns(days[1], "16:00"))
    assert len(opened(path).read("B", *tuesday)) == 5
    with pytest.raises(DataError) as caught:
        opened(path).read("B", *ALWAYS)
    assert caught.value.code == "unreadable_file"


def test_a_symbol_column_of_one_symbol_is_known_from_the_footer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", named("AAPL", minutes(MONDAY, count=20)), row_group_size=5, compression="none")
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)
    assert opened(path).symbols == {"AAPL"}


def test_a_row_without_a_symbol_is_not_taken_for_the_others(tmp_path: Path) -> None:
    bars = changed(named("A", minutes(MONDAY, count=2)), "symbol", pa.array(["A", None]))
    assert opened(write(tmp_path / "a.parquet", bars)).symbols == {"A", None}


def test_another_symbols_missing_value_does_no_harm(tmp_path: Path) -> None:
    bars = pa.concat_tables([named("A", minutes(MONDAY, count=2)), named("B", minutes(MONDAY, count=2))])
    path = write(tmp_path / "a.parquet", changed(bars, "close", pa.array([1.0, 2.0, None, 4.0])))
    assert read(path, "A").close.tolist() == [1, 2]
    assert np.isnan(read(path, "B").close[0])


def test_stamps_without_statistics_are_looked_up(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", minutes(MONDAY, count=3), write_statistics=False)
    assert opened(path).stamp_range() == (OPEN_NS, OPEN_NS + 2 * MINUTE_NS)


def test_a_file_without_rows_is_told_from_a_bad_one(tmp_path: Path) -> None:
    with pytest.raises(NoDataError) as caught:
        opened(write(tmp_path / "a.parquet", minutes(MONDAY, count=0)))
    assert caught.value.code == "empty_file"
    assert "a.parquet" in caught.value.reason


@pytest.mark.long
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip"])
def test_no_damage_to_a_file_raises_anything_but_our_errors(tmp_path: Path, codec: str) -> None:
    good = write(tmp_path / "good.parquet", minutes(MONDAY, count=300), compression=codec).read_bytes()
    dice, path = random.Random(codec), tmp_path / "bad.parquet"
    refused: list[DataError] = []
    for trial in range(150):
        content = bytearray(good)
        for _ in range(dice.choice((1, 4, 20))):
            content[dice.randrange(len(good) - 1500 if trial % 2 else 0, len(good))] = dice.randrange(256)
        path.write_bytes(content)
        try:
            file = opened(path)
            file.stamp_range()
            file.read(None, *ALWAYS)
        except DataError as error:
            refused.append(error)
    assert {error.code for error in refused} <= {"unreadable_file", "wrong_columns", "wrong_types", "bad_stamps"}
    assert all("bad.parquet" in error.reason and error.remedy for error in refused)
    assert len(refused) > 75  # the others hit bytes that mean nothing, or a price
