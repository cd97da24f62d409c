"""Sources in order of priority: who is asked about whom, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from barray.data_sources.manager import DataManager
from barray.data_sources.protocol import DataSource
from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.errors import DataError, SourceUnavailable
from barray.market.interval import Interval
from barray.market.validation import Coverage, Reason, SymbolValidationResult
from tests.data_sources.files import MONDAY, TUESDAY, local_source, write_days
from tests.market.builders import context_for, intervals, require


@dataclass
class Vendor:
    """A source that has some symbols, and writes down what it is asked. `raises`: by question."""

    name: str
    holds: Mapping[str, tuple[Interval, ...]]
    lacking: tuple[date, ...] = ()
    no_session: tuple[str, ...] = ()
    raises: Mapping[str, Exception] = field(default_factory=dict)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def _note(self, question: str, symbols: Sequence[str]) -> None:
        self.asked.append((question, tuple(symbols)))
        error = self.raises.get(question)
        if error is not None and getattr(error, "symbol", None) in (None, *symbols):
            raise error

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, bool]:
        self._note("symbols", symbols)
        return {symbol: symbol in self.holds for symbol in symbols}

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, tuple[Interval, ...]]:
        self._note("intervals", symbols)
        return {symbol: self.holds[symbol] for symbol in symbols}

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> dict[str, Coverage]:
        self._note(f"history {interval}", symbols)
        missing = tuple(day for day in sessions.dates.tolist() if day in self.lacking)
        return {symbol: Coverage(date(2020, 1, 2), TUESDAY, missing) for symbol in symbols}

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> dict[str, Reason | None]:
        self._note(f"session {interval}", symbols)
        problem = Reason("no_session_data", "has nothing today", "", self.name)
        return {symbol: problem if symbol in self.no_session else None for symbol in symbols}

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        raise AssertionError("Step 0 reads no bars")


MINUTES, FIVES, BOTH = intervals("1m"), intervals("5m"), intervals("1m", "5m")
NEEDS = require("5m", "15m", trailing_days=1)


def validate(sources: Sequence[DataSource], *symbols: str) -> dict[str, SymbolValidationResult]:
    return DataManager(tuple(sources)).validate(symbols, NEEDS, context_for(NEEDS, TUESDAY))


def codes(result: SymbolValidationResult) -> list[tuple[str | None, str]]:
    return [(reason.source, reason.code) for reason in result.reasons]


def test_the_first_source_that_can_serve_a_symbol_does() -> None:
    first, second = Vendor("first", {"A": MINUTES}), Vendor("second", {"A": MINUTES, "B": MINUTES})
    found = validate([first, second], "A", "B")
    assert (found["A"].data_source, found["B"].data_source) == ("first", "second")
    assert found["A"].sources_asked == ("first",)
    assert found["B"].sources_asked == ("first", "second")
    assert all(result.can_proceed and result.meets_config_requirements for result in found.values())


def test_a_lower_source_is_asked_only_for_what_is_left() -> None:
    first, second = Vendor("first", {"A": MINUTES, "C": MINUTES}), Vendor("second", {"B": MINUTES})
    validate([first, second], "A", "B", "C")
    assert first.asked[0] == ("symbols", ("A", "B", "C"))
    assert {symbols for _, symbols in second.asked} == {("B",)}
    third = Vendor("third", {})
    validate([first, second, third], "A", "B", "C")
    assert third.asked == []


def test_a_source_answers_about_many_symbols_at_a_time_by_their_base_interval() -> None:
    source = Vendor("one", {"A": BOTH, "B": MINUTES, "C": BOTH})
    found = validate([source], "A", "B", "C", "NONE")
    assert source.asked == [
        ("symbols", ("A", "B", "C", "NONE")),
        ("intervals", ("A", "B", "C")),
        ("history 5m", ("A", "C")),
        ("session 5m", ("A", "C")),
        ("history 1m", ("B",)),
        ("session 1m", ("B",)),
    ]
    assert [str(found[s].base_interval) for s in "ABC"] == ["5m", "1m", "5m"]


def test_a_failover_is_recorded() -> None:
    first = Vendor("first", {"A": MINUTES}, no_session=("A",))
    result = validate([first, Vendor("second", {"A": FIVES})], "A")["A"]
    assert result.can_proceed
    assert result.data_source == "second"
    assert result.sources_asked == ("first", "second")
    assert codes(result) == [("first", "no_session_data")]
    assert result.reason == ""


def test_every_reason_of_every_source_is_collected() -> None:
    hourly = intervals("1h")
    sources = [
        Vendor("first", {"A": hourly}, lacking=(MONDAY,), no_session=("A",)),
        Vendor("second", {}),
        Vendor("third", {"A": MINUTES}, lacking=(MONDAY,)),
    ]
    result = validate(sources, "A")["A"]
    assert not result.can_proceed
    assert codes(result) == [
        ("first", "interval_unavailable"),
        ("first", "no_history"),
        ("first", "no_session_data"),
        ("second", "no_data_source"),
        ("third", "no_history"),
    ]
    assert all(str(reason) in result.reason for reason in result.reasons)


QUESTIONS = ["symbols", "intervals", "history 1m", "session 1m"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_source_that_cannot_be_asked_costs_its_own_answers_only(question: str) -> None:
    down = SourceUnavailable("is down", source="first", remedy="wait")
    first = Vendor("first", {"A": MINUTES, "B": MINUTES}, raises={question: down})
    found = validate([first, Vendor("second", {"A": MINUTES})], "A", "B")
    assert found["A"].data_source == "second"
    assert codes(found["A"]) == [("first", "source_unavailable")]
    assert codes(found["B"]) == [("first", "source_unavailable"), ("second", "no_data_source")]
    assert "[first] is down; wait" in found["B"].reason
    assert sum(asked == question for asked, _ in first.asked) == 1  # once for all


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("error", [ValueError("what?"), KeyError("x"), ZeroDivisionError(), OSError(5, "I/O")])
def test_a_bug_in_a_source_costs_its_own_answers_only(question: str, error: Exception) -> None:
    first = Vendor("first", {"A": MINUTES}, raises={question: error})
    found = validate([first, Vendor("second", {"A": MINUTES})], "A", "B")
    assert found["A"].data_source == "second"
    assert codes(found["A"]) == [("first", "source_error")]
    assert type(error).__name__ in found["B"].reason


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_error_about_one_symbol_costs_that_symbol_only(question: str) -> None:
    error = DataError("is spoilt", symbol="B", code="spoilt", remedy="throw it away")
    source = Vendor("one", dict.fromkeys("ABC", MINUTES), raises={question: error})
    found = validate([source], "A", "B", "C")
    assert [found[s].can_proceed for s in "ABC"] == [True, False, True]
    assert codes(found["B"]) == [("one", "spoilt")]


def test_a_source_that_forgets_a_symbol_is_at_fault() -> None:
    class Forgetful(Vendor):
        def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, bool]:
            return {}

    assert codes(validate([Forgetful("one", {})], "A")["A"]) == [("one", "source_error")]


def test_results_come_in_the_order_asked_each_symbol_once() -> None:
    found = validate([Vendor("one", {"B": MINUTES})], "C", "B", "A", "C", "")
    assert list(found) == ["C", "B", "A", ""]
    assert codes(found[""]) == [(None, "bad_symbol")]


def test_without_a_source_nothing_can_proceed() -> None:
    assert codes(validate([], "A")["A"]) == [(None, "no_data_source")]


def test_a_missing_root_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    write_days(tmp_path / "first", "A", TUESDAY)
    write_days(tmp_path / "third", "B", MONDAY, TUESDAY)
    sources = [local_source(tmp_path / name) for name in ("first", "second", "third")]
    named = [replace(source, name=name) for source, name in zip(sources, ("one", "two", "three"), strict=True)]
    result = validate(named, "B")["B"]
    assert result.data_source == "three"
    assert codes(result) == [("one", "no_data_source"), ("two", "source_unavailable")]


def test_a_source_is_found_by_its_name() -> None:
    manager = DataManager((Vendor("first", {}), Vendor("second", {})))
    assert manager.source("second").name == "second"
    with pytest.raises(KeyError):
        manager.source("third")
