"""Schwab through the gateway into Parquet, whatever the server does: the truth is there, or the symbol has failed."""

from __future__ import annotations

import base64
import io
import logging
import random
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from barray.data_sources.fetching.fetcher import Fetcher, FetchResult
from barray.data_sources.fetching.store import BarStore
from barray.data_sources.fetching.vendor import Limits, PageRequest
from barray.data_sources.schwab.vendor import SchwabVendor
from barray.market.bars import COLUMNS, Bars
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from tests.data_sources.gateway_fakes import END_NS, MIN_NS, MINUTE, START_NS, JumpClock, bars_of
from tests.data_sources.stored import Stored, universe
from tests.shared_data import load_bars, skip_without_shared
from tests.vendors.schwab_server import FAULTS, KEYS, NEW_YORK, REFRESH, SchwabServer, token_file, told
from tests.vendors.serving import serving

LIMITS = Limits(page_rows=None, symbols=1, per_minute=120, timeout_s=0.15)
SPAN = (START_NS, END_NS)


@pytest.fixture(scope="module")
def server() -> Iterator[SchwabServer]:
    with serving(SchwabServer({})) as running:
        yield running


class Setting(Stored):
    """One store, filled from the server by a new vendor for each run."""

    def __init__(
        self,
        server: SchwabServer,
        folder: Path,
        truth: dict[str, Bars],
        span: tuple[int, int] = SPAN,
        interval: Interval = MINUTE,
    ) -> None:
        self.server, self.truth, self.span, self.interval = server, truth, span, interval
        server.truth, server.fault, server.refresh, server.rotates = truth, told(None), REFRESH, False
        server.token_faults, server.echoes, server.unknown = [], False, frozenset()
        self.clock = JumpClock(span[1] + 60 * MIN_NS)
        self.token = token_file(folder, server.new_access(), now_ns=self.clock.now_ns())
        self.store = BarStore(folder / "store", SchwabVendor(KEYS, self.token).dataset)

    def run(self) -> FetchResult:
        vendor = SchwabVendor(KEYS, self.token, url=self.server.url, limits=LIMITS, clock=self.clock)
        gateway = Fetcher(vendor, self.store, clock=self.clock, sleep=self.clock.sleep, seed=1)
        return gateway.ensure(self.truth, self.interval, *self.span)

    def is_whole(self) -> bool:
        """Everything is there, and another run asks for nothing."""
        asked = len(self.server.asked)
        again = self.run()
        return all(map(self.is_true, self.truth)) and not again.requests and len(self.server.asked) == asked


def first_suffers(fault: str) -> Callable[[str], str | None]:
    """Each symbol's first request goes wrong."""
    seen: set[str] = set()
    return lambda symbol: seen.add(symbol) or fault if symbol not in seen else None


def mixture(seed: int) -> Callable[[str], str | None]:
    chance = random.Random(seed)
    share = chance.choice([0.1, 0.3, 0.5, 0.7])
    faults = [fault for fault in FAULTS for _ in range(1 if fault in ("hang", "trickle") else 4)]
    return lambda _: chance.choice(faults) if chance.random() < share else None


@pytest.mark.long
@pytest.mark.parametrize("fault", [*FAULTS, None])
def test_each_fault_alone_costs_time_and_no_bar(server: SchwabServer, tmp_path: Path, fault: str | None) -> None:
    setting = Setting(server, tmp_path, universe())
    server.fault = first_suffers(fault) if fault else told(None)
    assert not setting.run().failures
    assert setting.is_whole()


@pytest.mark.long
@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"401", "hang", "trickle"}))
def test_a_fault_that_stays_fails_its_symbol_and_says_why(server: SchwabServer, tmp_path: Path, fault: str) -> None:
    setting = Setting(server, tmp_path, universe(symbols=3))
    server.fault = lambda symbol: fault if symbol == "S1" else None
    result = setting.run()
    assert set(result.failures) == {"S1"}
    assert result.failures["S1"].code in ("vendor_failed", "throttled")
    assert result.failures["S1"].message
    assert setting.is_true("S0")
    assert setting.is_true("S2")
    assert not len(setting.held("S1"))


@pytest.mark.long
@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(10, 60))])
def test_under_any_mixture_parquet_holds_the_truth_or_the_symbol_failed(
    server: SchwabServer, tmp_path: Path, seed: int
) -> None:
    setting = Setting(server, tmp_path, universe(seed))
    server.fault, server.rotates = mixture(seed), seed % 2 == 0
    server.token_faults = random.Random(seed).choices([429, 500, 502, 200], k=seed % 4)
    result = setting.run()
    for symbol in setting.truth:
        assert setting.is_true(symbol) or result.failures[symbol].message
    server.fault, server.token_faults = told(None), []
    assert not setting.run().failures
    assert setting.is_whole()


def test_a_login_that_is_over_stops_all_at_once(server: SchwabServer, tmp_path: Path) -> None:
    setting = Setting(server, tmp_path, universe())
    server.access.clear()
    server.refresh = "canary-another"
    result = setting.run()
    assert set(result.failures) == set(setting.truth)
    assert {reason.code for reason in result.failures.values()} == {"access_denied"}
    assert all("barray login schwab" in reason.remedy for reason in result.failures.values())


def test_an_unknown_symbol_fails_alone(server: SchwabServer, tmp_path: Path) -> None:
    setting = Setting(server, tmp_path, universe())
    server.unknown = frozenset({"S2"})
    result = setting.run()
    assert {symbol: reason.code for symbol, reason in result.failures.items()} == {"S2": "request_refused"}


@pytest.mark.parametrize("interval", ["1d", "1w"])
def test_days_and_weeks_arrive_too(server: SchwabServer, tmp_path: Path, interval: str) -> None:
    step = 7 if interval == "1w" else 1
    starts = [datetime(2024, 1, 1, tzinfo=NEW_YORK) + timedelta(days=step * n) for n in range(21)]
    stamps = np.array([int(start.timestamp()) * 1_000_000_000 for start in starts])
    flat = bars_of(21)
    bars = Bars(stamps, *(getattr(flat, name) for name in COLUMNS))
    setting = Setting(server, tmp_path, {"S0": bars}, (int(stamps[2]), int(stamps[19])), Interval.parse(interval))
    setting.clock.sleep(86_400 * 8)
    token_file(tmp_path, server.new_access(), now_ns=setting.clock.now_ns())
    server.fault = first_suffers("503")
    assert not setting.run().failures
    assert len(setting.held("S0")) == 17
    assert setting.is_whole()


@pytest.mark.long
@skip_without_shared
def test_real_bars_arrive_as_they_are(server: SchwabServer, tmp_path: Path) -> None:
    bars = load_bars("pyalgotrade", "SPY", month="2011-03")
    span = int(bars.start_ns[500]), int(bars.start_ns[-400])
    setting = Setting(server, tmp_path, {"SPY": bars}, span)
    server.fault = first_suffers("reset")
    assert not setting.run().failures
    assert len(setting.held("SPY")) > 9_000
    assert setting.is_whole()


@pytest.mark.long
def test_no_secret_is_in_a_file_a_log_or_an_error(
    server: SchwabServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    setting = Setting(server, tmp_path, universe())
    server.echoes, server.rotates = True, True
    server.fault = mixture(3)
    results = [setting.run()]
    server.fault, setting.truth["S9"] = told("401"), bars_of(5)
    results.append(setting.run())
    server.refresh = "canary-another"
    results.append(setting.run())
    said = io.StringIO()
    vendor = SchwabVendor(KEYS, setting.token, url=server.url, limits=LIMITS, clock=setting.clock)
    try:
        vendor.fetch(PageRequest(("S9",), MINUTE, *SPAN))
    except BarrayError as error:
        traceback.print_exc(file=said)
        said.write(f"{error!r} {vars(error)} {error.__cause__!r} {vendor!r} {vars(vendor)}")
    assert "HTTP Request: GET" in caplog.text
    assert "Req 1: GET to" in caplog.text
    assert results[1].failures["S9"].message == "HTTP 401: Unauthorized: token ***"
    assert results[2].failures["S9"].message.count("***") > 1
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != setting.token]
    assert len(files) > 10
    shown = [caplog.text, *capfd.readouterr(), said.getvalue(), repr(results), *map(str, files)]
    held = b"".join(path.read_bytes() for path in files) + "".join(shown).encode()
    basic = base64.b64encode(f"{KEYS.key}:{KEYS.secret}".encode())
    for secret in (b"canary", basic, REFRESH.encode(), quote(REFRESH, safe="").encode()):
        assert secret not in held
    assert b"canary" in setting.token.read_bytes()
