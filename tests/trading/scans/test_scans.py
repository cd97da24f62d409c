"""Whole scans of small universes: conditions across symbols, groups, plain Python, what fails, what is explained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

import numpy as np
import pytest

from barray.market.bars import Bar
from barray.market.errors import ConfigError
from barray.market.interval import DAY
from barray.market.listings import Listings
from barray.market.table import Column
from barray.market.universe.derive import derive_universe
from barray.market.universe.rows import aligned
from barray.trading.scans.bars import ScanBars
from barray.trading.scans.evaluate import daily_part, evaluate, members_after
from barray.trading.scans.explain import explain
from barray.trading.scans.keeping import full, top
from barray.trading.scans.language import (
    bars,
    change,
    change_since_open,
    close,
    col,
    gap,
    relative_volume,
    session_volume,
    table,
    vwap,
)  # fmt: skip
from barray.trading.scans.local import Local
from barray.trading.scans.plan import make_plan
from barray.trading.scans.scan import Scan
from barray.trading.scans.times import at, every
from barray.trading.scans.universe import listed
from tests.market.builders import new_york_ns
from tests.trading.scans.universes import AFTER_HALF_DAY, FIVE_MINUTES, laid, xnys

TEN = new_york_ns(AFTER_HALF_DAY, "10:00")


def closes_of(*closes: float, day: date = AFTER_HALF_DAY, opens: float | None = None) -> list[Bar]:
    """Bars of 5 minutes from the open on with these closes, volume 100 times their number."""
    found = xnys().sessions
    start = int(found.open_ns[xnys().session(day)])
    made, before = [], opens if opens is not None else closes[0]
    for i, price in enumerate(closes):
        made.append(
            Bar(start + i * FIVE_MINUTES, before, max(before, price), min(before, price), price, 100.0 * (i + 1))
        )
        before = price
    return made


def gapping(**gaps: float) -> ScanBars:
    """Symbols that closed at 100 the day before, open so many per cent above, and stay there till 10:30."""
    before = date(2024, 7, 3)
    return laid(
        {
            name: closes_of(100.0, day=before) + closes_of(*[100.0 + percent] * 12) if percent is not None else []
            for name, percent in gaps.items()
        },
        AFTER_HALF_DAY,
    )


def found(scan: Scan, world: ScanBars, **more: object) -> list[tuple[str, ...]]:
    session = evaluate(make_plan(scan), world, **more)
    assert session.failure is None, session.failure
    return [hits.symbols for hits in session.hits]


class Gaps(Scan):
    at = at("10:00")
    where = gap() > 0.01
    rank = gap()


def test_what_is_found_comes_in_order_of_rank_and_symbols_break_ties() -> None:
    assert found(Gaps(), gapping(B=3.0, A=3.0, C=5.0, D=0.5, E=None)) == [("C", "A", "B")]


def test_only_members_of_the_universe_are_looked_at() -> None:
    assert found(Gaps(), gapping(A=3.0, B=3.0), members=("B", "Z")) == [("B",)]


def test_across_symbols_only_those_left_by_the_rest_of_the_stage_count() -> None:
    world = gapping(A=9.0, B=8.0, C=-7.0, D=2.0)

    class Lowest(Gaps):
        where = gap().bottom(2) & (gap() > 0)
        rank = gap().rank(ascending=True)

    assert found(Lowest(), world) == [("B", "D")]  # C does not gap up, so B is the second lowest


def test_two_conditions_across_symbols_see_the_same() -> None:
    class Both(Gaps):
        where = gap().top(3) & gap().bottom(3)

    assert found(Both(), gapping(A=9.0, B=8.0, C=7.0, D=2.0)) == [("B", "C")]


def test_zscore_percentile_and_demean_are_over_those_left() -> None:
    world = gapping(A=2.0, B=4.0, C=4.0, D=10.0, E=None)
    plan = make_plan(type("Z", (Gaps,), {"rank": gap().zscore(), "where": (gap() > 0) & (gap().percentile() < 100)})())
    (hits,) = evaluate(plan, world).hits
    assert hits.symbols == ("B", "C", "A")
    assert hits.scores.tolist() == pytest.approx([1 / 2**0.5, 1 / 2**0.5, -(2**0.5)])
    places = type("P", (Gaps,), {"rank": gap().percentile()})
    (hits,) = evaluate(make_plan(places()), world).hits
    assert dict(zip(hits.symbols, hits.scores, strict=True)) == {"D": 100.0, "B": 62.5, "C": 62.5, "A": 25.0}


@dataclass(frozen=True)
class Sectors:
    rows: ClassVar = {"A": slice(0, 2), "B": slice(2, 3), "C": slice(3, 4), "D": slice(4, 5)}
    known = np.array([0, 19_909, 0, 0, 19_910])  # A is elsewhere from 2024-07-05 on, D known a day later
    by_day = True
    columns: ClassVar = {
        "sector": Column(np.array([0, 1, 1, 0, 0], np.int32), "text", labels=("Energy", "Tech")),
        "size": Column(np.array([1.0, 2.0, 3.0, np.nan, 5.0])),
    }


def test_groups_come_from_a_table_as_it_was_known_that_day() -> None:
    world = replace(gapping(A=9.0, B=8.0, C=7.0, D=6.0), tables={"sectors": Sectors()})
    sector = table("sectors", "sector")
    first = type("First", (Gaps,), {"where": gap().top(1, groupby=sector)})
    assert found(first(), world) == [("A", "C")]  # D has no sector yet
    assert found(type("T", (Gaps,), {"where": sector == "Tech"})(), world) == [("A", "B")]
    assert found(type("N", (Gaps,), {"where": sector != "Tech"})(), world) == [("C",)]
    assert found(type("I", (Gaps,), {"where": ~sector.is_in(["Tech", "Oil"])})(), world) == [("C",)]
    assert found(type("S", (Gaps,), {"where": table("sectors", "size", "number") >= 2})(), world) == [("A", "B")]
    assert found(type("Z", (Gaps,), {"daily": sector == "Tech", "where": gap() > 0})(), world) == [("A", "B")]


@pytest.mark.parametrize(("term", "told"), [
    (table("sector", "sector") == "Tech", "did you mean 'sectors'?"),
    (table("sectors", "sectr") == "Tech", "did you mean 'sector'?"),
    (table("sectors", "sector", "number") > 1, "has texts"),
])  # fmt: skip
def test_a_table_that_is_not_there_ends_the_scan_with_the_reason(term, told: str) -> None:
    world = replace(gapping(A=9.0), tables={"sectors": Sectors()})
    failure = evaluate(make_plan(type("T", (Gaps,), {"where": term})()), world).failure
    assert failure is not None
    assert told in failure.reason
    assert "2024-07-05 10:00 EDT" in failure.reason


def test_what_is_not_known_passes_neither_a_condition_nor_its_opposite() -> None:
    world = gapping(A=9.0, B=None)
    for term in (gap() > 0, ~(gap() > 0), gap() != 0, ~(gap() == 0), (gap() < 5) | ~(gap() < 5)):
        assert "B" not in found(type("N", (Gaps,), {"where": term, "rank": None})(), world)[0], term
    assert found(type("K", (Gaps,), {"where": ~gap().known(), "rank": None})(), world) == [("B",)]
    assert found(type("O", (Gaps,), {"where": (gap() > 0) | (gap() < 9), "rank": None})(), world) == [("A",)]
    assert found(type("D", (Gaps,), {"where": gap() > 0, "rank": gap() / (gap() - gap())})(), world) == [()]


def test_a_session_from_its_days_bars_alone_before_and_after_its_close() -> None:
    world = gapping(A=9.0, B=8.0)
    day = derive_universe(world.base, DAY, world.sessions, world.row)
    given = laid({"A": closes_of(100.0, day=date(2024, 7, 3)), "B": []}, AFTER_HALF_DAY).base
    before = replace(world, days=derive_universe(given, DAY, world.sessions, world.row))
    for bars_, wanted in ((world, [[100.0, 100.0], [109.0, 108.0]]), (before, [[100.0, np.nan], [109.0, 108.0]])):
        times = np.array([TEN, bars_.close_ns])
        local = Local(bars_, times, np.arange(2))
        assert np.array_equal(local.value(col("close@1d")), wanted, equal_nan=True)
        assert np.array_equal(local.value(close(1)), wanted[:1], equal_nan=True)
    assert day.bars.close.tolist() == [100.0, 109.0, 100.0, 108.0]


class Python(Scan):
    at = every("15m", since="09:45", until="10:15")
    where = gap() > 0
    uses: ClassVar = {"gap": gap(), "lasts": bars("close", 3), "up": change_since_open() >= 0}

    def scan(self, panel):
        return {symbol: value for symbol, value in zip(panel.symbols, panel["gap"], strict=True) if value > 0.05}


def test_plain_python_returns_scores_a_mask_or_a_mapping() -> None:
    world = gapping(B=9.0, A=6.0, C=2.0, D=-3.0)
    assert found(Python(), world) == [("B", "A")] * 3

    class Mask(Python):
        def scan(self, panel):
            assert panel.symbols == ("A", "B", "C")
            assert panel["lasts"].shape == (3, 3)
            assert panel["up"].tolist() == [True] * 3
            assert len(panel) == 3
            return panel["lasts"][-1] < 107

    assert found(Mask(), world) == [("A", "C")] * 3
    assert found(type("R", (Mask,), {"rank": gap()})(), world) == [("A", "C")] * 3
    scores = type("S", (Python,), {"scan": lambda self, panel: np.where(panel["gap"] < 0.08, -panel["gap"], np.nan)})
    assert found(scores(), world) == [("C", "A")] * 3


def test_last_bars_are_those_that_the_calendar_expects() -> None:
    holed = closes_of(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    del holed[4]
    late = closes_of(50.0, day=date(2024, 7, 3))
    world = laid({"A": holed, "B": late}, AFTER_HALF_DAY)
    local = Local(world, np.array([world.open_ns + FIVE_MINUTES, TEN]), np.arange(2))
    values = local.value(bars("close", 3))
    assert np.array_equal(values[1], [[4.0, np.nan], [np.nan, np.nan], [6.0, np.nan]], equal_nan=True)
    assert np.array_equal(values[0], [[np.nan, np.nan], [np.nan, np.nan], [1.0, np.nan]], equal_nan=True)
    hour = local.value(bars("close", 2, "15m"))
    assert np.array_equal(hour[1], [[3.0, np.nan], [6.0, np.nan]], equal_nan=True)


@pytest.mark.parametrize(("answer", "told"), [
    (lambda panel: 1 / 0, "ZeroDivisionError"),
    (lambda panel: panel["rsi"], "does not use 'rsi'"),
    (lambda panel: [True], "scan returns [True]"),
    (lambda panel: {"X": 1.0}, "'X', which the panel does not have"),
    (lambda panel: "AB", "scan returns 'AB'"),
    (lambda panel: panel["gap"].fill(0), "read-only"),
])  # fmt: skip
def test_a_scan_that_raises_ends_itself_with_file_line_and_time(answer, told: str) -> None:
    class Fails(Python):
        def scan(self, panel):
            return answer(panel) if panel.now.hour == 10 else {"A": 1.0}

    session = evaluate(make_plan(Fails()), gapping(A=9.0, B=8.0))
    assert [hits.symbols for hits in session.hits] == [("A",)]
    assert session.failure is not None
    assert (session.failure.scan, session.failure.at_ns) == ("Fails", TEN)
    assert told in session.failure.reason
    assert "2024-07-05 10:00 EDT" in session.failure.reason
    assert "test_scans.py" in session.failure.reason


class Explained(Gaps):
    universe = listed()
    at = at("10:00", "10:30")
    daily = close(1) > 50
    where = (gap() > 0.01) & (session_volume() > 100) & gap().top(4)
    keep = top(2)
    promote = full(1)


@pytest.mark.parametrize(("symbol", "stage", "told"), [
    ("A", "found", "promoted, at place 1 of 4: close is 109, close(1) is 100, gap() is 0.09, session_volume() is 2100"),
    ("B", "found", "adhoc, at place 2 of 4"),
    ("C", "keep", "it is at place 3 of 4, and top(2) takes in 2"),
    ("E", "where", "gap().top(4) does not hold: gap() is 0.05, gap().rank() is 5"),
    ("F", "where", "gap() > 0.01 does not hold: gap() is 0"),
    ("G", "where", "gap() > 0.01 does not hold: gap() is not known"),
    ("H", "daily", "close(1) > 50 does not hold: close(1) is 1"),
    ("I", "universe", "listed until 2024-07-03"),
    ("J", "universe", "the store has no bars of it"),
    ("K", "bars", "no bars of it that could be read"),
])  # fmt: skip
def test_what_became_of_each_is_explained(symbol: str, stage: str, told: str) -> None:
    before = date(2024, 7, 3)
    by_symbol = {
        name: closes_of(100.0, day=before) + closes_of(*[100.0 + percent] * 12)
        for name, percent in {"A": 9.0, "B": 8.0, "C": 7.0, "D": 6.0, "E": 5.0, "F": 0.0, "I": 9.0}.items()
    }
    by_symbol |= {"G": closes_of(100.0, day=before), "H": closes_of(1.0, day=before) + closes_of(9.0, 9.0)}
    world = laid(by_symbol, AFTER_HALF_DAY)
    rows = Listings.of({"symbol": list("ABCDEFGHIJK"), "end": [None] * 8 + ["2024-07-03", None, None]}, "listings")
    looked_at = listed().on(AFTER_HALF_DAY, [*"ABCDEFGHIK"], lambda name: rows)
    answer = explain(make_plan(Explained()), world, symbol, TEN + FIVE_MINUTES, looked_at)
    assert (answer.stage, answer.at_ns, answer.symbol) == (stage, TEN, symbol)
    assert told in answer.text
    assert answer.text.startswith(f"Explained, {symbol}, 2024-07-05 10:00: {stage}: ")


def test_one_that_fell_out_before_its_bars_were_read_is_explained_by_its_days() -> None:
    whole = gapping(A=9.0, B=9.0)
    days = derive_universe(whole.base, DAY, whole.sessions, whole.row)
    plan = make_plan(type("Dear", (Gaps,), {"daily": close(1).top(1)})())
    read = gapping(A=9.0)
    first = replace(whole, base=days)
    assert members_after(plan, [daily_part(plan, first)]) == ("A",)
    told = explain(plan, replace(read, days=aligned(days, ("A",))), "B", TEN, None, first)
    assert (told.stage, told.condition) == ("daily", "close(1).top(1)")
    assert explain(plan, read, "B", TEN).stage == "bars"
    assert explain(make_plan(Gaps()), read, "B", TEN, None, first).stage == "bars"


def test_nothing_is_explained_before_the_scan_ran() -> None:
    with pytest.raises(ConfigError, match="has not run by then") as caught:
        explain(make_plan(Gaps()), gapping(A=9.0), "A", TEN - 1)
    assert "at('10:00')" in str(caught.value.remedy)


def test_nothing_is_found_where_all_fall_out_at_the_first_condition_or_there_is_nothing() -> None:
    class Strong(Gaps):
        daily = close(2) > 1
        where = (gap() > 0.5) & (col("RSI(14)@15m") > 50) & (col("SMA(2)@1d") > 0) & gap().top(3)
        rank = relative_volume(2) + vwap()
        uses = (bars("close", 5), bars("close", 2, "1d"))

    assert found(Strong(), gapping(A=3.0, B=None)) == [()]
    assert found(type("W", (Strong,), {"daily": None})(), gapping(A=3.0, B=None)) == [()]
    assert found(
        type("P", (Strong,), {"scan": lambda self, panel: panel["bars(close, 5)"][0] > 0})(), gapping(A=3.0)
    ) == [()]
    assert found(Strong(), gapping(A=None)) == [()]
    assert found(Gaps(), gapping(A=3.0), members=()) == [()]
    assert evaluate(make_plan(Gaps()), gapping(A=3.0), np.empty(0, np.int64)).hits == ()


@pytest.mark.parametrize("order", range(6))
def test_the_order_of_conditions_changes_nothing(order: int) -> None:
    world = gapping(A=9.0, B=8.0, C=-7.0, D=2.0, E=None)
    conditions = [gap() > 0, session_volume() > 0, change().top(2), change().bottom(2)]  # of A, B, D: A and B; B and D
    first, second, third, fourth = (conditions[i] for i in np.random.default_rng(order).permutation(4))
    assert found(type("O", (Gaps,), {"where": (first & second) & (third & fourth)})(), world) == [("B",)]
