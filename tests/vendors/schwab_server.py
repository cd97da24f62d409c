"""A server on loopback that speaks Schwab's protocol: tokens and price history, and misbehaves as told."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import numpy as np
from aiohttp import web

from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.vendor import Limits
from barray.market.bars import COLUMNS, Bars
from tests.data_sources.gateway_fakes import NOW_NS

KEYS = KeyPair("canary-key-1c9", "canary-secret-7e4")
REFRESH = "canary-refresh/7+@"
CODE = "C0.canary-code@"
LIMITS = Limits(page_rows=None, symbols=1, per_minute=120, timeout_s=5)
NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
HTML = "<html><body><h1>Oops</h1></body></html>"
REFUSED_TOKEN = {
    "error": "unsupported_token_type",
    "error_description": '400 Bad Request: "{"error_description":"Exception while authenticating refresh token",'
    '"error":"refresh_token_authentication_error"}"',
}

STATUS_FAULTS = ("500", "502", "503", "504", "429", "429 seconds", "429 date")
BODY_FAULTS = ("{}", "null", "nan", "no json", "duplicate", "disorder", "other symbol", "not empty")
WIRE_FAULTS = ("hang", "trickle", "reset", "cut")
FAULTS = (*STATUS_FAULTS, *BODY_FAULTS, *WIRE_FAULTS, "401")


def token_file(folder: Path, access: str, now_ns: int = NOW_NS, lasts_s: int = 1800, age_s: int = 3600) -> Path:
    """A token such as schwab-py's login writes."""
    now_s = now_ns // 1_000_000_000
    held = {"access_token": access, "refresh_token": REFRESH, "id_token": "canary-id", "token_type": "Bearer"}
    whole = {"creation_timestamp": now_s - age_s, "token": {**held, "expires_in": 1800, "expires_at": now_s + lasts_s}}
    path = folder / "schwab token.json"
    path.write_text(json.dumps(whole))
    path.chmod(0o600)
    return path


def told(fault: str | None) -> Callable[[str], str | None]:
    """Every request suffers it."""
    return lambda _: fault


@dataclass
class SchwabServer:
    """`truth`: all bars there are, by symbol, of the one interval asked for; stamped as ours are.

    `fault`: what a request for a symbol is to suffer, one of FAULTS or None. `access`: the access tokens that are good.
    `token_faults`: what the next renewals suffer, a status or `hang`. `weekday` of a weekly candle's stamp.
    """

    truth: Mapping[str, Bars]
    refresh: str = REFRESH
    access: set[str] = field(default_factory=set)
    fault: Callable[[str], str | None] = lambda _: None
    token_faults: list[int | str] = field(default_factory=list)
    rotates: bool = False
    echoes: bool = False
    lasts_s: int = 1800
    renewal_s: float = 0.0
    weekday: int = 0
    unknown: frozenset[str] = frozenset()
    asked: list[dict[str, str]] = field(default_factory=list)
    renewals: int = 0
    url: str = ""

    def routes(self, app: web.Application) -> None:
        """Add what it answers."""
        app.router.add_post("/v1/oauth/token", self.token)
        app.router.add_get("/marketdata/v1/pricehistory", self.price_history)

    def new_access(self) -> str:
        """A token that is good from now on."""
        token = f"canary-access-{self.renewals}"
        self.access.add(token)
        return token

    async def token(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/oauth/token`, what a login's code or a refresh token is good for."""
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        self.renewals += 1
        await asyncio.sleep(self.renewal_s)
        fault = self.token_faults.pop(0) if self.token_faults else None
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == 429:
            return web.json_response({"message": "Too many requests"}, status=429, headers={"Retry-After": "7"})
        if fault == 200:
            return web.json_response({"message": "hello"})
        if isinstance(fault, int):
            return web.Response(status=fault, text=HTML, content_type="text/html")
        basic = base64.b64encode(f"{KEYS.key}:{KEYS.secret}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"error": "invalid_client", "error_description": "Unauthorized"}, status=401)
        grants = (("refresh_token", "refresh_token", self.refresh), ("authorization_code", "code", CODE))
        if not any(form.get("grant_type") == grant and form.get(name) == good for grant, name, good in grants):
            said = REFUSED_TOKEN | ({"error_description": f"{form} {basic}"} if self.echoes else {})
            return web.json_response(said, status=400)
        if self.rotates:
            self.refresh = f"canary-refresh-{self.renewals}@"
        answer = {"expires_in": self.lasts_s, "token_type": "Bearer", "scope": "api", "refresh_token": self.refresh}
        return web.json_response({**answer, "access_token": self.new_access(), "id_token": "canary-id"})

    async def price_history(self, request: web.Request) -> web.StreamResponse:
        """`GET /marketdata/v1/pricehistory`."""
        asked = dict(request.query)
        self.asked.append(asked)
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        symbol = asked["symbol"].replace("/", ".")
        fault = self.fault(symbol)
        if shown not in self.access or fault == "401":
            self.access.discard(shown)
            said = f"token {shown}" if self.echoes else "Client not authorized"
            return web.json_response({"errors": [{"status": 401, "title": "Unauthorized", "detail": said}]}, status=401)
        if fault in STATUS_FAULTS:
            return _refusal(fault)
        if fault == "hang":
            await asyncio.sleep(3600)
        if symbol in self.unknown:
            return web.json_response({"errors": [{"status": 404, "title": "Not Found"}]}, status=404)
        body = _spoilt(self._answer(asked, symbol), fault)
        return await _broken(request, body, fault) if fault in ("trickle", "reset", "cut") else _said(body)

    def _answer(self, asked: Mapping[str, str], symbol: str) -> dict[str, Any]:
        bars = self.truth.get(symbol, Bars.empty())
        stamps = np.array([self._stamp_ms(ns, asked["frequencyType"]) for ns in bars.start_ns.tolist()], np.int64)
        start_ms, end_ms = int(asked["startDate"]), int(asked["endDate"])
        if asked["frequencyType"] == "minute":  # whole days come, whatever was asked for
            start_ms, end_ms = _day_ms(start_ms, 0), _day_ms(end_ms, 1) - 1
        rows = np.flatnonzero((stamps >= start_ms) & (stamps <= end_ms)).tolist()
        candles = [{name: float(getattr(bars, name)[row]) for name in COLUMNS} for row in rows]
        for candle, row in zip(candles, rows, strict=True):
            candle["datetime"] = int(stamps[row])
        return {"candles": candles, "symbol": asked["symbol"], "empty": not candles}

    def _stamp_ms(self, start_ns: int, frequency: str) -> int:
        if frequency == "minute":
            return start_ns // 1_000_000
        day = datetime.fromtimestamp(start_ns // 1_000_000_000, NEW_YORK).date()
        day += timedelta(days=self.weekday if frequency == "weekly" else 0)
        return int(datetime(day.year, day.month, day.day, tzinfo=CHICAGO).timestamp()) * 1000


def _day_ms(stamp_ms: int, later: int) -> int:
    day = datetime.fromtimestamp(stamp_ms / 1000, NEW_YORK).date() + timedelta(days=later)
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * 1000


def _said(body: str) -> web.Response:
    return web.Response(text=body, content_type="application/json")


def _refusal(fault: str) -> web.Response:
    status, _, kind = fault.partition(" ")
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    headers = {"seconds": {"Retry-After": "5"}, "date": {"Retry-After": date}}.get(kind, {})
    return web.Response(status=int(status), text=HTML, content_type="text/html", headers=headers)


def _spoilt(answer: dict[str, Any], fault: str | None) -> str:
    candles = answer["candles"]
    if fault == "{}":
        answer = {}
    elif fault == "null":
        answer = {**answer, "candles": None}
    elif fault == "nan":
        answer = {**answer, "candles": [*candles, {**dict.fromkeys(COLUMNS, float("nan")), "datetime": 0}]}
    elif fault == "duplicate":
        answer = {**answer, "candles": [*candles, *candles[-1:]], "empty": False}
    elif fault == "disorder":
        answer = {**answer, "candles": [*candles[1:], *candles[:1]], "empty": False}
    elif fault == "other symbol":
        answer = {**answer, "symbol": "ZZZZ"}
    elif fault == "not empty":
        answer = {**answer, "empty": not answer["empty"]}
    text = json.dumps(answer)
    return text[: len(text) // 2] if fault == "no json" else text


async def _broken(request: web.Request, body: str, fault: str) -> web.StreamResponse:
    """Half of the body; then the connection ends, with a reset or politely, or goes on a byte at a time."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(body[: len(body) // 2].encode())
    while fault == "trickle":
        await asyncio.sleep(0.05)
        await response.write(b" ")
    if request.transport is not None:
        request.transport.abort() if fault == "reset" else request.transport.close()
    return response
