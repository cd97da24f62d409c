"""A vendor's store as a source, the gateway that fills it, and failover from one source to the next."""

from __future__ import annotations

import asyncio
import pickle
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barray.actors.loading import load_range
from barray.data_sources.failover import Fetch, needs_of_range, needs_of_session, validate_with_fetches
from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.gateway import Gateway, secrets_of
from barray.data_sources.fetching.vendor import AccessDenied, Dataset, Limits, Page, PageRequest, VendorFailed
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.data_sources.manager import DataManager
from barray.market.bars import Bars, format_ns
from barray.market.errors import ConfigError, DataError
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements, calendar_for
from barray.market.session_range import RangeValidation, session_range_of
from barray.market.validation import Reason, SymbolValidationResult
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.symbol_run import run_range
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from tests.data_sources.files import MONDAY, TUESDAY, WEDNESDAY, local_source, write_days
from tests.market.builders import MINUTE_NS, context_for, expected_stamps, new_york_ns, require, walk
from tests.trading.sweep_data import plan_of

NOW_NS = new_york_ns(date(2024, 7, 8), "12:00")
FRIDAY = date(2024, 6, 28)
REQUIRED = require("1m", "5m", trailing_days=2)


@dataclass
class Answering:
    """A vendor with whole minutes of some symbols, and `days`; `down`: what every request raises."""

    dataset: Dataset
    truth: Mapping[str, Bars]
    down: Exception | None = None
    days: Mapping[str, Bars] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits(10_000, 100, 1_000_000))
    asked: list[PageRequest] = field(default_factory=list)

    def fetch(self, request: PageRequest) -> Page:
        self.asked.append(request)
        if self.down is not None:
            raise self.down
        bars_of = self.truth if request.interval.is_intraday or not self.days else self.days
        found = {symbol: bars_of[symbol] for symbol in sorted(request.symbols) if symbol in bars_of}
        inside = {s: b.take((b.start_ns >= request.start_ns) & (b.start_ns < request.end_ns)) for s, b in found.items()}
        return Page({symbol: bars for symbol, bars in inside.items() if len(bars)})

    def active_symbols(self) -> Sequence[str]:
        return sorted(self.truth)


VENDORS: dict[str, Answering] = {}


@dataclass(frozen=True)
class FakeAccount:
    """Settings that lead to one of VENDORS; the credential is a file's, as real ones may be."""

    vendor_name: str
    back: tuple[tuple[str, int | None], ...] = (("1m", None), ("1d", None))
    file: Path | None = None

    @property
    def dataset(self) -> Dataset:
        return Dataset(self.vendor_name)

    @property
    def native(self) -> dict[Interval, timedelta | None]:
        return {Interval.parse(text): timedelta(days=days) if days else None for text, days in self.back}

    def secret(self) -> KeyPair:
        if self.file is None:
            raise ConfigError("KEY is not set", remedy="set it", code="no_credentials")
        return KeyPair("key", self.file.read_text())

    def vendor(self, secret: KeyPair) -> Any:
        return VENDORS[self.vendor_name]

    def live(self, secret: KeyPair) -> Any:
        raise ConfigError("has no stream")


def source(folder: Path, name: str = "fake", **changes: Any) -> VendorSource:
    return VendorSource(name, FakeAccount(name, **changes), str(folder / "store"), NOW_NS, give_up_s=0.01)


def minutes(*days: date, seed: int = 1) -> Bars:
    sessions = context_for(require("1m", trailing_days=9), WEDNESDAY).sessions
    rows = [row for day in days if (row := sessions.index(day)) is not None]
    return walk(np.concatenate([expected_stamps(sessions, row) for row in rows]), seed)


def vendor(name: str, truth: Mapping[str, Bars], **changes: Any) -> Answering:
    VENDORS[name] = Answering(Dataset(name), truth, **changes)
    return VENDORS[name]


def connected() -> Gateway:
    gateway = Gateway()
    gateway.set_credentials(KeyPair("key", "secret"))
    return gateway


def ensure(gateway: Gateway, of: VendorSource, *symbols: str, until_ns: int = 0) -> dict[str, Reason]:
    context = context_for(REQUIRED, WEDNESDAY)
    wanted = of.wanted(REQUIRED, context.loaded, until_ns)
    assert isinstance(wanted, Wanted)
    return gateway.ensure(of, symbols, wanted, context.close_ns)


def validate(
    manager: DataManager, *symbols: str, gateway: Gateway | None = None, required: SymbolRequirements = REQUIRED
) -> tuple[dict[str, SymbolValidationResult], list[tuple[str, tuple[str, ...]]]]:
    """Results, and which source was to fetch which symbols."""
    context, gateway, fetched = context_for(required, WEDNESDAY), gateway or connected(), []

    async def step0(some: Sequence[str], over: DataManager) -> dict[str, SymbolValidationResult]:
        return over.validate(some, required, context)

    async def ensure(of: VendorSource, some: Sequence[str], wanted: Wanted, needed_ns: int) -> Mapping[str, Reason]:
        fetched.append((of.name, tuple(some)))
        return gateway.ensure(of, some, wanted, needed_ns)

    fetch = Fetch(required, needs_of_session(context), ensure)
    results = asyncio.run(validate_with_fetches(symbols, manager, step0, lambda found: found.can_proceed, fetch))
    return results, fetched


@pytest.mark.long
def test_what_was_fetched_is_what_step_0_judges_and_what_is_read(tmp_path: Path) -> None:
    truth = minutes(FRIDAY, MONDAY, TUESDAY, WEDNESDAY)
    vendor("fake", {"AAPL": truth})
    manager = DataManager((source(tmp_path),))
    results, fetched = validate(manager, "AAPL", "NONE")
    assert fetched == [("fake", ("AAPL", "NONE"))]
    assert results["AAPL"].can_proceed
    assert results["AAPL"].data_source == "fake"
    assert results["AAPL"].historical_date_range == (MONDAY, TUESDAY)
    assert [reason.code for reason in results["NONE"].reasons] == ["no_data_source"]
    loaded = context_for(REQUIRED, WEDNESDAY).loaded
    read = manager.source("fake").read_bars("AAPL", Interval.parse("1m"), loaded)
    assert read.equals(truth.take(truth.start_ns >= loaded.open_ns[0]))


@pytest.mark.long
def test_a_day_that_the_vendor_has_nothing_of_is_missing(tmp_path: Path) -> None:
    vendor("fake", {"HOLE": minutes(MONDAY, WEDNESDAY), "ENDS": minutes(MONDAY, TUESDAY)})
    results, _ = validate(DataManager((source(tmp_path),)), "HOLE", "ENDS")
    assert [reason.code for reason in results["HOLE"].reasons] == ["no_history"]
    assert "2024-07-02" in results["HOLE"].reason
    assert [reason.code for reason in results["ENDS"].reasons] == ["no_session_data"]
    assert str(WEDNESDAY) in results["ENDS"].reason


def test_an_interval_that_does_not_reach_back_is_not_offered_and_nothing_is_asked(tmp_path: Path) -> None:
    asked = vendor("fake", {"AAPL": minutes(MONDAY, TUESDAY, WEDNESDAY)}).asked
    short = source(tmp_path, back=(("1m", 5), ("5m", 30), ("1d", None)))
    results, _ = validate(DataManager((short,)), "AAPL")
    assert not asked
    assert [reason.code for reason in results["AAPL"].reasons] == ["interval_unavailable"]
    assert "serves 5m, 1d from 2024-07-01 on, which 1m, 5m cannot be built from" in results["AAPL"].reason
    loaded = context_for(REQUIRED, WEDNESDAY).loaded
    wanted = short.wanted(require("5m", "15m"), loaded, 0)
    assert isinstance(wanted, Wanted)
    assert wanted.interval == Interval.parse("5m")
    assert (wanted.start_ns, wanted.end_ns) == (int(loaded.open_ns[0]), int(loaded.close_ns[-1]))
    daily = short.wanted(require("1d"), loaded, NOW_NS)
    assert isinstance(daily, Wanted)
    assert daily.start_ns <= new_york_ns(MONDAY, "00:00")
    assert daily.end_ns == NOW_NS


def test_each_source_is_asked_only_for_what_those_before_could_not_serve(tmp_path: Path) -> None:
    write_days(tmp_path / "tree", "FILE", FRIDAY, MONDAY, TUESDAY, WEDNESDAY)
    whole = minutes(MONDAY, TUESDAY, WEDNESDAY)
    vendor("one", {"VIA1": whole})
    vendor("two", {"VIA1": whole, "VIA2": whole, "FILE": whole})
    manager = DataManager((local_source(tmp_path / "tree"), source(tmp_path, "one"), source(tmp_path, "two")))
    results, fetched = validate(manager, "NONE", "VIA2", "FILE", "../x", "VIA1")
    assert list(results) == ["NONE", "VIA2", "FILE", "../x", "VIA1"]
    assert fetched == [("one", ("NONE", "VIA2", "VIA1")), ("two", ("NONE", "VIA2"))]
    used = {symbol: result.data_source for symbol, result in results.items() if result.can_proceed}
    assert used == {"FILE": "parquet", "VIA1": "one", "VIA2": "two"}
    assert results["VIA2"].sources_asked == ("parquet", "one", "two")
    assert [reason.source for reason in results["VIA2"].reasons] == ["parquet", "one"]
    assert [reason.code for reason in results["../x"].reasons] == ["bad_symbol"]


def test_nothing_is_fetched_where_files_serve_all(tmp_path: Path) -> None:
    write_days(tmp_path / "tree", "FILE", FRIDAY, MONDAY, TUESDAY, WEDNESDAY)
    _, fetched = validate(DataManager((local_source(tmp_path / "tree"), source(tmp_path))), "FILE")
    assert not fetched


def test_a_file_source_after_a_vendor_serves_what_that_could_not(tmp_path: Path) -> None:
    write_days(tmp_path / "tree", "FILE", FRIDAY, MONDAY, TUESDAY, WEDNESDAY)
    vendor("fake", {}, down=AccessDenied("401", source="fake", remedy="check the keys"))
    results, _ = validate(DataManager((source(tmp_path), local_source(tmp_path / "tree"))), "FILE", "NONE")
    assert results["FILE"].data_source == "parquet"
    assert [reason.code for reason in results["FILE"].reasons] == ["access_denied"]
    assert [reason.code for reason in results["NONE"].reasons] == ["access_denied", "no_data_source"]


def test_a_vendor_that_is_down_is_asked_once_and_then_left_alone(tmp_path: Path) -> None:
    down = vendor("fake", {"AAPL": minutes(MONDAY, TUESDAY, WEDNESDAY)}, down=VendorFailed("500", source="fake"))
    gateway, of = connected(), source(tmp_path)
    failures = ensure(gateway, of, "AAPL", "MSFT")
    assert {reason.source for reason in failures.values()} == {"fake"}
    assert "has served nothing for 0.01 s: 500" in failures["MSFT"].message
    asked = len(down.asked)
    down.down = None
    assert ensure(gateway, of, "AAPL")["AAPL"].code == "vendor_failed"
    assert len(down.asked) == asked
    assert not ensure(connected(), of, "AAPL")  # another run's gateway knows nothing of it


def test_what_the_store_has_needs_no_vendor(tmp_path: Path) -> None:
    asked = vendor("fake", {"AAPL": minutes(MONDAY, TUESDAY, WEDNESDAY)})
    assert not ensure(connected(), source(tmp_path), "AAPL", "NONE")
    asked.down = VendorFailed("500", source="fake")
    count = len(asked.asked)
    assert not ensure(connected(), source(tmp_path), "AAPL", "NONE")
    assert len(asked.asked) == count


def test_trouble_with_what_is_fetched_ahead_of_time_costs_nothing_now(tmp_path: Path) -> None:
    """The vendor goes down between the session's own bars and later ones."""
    served = vendor("fake", {"AAPL": minutes(MONDAY, TUESDAY, WEDNESDAY)})
    of = source(tmp_path)
    assert not ensure(connected(), of, "AAPL")
    served.down = VendorFailed("500", source="fake")
    assert not ensure(connected(), of, "AAPL", until_ns=NOW_NS - 86_400 * 10**9)
    assert "NEW" in ensure(connected(), of, "NEW", until_ns=NOW_NS - 86_400 * 10**9)


def test_a_gateway_without_a_credential_says_so_of_every_symbol(tmp_path: Path) -> None:
    assert {reason.code for reason in ensure(Gateway(), source(tmp_path), "A", "B").values()} == {"no_credentials"}


def test_a_store_that_cannot_be_written_to_costs_the_source_alone(tmp_path: Path) -> None:
    vendor("fake", {"AAPL": minutes(MONDAY, TUESDAY, WEDNESDAY)})
    (tmp_path / "store").write_text("a file where the folder should be")
    results, _ = validate(DataManager((source(tmp_path),)), "AAPL")
    assert [reason.code for reason in results["AAPL"].reasons] == ["cannot_write"]


def test_a_damaged_manifest_costs_its_symbol_alone(tmp_path: Path) -> None:
    whole = minutes(MONDAY, TUESDAY, WEDNESDAY)
    vendor("fake", {"AAPL": whole, "MSFT": whole})
    of = source(tmp_path)
    assert not ensure(connected(), of, "AAPL", "MSFT")
    (Path(of.store.place) / "AAPL" / "1m" / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="is no manifest"):
        of.has_symbols(["AAPL"], context_for(REQUIRED, WEDNESDAY).loaded)
    results = DataManager((of,)).validate(["AAPL", "MSFT"], REQUIRED, context_for(REQUIRED, WEDNESDAY))
    assert [reason.code for reason in results["AAPL"].reasons] == ["bad_manifest"]
    assert results["MSFT"].can_proceed
    failures = ensure(connected(), of, "AAPL", "MSFT", "NEW")
    assert {symbol: reason.code for symbol, reason in failures.items()} == {"AAPL": "bad_manifest"}
    assert f"remove {Path(of.store.place) / 'AAPL' / '1m'}" in failures["AAPL"].remedy


def test_a_damaged_file_costs_its_symbol_alone_and_is_named(tmp_path: Path) -> None:
    whole = minutes(MONDAY, TUESDAY, WEDNESDAY)
    vendor("fake", {"AAPL": whole, "MSFT": whole})
    of = source(tmp_path)
    assert not ensure(connected(), of, "AAPL", "MSFT")
    file = Path(of.store.place) / "AAPL" / "1m" / "2024-07.parquet"
    file.write_bytes(b"x" * file.stat().st_size)
    later = new_york_ns(WEDNESDAY, "13:00") + 3_600 * 10**9
    wanted = Wanted(Interval.parse("1m"), later - 10**12, later)
    failures = connected().ensure(of, ["AAPL", "MSFT"], wanted, later)
    assert {symbol: reason.code for symbol, reason in failures.items()} == {"AAPL": "unreadable_file"}
    assert f"remove {file}" in failures["AAPL"].remedy


def test_a_missing_credential_is_a_reason_and_a_source_holds_none(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("canary-5e1")
    file.chmod(stat.S_IRUSR)
    having = replace(source(tmp_path), account=FakeAccount("fake", file=file))
    found = secrets_of({"having": having, "lacking": source(tmp_path)})
    assert found["having"].secret == "canary-5e1"
    assert found["lacking"] == Reason("no_credentials", "KEY is not set", "set it", "lacking")
    assert b"canary" not in pickle.dumps(having)
    assert "canary" not in f"{found!r} {found['having'].id}"


def test_sources_of_one_credential_share_its_rate_limit(tmp_path: Path) -> None:
    vendor("one", {})
    vendor("two", {})
    gateway = connected()
    first, second = (gateway.fetcher(source(tmp_path, name)) for name in ("one", "two"))
    assert first is not second
    assert first._limiter is second._limiter
    assert gateway.fetcher(source(tmp_path, "one")) is first


class Idle(Strategy):
    """Watches."""

    def on_bar(self, ctx: Context) -> None:
        """Orders nothing."""


def test_the_lineage_of_a_backtest_names_the_dataset_that_was_fetched(tmp_path: Path) -> None:
    vendor("fake", {"AAPL": minutes(FRIDAY, MONDAY, TUESDAY, WEDNESDAY)})
    of = source(tmp_path)
    assert ensure(connected(), of, "AAPL") == {}
    wanted = require("1m")
    days = session_range_of(wanted, calendar_for(wanted, "XNYS", TUESDAY, WEDNESDAY), [TUESDAY, WEDNESDAY])
    interval = Interval.parse("1m")
    loaded = load_range(LoadRange("AAPL", days, of, interval, {}))
    lineage = run_range(loaded, plan_of(Idle, "on_bar"), days.grid(interval)[0]).lineage
    assert lineage is not None
    assert (lineage.source, lineage.dataset, lineage.bars) == ("fake", "fake-raw", 390 + 210)


def over_a_range(
    folder: Path,
    days: Sequence[date],
    *symbols: str,
    back: tuple[tuple[str, int | None], ...] = (("1m", None),),
    now_ns: int = NOW_NS,
    days_of_vendor: int = 0,
) -> tuple[dict[str, RangeValidation], list[PageRequest]]:
    """Step 0 of a local tree before a vendor over sessions, and what the vendor was asked for.

    `days_of_vendor`: of so many sessions before the date it is to give daily bars.
    """
    required = require("1m", trailing_days=1)
    if days_of_vendor:
        required = replace(required, daily="vendor", daily_days=days_of_vendor)
    calendar = calendar_for(required, "XNYS", days[0], days[-1])
    session_range = session_range_of(required, calendar, calendar.between(days[0], days[-1]))
    of = replace(source(folder, "vendor", back=back), now_ns=now_ns)
    manager = DataManager((local_source(folder / "own"), of), daily=of if days_of_vendor else None)
    gateway = connected()

    async def step0(some: Sequence[str], over: DataManager) -> dict[str, RangeValidation]:
        return over.validate_range(some, required, session_range)

    async def ensure(of: VendorSource, some: Sequence[str], wanted: Wanted, needed_ns: int) -> Mapping[str, Reason]:
        return gateway.ensure(of, some, wanted, needed_ns)

    fetch = Fetch(required, needs_of_range(session_range), ensure)
    found = asyncio.run(validate_with_fetches(symbols, manager, step0, lambda one: one.whole, fetch))
    return found, VENDORS["vendor"].asked


def days_asked(request: PageRequest) -> tuple[str, str]:
    return format_ns(request.start_ns)[:10], format_ns(request.end_ns)[:10]


@pytest.mark.long
def test_a_vendor_is_asked_for_the_sessions_that_those_before_it_lack_and_for_no_others(tmp_path: Path) -> None:
    """Of eight weeks the own files lack two sessions, far from each other, and two that are near."""
    calendar = calendar_for(require("1m", trailing_days=1), "XNYS", date(2024, 5, 1), date(2024, 6, 28))
    days = calendar.between(date(2024, 5, 1), date(2024, 6, 28))
    history = calendar.between(date(2024, 4, 30), date(2024, 4, 30))
    lacking = {date(2024, 5, 7), date(2024, 6, 11), date(2024, 6, 13)}
    for symbol in ("AAPL", "MSFT"):
        write_days(tmp_path / "own", symbol, *(day for day in (*history, *days) if day not in lacking))
    write_days(tmp_path / "own", "SPY", *history, *days)
    every = walk(
        np.concatenate([new_york_ns(day, "09:30") + np.arange(390) * MINUTE_NS for day in (*history, *days)]), 1
    )
    vendor("vendor", {"AAPL": every, "MSFT": every})
    found, asked = over_a_range(tmp_path, (days[0], days[-1]), "AAPL", "MSFT", "SPY")
    assert all(one.whole for one in found.values())
    assert [span.source for span in found["SPY"].spans] == ["parquet"]
    assert sorted((request.symbols, days_asked(request)) for request in asked) == [
        (("AAPL", "MSFT"), ("2024-05-06", "2024-05-08")),  # the day, the one before it, and the one that needs it
        (("AAPL", "MSFT"), ("2024-06-10", "2024-06-14")),
    ]
    assert len([span for span in found["AAPL"].spans if span.source == "vendor"]) == 2


@pytest.mark.long
def test_a_vendor_of_daily_history_is_asked_for_days_and_for_the_minutes_that_are_lacking(tmp_path: Path) -> None:
    calendar = calendar_for(require("1m", trailing_days=20), "XNYS", date(2024, 6, 10), date(2024, 6, 28))
    days = calendar.between(date(2024, 6, 10), date(2024, 6, 28))
    before = calendar.between(date(2024, 5, 20), date(2024, 6, 7))
    for symbol, lacking in (("AAPL", date(2024, 6, 12)), ("SPY", None)):
        write_days(tmp_path / "own", symbol, *(day for day in (before[-1], *days) if day != lacking))
    opens = [np.array([new_york_ns(day, "09:30")]) for day in (*before, *days)]
    every, daily = (
        walk(np.concatenate([day + np.arange(390) * MINUTE_NS for day in opens]), 1),
        walk(np.concatenate(opens), 2),
    )
    vendor("vendor", {"AAPL": every}, days=dict.fromkeys(("AAPL", "SPY"), daily))
    found, asked = over_a_range(
        tmp_path, (days[0], days[-1]), "AAPL", "SPY", "NONE", back=(("1m", None), ("1d", None)), days_of_vendor=10
    )
    assert [found[symbol].whole for symbol in ("AAPL", "SPY", "NONE")] == [True, True, False]
    assert found["SPY"].result.daily_date_range == (before[-10], before[-2])
    [of_days, *of_minutes] = asked
    assert (of_days.symbols, str(of_days.interval)) == (("AAPL", "NONE", "SPY"), "1d")
    assert {days_asked(one) for one in of_minutes if one.symbols == ("AAPL",)} == {("2024-06-11", "2024-06-13")}
    assert {one.symbols for one in of_minutes} == {("AAPL",), ("NONE",)}


def test_a_vendor_that_does_not_reach_back_to_the_first_session_serves_the_last_ones(tmp_path: Path) -> None:
    calendar = calendar_for(require("1m", trailing_days=1), "XNYS", date(2024, 5, 1), date(2024, 6, 28))
    days = calendar.between(date(2024, 5, 2), date(2024, 6, 28))
    write_days(tmp_path / "own", "AAPL", *calendar.between(date(2024, 5, 1), date(2024, 6, 20)))
    every = walk(np.concatenate([new_york_ns(day, "09:30") + np.arange(390) * MINUTE_NS for day in days]), 1)
    vendor("vendor", {"AAPL": every})
    found, asked = over_a_range(
        tmp_path, (days[0], days[-1]), "AAPL", back=(("1m", 20),), now_ns=new_york_ns(date(2024, 6, 29), "12:00")
    )
    assert found["AAPL"].whole
    assert [(span.source, span.last.isoformat()) for span in found["AAPL"].spans] == [
        ("parquet", "2024-06-20"),
        ("vendor", "2024-06-28"),
    ]
    assert [days_asked(request) for request in asked] == [("2024-06-20", "2024-06-28")]


def test_a_session_has_a_vendor_fetch_more_days_only_where_no_source_before_knows_the_symbol(tmp_path: Path) -> None:
    context = context_for(REQUIRED, TUESDAY)
    write_days(tmp_path / "own", "AAPL", FRIDAY, MONDAY)  # all but the session's own
    vendor("vendor", {symbol: minutes(FRIDAY, MONDAY, TUESDAY, WEDNESDAY) for symbol in ("AAPL", "NEW")})
    manager = DataManager((local_source(tmp_path / "own"), source(tmp_path, "vendor")))
    ahead_ns, gateway = new_york_ns(WEDNESDAY, "13:00"), connected()

    async def step0(some: Sequence[str], over: DataManager) -> dict[str, SymbolValidationResult]:
        return over.validate(some, REQUIRED, context)

    async def ensure(of: VendorSource, some: Sequence[str], wanted: Wanted, needed_ns: int) -> Mapping[str, Reason]:
        return gateway.ensure(of, some, wanted, needed_ns)

    fetch = Fetch(REQUIRED, needs_of_session(context, ahead_ns), ensure)
    found = asyncio.run(validate_with_fetches(["AAPL", "NEW"], manager, step0, lambda one: one.can_proceed, fetch))
    assert all(one.can_proceed for one in found.values())
    asked = {request.symbols: days_asked(request) for request in VENDORS["vendor"].asked}
    assert asked == {("AAPL",): ("2024-06-28", "2024-07-02"), ("NEW",): ("2024-06-28", "2024-07-03")}
