"""A session whose bars come while it runs: each look finds what the bars that have come by then would, all at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar, Bars
from barray.market.universe.growing import Tape
from barray.trading.scans.commands import ScanJob, SessionParts
from barray.trading.scans.evaluate import members_after
from barray.trading.scans.plan import Plan
from barray.trading.scans.shard import ScanShard
from barray.trading.scans.source import ScanCode, ScanSource
from tests.trading.scans.test_shard import LARGE, MOVERS, Memory, job_of, outcome, told
from tests.trading.scans.universes import FIVE_MINUTES, Universe, universe

SEES = """
from barray.scans import *

class Sees(Scan):
    at = every("30m")
    where = (vwap() > 0) | new_high(2) | (session_range() > 0.01)
    rank = col("RSI(5)@5m")
    keep = top(5)
    uses = {"closes": bars("close", 4, "15m"), "change": change(), "high": session_high(), "v": vwap()}
"""
Came = list[tuple[str, Bar]]


def jobs_of(world: Universe, shares: int, texts: tuple[str, ...] = (MOVERS, LARGE, SEES)) -> list[ScanJob]:
    names = np.array_split(np.array(sorted(world.by_symbol), object), shares)
    made = [job_of(world, Memory(world.by_symbol), tuple(part.tolist()), MOVERS, sessions=1) for part in names]
    scans = tuple(ScanSource(None, ScanCode(f"{i}.py", text)) for i, text in enumerate(texts))
    return [replace(job, scans=scans) for job in made]


class Going:
    """Shares of a universe that go along with its last session."""

    def __init__(self, jobs: list[ScanJob]) -> None:
        [row] = jobs[0].session_range.rows.tolist()
        self.jobs, self.row = jobs, row
        self.plans: list[Plan] = [source.plan() for source in jobs[0].scans]
        self.shards = [ScanShard(job) for job in jobs]
        members = members_of(self.plans, [shard.daily(row) for shard in self.shards])
        for shard in self.shards:
            shard.open(row, members)

    def take_in(self, came: Came) -> None:
        for job, shard in zip(self.jobs, self.shards, strict=True):
            own = [(job.symbols.index(symbol), bar) for symbol, bar in came if symbol in job.symbols]
            tape = Tape(np.array([who for who, _ in own], np.int64), Bars.of([bar for _, bar in own]))
            assert shard.take_in(tape) == {}

    def hits_at(self, at_ns: int) -> dict[str, list[tuple[object, ...]]]:
        due = [plan for plan in self.plans if at_ns in times_of(plan, self.jobs[0], self.row)]
        parts = [shard.look(at_ns, [plan.name for plan in due]) for shard in self.shards]
        return {plan.name: told(outcome(plan, parts)) for plan in due}


def members_of(plans: list[Plan], daily: list[SessionParts]) -> dict[str, tuple[str, ...]]:
    return {plan.name: members_after(plan, [one.parts[plan.name] for one in daily]) for plan in plans}


def times_of(plan: Plan, job: ScanJob, row: int) -> list[int]:
    sessions, day = job.session_range.sessions, job.session_range.sessions.dates[row].item()
    told_times = day, int(sessions.open_ns[row]), int(sessions.close_ns[row]), job.session_range.timezone
    found: list[int] = plan.times.of(*told_times).tolist()
    return found


def at_once(jobs: list[ScanJob], by_symbol: dict[str, list[Bar]], at_ns: int) -> dict[str, list[tuple[object, ...]]]:
    """What a session of the past finds at a time, of these bars."""
    shards = [ScanShard(replace(job, reader=Memory(by_symbol))) for job in jobs]
    [row] = jobs[0].session_range.rows.tolist()
    plans = [source.plan() for source in jobs[0].scans]
    members = members_of(plans, [shard.daily(row) for shard in shards])
    parts = [shard.session(row, members) for shard in shards]
    found = {plan.name: [one for one in told(outcome(plan, parts)) if one[0] == at_ns] for plan in plans}
    return {name: hits for name, hits in found.items() if hits}


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shares=st.integers(1, 3))
def test_each_look_finds_what_the_bars_that_have_come_would_all_at_once(seed: int, shares: int) -> None:
    """Bars come in time, late by some minutes, twice, wrong first and corrected later, or not at all."""
    rng, world = np.random.default_rng(seed), universe(seed, symbols=9)
    opens, close_ns = world.open_ns, world.bars.close_ns
    came: dict[int, Came] = {}
    for symbol, bars in sorted(world.by_symbol.items()):
        for bar in (one for one in bars if one.start_ns >= opens):
            due = bar.start_ns + FIVE_MINUTES
            how = rng.choice(["well", "late", "twice", "wrong", "lost"], p=[0.8, 0.07, 0.05, 0.06, 0.02])
            wrong = replace(bar, high=bar.high * 1.02, volume=bar.volume + 5)
            late = min(due + int(rng.integers(1, 20)) * FIVE_MINUTES, close_ns)
            for at, what in {
                "well": [(due, bar)],
                "late": [(late, bar)],
                "twice": [(due, bar), (due, bar)],
                "wrong": [(due, wrong), (late, bar)],
                "lost": [],
            }[str(how)]:
                came.setdefault(at, []).append((symbol, what))
    jobs = jobs_of(world, shares)
    going = Going(jobs)
    history = {s: [bar for bar in bars if bar.start_ns < opens] for s, bars in world.by_symbol.items()}
    known: dict[str, dict[int, Bar]] = {symbol: {} for symbol in history}
    looked = 0
    for at_ns in range(opens + FIVE_MINUTES, close_ns + 1, FIVE_MINUTES):
        batch = came.get(at_ns, [])
        for part in np.array_split(np.arange(len(batch)), int(rng.integers(1, 4))):
            going.take_in([batch[i] for i in part.tolist()])
        for symbol, bar in batch:
            known[symbol][bar.start_ns] = bar
        found = going.hits_at(at_ns)
        if found and rng.random() < 0.35:
            held = {s: history[s] + [known[s][start] for start in sorted(known[s])] for s in history}
            assert found == at_once(jobs, held, at_ns)
            looked += 1
    assert looked > 0


@pytest.mark.long
def test_what_comes_in_time_is_found_as_in_a_session_of_the_past_and_a_process_that_is_lost_comes_to_the_same() -> None:
    world = universe(3, symbols=12)
    opens = world.open_ns
    jobs = jobs_of(world, 2)
    going, taken = Going(jobs), list[Came]()
    for at_ns in range(opens + FIVE_MINUTES, world.bars.close_ns + 1, FIVE_MINUTES):
        taken.append(
            [(s, bar) for s, bars in world.by_symbol.items() for bar in bars if bar.start_ns == at_ns - FIVE_MINUTES]
        )
        going.take_in(taken[-1])
        if at_ns == opens + 24 * FIVE_MINUTES:
            going = Going(jobs)  # the log again
            for batch in taken:
                going.take_in(batch)
        assert going.hits_at(at_ns) == at_once(jobs, world.by_symbol, at_ns)


@pytest.mark.long
def test_bars_that_come_before_their_time_is_looked_at_change_nothing_before() -> None:
    world = universe(4, symbols=9)
    jobs = jobs_of(world, 1)
    going = Going(jobs)
    going.take_in([(s, bar) for s, bars in world.by_symbol.items() for bar in bars if bar.start_ns >= world.open_ns])
    at_ns = world.open_ns + 12 * FIVE_MINUTES
    assert going.hits_at(at_ns) == at_once(jobs, world.by_symbol, at_ns)
