"""Alpaca's historical bars, one page at a time, through its own client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from barray.data_sources.alpaca.stream import AlpacaStream
from barray.data_sources.fetching.credentials import KeyPair, key_pair
from barray.data_sources.fetching.vendor import (
    AccessDenied,
    Dataset,
    Limits,
    Page,
    PageRequest,
    RateLimit,
    RequestRefused,
    TooRecent,
    VendorFailed,
    VendorThrottled,
)
from barray.market.bars import Bars, format_ns
from barray.market.errors import BarrayError, ConfigError, DataError, shorten
from barray.market.interval import Interval

if TYPE_CHECKING:
    from requests import Response

E = TypeVar("E", bound=BarrayError)
KEY_NAME, SECRET_NAME = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
_TIMEFRAMES = {
    Interval.parse(ours): theirs
    for ours, theirs in {"1m": "1Min", "5m": "5Min", "15m": "15Min", "30m": "30Min", "1d": "1Day"}.items()
}  # hours begin at the full hour, not at the open: they are derived
_TOO_RECENT = 42210000
_COLUMNS = ("o", "h", "l", "c", "v")
_CONNECT_S = 10.0
NATIVE: Mapping[Interval, timedelta | None] = MappingProxyType(dict.fromkeys(_TIMEFRAMES))
"""Intervals Alpaca serves; its bars begin in 2016."""
LIMITS = Limits(page_rows=10_000, symbols=1_000, per_minute=200)
"""Of the free plan."""


@dataclass(frozen=True)
class AlpacaAccount:
    """See VendorAccount. `feed`: `iex`, `sip`, `otc`, `boats`. `file` holds the keys where the environment does not;
    `url`s other than Alpaca's own.
    """

    native: ClassVar[Mapping[Interval, timedelta | None]] = NATIVE
    feed: str = "iex"
    adjustment: str = "raw"
    per_minute: int = LIMITS.per_minute
    file: Path | None = None
    url: str | None = None
    trading_url: str | None = None
    stream_url: str | None = None

    @property
    def dataset(self) -> Dataset:
        """See VendorAccount."""
        return Dataset("alpaca", self.feed, self.adjustment)

    def secret(self) -> KeyPair:
        """See VendorAccount. From the environment (`APCA_API_KEY_ID`, `APCA_API_SECRET_KEY`) or the file."""
        return key_pair(KEY_NAME, SECRET_NAME, file=self.file)

    def vendor(self, secret: KeyPair) -> AlpacaVendor:
        """See VendorAccount."""
        return AlpacaVendor(secret, self, replace(LIMITS, per_minute=self.per_minute))

    def live(self, secret: KeyPair) -> AlpacaStream:
        """See VendorAccount. Of `iex` or `sip`, else ConfigError; unadjusted, as all live bars are."""
        if self.feed not in ("iex", "sip"):
            raise ConfigError(f"{self.feed} has no stream", source="alpaca", remedy="take the feed iex or sip")
        return AlpacaStream(secret, self.feed, url=self.stream_url)


class AlpacaVendor:
    """See Vendor."""

    def __init__(self, keys: KeyPair, account: AlpacaAccount, limits: Limits = LIMITS) -> None:
        self._keys, self._account = keys, account
        self.dataset, self.limits = account.dataset, limits
        self._answer = _Answer()
        self._lock = threading.Lock()
        self._made: Any = None

    def fetch(self, request: PageRequest) -> Page:
        """See Vendor."""
        parameters = {
            "symbols": ",".join(request.symbols),
            "timeframe": _TIMEFRAMES[request.interval],
            "start": format_ns(request.start_ns),
            "end": format_ns(request.end_ns - 1),  # theirs is inclusive
            "limit": self.limits.page_rows,
            "adjustment": self.dataset.adjustment,
            "asof": "-",  # a symbol means what it meant then: no mapping of renamed ones
            "feed": self.dataset.feed,
            "currency": "USD",
            "sort": "asc",
        }
        if request.token is not None:
            parameters["page_token"] = request.token
        with self._translated():
            answer = self._client.get("/stocks/bars", parameters)
        rate = _rate(self._answer.headers)
        try:
            return _page(answer, request, rate)
        except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = error.reason if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            raise self._error(VendorFailed, f"an answer that makes no sense: {reason}") from None

    def active_symbols(self) -> Sequence[str]:
        """See Vendor. US equities that can be traded."""
        from alpaca.trading.client import TradingClient

        client = TradingClient(
            self._keys.key, self._keys.secret, raw_data=True, url_override=self._account.trading_url, paper=True
        )
        self._prepare(client)
        with self._translated():
            assets: Any = client.get("/assets", {"status": "active", "asset_class": "us_equity"})
        try:
            return sorted(str(asset["symbol"]) for asset in assets if asset["tradable"])
        except (KeyError, TypeError) as error:
            raise self._error(VendorFailed, f"an answer that makes no sense: {type(error).__name__}: {error}") from None

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                from alpaca.data.historical.stock import StockHistoricalDataClient

                keys, url = self._keys, self._account.url
                self._made = StockHistoricalDataClient(keys.key, keys.secret, raw_data=True, url_override=url)
                self._prepare(self._made)
            return self._made

    def _prepare(self, client: Any) -> None:
        """Give the client what it lacks: a timeout, the headers of answers, and no retries of its own."""
        from requests.adapters import HTTPAdapter

        answer, timeout_s = self._answer, self.limits.timeout_s

        class Adapter(HTTPAdapter):
            def send(self, request: Any, **options: Any) -> Response:  # type: ignore[override]
                answer.headers = {}
                response = super().send(request, **{**options, "timeout": (min(_CONNECT_S, timeout_s), timeout_s)})
                answer.headers = response.headers
                return response

        client._retry = 0
        for scheme in ("https://", "http://"):
            client._session.mount(scheme, Adapter(pool_maxsize=32))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the client raises into our errors; its own hold the request with the keys."""
        from alpaca.common.exceptions import APIError
        from requests.exceptions import RequestException

        try:
            yield
        except APIError as error:
            raise self._refusal(error.status_code or 0, str(error)) from None
        except RequestException as error:
            raise self._error(VendorFailed, f"no answer: {type(error).__name__}") from None

    def _refusal(self, status: int, body: str) -> Exception:
        code, message = _code_and_message(body)
        message = self._keys.hidden(message)  # before it is cut
        said = f"HTTP {status}" + (f": {shorten(message, 200)}" if message else "")
        if status == 403 and code == _TOO_RECENT:
            return self._error(TooRecent, said)
        if status in (401, 403):
            return self._error(AccessDenied, said, f"check {KEY_NAME}, {SECRET_NAME} and what the account may read")
        if status == 429:
            throttled = self._error(VendorThrottled, said)
            rate = _rate(self._answer.headers)
            throttled.retry_at_s = rate.reset_s if rate else None
            return throttled
        if 400 <= status < 500 and status != 408:
            return self._error(RequestRefused, said, "check the symbol")
        return self._error(VendorFailed, said)

    def _error(self, kind: type[E], reason: str, remedy: str | None = None) -> E:
        return kind(self._keys.hidden(reason), source="alpaca", remedy=remedy)


class _Answer(threading.local):
    """The headers of the answer that this thread got last."""

    headers: Mapping[str, str] = MappingProxyType({})


def _rate(headers: Mapping[str, str]) -> RateLimit | None:
    try:
        limit, remaining, reset = (float(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    except (KeyError, ValueError):
        return None
    return RateLimit(int(limit), int(remaining), reset)


def _code_and_message(body: str) -> tuple[int | None, str]:
    """Code and message of an error's body; some have none, and gateways on the way send pages of HTML."""
    try:
        held = json.loads(body)
        return held.get("code"), str(held.get("message", ""))
    except (ValueError, AttributeError):
        return None, ""


def _page(answer: Any, request: PageRequest, rate: RateLimit | None) -> Page:
    """The answer's bars in the range. Raises of anything else than Alpaca's own form."""
    held, token = answer["bars"], answer["next_page_token"]
    if token is not None and not (isinstance(token, str) and token):
        raise ValueError(f"next_page_token is {token!r}")
    if unasked := sorted(held.keys() - set(request.symbols)):
        raise ValueError(f"bars of {shorten(str(unasked[0]))}, which was not asked for")
    bars = {symbol: _bars(rows, symbol, request) for symbol, rows in held.items()}
    return Page({symbol: own for symbol, own in bars.items() if len(own)}, token, rate)


def _bars(rows: Sequence[Mapping[str, Any]], symbol: str, request: PageRequest) -> Bars:
    texts = [row["t"] for row in rows]
    if not all(text.endswith("Z") for text in texts):
        raise ValueError(f"a stamp of {symbol} is not in UTC")
    stamps = np.array([text[:-1] for text in texts], "datetime64[ns]").astype(np.int64)
    bars = Bars(stamps, *(np.array([row[name] for row in rows], np.float64) for name in _COLUMNS))
    return request.checked(bars, symbol, "alpaca")
