"""The gateway against a vendor in memory: everything is there afterwards, or said to be missing, at few requests."""

from __future__ import annotations

from math import ceil, log2
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.data_sources.fetching.fetcher import Fetcher
from barray.data_sources.fetching.vendor import (
    AccessDenied,
    Page,
    PageRequest,
    TooRecent,
    VendorFailed,
    VendorThrottled,
)
from barray.market.bars import Bars
from barray.market.interval import Interval
from tests.data_sources.gateway_fakes import (
    END_NS,
    MIN_NS,
    MINUTE,
    NOW_NS,
    SOURCE,
    START_NS,
    FakeVendor,
    JumpClock,
    MemoryStore,
    bars_of,
)


def gateway(vendor: FakeVendor, store: MemoryStore, clock: JumpClock | None = None) -> Fetcher:
    clock = clock or JumpClock()

    def expected(symbol: str, interval: Interval, start_ns: int, end_ns: int) -> float:
        return len(vendor.truth.get(symbol, ()))

    return Fetcher(vendor, store, clock=clock, sleep=clock.sleep, expected=expected, seed=1)


def universe(*counts: int) -> dict[str, Bars]:
    return {f"S{number:03d}": bars_of(count, price=10.0 + number) for number, count in enumerate(counts)}


@given(st.lists(st.integers(0, 700), min_size=1, max_size=60))
def test_every_bar_arrives_and_requests_are_within_a_tenth_of_the_fewest(counts: list[int]) -> None:
    vendor, store = FakeVendor(universe(*counts)), MemoryStore()
    result = gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    assert not result.failures
    assert all(store.holds(symbol, bars) for symbol, bars in vendor.truth.items())
    assert store.twice == 0
    assert len(vendor.asked) == result.requests <= max(1, 1.1 * ceil(sum(counts) / 100))
    assert gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS).requests == 0


@given(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.floats(0, 0.6), st.integers(0, 10_000))
def test_under_faults_the_store_has_the_truth_or_the_symbol_failed(counts: list[int], faults: float, seed: int) -> None:
    vendor, store = FakeVendor(universe(*counts), faults=faults, seed=seed), MemoryStore()
    result = gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    for symbol, bars in vendor.truth.items():
        assert store.holds(symbol, bars) or symbol in result.failures
        assert store.missing(symbol, MINUTE, START_NS, END_NS) == [] or symbol in result.failures
    vendor.faults = 0.0
    assert not gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS).failures
    assert all(store.holds(symbol, bars) for symbol, bars in vendor.truth.items())


@pytest.mark.parametrize("spoiler", ["S000", "S037", "S063"])
def test_one_symbol_the_vendor_cannot_read_fails_alone_after_few_requests(spoiler: str) -> None:
    vendor, store = FakeVendor(universe(*[1] * 64), spoilt=frozenset({spoiler})), MemoryStore()
    result = gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    assert set(result.failures) == {spoiler}
    assert result.failures[spoiler].code == "request_refused"
    assert result.requests <= 1 + 2 * log2(64)
    assert all(store.holds(symbol, bars) for symbol, bars in vendor.truth.items() if symbol != spoiler)


def test_one_symbol_the_vendor_always_fails_at_does_not_take_the_others_along() -> None:
    vendor, store = FakeVendor(universe(*[5] * 16), failing=frozenset({"S005"})), MemoryStore()
    result = gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    assert set(result.failures) == {"S005"}


def test_a_key_that_is_not_accepted_costs_no_second_try() -> None:
    vendor = FakeVendor(universe(5, 5), always=AccessDenied("no such key", remedy="check the key", source=SOURCE))
    result = gateway(vendor, MemoryStore()).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    assert {reason.code for reason in result.failures.values()} == {"access_denied"}
    assert len(result.failures) == 2
    assert result.requests == 1


def test_a_vendor_that_is_down_costs_one_deadline_however_many_symbols() -> None:
    vendor, clock = FakeVendor(universe(*[5] * 50), page_rows=None, always=VendorFailed("down")), JumpClock()
    result = gateway(vendor, MemoryStore(), clock).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    assert len(result.failures) == 50
    assert clock.now_ns() - NOW_NS <= 4 * 181e9  # four threads sleep at once, and each moves this clock


def test_a_vendor_that_throttles_for_ever_is_given_up_too() -> None:
    vendor, clock = FakeVendor(universe(5, 5), always=VendorThrottled("slow down")), JumpClock()
    result = gateway(vendor, MemoryStore(), clock).ensure(vendor.truth, MINUTE, START_NS, END_NS)
    assert {reason.code for reason in result.failures.values()} == {"throttled"}
    assert clock.now_ns() - NOW_NS <= 220e9


def test_a_failure_amid_the_pages_goes_on_from_the_last_page() -> None:
    vendor, store = FakeVendor(universe(250, 250, 250)), MemoryStore()
    first = gateway(vendor, store)

    def fail_after_three(progress: object) -> None:
        if len(vendor.asked) == 3:
            vendor.always = AccessDenied("expired")

    assert len(first.ensure(vendor.truth, MINUTE, START_NS, END_NS, fail_after_three).failures) == 2
    vendor.always = None
    assert gateway(vendor, store).ensure(vendor.truth, MINUTE, START_NS, END_NS).requests <= 6
    assert all(store.holds(symbol, bars) for symbol, bars in vendor.truth.items())
    assert store.twice == 0


def test_bars_that_may_still_change_are_kept_and_fetched_again() -> None:
    vendor, store, clock = FakeVendor({"A": bars_of(60, NOW_NS - 60 * MIN_NS)}), MemoryStore(), JumpClock()
    door = gateway(vendor, store, clock)
    assert not door.ensure(["A"], MINUTE, NOW_NS - 60 * MIN_NS, NOW_NS).failures
    assert store.holds("A", vendor.truth["A"])
    assert store.missing("A", MINUTE, NOW_NS - 60 * MIN_NS, NOW_NS) == [(NOW_NS - 21 * MIN_NS, NOW_NS)]
    clock.sleep(3600)
    door.ensure(["A"], MINUTE, NOW_NS - 60 * MIN_NS, NOW_NS)
    assert store.missing("A", MINUTE, NOW_NS - 60 * MIN_NS, NOW_NS) == []
    assert store.holds("A", vendor.truth["A"])


def test_an_end_too_recent_for_the_account_is_moved_back() -> None:
    vendor, store = (
        FakeVendor({"A": bars_of(60, NOW_NS - 60 * MIN_NS)}, raises=[TooRecent("15 minutes")]),
        MemoryStore(),
    )
    result = gateway(vendor, store).ensure(["A"], MINUTE, NOW_NS - 60 * MIN_NS, NOW_NS)
    assert not result.failures
    assert result.capped_ns == vendor.asked[-1].end_ns == NOW_NS - 20 * MIN_NS
    assert len(store.rows["A"]) == 40


def test_what_cannot_be_a_symbol_is_never_asked_for() -> None:
    vendor, store = FakeVendor(universe(5)), MemoryStore()
    result = gateway(vendor, store).ensure(["S000", "../x"], MINUTE, START_NS, END_NS)
    assert result.failures["../x"].code == "bad_symbol"
    assert vendor.asked[0].symbols == ("S000",)


def test_two_threads_that_want_the_same_series_fetch_it_once() -> None:
    vendor, store = FakeVendor(universe(350, 120)), MemoryStore()
    door = gateway(vendor, store)
    threads = [Thread(target=door.ensure, args=(list(vendor.truth), MINUTE, START_NS, END_NS)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(vendor.asked) == 5
    assert store.twice == 0


def test_a_store_that_fails_is_the_caller_s_to_know() -> None:
    class Full(MemoryStore):
        def write(self, *_: object) -> None:  # type: ignore[override]
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        gateway(FakeVendor(universe(5)), Full()).ensure(["S000"], MINUTE, START_NS, END_NS)


def test_a_symbol_whose_bars_come_late_is_not_known_if_it_cannot_be_asked_for_again() -> None:
    truth = universe(4, 4)

    class Disordered(FakeVendor):
        def fetch(self, request: PageRequest) -> Page:
            self.asked.append(request)
            match len(self.asked):
                case 1:
                    first = {"S000": truth["S000"].take(slice(0, 2)), "S001": truth["S001"].take(slice(0, 2))}
                    return Page(first, "more")
                case 2:
                    return Page({"S000": truth["S000"].take(slice(2, 4))}, None)
            raise AccessDenied("expired", remedy="renew it", source=SOURCE)

    store = MemoryStore()
    result = gateway(Disordered(truth), store).ensure(truth, MINUTE, START_NS, END_NS)
    assert set(result.failures) == {"S000", "S001"}
    assert store.missing("S000", MINUTE, START_NS, END_NS) == [(START_NS, END_NS)]
    assert not gateway(FakeVendor(truth), store).ensure(truth, MINUTE, START_NS, END_NS).failures
    assert all(store.holds(symbol, bars) for symbol, bars in truth.items())
