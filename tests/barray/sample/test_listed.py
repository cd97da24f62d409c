"""The universe to scan: what is listed is there, what is broken is told, and days are those of the minutes."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.parquet.stack import read_stack
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.series import derive
from barray.market.universe.lay import lay_universe
from barray.sample.listed import ListedUniverse, write_listed_universe
from tests.market.builders import calendar

END = date(2024, 7, 3)
MINUTE, DAY = Interval.parse("1m"), Interval.parse("1d")


def sources_of(written: ListedUniverse) -> list[ParquetSource]:
    """The sources of the config that it prints."""
    found = yaml.safe_load(written.sources)["sources"]
    return [
        ParquetSource(s["root"], s["name"], Layout(s["layout"]), interval=Interval.parse(s["interval"])) for s in found
    ]


@pytest.mark.long
@pytest.mark.parametrize("file_per_symbol", [False, True])
def test_each_symbol_is_there_while_it_is_listed(tmp_path: Path, file_per_symbol: bool) -> None:
    written = write_listed_universe(tmp_path, symbols=60, end=END, sessions=2, days=8, file_per_symbol=file_per_symbol)
    assert written.sessions == (date(2024, 7, 2), END)
    with (tmp_path / "listings.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["symbol"] for row in listed] == sorted(row["symbol"] for row in listed)
    renamed = {row["symbol"]: row["renamed_to"] for row in listed if row["renamed_to"]}
    assert len(renamed) == 1
    assert set(renamed.values()) < {row["symbol"] for row in listed}
    assert sum(1 for row in listed if row["end"]) == 2
    assert sum(1 for row in listed if row["start"]) == 2
    with (tmp_path / "sectors.csv").open() as file:
        assert [row["symbol"] for row in csv.DictReader(file)] == [row["symbol"] for row in listed]
    minutes, days = sources_of(written)
    sessions = calendar("XNYS", written.days[0], END).sessions
    first = sessions.index(written.days[0])
    assert first is not None
    for row, day in enumerate(written.days, first):
        there = {r["symbol"] for r in listed if (r["start"] or "0") <= day.isoformat() <= (r["end"] or "9")}
        daily, refused = read_stack(days, DAY, sessions.take(slice(row, row + 1)), there)
        assert set(daily.symbols) == there
        assert not refused
        if day in written.sessions:
            one = sessions.take(slice(row, row + 1))
            stack, unread = read_stack(minutes, MINUTE, one, there)
            laid, unlaid = lay_universe(stack.bars, stack.offsets, stack.symbols, MINUTE, one, 0, source="minutes")
            told = {**unread, **unlaid}
            assert told.keys() == (set(written.broken) if day == END else set())
            assert set(laid.symbols) == there - told.keys()
            for symbol in laid.symbols:
                assert daily.bars_of(symbol).equals(derive(laid.of(symbol), DAY, one, 0).bars)
    assert len(written.broken) == (8 if file_per_symbol else 5)


@pytest.mark.long
def test_days_without_minutes_end_where_the_minutes_would(tmp_path: Path) -> None:
    few = write_listed_universe(tmp_path / "few", symbols=50, end=END, sessions=1, days=4)
    more = write_listed_universe(tmp_path / "more", symbols=50, end=END, sessions=5, days=0)
    sessions = calendar("XNYS", few.days[0], END).sessions
    row = sessions.index(few.days[0])
    assert row is not None
    own = sessions.take(slice(row, row + 5))
    drawn, made = (read_stack(sources_of(written)[1], DAY, own)[0] for written in (few, more))
    for symbol in ("AAPL", "SPY", "T"):
        one, other = drawn.bars_of(symbol), made.bars_of(symbol)
        assert np.array_equal(one.start_ns, other.start_ns)
        assert np.array_equal(one.close, other.close)  # of liquid symbols, whose last minute is there
        assert np.array_equal(np.round(one.close * 100) / 100, one.close)


def test_a_universe_of_too_few_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ask for 50 or more"):
        write_listed_universe(tmp_path, symbols=3, end=END)
    with pytest.raises(ConfigError, match="give 1 session or more"):
        write_listed_universe(tmp_path, symbols=50, end=END, sessions=0)
