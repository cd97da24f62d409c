"""Prices of zero and below: refused wherever bars come in, but from a source that says `prices: any`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from barray.actors.loading import load_range
from barray.check import check_config
from barray.coordinator.config.file import parse_config
from barray.coordinator.config.model import SessionConfig
from barray.data_sources.fetching.store import BarStore
from barray.data_sources.fetching.vendor import Dataset
from barray.dump.validate import validate_session_dump
from barray.dump.writers.json import write_json
from barray.market.bars import Bars
from barray.market.commands import Load, TakeSnapshot
from barray.market.errors import DataError
from barray.market.requirements import calendar_for, session_context
from barray.market.session_range import session_range_of
from barray.market.symbol_session import SymbolSession
from barray.trading.engine.commands import LoadRange
from tests.barray.dump_builder import passed, signed, summary_of
from tests.data_sources.files import MINUTE, MONDAY, TUESDAY, WEDNESDAY, changed, minutes, write
from tests.market.builders import flat, new_york_ns, require, run


def with_zeros(bars: pa.Table, row: int = 2) -> pa.Table:
    """The bars, one of which has all its prices at zero."""
    for name in ("open", "high", "low", "close"):
        values = bars[name].to_pylist()
        values[row] = 0.0
        bars = changed(bars, name, pa.array(values))
    return bars


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A has a row of zeros on Tuesday, in the default layout."""
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        bars = minutes(day)
        write(tmp_path / "A" / "1m" / f"{day}.parquet", with_zeros(bars) if day == TUESDAY else bars)
    return tmp_path


def config(root: Path, **source: Any) -> SessionConfig:
    return parse_config(
        {
            "session": {"start": str(TUESDAY)},
            "symbols": ["A"],
            "intervals": ["1m"],
            "sources": [{"root": str(root), **source}],
        }
    )


def test_a_deep_check_names_the_row_of_zeros(root: Path) -> None:
    result = check_config(config(root), deep=True)[TUESDAY]["A"]
    assert not result.can_proceed
    assert [reason.code for reason in result.reasons] == ["bad_values"]
    assert "bar at 2024-07-02T13:32:00Z: open is zero" in result.reason
    assert "prices: any" in result.reason


def test_a_deep_check_takes_zeros_from_a_source_of_any_prices(root: Path) -> None:
    assert check_config(config(root, prices="any"), deep=True)[TUESDAY]["A"].can_proceed


@pytest.mark.parametrize(("prices", "runs"), [("positive", [MONDAY, WEDNESDAY]), ("any", [MONDAY, TUESDAY, WEDNESDAY])])
def test_a_backtest_leaves_the_session_with_zeros_out(root: Path, prices: str, runs: list[Any]) -> None:
    wanted = require("1m")
    calendar = calendar_for(wanted, "XNYS", MONDAY, WEDNESDAY)
    days = session_range_of(wanted, calendar, [MONDAY, TUESDAY, WEDNESDAY])
    source = config(root, prices=prices).data_sources[0]
    loaded = load_range(LoadRange("A", days, source, MINUTE, {}))
    assert [days.sessions.dates[row].item() for row in loaded.traded.tolist()] == runs
    assert all("open is zero" in reason for reason in loaded.skipped.values())


def test_a_store_of_fetched_bars_takes_no_zeros(tmp_path: Path) -> None:
    store = BarStore(tmp_path, Dataset("alpaca", "iex", "raw"))
    start_ns = new_york_ns(TUESDAY, "10:00")
    with pytest.raises(DataError, match="open is zero"):
        store.write("A", MINUTE, start_ns, start_ns + MINUTE.ns, Bars.of([flat(start_ns, 0.0)]), start_ns)


def test_a_dump_with_zeros_is_true_only_where_it_says_that_prices_are_any(root: Path, tmp_path: Path) -> None:
    settings = config(root, prices="any")
    requirements = settings.requirements
    context = session_context(requirements, calendar_for(requirements, "XNYS", TUESDAY, TUESDAY), TUESDAY)
    load = Load(context, settings.data_sources[0], MINUTE, requirements.intervals, (), "config", context.open_ns)
    now_ns = context.close_ns
    data = run(SymbolSession("A"), load, TakeSnapshot(now_ns)).snapshot()
    summary = summary_of(
        context, requirements, now_ns, {"A": replace(passed("A"), data_source="parquet", sources_asked=("parquet",))}
    )
    path = write_json(tmp_path / "session.json", summary, [data])
    assert validate_session_dump(path) == []
    tree = orjson.loads(path.read_bytes())
    del tree["requirements"]["prices"]
    path.write_bytes(orjson.dumps(signed(tree)))
    found = [(violation.place, violation.code) for violation in validate_session_dump(path)]
    assert found == [("symbols.A.bars.1m[2].open", "bad_values")]
