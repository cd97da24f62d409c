"""Daily bars by whatever stamp: in files of any size each is its own session's, or is refused with what to set."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.sample.universe import write_sample_data
from tests.data_sources.files import DAILY, TUESDAY, WEDNESDAY, outcomes, table, write
from tests.market.builders import calendar, context_for, new_york_ns, require

FIRST, LAST = date(2024, 5, 20), date(2024, 7, 12)
"""With Memorial Day, Juneteenth, Independence Day and a half day."""
WANTED = require("1d", trailing_days=5)
LAYOUTS = [
    "{symbol}/{interval}/{date}.parquet",
    "{interval}/{symbol}/{month}.parquet",
    "{interval}/{symbol}/{year}.parquet",
    "{interval}/{symbol}.parquet",
    "{interval}.parquet",
]
DAYS = calendar("XNYS", FIRST, LAST).between(FIRST, LAST)


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_daily_sample_data_stamped_with_the_open_run_on_every_day(tmp_path: Path, layout: str) -> None:
    write_sample_data(tmp_path, symbols=["A", "B"], start=FIRST, end=LAST, interval="1d", layout=layout)
    source = ParquetSource(str(tmp_path), layout=Layout(layout))
    for day in DAYS[5:]:
        found = outcomes(source, "A", "B", day=day, requirements=WANTED)
        for outcome in found.values():
            assert outcome.data is not None, f"{day}: {outcome.text}"
            opens = [new_york_ns(at, "09:30") for at in DAYS[DAYS.index(day) - 5 : DAYS.index(day) + 1]]
            assert outcome.data.bars["1d"].bars.start_ns.tolist() == opens


@pytest.mark.parametrize("layout", LAYOUTS[1:4])
def test_a_daily_bar_missing_between_others_is_missed(tmp_path: Path, layout: str) -> None:
    days = [day for day in DAYS if day != date(2024, 6, 28)]
    write_days(tmp_path, Layout(layout), days, "09:30")
    source = ParquetSource(str(tmp_path), layout=Layout(layout))
    outcome = outcomes(source, "A", day=TUESDAY, requirements=WANTED)["A"]
    assert outcome.codes == ("no_history",)
    assert "lacks 1 of the 5 trailing sessions (2024-06-28)" in outcome.text
    assert outcomes(source, "A", day=date(2024, 6, 28), requirements=WANTED)["A"].codes == ("no_session_data",)


def write_days(root: Path, layout: Layout, days: list[date], wall_time: str) -> None:
    """Daily bars stamped with a time of day in New York; the half day's with 13:00 where that is the close."""
    by_period: dict[str, list[int]] = {}
    for day in days:
        time = "13:00" if (day, wall_time) == (WEDNESDAY, "16:00") else wall_time
        by_period.setdefault(layout.period_of(day), []).append(new_york_ns(day, time))
    for stamps, day in zip(by_period.values(), {layout.period_of(day): day for day in days}.values(), strict=True):
        values = {"symbol": "A", "interval": "1d", **layout.values_of(day)}
        write(root.joinpath(*(str(layout.known(nth, values)) for nth in range(len(layout.components)))), table(stamps))


@pytest.mark.parametrize("layout", LAYOUTS[:4])
@pytest.mark.parametrize("day", [TUESDAY, WEDNESDAY])
def test_a_stamp_at_the_close_is_refused_until_the_source_says_that_it_is_the_end(
    tmp_path: Path, layout: str, day: date
) -> None:
    write_days(tmp_path, Layout(layout), DAYS, "16:00")
    at_start = ParquetSource(str(tmp_path), layout=Layout(layout))
    outcome = outcomes(at_start, "A", day=day, requirements=WANTED)["A"]
    assert (outcome.codes, outcome.on_load) == (("other_edge",), False)
    assert "is stamped with the session's close" in outcome.text
    assert "set stamp: end" in outcome.text
    at_end = ParquetSource(str(tmp_path), layout=Layout(layout), columns=Columns(stamp="end"))
    data = outcomes(at_end, "A", day=day, requirements=WANTED)["A"].data
    assert data is not None
    opens = [new_york_ns(at, "09:30") for at in DAYS[DAYS.index(day) - 5 : DAYS.index(day) + 1]]
    assert data.bars["1d"].bars.start_ns.tolist() == opens


@pytest.mark.parametrize("layout", LAYOUTS[:4])
def test_a_stamp_at_the_open_is_refused_where_the_source_calls_it_the_end(tmp_path: Path, layout: str) -> None:
    write_days(tmp_path, Layout(layout), DAYS, "09:30")
    source = ParquetSource(str(tmp_path), layout=Layout(layout), columns=Columns(stamp="end"))
    outcome = outcomes(source, "A", day=TUESDAY, requirements=WANTED)["A"]
    assert outcome.codes == ("other_edge",)
    assert "set stamp: start" in outcome.text


def test_the_dates_held_are_those_of_the_bars(tmp_path: Path) -> None:
    write_days(tmp_path, Layout(LAYOUTS[3]), DAYS, "09:30")
    source = ParquetSource(str(tmp_path), layout=Layout(LAYOUTS[3]))
    loaded = context_for(WANTED, TUESDAY).loaded
    coverage = source.historical_coverage(["A"], DAILY, loaded)["A"]
    assert (coverage.first, coverage.last, coverage.missing) == (FIRST, LAST, ())
