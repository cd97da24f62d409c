"""Whatever is laid, derived and computed of many symbols at once is what each gives alone, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError
from barray.market.indicators import compute, parse_indicator
from barray.market.interval import Interval
from barray.market.series import IntervalBars, derive, lay_on_sessions
from barray.market.universe.bars import UniverseBars
from barray.market.universe.compute import compute_universe
from barray.market.universe.derive import derive_universe
from barray.market.universe.lay import lay_universe
from barray.market.validation import Reason
from tests.examples import at_most
from tests.market.builders import MINUTE_NS, assert_same_arrays, calendar, expected_stamps, intervals, walk

MINUTE = Interval.parse("1m")
HALF_DAY_WEEK = calendar("XNYS", date(2024, 7, 1), date(2024, 7, 5)).sessions  # closes at 13:00 on Wednesday
WITH_BREAK = calendar("XHKG", date(2024, 7, 2), date(2024, 7, 4)).sessions
SPECS = ("RSI(14)@5m", "MACD@5m", "CDLDOJI@5m", "SMA(3)@5m", "SESSION_VWAP@5m", "OBV@5m", "SESSION_VWAP@1d")
FAULTS = ("nan", "negative", "below", "unsorted", "twice", "off grid", "infinite volume", "empty", "outside")


def spoiled(bars: Bars, fault: str, row: int) -> Bars:
    """The bars with a fault at a row; `outside` puts it where no session is, which is no fault at all."""
    columns = {name: getattr(bars, name).copy() for name in ("start_ns", *COLUMNS)}
    starts, i = columns["start_ns"], row % max(len(bars) - 1, 1)
    match fault:
        case "nan":
            columns["close"][i] = np.nan
        case "negative":
            columns["low"][i] = -1.0
        case "below":
            columns["high"][i] = columns["low"][i] / 2
        case "unsorted":
            starts[[i, i + 1]] = starts[[i + 1, i]]
        case "twice":
            starts[i + 1] = starts[i]
        case "off grid":
            starts[i] += MINUTE_NS // 3
        case "infinite volume":
            columns["volume"][i] = np.inf
        case "empty":
            return bars.take(slice(0, 0))
        case "outside":
            starts[-1] += 20 * 3_600 * 1_000_000_000
            columns["close"][-1] = np.nan
    return Bars(**columns)


@st.composite
def tapes(draw: st.DrawFn, sessions: Sessions = HALF_DAY_WEEK) -> dict[str, Bars]:
    """Bars of some symbols: holes, halts, sessions missing, listed late and dead early, a few broken."""
    found: dict[str, Bars] = {}
    for i in range(draw(st.integers(1, 7), label="symbols")):
        seed = draw(st.integers(0, 2**32 - 1), label="seed")
        random = np.random.default_rng(seed)
        step = draw(st.sampled_from([1, 1, 7, 60]), label="every")
        stamps = np.concatenate([expected_stamps(sessions, row)[::step] for row in range(len(sessions))])
        if draw(st.booleans(), label="halted"):
            first, last = np.sort(random.integers(0, len(stamps), 2))
            stamps = np.delete(stamps, slice(first, last))
        first, last = np.sort(random.integers(0, len(stamps) + 1, 2)) if draw(st.booleans()) else (0, len(stamps))
        stamps = stamps[first:last]
        stamps = stamps[random.random(len(stamps)) >= draw(st.sampled_from([0.0, 0.05, 0.6]), label="holes")]
        bars = walk(stamps, seed)
        fault = draw(st.sampled_from([None, None, *FAULTS]), label="fault")
        found[f"S{i}"] = spoiled(bars, fault, int(random.integers(0, 500))) if fault and len(bars) > 1 else bars
    return found


def alone(
    tapes: dict[str, Bars], sessions: Sessions, row: int, interval: Interval = MINUTE
) -> tuple[dict[str, IntervalBars], dict[str, Reason]]:
    """What each symbol's own way gives."""
    laid: dict[str, IntervalBars] = {}
    reasons: dict[str, Reason] = {}
    for symbol, bars in tapes.items():
        try:
            laid[symbol] = lay_on_sessions(bars, interval, sessions, row, symbol=symbol, source="tape")
        except BarrayError as error:
            reasons[symbol] = Reason.of(error)
    return laid, reasons


def stacked(
    tapes: dict[str, Bars], sessions: Sessions, row: int, interval: Interval = MINUTE, columns: Sequence[str] = COLUMNS
) -> tuple[UniverseBars, dict[str, Reason]]:
    every = Bars.concat(list(tapes.values()))
    bars = Bars.partial(every.start_ns, {name: getattr(every, name) for name in columns})
    offsets = np.cumsum([0, *map(len, tapes.values())])
    names = tuple(columns)
    return lay_universe(bars, offsets, tuple(tapes), interval, sessions, row, source="tape", columns=names)


def assert_same(universe: UniverseBars, each: dict[str, IntervalBars]) -> None:
    assert universe.symbols == tuple(each)
    assert len(universe) == sum(map(len, each.values()))
    for symbol, series in each.items():
        assert_same_arrays(series, universe.of(symbol), symbol)


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(60))
@given(data=st.data())
def test_every_symbol_of_a_universe_is_what_it_would_be_alone(data: st.DataObject) -> None:
    sessions = data.draw(st.sampled_from([HALF_DAY_WEEK, WITH_BREAK]), label="sessions")
    tape = data.draw(tapes(sessions), label="tapes")
    row = data.draw(st.integers(0, len(sessions) - 1), label="session")
    each, reasons = alone(tape, sessions, row)
    universe, told = stacked(tape, sessions, row)
    assert told == reasons
    assert_same(universe, each)
    derived = {target: derive_universe(universe, target, sessions, row) for target in intervals("5m", "7m", "1d", "1w")}
    for target, coarse in derived.items():
        assert_same(coarse, {symbol: derive(series, target, sessions, row) for symbol, series in each.items()})
    wanted = np.array([i for i in range(len(universe.symbols)) if data.draw(st.booleans(), label="wanted")], np.int64)
    for spec in map(parse_indicator, SPECS):
        coarse = derived[spec.interval]
        every, some = compute_universe(spec, coarse), compute_universe(spec, coarse, wanted)
        for i, symbol in enumerate(coarse.symbols):
            for output, column in compute(spec, coarse.of(symbol)).values.items():
                assert np.array_equal(every[output][coarse.rows(symbol)], column, equal_nan=True), (spec.key, symbol)
                left = column if i in wanted else np.full(len(column), np.nan)
                assert np.array_equal(some[output][coarse.rows(symbol)], left, equal_nan=True), (spec.key, symbol)


@settings(deadline=None, max_examples=at_most(40))
@given(tape=tapes(), minutes=st.lists(st.integers(-5, 400), max_size=5), row=st.integers(0, 3))
def test_what_is_known_by_a_time_is_each_symbols_last_bar_that_has_closed(
    tape: dict[str, Bars], minutes: list[int], row: int
) -> None:
    universe, _ = stacked(tape, HALF_DAY_WEEK, row)
    times = HALF_DAY_WEEK.open_ns[row] + np.array(minutes, np.int64) * MINUTE_NS
    found = universe.known_by(times)
    assert found.shape == (len(minutes), len(universe.symbols))
    for when, rows in zip(times.tolist(), found.tolist(), strict=True):
        for symbol, position in zip(universe.symbols, rows, strict=True):
            closed = universe.of(symbol).closed_by(when)
            assert position == (universe.rows(symbol).start + closed - 1 if closed else -1)


@settings(deadline=None, max_examples=at_most(40))
@given(tape=tapes(), columns=st.sets(st.sampled_from(COLUMNS)))
def test_columns_that_were_not_read_are_not_missed_by_the_others(tape: dict[str, Bars], columns: set[str]) -> None:
    kept = [name for name in COLUMNS if name in columns]
    whole, all_reasons = stacked(tape, HALF_DAY_WEEK, 2)
    some, reasons = stacked(tape, HALF_DAY_WEEK, 2, columns=kept)
    assert reasons.keys() <= all_reasons.keys()
    coarse = derive_universe(some, Interval.parse("5m"), HALF_DAY_WEEK, 2)
    for symbol in whole.symbols:
        for one, other in (
            (whole.of(symbol), some.of(symbol)),
            (derive(whole.of(symbol), Interval.parse("5m"), HALF_DAY_WEEK, 2), coarse.of(symbol)),
        ):
            assert np.array_equal(one.end_ns, other.end_ns)
            for name in COLUMNS:
                column = getattr(other.bars, name)
                assert np.array_equal(getattr(one.bars, name), column) if name in kept else np.isnan(column).all()


def test_days_are_laid_as_one_symbols_are() -> None:
    tape = {name: walk(HALF_DAY_WEEK.open_ns[rows], seed) for seed, (name, rows) in enumerate(
        {"A": [0, 1, 2, 3], "B": [1, 3], "C": []}.items()
    )}  # fmt: skip
    day = Interval.parse("1d")
    each, _ = alone(tape, HALF_DAY_WEEK, 3, day)
    universe, reasons = stacked(tape, HALF_DAY_WEEK, 3, day)
    assert not reasons
    assert_same(universe, each)


def test_a_universe_of_nobody_is_laid_derived_and_computed() -> None:
    universe, reasons = stacked({}, HALF_DAY_WEEK, 2)
    coarse = derive_universe(universe, Interval.parse("5m"), HALF_DAY_WEEK, 2)
    assert (len(universe), len(coarse), coarse.symbols, reasons) == (0, 0, (), {})
    assert compute_universe(parse_indicator("RSI(14)@5m"), coarse)["real"].shape == (0,)
    assert universe.known_by(HALF_DAY_WEEK.open_ns).shape == (4, 0)


def test_a_stack_derives_nothing_finer() -> None:
    universe, _ = stacked({"A": walk(expected_stamps(HALF_DAY_WEEK, 2))}, HALF_DAY_WEEK, 2)
    coarse = derive_universe(universe, Interval.parse("5m"), HALF_DAY_WEEK, 2)
    assert derive_universe(universe, MINUTE, HALF_DAY_WEEK, 2) is universe
    with pytest.raises(ValueError, match="1m does not derive from 5m"):
        derive_universe(coarse, MINUTE, HALF_DAY_WEEK, 2)


def test_an_indicator_of_a_column_that_was_not_read_is_refused() -> None:
    tape = {"A": walk(expected_stamps(HALF_DAY_WEEK, 2))}
    universe, _ = stacked(tape, HALF_DAY_WEEK, 2, columns=("close", "volume"))
    assert np.isfinite(compute_universe(parse_indicator("OBV@1m"), universe)["real"]).all()
    for key in ("ATR(14)@1m", "SESSION_VWAP@1m"):
        with pytest.raises(ValueError, match="needs the column high"):
            compute_universe(parse_indicator(key), universe)
