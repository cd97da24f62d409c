"""Step 0 for a few symbols: no slow one holds up the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from barray.actors.validation import validate_chunk
from barray.data_sources.manager import DataManager
from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.validation import Coverage, Reason, SymbolValidationResult
from tests.market.builders import context_for, require

DEADLINE_S = 0.3
NEEDS = require("1m")


class Hanging:
    """A source that has every symbol, and never answers about those in `hangs` (until the test is over)."""

    name = "slow"

    def __init__(self, *hangs: str) -> None:
        self.hangs, self.over = hangs, threading.Event()
        self.calls: list[tuple[str, ...]] = []

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, bool]:
        self.calls.append(tuple(symbols))
        if set(symbols) & set(self.hangs):
            self.over.wait(30)
        return dict.fromkeys(symbols, True)

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, tuple[Interval, ...]]:
        return dict.fromkeys(symbols, (Interval(1, "m"),))

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> dict[str, Coverage]:
        return dict.fromkeys(symbols, Coverage(None, None))

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> dict[str, Reason | None]:
        return dict.fromkeys(symbols)

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        raise AssertionError("Step 0 reads no bars")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    source = Hanging("B")
    yield source
    source.over.set()


def validate(source: Hanging, *symbols: str) -> tuple[dict[str, SymbolValidationResult], float]:
    started_s = time.monotonic()
    found = validate_chunk(symbols, DataManager((source,)), NEEDS, context_for(NEEDS), DEADLINE_S)
    return found, time.monotonic() - started_s


@pytest.mark.long
def test_a_symbol_whose_source_hangs_fails_and_the_rest_proceed(hanging: Hanging) -> None:
    context_for(NEEDS)  # the calendar takes its own time
    found, took_s = validate(hanging, "A", "B", "C", "D")
    assert list(found) == ["A", "B", "C", "D"]
    assert [found[symbol].can_proceed for symbol in "ABCD"] == [True, False, True, True]
    late = found["B"]
    assert [reason.code for reason in late.reasons] == ["deadline"]
    assert "no answer within 0.3 s from slow" in late.reason
    assert "validation.deadline_s" in late.reason
    assert late.sources_asked == ("slow",)
    assert DEADLINE_S <= took_s < 5


@pytest.mark.long
def test_a_symbol_alone_gets_its_deadline_once(hanging: Hanging) -> None:
    context_for(NEEDS)
    found, took_s = validate(hanging, "B")
    assert [reason.code for reason in found["B"].reasons] == ["deadline"]
    assert DEADLINE_S <= took_s < 5


def test_where_nothing_hangs_all_are_asked_at_once() -> None:
    source = Hanging()
    found, _ = validate(source, "A", "B", "")
    assert source.calls == [("A", "B")]
    assert [result.can_proceed for result in found.values()] == [True, True, False]


def test_a_bug_in_the_checks_is_raised_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(DataManager, "validate", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        validate_chunk(["A"], DataManager(()), NEEDS, context_for(NEEDS), 30.0)


def test_it_takes_what_travels_to_a_task(hanging: Hanging) -> None:
    requirements: SymbolRequirements = NEEDS
    context: SessionContext = context_for(NEEDS)
    found = validate_chunk(["A"], DataManager((hanging,)), requirements, context, DEADLINE_S)
    assert found["A"].base_interval == Interval(1, "m")
