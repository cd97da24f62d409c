"""Shares of a universe over sessions: as if each session's bars, and all before, were at hand at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar, Bars
from barray.market.calendar import Sessions
from barray.market.daily import between, derive_beside, lay_daily
from barray.market.errors import SourceUnavailable
from barray.market.indicators import compute, parse_indicator
from barray.market.interval import DAY, Interval
from barray.market.series import lay_on_sessions
from barray.market.session_range import SessionRange
from barray.market.universe.compute import compute_universe
from barray.market.universe.stack import Stack
from barray.market.validation import Reason
from barray.trading.scans import local
from barray.trading.scans.commands import ScanJob, SessionParts
from barray.trading.scans.evaluate import evaluate, members_after, session_hits
from barray.trading.scans.follow import follow
from barray.trading.scans.hits import SessionHits
from barray.trading.scans.past import NotReadable
from barray.trading.scans.plan import Plan
from barray.trading.scans.shard import ScanShard
from barray.trading.scans.source import ScanCode, ScanSource
from tests.trading.scans.universes import AFTER_HALF_DAY, SESSIONS_BACK, Universe, universe, xnys

FIVE = Interval.parse("5m")
MOVERS = """
from barray.scans import *

class Movers(Scan):
    daily = adv(2) > 1_000.0
    at = every("30m", since="10:00")
    rank = relative_volume(3)
    keep = top(3).leave_below(4)

    def where(self):
        return (gap() > -0.05) & (relative_volume(3) > 0.5) & (col("RSI(14)@15m") > 40)
"""
LARGE = """
from barray.scans import *

class Large(Scan):
    daily = adv(2).top(5)
    at = at("11:00")
    where = change_since_open().rank() <= 3
"""


@dataclass
class Memory:
    """Bars in memory, read as a source would give them; `read`: which sessions were read of how many symbols."""

    by_symbol: dict[str, list[Bar]]
    name: str = "memory"
    broken: dict[str, Reason] = field(default_factory=dict)
    read: list[tuple[date, int]] = field(default_factory=list)
    dead: bool = False

    def read_stack(
        self,
        interval: Interval,
        sessions: Sessions,
        *,
        symbols: tuple[str, ...],
        columns: tuple[str, ...],
        first_ns: int | None = None,
    ) -> tuple[Stack, dict[str, Reason]]:
        if self.dead:
            raise SourceUnavailable("is not there", source=self.name)
        self.read += [(day.item(), len(symbols)) for day in sessions.dates]
        tapes = {}
        for symbol in symbols:
            bars = [bar for bar in self.by_symbol.get(symbol, ()) if self._wanted(bar, sessions, first_ns)]
            if bars and symbol not in self.broken:
                whole = Bars.of(bars)
                tapes[symbol] = Bars.partial(whole.start_ns, {name: getattr(whole, name) for name in columns})
        return Stack.of(tapes, columns), {s: why for s, why in self.broken.items() if s in symbols}

    def _wanted(self, bar: Bar, sessions: Sessions, first_ns: int | None) -> bool:
        at = int(np.searchsorted(sessions.open_ns, bar.start_ns, side="right")) - 1
        if at < 0 or bar.start_ns >= sessions.close_ns[at]:
            return False
        return first_ns is None or bar.start_ns < sessions.open_ns[at] + first_ns


def job_of(world: Universe, reader: Memory, symbols: tuple[str, ...], text: str, sessions: int = 2) -> ScanJob:
    """The last sessions of a universe, with one session of history for indicators and all before for daily bars."""
    last = world.bars.row
    rows = np.arange(last - sessions + 1, last + 1)
    first = last - SESSIONS_BACK
    history = {row: max(row - 3, first) for row in rows.tolist()}
    found = xnys()
    span = SessionRange(found.name, found.hours, found.timezone, found.sessions, rows, history)
    return ScanJob((ScanSource(None, ScanCode("scan.py", text)),), symbols, span, FIVE, reader, None)


def outcome(plan: Plan, shares: list[SessionParts]) -> SessionHits:
    parts = [one.parts[plan.name] for one in shares]
    return session_hits(plan, "America/New_York", parts[0].times_ns, parts)


def told(found: SessionHits) -> list[tuple[object, ...]]:
    return [(hits.at_ns, hits.symbols, repr(hits.scores.tolist())) for hits in found.hits]


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_shares_find_what_one_process_with_all_bars_finds(seed: int, shares: int) -> None:
    world = universe(seed, symbols=9)
    names = tuple(sorted(world.by_symbol))
    jobs = [
        job_of(world, Memory(world.by_symbol), tuple(part.tolist()), MOVERS)
        for part in np.array_split(np.array(names, object), shares)
    ]
    plan = jobs[0].scans[0].plan()
    for row in jobs[0].session_range.rows.tolist():
        first = jobs[0].session_range.history[row]
        sessions = world.bars.sessions
        since = int(sessions.open_ns[first])
        kept = {s: [bar for bar in bars if bar.start_ns >= since] for s, bars in world.by_symbol.items()}
        whole = replace(laid_on(kept, row), row=row)
        expected = evaluate(plan, whole)
        assert expected.failure is None
        found = outcome(plan, [ScanShard(job).session(row, {}) for job in jobs])
        assert told(found) == told(expected)


def laid_on(by_symbol: dict[str, list[Bar]], row: int):  # type: ignore[no-untyped-def]
    from tests.trading.scans.universes import laid

    day = xnys().sessions.dates[row].item()
    return laid(by_symbol, day)


@pytest.mark.long
def test_sessions_one_after_another_are_as_each_alone_and_every_bar_is_read_once() -> None:
    world = universe(3, symbols=12)
    names = tuple(sorted(world.by_symbol))
    reader = Memory(world.by_symbol)
    job = job_of(world, reader, names, MOVERS, sessions=3)
    shard, plan = ScanShard(job), job.scans[0].plan()
    rows = job.session_range.rows.tolist()
    together = [told(outcome(plan, [shard.session(row, {})])) for row in rows]
    assert together == [told(outcome(plan, [ScanShard(job).session(row, {})])) for row in rows]
    alone = Memory(world.by_symbol)
    one_by_one = ScanShard(replace(job, reader=alone))
    for row in rows:
        one_by_one.session(row, {})
    asked: dict[date, int] = {}
    for day, count in alone.read:
        asked[day] = asked.get(day, 0) + count
    assert max(asked.values()) <= len(names)


def test_what_looks_across_the_universe_before_the_open_meets_first() -> None:
    world = universe(11, symbols=9)
    names = tuple(sorted(world.by_symbol))
    jobs = [job_of(world, Memory(world.by_symbol), part, LARGE, sessions=1) for part in (names[:4], names[4:])]
    row = jobs[0].session_range.rows.tolist()[0]
    plan = jobs[0].scans[0].plan()
    daily = [ScanShard(job).daily(row) for job in jobs]
    members = members_after(plan, [one.parts[plan.name] for one in daily])
    assert 0 < len(members) <= 5
    found = outcome(plan, [ScanShard(job).session(row, {plan.name: members}) for job in jobs])
    first = jobs[0].session_range.history[row]
    since = int(world.bars.sessions.open_ns[first])
    kept = {s: [bar for bar in bars if bar.start_ns >= since] for s, bars in world.by_symbol.items()}
    assert told(found) == told(evaluate(plan, laid_on(kept, row)))


def test_a_symbol_whose_bars_cannot_be_right_is_told_of_and_the_others_go_on() -> None:
    world = universe(5, symbols=6)
    names = tuple(sorted(world.by_symbol))
    reason = Reason("corrupt", "is no Parquet file", "write it anew", "memory")
    bad = dict(world.by_symbol)
    bad["S03"] = [replace_close(bar, -1.0) for bar in bad["S03"]]
    reader = Memory(bad, broken={"S01": reason})
    job = job_of(world, reader, (*names, "S99"), MOVERS.replace("daily = adv(2) > 1_000.0", "daily = None"), sessions=1)
    [row] = job.session_range.rows.tolist()
    parts = ScanShard(job).session(row, {})
    today = {s for s, bars in bad.items() if any(bar.start_ns >= world.open_ns for bar in bars)}
    assert parts.faults["S01"] == reason
    assert ("S03" in parts.faults) == ("S03" in today)
    assert set(parts.missing) == {*names, "S99"} - today - {"S01", "S03"}
    assert not parts.failures
    assert {"S01", "S03", "S99"}.isdisjoint(parts.parts["Movers"].symbols)


def replace_close(bar: Bar, close: float) -> Bar:
    return Bar(bar.start_ns, bar.open, bar.high, bar.low, close, bar.volume)


def test_a_scan_that_raises_ends_alone() -> None:
    world = universe(7, symbols=4)
    names = tuple(sorted(world.by_symbol))
    text = MOVERS.replace("gap() > -0.05", '(table("nowhere", "x") == "y")')
    job = job_of(world, Memory(world.by_symbol), names, MOVERS, sessions=1)
    job = replace(job, scans=(*job.scans, ScanSource("other", ScanCode("other.py", text))))
    [row] = job.session_range.rows.tolist()
    parts = ScanShard(job).session(row, {})
    assert set(parts.parts) == {"Movers"}
    assert "nowhere" in parts.failures["other"].reason


def test_bars_that_cannot_be_reached_are_no_bad_symbols() -> None:
    world = universe(7, symbols=4)
    job = job_of(world, Memory(world.by_symbol, dead=True), tuple(sorted(world.by_symbol)), MOVERS, sessions=1)
    with pytest.raises(NotReadable, match="is not there"):
        ScanShard(job).session(job.session_range.rows.tolist()[0], {})


@pytest.mark.long
def test_daily_bars_alone_are_read_for_many_sessions_at_once() -> None:
    world = universe(2, symbols=8, day=AFTER_HALF_DAY)
    sessions, last = world.bars.sessions, world.bars.row
    rng = np.random.default_rng(2)
    rows = np.arange(last - SESSIONS_BACK, last + 1)
    days = {
        f"S{i:02d}": [
            Bar(int(sessions.open_ns[row]), p, p + 1, p - 1, float(p + rng.uniform(-1, 1)), float(rng.integers(1, 99)))
            for row, p in zip(rows.tolist(), rng.uniform(5, 50, len(rows)).tolist(), strict=True)
        ]
        for i in range(8)
    }
    text = MOVERS.replace('"RSI(14)@15m"', '"SMA(3)@1d"').replace("relative_volume(3)", "session_volume()")
    text = text.replace('every("30m", since="10:00")', 'at("13:00", "16:00")').replace("adv(2) > 1_000.0", "None")
    reader = Memory(days)
    job = job_of(world, reader, tuple(sorted(days)), text, sessions=3)
    job = replace(job, interval=DAY)
    shard, plan = ScanShard(job), job.scans[0].plan()
    for row in job.session_range.rows.tolist():
        found = outcome(plan, [shard.session(row, {})])
        assert found.failure is None
        best = sorted(days, key=lambda s: -days[s][row - rows[0]].volume)
        good = [
            s for s in best
            if np.mean([bar.close for bar in days[s][row - rows[0] - 2 : row - rows[0] + 1]]) > 40
            and days[s][row - rows[0]].open / days[s][row - rows[0] - 1].close - 1 > -0.05
            and days[s][row - rows[0]].volume > 0.5
        ]  # fmt: skip
        assert list(found.hits[-1].symbols) == good
    assert len({day for day, _ in reader.read}) == len(reader.read)


def test_a_session_is_followed_from_time_to_time() -> None:
    world = universe(3, symbols=12)
    job = job_of(world, Memory(world.by_symbol), tuple(sorted(world.by_symbol)), MOVERS, sessions=1)
    plan = job.scans[0].plan()
    found = outcome(plan, [ScanShard(job).session(job.session_range.rows.tolist()[0], {})])
    followed = follow([plan], [found])
    assert followed.kept
    for hits in found.hits:
        kept = [row for row in followed.kept if row.at_ns == hits.at_ns]
        assert all(row.place <= 4 and hits.symbols[row.place - 1] == row.symbol for row in kept)
        assert {row.symbol for row in kept} >= set(hits.symbols[:3])
        assert all(row.found == len(hits) for row in kept)
    assert {visit.symbol for visit in followed.visits} == {row.symbol for row in followed.kept}


def test_what_is_wrong_with_a_symbols_history_is_told_and_it_is_not_found() -> None:
    world = universe(3, symbols=12)
    names = tuple(sorted(world.by_symbol))
    job = job_of(world, Memory(world.by_symbol), names, MOVERS.replace("daily = adv(2) > 1_000.0", "daily = None"))
    first, last = job.session_range.rows.tolist()
    plan = job.scans[0].plan()
    found = [hits.symbols for hits in outcome(plan, [ScanShard(job).session(last, {})]).hits]
    symbol = next(name for hits in found for name in hits)
    opens, closes = world.bars.sessions.open_ns[first - 1], world.bars.sessions.close_ns[first - 1]
    bad = {**world.by_symbol}
    bad[symbol] = [replace_close(b, -1.0) if opens <= b.start_ns < closes else b for b in bad[symbol]]
    shard = ScanShard(replace(job, reader=Memory(bad)))
    for row in (first, last):
        parts = shard.session(row, {})
        assert symbol in parts.faults
        assert all(symbol not in hits.symbols for hits in outcome(plan, [parts]).hits)


def test_a_daily_bar_that_is_wrong_later_costs_nothing_before() -> None:
    world = universe(3, symbols=12)
    names = tuple(sorted(world.by_symbol))
    sessions, last = world.bars.sessions, world.bars.row
    days = {
        name: [Bar(int(sessions.open_ns[row]), 10.0, 11.0, 9.0, 10.0, 1e6) for row in range(last - SESSIONS_BACK, last)]
        for name in names
    }
    job = job_of(world, Memory(world.by_symbol), names, MOVERS, sessions=2)
    first = job.session_range.rows.tolist()[0]
    span = replace(job.session_range, daily={row: row - 3 for row in (first, last)})
    days["S00"] = [replace_close(b, -1.0) if b.start_ns == sessions.open_ns[first] else b for b in days["S00"]]
    shard = ScanShard(replace(job, session_range=span, daily=Memory(days)))
    assert "S00" in shard.daily(first).parts["Movers"].symbols
    assert "S00" not in shard.daily(first).faults
    assert "S00" in shard.daily(last).faults


def test_a_session_that_volumes_are_not_compared_with_is_told_wherever_it_counts() -> None:
    world = universe(3, symbols=12)
    text = MOVERS.replace("daily = adv(2) > 1_000.0", "daily = None").replace('& (col("RSI(14)@15m") > 40)', "")
    job = job_of(world, Memory(world.by_symbol), tuple(sorted(world.by_symbol)), text)
    first, last = job.session_range.rows.tolist()
    job = replace(job, session_range=replace(job.session_range, history={first: first, last: last}))
    sessions = world.bars.sessions
    symbol = next(s for s, bars in world.by_symbol.items() if len(bars) > 400)
    opens, closes = sessions.open_ns[first - 2], sessions.close_ns[first - 2]
    bad = {**world.by_symbol}
    bad[symbol] = [replace_close(b, -1.0) if opens <= b.start_ns < closes else b for b in bad[symbol]]
    shard = ScanShard(replace(job, reader=Memory(bad)))
    for row in (first, last):
        told_of = shard.session(row, {})
        assert symbol not in told_of.faults
        assert [(hole.symbol, hole.day) for hole in told_of.holes] == [(symbol, sessions.dates[first - 2].item())]
        assert told_of.holes[0].reason.code
        assert not ScanShard(job).session(row, {}).holes


@pytest.mark.parametrize("stage", ["where", "daily"])
def test_an_indicator_of_days_is_made_of_minutes_where_a_full_symbol_has_them(stage: str) -> None:
    world = universe(3, symbols=12)
    names, sessions, last = tuple(sorted(world.by_symbol)), world.bars.sessions, world.bars.row
    days = {
        name: [Bar(int(sessions.open_ns[row]), 10.0, 11.0, 9.0, 10.0 + row / 64, 1e6) for row in range(1, last)]
        for name in names
    }
    condition = 'col("SMA(4)@1d") > 0'
    text = MOVERS.replace("adv(2) > 1_000.0", condition if stage == "daily" else "None")
    text = text.replace("relative_volume(3)\n", 'col("SMA(4)@1d")\n').replace(
        "(gap() > -0.05) & (relative_volume(3) > 0.5)", "(close(1) > 0)"
    )
    text = text.replace('(col("RSI(14)@15m") > 40)', f"({condition})")
    job = job_of(world, Memory(world.by_symbol), names, text, sessions=1)
    first = last - 2
    span = replace(job.session_range, history={last: first}, daily={last: last - SESSIONS_BACK})
    shard = ScanShard(replace(job, session_range=span, daily=Memory(days)))
    checked = 0
    for hits in outcome(job.scans[0].plan(), [shard.session(last, {})]).hits[::6]:  # to the close, when the day has one
        for symbol, score in zip(hits.symbols, hits.scores.tolist(), strict=True):
            minutes = [bar for bar in world.by_symbol[symbol] if bar.start_ns >= sessions.open_ns[first]]
            base = lay_on_sessions(Bars.of(minutes), FIVE, sessions, last, symbol=symbol, source="test")
            given_days = lay_daily(Bars.of(days[symbol]), sessions, last, symbol=symbol, source="test")
            series = derive_beside(base, between(given_days, 0, first), DAY, sessions, last)
            values = compute(parse_indicator("SMA(4)@1d"), series).values["real"]
            assert score == values[series.closed_by(hits.at_ns) - 1]
            assert hits.of(symbol)["close(1)"] == days[symbol][-1].close  # the words of a day are of the source alone
            checked += 1
    assert checked > 20


@pytest.mark.long
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_scans_that_look_at_the_same_compute_it_once_and_find_what_each_finds_alone(seed: int) -> None:
    world = universe(seed, symbols=9)
    names = tuple(sorted(world.by_symbol))
    other = MOVERS.replace("Movers", "Others").replace("gap() > -0.05", "change() > -0.2")
    rare = MOVERS.replace("Movers", "Rare").replace('since="10:00"', 'since="11:00"')
    plans = [ScanSource(None, ScanCode("scan.py", text)) for text in (MOVERS, other, rare)]
    job = replace(job_of(world, Memory(world.by_symbol), names, MOVERS, sessions=1), scans=tuple(plans))
    [row] = job.session_range.rows.tolist()
    asked: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as patched:

        def noted(spec, series, wanted=None):  # type: ignore[no-untyped-def]
            asked.extend((spec.key, series.symbols[i]) for i in wanted.tolist())
            return compute_universe(spec, series, wanted)

        patched.setattr(local, "compute_universe", noted)
        together = ScanShard(job).session(row, {})
    assert not together.failures
    assert len(asked) == len(set(asked))
    for source in plans:
        alone = ScanShard(replace(job, scans=(source,))).session(row, {})
        assert told(outcome(source.plan(), [together])) == told(outcome(source.plan(), [alone]))
