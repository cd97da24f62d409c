"""The login at Schwab: what the person pastes becomes a private token file that the vendor can use."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from barray.data_sources.fetching.vendor import AccessDenied, PageRequest
from barray.data_sources.schwab.login import log_in
from barray.data_sources.schwab.token import schwab_py
from barray.data_sources.schwab.vendor import SchwabVendor
from barray.market.errors import ConfigError
from tests.data_sources.gateway_fakes import MIN_NS, MINUTE, bars_of
from tests.vendors.schwab_server import CODE, KEYS, LIMITS, SchwabServer
from tests.vendors.serving import serving

START_NS = (time.time_ns() // MIN_NS - 600) * MIN_NS
TRUTH = bars_of(10, START_NS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SchwabServer]:
    with serving(SchwabServer({"AAPL": TRUTH})) as running:
        monkeypatch.setattr(schwab_py("auth"), "TOKEN_ENDPOINT", f"{running.url}/v1/oauth/token")
        yield running


def pasted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str) -> None:
    """The person opens the page that was named, and pastes where it ended."""

    def paste(_: str) -> str:
        state = re.search(r"state=(\w+)", capsys.readouterr().out)
        assert state is not None
        return f"https://127.0.0.1:8182/?code={quote(code)}&session=1&state={state[1]}"

    monkeypatch.setattr("builtins.input", paste)


@pytest.mark.long
def test_the_token_of_a_login_is_private_and_good(
    server: SchwabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pasted(monkeypatch, capsys, CODE)
    path = tmp_path / "new" / "token.json"
    log_in(KEYS, path)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert abs(json.loads(path.read_text())["creation_timestamp"] - time.time()) < 60
    vendor = SchwabVendor(KEYS, path, url=server.url, limits=LIMITS)
    request = PageRequest(("AAPL",), MINUTE, START_NS, START_NS + 10 * MIN_NS)
    assert vendor.fetch(request).bars["AAPL"].equals(TRUTH)


def test_a_code_that_is_not_good_leaves_no_file(
    server: SchwabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.echoes = True
    pasted(monkeypatch, capsys, "C0.stale@")
    with pytest.raises(AccessDenied, match="Schwab gave no token: OAuthError: unsupported_token_type") as caught:
        log_in(KEYS, tmp_path / "token.json")
    assert "canary" not in str(caught.value)
    assert not (tmp_path / "token.json").exists()


def test_a_folder_that_cannot_hold_it_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        log_in(KEYS, tmp_path / "none" / "token.json")
