"""Daily bars for history beside minutes, from real files: Step 0, sessions, backtests and sweeps as with minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import barray
from barray.actors.loading import load_range
from barray.coordinator.config.file import parse_config
from barray.coordinator.day import Day
from barray.coordinator.prepare import PreparedRun, prepare_run
from barray.data_sources.alpaca.vendor import AlpacaAccount
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.schwab.vendor import SchwabAccount
from barray.local.connection import load_calendar
from barray.market.clock import SimulatedClock
from barray.market.commands import Failed, Load, TakeSnapshot
from barray.market.errors import BarrayError, ConfigError, NoDataError
from barray.market.interval import DAY, Interval
from barray.market.symbol_session import SymbolSession
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.symbol_run import LoadedRange, run_range
from barray.trading.strategy.source import StrategySource
from barray.trading.sweeps.evaluate import evaluate_sets
from tests.daily_trees import STRATEGY, WINDOWS, Trees, write_trees
from tests.market.builders import run
from tests.trading.windows import Floor

DAYS_ALONE = """
import numpy as np
from barray import Signals, Strategy


class Days(Strategy):
    interval = "1d"

    def indicators(self):
        return {"fast": "SMA(2)", "slow": "SMA(3)"}

    def on_bar(self, ctx):
        up = ctx.indicators["fast"][-1] > ctx.indicators["slow"][-1]
        if up and not ctx.position:
            ctx.buy(10)
        elif not up and ctx.position:
            ctx.sell(10)

    def signals(self, data):
        up = data.indicators["fast"] > data.indicators["slow"]
        return Signals(up, ~up, size=10)
"""
TREND = StrategySource("trend.py", STRATEGY, None)
PRICES = ("open", "high", "low", "close")
AROUND = StrategySource("around.py", WINDOWS, None)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    return write_trees(tmp_path_factory.mktemp("trees"), "AAPL", "MSFT")


def prepared(trees: Trees, *, daily: bool, **changes: Any) -> PreparedRun:
    return prepare_run(parse_config(trees.config(daily=daily, **changes)), load_calendar, TREND)


def loaded(run: PreparedRun, symbol: str = "AAPL") -> LoadedRange:
    manager = run.config.data_manager
    found = manager.validate_range([symbol], run.requirements, run.session_range)[symbol]
    assert found.whole, found
    assert found.result.base_interval is not None
    reader, base = manager.reader(found), found.result.base_interval
    return load_range(LoadRange(symbol, run.session_range, reader, base, {}, manager.daily))


def test_step_0_asks_for_days_and_for_the_minutes_that_minutes_need(trees: Trees) -> None:
    whole, split = prepared(trees, daily=False), prepared(trees, daily=True)
    manager = whole.config.data_manager
    assert manager.validate_range(["AAPL"], whole.requirements, whole.session_range)["AAPL"].whole
    few = replace(manager, sources=split.config.data_manager.sources)
    result = few.validate_range(["AAPL"], whole.requirements, whole.session_range)["AAPL"].result
    assert "trailing sessions" in result.reason
    assert not result.can_proceed
    for row in split.session_range.rows.tolist():
        context = split.session_range.context(row)
        found = split.config.data_manager.validate(["AAPL"], split.requirements, context)["AAPL"]
        assert found.can_proceed, found.reason
        assert (found.data_source, found.daily_source, str(found.base_interval)) == ("minutes", "days", "1m")
        assert found.historical_date_range == (context.history_dates[0], context.history_dates[-1])
        assert found.daily_date_range == (context.daily_dates[0], context.daily_dates[-1])
        assert found.sources_asked == ("minutes",)


def test_a_missing_day_names_the_source_the_day_and_what_mends_it(trees: Trees, tmp_path: Path) -> None:
    run = prepared(trees, daily=True)
    gone = run.session_range.context(int(run.session_range.rows[0])).daily_dates[3]
    (tmp_path / "AAPL/1d").mkdir(parents=True)
    for file in (trees.days / "AAPL/1d").iterdir():
        if file.stem != gone.isoformat():
            (tmp_path / "AAPL/1d" / file.name).symlink_to(file)
    sources = [{"name": "minutes", "root": str(trees.minutes)}, {"name": "days", "root": str(tmp_path)}]
    lacking = prepared(trees, daily=True, sources=sources)
    manager, context = lacking.config.data_manager, lacking.session_range.context(int(lacking.session_range.rows[0]))
    result = manager.validate(["AAPL"], lacking.requirements, context)["AAPL"]
    [reason] = result.reasons
    assert (reason.code, reason.source) == ("no_daily_history", "days")
    assert f"lacks the daily bars of 1 of the {len(context.daily_dates)} sessions" in reason.message
    assert str(gone) in reason.message
    assert "history.daily" in reason.remedy
    assert result.has_historical_data
    found = manager.validate_range(["AAPL", "NOPE"], lacking.requirements, lacking.session_range)
    assert {reasons[0].code for reasons in found["AAPL"].skipped.values()} == {"no_daily_history"}
    assert found["NOPE"].result.reasons[0].code == "no_data_source"
    allowed = prepared(trees, daily=True, sources=sources, history={"max_missing_days": 1})
    assert loaded(allowed).daily is not None


@pytest.mark.long
def test_a_day_that_only_the_first_session_needs_costs_that_session(trees: Trees, tmp_path: Path) -> None:
    run = prepared(trees, daily=True, history={"daily_days": 15})
    first = run.session_range.dates[0]
    (tmp_path / "AAPL/1d").mkdir(parents=True)
    oldest = run.session_range.daily_sessions.dates[0].item()
    for file in (trees.days / "AAPL/1d").iterdir():
        if file.stem > oldest.isoformat():
            (tmp_path / "AAPL/1d" / file.name).symlink_to(file)
    sources = [{"name": "minutes", "root": str(trees.minutes)}, {"name": "days", "root": str(tmp_path)}]
    run = prepared(trees, daily=True, history={"daily_days": 15}, sources=sources)
    starts = {run.session_range.daily[row] for row in run.session_range.rows.tolist()}
    found = run.config.data_manager.validate_range(["AAPL"], run.requirements, run.session_range)["AAPL"]
    assert found.result.can_proceed
    needing = [
        day
        for row, day in zip(run.session_range.rows.tolist(), run.session_range.dates, strict=True)
        if run.session_range.daily[row] == min(starts)
    ]
    assert first in needing
    assert list(found.skipped) == needing
    manager = run.config.data_manager
    command = LoadRange("AAPL", run.session_range, manager.reader(found), Interval.parse("1m"), {}, manager.daily)
    assert len(needing) < len(run.session_range.rows)
    assert list(load_range(command).skipped) == [day.isoformat() for day in needing]


def test_a_session_without_minutes_in_the_range_has_its_day(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "AAPL/1m").mkdir(parents=True)
    for file in (trees.minutes / "AAPL/1m").iterdir():
        if file.stem != "2024-06-27":
            (tmp_path / "AAPL/1m" / file.name).symlink_to(file)
    sources = [{"name": "minutes", "root": str(tmp_path)}, {"name": "days", "root": str(trees.days)}]
    session = {"start": "2024-06-26", "end": "2024-07-03"}
    history = {"trailing_days": 0}
    run = prepare_run(
        parse_config(trees.config(daily=True, sources=sources, session=session, history=history)),
        load_calendar,
        StrategySource("days.py", DAYS_ALONE, None),
    )
    manager = run.config.data_manager
    found = manager.validate_range(["AAPL"], run.requirements, run.session_range)["AAPL"]
    assert [day.isoformat() for day in found.skipped] == ["2024-06-27"]
    skipped = dict.fromkeys(found.skipped, "no minutes")
    command = LoadRange("AAPL", run.session_range, manager.reader(found), Interval.parse("1m"), skipped, manager.daily)
    days = load_range(command).prepare(run.plan.strategy()).series[DAY]
    whole = loaded(prepared(trees, daily=False, session=session)).prepare(TREND.load()()).series[DAY]
    assert days.bars.equals(whole.bars.take(slice(len(whole) - len(days), None)))
    assert days.actual[-5] == 1  # the 27th, as it was given


def test_a_daily_source_that_cannot_be_asked_is_told_with_its_reason(trees: Trees, tmp_path: Path) -> None:
    sources = [{"name": "minutes", "root": str(trees.minutes)}, {"name": "days", "root": str(tmp_path / "none")}]
    run = prepared(trees, daily=True, sources=sources)
    context = run.session_range.context(int(run.session_range.rows[0]))
    result = run.config.data_manager.validate(["AAPL"], run.requirements, context)["AAPL"]
    assert [(reason.code, reason.source) for reason in result.reasons] == [("source_unavailable", "days")]


@pytest.mark.long
@pytest.mark.parametrize("damage", ["bytes", "negative", "jump", "gone"])
def test_daily_bars_that_are_no_good_are_laid_to_their_source_and_no_other_is_asked(
    trees: Trees, tmp_path: Path, damage: str
) -> None:
    run = prepared(trees, daily=True)
    (tmp_path / "AAPL/1d").mkdir(parents=True)
    for file in (trees.days / "AAPL/1d").iterdir():
        (tmp_path / "AAPL/1d" / file.name).symlink_to(file)
    context = run.session_range.context(int(run.session_range.rows[-1]))
    path = tmp_path / "AAPL/1d" / f"{context.daily_dates[3]}.parquet"
    table = pq.read_table(path)
    path.unlink()
    if damage == "bytes":
        path.write_bytes(b"PAR1 none PAR1")
    else:
        times = {"negative": -1.0, "jump": 40.0, "gone": 1.0}[damage]
        columns = [pc.multiply(table[name], times) if name in PRICES else table[name] for name in table.column_names]
        changed = pa.table(dict(zip(table.column_names, columns, strict=True)))
        pq.write_table(changed.slice(0, 0) if damage == "gone" else changed, path)
    sources = [{"name": name, "root": str(trees.minutes)} for name in ("minutes", "more")]
    sources += [{"name": "days", "root": str(tmp_path)}]
    asked = prepared(trees, daily=True, sources=sources, validation={"on_jump": "refuse"})
    manager, minute = asked.config.data_manager, Interval.parse("1m")
    reader = manager.source("minutes")
    command = LoadRange("AAPL", asked.session_range, reader, minute, {}, manager.daily, frozenset())
    with pytest.raises(BarrayError) as failed:
        load_range(command)
    assert failed.value.source == "days"
    context = replace(asked.session_range.context(context.row), max_missing_days=0)
    load = Load(context, reader, minute, (minute,), (), "config", context.open_ns, daily=manager.daily)
    with pytest.raises(BarrayError) as refused:
        SymbolSession("AAPL").apply(load, *load.read("AAPL"))
    day = Day(context, SimulatedClock(context.open_ns), [], manager)
    assert day.pass_over({"AAPL": (load, Failed(refused.value))}) == ()
    assert day.pass_over({"AAPL": (load, Failed(NoDataError("no bars", source="minutes")))}) == ("AAPL",)


def test_one_tree_may_have_both(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "AAPL").mkdir()
    (tmp_path / "AAPL/1m").symlink_to(trees.minutes / "AAPL/1m")
    (tmp_path / "AAPL/1d").symlink_to(trees.days / "AAPL/1d")
    run = prepared(trees, daily=True, sources=[{"name": "days", "root": str(tmp_path)}])
    same_values(loaded(run), loaded(prepared(trees, daily=False)), run)


def same_values(split: LoadedRange, whole: LoadedRange, run: PreparedRun) -> None:
    """In every session that is traded the same values are known."""
    mine, theirs = split.prepare(run.plan.strategy()), whole.prepare(run.plan.strategy())
    for interval, series in theirs.series.items():
        if not interval.is_intraday:
            assert mine.series[interval].bars.equals(series.bars), interval
            assert np.array_equal(mine.series[interval].end_ns, series.end_ns)
    for name, values in mine.indicators.items():
        spec = mine.specs[name]
        bars, other = mine.series[spec.interval], theirs.series[spec.interval]
        if not spec.interval.is_intraday:
            assert np.array_equal(values, theirs.indicators[name], equal_nan=True), name
        rows = np.flatnonzero(np.isin(bars.session, split.traded))
        at = np.searchsorted(other.bars.start_ns, bars.bars.start_ns[rows])
        np.testing.assert_allclose(values[rows], theirs.indicators[name][at], rtol=1e-12, err_msg=name)
        assert not np.isnan(values).all(), name


@pytest.mark.long
@pytest.mark.parametrize("symbol", ["AAPL", "MSFT"])
def test_a_backtest_trades_as_with_minutes_throughout(trees: Trees, symbol: str) -> None:
    whole, split = prepared(trees, daily=False), prepared(trees, daily=True)
    bars, more = loaded(split, symbol), loaded(whole, symbol)
    assert len(bars.base) < len(more.base) / 3
    same_values(bars, more, split)
    results = [
        run_range(one, split.plan, run.session_range.grid(one.base.interval)[0])
        for one, run in ((bars, split), (more, whole))
    ]
    assert [result.error for result in results] == [None, None]
    assert len(results[0].fills) > 2
    for column in ("bar_ns", "quantity", "price"):
        assert np.array_equal(getattr(results[0].fills, column), getattr(results[1].fills, column))
    lineage = results[0].daily
    assert lineage is not None
    assert (lineage.source, str(lineage.interval), lineage.bars) == ("days", "1d", len(bars.daily.bars))  # type: ignore[union-attr]
    assert results[1].daily is None
    assert results[0].warnings == ()


@pytest.mark.long
@pytest.mark.parametrize("form", ["on_bar", "signals"])
def test_decisions_once_a_day_are_those_with_minutes_throughout(trees: Trees, form: str) -> None:
    code = StrategySource("days.py", DAYS_ALONE, None)
    results = []
    for daily in (True, False):
        settings = trees.config(daily=daily, history={"trailing_days": 0 if daily else 12}, intervals=["1d"])
        settings["history"] |= {"daily_days": 12} if daily else {}
        settings["session"] = {"start": "2024-06-26", "end": "2024-07-03"}
        run = prepare_run(parse_config(settings), load_calendar, code)
        one = loaded(run)
        assert len(run.session_range.loaded) == (6 if daily else 18)
        assert (one.base.history == 0) is daily
        results.append(run_range(one, replace(run.plan, form=form), run.session_range.grid(one.base.interval)[0]))
    mine, theirs = results
    assert (mine.error, theirs.error) == (None, None)
    assert len(mine.fills) > 0
    assert np.array_equal(mine.fills.bar_ns, theirs.fills.bar_ns)
    assert np.array_equal(mine.fills.price, theirs.fills.price)
    assert np.array_equal(mine.equity, theirs.equity)


@pytest.mark.long
def test_windows_and_sweeps_see_the_same(trees: Trees) -> None:
    whole, split = prepared(trees, daily=False), prepared(trees, daily=True)
    bars, more = loaded(split), loaded(whole)
    floors = [Floor(replace(split.plan, shared=True), {"AAPL": one}).run()["AAPL"] for one in (bars, more)]
    assert len(floors[0].fills) > 2
    assert np.array_equal(floors[0].fills.price, floors[1].fills.price)
    sets = [{"days": days} for days in (3, 7, 12)]
    tables = [evaluate_sets(one, split.plan, sets) for one in (bars, more)]
    assert np.array_equal(tables[0].pnl, tables[1].pnl)
    assert tables[0].n_trades.sum() > 2
    assert tables[0].errors == (None, None, None)
    changed = replace(bars, daily=replace(bars.daily, base_row=0))  # type: ignore[type-var]
    assert changed.digest == bars.digest != more.digest
    other = replace(bars, daily=replace(bars.daily, every=bars.daily.every.take(slice(1, None))))  # type: ignore[union-attr, type-var]
    assert other.digest != bars.digest


@pytest.mark.long
@pytest.mark.parametrize("pickled", [False, True])
def test_a_strategy_over_all_symbols_looks_back_on_the_days(trees: Trees, pickled: bool) -> None:
    """Days and weeks, their indicators, and such as it adds: all of them as with minutes throughout."""
    floors = []
    for daily in (True, False):
        settings = trees.config(
            daily=daily, history={"trailing_days": 0, "daily_days": 12} if daily else {"trailing_days": 12}
        )
        run = prepare_run(parse_config(settings), load_calendar, AROUND)
        parts = {symbol: loaded(run, symbol) for symbol in ("AAPL", "MSFT")}
        plan = replace(run.plan, form="on_window", shared=True)
        guest = {"MSFT": loaded(replace(run, session_range=run.session_range.at(run.session_range.rows[1:2])), "MSFT")}
        floor = Floor(plan, {"AAPL": parts["AAPL"]}, Interval.parse("30m"), guest, pickled)
        floors.append((floor, floor.run()))
        assert floor.portfolio.error is None, floor.portfolio.error
    (mine, found), (theirs, true) = floors
    assert len(mine.said) == 13 + 13 + 7
    assert "nan" not in " ".join(line.text for line in mine.said[1:]).replace("added nan", "")
    assert [line.text for line in mine.said] == [line.text for line in theirs.said]
    for symbol, lineage in {"AAPL": found["AAPL"].daily, "MSFT": found["MSFT"].daily}.items():
        assert lineage is not None
        assert (lineage.source, str(lineage.interval)) == ("days", "1d")
        assert len(found[symbol].fills) > 0
        assert np.array_equal(found[symbol].fills.price, true[symbol].fills.price)
        assert true[symbol].daily is None


@pytest.mark.long
def test_a_session_alone_knows_what_the_backtest_knew(trees: Trees) -> None:
    split = prepared(trees, daily=True)
    data = loaded(split).prepare(split.plan.strategy())
    manager, wanted = split.config.data_manager, split.requirements
    for row in split.session_range.rows.tolist():
        context = split.session_range.context(row)
        what = (context, manager.sources[0], Interval.parse("1m"), wanted.all_intervals, wanted.indicators)
        command = Load(*what, "config", context.open_ns, daily=manager.daily)
        found = run(SymbolSession("AAPL"), command, TakeSnapshot(context.close_ns)).snapshot()
        for name, spec in data.specs.items():
            series, own = data.series[spec.interval], found.bars[str(spec.interval)]
            at = int(np.flatnonzero(series.end_ns == own.end_ns[-1])[0])
            last = found.indicators[spec.key].values["real"][-1]
            if own.end_ns[-1] < context.close_ns:
                continue  # known since an earlier session, whose history began elsewhere
            assert not np.isnan(last)
            assert data.indicators[name][at] == pytest.approx(last, rel=1e-12), (name, row)
            assert spec.name != "EMA" or data.indicators[name][at] == last


def test_vendors_of_another_adjustment_are_refused(trees: Trees, tmp_path: Path) -> None:
    run = prepared(trees, daily=True)
    minutes = VendorSource("alpaca", AlpacaAccount(adjustment="raw"), str(tmp_path), 2**62)
    days = VendorSource("schwab", SchwabAccount("token.json"), str(tmp_path), 2**62)
    manager = replace(run.config.data_manager, sources=(minutes,), daily=days)
    context = run.session_range.context(int(run.session_range.rows[0]))
    result = manager.validate(["AAPL"], run.requirements, context)["AAPL"]
    assert result.reasons[0].code == "mixed_sources"
    assert "alpaca" in result.reasons[0].message
    assert "while schwab with" in result.reasons[0].message


@pytest.mark.parametrize(
    ("history", "place"), [({"daily": "none"}, "history.daily is 'none'"), ({"daily_days": 3}, "history.daily_days")]
)
def test_a_config_that_cannot_be_meant_says_so(trees: Trees, history: dict[str, Any], place: str) -> None:
    settings = trees.config(daily=False)
    with pytest.raises(ConfigError, match=place):
        parse_config(settings | {"intervals": ["1m"], "history": history})


def test_more_days_than_indicators_need_can_be_asked_for(trees: Trees) -> None:
    run = prepared(trees, daily=True, history={"daily_days": 15})
    assert run.session_range.dates[0] == date(2024, 7, 1)
    context = run.session_range.context(int(run.session_range.rows[0]))
    assert len(context.daily_dates) + len(context.history_dates) >= 15
    assert len(context.history_dates) == 1


@pytest.mark.long
def test_checks_of_a_strategy_have_the_days_too(trees: Trees, tmp_path: Path) -> None:
    """Warm-up is compared with more of both, as far as it lies in the sources."""
    (tmp_path / "trend.py").write_text(STRATEGY)
    config = trees.config(daily=True, symbols=["AAPL"], strategy={"path": str(tmp_path / "trend.py")})
    [ahead] = barray.lookahead(config=config, cuts=20)
    assert (ahead.error, ahead.differences) == (None, ())
    assert ahead.tried > 0
    [warm] = barray.warmup(config=config)
    assert [effect.sessions for effect in warm.more] == [2, 3]  # minutes go back no further
    assert {one.key for one in warm.indicators} == {"SMA(12)@1d", "EMA(4)@1d", "EMA(2)@1w", "SMA(20)@1m"}
    assert next(one.difference for one in warm.indicators if one.key == "EMA(4)@1d") > 0  # with more days before
