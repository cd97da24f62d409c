"""`check_config`: Step 0 for every session date, in this process."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from barray.check import check_config
from barray.coordinator.config.file import parse_config
from barray.coordinator.config.model import SessionConfig
from barray.market.errors import ConfigError
from barray.market.validation import SymbolValidationResult
from barray.sample.universe import write_sample_data

FRIDAY, MONDAY, TUESDAY = date(2024, 6, 28), date(2024, 7, 1), date(2024, 7, 2)
BROKEN = {"LATE": "no_history", "CUT": "truncated", "NAN": "nan", "HOLE": "one_bad_day", "GONE": "no_data"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes from Thursday to Tuesday; the faults hit Tuesday, that of HOLE Monday."""
    folder = tmp_path_factory.mktemp("check")
    write_sample_data(folder, symbols=["AAPL", "SPY"], start=date(2024, 6, 27), end=TUESDAY, broken=BROKEN)
    return folder


def config(root: Path, *symbols: str, **changes: Any) -> SessionConfig:
    settings = {
        "session": {"start": "2024-06-29", "end": "2024-07-02"},
        "symbols": list(symbols),
        "intervals": ["1m", "5m"],
        "history": {"trailing_days": 1},
        "sources": [{"root": str(root)}],
    }
    return parse_config({**settings, **changes})


def codes(result: SymbolValidationResult) -> list[str]:
    assert result.can_proceed is (not result.reasons)
    return [reason.code for reason in result.reasons]


def test_every_session_date_is_checked_for_every_symbol(root: Path) -> None:
    found = check_config(config(root, "AAPL", *BROKEN, "../../x"))
    assert list(found) == [MONDAY, TUESDAY]  # the 29th and 30th of June are a weekend
    assert all(list(results) == ["AAPL", *BROKEN, "../../x"] for results in found.values())
    assert {symbol: codes(result) for symbol, result in found[MONDAY].items()} == {
        "AAPL": [],
        "LATE": ["no_history", "no_session_data"],
        "CUT": [],
        "NAN": [],
        "HOLE": ["unreadable_file"],
        "GONE": ["no_data_source"],
        "../../x": ["bad_symbol"],
    }
    assert {symbol: codes(result) for symbol, result in found[TUESDAY].items()} == {
        "AAPL": [],
        "LATE": ["no_history"],
        "CUT": ["unreadable_file"],
        "NAN": [],
        "HOLE": [],
        "GONE": ["no_data_source"],
        "../../x": ["bad_symbol"],
    }


def test_a_deep_check_finds_what_only_loading_shows(root: Path) -> None:
    found = check_config(config(root, "AAPL", "NAN", "HOLE", "CUT"), deep=True)
    assert [codes(found[MONDAY][symbol]) for symbol in ("AAPL", "NAN", "CUT")] == [[], [], []]
    assert {symbol: codes(result) for symbol, result in found[TUESDAY].items()} == {
        "AAPL": [],
        "NAN": ["bad_values"],
        "HOLE": ["unreadable_file"],
        "CUT": ["unreadable_file"],
    }
    assert [result.warnings for result in (found[MONDAY]["AAPL"], found[TUESDAY]["AAPL"])] == [(), ()]
    broken = found[TUESDAY]["NAN"]
    assert broken.meets_config_requirements is False
    assert "close is nan" in broken.reason
    assert broken.reasons[0].remedy


def test_a_symbol_listed_twice_is_checked_once(root: Path) -> None:
    assert list(check_config(config(root, "SPY", "AAPL", "SPY"))[TUESDAY]) == ["SPY", "AAPL"]


def test_symbols_that_are_all_bad_are_a_result_not_an_error(root: Path) -> None:
    found = check_config(config(root, "GONE", "NOBODY", ""), deep=True)
    assert not any(result.can_proceed for results in found.values() for result in results.values())


@pytest.mark.long
@pytest.mark.parametrize(
    ("day", "neighbours"),
    [("2024-07-04", "2024-07-03 and 2024-07-05"), ("2024-06-30", "2024-06-28 and 2024-07-01")],
)
def test_a_day_without_a_session_is_refused_with_its_neighbours(root: Path, day: str, neighbours: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(config(root, "AAPL", session={"start": day}))
    assert caught.value.code == "no_session"
    assert caught.value.reason.startswith(f"config: session.start: XNYS has no session on {day}")
    assert neighbours in str(caught.value)


def test_a_missing_root_fails_every_symbol_and_names_it(root: Path) -> None:
    found = check_config(config(root, "AAPL", "SPY", sources=[{"root": str(root / "none")}]))
    assert {code for results in found.values() for r in results.values() for code in codes(r)} == {"source_unavailable"}


def test_more_symbols_than_one_call_takes_come_in_their_order(root: Path) -> None:
    symbols = [f"X{number}" for number in range(150)]
    symbols[70] = "AAPL"
    found = check_config(config(root, *symbols))[TUESDAY]
    assert list(found) == symbols
    assert [symbol for symbol, result in found.items() if result.can_proceed] == ["AAPL"]


def test_an_indicators_warm_up_asks_for_more_history(root: Path) -> None:
    wanted = config(root, "AAPL", indicators=["SMA(1000)@1m"], session={"start": "2024-07-02"})
    assert codes(check_config(wanted)[TUESDAY]["AAPL"]) == []
    too_much = config(root, "AAPL", indicators=["SMA(3000)@1m"], session={"start": "2024-07-02"})
    assert codes(check_config(too_much)[TUESDAY]["AAPL"]) == ["no_history"]


STRATEGY = """
from barray import Strategy, parameter

class Mean(Strategy):
    bars: int = parameter(1000, low=1)

    def indicators(self):
        return {"mean": f"SMA({self.bars})"}

    def on_bar(self, ctx):
        pass
"""


@pytest.mark.parametrize(
    ("parameters", "sweep", "found"),
    [
        ({}, None, []),  # three sessions of 390 minutes: warm on Tuesday
        ({"bars": 3000}, None, ["no_history"]),
        ({}, {"parameters": {"bars": [10, 1100]}}, []),
        ({}, {"parameters": {"bars": [10, 3000]}}, ["no_history"]),
    ],
)
def test_the_needs_of_the_strategy_and_its_sweep_are_judged(
    root: Path, tmp_path: Path, parameters: dict[str, int], sweep: dict[str, Any] | None, found: list[str]
) -> None:
    (tmp_path / "mean.py").write_text(STRATEGY)
    section = {"path": str(tmp_path / "mean.py"), "parameters": parameters}
    wanted = config(root, "AAPL", intervals=[], strategy=section, sweep=sweep, session={"start": "2024-07-02"})
    for deep in (False, True):
        result = check_config(wanted, deep=deep)[TUESDAY]["AAPL"]
        assert codes(result) == found
        assert str(result.base_interval) == "1m"
