"""Plans of requests: everything missing once, side by side where that costs little."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from barray.data_sources.fetching.plan import IN_FLIGHT, expected_bars, plan_fetch
from barray.data_sources.fetching.vendor import Limits
from barray.market.interval import Interval

MINUTE = Interval(1, "m")
DAY_NS = 86_400_000_000_000
PAGED = Limits(10_000, 500, 200)


def symbols(count: int) -> list[str]:
    return [f"S{number:04d}" for number in range(count)]


@given(
    st.dictionaries(st.sampled_from(symbols(40)), st.lists(st.sampled_from([(0, 5), (7, 9), (9, 30)]), unique=True)),
    st.integers(1, 20),
    st.sampled_from([None, 100]),
)
def test_every_missing_range_is_asked_for_once(
    missing: dict[str, list[tuple[int, int]]], most: int, page_rows: int | None
) -> None:
    plan = plan_fetch(missing, MINUTE, Limits(page_rows, most, 200), expected=lambda *_: 70.0)
    asked = Counter((name, (chain.start_ns, chain.end_ns)) for chain in plan.chains for name in chain.symbols)
    assert asked == Counter((name, span) for name, spans in missing.items() for span in spans)
    assert all(len(chain.symbols) <= (1 if page_rows is None else most) for chain in plan.chains)
    assert all(list(chain.symbols) == sorted(chain.symbols) for chain in plan.chains)


def test_much_is_fetched_side_by_side_in_shares_of_about_the_same_size() -> None:
    plan = plan_fetch({name: [(0, 365 * DAY_NS)] for name in symbols(100)}, MINUTE, PAGED)
    assert [len(chain.symbols) for chain in plan.chains] == [25] * IN_FLIGHT


def test_little_is_fetched_in_one_request() -> None:
    plan = plan_fetch({name: [(0, DAY_NS)] for name in symbols(20)}, MINUTE, PAGED)
    assert len(plan.chains) == plan.requests == 1


def test_symbols_that_miss_other_ranges_are_asked_for_apart() -> None:
    plan = plan_fetch({"A": [(0, DAY_NS)], "B": [(0, DAY_NS)], "C": [(DAY_NS, 2 * DAY_NS)]}, MINUTE, PAGED)
    assert [chain.symbols for chain in plan.chains] == [("A", "B"), ("C",)]


def test_a_vendor_without_pages_is_asked_for_one_symbol_at_a_time() -> None:
    plan = plan_fetch({name: [(0, DAY_NS)] for name in symbols(240)}, MINUTE, Limits(None, 1, 120))
    assert (plan.requests, plan.minutes) == (240, 2.0)


def test_nothing_missing_is_nothing_to_do() -> None:
    assert plan_fetch({"A": []}, MINUTE, PAGED).chains == ()


def test_a_week_is_expected_to_have_five_sessions() -> None:
    week = (0, 7 * DAY_NS)
    assert expected_bars("A", MINUTE, *week) == 5 * 390
    assert expected_bars("A", Interval(5, "m"), *week) == 5 * 78
    assert expected_bars("A", Interval(1, "d"), *week) == 5
