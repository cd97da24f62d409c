"""Files that look well to Step 0 and break when they are read: the next source serves what they don't."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import barray
from barray.check import check_config
from barray.coordinator.config.file import as_config
from barray.dump.validate import validate_session_dump
from barray.dump.writers.json import write_json
from tests.sessions import config

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
FIRST, LAST = date(2024, 7, 1), date(2024, 7, 3)
STRATEGY = """
from barray import Strategy

class Turns(Strategy):
    every: int = 30

    def on_bar(self, ctx):
        if ctx.minute % self.every == 0:
            ctx.order_target(0 if ctx.position else 10)
"""
ON_WINDOW = """
from barray import Strategy

class Turns(Strategy):
    def on_window(self, ctx):
        for symbol in ctx.symbols:
            if ctx.now.minute == 0:
                ctx.order(symbol, 1)
"""


def broken(folder: Path, universe: Path, symbol: str, *days: int) -> Path:
    """A tree like the universe's, with some days of July whose bars can't be read though the footer can."""
    (folder / symbol / "1m").mkdir(parents=True)
    for file in (universe / symbol / "1m").iterdir():
        own = folder / symbol / "1m" / file.name
        if file.stem in {f"2024-07-{day:02}" for day in days}:
            pages = bytearray(file.read_bytes())
            start = pq.ParquetFile(file).metadata.row_group(0).column(1).dictionary_page_offset or 4
            pages[start : start + 300] = b"\x07" * 300
            own.write_bytes(bytes(pages))
        else:
            own.symlink_to(file)
    return folder


def asked(folder: Path, universe: Path, *days: int, strategy: str = STRATEGY, **changes: Any) -> dict[str, Any]:
    path = folder / "strategy.py"
    path.write_text(strategy)
    sources = [{"name": "own", "root": str(broken(folder / "own", universe, "TSLA", *days))}]
    sources += [{"name": "all", "root": str(universe)}]
    session = {"start": str(FIRST), "end": str(LAST)}
    settings = {"session": session, "intervals": ["1m"], "indicators": [], "history": {"trailing_days": 1}}
    return config(universe, "TSLA", **{**settings, "sources": sources, "strategy": {"path": str(path)}, **changes})


def alone(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "sources": settings["sources"][1:]}


@pytest.mark.long
@pytest.mark.parametrize(("strategy", "carry"), [(STRATEGY, True), (STRATEGY, False), (ON_WINDOW, True)])
def test_a_session_of_a_backtest_whose_file_breaks_is_read_from_the_next_source(
    universe: Path, tmp_path: Path, strategy: str, carry: bool
) -> None:
    settings = asked(tmp_path, universe, 2, strategy=strategy, account={"carry": carry})
    found, true = (barray.backtest(chosen).symbols["TSLA"] for chosen in (settings, alone(settings)))
    assert found.skipped == {}
    assert len(found.fills) > 3
    assert found.equity.tobytes() == true.equity.tobytes()
    assert found.lineage is not None
    assert found.lineage.source == "own + all"
    assert [one.source for one in found.sources] == ["own", "all"]
    [warning] = [warning for warning in found.warnings if warning.code == "unreadable_file"]
    assert warning.source == "own"
    assert "2024-07-02 is read from all: " in str(warning)
    assert "2024-07-02.parquet" in str(warning)


@pytest.mark.long
def test_what_no_other_source_serves_is_left_out_with_what_each_said(universe: Path, tmp_path: Path) -> None:
    settings = asked(tmp_path, universe, 2)
    other = broken(tmp_path / "other", universe, "TSLA", 2, 3)
    settings["sources"][1]["root"] = str(other)
    found = barray.backtest(settings).symbols["TSLA"]
    assert found.sessions == ("2024-07-01",)
    assert list(found.skipped) == ["2024-07-02", "2024-07-03"]
    for reason in found.skipped.values():
        assert "[own]" in reason
        assert "[all]" in reason
        assert "2024-07-02.parquet" in reason


@pytest.mark.long
def test_a_sweep_goes_on_with_the_next_sources_bars(universe: Path, tmp_path: Path) -> None:
    settings = asked(tmp_path, universe, 2, 3)
    settings |= {"sweep": {"parameters": {"every": [20, 30]}}, "report": {"directory": str(tmp_path / "out")}}
    found, true = barray.sweep(settings), barray.sweep({**alone(settings), "name": "true"})
    assert [row.data for row in found.rows] == [row.data for row in true.rows]
    assert found.dropped == {}


@pytest.mark.long
def test_a_session_loads_from_the_next_source_and_says_why(
    universe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = asked(tmp_path, universe, 1)
    with caplog.at_level(logging.WARNING), barray.Session(settings) as session:
        summary = session.begin(date(2024, 7, 2))
        session.advance_to()
        data = session.snapshot("TSLA")
        dump = write_json(tmp_path / "dump.json", session.end(), [data])
        session.teardown()
        assert session.begin(LAST).step0["TSLA"].data_source == "own", "whose other days are good"
        assert session.add_symbol("SPY")
    assert summary.step0["TSLA"].data_source == "all"
    assert [(reason.source, reason.code) for reason in summary.step0["TSLA"].reasons] == [("own", "unreadable_file")]
    assert data.lineage is not None
    assert data.lineage.source == "all"
    assert np.array_equal(
        data.bars["1m"].bars.close[-390:], pq.read_table(universe / "TSLA/1m/2024-07-02.parquet")["close"]
    )
    assert validate_session_dump(dump) == []


@pytest.mark.long
def test_a_symbol_that_no_source_is_left_for_is_dropped_for_what_each_said(universe: Path, tmp_path: Path) -> None:
    settings = asked(tmp_path, universe, 1)
    settings["sources"][1]["root"] = str(tmp_path / "nothing")
    (tmp_path / "nothing").mkdir()
    with barray.Session(settings) as session, pytest.raises(barray.ValidationFailed) as failed:
        session.begin(date(2024, 7, 2))
    assert "2024-07-01.parquet" in str(failed.value)
    assert "[all] has no data for TSLA" in str(failed.value)
    settings["symbols"] = ["SPY"]
    settings["sources"][1]["root"] = str(universe)
    with barray.Session(settings) as session:
        session.begin(date(2024, 7, 2))
        assert session.add_symbol("TSLA")
        assert session.snapshot("TSLA").lineage.source == "all"  # type: ignore[union-attr]


@pytest.mark.long
def test_a_deep_check_finds_the_next_source_as_the_session_will(universe: Path, tmp_path: Path) -> None:
    found = check_config(as_config(asked(tmp_path, universe, 2)), deep=True)
    assert {day.isoformat(): results["TSLA"].data_source for day, results in found.items()} == {
        "2024-07-01": "own",
        "2024-07-02": "all",
        "2024-07-03": "all",
    }
