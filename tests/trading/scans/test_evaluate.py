"""Hits and values over random universes, against loops, Polars and the bars of one symbol alone."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.indicators import compute, parse_indicator
from barray.market.interval import Interval
from barray.market.own_indicator import indicator
from barray.market.series import derive, lay_on_sessions
from barray.market.universe.derive import derive_universe
from barray.market.universe.rows import chosen, kept
from barray.trading.scans import local
from barray.trading.scans.bars import ScanBars, last_closed
from barray.trading.scans.evaluate import daily_part, evaluate, members_after, session_hits, where_part
from barray.trading.scans.keeping import top
from barray.trading.scans.language import (
    adv,
    average_volume,
    bars,
    change,
    change_since_open,
    close,
    col,
    gap,
    highest,
    lowest,
    new_high,
    new_low,
    relative_volume,
    session_high,
    session_low,
    session_open,
    session_range,
    session_volume,
    vwap,
)  # fmt: skip
from barray.trading.scans.local import Local
from barray.trading.scans.lookahead import futures, lookahead
from barray.trading.scans.plan import make_plan
from barray.trading.scans.scan import Scan
from barray.trading.scans.session_values import usual_volumes
from barray.trading.scans.times import every
from tests.trading.scans import universes
from tests.trading.scans.universes import AFTER_HALF_DAY, BEFORE_HALF_DAY, HALF_DAY, Universe, universe

DAYS = st.sampled_from([BEFORE_HALF_DAY, HALF_DAY, AFTER_HALF_DAY])
SEEDS = st.integers(0, 2**32)
TERMS = [
    gap(), change(), change_since_open(), session_high(), session_low(), session_volume(), session_range(), vwap(),
    relative_volume(3), col("close"), close(1), close(3), adv(3), average_volume(3), highest(3), lowest(3),
    col("RSI(14)@15m"), col("close@15m"),
]  # fmt: skip


class Movers(Scan):
    least: float = 1.0

    daily = (adv(2) > 1_000.0) & (close(1) > 3)
    at = every("30m", since="10:00")
    rank = relative_volume(3)
    keep = top(3)

    def where(self):
        return (gap() > -0.05) & (relative_volume(3) > self.least) & (col("RSI(14)@15m") > 40)


PLAN = make_plan(Movers(least=0.5))


def times_of(world: Universe) -> np.ndarray:
    return PLAN.times.of(world.day, world.bars.open_ns, world.bars.close_ns, world.bars.timezone)


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(SEEDS, DAYS)
def test_values_are_those_that_loops_over_the_bars_give(seed: int, day: date) -> None:
    world = universe(seed, day)
    times = times_of(world)
    found = Local(world.bars, times, np.arange(len(world.bars.symbols)))
    values = {term.text: np.broadcast_to(found.value(term), (len(times), len(found.who))) for term in TERMS}
    for k, now in enumerate(times.tolist()):
        for i, symbol in enumerate(world.bars.symbols):
            wanted = universes.expected(world, symbol, now)
            shown = {name: float(matrix[k, i]) for name, matrix in values.items()}
            assert shown == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), (symbol, k)


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(SEEDS, DAYS)
def test_hits_are_those_that_loops_find_in_their_order(seed: int, day: date) -> None:
    world = universe(seed, day)
    found = evaluate(PLAN, world.bars)
    assert found.failure is None
    assert [hits.at_ns for hits in found.hits] == times_of(world).tolist()
    for hits in found.hits:
        scores: dict[str, float] = {}
        for symbol in world.bars.symbols:
            value = universes.expected(world, symbol, hits.at_ns)
            two = universes.days(world, symbol)[-2:]
            dollars = sum(day.close * day.volume for day in two) / 2 if len(two) == 2 else math.nan
            passes = dollars > 1_000.0 and value["close(1)"] > 3 and value["gap()"] > -0.05
            if passes and value["relative_volume(3)"] > 0.5 and value["RSI(14)@15m"] > 40:
                scores[symbol] = value["relative_volume(3)"]
        assert hits.symbols == tuple(sorted(scores, key=lambda one: (-scores[one], one)))
        assert hits.scores.tolist() == pytest.approx([scores[one] for one in hits.symbols], rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS, DAYS)
def test_values_are_bit_for_bit_those_of_the_symbol_alone(seed: int, day: date) -> None:
    world, rng = universe(seed, day), np.random.default_rng(seed)
    times, bars = times_of(world), world.bars
    specs = [
        parse_indicator(text) for text in ("RSI(14)@15m", "ATR(5)@5m", "EMA(9)@1h", "SESSION_VWAP@5m", "SMA(2)@1d")
    ]
    for symbol in rng.choice(bars.symbols, 3).tolist():
        raw = Bars.of(world.by_symbol[symbol])
        five = Interval.parse("5m")
        base = lay_on_sessions(raw, five, bars.sessions, bars.row, symbol=symbol, source="test")
        found = Local(bars, times, np.arange(len(bars.symbols)))
        i = bars.symbols.index(symbol)
        for spec in specs:
            series = derive(base, spec.interval, bars.sessions, bars.row)
            alone = compute(spec, series).values[spec.outputs[0]]
            shown = [alone[n - 1] if (n := series.closed_by(now)) else np.nan for now in times.tolist()]
            assert np.array_equal(found.value(col(spec))[:, i], shown, equal_nan=True), spec.key
        single = Local(replace(bars, base=chosen(bars.base, np.array([i]))), times, np.array([0]))
        for term in TERMS:
            assert np.array_equal(found.value(term)[:, i], single.value(term)[:, 0], equal_nan=True), term


@settings(max_examples=15, deadline=None)
@given(SEEDS, DAYS, st.integers(1, 7))
def test_shards_that_meet_find_what_one_process_finds(seed: int, day: date, cut: int) -> None:
    world = universe(seed, day)
    bars, times = world.bars, times_of(world)

    class Across(Movers):
        daily = adv(2).top(6)
        where = (change().rank(ascending=True) > 1) & (gap() > -0.1)
        rank = change_since_open().zscore()

    plan = make_plan(Across())
    shards = [np.arange(0, cut), np.arange(cut, len(bars.symbols))]
    parts = [replace(bars, base=chosen(bars.base, shard)) for shard in shards]
    left = members_after(plan, [daily_part(plan, part) for part in parts])
    together = session_hits(plan, bars.timezone, times, [where_part(plan, part, times, left) for part in parts])
    for one, other in zip(together.hits, evaluate(plan, bars).hits, strict=True):
        assert one.symbols == other.symbols
        assert np.array_equal(one.scores, other.scores)


@settings(max_examples=15, deadline=None)
@given(SEEDS, DAYS)
def test_a_time_alone_gives_what_it_gives_among_others(seed: int, day: date) -> None:
    world = universe(seed, day)
    for hits in evaluate(PLAN, world.bars).hits:
        (alone,) = evaluate(PLAN, world.bars, np.array([hits.at_ns])).hits
        assert alone.symbols == hits.symbols
        assert np.array_equal(alone.scores, hits.scores)


@settings(max_examples=15, deadline=None)
@given(SEEDS, DAYS)
def test_a_live_session_finds_at_each_time_what_its_replay_finds(seed: int, day: date) -> None:
    """With the bars that have come by then, and what was made of history before the open."""
    world = universe(seed, day)
    bars = world.bars
    usual = {3: usual_volumes(next(before for _, before in futures(bars, bars.open_ns, np.random.default_rng(0))), 3)}
    for hits in evaluate(PLAN, bars).hits:
        _, so_far = next(futures(bars, hits.at_ns, np.random.default_rng(0)))
        assert so_far.base.end_ns.max(initial=0) <= hits.at_ns
        quarter = derive_universe(so_far.base, Interval.parse("15m"), bars.sessions, bars.row)
        so_far = replace(so_far, usual=usual, derived={quarter.interval: quarter})
        (live,) = evaluate(PLAN, so_far, np.array([hits.at_ns])).hits
        assert live.symbols == hits.symbols
        assert np.array_equal(live.scores, hits.scores)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(SEEDS, DAYS)
def test_no_bar_after_the_time_changes_a_hit(seed: int, day: date) -> None:
    report = lookahead(PLAN, universe(seed, day, symbols=5).bars, most_times=1, seed=seed)
    assert report.tried == 1
    assert report.honest, report


@indicator(bars=2)
def rise(close):
    return close / np.concatenate((np.full(2, np.nan), close[:-2])) - 1


EVERY_TERM = [
    *TERMS, session_open(), new_high(2), new_low(2), bars("close", 5), bars("high", 3, "15m"), col("volume@1h"),
    col("close@1d"), col("SMA(2)@1d"), col("SESSION_VWAP@5m"), col("MACD(3,6,2)@5m", "macdhist"), col(rise @ "15m"),
]  # fmt: skip


class EveryTerm(Scan):
    at = every("30m", since="10:00")
    where = (change() > -1) & change().top(4) & (session_volume().zscore() < 9) & (vwap().percentile() > 0)
    rank = gap().demean() + relative_volume(3).rank()
    uses: ClassVar = {f"value {i}": term for i, term in enumerate(EVERY_TERM)}


def corrupted(bars: ScanBars, at_ns: int, rng: np.random.Generator) -> ScanBars:
    """After a time: bars lost, stamps a bar later, prices and volumes anything."""
    base = bars.base
    later = base.end_ns > at_ns
    lost = kept(base, ~later | (rng.random(len(later)) < 0.7))
    changed = np.flatnonzero(lost.end_ns > at_ns)
    columns = {name: getattr(lost.bars, name).copy() for name in COLUMNS}
    for column in columns.values():
        column[changed] = np.roll(column[changed], 1) * rng.choice([1e-3, 0.5, 1e9], len(changed))
    return replace(bars, base=replace(lost, bars=Bars(lost.bars.start_ns, *columns.values())))


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(SEEDS, DAYS)
def test_no_bar_after_the_time_changes_a_value_of_any_term_or_a_place(seed: int, day: date) -> None:
    rng, plan = np.random.default_rng(seed), make_plan(EveryTerm())
    world = universe(seed, day, symbols=5).bars
    now_ns = int(rng.choice(times_of(universe(seed, day, symbols=1))))
    everyone, at = np.arange(len(world.symbols)), np.array([now_ns])
    true = Local(world, at, everyone)
    values = {term.text: true.value(term) for term in EVERY_TERM}
    [hits] = evaluate(plan, world, at).hits
    for other in (*(one for _, one in futures(world, now_ns, rng)), corrupted(world, now_ns, rng)):
        local_values = Local(other, at, everyone)
        for term in EVERY_TERM:
            for one, two in zip(flat(values[term.text]), flat(local_values.value(term)), strict=True):
                assert np.array_equal(one, two, equal_nan=True), term
        [again] = evaluate(plan, other, at).hits
        assert again.symbols == hits.symbols
        assert np.array_equal(again.scores, hits.scores)


def flat(value: object) -> tuple[np.ndarray, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)  # type: ignore[return-value]


def test_one_that_sees_a_bar_before_its_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_later(*given: object) -> np.ndarray:
        return np.minimum(last_closed(*given) + 1, len(given[0]) - 1)

    monkeypatch.setattr(local, "last_closed", one_later)
    report = lookahead(PLAN, universe(5, symbols=12).bars)
    assert {one.future for one in report.differences} >= {"raised", "lowered", "shuffled"}
    assert not report.honest


@pytest.mark.parametrize("seed", range(3))
def test_some_are_found_and_some_are_not(seed: int) -> None:
    found = [len(hits) for hits in evaluate(PLAN, universe(seed, symbols=30).bars).hits]
    assert min(found) > 0
    assert max(found) < 30
