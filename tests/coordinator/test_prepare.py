"""From a configuration to what its runs take, without Ray and without bars."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.config.file import parse_config
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import prepare_run, prepare_sessions, prepare_sweep
from barray.local.connection import load_calendar
from barray.market.errors import ConfigError

STRATEGY = """
from barray import Strategy, parameter

class Mean(Strategy):
    interval = "5m"
    days: int = parameter(3, low=1)
    share: float = 0.5

    def indicators(self):
        return {"mean": f"SMA({self.days})@1d"}

    def on_bar(self, ctx):
        pass
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mean.py"
    path.write_text(STRATEGY)
    return path


def config(code: Path, **changes: Any) -> SessionConfig:
    """Two sessions after a weekend; the strategy is `code`."""
    settings: dict[str, Any] = {
        "session": {"start": "2024-07-01", "end": "2024-07-02"},
        "symbols": ["AAPL"],
        "intervals": ["1m"],
        "indicators": ["SMA(2)@1d"],
        "history": {"trailing_days": 1},
        "sources": [{"root": "bars"}],
        "strategy": {"path": str(code)},
    }
    return parse_config({**settings, **changes})


def needs(run: Any) -> tuple[list[str], list[str]]:
    return [str(one) for one in run.requirements.intervals], [spec.key for spec in run.requirements.indicators]


def first_loaded(run: Any) -> list[date]:
    """For each session, the first that is loaded before it."""
    laid_out = run.session_range
    return [laid_out.sessions.dates[laid_out.history[row]].item() for row in laid_out.rows.tolist()]


def test_a_backtest_needs_what_its_config_and_its_strategy_need(code: Path) -> None:
    run = prepare_run(config(code, sweep={"parameters": {"days": [5]}}), load_calendar)
    assert needs(run) == (["1m", "5m"], ["SMA(2)@1d", "SMA(3)@1d"])
    assert run.session_range.dates == [date(2024, 7, 1), date(2024, 7, 2)]
    assert first_loaded(run) == [date(2024, 6, 27), date(2024, 6, 28)]  # two closed days before the open
    assert run.plan.strategy().days == 3


def test_a_sweep_needs_what_its_sets_need_and_not_the_value_that_they_replace(code: Path) -> None:
    given = {"path": str(code), "parameters": {"days": 9}}
    run = prepare_sweep(config(code, strategy=given, sweep={"parameters": {"days": [5, 4]}}), load_calendar)
    assert needs(run) == (["1m", "5m"], ["SMA(2)@1d", "SMA(4)@1d", "SMA(5)@1d"])
    assert first_loaded(run) == [date(2024, 6, 25), date(2024, 6, 26)]
    assert run.plan.parameters == {}
    assert run.sets == [{"days": 4}, {"days": 5}]


@pytest.mark.long
def test_of_more_sets_than_can_be_asked_the_widest_decide(code: Path) -> None:
    code.write_text(STRATEGY.replace("    def ind", "    more: int = parameter(1, low=1, high=20_000)\n\n    def ind"))
    swept = {"days": {"low": 2, "high": 6}, "more": {"low": 1, "high": 20_000}}
    run = prepare_sweep(config(code, indicators=[], sweep={"parameters": swept}), load_calendar)
    assert needs(run)[1] == ["SMA(2)@1d", "SMA(6)@1d"]


def test_the_sessions_of_a_config_need_all_that_any_of_its_runs_needs(code: Path) -> None:
    run = prepare_sessions(config(code, sweep={"parameters": {"days": [5]}}), load_calendar)
    assert needs(run) == (["1m", "5m"], ["SMA(2)@1d", "SMA(3)@1d", "SMA(5)@1d"])
    assert first_loaded(run) == [date(2024, 6, 25), date(2024, 6, 26)]


def test_the_sessions_of_a_config_without_a_strategy_need_what_it_says(code: Path) -> None:
    run = prepare_sessions(config(code, strategy=None), load_calendar)
    assert needs(run) == (["1m"], ["SMA(2)@1d"])


def test_the_strategys_file_is_read_once(code: Path) -> None:
    run = prepare_run(config(code), load_calendar)
    code.unlink()
    assert run.plan.source.text == STRATEGY
    assert type(run.plan.strategy()).__name__ == "Mean"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def broken(:\n", "mean.py line 1: SyntaxError"),
        (STRATEGY.replace("parameter(3", "paramter(3"), "mean.py line 6: NameError: name 'paramter' is not defined"),
        (STRATEGY.replace("SMA(", "SMAA("), "'SMAA'"),
        (STRATEGY.replace('"5m"', '"5x"'), "'5x' is not an interval"),
        (STRATEGY.replace("on_bar", "on_baar"), "Mean has on_baar, which nothing calls; name it on_bar"),
    ],
)
def test_a_mistake_in_the_strategy_is_found_before_anything_is_asked(code: Path, text: str, said: str) -> None:
    code.write_text(text)
    for prepare in (prepare_run, prepare_sessions):
        with pytest.raises(ConfigError) as caught:
            prepare(config(code), load_calendar)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sweep": {"parameters": {"dayss": [5]}}}, "no parameter 'dayss'"),
        ({"sweep": {"parameters": {"days": [0]}}}, "days"),
        ({"sweep": {"parameters": {"days": [5]}, "where": "days > 9"}}, "days > 9"),
        ({"sweep": {"parameters": {"share": {"low": 0.1, "high": 0.2}}}}, "share: a grid needs a step"),
    ],
)
def test_a_mistake_in_the_sweep_is_found_as_well(code: Path, changes: dict[str, Any], said: str) -> None:
    for prepare in (prepare_sweep, prepare_sessions):
        with pytest.raises(ConfigError) as caught:
            prepare(config(code, **changes), load_calendar)
        assert said in str(caught.value)


def test_a_config_without_a_sweep_has_none_to_prepare(code: Path) -> None:
    with pytest.raises(ConfigError, match="no sweep"):
        prepare_sweep(config(code), load_calendar)


def test_a_live_day_has_no_backtest_but_needs_as_any_session_does(code: Path) -> None:
    live = config(
        code,
        session={"mode": "live", "start": "2024-07-02"},
        sources=[{"type": "alpaca"}],
        live={"practice": {"start": "2024-07-02T13:25:00Z"}},
    )
    with pytest.raises(ConfigError, match="sessions of the past"):
        prepare_run(live, load_calendar)
    assert needs(prepare_sessions(live, load_calendar))[1] == ["SMA(2)@1d", "SMA(3)@1d"]


TWO = """
from barray import Strategy, indicator

class Two(Strategy):
    n: int = 1

    def indicators(self):
        negative = indicator(lambda close: -close, bars=self.n, name=NAME)
        return {"a": indicator(lambda close: close, bars=1, name="x"), "b": negative}

    def on_bar(self, ctx):
        pass
"""


def test_indicators_that_differ_have_names_that_do(code: Path) -> None:
    code.write_text(TWO.replace("NAME", "'y'"))
    run = prepare_run(config(code, indicators=[]), load_calendar)
    assert [spec.key for spec in run.requirements.indicators] == ["x@1m", "y@1m"]
    with pytest.raises(ConfigError, match=r"two indicators are called y@1m \(.*line 8, .*line 8\); give one another"):
        prepare_sweep(config(code, sweep={"parameters": {"n": [1, 2]}}), load_calendar)
    code.write_text(TWO.replace("NAME", "'x'"))
    with pytest.raises(ConfigError, match=r"two indicators are called x@1m \(.*line 9, .*line 8\)"):
        prepare_run(config(code), load_calendar)
    code.write_text(TWO.replace("NAME", "'OBV'"))
    with pytest.raises(ConfigError, match=r"two indicators are called OBV@1m \(TA-Lib, .*line 8\)"):
        prepare_run(config(code, indicators=["OBV@1m"]), load_calendar)
