"""Step 0 over many sessions at once, on real files: each session is judged as it would be alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.source import ParquetSource
from barray.market.calendar import load_calendar
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import SessionRange, session_range_of

CALENDAR = load_calendar("XNYS", date(2024, 6, 10), date(2024, 7, 12))


def session_range(requirements: SymbolRequirements, first: date, last: date) -> SessionRange:
    return session_range_of(requirements, CALENDAR, CALENDAR.between(first, last))


def requirements(trailing_days: int = 0, max_missing_days: int = 0) -> SymbolRequirements:
    return SymbolRequirements((Interval.parse("1m"),), (), trailing_days, max_missing_days)


@pytest.mark.parametrize("trailing_days", [0, 1, 3])
def test_every_session_is_judged_as_if_it_were_alone(universe: Path, tmp_path: Path, trailing_days: int) -> None:
    (tmp_path / "TSLA").symlink_to(universe / "TSLA")
    (tmp_path / "AAPL/1m").mkdir(parents=True)
    for file in (universe / "AAPL/1m").iterdir():
        if file.stem not in ("2024-06-27", "2024-07-02"):
            (tmp_path / "AAPL/1m" / file.name).symlink_to(file)
    manager = DataManager((ParquetSource(str(tmp_path)),))
    wanted = requirements(trailing_days)
    days = session_range(wanted, date(2024, 6, 24), date(2024, 7, 3))
    found = manager.validate_range(["AAPL", "TSLA", "NOPE", "../x"], wanted, days)
    for symbol, validation in found.items():
        for row, day in zip(days.rows.tolist(), days.dates, strict=True):
            alone = manager.validate([symbol], wanted, days.context(row))[symbol]
            runs = validation.result.can_proceed and day not in validation.skipped
            assert runs == alone.can_proceed, (symbol, day, alone.reason)
    assert found["AAPL"].result.can_proceed == (trailing_days < 3)  # there are not three good days in a row before any
    assert found["AAPL"].result.data_source == "parquet"
    assert "has no data for NOPE" in found["NOPE"].result.reason
    assert not found["../x"].result.can_proceed


def test_the_first_source_that_serves_any_session_serves_the_symbol(universe: Path, tmp_path: Path) -> None:
    (tmp_path / "TSLA/1m").mkdir(parents=True)
    (tmp_path / "TSLA/1m/2024-07-03.parquet").symlink_to(universe / "TSLA/1m/2024-07-03.parquet")
    manager = DataManager((ParquetSource(str(tmp_path), "some"), ParquetSource(str(universe), "all")))
    wanted = requirements()
    found = manager.validate_range(["TSLA", "SPY"], wanted, session_range(wanted, date(2024, 7, 1), date(2024, 7, 3)))
    assert found["TSLA"].result.data_source == "some"
    assert sorted(found["TSLA"].skipped) == [date(2024, 7, 1), date(2024, 7, 2)]
    assert found["SPY"].result.data_source == "all"
    assert not found["SPY"].skipped


def test_a_symbol_with_nothing_says_what_the_first_session_lacks(universe: Path) -> None:
    manager = DataManager((ParquetSource(str(universe)),))
    wanted = requirements(trailing_days=2)
    found = manager.validate_range(["GME"], wanted, session_range(wanted, date(2024, 7, 1), date(2024, 7, 2)))["GME"]
    assert not found.result.can_proceed
    assert "has no history; 2 sessions" in found.result.reason
    assert len(found.skipped) == 2


def test_a_range_knows_its_history_its_grid_and_its_parts() -> None:
    days = session_range(requirements(trailing_days=2), date(2024, 7, 2), date(2024, 7, 5))  # the 4th is a holiday
    assert [day.isoformat() for day in days.dates] == ["2024-07-02", "2024-07-03", "2024-07-05"]
    assert days.loaded.dates[0].item() == date(2024, 6, 28)
    ends, numbers = days.grid(Interval.parse("1m"))
    assert [int((numbers == number).sum()) for number in range(3)] == [390, 210, 390]
    assert int(ends[-1]) == int(days.sessions.close_ns[days.rows[-1]])
    parts = days.split(2)
    assert [day for part in parts for day in part.dates] == days.dates
    assert parts[1].loaded.dates[0].item() == date(2024, 7, 2)
    assert len(days.split(9)) == 3


def test_a_range_of_no_session_or_too_little_calendar_is_refused() -> None:
    with pytest.raises(ConfigError, match="no session to run"):
        session_range_of(requirements(), CALENDAR, [])
    with pytest.raises(ConfigError, match="not enough sessions before 2024-06-11"):
        session_range_of(requirements(trailing_days=5), CALENDAR, [date(2024, 6, 11)])
