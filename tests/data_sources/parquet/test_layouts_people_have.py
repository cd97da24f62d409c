"""Trees as other programs write them: each read as the default layout's is, whatever wrote it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.sample.universe import write_sample_data
from tests.data_sources.files import MINUTE, MONDAY, TUESDAY, local_source, minutes, named, outcomes, write, write_days
from tests.market.builders import calendar, context_for, require

FRIDAY = date(2024, 6, 28)
SYMBOLS = ["AAPL", "BRK.B"]
WANTED = require("1m", trailing_days=2)
Frame = pd.DataFrame
Writer = Callable[[Frame, Path], None]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions of two symbols in the default layout."""
    root = tmp_path_factory.mktemp("plain")
    write_sample_data(root, symbols=SYMBOLS, start=FRIDAY, end=TUESDAY)
    return root


@pytest.fixture(scope="module")
def frame(plain: Path) -> Frame:
    """All of it as one data frame, sorted by symbol and time, with the session's date."""
    parts = [
        pq.read_table(path).to_pandas().assign(symbol=path.parts[-3], date=path.stem)
        for symbol in SYMBOLS
        for path in sorted((plain / symbol / "1m").iterdir())
    ]
    return pd.concat(parts, ignore_index=True)


def each(frame: Frame, *by: str) -> list[tuple[tuple[str, ...], Frame]]:
    return [(key if isinstance(key, tuple) else (key,), part) for key, part in frame.groupby(list(by))]


def named_by(template: str, *by: str) -> Writer:
    """Writes a file for every combination of these columns, by pandas, called as the template says."""

    def writer(frame: Frame, root: Path) -> None:
        columns = {**{"day": frame["date"].str[8:], "month_of": frame["date"].str[5:7]}, "year": frame["date"].str[:4]}
        whole = frame.assign(**columns, month=frame["date"].str[:7], compact=frame["date"].str.replace("-", ""))
        for key, part in each(whole, *by):
            path = root / template.format(**dict(zip(by, key, strict=True)))
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = ["symbol"] if "symbol" not in by else []
            part[["timestamp", "open", "high", "low", "close", "volume", *kept]].to_parquet(path)

    return writer


def hive_by_pandas(frame: Frame, root: Path) -> None:
    frame.to_parquet(root, partition_cols=["symbol", "date"])


def hive_by_arrow(frame: Frame, root: Path) -> None:
    """Many small parts a folder."""
    ds.write_dataset(
        pa.Table.from_pandas(frame, preserve_index=False),
        root,
        format="parquet",
        partitioning=["symbol", "date"],
        partitioning_flavor="hive",
        max_rows_per_file=140,
        max_rows_per_group=140,
    )


def one_file(frame: Frame, root: Path) -> None:
    frame.drop(columns="date").to_parquet(root / "all.parquet")


def one_file_by_time(frame: Frame, root: Path) -> None:
    by_time = frame.drop(columns="date").sort_values(["timestamp", "symbol"])
    by_time.to_parquet(root / "all.parquet", row_group_size=700)


def spark_folders(frame: Frame, root: Path) -> None:
    """A folder called as a file, with parts and what else Spark leaves."""
    for (symbol, day), part in each(frame, "symbol", "date"):
        folder = root / symbol / f"{day}.parquet"
        folder.mkdir(parents=True)
        for nth, rows in enumerate((part[::2], part[1::2])):
            rows.drop(columns=["symbol", "date"]).to_parquet(folder / f"part-0000{nth}-c000.snappy.parquet")
        (folder / "_SUCCESS").touch()
        (folder / ".part-00000-c000.snappy.parquet.crc").write_bytes(b"crc")


TREES: dict[str, tuple[str, Writer]] = {
    "a file a day": ("{symbol}/{date}.parquet", named_by("{symbol}/{date}.parquet", "symbol", "date")),
    "compact dates": ("{symbol}/{date}.parquet", named_by("{symbol}/{compact}.parquet", "symbol", "compact")),
    "the symbol twice": (
        "{symbol}/{symbol}_{date}.parquet",
        named_by("{symbol}/{symbol}_{compact}.parquet", "symbol", "compact"),
    ),
    "year, month, day": (
        "{year}/{month}/{day}/{symbol}.parquet",
        named_by("{year}/{month_of}/{day}/{symbol}.parquet", "year", "month_of", "day", "symbol"),
    ),
    "year and month": (
        "{symbol}/{year}-{month}.parquet",
        named_by("{symbol}/{year}-{month_of}.parquet", "symbol", "year", "month_of"),
    ),
    "a file a symbol": ("{symbol}.parquet", named_by("{symbol}.parquet", "symbol")),
    "a file a day for all": ("{date}.parquet", named_by("{date}.parquet", "date")),
    "a month for all": ("{month}.parquet", named_by("{month}.parquet", "month")),
    "one file": ("all.parquet", one_file),
    "one file by time": ("all.parquet", one_file_by_time),
    "hive by pandas": ("symbol={symbol}/date={date}/*.parquet", hive_by_pandas),
    "hive by arrow": ("symbol={symbol}/date={date}/part-*.parquet", hive_by_arrow),
    "folders called as files": ("{symbol}/{date}.parquet/*.parquet", spark_folders),
    "a folder of any name": ("*/{symbol}/{date}.parquet", named_by("x1/{symbol}/{date}.parquet", "symbol", "date")),
}


@pytest.mark.parametrize("name", TREES)
def test_every_tree_gives_the_bars_of_the_plain_one(plain: Path, frame: Frame, tmp_path: Path, name: str) -> None:
    layout, writer = TREES[name]
    writer(frame, tmp_path)
    source = ParquetSource(str(tmp_path), layout=Layout(layout), interval=MINUTE)
    context = context_for(WANTED, TUESDAY)
    found = outcomes(source, *SYMBOLS, "NONE", requirements=WANTED)
    for symbol in SYMBOLS:
        assert found[symbol].data is not None, found[symbol].text
        expected = local_source(plain).read_bars(symbol, MINUTE, context.loaded)
        assert source.read_bars(symbol, MINUTE, context.loaded).equals(expected)
        assert len(expected) > 3 * 380
    assert found["NONE"].codes == ("no_data_source",)


@pytest.mark.parametrize("name", [name for name in TREES if name not in ("a file a day for all",)])
def test_a_day_missing_from_any_tree_is_missed(frame: Frame, tmp_path: Path, name: str) -> None:
    """Of one symbol alone, between days that are there."""
    layout, writer = TREES[name]
    writer(frame[(frame["symbol"] != "AAPL") | (frame["date"] != str(MONDAY))], tmp_path)
    source = ParquetSource(str(tmp_path), layout=Layout(layout), interval=MINUTE)
    found = outcomes(source, *SYMBOLS, requirements=WANTED)
    assert found["AAPL"].codes == ("no_history",)
    assert "lacks 1 of the 2 trailing sessions (2024-07-01)" in found["AAPL"].text
    assert found["BRK.B"].data is not None
    sessions = calendar("XNYS", FRIDAY, TUESDAY).sessions
    day = sessions.take(slice(sessions.index(MONDAY), sessions.index(TUESDAY)))
    problems = source.session_problems(SYMBOLS, MINUTE, day)
    assert (problems["AAPL"] is None, problems["BRK.B"] is None) == (False, True)


@pytest.mark.skipif(importlib.util.find_spec("polars") is None, reason="polars is not installed")
def test_files_written_by_polars_are_read(plain: Path, frame: Frame, tmp_path: Path) -> None:
    polars: Any = pytest.importorskip("polars")
    polars.from_pandas(frame.drop(columns="date")).write_parquet(tmp_path / "all.parquet")
    source = ParquetSource(str(tmp_path), layout=Layout("all.parquet"), interval=MINUTE)
    context = context_for(WANTED, TUESDAY)
    for symbol in SYMBOLS:
        expected = local_source(plain).read_bars(symbol, MINUTE, context.loaded)
        assert source.read_bars(symbol, MINUTE, context.loaded).equals(expected)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("statistics", [True, False])
def test_stamps_may_be_whole_numbers_since_1970(tmp_path: Path, unit: str, told: bool, statistics: bool) -> None:
    bars = minutes(TUESDAY)
    numbers = bars["timestamp"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pandas()
    whole = numbers // {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[unit]
    stored = bars.set_column(0, "timestamp", pa.array(whole, pa.int64()))
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet", stored, write_statistics=statistics)
    source = ParquetSource(str(tmp_path), columns=Columns(unit=unit if told else None))
    data = outcomes(source, "A")["A"].data
    assert data is not None
    assert data.bars["1m"].bars.start_ns.tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("stamps", "unit", "code", "said"),
    [
        ([20240702, 20240703], None, "wrong_types", "20240702 to 20240703 are no s, ms, us or ns since 1970"),
        ([1_719_927_000, 1_719_927_000_000], None, "wrong_types", "are no s, ms, us or ns since 1970"),
        ([1_719_927_000_000, 1_719_927_060_000], "s", "bad_stamps", "beyond the years 1850 to 2200"),
    ],
)
def test_whole_numbers_that_are_no_stamps_are_refused(
    tmp_path: Path, stamps: list[int], unit: str | None, code: str, said: str
) -> None:
    bars = minutes(TUESDAY, count=2).set_column(0, "timestamp", pa.array(stamps, pa.int64()))
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet", bars)
    outcome = outcomes(ParquetSource(str(tmp_path), columns=Columns(unit=unit)), "A")["A"]
    assert outcome.codes == (code,)
    assert said in outcome.text
    assert "columns.unit" in outcome.text


def test_two_folders_of_one_interval_are_both_named(tmp_path: Path) -> None:
    for interval in ("1m", "60s"):
        write_days(tmp_path, "A", TUESDAY, interval=interval)
    write_days(tmp_path, "B", TUESDAY)
    found = outcomes(local_source(tmp_path), "A", "B")
    assert found["A"].codes == ("two_files",)
    assert "1m (A/1m/2024-07-02.parquet) and 60s (A/60s/2024-07-02.parquet)" in found["A"].text
    assert found["B"].data is not None


def test_two_files_of_one_day_are_both_named(tmp_path: Path) -> None:
    for name in ("2024-07-02", "20240702"):
        write(tmp_path / "A" / "1m" / f"{name}.parquet", minutes(TUESDAY))
    outcome = outcomes(local_source(tmp_path), "A")["A"]
    assert outcome.codes == ("two_files",)
    assert "A/1m/2024-07-02.parquet and A/1m/20240702.parquet" in outcome.text


def test_a_part_that_the_layout_leaves_out_is_named(tmp_path: Path) -> None:
    for nth in range(3):
        write(tmp_path / "symbol=A" / "date=2024-07-02" / f"part-{nth}.parquet", minutes(TUESDAY))
    source = ParquetSource(str(tmp_path), layout=Layout("symbol={symbol}/date={date}/part-0.parquet"), interval=MINUTE)
    outcome = outcomes(source, "A")["A"]
    assert outcome.codes == ("other_parts",)
    assert "part-0.parquet lies beside part-1.parquet" in outcome.text
    assert "write part-*.parquet" in outcome.text


def test_a_folder_called_as_a_file_is_told_how_to_be_read(tmp_path: Path) -> None:
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet" / "part-0.parquet", minutes(TUESDAY))
    outcome = outcomes(local_source(tmp_path), "A")["A"]
    assert outcome.codes == ("is_folder",)
    assert "is a folder with part-0.parquet in it" in outcome.text
    assert "remove" not in outcome.text
    assert "{symbol}/{interval}/{date}.parquet/*.parquet" in outcome.text
    asked = ParquetSource(str(tmp_path), layout=Layout("{symbol}/{interval}/{date}.parquet/*.parquet"))
    assert outcomes(asked, "A")["A"].data is not None


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("1m/SPY/2024-07-02.parquet", "{symbol}/{interval}/{date}.parquet"),
        ("SPY/1Min/2024-07-02.parquet", "{symbol}/{interval}/{date}.parquet"),
        ("SPY/1m/2024-07.parquet", "{symbol}/{interval}/{date}.parquet"),
        ("data/SPY.parquet", "{interval}/{date}.parquet"),
    ],
)
def test_a_layout_that_fits_no_file_is_said_with_a_file_there_is(tmp_path: Path, path: str, layout: str) -> None:
    write(tmp_path / path, minutes(TUESDAY))
    found = outcomes(ParquetSource(str(tmp_path), layout=Layout(layout)), "SPY", "QQQ")
    for outcome in found.values():
        assert outcome.codes == ("layout_misfit",)
        assert f"fits the layout {layout}; there is {path}, for example" in outcome.text


def test_a_symbol_missing_from_a_tree_that_fits_is_said_to_be_missing(tmp_path: Path) -> None:
    write_days(tmp_path, "A", TUESDAY)
    write(tmp_path / "other" / "notes.parquet", named("X", minutes(TUESDAY)))
    assert outcomes(local_source(tmp_path), "SPY")["SPY"].codes == ("no_data_source",)


def test_an_empty_tree_has_no_data(tmp_path: Path) -> None:
    assert outcomes(local_source(tmp_path), "SPY")["SPY"].codes == ("no_data_source",)
