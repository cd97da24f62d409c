"""The face of a session, before anything is reached with it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import barray
from barray.market.errors import BarrayError, ConfigError
from tests.sessions import config


@pytest.mark.parametrize("day", [20240702, 1.5, "yesterday", True, datetime(2024, 7, 2)])
def test_a_day_that_is_no_date_is_refused(universe: Path, day: Any) -> None:
    with pytest.raises(ConfigError, match="is no date; write it as 2024-07-02"):
        barray.Session(config(universe, "AAPL")).begin(day)


@pytest.mark.parametrize("moment", [True, 10.5, b"10:30", ["10:30"], "late"])
def test_a_moment_that_is_no_time_is_refused(universe: Path, moment: Any) -> None:
    with pytest.raises(ConfigError, match="is no time of day"):
        barray.Session(config(universe, "AAPL")).advance_to(moment)


def test_whole_nanoseconds_and_the_close_are_times_of_a_session(universe: Path) -> None:
    for moment in (None, 1_720_000_000_000_000_000):
        with pytest.raises(BarrayError, match="the session is not open"):
            barray.Session(config(universe, "AAPL")).advance_to(moment)
