"""Alpaca's client against answers over real HTTP: what is taken, and what each refusal becomes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from barray.data_sources.alpaca.vendor import AlpacaAccount, AlpacaVendor
from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.vendor import (
    AccessDenied,
    Limits,
    PageRequest,
    RateLimit,
    RequestRefused,
    TooRecent,
    VendorFailed,
    VendorThrottled,
)
from barray.market.bars import Bar, Bars, parse_ns
from barray.market.errors import BarrayError
from tests.data_sources.files import DAILY, MINUTE

KEYS = KeyPair("canary-key-1c9", "canary-secret-7e4")
START, END = parse_ns("2024-07-01T13:30:00Z"), parse_ns("2024-07-01T13:35:00Z")
REQUEST = PageRequest(("AAPL", "MSFT"), MINUTE, START, END)


@dataclass
class Server:
    """Gives one answer to every request, and keeps what was asked."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def says(self, bars: Any, token: str | None = None) -> None:
        self.body = json.dumps({"bars": bars, "next_page_token": token}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            told.asked.append((parts.path, parse_qs(parts.query), dict(self.headers)))
            self.send_response(told.status)
            for name, value in {"Content-Length": str(len(told.body) + 100 * told.cut), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)
            self.close_connection = told.cut

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield told
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture
def vendor(server: Server) -> AlpacaVendor:
    limits = Limits(page_rows=10_000, symbols=100, per_minute=200, timeout_s=5)
    return AlpacaVendor(KEYS, AlpacaAccount(url=server.url, trading_url=server.url), limits)


def row(stamp: str, price: float = 10.0, **changed: Any) -> dict[str, Any]:
    values = {"t": stamp, "o": price, "h": price, "l": price, "c": price, "v": 5, "n": 2, "vw": price, **changed}
    return {name: value for name, value in values.items() if value is not ...}


def bar(stamp: str, price: float = 10.0) -> Bar:
    return Bar(parse_ns(stamp), price, price, price, price, 5.0)


def test_a_request_asks_as_alpaca_wants_it(server: Server, vendor: AlpacaVendor) -> None:
    server.says({})
    vendor.fetch(PageRequest(("AAPL", "BRK.B"), DAILY, START, END, token="abc"))
    path, asked, headers = server.asked[0]
    assert path == "/v2/stocks/bars"
    assert asked == {
        "symbols": ["AAPL,BRK.B"],
        "timeframe": ["1Day"],
        "start": ["2024-07-01T13:30:00Z"],
        "end": ["2024-07-01T13:34:59.999999999Z"],
        "limit": ["10000"],
        "adjustment": ["raw"],
        "asof": ["-"],
        "feed": ["iex"],
        "currency": ["USD"],
        "sort": ["asc"],
        "page_token": ["abc"],
    }
    assert headers["APCA-API-KEY-ID"] == KEYS.key
    assert headers["APCA-API-SECRET-KEY"] == KEYS.secret


def test_a_page_holds_bars_token_and_rate(server: Server, vendor: AlpacaVendor) -> None:
    first, second = "2024-07-01T13:30:00Z", "2024-07-01T13:33:00Z"
    server.says({"AAPL": [row(first), row(second, 11.0, n=..., vw=...)], "MSFT": []}, token="next")
    server.headers = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "17", "X-RateLimit-Reset": "1719840660"}
    page = vendor.fetch(REQUEST)
    assert list(page.bars) == ["AAPL"]
    assert page.bars["AAPL"].equals(Bars.of([bar(first), bar(second, 11.0)]))
    assert page.next_token == "next"
    assert page.rate == RateLimit(200, 17, 1719840660.0)


def test_bars_beyond_the_range_are_left_out(server: Server, vendor: AlpacaVendor) -> None:
    stamps = ["2024-07-01T13:29:00Z", "2024-07-01T13:30:00Z", "2024-07-01T13:35:00Z"]
    server.says({"AAPL": [row(stamp) for stamp in stamps]})
    assert vendor.fetch(REQUEST).bars["AAPL"].equals(Bars.of([bar(stamps[1])]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>",
        b'{"bars":null,"next_page_token":null}',
        b'{"bars":{}}',
        b'{"bars":{},"next_page_token":7}',
        b'{"bars":{},"next_page_token":""}',
        b'{"bars":{"TSLA":[]},"next_page_token":null}',
        b'{"bars":{"AAPL":[{}]},"next_page_token":null}',
        b'{"bars":{"AAPL":null},"next_page_token":null}',
        b'{"bars":{"AAPL":[{"t":5,"o":1,"h":1,"l":1,"c":1,"v":1}]},"next_page_token":null}',
        b'{"bars":{"AAPL":[{"t":"2024-07-01T13:30:00Z","o":1,"h":NaN,"l":1,"c":1,"v":1}]},"next_page_token":null}',
        b'{"bars":{"AAPL":[{"t":"2024-07-01T13:30:00Z","o":1,"h":1,"l":-1,"c":1,"v":1}]},"next_page_token":null}',
        b'{"bars":{"AAPL":[{"t":"2024-07-01T13:30:00Z","o":1,"h":1,"l":1,"c":null,"v":1}]},"next_page_token":null}',
        b'{"bars":{"AAPL":[{"t":"2024-07-01T09:30:00","o":1,"h":1,"l":1,"c":1,"v":1}]},"next_page_token":null}',
        b'{"bars":{"AAPL":[{"t":"yesterdayZ","o":1,"h":1,"l":1,"c":1,"v":1}]},"next_page_token":null}',
    ],
)
def test_an_answer_that_makes_no_sense_may_be_asked_for_again(
    server: Server, vendor: AlpacaVendor, body: bytes
) -> None:
    server.body = body
    with pytest.raises(VendorFailed):
        vendor.fetch(REQUEST)


@pytest.mark.parametrize("order", [(0, 0), (1, 0)])
def test_doubled_and_disordered_bars_are_no_answer(
    server: Server, vendor: AlpacaVendor, order: tuple[int, int]
) -> None:
    server.says({"AAPL": [row(f"2024-07-01T13:3{minute}:00Z") for minute in order]})
    with pytest.raises(VendorFailed, match="stamp"):
        vendor.fetch(REQUEST)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"message":"invalid symbol: AAPL/X"}', RequestRefused),
        (404, b"", RequestRefused),
        (422, b"[]", RequestRefused),
        (401, b'{"message":"unauthorized."}', AccessDenied),
        (403, b'{"message":"forbidden."}', AccessDenied),
        (403, b'{"code":42210000,"message":"recent SIP data"}', TooRecent),
        (408, b"", VendorFailed),
        (429, b'{"message":"too many requests."}', VendorThrottled),
        (500, b"<html>oops</html>", VendorFailed),
        (502, b"", VendorFailed),
        (503, b"", VendorFailed),
        (504, b"", VendorFailed),
    ],
)
def test_each_refusal_has_its_error_and_is_asked_once(
    server: Server, vendor: AlpacaVendor, status: int, body: bytes, kind: type[BarrayError]
) -> None:
    server.status, server.body = status, body
    with pytest.raises(BarrayError) as caught:
        vendor.fetch(REQUEST)
    assert type(caught.value) is kind
    assert str(status) in str(caught.value)
    assert len(server.asked) == 1


def test_a_429_says_when_to_come_again(server: Server, vendor: AlpacaVendor) -> None:
    server.status, server.body = 429, b"{}"
    server.headers = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1719840660"}
    with pytest.raises(VendorThrottled) as caught:
        vendor.fetch(REQUEST)
    assert caught.value.retry_at_s == 1719840660.0
    server.headers = {}
    with pytest.raises(VendorThrottled) as caught:
        vendor.fetch(REQUEST)
    assert caught.value.retry_at_s is None


def test_a_body_cut_short_and_a_server_that_is_gone_may_be_asked_again(server: Server, vendor: AlpacaVendor) -> None:
    server.says({"AAPL": []})
    server.cut = True
    with pytest.raises(VendorFailed):
        vendor.fetch(REQUEST)
    with pytest.raises(VendorFailed):
        AlpacaVendor(KEYS, AlpacaAccount(url="http://127.0.0.1:9")).fetch(REQUEST)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_no_error_holds_a_key(server: Server, vendor: AlpacaVendor, status: int) -> None:
    server.status = status
    server.body = json.dumps({"message": f"{KEYS.key} and {KEYS.secret} are not known"}).encode()
    with pytest.raises(BarrayError) as caught:
        vendor.fetch(REQUEST)
    error = caught.value
    shown = f"{error!s} {error!r} {vars(error)} {error.__cause__!r} {vendor!r}"
    assert "canary" not in shown
    assert error.__suppress_context__


@pytest.mark.parametrize("before", range(185, 200, 3))
def test_a_text_that_is_cut_shows_no_part_of_a_key(server: Server, vendor: AlpacaVendor, before: int) -> None:
    server.status, server.body = 400, json.dumps({"message": "." * before + KEYS.secret}).encode()
    with pytest.raises(RequestRefused) as caught:
        vendor.fetch(REQUEST)
    assert "c" not in caught.value.reason.partition(": ")[2]


def test_active_symbols_are_those_that_trade(server: Server, vendor: AlpacaVendor) -> None:
    assets = [{"symbol": "MSFT", "tradable": True}, {"symbol": "X", "tradable": False}]
    server.body = json.dumps([*assets, {"symbol": "AAPL", "tradable": True}]).encode()
    assert vendor.active_symbols() == ["AAPL", "MSFT"]
    assert server.asked[0][1] == {"status": ["active"], "asset_class": ["us_equity"]}
    server.body = b'{"a":1}'
    with pytest.raises(VendorFailed):
        vendor.active_symbols()
