"""What is suspected of prices, and what is not: bars are made here, and so is what was done to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.bars import Bars
from barray.market.errors import DataError
from barray.market.jumps import Jump, check_jumps, find_jumps, first_warnings, jump_warnings
from barray.market.requirements import JumpRule
from barray.market.series import IntervalBars
from barray.market.validation import Reason
from tests.market.builders import calendar, expected_stamps, lay

MONTHS = calendar("XNYS", date(2024, 1, 2), date(2024, 6, 28)).sessions
SIZE = 0.4


def market(
    interval: str = "1m", sessions: range = range(5), *, seed: int = 0, swing: float = 0.0005, price: float = 100.0
) -> Bars:
    """Bars whose returns have heavy tails (t, four degrees of freedom), from one to the next in every session."""
    random = np.random.default_rng(seed)
    if interval == "1d":
        stamps = MONTHS.open_ns[sessions.start : sessions.stop]
    else:
        stamps = np.concatenate([expected_stamps(MONTHS, row) for row in sessions])
    n = len(stamps)
    close = price * np.exp(np.cumsum(swing * random.standard_t(4, n)))
    open_ = np.concatenate(([price], close[:-1])) * np.exp(swing / 4 * random.standard_t(4, n))
    high = np.maximum(open_, close) * np.exp(swing / 2 * random.random(n))
    low = np.minimum(open_, close) / np.exp(swing / 2 * random.random(n))
    return Bars(stamps.copy(), open_, high, low, close, random.lognormal(8.0, 0.5, n))


def scaled(bars: Bars, rows: slice, factor: float, traded: float = 1.0) -> Bars:
    """The same, with prices of `rows` times `factor`, and volumes times `traded`."""
    prices = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, column in prices.items():
        column[rows] *= traded if name == "volume" else factor
    return Bars(bars.start_ns.copy(), **prices)


def jumps(bars: Bars, interval: str = "1m", size: float = SIZE) -> list[Jump]:
    return list(find_jumps(lay(bars, interval, MONTHS), MONTHS, size))


def swings(bars: Bars, row: int, times: float, traded: float) -> Bars:
    """The same, with one bar's range and volume so many times as large."""
    high, low, volume = bars.high.copy(), bars.low.copy(), bars.volume.copy()
    high[row] *= (high[row] / low[row]) ** (times / 2)
    low[row] /= (bars.high[row] / bars.low[row]) ** (times / 2)
    volume[row] *= traded
    return Bars(bars.start_ns.copy(), bars.open, high, low, bars.close, volume)


SPLITS = [(2, 1), (3, 2), (3, 1), (4, 1), (5, 1), (7, 1), (10, 1), (20, 1), (1, 2), (1, 5), (1, 10), (1, 100)]


@given(seed=st.integers(0, 2**32 - 1), swing=st.floats(0.0001, 0.0005), price=st.floats(2.0, 5_000.0))
def test_heavy_tails_are_never_suspected(seed: int, swing: float, price: float) -> None:
    assert jumps(market(seed=seed, swing=swing, price=price)) == []


@given(
    seed=st.integers(0, 2**32 - 1),
    split=st.sampled_from(SPLITS),
    session=st.integers(1, 4),
    swing=st.floats(0.0001, 0.0005),
)
def test_a_planted_split_always_is_at_its_place_with_its_size(
    seed: int, split: tuple[int, int], session: int, swing: float
) -> None:
    new, old = split
    at = 390 * session
    bars = scaled(market(seed=seed, swing=swing), slice(at, None), old / new)
    (found,) = jumps(bars)
    assert (found.start_ns, found.where) == (int(MONTHS.open_ns[session]), "open")
    assert found.size == pytest.approx(max(new / old, old / new) - 1.0, rel=0.05)


@pytest.mark.parametrize(("new", "old"), SPLITS)
def test_a_split_of_daily_bars_is_named(new: int, old: int) -> None:
    bars = scaled(market("1d", range(60), swing=0.01), slice(30, None), old / new, traded=new / old)
    (found,) = jumps(bars, "1d")
    kind = "a split of" if new > old else "a reverse split of"
    assert f"{kind} {new}:{old}?" in str(found)
    assert found.start_ns == MONTHS.open_ns[30]


def test_a_high_a_hundred_times_too_high_is_told_with_its_bar() -> None:
    bars = market()
    high = bars.high.copy()
    high[1000] *= 100.0
    (found,) = jumps(Bars(bars.start_ns.copy(), bars.open, high, bars.low, bars.close, bars.volume))
    assert (found.start_ns, found.where) == (int(bars.start_ns[1000]), "high")
    assert found.size == pytest.approx(99.0, rel=0.01)
    assert "a wrong decimal point?" in str(found)


def test_a_bar_with_all_its_prices_a_hundred_times_too_high_is_told_on_the_way_there_and_back() -> None:
    bars = market()
    found = jumps(scaled(bars, slice(700, 701), 100.0))
    assert [jump.start_ns for jump in found] == bars.start_ns[700:702].tolist()
    assert all(jump.size == pytest.approx(99.0, rel=0.02) for jump in found)


def test_one_session_with_one_bad_low_suffices() -> None:
    bars = market(sessions=range(1))
    low = bars.low.copy()
    low[10] /= 2.0
    (found,) = jumps(Bars(bars.start_ns.copy(), bars.open, bars.high, low, bars.close, bars.volume))
    assert (found.where, found.start_ns) == ("low", int(bars.start_ns[10]))


def test_a_symbol_that_comes_back_after_months_at_another_price_is_told_so() -> None:
    before, after = market(sessions=range(3)), market(sessions=range(60, 63), seed=1, price=37.0)
    (found,) = jumps(Bars.concat([before, after]))
    assert (found.missed, found.start_ns) == (57, int(MONTHS.open_ns[60]))
    assert "after 57 sessions without bars, another company's symbol?" in str(found)


def test_a_symbol_that_comes_back_at_its_price_is_not() -> None:
    before, after = market(sessions=range(3)), market(sessions=range(60, 63), seed=1)
    assert jumps(Bars.concat([before, after])) == []


def test_a_crash_swings_and_trades_more_than_usual_and_is_believed() -> None:
    bars = scaled(market("1d", range(60), swing=0.01), slice(30, None), 0.55)
    (found,) = jumps(bars, "1d")  # as quiet as ever: that was no crash
    assert found.size == pytest.approx(1 / 0.55 - 1, rel=0.1)
    assert jumps(swings(bars, 30, times=6.0, traded=10.0), "1d") == []
    assert len(jumps(swings(bars, 30, times=6.0, traded=1.0), "1d")) == 1
    assert len(jumps(swings(bars, 30, times=0.0, traded=10.0), "1d")) == 1


def test_no_crash_is_believed_that_leaves_a_tenth() -> None:
    bars = scaled(market("1d", range(60), swing=0.01), slice(30, None), 0.1)
    assert len(jumps(swings(bars, 30, times=6.0, traded=20.0), "1d")) == 1


def test_a_minute_crash_is_judged_by_the_same_hours_of_the_days_before() -> None:
    bars, rest = market(), slice(390 * 3 + 100, 390 * 4)
    fallen = scaled(bars, slice(rest.start, None), 0.6)
    assert len(jumps(fallen)) == 1
    random = np.random.default_rng(7)
    shaken = np.exp(0.01 * random.standard_normal(rest.stop - rest.start))
    wild = {name: getattr(fallen, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, column in wild.items():
        column[rest] *= 8.0 if name == "volume" else shaken
    assert jumps(Bars(bars.start_ns.copy(), **wild)) == []


def test_penny_stocks_step_from_cent_to_cent_without_a_warning() -> None:
    random = np.random.default_rng(3)
    stamps = np.concatenate([expected_stamps(MONTHS, row) for row in range(5)])
    cents = np.maximum(2 + np.cumsum(random.choice([-1, 0, 0, 0, 1], len(stamps))) % 3, 1)
    open_, close = np.concatenate((cents[:1], cents[:-1])) / 100.0, cents / 100.0
    bars = Bars(stamps, open_, np.maximum(open_, close), np.minimum(open_, close), close, np.full(len(stamps), 9e5))
    assert (np.maximum(open_ / close, close / open_) >= 1.0 + SIZE).any()
    assert jumps(bars) == []


def test_stocks_that_move_by_a_third_a_day_are_suspected_of_more_only() -> None:
    bars = market("1d", range(60), swing=0.15)
    assert jumps(bars, "1d") == []
    (found,) = jumps(scaled(bars, slice(30, None), 0.1), "1d")
    assert found.start_ns == MONTHS.open_ns[30]


def test_prices_of_zero_and_below_have_no_moves_in_per_cent() -> None:
    bars = market()
    shifted = {name: getattr(bars, name) - 100.0 for name in ("open", "high", "low", "close")}
    series = lay(bars, "1m", MONTHS)
    spread = replace(series, bars=Bars(bars.start_ns.copy(), **shifted, volume=bars.volume))
    assert list(find_jumps(spread, MONTHS, SIZE)) == []


def test_no_bars_have_no_moves() -> None:
    assert jumps(Bars.empty()) == []


def test_the_size_says_what_is_suspected() -> None:
    bars = scaled(market(), slice(780, None), 2 / 3)
    assert len(jumps(bars, size=0.4)) == 1
    assert jumps(bars, size=0.6) == []


def series_with(factor: float) -> IntervalBars:
    return lay(scaled(market(), slice(780, None), factor), "1m", MONTHS)


def test_a_warning_names_place_size_source_and_remedy() -> None:
    (warning,) = jump_warnings(series_with(1 / 7), MONTHS, JumpRule(SIZE), "bars")
    assert (warning.code, warning.source) == ("suspect_jump", "bars")
    assert warning.message.startswith(f"the bar at {MONTHS.dates[2]}T14:30:00Z opens at ")
    assert "-85.7" in warning.message
    assert "a split of 7:1?" in warning.message
    assert "validation.suspect_jump" in warning.remedy


def test_without_a_rule_nothing_is_told() -> None:
    assert jump_warnings(series_with(1 / 7), MONTHS, None, "bars") == ()


def test_many_moves_are_told_as_twenty_and_more() -> None:
    bars = market()
    high = bars.high.copy()
    high[::10] *= 100.0
    series = lay(Bars(bars.start_ns.copy(), bars.open, high, bars.low, bars.close, bars.volume), "1m", MONTHS)
    told = jump_warnings(series, MONTHS, JumpRule(SIZE), "bars")
    assert len(told) == 21
    assert told[-1].message == "moves like these 20 go on"


def test_the_first_of_parts_are_the_first_of_all() -> None:
    told = [Reason("suspect_jump", f"move {number}", "mend it", "bars") for number in range(50)]
    for cuts in ([0, 50], [0, 5, 50], [0, 19, 20, 21, 50], [0, 10, 12]):
        parts = [first_warnings(told[a:b]) for a, b in pairwise(cuts)]
        assert first_warnings(chain(*parts)) == first_warnings(told[: cuts[-1]])
    assert first_warnings(told[:2] * 3) == tuple(told[:2])


def test_a_rule_that_refuses_makes_an_error_of_it() -> None:
    rule = JumpRule(SIZE, refuse=True)
    with pytest.raises(DataError, match="a split of 7:1") as caught:
        check_jumps(series_with(1 / 7), MONTHS, rule, symbol="AAPL", source="bars")
    error = caught.value
    assert (error.code, error.symbol, error.interval, error.source) == ("suspect_jump", "AAPL", "1m", "bars")
    assert check_jumps(series_with(1.0), MONTHS, rule, symbol="AAPL", source="bars") == ()
