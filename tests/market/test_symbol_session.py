"""One symbol's state machine: what moves it, what it refuses, and what a refusal leaves unchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from barray.market.bars import Bar, Bars
from barray.market.commands import (
    Accepted,
    AddAdhocBar,
    AddAdhocIndicator,
    AppendBars,
    Command,
    Loaded,
    Provision,
    Provisioned,
    Rejected,
    SnapshotTaken,
    TakeSnapshot,
)
from barray.market.errors import DataError, IllegalTransition, NoDataError
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.symbol_data import metadata_problems
from barray.market.symbol_session import SymbolSession, SymbolState
from tests.market.builders import (
    MINUTE_NS,
    assert_same_snapshot,
    context_for,
    flat,
    load_command,
    require,
    run,
    session_walk,
    utc_ns,
    with_bar,
)

WANTED = require("1m", "5m", specs=("SMA(3)@5m",), trailing_days=1)
CONTEXT = context_for(WANTED)  # Wednesday 5 June 2024, with Tuesday as history
BARS = session_walk(CONTEXT)
OPEN = utc_ns("2024-06-05T13:30")
TEN = utc_ns("2024-06-05T14:00")
ONE_MINUTE, FIVE_MINUTES = Interval.parse("1m"), Interval.parse("5m")


def load(at_ns: int = OPEN, added_by: str = "config", bars: Bars = BARS):
    return load_command(WANTED, CONTEXT, bars, added_by=added_by, at_ns=at_ns)


def provision(at_ns: int = TEN, reason: str = "bar_addition") -> Provision:
    return Provision(CONTEXT, reason, at_ns)


def add_bar(bar: Bar, interval: Interval = ONE_MINUTE, at_ns: int = TEN) -> AddAdhocBar:
    return AddAdhocBar(interval, bar, "scanner", at_ns)


def add_indicator(text: str, at_ns: int = TEN) -> AddAdhocIndicator:
    return AddAdhocIndicator(parse_indicator(text), "scanner", at_ns)


def full_at(now_ns: int = TEN, bars: Bars = BARS) -> SymbolSession:
    return run(SymbolSession("TEST"), load(bars=bars), TakeSnapshot(now_ns))


def adhoc_at(now_ns: int = TEN) -> SymbolSession:
    return run(SymbolSession("TEST"), provision(now_ns))


def test_the_state_follows_provision_load_and_upgrade() -> None:
    session = SymbolSession("TEST")
    assert session.state is SymbolState.EMPTY
    assert session.apply(provision()) == Provisioned(new=True)
    assert session.state is SymbolState.ADHOC
    report = session.apply(load(TEN, "scanner"), BARS)
    assert isinstance(report, Loaded)
    assert report.new
    assert session.state is SymbolState.FULL


@pytest.mark.parametrize(
    "command", [AppendBars(BARS, OPEN, TEN), add_bar(flat(OPEN)), add_indicator("SMA@1m"), TakeSnapshot(TEN)]
)
def test_an_empty_symbol_refuses_everything_but_provision_and_load(command: object) -> None:
    session = SymbolSession("TEST")
    with pytest.raises(IllegalTransition, match=rf"TEST: {type(command).__name__} .* empty"):
        session.apply(command)  # type: ignore[arg-type]
    assert session.state is SymbolState.EMPTY


EARLIER = TEN - MINUTE_NS


@pytest.mark.parametrize(
    "command",
    [
        provision(EARLIER),
        load(EARLIER),
        AppendBars(Bars.of([flat(OPEN)]), EARLIER, EARLIER),
        add_bar(flat(OPEN), at_ns=EARLIER),
        add_indicator("SMA(3)@1m", EARLIER),
        TakeSnapshot(EARLIER),
    ],
    ids=lambda command: type(command).__name__,
)
def test_time_never_goes_back_and_the_attempt_changes_nothing(command: Command) -> None:
    session = full_at(TEN)
    before = session.snapshot()
    with pytest.raises(
        IllegalTransition, match=r"stands at 2024-06-05T14:00:00Z and cannot go back to 2024-06-05T13:59:00Z"
    ):
        session.apply(command)
    assert_same_snapshot(session.snapshot(), before)


def test_time_comes_with_a_command_and_then_what_has_closed_by_then_is_visible() -> None:
    session = run(SymbolSession("TEST"), load())
    for at_ns, visible in ((OPEN, 0), (OPEN + MINUTE_NS - 1, 0), (OPEN + MINUTE_NS, 1), (TEN, 30), (TEN, 30)):
        report = session.apply(TakeSnapshot(at_ns))
        assert isinstance(report, SnapshotTaken)
        assert (report.data.now_ns, report.data.quality["1m"].actual) == (at_ns, visible)
        assert_same_snapshot(session.snapshot(), report.data)
    later = TEN + 10 * MINUTE_NS
    assert session.apply(add_indicator("SMA(3)@1m", later)) == Accepted()
    assert session.snapshot().quality["1m"].actual == 40
    close_ns = CONTEXT.close_ns
    assert isinstance(session.apply(add_indicator("SMA(3)@1m", close_ns)), Rejected), "it has it already"
    assert session.snapshot().quality["1m"].actual == 390


def test_a_snapshot_shows_history_and_what_has_closed() -> None:
    report = full_at(OPEN).apply(TakeSnapshot(utc_ns("2024-06-05T13:37")))
    assert isinstance(report, SnapshotTaken)
    data = report.data
    assert list(data.bars) == ["1m", "5m"]
    assert (len(data.bars["1m"]), data.bars["1m"].history) == (397, 390)
    assert (len(data.bars["5m"]), data.bars["5m"].history) == (79, 78)
    assert data.bars["1m"].bars.equals(BARS.take(slice(0, 397)))
    assert len(data.indicators["SMA(3)@5m"].values["real"]) == 79
    assert (data.quality["5m"].expected, data.quality["5m"].actual) == (1, 1)
    assert (data.history_quality["1m"].expected, data.history_quality["1m"].actual) == (390, 390)


def test_the_indicator_of_the_first_session_bar_uses_the_day_before() -> None:
    data = full_at(utc_ns("2024-06-05T13:35")).snapshot()
    closes = data.bars["5m"].bars.close
    assert closes[-3:].tolist() == [BARS.close[384], BARS.close[389], BARS.close[394]]
    assert data.indicators["SMA(3)@5m"].values["real"][-1] == pytest.approx(closes[-3:].mean(), rel=1e-12)


def test_all_arrays_of_a_snapshot_are_read_only() -> None:
    wanted = require("1m", "5m", specs=("SESSION_VWAP@1m", "SMA(3)@5m", "CDLDOJI@1m", "SMA(500)@5m"))
    session = run(SymbolSession("TEST"), load_command(wanted, context_for(WANTED), BARS), TakeSnapshot(TEN))
    data = session.snapshot()
    arrays = [
        array
        for series in data.bars.values()
        for array in (
            series.bars.start_ns, series.bars.close, series.bars.volume,
            series.end_ns, series.session, series.expected, series.actual,
        )
    ] + [column for indicator in data.indicators.values() for column in indicator.values.values()]  # fmt: skip
    assert len(arrays) == 2 * 7 + 4
    assert not any(array.flags.writeable for array in arrays)


def test_lineage_says_which_bars_were_kept() -> None:
    report = SymbolSession("TEST").apply(load(), BARS)
    assert isinstance(report, Loaded)
    lineage = report.lineage
    assert (lineage.source, str(lineage.interval), lineage.bars) == ("memory", "1m", 780)
    assert (lineage.first_ns, lineage.last_ns) == (utc_ns("2024-06-04T13:30"), utc_ns("2024-06-05T19:59"))


def test_a_second_load_does_nothing_whatever_it_asks_for() -> None:
    session = full_at(TEN)
    before = session.snapshot()
    other = load(TEN, "strategy", bars=session_walk(CONTEXT, seed=9))
    assert not session.needs_bars(other)
    report = session.apply(other, other.reader.bars)
    assert isinstance(report, Loaded)
    assert not report.new
    assert_same_snapshot(session.snapshot(), before)


def test_a_second_provision_does_nothing() -> None:
    session = adhoc_at(TEN)
    before = adhoc_at(TEN).apply(TakeSnapshot(TEN + MINUTE_NS))
    assert isinstance(before, SnapshotTaken)
    assert session.apply(provision(TEN + MINUTE_NS, "indicator_addition")) == Provisioned(new=False)
    assert_same_snapshot(session.snapshot(), before.data)


@pytest.mark.parametrize(
    ("bars", "problem"),
    [
        (with_bar(BARS, 400, high=1.0), "high 1.0 is below"),
        (with_bar(BARS, 400, close=float("nan")), "close is nan"),
        (with_bar(BARS, 400, volume=-1.0), "volume is negative"),
        (with_bar(BARS, 400, start_ns=int(BARS.start_ns[399])), "stands twice"),
        (BARS.take(np.arange(len(BARS))[::-1]), "comes after"),
    ],
)
def test_a_load_of_bad_bars_fails_and_leaves_the_symbol_as_it_was(bars: Bars, problem: str) -> None:
    empty = SymbolSession("TEST")
    with pytest.raises(DataError, match=problem):
        empty.apply(load(bars=bars), bars)
    assert empty.state is SymbolState.EMPTY

    adhoc = run(adhoc_at(TEN), add_bar(flat(OPEN)))
    before = adhoc.snapshot()
    with pytest.raises(DataError, match=problem):
        adhoc.apply(load(TEN, "scanner", bars=bars), bars)
    assert adhoc.state is SymbolState.ADHOC
    assert_same_snapshot(adhoc.snapshot(), before)


def test_a_load_without_a_bar_on_the_session_date_fails_and_leaves_the_symbol_empty() -> None:
    session = SymbolSession("TEST")
    with pytest.raises(NoDataError, match="2024-06-05"):
        session.apply(load(), BARS.take(slice(0, 390)))
    assert session.state is SymbolState.EMPTY


def test_a_config_symbol_carries_the_metadata_of_the_truth_table() -> None:
    data = run(SymbolSession("TEST"), load()).snapshot()
    assert data.metadata_dict() == {
        "meets_session_config_requirements": True,
        "added_by": "config",
        "auto_provisioned": False,
        "added_at": "2024-06-05T13:30:00Z",
        "added_mid_session": False,
        "provisioned_reason": None,
        "upgraded_from_adhoc": False,
    }


def test_a_symbol_added_mid_session_says_so() -> None:
    data = run(SymbolSession("TEST"), load(TEN, "strategy")).snapshot()
    assert (data.added_by, data.added_mid_session) == ("strategy", True)
    assert data.added_at == datetime(2024, 6, 5, 14, 0, tzinfo=UTC)
    assert data.now_ns == TEN


def test_an_adhoc_symbol_carries_the_metadata_of_the_truth_table() -> None:
    data = adhoc_at(TEN).snapshot()
    assert data.metadata_dict() == {
        "meets_session_config_requirements": False,
        "added_by": "adhoc",
        "auto_provisioned": True,
        "added_at": "2024-06-05T14:00:00Z",
        "added_mid_session": True,
        "provisioned_reason": "bar_addition",
        "upgraded_from_adhoc": False,
    }
    assert (data.bars, data.indicators, data.quality, data.history_quality) == ({}, {}, {}, {})
    assert data.base_interval is None
    assert data.lineage is None


def test_an_upgraded_symbol_names_who_upgraded_it_and_when_and_keeps_what_provisioned_it() -> None:
    data = run(adhoc_at(TEN), TakeSnapshot(TEN + MINUTE_NS), load(TEN + MINUTE_NS, "scanner")).snapshot()
    assert data.metadata_dict() == {
        "meets_session_config_requirements": True,
        "added_by": "scanner",
        "auto_provisioned": False,
        "added_at": "2024-06-05T14:01:00Z",
        "added_mid_session": True,
        "provisioned_reason": "bar_addition",
        "upgraded_from_adhoc": True,
    }


@pytest.mark.parametrize(
    "session",
    [full_at(), adhoc_at(), run(SymbolSession("TEST"), load(TEN, "scanner")), run(adhoc_at(), load(TEN, "strategy"))],
)
def test_every_state_satisfies_the_truth_table(session: SymbolSession) -> None:
    data = session.snapshot()
    flags = (data.meets_session_config_requirements, data.added_by, data.auto_provisioned, data.upgraded_from_adhoc)
    assert metadata_problems(*flags) == []


def test_adhoc_bars_of_an_adhoc_symbol_are_laid_in_order() -> None:
    session = adhoc_at(TEN)
    for minute in (5, 2, 9):
        assert session.apply(add_bar(flat(OPEN + minute * MINUTE_NS, price=minute))) == Accepted()
    data = session.snapshot()
    assert data.bars["1m"].bars.close.tolist() == [2.0, 5.0, 9.0]
    assert data.adhoc_bars == {"1m": tuple(OPEN + minute * MINUTE_NS for minute in (2, 5, 9))}
    assert (data.quality["1m"].expected, data.quality["1m"].actual) == (30, 3)
    assert [gap.missing for gap in data.quality["1m"].gaps] == [2, 2, 3, 20]


def test_an_adhoc_bar_is_visible_only_once_it_has_closed() -> None:
    session = run(adhoc_at(TEN), add_bar(flat(TEN)))
    assert len(session.snapshot().bars["1m"]) == 0
    assert len(run(session, TakeSnapshot(TEN + MINUTE_NS)).snapshot().bars["1m"]) == 1


def test_the_same_adhoc_bar_twice_is_rejected_and_changes_nothing() -> None:
    session = run(adhoc_at(TEN), add_bar(flat(OPEN, price=7.0)))
    before = session.snapshot()
    report = session.apply(add_bar(flat(OPEN, price=8.0)))
    assert report == Rejected("TEST 1m already has a bar at 2024-06-05T13:30:00Z")
    assert_same_snapshot(session.snapshot(), before)


@pytest.mark.parametrize(
    ("bar", "interval", "reason"),
    [
        (flat(OPEN + 1_000_000_000), "1m", "does not start a whole number of 1m after the session open"),
        (flat(OPEN + MINUTE_NS), "5m", "does not start a whole number of 5m after the session open"),
        (flat(OPEN - MINUTE_NS), "1m", "lies outside the regular hours"),
        (replace(flat(OPEN), low=200.0), "1m", "is below low"),
        (replace(flat(OPEN), volume=-2.0), "1m", "volume is negative"),
        (replace(flat(OPEN), open=float("inf")), "1m", "open is inf"),
    ],
)
def test_an_impossible_adhoc_bar_is_rejected_and_changes_nothing(bar: Bar, interval: str, reason: str) -> None:
    session = run(adhoc_at(TEN), add_bar(flat(OPEN + 3 * MINUTE_NS)))
    before = session.snapshot()
    report = session.apply(add_bar(bar, Interval.parse(interval)))
    assert isinstance(report, Rejected)
    assert reason in report.reason
    assert_same_snapshot(session.snapshot(), before)


def test_an_adhoc_bar_fills_a_gap_of_a_full_symbol_and_what_is_derived_follows() -> None:
    holed = BARS.take(np.arange(len(BARS)) != 392)  # 13:32 is missing
    session = full_at(TEN, holed)
    assert [gap.missing for gap in session.snapshot().quality["1m"].gaps] == [1]
    assert session.apply(add_bar(BARS[392])) == Accepted()
    whole = full_at(TEN).snapshot()
    filled = session.snapshot()
    assert filled.bars["1m"].bars.equals(whole.bars["1m"].bars)
    assert filled.bars["5m"].bars.equals(whole.bars["5m"].bars)
    assert filled.quality == whole.quality
    assert filled.adhoc_bars == {"1m": (OPEN + 2 * MINUTE_NS,)}


def test_an_adhoc_bar_never_replaces_a_bar_of_the_source() -> None:
    session = full_at(TEN)
    assert session.apply(add_bar(flat(OPEN))) == Rejected("TEST 1m already has a bar at 2024-06-05T13:30:00Z")


def test_an_adhoc_bar_of_a_derived_interval_is_rejected_for_a_full_symbol() -> None:
    report = full_at(TEN).apply(add_bar(flat(OPEN), FIVE_MINUTES))
    assert report == Rejected("5m of TEST is derived from 1m; add 1m bars instead")


def test_an_adhoc_indicator_joins_and_a_second_one_is_rejected() -> None:
    session = full_at(TEN)
    assert session.apply(add_indicator("SMA(2)@15m")) == Accepted()
    assert session.apply(add_indicator("SMA(2)@15m")) == Rejected("TEST already has SMA(2)@15m")
    assert session.apply(add_indicator("SMA(3)@5m")) == Rejected("TEST already has SMA(3)@5m")
    data = session.snapshot()
    assert data.adhoc_indicators == ("SMA(2)@15m",)
    closes = data.bars["15m"].bars.close
    assert data.indicators["SMA(2)@15m"].values["real"][-1] == pytest.approx((closes[-2] + closes[-1]) / 2, rel=1e-12)


def test_an_indicator_on_bars_finer_than_the_base_is_rejected() -> None:
    report = full_at(TEN).apply(add_indicator("SMA(2)@30s"))
    assert report == Rejected("TEST has no 30s bars, and they cannot be derived from 1m")


def test_an_indicator_of_an_adhoc_symbol_has_no_values_until_bars_arrive() -> None:
    session = run(adhoc_at(TEN), add_indicator("SMA(2)@1m"))
    assert session.snapshot().indicators["SMA(2)@1m"].values["real"].tolist() == []
    for minute, price in ((0, 4.0), (1, 6.0)):
        run(session, add_bar(flat(OPEN + minute * MINUTE_NS, price)))
    values = session.snapshot().indicators["SMA(2)@1m"].values["real"]
    assert np.isnan(values[0])
    assert values[1] == 5.0


def test_an_indicator_that_no_bar_added_by_hand_makes_is_refused() -> None:
    session = run(adhoc_at(TEN), add_bar(flat(OPEN)))
    report = session.apply(add_indicator("SMA(2)@5m"))
    assert report == Rejected(
        "TEST has 1m bars, all added by hand, of which no others are derived; "
        "add 5m bars first, or add_symbol to load it whole"
    )
    assert session.snapshot().indicators == {}
    run(session, add_bar(flat(OPEN), FIVE_MINUTES))
    assert session.apply(add_indicator("SMA(2)@5m")) == Accepted()


def test_bars_that_leave_an_indicator_empty_say_so_until_it_has_its_own() -> None:
    session = run(adhoc_at(TEN), add_indicator("SMA(2)@5m"), add_indicator("SMA(2)@1m"))
    said = Accepted("SMA(2)@5m stays empty: of bars added by hand no others are derived, add its own")
    assert session.apply(add_bar(flat(OPEN))) == said
    assert session.apply(add_bar(flat(OPEN), FIVE_MINUTES)) == Accepted()
    assert session.apply(add_bar(flat(OPEN + MINUTE_NS))) == Accepted()


def test_on_upgrade_the_bar_of_the_source_wins_and_the_conflict_is_reported() -> None:
    session = run(adhoc_at(TEN), add_bar(flat(OPEN, price=1.0)))
    report = session.apply(load(TEN, "scanner"), BARS)
    assert isinstance(report, Loaded)
    (conflict,) = report.conflicts
    assert (conflict.interval, conflict.adhoc, conflict.record) == (ONE_MINUTE, flat(OPEN, price=1.0), BARS[390])
    assert "the source's bar is used" in str(conflict)
    data = session.snapshot()
    assert data.bars["1m"].bars[390] == BARS[390]
    assert data.conflicts == (conflict,)
    assert data.adhoc_bars == {}


def test_an_adhoc_bar_that_equals_the_source_is_no_conflict() -> None:
    report = run(adhoc_at(TEN), add_bar(BARS[390])).apply(load(TEN, "scanner"), BARS)
    assert isinstance(report, Loaded)
    assert report.conflicts == ()


def test_an_adhoc_bar_that_the_source_has_not_is_dropped_and_reported() -> None:
    holed = BARS.take(np.arange(len(BARS)) != 390)
    session = run(adhoc_at(TEN), add_bar(flat(OPEN)))
    report = session.apply(load(TEN, "scanner", bars=holed), holed)
    assert isinstance(report, Loaded)
    (conflict,) = report.conflicts
    assert conflict.record is None
    assert "dropped" in str(conflict)
    assert session.snapshot().bars["1m"].bars.start_ns[390] == OPEN + MINUTE_NS


def test_a_derived_adhoc_bar_conflicts_with_the_bar_derived_from_the_source() -> None:
    session = run(adhoc_at(TEN), add_bar(flat(OPEN), FIVE_MINUTES))
    report = session.apply(load(TEN, "scanner"), BARS)
    assert isinstance(report, Loaded)
    (conflict,) = report.conflicts
    five = BARS.take(slice(390, 395))
    assert conflict.record == Bar(
        OPEN, five.open[0], five.high.max(), five.low.min(), five.close[-1], float(five.volume.sum())
    )


def test_adhoc_bars_finer_than_the_source_stay_after_the_upgrade() -> None:
    session = run(adhoc_at(TEN), add_bar(flat(OPEN, price=3.0), Interval.parse("30s")), load(TEN, "scanner"))
    data = session.snapshot()
    assert list(data.bars) == ["30s", "1m", "5m"]
    assert data.bars["30s"].bars.close.tolist() == [3.0]
    assert data.conflicts == ()


def test_adhoc_indicators_stay_after_the_upgrade_and_gain_the_history() -> None:
    session = run(adhoc_at(TEN), add_indicator("SMA(3)@5m"), add_indicator("WMA(4)@15m"), load(TEN, "scanner"))
    data = session.snapshot()
    assert data.adhoc_indicators == ("SMA(3)@5m", "WMA(4)@15m")
    directly = run(full_at(TEN), add_indicator("WMA(4)@15m")).snapshot()
    for key in ("SMA(3)@5m", "WMA(4)@15m"):
        assert np.array_equal(
            data.indicators[key].values["real"], directly.indicators[key].values["real"], equal_nan=True
        )


def test_an_adhoc_indicator_that_the_source_cannot_serve_does_not_stop_the_upgrade() -> None:
    session = run(adhoc_at(TEN), add_indicator("SMA(3)@30s"), load(TEN, "scanner"))
    data = session.snapshot()
    assert session.state is SymbolState.FULL
    assert "SMA(3)@30s" in data.indicators
    assert len(data.bars["30s"]) == 0
