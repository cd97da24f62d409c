"""History that is not all there is missed in Step 0, however many days a file holds and wherever its bars lie."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from barray.actors.loading import load_range
from barray.check import check_config
from barray.coordinator.config.file import parse_config
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.market.requirements import calendar_for
from barray.market.session_range import session_range_of
from barray.trading.engine.commands import LoadRange
from tests.data_sources.files import MINUTE, MONDAY, TUESDAY, WEDNESDAY, minutes, named, outcomes, write
from tests.market.builders import calendar, require

WEEK_BEFORE = [date(2024, 6, day) for day in (24, 25, 26, 27, 28)]
MONTHLY = "{interval}/{symbol}/{month}.parquet"


@pytest.mark.parametrize("rows", [5, 7, 1_000])
@pytest.mark.parametrize("statistics", [True, False])
def test_days_missing_inside_a_file_are_missed_however_it_is_written(
    tmp_path: Path, rows: int, statistics: bool
) -> None:
    """In row groups of a day, of parts of days, or all in one; with statistics or without."""
    held = [*WEEK_BEFORE[:1], *WEEK_BEFORE[3:], MONDAY, TUESDAY]
    bars = pa.concat_tables([minutes(day) for day in held])
    write(tmp_path / "1m" / "A.parquet", bars, row_group_size=rows, write_statistics=statistics)
    source = ParquetSource(str(tmp_path), layout=Layout("{interval}/{symbol}.parquet"))
    asked = calendar("XNYS", WEEK_BEFORE[0], WEDNESDAY).sessions
    missing = source.historical_coverage(["A"], MINUTE, asked)["A"].missing
    assert sorted(set(asked.dates.tolist()) - set(missing)) == held
    outcome = outcomes(source, "A", requirements=require("1m", trailing_days=5))["A"]
    assert outcome.codes == ("no_history",)
    assert "lacks 2 of the 5 trailing sessions (2024-06-25, 2024-06-26)" in outcome.text
    allowed = require("1m", trailing_days=5, max_missing=2)
    assert outcomes(source, "A", requirements=allowed)["A"].data is not None


def test_a_day_with_bars_before_and_after_its_hours_alone_is_missed(tmp_path: Path) -> None:
    early, late = (minutes(MONDAY, first=first) for first in ("08:00", "17:00"))
    bars = pa.concat_tables([minutes(WEEK_BEFORE[-1]), early, late, minutes(TUESDAY)])
    write(tmp_path / "1m" / "A" / "2024-07.parquet", bars)
    write(tmp_path / "1m" / "A" / "2024-06.parquet", minutes(WEEK_BEFORE[-1]))
    source = ParquetSource(str(tmp_path), layout=Layout(MONTHLY))
    assert outcomes(source, "A", requirements=require("1m", trailing_days=1))["A"].codes == ("no_history",)
    assert outcomes(source, "A", day=MONDAY)["A"].codes == ("no_session_data",)


def test_a_session_file_with_bars_around_the_hours_alone_is_seen_in_step_0(tmp_path: Path) -> None:
    around = pa.concat_tables([minutes(TUESDAY, first=first) for first in ("08:00", "17:00")])
    write(tmp_path / "A" / "1m" / f"{TUESDAY}.parquet", around)
    outcome = outcomes(ParquetSource(str(tmp_path)), "A")["A"]
    assert (outcome.codes, outcome.on_load) == (("no_session_data",), False)


def test_a_days_missing_of_one_symbol_are_not_hidden_by_another_in_the_file(tmp_path: Path) -> None:
    """Sorted by time, so that every row group has both."""
    days = [*WEEK_BEFORE, MONDAY, TUESDAY]
    parts = [named(symbol, minutes(day)) for day in days for symbol in "AB" if (symbol, day) != ("B", WEEK_BEFORE[-1])]
    write(tmp_path / "1m.parquet", pa.concat_tables(parts), row_group_size=8)
    source = ParquetSource(str(tmp_path), layout=Layout("{interval}.parquet"))
    found = outcomes(source, "A", "B", requirements=require("1m", trailing_days=3))
    assert found["A"].data is not None
    assert found["B"].codes == ("no_history",)
    assert "(2024-06-28)" in found["B"].text


def promised(root: Path) -> ParquetSource:
    """Files a day of which Monday's, called so, has bars before its hours alone."""
    for day in (WEEK_BEFORE[-1], TUESDAY, WEDNESDAY):
        write(root / "A" / "1m" / f"{day}.parquet", minutes(day))
    write(root / "A" / "1m" / f"{MONDAY}.parquet", minutes(MONDAY, first="08:00"))
    return ParquetSource(str(root))


@pytest.mark.parametrize(("allowed", "codes"), [(0, ("no_history",)), (1, ())])
def test_a_day_that_only_its_files_name_promises_is_missed_on_load(
    tmp_path: Path, allowed: int, codes: tuple[str, ...]
) -> None:
    wanted = require("1m", trailing_days=2, max_missing=allowed)
    outcome = outcomes(promised(tmp_path), "A", requirements=wanted)["A"]
    assert outcome.codes == codes
    if codes:
        assert outcome.on_load
        assert "no bars in the regular hours of 1 of the 2 trailing sessions (2024-07-01)" in outcome.text


@pytest.mark.parametrize(("allowed", "runs"), [(0, [WEDNESDAY]), (1, [TUESDAY, WEDNESDAY])])
def test_a_backtest_leaves_out_the_sessions_that_a_session_would_refuse(
    tmp_path: Path, allowed: int, runs: list[date]
) -> None:
    source, wanted = promised(tmp_path), require("1m", trailing_days=1, max_missing=allowed)
    days = session_range_of(wanted, calendar_for(wanted, "XNYS", MONDAY, WEDNESDAY), [TUESDAY, WEDNESDAY])
    loaded = load_range(LoadRange("A", days, source, MINUTE, {}))
    ran = [days.sessions.dates[row].item() for row in loaded.traded.tolist()]
    assert ran == runs
    told = "no bars in the regular hours of 1 of the 1 trailing sessions"
    assert dict(loaded.skipped) == ({} if allowed else {str(TUESDAY): told})


@pytest.mark.long
def test_the_indicator_that_needs_the_history_is_named(tmp_path: Path) -> None:
    for day in (MONDAY, TUESDAY):
        write(tmp_path / "A" / "1m" / f"{day}.parquet", minutes(day))
    config = {
        "session": {"start": str(TUESDAY)},
        "symbols": ["A"],
        "intervals": ["1m"],
        "indicators": ["SMA(50)@1d", "RSI(14)@1m"],
        "history": {"trailing_days": 2},
        "sources": [{"root": str(tmp_path)}],
    }
    [reason] = check_config(parse_config(config))[TUESDAY]["A"].reasons
    assert "lacks 48 of the 49 trailing sessions" in reason.message
    assert reason.remedy == ("add the data, do without SMA(50)@1d, which needs them, or allow history.max_missing_days")
    [reason] = check_config(parse_config({**config, "indicators": []}))[TUESDAY]["A"].reasons
    assert "fewer history.trailing_days" in reason.remedy


def test_hours_of_the_clock_are_not_told_to_be_stamped_with_their_start(tmp_path: Path) -> None:
    stamps = pa.concat_tables([minutes(TUESDAY, first=f"{hour}:00", count=1) for hour in range(10, 16)])
    write(tmp_path / "A" / "1h" / f"{TUESDAY}.parquet", stamps)
    outcome = outcomes(ParquetSource(str(tmp_path)), "A", requirements=require("1h"))["A"]
    assert outcome.codes == ("off_grid",)
    assert "its 1h are the clock's" in outcome.text
    assert "stamp bars" not in outcome.text
    assert "load a finer interval" in outcome.text
