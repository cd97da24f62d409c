"""A symbol that splits 7:1 without its bars being adjusted: what check, session, dump and backtest say of it."""

from __future__ import annotations

import json
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

import barray
from barray.actors.loading import load_range
from barray.check import check_config
from barray.coordinator.config.file import parse_config
from barray.dump.read import read_dump
from barray.dump.validate import validate_session_dump
from barray.dump.writers.json import write_json
from barray.dump.writers.parquet import write_parquet
from barray.market.commands import Load, Loaded, TakeSnapshot
from barray.market.interval import Interval
from barray.market.jumps import first_warnings
from barray.market.requirements import JumpRule, SymbolRequirements, calendar_for, session_context
from barray.market.session_range import session_range_of
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession
from barray.report.files import write_backtest
from barray.runs.backtest import backtested
from barray.trading.engine.commands import LoadRange
from tests.barray.dump_builder import Built, passed, signed, summary_of
from tests.commands import run_command
from tests.data_sources.files import write
from tests.market.builders import MINUTE_NS, MemoryReader, new_york_ns

FRIDAY, MONDAY, TUESDAY = date(2014, 6, 6), date(2014, 6, 9), date(2014, 6, 10)
SPLIT = "the bar at 2014-06-09T13:30:00Z opens at 92.7, -85.64 % from the close before, 645.57: a split of 7:1?"
BUY = """
from barray import Strategy

class Buy(Strategy):
    def on_bar(self, ctx):
        if ctx.position == 0:
            ctx.order_target(10)
"""


def minutes(day: date, first: float, last: float) -> pa.Table:
    """A session's minutes, each opening where the one before closed, from a price to another."""
    edges = np.round(np.linspace(first, last, 391), 4)
    starts = new_york_ns(day, "09:30") + np.arange(390) * MINUTE_NS
    return pa.table(
        {
            "timestamp": pa.array(starts, pa.timestamp("ns", tz="UTC")),
            "open": edges[:-1],
            "high": np.maximum(edges[:-1], edges[1:]),
            "low": np.minimum(edges[:-1], edges[1:]),
            "close": edges[1:],
            "volume": np.full(390, 1000.0),
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AAPL as it was traded, CALM without a split; the second trading day is that of AAPL's."""
    folder = tmp_path_factory.mktemp("split")
    days = {FRIDAY: (649.9, 645.57), MONDAY: (92.7, 93.7), TUESDAY: (94.73, 94.25)}
    for day, (first, last) in days.items():
        write(folder / "AAPL/1m" / f"{day}.parquet", minutes(day, first, last))
        write(folder / "CALM/1m" / f"{day}.parquet", minutes(day, 50.0, 50.5))
    return folder


def settings(root: Path, **validation: Any) -> dict[str, Any]:
    return {
        "name": "split",
        "session": {"start": str(MONDAY), "end": str(TUESDAY)},
        "symbols": ["AAPL", "CALM"],
        "intervals": ["1m", "5m"],
        "history": {"trailing_days": 1},
        "sources": [{"root": str(root)}],
        "validation": validation,
    }


def told(root: Path, day: date, symbol: str = "AAPL", **validation: Any) -> list[str]:
    result = check_config(parse_config(settings(root, **validation)), deep=True)[day][symbol]
    assert result.can_proceed
    return [warning.message for warning in result.warnings]


@pytest.mark.long
def test_a_deep_check_warns_of_the_sessions_whose_bars_span_the_split(root: Path) -> None:
    assert told(root, MONDAY) == [SPLIT]
    assert told(root, TUESDAY) == []  # with Monday as its history it never sees the price before
    assert told(root, MONDAY, "CALM") == []


def test_nothing_is_told_where_nothing_is_suspected(root: Path) -> None:
    assert told(root, MONDAY, suspect_jump=False) == []
    assert told(root, MONDAY, suspect_jump=9.0) == []


@pytest.mark.parametrize("rule", [{}, {"on_jump": "refuse"}])
def test_a_deep_check_of_a_strategy_that_holds_over_night_warns_of_a_split_between_sessions(
    root: Path, tmp_path: Path, rule: dict[str, Any]
) -> None:
    (tmp_path / "buy.py").write_text(BUY)
    wanted = settings(root, **rule) | {"history": {"trailing_days": 0}, "strategy": {"path": str(tmp_path / "buy.py")}}
    wanted["session"]["start"] = str(FRIDAY)
    for carry in (True, False):
        days = check_config(parse_config({**wanted, "account": {"carry": carry}}), deep=True)
        said = [warning.message for results in days.values() for warning in results["AAPL"].warnings]
        assert said == ([SPLIT] if carry else [])
        assert all(results[symbol].can_proceed for results in days.values() for symbol in results)
        assert not any(results["CALM"].warnings for results in days.values())


def test_where_it_is_refused_the_symbol_is_dropped_on_that_day(root: Path) -> None:
    days = check_config(parse_config(settings(root, on_jump="refuse")), deep=True)
    refused = days[MONDAY]["AAPL"]
    assert not refused.can_proceed
    assert [(reason.code, reason.message) for reason in refused.reasons] == [("suspect_jump", SPLIT)]
    assert days[TUESDAY]["AAPL"].can_proceed
    assert days[MONDAY]["CALM"].can_proceed


def test_the_command_says_it_to_people_and_programs(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(settings(root)))
    shown = run_command("check", str(path), "--deep")
    assert shown.exit_code == 0, shown.output
    assert f"AAPL: [parquet] {SPLIT}" in shown.output
    machine = json.loads(run_command("check", str(path), "--deep", "--json").stdout)
    assert [SPLIT in text for text in machine["sessions"][str(MONDAY)]["AAPL"]["warnings"]] == [True]
    assert "warnings" not in machine["sessions"][str(MONDAY)]["CALM"]


def loaded(root: Path, symbol: str, now: str = "16:00") -> tuple[SymbolRequirements, SymbolSessionData, Loaded]:
    """Monday's session, read from its files, as it stands at `now` (New York)."""
    config = parse_config(settings(root))
    requirements, source = config.requirements, config.data_sources[0]
    context = session_context(requirements, calendar_for(requirements, "XNYS", MONDAY, MONDAY), MONDAY)
    bars = source.read_bars(symbol, Interval.parse("1m"), context.loaded)
    session = SymbolSession(symbol)
    reader = MemoryReader(bars)
    load = Load(context, reader, Interval.parse("1m"), requirements.intervals, (), "config", context.open_ns)
    report = session.apply(load, bars)
    assert isinstance(report, Loaded)
    session.apply(TakeSnapshot(new_york_ns(MONDAY, now)))
    return requirements, session.snapshot(), report


def test_a_session_knows_of_the_split_once_its_first_bar_has_closed(root: Path) -> None:
    _, before, report = loaded(root, "AAPL", "09:30")
    assert before.warnings == ()
    _, after, _ = loaded(root, "AAPL", "09:31")
    assert [warning.message for warning in after.warnings] == [SPLIT]
    assert report.warnings == after.warnings
    assert loaded(root, "CALM")[1].warnings == ()


def built(root: Path) -> Built:
    requirements, aapl, _ = loaded(root, "AAPL")
    _, calm, _ = loaded(root, "CALM")
    context = session_context(requirements, calendar_for(requirements, "XNYS", MONDAY, MONDAY), MONDAY)
    step0 = {"AAPL": passed("AAPL"), "CALM": passed("CALM")}
    return Built(summary_of(context, requirements, context.close_ns, step0), (aapl, calm))


def test_a_dump_tells_of_it_and_gives_it_back(root: Path, tmp_path: Path) -> None:
    session = built(root)
    path = write_json(tmp_path / "session.json", session.summary, iter(session.symbols))
    tree = orjson.loads(path.read_bytes())
    assert tree["requirements"]["suspect_jump"] == {"size": 0.4, "refuse": False}
    (warning,) = tree["symbols"]["AAPL"]["warnings"]
    assert (warning["code"], warning["message"], warning["source"]) == ("suspect_jump", SPLIT, "memory")
    assert "warnings" not in tree["symbols"]["CALM"]
    assert validate_session_dump(path) == []
    dump = read_dump(path)
    assert dump.symbols["AAPL"].warnings == session.symbols[0].warnings
    assert dump.summary.requirements.suspect_jump == JumpRule(0.4)


def test_tables_tell_of_it_as_json_does(root: Path, tmp_path: Path) -> None:
    session = built(root)
    folder = write_parquet(tmp_path / "session", session.summary, iter(session.symbols))
    assert validate_session_dump(folder) == []
    found = read_dump(folder).symbols
    assert {name: data.warnings for name, data in found.items()} == {
        one.symbol: one.warnings for one in session.symbols
    }


@pytest.mark.parametrize("how", ["taken away", "changed", "made up", "no longer suspected"])
def test_a_dump_whose_warnings_are_not_those_of_its_bars_is_rejected(root: Path, tmp_path: Path, how: str) -> None:
    session = built(root)
    path = write_json(tmp_path / "session.json", session.summary, iter(session.symbols))
    tree = orjson.loads(path.read_bytes())
    symbols = tree["symbols"]
    match how:
        case "taken away":
            del symbols["AAPL"]["warnings"]
        case "changed":
            symbols["AAPL"]["warnings"][0]["message"] = SPLIT.replace("7:1", "6:1")
        case "made up":
            symbols["CALM"]["warnings"] = symbols["AAPL"]["warnings"]
        case _:
            tree["requirements"]["suspect_jump"]["size"] = 9.0
    path.write_bytes(orjson.dumps(signed(tree)))
    assert {violation.code for violation in validate_session_dump(path)} == {"warnings"}


@pytest.mark.parametrize(
    ("history", "anew", "expected"), [(0, False, [SPLIT]), (0, True, []), (1, False, [SPLIT]), (1, True, [SPLIT])]
)
@pytest.mark.parametrize("parts", [1, 3])
def test_sessions_that_begin_anew_are_judged_by_what_each_sees(
    root: Path, history: int, anew: bool, expected: list[str], parts: int
) -> None:
    config = parse_config({**settings(root), "history": {"trailing_days": history}})
    wanted, first = config.requirements, MONDAY if history else FRIDAY
    calendar = calendar_for(wanted, "XNYS", first, TUESDAY)
    days = session_range_of(wanted, calendar, calendar.between(first, TUESDAY))
    whole = days.split(parts if anew else 1)
    loads = [LoadRange("AAPL", part, config.data_sources[0], Interval.parse("1m"), {}) for part in whole]
    found = first_warnings(chain(*(load_range(load, anew=anew).warnings for load in loads)))
    assert [warning.message for warning in found] == expected


@pytest.mark.ray
@pytest.mark.usefixtures("ray_here")
def test_a_backtest_and_its_files_say_why_it_lost_so_much(root: Path, tmp_path: Path) -> None:
    (tmp_path / "buy.py").write_text(BUY)
    config = {
        **settings(root),
        "session": {"start": str(FRIDAY), "end": str(TUESDAY)},
        "history": {"trailing_days": 0},
        "strategy": {"path": str(tmp_path / "buy.py")},
        "report": {"directory": str(tmp_path), "formats": ["html", "json"], "charts": 0},
    }
    with backtested(parse_config(config)) as (result, run):
        write_backtest(result, run)
    assert [warning.message for warning in result.symbols["AAPL"].warnings] == [SPLIT]
    assert result.symbols["CALM"].warnings == ()
    page = (tmp_path / "split/report.html").read_text()
    assert "Suspected move of its prices" in page
    assert "a split of 7:1?" in page
    summary = json.loads((tmp_path / "split/summary.json").read_text())
    assert [SPLIT in text for text in summary["symbols"]["AAPL"]["warnings"]] == [True]
    assert "warnings" not in summary["symbols"]["CALM"]
    with pytest.raises(barray.ValidationFailed, match="a split of 7:1"):
        barray.backtest(config={**config, "symbols": ["AAPL"], "validation": {"on_jump": "refuse"}})
