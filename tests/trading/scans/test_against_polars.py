"""The same scan in plain Polars finds the same, over random universes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar
from barray.market.validation import Reason
from barray.trading.scans.evaluate import evaluate
from barray.trading.scans.keeping import top
from barray.trading.scans.language import adv, close, col, gap, relative_volume, session_high, vwap
from barray.trading.scans.plan import make_plan
from barray.trading.scans.scan import Scan
from barray.trading.scans.shard import ScanShard
from barray.trading.scans.times import every
from tests.trading.scans.test_shard import Memory, job_of, outcome
from tests.trading.scans.universes import (
    AFTER_HALF_DAY,
    BEFORE_HALF_DAY,
    FIVE_MINUTES,
    HALF_DAY,
    SESSIONS_BACK,
    Universe,
    universe,
)  # fmt: skip


class Scanned(Scan):
    daily = (adv(2) > 2_000.0) & (close(1) > 3)
    at = every("45m")
    where = (gap() > -0.03) & (relative_volume(3) > 0.6) & (col("RSI(14)@15m") > 45) & (session_high() > vwap() * 1.001)
    rank = relative_volume(3)
    keep = top(10)


def frame(world: Universe) -> pl.DataFrame:
    """A row a bar, with the number of its session, the time since that session's open at its end, and that time."""
    sessions = world.bars.sessions
    rows = [
        (symbol, bar.start_ns, bar.open, bar.high, bar.low, bar.close, bar.volume)
        for symbol, bars in world.by_symbol.items()
        for bar in bars
    ]
    schema = {"symbol": pl.String, "start": pl.Int64} | dict.fromkeys(
        ("open", "high", "low", "close", "volume"), pl.Float64
    )
    opens = pl.DataFrame({"opens": sessions.open_ns, "closes": sessions.close_ns, "session": np.arange(len(sessions))})
    laid = pl.DataFrame(rows, schema, orient="row").sort("start").join_asof(opens, left_on="start", right_on="opens")
    laid = laid.with_columns(end=pl.min_horizontal(pl.col("start") + FIVE_MINUTES, "closes"))
    return laid.with_columns(elapsed=pl.col("end") - pl.col("opens")).sort("symbol", "start")


def rsi(series: pl.Series) -> float | None:
    values = series.to_numpy()
    return float(talib.RSI(values, 14)[-1]) if len(values) > 14 else None


def found_by_polars(world: Universe, laid: pl.DataFrame, now_ns: int) -> pl.DataFrame:
    row, elapsed = world.bars.row, now_ns - world.open_ns
    by = "symbol"
    known = laid.filter(pl.col("end") <= now_ns)
    today = known.filter(pl.col("session") == row).group_by(by, maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("volume").sum(),
        paid=((pl.col("high") + pl.col("low") + pl.col("close")) / 3 * pl.col("volume")).sum(),
    )  # fmt: skip
    days = laid.filter(pl.col("session") < row).group_by(by, "session", maintain_order=True).agg(
        pl.col("close").last(), pl.col("volume").sum()
    ).with_columns(dollars=pl.col("close") * pl.col("volume"))  # fmt: skip
    before = days.group_by(by, maintain_order=True).agg(
        last=pl.col("close").last(), adv=pl.col("dollars").tail(2).mean(), days=pl.len()
    )
    usual = laid.filter(pl.col("session").is_between(row - 3, row - 1), pl.col("elapsed") <= elapsed)
    usual = usual.group_by(by, "session").agg(pl.col("volume").sum()).group_by(by).agg(usual=pl.col("volume").mean())
    bucket = (pl.col("start") - pl.col("opens")) // (3 * FIVE_MINUTES)
    whole = pl.min_horizontal(pl.col("opens") + (bucket + 1) * 3 * FIVE_MINUTES, "closes") <= now_ns
    quarters = known.filter(whole).group_by(by, "session", bucket.alias("bucket"), maintain_order=True)
    strength = quarters.agg(pl.col("close").last()).group_by(by, maintain_order=True).agg(
        rsi=pl.col("close").map_batches(rsi, return_dtype=pl.Float64, returns_scalar=True)
    )  # fmt: skip
    joined = today.join(before, on=by).join(usual, on=by).join(strength, on=by)
    joined = joined.with_columns(gap=pl.col("open") / pl.col("last") - 1, rv=pl.col("volume") / pl.col("usual"))
    passing = joined.filter(
        pl.col("days") >= 2, pl.col("adv") > 2_000.0, pl.col("last") > 3, pl.col("gap") > -0.03,
        pl.col("usual") > 0, pl.col("rv") > 0.6, pl.col("rsi") > 45,
        pl.col("volume") > 0, pl.col("high") > pl.col("paid") / pl.col("volume") * 1.001,
    )  # fmt: skip
    return passing.sort(["rv", by], descending=[True, False])


@pytest.mark.long
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([BEFORE_HALF_DAY, HALF_DAY, AFTER_HALF_DAY]))
def test_polars_finds_the_same_symbols_with_the_same_values(seed: int, day: date) -> None:
    world = universe(seed, day, symbols=40)
    laid, plan = frame(world), make_plan(Scanned())
    session = evaluate(plan, world.bars)
    assert session.failure is None
    for hits in session.hits:
        wanted = found_by_polars(world, laid, hits.at_ns)
        assert list(hits.symbols) == wanted["symbol"].to_list()
        for name, column in {"relative_volume(3)": "rv", "gap()": "gap", "RSI(14)@15m": "rsi", "adv(2)": "adv"}.items():
            assert hits.values[name].tolist() == pytest.approx(wanted[column].to_list(), rel=1e-9, abs=1e-12)


TEXT = """
from barray.scans import *

class Scanned(Scan):
    daily = (adv(2) > 2_000.0) & (close(1) > 3)
    at = every("45m")
    where = (gap() > -0.03) & (relative_volume(3) > 0.6) & (col("RSI(14)@15m") > 45) & (session_high() > vwap() * 1.001)
    rank = relative_volume(3)
    keep = top(10)
"""


@pytest.mark.long
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([BEFORE_HALF_DAY, HALF_DAY, AFTER_HALF_DAY]), st.integers(1, 3))
def test_so_it_does_among_broken_files_and_bars_that_cannot_be_right(seed: int, day: date, shares: int) -> None:
    world, rng = universe(seed, day, symbols=40), np.random.default_rng(seed)
    names = sorted(world.by_symbol)
    unreadable, wrong = (set(part) for part in np.split(rng.permutation(names)[:8], 2))
    bad = {**world.by_symbol}
    for symbol in wrong:
        bad[symbol] = [
            *bad[symbol][:-1],
            *(Bar(b.start_ns, b.open, b.high, b.low, -1.0, b.volume) for b in bad[symbol][-1:]),
        ]
    reason = Reason("corrupt", "is no Parquet file", "write it anew", "memory")
    read = Memory(bad, broken=dict.fromkeys(unreadable, reason))
    row = world.bars.row
    parts, plan = [], make_plan(Scanned())
    for own in np.array_split(np.array(names, object), shares):
        job = job_of(world, read, tuple(own.tolist()), TEXT, sessions=1)
        span = replace(job.session_range, history={row: row - SESSIONS_BACK})
        parts.append(ScanShard(replace(job, session_range=span)).session(row, {}))
    faults = {symbol for one in parts for symbol in one.faults}
    told = {s for s in wrong if bad[s]}  # some have no bars at all
    assert unreadable <= faults <= unreadable | told
    good = {symbol: bars for symbol, bars in world.by_symbol.items() if symbol not in unreadable | wrong}
    laid = frame(replace(world, by_symbol=good))
    for hits in outcome(plan, parts).hits:
        wanted = found_by_polars(world, laid, hits.at_ns)
        assert [one for one in hits.symbols if one not in wrong] == wanted["symbol"].to_list()
        assert not faults.intersection(hits.symbols)
        rows = [i for i, one in enumerate(hits.symbols) if one not in wrong]
        for name, column in {"relative_volume(3)": "rv", "gap()": "gap", "RSI(14)@15m": "rsi", "adv(2)": "adv"}.items():
            found = hits.values[name][rows].tolist()
            assert found == pytest.approx(wanted[column].to_list(), rel=1e-9, abs=1e-12)


def test_the_random_universes_have_all_that_a_market_has() -> None:
    whole = holes = new = dead = silent = paused = 0
    for seed in range(8):
        world = universe(seed, HALF_DAY, symbols=40)
        sessions, row = world.bars.sessions, world.bars.row
        assert sessions.close_ns[row] - sessions.open_ns[row] < sessions.close_ns[row - 1] - sessions.open_ns[row - 1]
        for bars in world.by_symbol.values():
            rows = np.searchsorted(sessions.open_ns, [bar.start_ns for bar in bars], side="right") - 1
            days = set(rows.tolist())
            every = range(row - SESSIONS_BACK, row + 1)
            silent += not days
            new += bool(days) and min(days) > every[0]
            dead += bool(days) and max(days) < row
            holes += bool(days) and any(number not in days for number in range(min(days), max(days)))
            steps = (
                np.diff([bar.start_ns for bar in bars])[np.diff(rows) == 0] // FIVE_MINUTES if bars else np.array([1])
            )
            paused += bool((steps > 20).any())
            whole += len(days) == len(every) and bool((steps == 1).all())
    assert min(whole, holes, new, dead, silent, paused) > 0
