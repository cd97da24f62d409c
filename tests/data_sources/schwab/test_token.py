"""Tokens of a Schwab login: renewed by one for all, kept in private, and what is said when they are good no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.vendor import AccessDenied, Limits, PageRequest, VendorFailed, VendorThrottled
from barray.data_sources.schwab.vendor import SchwabVendor
from barray.market.bars import Bars
from barray.market.errors import BarrayError, ConfigError
from tests.data_sources.gateway_fakes import MIN_NS, MINUTE, NOW_NS, START_NS, JumpClock, bars_of
from tests.vendors.schwab_server import KEYS, LIMITS, SchwabServer, token_file, told
from tests.vendors.serving import serving

REQUEST = PageRequest(("AAPL",), MINUTE, START_NS, START_NS + 10 * MIN_NS)
TRUTH = bars_of(10)


@pytest.fixture
def server() -> Iterator[SchwabServer]:
    with serving(SchwabServer({"AAPL": TRUTH})) as running:
        yield running


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
def vendor(server: SchwabServer, tmp_path: Path, clock: JumpClock) -> SchwabVendor:
    return SchwabVendor(KEYS, token_file(tmp_path, server.new_access()), url=server.url, limits=LIMITS, clock=clock)


def at_once(vendor: SchwabVendor, count: int) -> list[Bars | BaseException]:
    """What `count` threads get that ask at the same moment."""
    found: list[Bars | BaseException] = []
    together = Barrier(count)

    def ask() -> None:
        together.wait()
        try:
            found.append(vendor.fetch(REQUEST).bars["AAPL"])
        except BarrayError as error:
            found.append(error)

    threads = [Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.long
@pytest.mark.parametrize("rejected", ["by its time", "by the server"])
def test_five_that_find_the_token_expired_renew_it_once(server: SchwabServer, tmp_path: Path, rejected: str) -> None:
    lasts_s = 30 if rejected == "by its time" else 1800
    path = token_file(tmp_path, server.new_access(), lasts_s=lasts_s)
    vendor = SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=JumpClock())
    if rejected == "by the server":
        vendor.fetch(REQUEST)
    server.access.clear()
    server.renewal_s = 0.1
    found = at_once(vendor, 5)
    assert all(isinstance(bars, Bars) and bars.equals(TRUTH) for bars in found)
    assert server.renewals == 1


@pytest.mark.long
def test_two_vendors_of_one_file_renew_it_once(server: SchwabServer, tmp_path: Path) -> None:
    """As two processes would: they share nothing but the file."""
    path = token_file(tmp_path, "canary-expired", lasts_s=-5)
    server.renewal_s, server.rotates = 0.1, True
    vendors = [SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=JumpClock()) for _ in range(2)]
    threads = [Thread(target=vendor.fetch, args=(REQUEST,)) for vendor in vendors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 2
    assert server.renewals == 1


@pytest.mark.long
@pytest.mark.parametrize("rotates", [False, True])
def test_a_new_token_is_kept_privately_as_schwab_py_would(
    server: SchwabServer, tmp_path: Path, rotates: bool, clock: JumpClock
) -> None:
    server.rotates = rotates
    path = token_file(tmp_path, "canary-expired", lasts_s=-5)
    before = json.loads(path.read_text())
    SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=clock).fetch(REQUEST)
    assert path.stat().st_mode & 0o777 == 0o600
    kept = json.loads(path.read_text())
    assert kept["creation_timestamp"] == before["creation_timestamp"]
    assert kept["token"]["access_token"] in server.access
    assert kept["token"]["refresh_token"] == server.refresh
    assert kept["token"]["expires_at"] == NOW_NS // 1_000_000_000 + 1800
    assert sorted(file.name for file in tmp_path.iterdir()) == [".schwab token.json.lock", "schwab token.json"]

    from schwab.auth import client_from_access_functions

    client = client_from_access_functions(KEYS.key, KEYS.secret, lambda: kept, lambda _: None)
    assert client.session.token["access_token"] == kept["token"]["access_token"]
    again = SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=clock)
    assert len(again.fetch(REQUEST).bars["AAPL"]) == 10
    assert server.renewals == 1


def test_a_login_while_it_runs_is_taken_up(server: SchwabServer, tmp_path: Path, clock: JumpClock) -> None:
    vendor = SchwabVendor(
        KEYS, token_file(tmp_path, "canary-x", age_s=8 * 86_400), url=server.url, limits=LIMITS, clock=clock
    )
    with pytest.raises(AccessDenied, match="more than seven days old"):
        vendor.fetch(REQUEST)
    token_file(tmp_path, server.new_access())
    vendor.fetch(REQUEST)
    assert server.renewals == 0


def test_a_login_that_is_over_says_what_to_run(server: SchwabServer, tmp_path: Path, clock: JumpClock) -> None:
    path = token_file(tmp_path, "canary-expired", lasts_s=-5)
    vendor = SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=clock)
    server.refresh = "canary-another"
    for _ in range(2):
        with pytest.raises(AccessDenied, match="HTTP 400: unsupported_token_type") as caught:
            vendor.fetch(REQUEST)
    assert f"barray login schwab --token '{path}'" in str(caught.value.remedy)
    assert "canary" not in str(caught.value)
    assert not server.asked


def test_keys_that_are_not_accepted(server: SchwabServer, tmp_path: Path, clock: JumpClock) -> None:
    path = token_file(tmp_path, "canary-expired", lasts_s=-5)
    vendor = SchwabVendor(KeyPair(KEYS.key, "canary-wrong"), path, url=server.url, limits=LIMITS, clock=clock)
    with pytest.raises(AccessDenied, match="HTTP 401: invalid_client: Unauthorized; check SCHWAB_API_KEY"):
        vendor.fetch(REQUEST)


def test_a_new_token_that_is_not_accepted_either_ends_it(server: SchwabServer, vendor: SchwabVendor) -> None:
    server.fault = told("401")
    with pytest.raises(AccessDenied, match="HTTP 401: Unauthorized"):
        vendor.fetch(REQUEST)
    assert (len(server.asked), server.renewals) == (3, 2)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(500, VendorFailed), (503, VendorFailed), (200, VendorFailed), (429, VendorThrottled), (403, AccessDenied)],
)
def test_a_token_server_in_trouble(
    server: SchwabServer, tmp_path: Path, clock: JumpClock, fault: int, kind: type[BarrayError]
) -> None:
    path = token_file(tmp_path, "canary-expired", lasts_s=-5)
    before = path.read_text()
    vendor = SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=clock)
    server.token_faults = [fault]
    with pytest.raises(BarrayError) as caught:
        vendor.fetch(REQUEST)
    assert type(caught.value) is kind
    assert path.read_text() == before
    assert len(vendor.fetch(REQUEST).bars["AAPL"]) == 10


@pytest.mark.long
def test_a_token_server_that_hangs_is_left_in_time(server: SchwabServer, tmp_path: Path, clock: JumpClock) -> None:
    limits = Limits(page_rows=None, symbols=1, per_minute=120, timeout_s=0.2)
    path = token_file(tmp_path, "canary-expired", lasts_s=-5)
    vendor = SchwabVendor(KEYS, path, url=server.url, limits=limits, clock=clock)
    server.token_faults = ["hang"]
    with pytest.raises(VendorFailed, match="no answer: ReadTimeout"):
        vendor.fetch(REQUEST)
    assert len(vendor.fetch(REQUEST).bars["AAPL"]) == 10


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, "canary")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 '{path}'"):
        SchwabVendor(KEYS, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"access_token":"canary"}',
        '{"creation_timestamp":1,"token":{"access_token":"canary"}}',
        '{"creation_timestamp":null,"token":{"access_token":"canary","refresh_token":"canary"}}',
        '{"creation_timestamp":1,"token":{"access_token":"canary\\n","refresh_token":"canary"}}',
        '{"creation_timestamp":1,"token":{"access_token":"","refresh_token":"canary"}}',
        '{"creation_timestamp":1,"token":{"access_token":7,"refresh_token":"canary"}}',
    ],
)
def test_what_is_no_token_file_says_how_to_get_one(tmp_path: Path, text: str) -> None:
    path = token_file(tmp_path, "canary-x")
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"holds no token.*barray login schwab") as caught:
        SchwabVendor(KEYS, path)
    assert "canary" not in f"{caught.value} {caught.value.__cause__}"
    path.unlink()
    with pytest.raises(ConfigError, match=r"No such file.*barray login schwab"):
        SchwabVendor(KEYS, path)


def test_a_token_file_that_goes_away_stops_it_when_a_new_token_is_due(
    server: SchwabServer, tmp_path: Path, clock: JumpClock
) -> None:
    path = token_file(tmp_path, server.new_access())
    vendor = SchwabVendor(KEYS, path, url=server.url, limits=LIMITS, clock=clock)
    vendor.fetch(REQUEST)
    path.unlink()
    vendor.fetch(REQUEST)
    clock.sleep(1800)
    with pytest.raises(AccessDenied, match="log in at Schwab"):
        vendor.fetch(REQUEST)
