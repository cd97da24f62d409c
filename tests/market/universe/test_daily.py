"""Daily bars beside base bars, stacked, are those of each symbol alone."""

from __future__ import annotations

from datetime import date

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bars
from barray.market.daily import between, derive_beside, lay_daily
from barray.market.interval import DAY, Interval
from barray.market.series import IntervalBars, lay_on_sessions
from barray.market.universe.daily import days_beside
from barray.market.universe.lay import lay_universe
from barray.market.universe.rows import aligned
from tests.market.builders import calendar

SESSIONS = calendar("XNYS", date(2024, 6, 17), date(2024, 7, 8)).sessions
ROW, BASE_ROW = 11, 8
HALF_HOUR = 1_800 * 10**9


def test_a_stack_is_aligned_with_other_symbols() -> None:
    rng = np.random.default_rng(1)
    days = {name: some_bars(rng, SESSIONS.open_ns.tolist()) for name in ("A", "C", "D", "E")}
    offsets = np.concatenate(([0], np.cumsum([len(one) for one in days.values()])))
    stack, _ = lay_universe(Bars.concat(list(days.values())), offsets, tuple(days), DAY, SESSIONS, ROW, source="x")
    other = aligned(stack, ("B", "C", "E", "F"))
    assert aligned(stack, stack.symbols) is stack
    assert other.symbols == ("B", "C", "E", "F")
    assert (len(other.of("B")), len(other.of("F"))) == (0, 0)
    assert same(other.of("C"), stack.of("C"))
    assert same(other.of("E"), stack.of("E"))


def some_bars(rng: np.random.Generator, stamps: list[int]) -> Bars:
    kept = np.array(stamps, np.int64)[rng.random(len(stamps)) < rng.choice([0.0, 0.4, 1.0])]
    open_, close = rng.uniform(10, 20, (2, len(kept)))
    return Bars(kept, open_, np.maximum(open_, close), np.minimum(open_, close), close, rng.uniform(0, 9, len(kept)))


def same(one: IntervalBars, other: IntervalBars) -> bool:
    columns = ("end_ns", "session", "expected", "actual")
    return one.bars.equals(other.bars) and all(np.array_equal(getattr(one, c), getattr(other, c)) for c in columns)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_days_beside_base_bars_are_those_of_each_symbol_alone(seed: int) -> None:
    rng, names = np.random.default_rng(seed), ("A", "B", "C", "D")
    opens, closes = SESSIONS.open_ns.tolist(), SESSIONS.close_ns.tolist()
    slots = [stamp for row in range(BASE_ROW, ROW + 1) for stamp in range(opens[row], closes[row], HALF_HOUR)]
    minutes = {name: some_bars(rng, slots) for name in names}
    days = {name: some_bars(rng, opens[:ROW]) for name in names}
    half_hours = Interval.parse("30m")

    def stacked(parts: dict[str, Bars], interval: Interval):
        offsets = np.concatenate(([0], np.cumsum([len(one) for one in parts.values()])))
        return lay_universe(Bars.concat(list(parts.values())), offsets, names, interval, SESSIONS, ROW, source="x")[0]

    whole = days_beside(stacked(minutes, half_hours), stacked(days, DAY), SESSIONS, ROW, BASE_ROW)
    for name in names:
        base = lay_on_sessions(minutes[name], half_hours, SESSIONS, ROW, symbol=name, source="x")
        given_days = between(lay_daily(days[name], SESSIONS, ROW, symbol=name, source="x"), 0, BASE_ROW)
        assert same(whole.of(name), derive_beside(base, given_days, DAY, SESSIONS, ROW))
