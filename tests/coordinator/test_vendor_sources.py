"""Sessions and backtests on a vendor's bars, fetched over HTTP by the real client in a gateway actor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import barray
from barray.coordinator.config.file import as_config
from barray.coordinator.gateway_pool import GatewayPool
from barray.data_sources.fetching.gateway import secrets_of
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.market.bars import Bars
from barray.market.requirements import calendar_for
from tests.market.builders import new_york_ns, require, sessions_of, walk
from tests.sessions import config
from tests.vendors.schwab_server import KEYS, REFRESH, SchwabServer, token_file
from tests.vendors.serving import serving

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here", "keys")]
FIRST, LAST = date(2024, 7, 1), date(2024, 7, 3)
NOWHERE = "http://127.0.0.1:9"


def daily(seed: int) -> Bars:
    """Bars of every session of half a year around the dates, stamped as vendors do: with New York's midnight."""
    days = calendar_for(require("1d"), "XNYS", date(2024, 3, 1), date(2024, 8, 30), source=sessions_of).sessions.dates
    return walk(np.array([new_york_ns(day.item(), "00:00") for day in days], np.int64), seed)


TRUTH = {"AAPL": daily(1), "MSFT": daily(2), "LATE": daily(3)}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHWAB_API_KEY", KEYS.key)
    monkeypatch.setenv("SCHWAB_APP_SECRET", KEYS.secret)
    monkeypatch.setenv("APCA_API_KEY_ID", "canary-alpaca-key")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "canary-alpaca-secret")


@pytest.fixture
def server() -> Iterator[SchwabServer]:
    with serving(SchwabServer(dict(TRUTH))) as running:
        yield running


def settings(server: SchwabServer, folder: Path, *symbols: str, **changes: Any) -> dict[str, Any]:
    token = token_file(folder, server.new_access(), now_ns=time.time_ns())
    store = str(folder / "store")
    alpaca = {"type": "alpaca", "url": NOWHERE, "store": store, "give_up_s": 0.5}
    schwab = {"type": "schwab", "url": server.url, "token": str(token), "store": store}
    asked = {
        "session": {"start": str(FIRST), "end": str(LAST)},
        "intervals": ["1d"],
        "indicators": ["SMA(5)@1d"],
        "sources": [alpaca, schwab],
    }
    return config(folder, *symbols, **{**asked, **changes})


def closes(symbol: str, day: date, count: int) -> list[float]:
    bars = TRUTH[symbol]
    last = int(np.searchsorted(bars.start_ns, new_york_ns(day, "00:00"), side="right"))
    found: list[float] = bars.close[last - count : last].tolist()
    return found


def test_a_session_fetches_what_no_source_before_could_serve_and_says_who_was_asked(
    server: SchwabServer, tmp_path: Path
) -> None:
    chosen = settings(server, tmp_path, "AAPL", "NOPE", "MSFT")
    with barray.Session(chosen) as session:
        for day in session.dates:
            summary = session.begin(day)
            session.advance_to()
            assert session.add_symbol("LATE")
            session.end()
            data = session.snapshot("AAPL")
            assert data.bars["1d"].bars.close.tolist() == closes("AAPL", day, len(data.bars["1d"].bars.close))
            assert data.indicators["SMA(5)@1d"].values["real"][-1] == pytest.approx(np.mean(closes("AAPL", day, 5)))
            assert data.lineage is not None
            assert data.lineage.source == "schwab"
            session.teardown()
            found = summary.step0["AAPL"]
            assert found.sources_asked == ("alpaca", "schwab")
            assert [reason.source for reason in found.reasons] == ["alpaca"]
            assert [reason.code for reason in summary.step0["NOPE"].reasons] == ["vendor_failed", "no_data_source"]
    assert len(server.asked) == 4, "all dates of a symbol come with its first"
    with barray.Session(chosen) as session:
        session.begin(LAST)
    assert len(server.asked) == 4, "a second run asks for nothing"


def test_a_source_without_credentials_is_passed_over(
    server: SchwabServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APCA_API_KEY_ID")
    with barray.Session(settings(server, tmp_path, "AAPL")) as session:
        summary = session.begin(LAST)
    assert [reason.code for reason in summary.step0["AAPL"].reasons] == ["no_credentials"]
    assert "APCA_API_KEY_ID is not set" in str(summary.step0["AAPL"].reasons[0])


def test_two_sessions_of_one_credential_share_a_gateway_and_survive_each_other(
    server: SchwabServer, tmp_path: Path
) -> None:
    chosen = settings(server, tmp_path, "AAPL")
    with barray.Session({**chosen, "name": "one"}) as one, barray.Session({**chosen, "name": "two"}) as two:
        one.begin(FIRST)
        two.begin(FIRST)
        one.close()
        assert two.add_symbol("LATE"), "its gateway was the other session's, and is gone"
    assert [asked["symbol"] for asked in server.asked] == ["AAPL", "LATE"]


STRATEGY = """
from barray import Strategy

class Buys(Strategy):
    interval = "1d"

    def on_bar(self, ctx):
        if ctx.position == 0:
            ctx.order(1)
"""


def test_a_gateway_outlives_what_it_refuses(server: SchwabServer, tmp_path: Path) -> None:
    """It may be listening for others, and fetching."""
    source = as_config(settings(server, tmp_path, "AAPL")).data_sources[1]
    assert isinstance(source, VendorSource)

    async def refused() -> None:
        gateways = GatewayPool()
        gateways.set_credentials(secrets_of({source.name: source}))
        for _ in range(2):
            reason = await gateways.listen("test", source, ["AAPL"])
            assert reason is not None
            assert "stream" in reason.message
            (gateway,) = gateways._actors.values()
            assert await gateway.progress.remote() is None

    asyncio.run(refused())


def test_a_backtest_runs_on_fetched_bars_and_again_without_asking(server: SchwabServer, tmp_path: Path) -> None:
    (tmp_path / "strategy.py").write_text(STRATEGY)
    section = {"path": str(tmp_path / "strategy.py")}
    chosen = settings(server, tmp_path, "AAPL", "NOPE", strategy=section, indicators=[])
    first = barray.backtest(chosen)
    asked = len(server.asked)
    assert list(first.symbols) == ["AAPL"]
    assert len(first.symbols["AAPL"].fills) == 1
    assert set(first.dropped) == {"NOPE"}
    again = barray.backtest(chosen)
    assert len(server.asked) == asked
    assert again.symbols["AAPL"].equity.tobytes() == first.symbols["AAPL"].equity.tobytes()


def test_no_secret_is_in_any_file_or_output_of_a_session(
    server: SchwabServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import ray

    server.echoes = True
    server.access.clear()  # the first request is refused, the refresh that follows too
    server.refresh = "another"
    chosen = settings(server, tmp_path, "AAPL")
    server.access.clear()
    with barray.Session(chosen) as session, pytest.raises(barray.ValidationFailed) as failed:
        session.begin(LAST)
    shown = capfd.readouterr()
    said = f"{failed.value} {shown.out} {shown.err}"
    assert "schwab" in said
    logs = Path(ray._private.worker._global_node.get_session_dir_path())  # type: ignore[attr-defined]
    secrets = (KEYS.key, KEYS.secret, REFRESH, "canary-access", "canary-alpaca")
    for secret in secrets:
        assert secret not in said
    files = [path for folder in (logs, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        if "schwab token.json" in path.name:
            continue
        held = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in held], path
