from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barray.market.bars import COLUMNS, Bars
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.series import IntervalBars, lay_on_sessions
from barray.sample.universe import FAULTS, KNOWN_SYMBOLS, SampleData, sample_symbols, write_sample_data
from tests.market.builders import calendar

MONDAY, WEDNESDAY, FRIDAY = date(2024, 7, 1), date(2024, 7, 3), date(2024, 7, 5)
ONE_DAY = Path("1m/2024-07-05.parquet")
COLUMNS_OF_A_FILE = ["timestamp", "open", "high", "low", "close", "volume"]


def write(root: Path, symbols: Sequence[str] | int, **settings: Any) -> SampleData:
    return write_sample_data(root, **{"symbols": symbols, "start": MONDAY, "end": FRIDAY, **settings})


def read(root: Path) -> Bars:
    table = pa.concat_tables([pq.ParquetFile(path).read() for path in sorted(root.rglob("*.parquet"))])
    start_ns = table["timestamp"].cast(pa.int64()).to_numpy() * 1_000
    return Bars(start_ns, *(table[name].cast(pa.float64()).to_numpy() for name in COLUMNS))


def lay(bars: Bars, interval: str, start: date, end: date, hours: str = "regular") -> IntervalBars:
    sessions = calendar("XNYS", start, end, hours).sessions
    return lay_on_sessions(bars, Interval.parse(interval), sessions, 0, symbol="X", source="test")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.parquet"))}


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty sessions of eight symbols and a less liquid one, a file a month."""
    root = tmp_path_factory.mktemp("quarter")
    names = [*KNOWN_SYMBOLS[:8], "SYM0003"]
    layout = "{symbol}/{interval}/{month}.parquet"
    write(root, names, start=date(2024, 4, 1), end=date(2024, 6, 28), layout=layout, missing_share=0.01)
    return root


def test_says_what_was_written(tmp_path: Path) -> None:
    written = write(tmp_path, 3, missing_share=0.0)
    assert written.symbols == ("AAPL", "MSFT", "NVDA")
    assert written.sessions == (MONDAY, date(2024, 7, 2), WEDNESDAY, FRIDAY)  # the fourth of July is a holiday
    assert written.files == 12
    assert written.bars == 3 * (3 * 390 + 210)
    assert written.bytes == sum(len(content) for content in contents(tmp_path).values())


def test_half_day_has_210_minutes(tmp_path: Path) -> None:
    write(tmp_path, ["AAPL"], missing_share=0.0)
    stamps = pq.read_table(tmp_path / "AAPL/1m/2024-07-03.parquet")["timestamp"].to_pylist()
    assert len(stamps) == 210
    assert (stamps[0].isoformat(), stamps[-1].isoformat()) == ("2024-07-03T13:30:00+00:00", "2024-07-03T16:59:00+00:00")


def test_columns_are_those_of_the_design(tmp_path: Path) -> None:
    write(tmp_path, ["AAPL"])
    schema = pq.read_schema(tmp_path / "AAPL" / ONE_DAY)
    assert schema.names == COLUMNS_OF_A_FILE
    assert [str(kind) for kind in schema.types] == ["timestamp[us, tz=UTC]", *["double"] * 4, "int64"]


def test_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a", 3)
    write(tmp_path / "b", 3)
    write(tmp_path / "c", 3, seed=8)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not set(contents(tmp_path / "a").values()) & set(contents(tmp_path / "c").values())


@pytest.mark.long
def test_other_symbols_and_other_dates_change_nothing(tmp_path: Path) -> None:
    write(tmp_path / "one", ["MSFT"], start=FRIDAY)
    write(tmp_path / "all", 45, start=date(2024, 6, 24), end=date(2024, 7, 8))
    assert (tmp_path / "one/MSFT" / ONE_DAY).read_bytes() == (tmp_path / "all/MSFT" / ONE_DAY).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("day", [date(2023, 12, 29), date(2024, 1, 2)])
def test_days_on_both_sides_of_the_epoch_do_not_depend_on_the_range(tmp_path: Path, day: date) -> None:
    write(tmp_path / "one", ["KO"], start=day, end=day)
    write(tmp_path / "more", ["KO"], start=date(2023, 12, 20), end=date(2024, 1, 10))
    name = f"KO/1m/{day}.parquet"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "more" / name).read_bytes()


@pytest.mark.long
def test_prices_go_on_across_days_with_opening_gaps(quarter: Path) -> None:
    gaps = []
    for name in KNOWN_SYMBOLS[:8]:
        bars = lay(read(quarter / name), "1m", date(2024, 4, 1), date(2024, 6, 28))
        first = np.flatnonzero(np.diff(bars.session)) + 1
        gaps.append(np.log(bars.bars.open[first] / bars.bars.close[first - 1]))
    sizes = np.abs(np.concatenate(gaps))
    assert 0.002 < np.median(sizes) < 0.02
    assert sizes.max() < 0.15


@pytest.mark.long
def test_prices_go_on_across_the_epoch(tmp_path: Path) -> None:
    write(tmp_path, ["AAPL"], start=date(2023, 12, 26), end=date(2024, 1, 5))
    bars = lay(read(tmp_path), "1m", date(2023, 12, 26), date(2024, 1, 5))
    closes = bars.bars.close
    assert np.abs(np.diff(np.log(closes))).max() < 0.1
    assert 150 < closes.mean() < 240  # it stood near 192 USD


def test_bars_lie_on_the_sessions_in_whole_cents_with_whole_volumes(quarter: Path) -> None:
    for folder in quarter.iterdir():
        bars = read(folder)
        assert len(lay(bars, "1m", date(2024, 4, 1), date(2024, 6, 28))) == len(bars)
        for name in ("open", "high", "low", "close"):
            column = getattr(bars, name)
            assert np.array_equal(column, np.round(column, 2))
        assert bars.volume.min() >= 1
        assert np.median(bars.high - bars.low) > 0


def test_volume_and_volatility_smile(quarter: Path) -> None:
    bars = read(quarter / "AAPL")
    minute = _minute_of_day(bars)
    spread = (bars.high - bars.low) / bars.close
    opening, midday, closing = minute < 15, (minute > 150) & (minute < 240), minute >= 375
    assert bars.volume[opening].mean() > 1.8 * bars.volume[midday].mean()
    assert bars.volume[closing].mean() > 1.8 * bars.volume[midday].mean()
    assert spread[opening].mean() > 1.4 * spread[midday].mean()
    assert spread[closing].mean() > 1.05 * spread[midday].mean()


def _minute_of_day(bars: Bars) -> np.ndarray[Any, np.dtype[np.int64]]:
    return (bars.start_ns // 60_000_000_000) % 1440 - (13 * 60 + 30)  # all in summer time


def test_symbols_move_together_but_not_alike(quarter: Path) -> None:
    changes = []
    for name in ("AAPL", "MSFT", "SPY"):
        bars = read(quarter / name)
        closes = dict(zip(bars.start_ns.tolist(), bars.close.tolist(), strict=True))
        changes.append(closes)
    common = sorted(set.intersection(*(set(closes) for closes in changes)))
    minutes = np.array([[closes[stamp] for stamp in common] for closes in changes])
    correlation = np.corrcoef(np.diff(np.log(minutes)))
    pairs = correlation[np.triu_indices(3, 1)]
    assert pairs.min() > 0.2
    assert pairs.max() < 0.95


@pytest.mark.long
def test_a_year_of_returns_has_about_the_volatility_of_the_symbol(tmp_path: Path) -> None:
    year = {"start": date(2023, 1, 3), "end": date(2024, 12, 31), "interval": "1d"}
    write(tmp_path, ["AAPL"], layout="{symbol}/{interval}.parquet", **year)
    yearly = np.diff(np.log(read(tmp_path).close)).std() * np.sqrt(252)
    assert 0.2 < yearly < 0.33  # 25 % in the table


@pytest.mark.long
def test_less_liquid_symbols_miss_more_minutes(tmp_path: Path) -> None:
    write(tmp_path, ["AAPL", *(f"SYM{number:04d}" for number in range(1, 21))])
    missing = {folder.name: 1380 - len(read(folder)) for folder in tmp_path.iterdir()}
    assert missing["AAPL"] <= 3
    assert max(missing.values()) > 20
    assert max(missing.values()) < 0.08 * 1380


def test_missing_share_is_kept(quarter: Path) -> None:
    expected = 63 * 390
    for folder in quarter.iterdir():
        assert 0.007 < 1 - len(read(folder)) / expected < 0.013


def test_extended_hours_trade_little_outside_regular_hours(tmp_path: Path) -> None:
    write(tmp_path, ["AAPL"], hours="extended", missing_share=0.0)
    bars = read(tmp_path)
    assert len(lay(bars, "1m", MONDAY, FRIDAY, "extended")) == 3 * 960 + 780
    minute = _minute_of_day(bars)
    outside = (minute < 0) | (minute >= 390)
    assert bars.volume[outside].mean() < 0.1 * bars.volume[~outside].mean()


@pytest.mark.parametrize(("interval", "bars_a_day"), [("1s", 23_400), ("90s", 260), ("5m", 78), ("1h", 7), ("1d", 1)])
def test_other_intervals(tmp_path: Path, interval: str, bars_a_day: int) -> None:
    write(tmp_path, ["AAPL"], start=FRIDAY, interval=interval, missing_share=0.0)
    assert len(lay(read(tmp_path), interval, FRIDAY, FRIDAY)) == bars_a_day


def test_coarser_bars_agree_with_the_minutes(tmp_path: Path) -> None:
    for interval in ("1m", "1d"):
        write(tmp_path / interval, ["SYM0007"], start=FRIDAY, interval=interval)
    minutes, day = read(tmp_path / "1m"), read(tmp_path / "1d")[0]
    assert (day.open, day.close) == (minutes.open[0], minutes.close[-1])
    assert (day.high, day.low, day.volume) == (minutes.high.max(), minutes.low.min(), minutes.volume.sum())


@pytest.mark.long
def test_files_of_many_symbols_are_sorted_and_pruned_by_symbol(tmp_path: Path) -> None:
    written = write(tmp_path, 300, start=FRIDAY, layout="{interval}/{date}.parquet")
    file = pq.ParquetFile(tmp_path / ONE_DAY)
    assert written.files == 1
    assert file.metadata.num_rows == written.bars
    assert file.schema_arrow.names == ["symbol", *COLUMNS_OF_A_FILE]
    table = file.read()
    keys = list(zip(table["symbol"].to_pylist(), table["timestamp"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert len(set(table["symbol"].to_pylist())) == 300
    ranges = [_symbol_range(file, group) for group in range(file.num_row_groups)]
    assert len(ranges) >= 5
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))


def _symbol_range(file: pq.ParquetFile, group: int) -> tuple[str, str]:
    statistics = file.metadata.row_group(group).column(0).statistics
    return statistics.min, statistics.max


def test_a_shared_file_has_the_bars_of_the_single_ones(tmp_path: Path) -> None:
    write(tmp_path / "single", ["KO"])
    write(tmp_path / "shared", ["XOM", "KO"], layout="{interval}/{year}.parquet")
    shared = pq.read_table(tmp_path / "shared", filters=[("symbol", "=", "KO")]).select(COLUMNS_OF_A_FILE)
    single = pa.concat_tables(
        [pq.ParquetFile(path).read() for path in sorted((tmp_path / "single").rglob("*.parquet"))]
    )
    assert shared.equals(single)


def test_symbols_come_well_known_first_and_up_to_ten_thousand() -> None:
    symbols = sample_symbols(10_000)
    assert symbols[:2] == ("AAPL", "MSFT")
    assert symbols[len(KNOWN_SYMBOLS)] == "SYM0001"
    assert len(set(symbols)) == 10_000


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"symbols": 0}, "0 sample symbols"),
        ({"symbols": 10_001}, "1 to 10,000"),
        ({"symbols": []}, "no symbols"),
        ({"symbols": ["../../x"]}, "a symbol consists of"),
        ({"symbols": [""]}, "the symbol is empty"),
        ({"start": FRIDAY, "end": MONDAY}, "reversed"),
        ({"start": date(2024, 7, 4), "end": date(2024, 7, 4)}, "no session on 2024-07-04"),
        ({"interval": "0m"}, "not an interval"),
        ({"interval": "1w"}, "weekly"),
        ({"calendar": "XXXX"}, "not an exchange calendar"),
        ({"layout": "{ticker}/{date}.parquet"}, "unknown placeholder"),
        ({"layout": "../{symbol}.parquet"}, "relative to the root"),
        ({"layout": "{symbol}/*.parquet"}, r"has a \*"),
        ({"missing_share": 1.0}, "missing_share"),
        ({"broken": ["rusty"]}, "not a fault"),
        ({"broken": {"../x": "nan"}}, "a symbol consists of"),
        ({"broken": ["truncated"], "layout": "{interval}/{date}.parquet"}, "spoils a whole file"),
        ({"broken": ["unsorted"], "interval": "1d"}, "two bars a file"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        write(tmp_path, **{"symbols": 1, **settings})


def test_a_folder_that_cannot_be_written_to_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot write"):
        write(tmp_path / "file", 1)


def test_progress_counts_symbol_days(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    write(tmp_path, 2, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, 8) for done in range(1, 9)]


@pytest.mark.long
def test_nothing_but_the_files_is_left_behind(tmp_path: Path) -> None:
    written = write(tmp_path, 1, broken=list(FAULTS))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet"}
    assert len(files) == written.files - 1  # one is a directory


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("broken")
    written = write(root, ["AAPL"], broken=list(FAULTS))
    assert written.broken == {f"BAD_{fault.upper()}": fault for fault in FAULTS}
    assert written.symbols == ("AAPL", *written.broken)
    return root


def days_of(root: Path, fault: str) -> list[str]:
    return sorted(path.stem for path in (root / f"BAD_{fault.upper()}" / "1m").glob("*"))


def last_of(root: Path, fault: str) -> pa.Table:
    return pq.ParquetFile(root / f"BAD_{fault.upper()}" / ONE_DAY).read()


ALL_DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_hits_only_its_own_file(broken: Path, fault: str) -> None:
    hit = "2024-07-03" if fault == "one_bad_day" else "2024-07-05"
    present = {"no_data": [], "no_history": ALL_DAYS[-1:], "missing_session": ALL_DAYS[:-1]}.get(fault, ALL_DAYS)
    assert days_of(broken, fault) == present
    for day in set(present) - {hit}:
        folder = broken / f"BAD_{fault.upper()}" / "1m"
        assert pq.ParquetFile(folder / f"{day}.parquet").metadata.num_rows > 200


def test_no_data_leaves_nothing_at_all(broken: Path) -> None:
    assert not (broken / "BAD_NO_DATA").exists()


def test_an_empty_file_has_columns_and_no_rows(broken: Path) -> None:
    table = last_of(broken, "empty")
    assert (table.num_rows, table.column_names) == (0, COLUMNS_OF_A_FILE)


@pytest.mark.parametrize("fault", ["truncated", "not_parquet", "one_bad_day"])
def test_unreadable_files_cannot_be_opened(broken: Path, fault: str) -> None:
    day = "2024-07-03" if fault == "one_bad_day" else "2024-07-05"
    path = broken / f"BAD_{fault.upper()}" / "1m" / f"{day}.parquet"
    assert path.stat().st_size > 0
    assert path.read_bytes().startswith(b"PAR1") == (fault != "not_parquet")
    with pytest.raises(pa.ArrowInvalid):
        pq.ParquetFile(path)


def test_wrong_columns_lack_close_and_volume(broken: Path) -> None:
    assert last_of(broken, "wrong_columns").column_names == ["timestamp", "open", "high", "low", "last"]


def test_wrong_types_are_text(broken: Path) -> None:
    schema = last_of(broken, "wrong_types").schema
    assert {str(schema.field(name).type) for name in ("open", "high", "low", "close")} == {"string"}


def test_naive_stamps_have_no_zone(broken: Path) -> None:
    assert last_of(broken, "naive_stamps").schema.field("timestamp").type == pa.timestamp("us")


def test_unsorted_and_duplicate_stamps(broken: Path) -> None:
    steps = [
        np.diff(last_of(broken, fault)["timestamp"].cast(pa.int64()).to_numpy())
        for fault in ("unsorted", "duplicate_stamps")
    ]
    assert (steps[0] < 0).sum() == 1
    assert ((steps[1] == 0).sum(), (steps[1] < 0).sum()) == (1, 0)


def test_spoiled_values(broken: Path) -> None:
    def column(fault: str, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        values: np.ndarray[Any, np.dtype[np.float64]] = last_of(broken, fault)[name].to_numpy()
        return values

    assert np.isnan(column("nan", "close")).sum() == 1
    assert np.isposinf(column("infinite", "high")).sum() == 1
    assert (column("high_below_low", "high") < column("high_below_low", "low")).sum() == 1
    assert (column("negative_volume", "volume") < 0).sum() == 1
    assert (column("negative_price", "low") < 0).sum() == 1


def test_other_symbol_names_somebody_else(broken: Path) -> None:
    assert set(last_of(broken, "other_symbol")["symbol"].to_pylist()) == {"OTHER"}


def test_a_directory_stands_where_the_file_should_be(broken: Path) -> None:
    assert (broken / "BAD_DIRECTORY" / ONE_DAY).is_dir()


def test_a_mapping_breaks_symbols_of_the_universe(tmp_path: Path) -> None:
    written = write(tmp_path, 2, broken={"MSFT": "missing_session", "ZZZ": "no_data"})
    assert written.symbols == ("AAPL", "MSFT", "ZZZ")
    assert not (tmp_path / "MSFT" / ONE_DAY).exists()
    assert (tmp_path / "AAPL" / ONE_DAY).exists()


def test_row_faults_work_in_files_of_many_symbols(tmp_path: Path) -> None:
    faults = {"KO": "nan", "XOM": "unsorted", "V": "no_history", "T": "missing_session"}
    write(tmp_path, 2, broken=faults, layout="{interval}/{date}.parquet")
    last, first = (pq.read_table(tmp_path / "1m" / f"{day}.parquet") for day in (FRIDAY, MONDAY))
    hit = last.filter(pa.compute.is_nan(last["close"]))
    assert hit["symbol"].to_pylist() == ["KO"]
    assert set(last["symbol"].to_pylist()) == {"AAPL", "MSFT", "KO", "XOM", "V"}
    assert set(first["symbol"].to_pylist()) == {"AAPL", "MSFT", "KO", "XOM", "T"}


def test_writing_again_mends_and_breaks_what_was_there(tmp_path: Path) -> None:
    def again(broken: dict[str, str]) -> None:
        write(tmp_path, ["KO"], broken=broken, start=FRIDAY - timedelta(days=2))

    path = tmp_path / "KO" / ONE_DAY
    for _ in range(2):
        again({"KO": "directory"})
        assert path.is_dir()
        again({})
        assert path.is_file()
    again({"KO": "no_data"})
    assert not path.exists()
