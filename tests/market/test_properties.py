"""What has to hold for any bars, any minute and any cut of the session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.calendar import Sessions
from barray.market.commands import AddAdhocBar, AddAdhocIndicator, Loaded, Provision, TakeSnapshot
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.series import derive
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession
from tests.examples import at_most
from tests.market.builders import (
    HALF_DAY,
    MINUTE_NS,
    MemoryReader,
    assert_same_snapshot,
    assert_same_view,
    calendar,
    context_for,
    expected_stamps,
    flat,
    lay,
    load_command,
    loaded,
    require,
    run,
    session_walk,
    walk,
)

quick = settings(deadline=None, max_examples=at_most(40))
few = settings(deadline=None, max_examples=at_most(25))

WANTED = require(
    "1m", "5m", "7m", "1h", "1d", "1w",
    specs=("RSI(14)@5m", "EMA(20)@1m", "MACD@1m", "BBANDS@5m", "SESSION_VWAP@1m", "CDLDOJI@7m", "SMA(3)@1d"),
    trailing_days=2, max_missing=2,
)  # fmt: skip
NAMES = [str(interval) for interval in WANTED.all_intervals]
KEYS = [spec.key for spec in WANTED.indicators]
CONTEXT = context_for(WANTED)
MINUTES = int(CONTEXT.close_ns - CONTEXT.open_ns) // MINUTE_NS
FULL = session_walk(CONTEXT)

minutes = st.integers(0, MINUTES)
seeds = st.integers(0, 2**32 - 1)


def at(minute: int) -> int:
    return CONTEXT.open_ns + minute * MINUTE_NS


def thinned(seed: int, share: float) -> Bars:
    """The full tape with a share of its minutes missing; never all of the session's."""
    keep = np.random.default_rng(seed).random(len(FULL)) >= share
    keep[-1] = True
    return FULL.take(keep)


def snapshot_of(session: SymbolSession, now_ns: int) -> SymbolSessionData:
    return run(session, TakeSnapshot(now_ns)).snapshot()


@pytest.mark.long
@few
@given(added=minutes, later=minutes, seed=seeds, share=st.sampled_from([0.0, 0.02, 0.4]))
def test_a_symbol_added_at_any_minute_is_the_one_that_was_there_from_the_open(
    added: int, later: int, seed: int, share: float
) -> None:
    bars = thinned(seed, share)
    now_ns = at(max(added, later))
    from_config = loaded(WANTED, CONTEXT, bars, now_ns)
    command = load_command(WANTED, CONTEXT, bars, added_by="strategy", at_ns=at(added))
    mid_session = snapshot_of(run(SymbolSession("TEST"), command), now_ns)
    assert_same_view(from_config, mid_session, names=NAMES, keys=KEYS)
    assert list(mid_session.bars) == NAMES
    assert mid_session.added_mid_session == (added > 0)


@pytest.mark.long
@few
@given(data=st.data(), provisioned=minutes, seed=seeds)
def test_an_upgraded_symbol_is_the_one_that_was_there_from_the_open(
    data: st.DataObject, provisioned: int, seed: int
) -> None:
    upgraded = data.draw(st.integers(provisioned, MINUTES), label="upgraded")
    now_ns = at(data.draw(st.integers(upgraded, MINUTES), label="later"))
    starts = data.draw(st.lists(st.integers(0, max(upgraded - 1, 0)), max_size=4, unique=True), label="adhoc minutes")
    bars = thinned(seed, 0.05)
    session = run(SymbolSession("TEST"), Provision(CONTEXT, "bar_addition", at(provisioned)))
    for key in ("RSI(14)@5m", "WMA(4)@15m"):  # one that the config wants as well, one of another interval
        run(session, AddAdhocIndicator(parse_indicator(key), "scanner", at(upgraded)))
    for minute in starts:
        run(session, AddAdhocBar(Interval.parse("1m"), flat(at(minute), price=1.0), "scanner", at(upgraded)))
    command = load_command(WANTED, CONTEXT, bars, added_by="scanner", at_ns=at(upgraded))
    late = snapshot_of(run(session, command), now_ns)
    assert_same_view(loaded(WANTED, CONTEXT, bars, now_ns), late, names=NAMES, keys=KEYS)
    assert late.upgraded_from_adhoc
    assert len(late.conflicts) == len(starts)
    assert late.adhoc_bars == {}
    assert set(late.adhoc_indicators) == {"RSI(14)@5m", "WMA(4)@15m"}


@pytest.mark.long
@quick
@given(cuts=st.lists(minutes, max_size=12), end=minutes, seed=seeds)
def test_any_cut_of_the_session_into_windows_ends_in_the_same_state(cuts: list[int], end: int, seed: int) -> None:
    bars = thinned(seed, 0.05)
    stops = [TakeSnapshot(at(minute)) for minute in sorted(cuts) if minute <= end]
    in_windows = run(SymbolSession("TEST"), load_command(WANTED, CONTEXT, bars), *stops, TakeSnapshot(at(end)))
    assert_same_snapshot(in_windows.snapshot(), loaded(WANTED, CONTEXT, bars, at(end)))


@pytest.mark.long
@quick
@given(minute=minutes, seed=seeds, remove=st.booleans(), data=st.data())
def test_no_bar_that_closes_later_changes_anything_visible(
    minute: int, seed: int, remove: bool, data: st.DataObject
) -> None:
    now_ns = at(minute)
    bars = thinned(seed, 0.05)
    future = np.flatnonzero(bars.start_ns + MINUTE_NS > now_ns)
    before = loaded(WANTED, CONTEXT, bars, now_ns)
    if remove:
        other = bars.take(
            np.setdiff1d(np.arange(len(bars)), future[:-1])
        )  # without any, the symbol could not be loaded
    else:
        scale = np.ones(len(bars))
        scale[future] = data.draw(st.sampled_from([0.5, 3.0, 1e6]), label="scale")
        other = Bars(bars.start_ns, *(getattr(bars, name) * scale for name in COLUMNS))
    after = loaded(WANTED, CONTEXT, other, now_ns)
    assert_same_snapshot(before, after)


@pytest.mark.long
@quick
@given(minute=minutes)
def test_nothing_is_visible_before_it_closes(minute: int) -> None:
    now_ns = at(minute)
    seen = loaded(WANTED, CONTEXT, FULL, now_ns)
    assert seen.bars["1m"].bars.start_ns[-1] == (
        now_ns - MINUTE_NS if minute else CONTEXT.sessions.close_ns[CONTEXT.row - 1] - MINUTE_NS
    )
    whole = loaded(WANTED, CONTEXT, FULL, CONTEXT.close_ns)
    for name, series in seen.bars.items():
        assert (series.end_ns <= now_ns).all()
        shown = len(series)
        assert (whole.bars[name].end_ns[shown:] > now_ns).all()


DIVIDING = [("1m", "5m", "15m"), ("1m", "5m", "1h"), ("1m", "15m", "1h"), ("1m", "7m", "1d"), ("1s", "1m", "5m"),
            ("1m", "1h", "1d"), ("1m", "1d", "1w"), ("5m", "15m", "1w")]  # fmt: skip
SESSIONS = calendar("XNYS", HALF_DAY, HALF_DAY).sessions  # Monday 1 July to Friday 5 July 2024: half day on the 3rd


@pytest.mark.long
@quick
@given(chain=st.sampled_from(DIVIDING), seed=seeds, share=st.sampled_from([0.0, 0.3, 0.97]))
def test_deriving_in_two_steps_is_deriving_in_one(chain: tuple[str, str, str], seed: int, share: float) -> None:
    fine, middle, coarse = map(Interval.parse, chain)
    rows = range(1, 3) if fine.unit == "s" else range(len(SESSIONS))
    stamps = np.concatenate([expected_stamps(SESSIONS, row, fine.ns) for row in rows])
    bars = walk(stamps, seed).take(np.random.default_rng(seed).random(len(stamps)) >= share)
    base = lay(bars, chain[0], SESSIONS)
    in_one = derive(base, coarse, SESSIONS, 0)
    between = lay(derive(base, middle, SESSIONS, 0).bars, chain[1], SESSIONS)
    in_two = derive(between, coarse, SESSIONS, 0)
    assert in_two.bars.equals(in_one.bars)
    assert np.array_equal(in_two.end_ns, in_one.end_ns)


@quick
@given(seed=seeds, share=st.floats(0, 1), minute=minutes)
def test_what_is_expected_is_either_there_or_in_a_gap(seed: int, share: float, minute: int) -> None:
    bars = thinned(seed, share)
    seen = loaded(WANTED, CONTEXT, bars, at(minute))
    for quality in (*seen.quality.values(), *seen.history_quality.values()):
        assert quality.expected == quality.actual + sum(gap.missing for gap in quality.gaps)
    today = seen.quality["1m"]
    assert today.expected == minute
    present = bars.start_ns[(bars.start_ns >= at(0)) & (bars.start_ns < at(minute))]
    assert today.actual == len(present)
    in_gaps = [ns for gap in today.gaps for ns in range(gap.start_ns, gap.end_ns, MINUTE_NS)]
    assert sorted([*in_gaps, *present.tolist()]) == [at(k) for k in range(minute)]
    assert all(gap.missing * MINUTE_NS == gap.end_ns - gap.start_ns for gap in today.gaps)
    assert all(one.end_ns < other.start_ns for one, other in zip(today.gaps, today.gaps[1:], strict=False))


@st.composite
def logs(draw: st.DrawFn) -> list[object]:
    """A command log as a coordinator keeps it: time never goes back."""
    bars = thinned(draw(seeds), 0.1)
    minute = draw(st.integers(0, 60))
    load = load_command(WANTED, CONTEXT, bars, added_by=draw(st.sampled_from(["config", "strategy"])), at_ns=at(minute))
    log: list[object] = []
    if draw(st.booleans()):
        log.append(Provision(CONTEXT, "indicator_addition", at(draw(st.integers(0, minute)))))
    else:
        log.append(load)
    for _ in range(draw(st.integers(0, 8))):
        minute = min(minute + draw(st.integers(0, 60)), MINUTES)
        kind = draw(st.sampled_from(["snapshot", "bar", "indicator", "load", "provision"]))
        if kind == "snapshot":
            log.append(TakeSnapshot(at(minute)))
        elif kind == "bar":
            start_ns = at(max(minute - draw(st.integers(1, 30)), 0))
            interval = Interval.parse(draw(st.sampled_from(["1m", "5m", "30s"])))
            log.append(AddAdhocBar(interval, flat(start_ns), "scanner", at(minute)))
        elif kind == "indicator":
            key = draw(st.sampled_from(["SMA(3)@1m", "RSI(14)@5m", "SMA(2)@30s", "OBV@15m"]))
            log.append(AddAdhocIndicator(parse_indicator(key), "scanner", at(minute)))
        elif kind == "load":
            log.append(replace(load, at_ns=at(minute)))
        else:
            log.append(Provision(CONTEXT, "bar_addition", at(minute)))
    return [*log, TakeSnapshot(at(MINUTES))]


@pytest.mark.long
@quick
@given(log=logs())
def test_replaying_the_log_on_a_fresh_symbol_gives_the_identical_snapshot(log: list) -> None:
    first = run(SymbolSession("TEST"), *log)
    again = run(SymbolSession("TEST"), *log)
    assert_same_snapshot(first.snapshot(), again.snapshot())


@pytest.mark.long
@few
@given(log=logs(), data=st.data())
def test_a_symbol_told_the_time_with_its_commands_alone_is_the_one_told_of_every_window(
    log: list, data: st.DataObject
) -> None:
    """Whatever passes between two commands, each answer is the same, and shows nothing that closes later."""
    window = data.draw(st.sampled_from([7, 30, 60]), label="window")
    lazy, stepped = SymbolSession("TEST"), SymbolSession("TEST")
    now_ns = log[0].at_ns
    for command in log:
        for end_ns in range(now_ns + window * MINUTE_NS, command.at_ns, window * MINUTE_NS):
            run(stepped, TakeSnapshot(end_ns))
        now_ns = command.at_ns
        seen = run(lazy, command).snapshot()
        assert_same_snapshot(seen, run(stepped, command).snapshot())
        assert seen.now_ns == now_ns
        assert all((series.end_ns <= now_ns).all() for series in seen.bars.values())


@pytest.mark.long
@quick
@given(log=logs(), data=st.data())
def test_a_command_that_arrives_twice_changes_nothing(log: list, data: st.DataObject) -> None:
    """Task retries are at least once: the second delivery of any command has to be harmless."""
    once = run(SymbolSession("TEST"), *log)
    twice = SymbolSession("TEST")
    repeated = data.draw(st.sets(st.integers(0, len(log) - 1)), label="repeated")
    for i, command in enumerate(log):
        run(twice, command, *([command] if i in repeated else []))
    assert_same_snapshot(once.snapshot(), twice.snapshot())


@pytest.mark.long
def test_a_reader_that_gives_more_than_was_asked_for_changes_nothing() -> None:
    """Monday lies in the context's week, but only Tuesday is asked for as history."""
    wanted = require("1m", "5m", trailing_days=1)
    context = context_for(wanted)
    more = session_walk(context_for(require("1m", trailing_days=8)), seed=5)

    class Generous(MemoryReader):
        def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
            return self.bars

    exact, generous = (
        run(SymbolSession("TEST"), replace(load_command(wanted, context, more), reader=reader)).snapshot()
        for reader in (MemoryReader(more), Generous(more))
    )
    assert_same_snapshot(exact, generous)
    assert len(exact.bars["1m"]) == 390


@pytest.mark.parametrize("repeat", [1, 2])
def test_a_second_load_reports_that_the_symbol_was_full_already(repeat: int) -> None:
    session = SymbolSession("TEST")
    reports = [session.apply(load_command(WANTED, CONTEXT, FULL), FULL) for _ in range(repeat + 1)]
    assert [isinstance(report, Loaded) and report.new for report in reports] == [True] + [False] * repeat
