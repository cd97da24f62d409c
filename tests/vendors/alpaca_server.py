"""A server on loopback that speaks Alpaca's protocol: historical bars and assets, and misbehaves as told."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from barray.data_sources.fetching.credentials import KeyPair
from barray.market.bars import Bars
from barray.market.interval import NS_PER_SECOND
from tests.vendors.alpaca_stream import StreamServer
from tests.vendors.encoded_bars import EncodedBars, PageOfBars, page_of

KEYS = KeyPair("canary-key-4b2", "canary-secret-9f8")
HTML = "<html><body><h1>Bad gateway</h1></body></html>"
STATUS_FAULTS = ("429", "429 reset", "500", "502", "503", "504")
BODY_FAULTS = (
    "null",
    "{}",
    "no n vw",
    "nan",
    "no json",
    "duplicate",
    "disorder",
    "other symbol",
    "overshoot",
    "backwards",
)
PAGE_FAULTS = ("same token", "same page", "empty page")
WIRE_FAULTS = ("hang", "reset", "cut")
FAULTS = (*STATUS_FAULTS, *BODY_FAULTS, *PAGE_FAULTS, *WIRE_FAULTS)
FATAL = ("401", "403")
_SYMBOL = re.compile(r"[A-Z]{1,8}([./][A-Z]{1,3})?[0-9]{0,4}")
_NO_BARS: Mapping[str, EncodedBars] = {}


def _nobody(number: int, symbols: list[str], token: str | None) -> str | None:
    return None


@dataclass
class AlpacaServer:
    """`fault`: what a request is to suffer, one of FAULTS or FATAL, by its number, symbols and page token.

    `per_minute`: the rate limit that is kept, in windows of a minute of `clock` (seconds since 1970); None: none.
    `exceeded` counts requests that were over it. `most_rows`: of a page. `hides_future`: bars are there once their
    minute is over, by `clock`. `recent_s`: a `sip` request that ends later than that ago is refused.
    """

    fault: Callable[[int, list[str], str | None], str | None] = _nobody
    per_minute: int | None = None
    clock: Callable[[], float] = time.time
    most_rows: int = 10_000
    hides_future: bool = False
    recent_s: float = 900.0
    keys: KeyPair = KEYS
    hang_s: float = 3600.0
    asked: list[dict[str, str]] = field(default_factory=list)
    exceeded: int = 0
    url: str = ""
    stream: StreamServer = field(default_factory=lambda: StreamServer(KEYS))
    _bars: dict[str, dict[str, EncodedBars]] = field(default_factory=dict)
    _windows: Counter[int] = field(default_factory=Counter)

    def hold(self, bars: Mapping[str, Bars], timeframe: str = "1Min") -> None:
        """These bars, and no others, are what there is of a timeframe."""
        self._bars[timeframe] = {symbol: EncodedBars.of(series) for symbol, series in bars.items()}

    def routes(self, app: web.Application) -> None:
        """Add what it answers."""
        app.router.add_get("/v2/stocks/bars", self.stock_bars)
        app.router.add_get("/v2/assets", self.assets)
        app.router.add_get("/v2/{feed}", self.stream.serve)

        async def started(app: web.Application) -> None:
            self.stream.loop = asyncio.get_running_loop()

        app.on_startup.append(started)

    async def assets(self, request: web.Request) -> web.Response:
        """`GET /v2/assets` of the trading API."""
        if refusal := self._refused(request):
            return refusal
        names = sorted({symbol for held in self._bars.values() for symbol in held})
        return web.json_response(
            [{"id": name, "class": "us_equity", "symbol": name, "status": "active", "tradable": True} for name in names]
        )

    async def stock_bars(self, request: web.Request) -> web.StreamResponse:
        """`GET /v2/stocks/bars`."""
        asked = dict(request.query)
        self.asked.append(asked)
        symbols, token = asked.get("symbols", "").split(","), asked.get("page_token")
        fault = self.fault(len(self.asked), symbols, token)
        if fault in FATAL:
            return web.json_response({"message": "forbidden."}, status=int(fault))
        if refusal := self._refused(request) or self._limited() or _misbehaved(fault, self.clock()):
            return refusal
        if problem := self._problem(asked, symbols):
            return problem
        if fault == "hang":
            await asyncio.sleep(self.hang_s)
        body = self._body(asked, symbols, token, fault)
        if fault in ("reset", "cut"):
            return await _broken(request, body, fault)
        return web.Response(body=body, content_type="application/json", headers=self._limits())

    def _problem(self, asked: Mapping[str, str], symbols: list[str]) -> web.Response | None:
        if bad := [symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)]:
            return web.json_response({"message": f"invalid symbol: {bad[0]}"}, status=400)
        if asked.get("feed") == "sip" and _ns(asked["end"]) / NS_PER_SECOND > self.clock() - self.recent_s:
            said = {"code": 42210000, "message": "subscription does not permit querying recent SIP data"}
            return web.json_response(said, status=403)
        return None

    def _body(self, asked: Mapping[str, str], symbols: list[str], token: str | None, fault: str | None) -> bytes:
        begin = _begin(token)
        start_ns, end_ns = _ns(asked["start"]), _ns(asked["end"])
        if fault == "overshoot":
            end_ns += 86_400 * NS_PER_SECOND
        if self.hides_future:
            end_ns = min(end_ns, int(self.clock() * NS_PER_SECOND) - 60 * NS_PER_SECOND)
        limit = min(int(asked.get("limit", "1000")), self.most_rows)
        if fault == "empty page":
            limit = 0
        if fault == "same page":
            begin = None
        bars = self._bars.get(asked["timeframe"], _NO_BARS)
        page = page_of(bars, symbols, start_ns, end_ns, limit, begin)
        following = token if fault == "same token" and token else _token(page)
        return _spoilt(page.rows, following, fault)

    def _refused(self, request: web.Request) -> web.Response | None:
        shown = request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY")
        if shown != (self.keys.key, self.keys.secret):
            return web.json_response({"message": f"forbidden: {shown[0]} {shown[1]}"}, status=403)
        return None

    def _limited(self) -> web.Response | None:
        if self.per_minute is None:
            return None
        window = int(self.clock() // 60)
        self._windows[window] += 1
        if self._windows[window] <= self.per_minute:
            return None
        self.exceeded += 1
        return web.json_response({"message": "too many requests."}, status=429, headers=self._limits())

    def _limits(self) -> dict[str, str]:
        if self.per_minute is None:
            return {}
        window = int(self.clock() // 60)
        left = max(0, self.per_minute - self._windows[window])
        return {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str((window + 1) * 60),
        }


def _ns(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").removesuffix("+00:00").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * NS_PER_SECOND + int(fraction.ljust(9, "0")[:9] or 0)


def _begin(token: str | None) -> tuple[str, int] | None:
    if not token:
        return None
    symbol, _, stamp = base64.b64decode(token).decode().partition("|")
    return symbol, int(stamp)


def _token(page: PageOfBars) -> str | None:
    following = page.following
    return base64.b64encode(f"{following[0]}|{following[1]}".encode()).decode() if following else None


def _misbehaved(fault: str | None, now_s: float) -> web.Response | None:
    if fault not in STATUS_FAULTS:
        return None
    status, _, kind = fault.partition(" ")
    if status == "429":
        headers = {"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(now_s) + 3)}
        said = {"message": "too many requests."}
        return web.json_response(said, status=429, headers=headers if kind else {})
    return web.Response(status=int(status), text=HTML, content_type="text/html")


def _spoilt(rows: Mapping[str, bytes], following: str | None, fault: str | None) -> bytes:
    first = next(iter(rows), None)
    changed = dict(rows)
    if fault == "{}":
        return b"{}"
    if fault == "backwards":
        changed = dict(reversed(rows.items()))
    if fault == "other symbol":
        changed["ZZZZ"] = rows[first] if first else b""
    if first is not None and fault in ("nan", "duplicate", "disorder", "no n vw"):
        parts = rows[first].split(b"},")
        if fault == "nan":
            changed[first] = re.sub(rb'"c":[^,]+', b'"c":NaN', rows[first], count=1)
        elif fault == "duplicate":
            changed[first] = parts[0].rstrip(b"}") + b"}," + rows[first]
        elif fault == "disorder":
            last, others = parts[-1], [part + b"}" for part in parts[:-1]]
            changed[first] = b",".join([last, *others])
        else:
            changed[first] = re.sub(rb',"n":1|,"vw":[^}]+', b"", rows[first])
    bars = b",".join(b'"' + symbol.encode() + b'":[' + body + b"]" for symbol, body in changed.items())
    shown = b"null" if fault == "null" else b"{" + bars + b"}"
    token = b'"' + following.encode() + b'"' if following else b"null"
    body = b'{"bars":' + shown + b',"next_page_token":' + token + b"}"
    return body[: len(body) // 2] if fault == "no json" else body


async def _broken(request: web.Request, body: bytes, fault: str) -> web.StreamResponse:
    """Half of the body; then the connection ends, with a reset or politely."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort() if fault == "reset" else request.transport.close()
    return response
