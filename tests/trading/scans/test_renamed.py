"""Renamed companies in scans: found by the name of the day, with all that was stored under other names before."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar
from barray.market.interval import DAY
from barray.market.listings import Listing, Listings
from barray.market.renames import Renames
from barray.trading.scans.commands import ScanJob
from barray.trading.scans.shard import ScanShard
from tests.trading.scans.test_shard import MOVERS, Memory, job_of, outcome, replace_close, told
from tests.trading.scans.universes import SESSIONS_BACK, Universe, universe, xnys

ALL = (
    MOVERS.replace("adv(2) > 1_000.0", "None")
    .replace("> 0.5", "> 0.0")
    .replace("> 40", "> 0")
    .replace("> -0.05", "> -9")
)


class Renamed:
    """A universe whose companies change their names from session to session, some of them to one that was another's.

    `names`: of each company in each session; `stored`: its bars by these.
    """

    def __init__(self, world: Universe, seed: int) -> None:
        rng, self.world, self.sessions = random.Random(seed), world, xnys().sessions
        companies, self.rows = sorted(world.by_symbol), range(world.bars.row - SESSIONS_BACK, world.bars.row + 1)
        self.names = {company: {self.rows[0]: company} for company in companies}
        free: list[str] = []
        for row in self.rows[1:]:
            for company in rng.sample(companies, len(companies)):
                name = self.names[company][row - 1]
                if rng.random() < 0.3:
                    taken, name = name, free.pop() if free and rng.random() < 0.7 else f"N{rng.randrange(10**6)}"
                    free.append(taken)
                self.names[company][row] = name
        self.stored: dict[str, list[Bar]] = {}
        for company, by_row in self.names.items():
            for row, name in by_row.items():
                self.stored.setdefault(name, []).extend(self.bars_on(company, row))
        for bars in self.stored.values():
            bars.sort(key=lambda bar: bar.start_ns)

    def bars_on(self, company: str, row: int) -> list[Bar]:
        opens, closes = self.sessions.open_ns[row], self.sessions.close_ns[row]
        return [bar for bar in self.world.by_symbol[company] if opens <= bar.start_ns < closes]

    @property
    def renames(self) -> Renames:
        rows = []
        for by_row in self.names.values():
            starts = [row for row in self.rows if row == self.rows[0] or by_row[row] != by_row[row - 1]]
            for start, stop in zip(starts, [*starts[1:], None], strict=True):
                first = None if start == self.rows[0] else self.sessions.dates[start].item()
                last = None if stop is None else self.sessions.dates[stop].item() - timedelta(days=1)
                rows.append(Listing(by_row[start], first, last, None if stop is None else by_row[stop]))
        return Renames.in_listings(Listings(tuple(rows), "listings.csv"))

    def jobs(self, text: str, shares: int, sessions: int) -> list[ScanJob]:
        """Shares of all names, over the last sessions."""
        parts = np.array_split(np.array(sorted(self.stored), object), shares)
        read = Memory(self.stored)
        jobs = [job_of(self.world, read, tuple(part.tolist()), text, sessions) for part in parts]
        return [replace(job, renames=self.renames) for job in jobs]

    def of_day(self, row: int) -> dict[str, list[Bar]]:
        """All bars of companies by the names of a session."""
        return {by_row[row]: self.world.by_symbol[company] for company, by_row in self.names.items()}


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_renamed_company_is_found_as_if_it_had_always_been_called_so(seed: int, shares: int) -> None:
    renamed = Renamed(universe(seed, symbols=9), seed)
    jobs = renamed.jobs(ALL, shares, 4)
    shards, plan = [ScanShard(job) for job in jobs], jobs[0].scans[0].plan()
    for row in jobs[0].session_range.rows.tolist():
        found = outcome(plan, [shard.session(row, {}) for shard in shards])
        plain = renamed.of_day(row)
        [alone] = Renamed(renamed.world, seed).jobs(ALL, 1, 4)
        alone = replace(alone, symbols=tuple(sorted(plain)), reader=Memory(plain), renames=Renames())
        assert told(found) == told(outcome(plan, [ScanShard(alone).session(row, {})]))


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_daily_bars_are_those_of_all_names(seed: int, beside: bool) -> None:
    renamed = Renamed(universe(seed, symbols=7), seed)
    rng, sessions = np.random.default_rng(seed), renamed.sessions
    closes = {company: rng.uniform(5, 50, len(renamed.rows)).tolist() for company in renamed.names}
    stored: dict[str, list[Bar]] = {}
    for company, by_row in renamed.names.items():
        for row, close in zip(renamed.rows, closes[company], strict=True):
            bar = Bar(int(sessions.open_ns[row]), close, close + 1, close - 1, close, 1e6)
            stored.setdefault(by_row[row], []).append(bar)
    for bars in stored.values():
        bars.sort(key=lambda bar: bar.start_ns)
    text = MOVERS.replace("adv(2) > 1_000.0", "adv(3) > 0").replace("relative_volume(3)\n", "close(2) + highest(3)\n")
    text = text.replace("relative_volume(3) > 0.5", "close(1) > 0").replace('"RSI(14)@15m") > 40', '"SMA(3)@1d") > 0')
    text = text.replace("gap() > -0.05", "gap() > -9")
    [job] = renamed.jobs(text.replace('every("30m", since="10:00")', 'at("13:00")'), 1, 4)
    if beside:
        span = replace(job.session_range, daily=dict.fromkeys(job.session_range.rows.tolist(), renamed.rows[0]))
        job = replace(
            job, daily=Memory(stored), session_range=replace(span, history={row: row for row in span.history})
        )
    else:
        job = replace(job, reader=Memory(stored), interval=DAY)
    shard, plan = ScanShard(job), job.scans[0].plan()
    checked = 0
    for row in job.session_range.rows.tolist():
        for symbol in (hits := outcome(plan, [shard.session(row, {})]).hits[-1]).symbols:
            company = next(one for one, by_row in renamed.names.items() if by_row[row] == symbol)
            before = closes[company][: row - renamed.rows[0]]
            assert hits.of(symbol)["close(1)"] == before[-1]
            assert hits.of(symbol)["adv(3)"] == pytest.approx(np.mean(before[-3:]) * 1e6, rel=1e-12)
            checked += 1
    assert checked > 4


def test_what_is_wrong_under_an_old_name_is_told_of_the_new_one_while_it_is_looked_at() -> None:
    world = universe(3, symbols=6)
    symbol = next(one for one, bars in world.by_symbol.items() if len(bars) > 400)
    renamed = Renamed(world, 1)
    last, opens = world.bars.row, renamed.sessions.open_ns
    day = renamed.sessions.dates[last - 1].item()
    table = Listings((Listing("OLD", None, day, symbol),), "listings.csv")
    stored = {**world.by_symbol, "OLD": [bar for bar in world.by_symbol[symbol] if bar.start_ns < opens[last]]}
    stored[symbol] = [bar for bar in world.by_symbol[symbol] if bar.start_ns >= opens[last]]
    stored["OLD"] = [
        replace_close(b, -1.0) if opens[last - 2] <= b.start_ns < opens[last - 1] else b for b in stored["OLD"]
    ]
    job = replace(job_of(world, Memory(stored), tuple(sorted(stored)), ALL, 1), renames=Renames.in_listings(table))
    parts = ScanShard(job).session(last, {})
    assert symbol in parts.faults
    assert "OLD" not in parts.faults
    assert "OLD" in parts.missing


def test_bars_that_were_wrong_before_a_sessions_history_cost_it_nothing() -> None:
    world = universe(3, symbols=12)
    job = job_of(world, Memory(world.by_symbol), tuple(sorted(world.by_symbol)), ALL, sessions=3)
    rows, opens = job.session_range.rows.tolist(), world.bars.sessions.open_ns
    job = replace(job, session_range=replace(job.session_range, history={row: row - 1 for row in rows}))
    symbol = next(one for one, bars in world.by_symbol.items() if len(bars) > 400)
    bad = {**world.by_symbol}
    wrong = rows[0] - 1
    bad[symbol] = [replace_close(b, -1.0) if opens[wrong] <= b.start_ns < opens[wrong + 1] else b for b in bad[symbol]]
    shard = ScanShard(replace(job, reader=Memory(bad)))
    assert [symbol in shard.session(row, {}).faults for row in rows] == [True, False, False]
