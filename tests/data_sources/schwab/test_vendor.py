"""Schwab's client against a server that speaks its protocol: what is taken, and what each refusal becomes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from barray.data_sources.fetching.vendor import (
    Dataset,
    Limits,
    PageRequest,
    RequestRefused,
    VendorFailed,
    VendorThrottled,
)
from barray.data_sources.schwab.vendor import SchwabAccount, SchwabVendor
from barray.market.bars import COLUMNS, Bars, parse_ns
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import Interval
from tests.data_sources.gateway_fakes import END_NS, MIN_NS, MINUTE, NOW_NS, START_NS, JumpClock, bars_of
from tests.vendors.schwab_server import KEYS, LIMITS, SchwabServer, token_file, told
from tests.vendors.serving import serving

DAILY, WEEKLY = Interval.parse("1d"), Interval.parse("1w")
REQUEST = PageRequest(("AAPL",), MINUTE, START_NS + 100 * MIN_NS, START_NS + 110 * MIN_NS)
TRUTH = {"AAPL": bars_of(2_000), "BRK.B": bars_of(300)}
IN_RANGE = TRUTH["AAPL"].take(slice(100, 110))


@pytest.fixture
def server() -> Iterator[SchwabServer]:
    with serving(SchwabServer(TRUTH)) as running:
        yield running


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
def vendor(server: SchwabServer, tmp_path: Path, clock: JumpClock) -> SchwabVendor:
    return SchwabVendor(KEYS, token_file(tmp_path, server.new_access()), url=server.url, limits=LIMITS, clock=clock)


def test_a_request_asks_as_schwab_wants_it(server: SchwabServer, vendor: SchwabVendor) -> None:
    vendor.fetch(REQUEST)
    vendor.fetch(PageRequest(("BRK.B",), Interval.parse("10m"), START_NS, END_NS))
    asked = {"symbol": "AAPL", "periodType": "day", "period": "1", "frequencyType": "minute", "frequency": "1"}
    start_ms, end_ms = REQUEST.start_ns // 1_000_000, REQUEST.end_ns // 1_000_000
    asked |= {"startDate": str(start_ms), "endDate": str(end_ms), "needExtendedHoursData": "true"}
    assert server.asked[0] == asked
    assert (server.asked[1]["symbol"], server.asked[1]["frequency"]) == ("BRK/B", "10")
    assert server.renewals == 0


def test_the_whole_day_comes_and_the_range_is_taken(server: SchwabServer, vendor: SchwabVendor) -> None:
    page = vendor.fetch(REQUEST)
    assert page.bars["AAPL"].equals(IN_RANGE)
    assert (page.next_token, page.rate) == (None, None)
    assert vendor.fetch(PageRequest(("BRK.B",), MINUTE, START_NS, END_NS)).bars["BRK.B"].equals(TRUTH["BRK.B"])


def test_a_symbol_without_bars_has_none(vendor: SchwabVendor) -> None:
    assert vendor.fetch(PageRequest(("ZZZZ",), MINUTE, START_NS, END_NS)).bars == {}


def daily(*dates: str) -> Bars:
    stamps = [datetime.fromisoformat(date).replace(tzinfo=ZoneInfo("America/New_York")).timestamp() for date in dates]
    bars = bars_of(len(dates))
    return Bars(np.array(stamps).astype(np.int64) * 1_000_000_000, *(getattr(bars, name) for name in COLUMNS))


def test_days_are_stamped_with_new_york_s_midnight(server: SchwabServer, vendor: SchwabVendor) -> None:
    """Schwab's stamp is Chicago's; DST changed on 2024-03-10 and 2023-11-05."""
    server.truth = {"AAPL": daily("2023-11-03", "2023-11-06", "2024-03-08", "2024-03-11", "2024-07-02")}
    start, end = parse_ns("2023-11-03T04:00:00Z"), parse_ns("2024-07-02T04:00:00Z")
    found = vendor.fetch(PageRequest(("AAPL",), DAILY, start, end)).bars["AAPL"]
    assert found.equals(server.truth["AAPL"].take(slice(0, 4)))
    assert found.start_ns[1] == parse_ns("2023-11-06T05:00:00Z")
    assert server.asked[0]["frequencyType"] == "daily"
    assert "needExtendedHoursData" not in server.asked[0]


@pytest.mark.parametrize("weekday", [0, 4])
def test_weeks_begin_on_monday_whatever_day_they_are_stamped_with(
    server: SchwabServer, vendor: SchwabVendor, weekday: int
) -> None:
    server.truth, server.weekday = {"AAPL": daily("2024-03-04", "2024-03-11", "2024-03-18")}, weekday
    start, end = parse_ns("2024-03-11T04:00:00Z"), parse_ns("2024-03-12T04:00:00Z")
    found = vendor.fetch(PageRequest(("AAPL",), WEEKLY, start, end)).bars["AAPL"]
    assert found.equals(server.truth["AAPL"].take(slice(1, 2)))


def test_what_lies_too_far_back_is_refused_and_not_taken_for_empty(server: SchwabServer, vendor: SchwabVendor) -> None:
    assert {str(interval) for interval in SchwabAccount.native} == {"1m", "5m", "10m", "15m", "30m", "1d", "1w"}
    for interval, limit in SchwabAccount.native.items():
        start_ns = NOW_NS - int((limit or timedelta(days=9_000)).total_seconds()) * 1_000_000_000
        vendor.fetch(PageRequest(("ZZZZ",), interval, start_ns, END_NS))
        if limit is None:
            continue
        with pytest.raises(RequestRefused, match="too far back"):
            vendor.fetch(PageRequest(("AAPL",), interval, start_ns - 25 * 60 * MIN_NS, END_NS))
    assert len(server.asked) == 7


@pytest.mark.parametrize(
    ("days_back", "first_day", "last_day", "is_believed"),
    [
        (40, 40, 1, True),
        (40, 36, 1, True),  # Friday and Memorial Day
        (40, 34, 1, False),
        (29, 3, 1, True),  # so near nothing is cut off
        (40, None, 1, True),
        (40, None, 31, False),
        (40, None, 35, False),
        (40, None, 36, True),
    ],
)
def test_an_answer_that_may_have_been_cut_is_not_taken_for_whole(
    server: SchwabServer,
    vendor: SchwabVendor,
    days_back: int,
    first_day: int | None,
    last_day: int,
    is_believed: bool,
) -> None:
    day_ns = 24 * 60 * MIN_NS
    server.truth = {"AAPL": bars_of(10 if first_day else 0, NOW_NS - (first_day or 0) * day_ns + MIN_NS)}
    request = PageRequest(("AAPL",), MINUTE, NOW_NS - days_back * day_ns, NOW_NS - last_day * day_ns)
    if is_believed:
        assert len(vendor.fetch(request).bars) == (first_day is not None)
        return
    with pytest.raises(RequestRefused, match="may lie too far back"):
        vendor.fetch(request)


@pytest.mark.parametrize(
    "fault", ["{}", "null", "nan", "no json", "duplicate", "disorder", "other symbol", "not empty"]
)
def test_an_answer_that_makes_no_sense_may_be_asked_for_again(
    server: SchwabServer, vendor: SchwabVendor, fault: str
) -> None:
    server.fault = told(fault)
    with pytest.raises(VendorFailed, match="makes no sense"):
        vendor.fetch(REQUEST)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("500", VendorFailed),
        ("502", VendorFailed),
        ("503", VendorFailed),
        ("504", VendorFailed),
        ("429", VendorThrottled),
    ],
)
def test_each_refusal_has_its_error_and_is_asked_once(
    server: SchwabServer, vendor: SchwabVendor, fault: str, kind: type[BarrayError]
) -> None:
    server.fault = told(fault)
    with pytest.raises(BarrayError, match=f"HTTP {fault}$") as caught:
        vendor.fetch(REQUEST)
    assert type(caught.value) is kind
    assert len(server.asked) == 1


def test_an_unknown_symbol_is_refused(server: SchwabServer, vendor: SchwabVendor) -> None:
    server.unknown = frozenset({"AAPL"})
    with pytest.raises(RequestRefused, match="HTTP 404: Not Found; check the symbol"):
        vendor.fetch(REQUEST)


def test_a_429_says_when_to_come_again(server: SchwabServer, vendor: SchwabVendor) -> None:
    expected = {"429": None, "429 seconds": NOW_NS / 1e9 + 5, "429 date": datetime.now(UTC).timestamp() + 30}
    for fault, retry_at_s in expected.items():
        server.fault = told(fault)
        with pytest.raises(VendorThrottled) as caught:
            vendor.fetch(REQUEST)
        assert caught.value.retry_at_s == (retry_at_s and pytest.approx(retry_at_s, abs=10))


@pytest.mark.long
@pytest.mark.parametrize("fault", ["hang", "trickle", "reset", "cut"])
def test_no_answer_may_be_asked_for_again(server: SchwabServer, tmp_path: Path, clock: JumpClock, fault: str) -> None:
    limits = Limits(page_rows=None, symbols=1, per_minute=120, timeout_s=0.2)
    vendor = SchwabVendor(KEYS, token_file(tmp_path, server.new_access()), url=server.url, limits=limits, clock=clock)
    server.fault = told(fault)
    with pytest.raises(VendorFailed, match=r"no answer: .*(Timeout|Error)"):
        vendor.fetch(REQUEST)


def test_a_server_that_is_gone_may_be_asked_again(tmp_path: Path, clock: JumpClock) -> None:
    with pytest.raises(VendorFailed, match="no answer: ConnectError"):
        SchwabVendor(KEYS, token_file(tmp_path, "canary-x"), url="http://127.0.0.1:9", clock=clock).fetch(REQUEST)


def test_schwab_lists_no_symbols(vendor: SchwabVendor) -> None:
    with pytest.raises(RequestRefused, match="name the symbols"):
        vendor.active_symbols()
    assert vendor.dataset == Dataset("schwab", "", "split")


def test_without_schwab_py_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("barray.data_sources.schwab.token.find_spec", lambda name: None)
    assert importlib.util.find_spec("schwab") is not None
    with pytest.raises(ConfigError, match=r"pip install 'barray\[schwab\]'"):
        SchwabVendor(KEYS, token_file(tmp_path, "canary-x"))
