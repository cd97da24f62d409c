"""The Parquet source: layouts, names, stamps, native intervals, and what it must not do."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.protocol import DataSource
from barray.market.errors import ConfigError, DataError, NoDataError, SourceUnavailable
from barray.market.interval import Interval
from barray.market.series import lay_on_sessions
from barray.sample.universe import write_sample_data
from tests.data_sources.files import (
    DAILY,
    MINUTE,
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    changed,
    local_source,
    minutes,
    named,
    outcomes,
    table,
    write,
    write_days,
)
from tests.market.builders import MINUTE_NS, calendar, context_for, new_york_ns, require, utc_ns
from tests.shared_data import REPO

LAYOUTS = ["{symbol}/{interval}/{date}.parquet", "{interval}/{symbol}/{month}.parquet", "{interval}/{date}.parquet"]
YEAR = "{symbol}/{interval}-{year}.parquet"
ALL = "{interval}/{symbol}.parquet"


def reading(trailing_days: int = 1, day: date = TUESDAY, **changes: object) -> object:
    return context_for(require("1m", trailing_days=trailing_days), day, **changes)


@pytest.mark.long
@pytest.mark.parametrize("layout", [*LAYOUTS, YEAR, ALL, "{interval}/{year}.parquet"])
def test_every_layout_gives_the_same_bars(tmp_path: Path, layout: str) -> None:
    symbols = ["AAPL", "BRK.B", "SPY"]
    for root, template in (("plain", LAYOUTS[0]), ("other", layout)):
        write_sample_data(tmp_path / root, symbols=symbols, start=date(2024, 6, 27), end=WEDNESDAY, layout=template)
    context = reading(trailing_days=3)
    plain = ParquetSource(str(tmp_path / "plain"))
    other = ParquetSource(str(tmp_path / "other"), layout=Layout(layout))
    for symbol in symbols:
        bars = other.read_bars(symbol, MINUTE, context.loaded)
        assert bars.equals(plain.read_bars(symbol, MINUTE, context.loaded))
        assert len(bars) > 4 * 380
        # Wednesday is in most of these files, and must not be read with Tuesday
        assert bars.start_ns[-1] == utc_ns("2024-07-02T19:59")
    found = outcomes(other, *symbols, "NONE", requirements=require("1m", trailing_days=3))
    assert all(found[symbol].data for symbol in symbols)
    assert found["NONE"].codes == ("no_data_source",)


def test_a_symbol_in_a_file_of_many_is_found_only_on_the_days_it_is_in(tmp_path: Path) -> None:
    both = pa.concat_tables([named("A", minutes(MONDAY)), named("B", minutes(MONDAY))])
    write(tmp_path / "1m" / f"{MONDAY}.parquet", both)
    write(tmp_path / "1m" / f"{TUESDAY}.parquet", named("A", minutes(TUESDAY)))
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[2]))
    assert source.historical_coverage(["A", "B"], MINUTE, reading(1).loaded)["B"].missing == (TUESDAY,)
    found = outcomes(source, "A", "B", requirements=require("1m", trailing_days=1))
    assert found["A"].data is not None
    assert found["B"].codes == ("no_session_data",)


def test_each_file_is_opened_once_to_validate_all_symbols_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    symbols = [f"S{i}" for i in range(20)]
    for day in (MONDAY, TUESDAY):
        write(tmp_path / "1m" / f"{day}.parquet", pa.concat_tables([named(s, minutes(day)) for s in symbols]))
    opened: Counter[str] = Counter()
    real = pq.ParquetFile

    def counting(path: str, **options: object) -> pq.ParquetFile:
        if "metadata" not in options:  # a second look needs no second reading of the footer
            opened[Path(path).name] += 1
        return real(path, **options)

    monkeypatch.setattr(pq, "ParquetFile", counting)
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[2]))
    context = context_for(require("1m", trailing_days=1), TUESDAY)
    assert all(source.has_symbols(symbols, context.loaded).values())
    assert not any(source.session_problems(symbols, MINUTE, context.loaded.take(slice(1, 2))).values())
    assert opened == {f"{MONDAY}.parquet": 1, f"{TUESDAY}.parquet": 1}


@pytest.mark.long
@pytest.mark.parametrize(
    ("layout", "first", "last"), [(YEAR, "2023-12-29", "2024-07-02"), (ALL, "2023-12-29", "2024-07-02")]
)
def test_days_in_larger_files_are_judged_by_their_bars(tmp_path: Path, layout: str, first: str, last: str) -> None:
    days = [date(2023, 12, 29), date(2024, 1, 2), MONDAY, TUESDAY]
    template = Layout(layout)
    for period in {template.period_of(day) for day in days}:
        parts = [minutes(day) for day in days if template.period_of(day) == period]
        values = {"symbol": "A", "interval": "1m", "year": period}
        name = "/".join(str(template.known(i, values)) for i in range(2))
        write(tmp_path / name, pa.concat_tables(parts))
    source = ParquetSource(str(tmp_path), layout=template)
    asked = calendar("XNYS", days[0], WEDNESDAY).sessions
    coverage = source.historical_coverage(["A"], MINUTE, asked)["A"]
    assert (str(coverage.first), str(coverage.last)) == (first, last)
    assert set(asked.dates.tolist()) - set(coverage.missing) == set(days)


def test_a_month_that_ends_before_the_session_is_seen_in_step_0(tmp_path: Path) -> None:
    write(tmp_path / "1m" / "A" / "2024-07.parquet", minutes(MONDAY))
    write(tmp_path / "1d" / "B" / "2024-07.parquet", table([utc_ns("2024-07-01T00:00")]))
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[1]))
    assert outcomes(source, "A")["A"].codes == ("no_session_data",)
    found = outcomes(source, "B", requirements=require("1d"))["B"]
    assert found.codes == ("no_session_data",)
    assert not found.on_load
    assert "1d/B/2024-07.parquet" in found.text


def test_an_unreadable_month_at_the_edge_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path / "1m" / "A" / "2024-07.parquet", minutes(TUESDAY))
    write(tmp_path / "1m" / "A" / "2024-06.parquet", minutes(date(2024, 6, 28)))
    (tmp_path / "1m" / "A" / "2024-01.parquet").write_text("no Parquet")
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[1]))
    coverage = source.historical_coverage(["A"], MINUTE, reading(1, MONDAY).loaded.take(slice(0, 1)))["A"]
    assert coverage.missing == ()
    assert coverage.first == date(2024, 1, 1)


def test_what_a_larger_file_holds_of_other_days_does_not_matter(tmp_path: Path) -> None:
    """Bars of Wednesday, which are nonsense, are the future on Tuesday."""
    future = changed(minutes(WEDNESDAY), "high", pa.array([-1.0] * 5))
    write(tmp_path / "1m" / "A" / "2024-07.parquet", pa.concat_tables([minutes(MONDAY), minutes(TUESDAY), future]))
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[1]))
    assert outcomes(source, "A", day=TUESDAY)["A"].data is not None
    assert outcomes(source, "A", day=WEDNESDAY)["A"].codes == ("bad_values",)


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    names = {"timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "symbol": "S"}
    bars = named("A", minutes(TUESDAY, volume=3))
    write(tmp_path / "1m" / f"{TUESDAY}.parquet", bars.rename_columns([names[name] for name in bars.column_names]))
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[2]), columns=Columns(**names))
    data = outcomes(source, "A")["A"].data
    assert data is not None
    assert data.bars["1m"].bars.volume.tolist() == [3] * 5


def test_naive_stamps_are_read_in_the_sources_zone(tmp_path: Path) -> None:
    bars = minutes(TUESDAY)
    local = bars["timestamp"].cast(pa.timestamp("us", "America/New_York")).cast(pa.timestamp("us", "UTC"))
    shifted = pa.chunked_array([pa.array([s - 4 * 3_600_000_000 for s in local.cast(pa.int64()).to_pylist()])])
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet", changed(bars, "timestamp", shifted.cast(pa.timestamp("us"))))
    source = ParquetSource(str(tmp_path), columns=Columns(timezone="America/New_York"))
    data = outcomes(source, "A")["A"].data
    assert data is not None
    assert data.bars["1m"].bars.start_ns[0] == utc_ns("2024-07-02T13:30")
    # in the wrong zone no bar lies in the session, and the footer shows it
    wrong = outcomes(ParquetSource(str(tmp_path), columns=Columns(timezone="Asia/Tokyo")), "A")["A"]
    assert (wrong.codes, wrong.on_load) == (("no_session_data",), False)


def test_stamps_of_bar_ends_become_starts(tmp_path: Path) -> None:
    ends = [new_york_ns(TUESDAY, "09:30") + i * MINUTE_NS for i in range(1, 391)]
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet", table(ends))
    data = outcomes(ParquetSource(str(tmp_path), columns=Columns(stamp="end")), "A")["A"].data
    assert data is not None
    assert data.bars["1m"].bars.start_ns[[0, -1]].tolist() == [utc_ns("2024-07-02T13:30"), utc_ns("2024-07-02T19:59")]


@pytest.mark.parametrize(
    ("day", "ends", "starts"),
    [
        (TUESDAY, ["10:30", "11:30", "15:30", "16:00"], ["09:30", "10:30", "14:30", "15:30"]),
        (WEDNESDAY, ["10:30", "12:30", "13:00"], ["09:30", "11:30", "12:30"]),
    ],
)
def test_the_end_of_the_last_hour_cut_at_the_close_becomes_its_start(
    tmp_path: Path, day: date, ends: list[str], starts: list[str]
) -> None:
    write(tmp_path / "A" / "1h" / f"{day}.parquet", table([new_york_ns(day, end) for end in ends]))
    source = ParquetSource(str(tmp_path), columns=Columns(stamp="end"))
    data = outcomes(source, "A", day=day, requirements=require("1h"))["A"].data
    assert data is not None
    assert data.bars["1h"].bars.start_ns.tolist() == [new_york_ns(day, start) for start in starts]


def test_a_trees_own_names_of_intervals_are_understood(tmp_path: Path) -> None:
    write_days(tmp_path, "A", TUESDAY, interval="1Min")
    source = ParquetSource(str(tmp_path), interval_names={"1Min": "1m"})
    assert source.available_intervals(["A"], reading().loaded) == {"A": (MINUTE,)}
    assert outcomes(source, "A")["A"].data is not None


def test_a_name_for_no_interval_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1x"):
        ParquetSource(str(tmp_path), interval_names={"1Min": "1x"})


def test_a_layout_without_an_interval_needs_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no interval"):
        ParquetSource(str(tmp_path), layout=Layout("{symbol}/{date}.parquet"))
    write(tmp_path / "A" / f"{TUESDAY}.parquet", minutes(TUESDAY))
    source = ParquetSource(str(tmp_path), layout=Layout("{symbol}/{date}.parquet"), interval=MINUTE)
    assert outcomes(source, "A")["A"].data is not None


def test_the_coarsest_native_interval_that_serves_is_the_base(tmp_path: Path) -> None:
    for interval in ("1m", "5m"):
        write_sample_data(tmp_path, symbols=["A"], start=TUESDAY, end=TUESDAY, interval=interval, missing_share=0)
    source = ParquetSource(str(tmp_path))
    assert [str(i) for i in source.available_intervals(["A"], reading().loaded)["A"]] == ["1m", "5m"]
    data = outcomes(source, "A", requirements=require("5m", "15m"))["A"].data
    assert data is not None
    assert (str(data.base_interval), len(data.bars["5m"]), len(data.bars["15m"])) == ("5m", 78, 26)


@pytest.mark.parametrize("midnight", ["T00:00+00:00", "T00:00-04:00", "T00:00-07:00"])
@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[1], ALL])
@pytest.mark.parametrize("stamp", ["start", "end"])
def test_daily_bars_are_known_by_any_vendors_midnight(tmp_path: Path, midnight: str, layout: str, stamp: str) -> None:
    """In UTC, New York or Los Angeles, of the day that the bar begins or ends on."""
    days = [date(2024, 6, 28), MONDAY, TUESDAY, WEDNESDAY]
    ends = [date(2024, 6, 29), TUESDAY, WEDNESDAY, date(2024, 7, 4)]
    stamps = {day: utc_ns(f"{day if stamp == 'start' else end}{midnight}") for day, end in zip(days, ends, strict=True)}
    template = Layout(layout)
    for period in {template.period_of(day) for day in days}:
        held = [stamps[day] for day in days if template.period_of(day) == period]
        values = {"symbol": "A", "interval": "1d", template.period or "": period}
        path = "/".join(str(template.known(i, values)) for i in range(len(template.components)))
        write(tmp_path / path, table(held))
    source = ParquetSource(str(tmp_path), layout=template, columns=Columns(stamp=stamp))
    data = outcomes(source, "A", requirements=require("1d", trailing_days=2))["A"].data
    assert data is not None
    assert data.bars["1d"].bars.start_ns.tolist() == [new_york_ns(day, "09:30") for day in days[:3]]


@pytest.mark.long
@pytest.mark.parametrize("zone", ["+09:00", "+00:00"])
@pytest.mark.parametrize(("stamp", "days"), [("start", (1, 2, 3)), ("end", (2, 3, 4))])
def test_the_daily_bars_of_tokyo_are_known_by_tokyos_midnight(
    tmp_path: Path, zone: str, stamp: str, days: tuple[int, ...]
) -> None:
    write(tmp_path / "1d" / "7203.parquet", table([utc_ns(f"2024-07-0{day}T00:00{zone}") for day in days]))
    requirements = require("1d", trailing_days=1)
    source = ParquetSource(str(tmp_path), layout=Layout(ALL), columns=Columns(stamp=stamp))
    context = context_for(requirements, TUESDAY, name="XTKS")
    data = outcomes(source, "7203", requirements=requirements, context=context)["7203"].data
    assert data is not None
    # 09:00 in Tokyo
    assert data.bars["1d"].bars.start_ns.tolist() == [utc_ns("2024-07-01T00:00"), utc_ns("2024-07-02T00:00")]


def test_daily_bars_stamped_with_the_close_are_known_too(tmp_path: Path) -> None:
    """The half day's stamp on Wednesday lies in the hours of a usual day; on Tuesday it is the future."""
    closes = [new_york_ns(MONDAY, "16:00"), new_york_ns(TUESDAY, "16:00"), new_york_ns(WEDNESDAY, "13:00")]
    write(tmp_path / "1d" / "A.parquet", table(closes))
    source = ParquetSource(str(tmp_path), layout=Layout(ALL), columns=Columns(stamp="end"))
    for day, prices in ((TUESDAY, [100.0, 100.01]), (WEDNESDAY, [100.01, 100.02])):
        data = outcomes(source, "A", day=day, requirements=require("1d", trailing_days=1))["A"].data
        assert data is not None
        assert data.bars["1d"].bars.close.tolist() == prices


@pytest.mark.long
def test_the_next_days_midnight_is_no_bar_of_an_extended_session_in_winter(tmp_path: Path) -> None:
    """Midnight UTC is 19:00 in New York then, within the extended hours of the day before."""
    stamps = [utc_ns(f"2024-01-{day:02}T00:00") for day in (2, 3, 4, 5)]
    write(tmp_path / "1d" / "A.parquet", table(stamps))
    requirements = require("1d", trailing_days=1)
    source = ParquetSource(str(tmp_path), layout=Layout(ALL))
    context = context_for(requirements, date(2024, 1, 3), hours="extended")
    data = outcomes(source, "A", requirements=requirements, context=context)["A"].data
    assert data is not None
    assert data.bars["1d"].bars.close.tolist() == [100.0, 100.01]


@pytest.mark.long
def test_native_weekly_bars_are_read(tmp_path: Path) -> None:
    stamps = [utc_ns(f"{day}T00:00") for day in ("2024-06-17", "2024-06-24", "2024-07-01")]
    write(tmp_path / "1w" / "A" / "2024.parquet", table(stamps))
    source = ParquetSource(str(tmp_path), layout=Layout("{interval}/{symbol}/{year}.parquet"))
    friday = date(2024, 7, 5)
    data = outcomes(source, "A", day=friday, requirements=require("1w", trailing_days=5))["A"].data
    assert data is not None
    assert data.bars["1w"].bars.close.tolist() == [100.01, 100.02]


@pytest.mark.parametrize("as_uri", [False, True])
def test_the_root_may_have_spaces_and_be_a_uri(tmp_path: Path, as_uri: bool) -> None:
    root = tmp_path / "my bars & más"
    write_days(root, "A", TUESDAY)
    source = ParquetSource(root.as_uri() if as_uri else str(root))
    assert outcomes(source, "A")["A"].data is not None


def test_a_relative_root_is_taken_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_days(tmp_path / "bars", "A", TUESDAY)
    monkeypatch.chdir(tmp_path)
    assert outcomes(local_source("bars"), "A")["A"].data is not None


@pytest.mark.parametrize("root", ["nosuch://x/y", "file:relative://", "s4://bucket/bars"])
def test_a_uri_of_no_known_kind_is_the_sources_problem(root: str) -> None:
    with pytest.raises(SourceUnavailable, match="URI"):
        ParquetSource(root).has_symbols(["A"], reading().loaded)


def test_sliced_tables_are_written_and_read_as_they_look(tmp_path: Path) -> None:
    whole = minutes(TUESDAY, count=20)
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet", pa.concat_tables([whole.slice(5, 3), whole.slice(8, 4)]))
    bars = local_source(tmp_path).read_bars("A", MINUTE, reading(0).loaded)
    assert bars.close.tolist() == [100.05, 100.06, 100.07, 100.08, 100.09, 100.1, 100.11]


def test_days_without_a_file_are_left_out(tmp_path: Path) -> None:
    write_days(tmp_path, "A", MONDAY, WEDNESDAY)
    context = reading(2, WEDNESDAY)
    bars = local_source(tmp_path).read_bars("A", MINUTE, context.loaded)
    assert bars.start_ns[[0, -1]].tolist() == [utc_ns("2024-07-01T13:30"), utc_ns("2024-07-03T13:34")]
    assert len(bars) == 10
    with pytest.raises(NoDataError):
        local_source(tmp_path).read_bars("A", DAILY, context.loaded)


def test_bars_read_can_be_laid_on_the_sessions_without_copying(tmp_path: Path) -> None:
    write_sample_data(tmp_path, symbols=["A"], start=TUESDAY, end=TUESDAY)
    context = reading(0)
    bars = local_source(tmp_path).read_bars("A", MINUTE, context.loaded)
    series = lay_on_sessions(bars, MINUTE, context.sessions, context.row, symbol="A", source="files")
    assert np.shares_memory(series.bars.close, bars.close)
    assert not bars.close.flags.writeable


def test_it_is_a_data_source(tmp_path: Path) -> None:
    assert isinstance(local_source(tmp_path), DataSource)


def test_only_settings_travel_and_a_new_object_sees_new_files(tmp_path: Path) -> None:
    write_days(tmp_path, "A", TUESDAY)
    source = ParquetSource(str(tmp_path), "mine", columns=Columns(stamp="end"), interval_names={"1Min": "1m"})
    fresh = len(pickle.dumps(source))
    context = reading(0)
    assert source.has_symbols(["A", "B"], context.loaded) == {"A": True, "B": False}
    assert len(pickle.dumps(source)) == fresh
    write_days(tmp_path, "B", TUESDAY)
    assert source.has_symbols(["B"], context.loaded) == {"B": False}  # this object has listed the folder already
    travelled = pickle.loads(pickle.dumps(source))
    assert travelled == source
    assert travelled.has_symbols(["B"], context.loaded) == {"B": True}


def test_check_parquet_data_tells_whether_a_session_can_be_served(tmp_path: Path) -> None:
    write_days(tmp_path, "A", TUESDAY)
    sessions = reading(1).loaded
    source = local_source(tmp_path)
    assert source.check_parquet_data("A", MINUTE, sessions.take(slice(1, 2)))
    assert not source.check_parquet_data("A", MINUTE, sessions.take(slice(0, 1)))
    assert not source.check_parquet_data("A", Interval.parse("5m"), sessions.take(slice(1, 2)))


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_imports_no_pandas(tmp_path: Path, layout: str) -> None:
    """Nanoseconds, naive stamps and missing values are what makes pyarrow reach for it."""
    bars = named("A", minutes(TUESDAY))
    naive = bars["timestamp"].cast(pa.int64()).cast(pa.timestamp("us")).cast(pa.timestamp("ns"))
    values = {"symbol": "A", "interval": "1m", "date": str(TUESDAY), "month": "2024-07"}
    path = "/".join(str(Layout(layout).known(i, values)) for i in range(len(Layout(layout).components)))
    write(tmp_path / path, changed(changed(bars, "timestamp", naive), "close", pa.array([1.0, None, 3.0, 4.0, 5.0])))
    context = pickle.dumps(reading(0))
    code = f"""
import pickle, sys
from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.source import ParquetSource
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
context = pickle.loads({context!r})
columns = Columns(timezone="Etc/UTC")
source = ParquetSource({str(tmp_path)!r}, layout=Layout({layout!r}), columns=columns)
result = DataManager((source,)).validate(["A"], SymbolRequirements((Interval(1, "m"),)), context)["A"]
assert result.can_proceed, result.reason
assert len(source.read_bars("A", Interval(1, "m"), context.loaded)) == 5
print([name for name in ("pandas", "polars", "ray", "exchange_calendars") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


_OTHERS = {
    "as the others": lambda bars: bars,
    "stamps in seconds": lambda bars: changed(bars, "timestamp", bars["timestamp"].cast(pa.timestamp("s", tz="UTC"))),
    "stamps as numbers": lambda bars: changed(bars, "timestamp", bars["timestamp"].cast(pa.int64())),
    "prices as float32": lambda bars: changed(bars, "close", bars["close"].cast(pa.float32())),
    "a symbol column": lambda bars: named("AAPL", bars),
    "columns in another order": lambda bars: bars.select(bars.column_names[::-1]),
    "a price that is not there": lambda bars: changed(bars, "close", pa.array([None, *bars["close"].to_pylist()[1:]])),
}


@pytest.fixture(params=["small files", "large files"])
def _of_any_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "large files":  # which are not read at once
        monkeypatch.setattr("barray.data_sources.parquet.file._SMALL_BYTES", 0)


@pytest.mark.usefixtures("_of_any_size")
@pytest.mark.parametrize("other", _OTHERS)
def test_days_read_together_are_what_they_are_alone(tmp_path: Path, other: str) -> None:
    write_days(tmp_path, "AAPL", MONDAY, WEDNESDAY)
    write(tmp_path / f"AAPL/1m/{TUESDAY}.parquet", _OTHERS[other](minutes(TUESDAY, price=101.0)))
    sessions = reading(day=WEDNESDAY, trailing_days=2).loaded
    together = local_source(tmp_path).read_bars("AAPL", MINUTE, sessions)
    days = [local_source(tmp_path).read_bars("AAPL", MINUTE, sessions.take(slice(row, row + 1))) for row in range(3)]
    assert [len(day) for day in days] == [5, 5, 5]
    for column in ("start_ns", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(
            getattr(together, column), np.concatenate([getattr(day, column) for day in days]), strict=True
        )


_BAD = {
    "no stamp": lambda bars: changed(bars, "timestamp", pa.array([None] * len(bars), bars["timestamp"].type)),
    "stamps of 2261": lambda bars: changed(
        bars, "timestamp", pa.array([2**63 // 1000 - 10**12] * len(bars), bars["timestamp"].type)
    ),
    "no rows": lambda bars: bars.slice(0, 0),
    "a column too few": lambda bars: bars.drop(["volume"]),
}


@pytest.mark.usefixtures("_of_any_size")
@pytest.mark.parametrize("fault", _BAD)
def test_of_days_read_together_the_file_at_fault_is_named(tmp_path: Path, fault: str) -> None:
    write_days(tmp_path, "AAPL", MONDAY, WEDNESDAY)
    write(tmp_path / f"AAPL/1m/{TUESDAY}.parquet", _BAD[fault](minutes(TUESDAY)), write_statistics=False)
    source, sessions = local_source(tmp_path), reading(day=WEDNESDAY, trailing_days=2).loaded
    with pytest.raises((DataError, NoDataError)) as alone:
        source.read_bars("AAPL", MINUTE, sessions.take(slice(1, 2)))
    with pytest.raises(type(alone.value)) as together:
        source.read_bars("AAPL", MINUTE, sessions)
    assert str(TUESDAY) in str(together.value)
    assert str(together.value) == str(alone.value)
    assert together.value.code == alone.value.code


def test_a_day_in_several_row_groups_is_read_with_the_others(tmp_path: Path) -> None:
    write_days(tmp_path, "AAPL", MONDAY, WEDNESDAY)
    write(tmp_path / f"AAPL/1m/{TUESDAY}.parquet", minutes(TUESDAY), row_group_size=2)
    sessions = reading(day=WEDNESDAY, trailing_days=2).loaded
    assert len(local_source(tmp_path).read_bars("AAPL", MINUTE, sessions)) == 15


def test_what_was_listed_in_step_0_is_known_when_bars_are_read_but_files_are_read_as_they_are_then(
    tmp_path: Path,
) -> None:
    write(tmp_path / "AAPL/2024.parquet", minutes(MONDAY))
    source = ParquetSource(str(tmp_path), layout=Layout("{symbol}/{year}.parquet"), interval=MINUTE)
    sessions = reading().loaded
    held = source.historical_coverage(["AAPL"], MINUTE, sessions)["AAPL"]
    assert held.missing == (TUESDAY,)
    write(tmp_path / "AAPL/2024.parquet", minutes(TUESDAY, price=7.0))
    assert source.unopened().read_bars("AAPL", MINUTE, sessions).close.max() < 10.0
    assert source.unopened() == source
    write(tmp_path / "MSFT/2024.parquet", minutes(TUESDAY))
    assert len(source.unopened().read_bars("MSFT", MINUTE, sessions)) == 5, "others are listed when they are asked for"
