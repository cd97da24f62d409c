"""Alpaca through the gateway into Parquet, whatever the server does: the truth is there, or the symbol has failed."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from barray.data_sources.alpaca.vendor import AlpacaAccount, AlpacaVendor
from barray.data_sources.fetching.fetcher import Fetcher, FetchResult
from barray.data_sources.fetching.store import BarStore
from barray.data_sources.fetching.vendor import Limits
from barray.market.bars import Bars
from tests.data_sources.gateway_fakes import END_NS, MIN_NS, MINUTE, START_NS, JumpClock, bars_of
from tests.data_sources.stored import Stored, universe
from tests.shared_data import REPO, SHARED, load_bars, skip_without_shared
from tests.vendors.alpaca_server import FATAL, FAULTS, KEYS, AlpacaServer
from tests.vendors.serving import serving

SPAN = (START_NS, END_NS)
SPECIFICATION = SHARED / "specs" / "alpaca-market-data-api.json"
Fault = Callable[[int, list[str], str | None], str | None]


@pytest.fixture(scope="module")
def server() -> Iterator[AlpacaServer]:
    with serving(AlpacaServer()) as running:
        yield running


class Setting(Stored):
    """One store, filled from the server by a new vendor and gateway for each run."""

    def __init__(
        self,
        server: AlpacaServer,
        folder: Path,
        truth: dict[str, Bars],
        span: tuple[int, int] = SPAN,
        page_rows: int = 1_000,
        per_minute: int | None = None,
    ) -> None:
        self.server, self.truth, self.span, self.interval = server, truth, span, MINUTE
        self.clock = JumpClock(span[1] + 60 * MIN_NS)
        self.limits = Limits(page_rows, 100, per_minute or 1_000_000, timeout_s=0.3)
        server.hold(truth)
        server.fault, server.per_minute = always(None), per_minute
        server.clock = lambda: self.clock.now_ns() / 1e9
        server.exceeded = 0
        server.asked.clear()
        self.store = BarStore(folder / "store", self.vendor().dataset)

    def vendor(self) -> AlpacaVendor:
        return AlpacaVendor(KEYS, AlpacaAccount(url=self.server.url, trading_url=self.server.url), self.limits)

    def run(self) -> FetchResult:
        gateway = Fetcher(self.vendor(), self.store, clock=self.clock, sleep=self.clock.sleep, seed=1)
        return gateway.ensure(self.truth, MINUTE, *self.span)

    def is_whole(self) -> bool:
        """Everything is there, and another run asks for nothing."""
        asked = len(self.server.asked)
        again = self.run()
        return all(map(self.is_true, self.truth)) and not again.requests and len(self.server.asked) == asked


def always(fault: str | None) -> Fault:
    return lambda number, symbols, token: fault


def at_first(fault: str) -> Fault:
    """The first request goes wrong, and the first that has a token."""
    seen: set[bool] = set()

    def chosen(number: int, symbols: list[str], token: str | None) -> str | None:
        if (token is None) in seen:
            return None
        seen.add(token is None)
        return fault

    return chosen


def mixture(seed: int) -> Fault:
    chance = random.Random(seed)
    share = chance.choice([0.1, 0.3, 0.5, 0.7])
    faults = [fault for fault in FAULTS for _ in range(1 if fault == "hang" else 4)]
    return lambda number, symbols, token: chance.choice(faults) if chance.random() < share else None


@pytest.mark.long
@pytest.mark.parametrize("fault", [*FAULTS, None])
def test_each_fault_alone_costs_time_and_no_bar(server: AlpacaServer, tmp_path: Path, fault: str | None) -> None:
    setting = Setting(server, tmp_path, universe(), page_rows=300)
    server.fault = at_first(fault) if fault else always(None)
    assert not setting.run().failures
    server.fault = always(None)
    assert setting.is_whole()


@pytest.mark.long
@pytest.mark.parametrize(
    "fault", sorted({*FAULTS, *FATAL} - {"hang", "overshoot", "no n vw", "same page", "same token", "backwards"})
)
def test_a_fault_that_stays_fails_its_symbol_and_says_why(server: AlpacaServer, tmp_path: Path, fault: str) -> None:
    setting = Setting(server, tmp_path, universe(symbols=3))
    server.fault = lambda number, symbols, token: fault if "S1" in symbols else None
    result = setting.run()
    assert "S1" in result.failures
    assert result.failures["S1"].message
    everybodys = fault in (*FATAL, "429", "429 reset", "empty page")
    assert everybodys or set(result.failures) == {"S1"}
    assert all(map(setting.invents_nothing, setting.truth))
    server.fault = always(None)
    assert not setting.run().failures
    assert setting.is_whole()


@pytest.mark.long
@pytest.mark.parametrize("fault", FATAL)
def test_a_refused_key_stops_all_at_once_and_is_not_tried_again(
    server: AlpacaServer, tmp_path: Path, fault: str
) -> None:
    setting = Setting(server, tmp_path, universe())
    server.fault = always(fault)
    result = setting.run()
    assert {reason.code for reason in result.failures.values()} == {"access_denied"}
    assert set(result.failures) == set(setting.truth)
    assert all("APCA_API_KEY_ID" in reason.remedy for reason in result.failures.values())
    assert result.requests <= 8


@pytest.mark.long
@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(10, 200))])
def test_under_any_mixture_parquet_holds_the_truth_or_the_symbol_failed(
    server: AlpacaServer, tmp_path: Path, seed: int
) -> None:
    setting = Setting(server, tmp_path, universe(seed, symbols=4), page_rows=random.Random(seed).choice([150, 700]))
    server.fault = mixture(seed)
    result = setting.run()
    for symbol in setting.truth:
        assert setting.invents_nothing(symbol)
        assert setting.is_true(symbol) or result.failures[symbol].message
    server.fault = always(None)
    assert not setting.run().failures
    assert setting.is_whole()


@pytest.mark.long
def test_a_malformed_symbol_costs_itself_alone(server: AlpacaServer, tmp_path: Path) -> None:
    truth = {**universe(symbols=20), "bad-one": bars_of(0), "^BAD": bars_of(0)}
    setting = Setting(server, tmp_path, truth)
    result = setting.run()
    assert {symbol: reason.code for symbol, reason in result.failures.items()} == dict.fromkeys(
        ["bad-one", "^BAD"], "request_refused"
    )
    assert "invalid symbol: bad-one" in result.failures["bad-one"].message
    assert all(map(setting.is_true, truth))


@pytest.mark.long
def test_five_hundred_symbols_stay_within_the_rate_limit_at_the_fewest_requests(
    server: AlpacaServer, tmp_path: Path
) -> None:
    chance = random.Random(5)
    span = (START_NS, START_NS + 2 * 86_400 * 10**9)
    truth = {f"S{n}": bars_of(chance.randrange(700), START_NS, step=4, price=2.0 + n) for n in range(500)}
    setting = Setting(server, tmp_path, truth, span, page_rows=1_000, per_minute=60)
    result = setting.run()
    assert not result.failures
    assert server.exceeded == 0
    inside = sum(int((bars.start_ns < span[1]).sum()) for bars in truth.values())
    fewest = -(-inside // 1_000)
    assert result.requests == len(server.asked) <= 1.1 * fewest
    assert fewest > 2 * 60
    assert setting.is_whole()


CHILD = """
import sys, time
from pathlib import Path
from tests.data_sources.alpaca.test_gateway import *
url, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
vendor = AlpacaVendor(KEYS, AlpacaAccount(url=url), Limits(100, 100, 1_000_000, timeout_s=5))
print(Fetcher(vendor, BarStore(folder, vendor.dataset)).ensure([f"S{n}" for n in range(count)], MINUTE, *SPAN).requests)
"""


@pytest.mark.long
def test_a_killed_fetch_goes_on_from_what_is_written(server: AlpacaServer, tmp_path: Path) -> None:
    setting = Setting(server, tmp_path, universe(3, symbols=6), page_rows=100)
    command = [sys.executable, "-c", CHILD, server.url, str(tmp_path / "store"), "6"]

    def slow(number: int, symbols: list[str], token: str | None) -> str | None:
        time.sleep(0.02)  # of the server's one thread: requests come one after another
        return None

    server.fault = slow
    whole = Setting(server, tmp_path / "other", setting.truth, page_rows=100).run().requests
    server.fault = slow
    server.asked.clear()
    process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)
    end_s = time.monotonic() + 60
    while len(server.asked) < whole // 2 and process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    asked = len(server.asked)
    assert whole // 2 <= asked < whole
    assert all(map(setting.invents_nothing, setting.truth))
    rest = setting.run()
    assert not rest.failures
    assert rest.requests <= whole - asked + 2 * 6
    assert setting.is_whole()


@pytest.mark.long
def test_no_secret_is_in_a_file_a_log_or_an_error(
    server: AlpacaServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    setting = Setting(server, tmp_path, universe())
    server.fault = mixture(3)
    results = [setting.run()]
    setting.truth["S9"] = bars_of(5)
    server.keys = type(KEYS)("another", "pair")  # it answers with what it was shown
    try:
        results.append(setting.run())
    finally:
        server.keys = KEYS
    assert "***" in results[1].failures["S9"].message
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    shown = [caplog.text, *capfd.readouterr(), repr(results), repr(setting.vendor()), *map(str, files)]
    held = b"".join(path.read_bytes() for path in files) + "".join(shown).encode()
    assert b"canary" not in held


@pytest.mark.long
@skip_without_shared
def test_real_bars_arrive_as_they_are(server: AlpacaServer, tmp_path: Path) -> None:
    bars = load_bars("pyalgotrade", "SPY", month="2011-03")
    span = int(bars.start_ns[500]), int(bars.start_ns[-400])
    setting = Setting(server, tmp_path, {"SPY": bars}, span)
    server.fault = at_first("reset")
    assert not setting.run().failures
    assert len(setting.held("SPY")) > 9_000
    assert setting.is_whole()


@pytest.mark.long
@pytest.mark.skipif(not SPECIFICATION.is_file(), reason=f"no {SPECIFICATION}: set BARRAY_SHARED to the shared folder")
def test_the_server_answers_as_alpaca_describes_it(server: AlpacaServer, tmp_path: Path) -> None:
    from openapi_core import OpenAPI
    from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse

    held = json.loads(SPECIFICATION.read_text())
    held["servers"] = [{"url": server.url}]
    description = OpenAPI.from_dict(held)
    setting = Setting(server, tmp_path, universe(), page_rows=300, per_minute=10_000)
    seen: list[requests.Response] = []
    vendor = setting.vendor()
    vendor._client._session.hooks["response"].append(lambda response, **_: seen.append(response))
    gateway = Fetcher(vendor, setting.store, clock=setting.clock, sleep=setting.clock.sleep)
    gateway.ensure([*setting.truth, "bad-one"], MINUTE, *setting.span)
    assert {response.status_code for response in seen} == {200, 400}
    assert len(seen) > 10
    for response in seen:
        request = RequestsOpenAPIRequest(response.request)
        if response.status_code == 200:
            description.validate_request(request)
        description.validate_response(request, RequestsOpenAPIResponse(response))


def test_active_symbols_are_those_of_the_server(server: AlpacaServer, tmp_path: Path) -> None:
    setting = Setting(server, tmp_path, universe())
    assert list(setting.vendor().active_symbols()) == ["S0", "S1", "S2", "S3", "S4"]
