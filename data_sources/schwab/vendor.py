"""Schwab's price history, one symbol a request, through schwab-py's client."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import orjson

from barray.data_sources.fetching.credentials import KeyPair, key_pair
from barray.data_sources.fetching.redaction import Redaction
from barray.data_sources.fetching.vendor import (
    AccessDenied,
    Dataset,
    Limits,
    Page,
    PageRequest,
    RequestRefused,
    VendorFailed,
)
from barray.data_sources.schwab.candles import bars_of
from barray.data_sources.schwab.reach import NATIVE, check_asked, check_shown
from barray.data_sources.schwab.token import CHECK_KEYS, KEY_NAME, SECRET_NAME, TokenFile, check_installed, schwab_py
from barray.market.clock import Clock, WallClock
from barray.market.errors import BarrayError, ConfigError, DataError, shorten
from barray.market.interval import NS_PER_SECOND, Interval

if TYPE_CHECKING:
    from httpx import Response

E = TypeVar("E", bound=BarrayError)
_METHODS = {
    Interval.parse(ours): f"get_price_history_every_{theirs}"
    for ours, theirs in {
        "1m": "minute",
        "5m": "five_minutes",
        "10m": "ten_minutes",
        "15m": "fifteen_minutes",
        "30m": "thirty_minutes",
        "1d": "day",
        "1w": "week",
    }.items()
}
_LOGGERS = ("schwab.client.base", "schwab.auth", "httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
LIMITS = Limits(page_rows=None, symbols=1, per_minute=120)
DATASET = Dataset("schwab", adjustment="split")
"""Schwab's bars are adjusted for splits, not for dividends."""


class SchwabVendor:
    """See Vendor. `token_file`: what schwab-py's login wrote, and is kept up to date. `url`: asked instead of Schwab.

    ConfigError where schwab-py is not installed, or the token file can't be used.
    """

    dataset: ClassVar = DATASET

    def __init__(
        self,
        keys: KeyPair,
        token_file: Path,
        *,
        url: str | None = None,
        limits: Limits = LIMITS,
        clock: Clock | None = None,
    ) -> None:
        check_installed()
        self._keys, self._file, self._url = keys, TokenFile(token_file), url
        self.limits = limits
        self._clock = clock or WallClock()
        basic = base64.b64encode(f"{keys.key}:{keys.secret}".encode()).decode()
        self._redaction = Redaction(keys.secret, keys.key, basic, *self._file.read().secrets)
        self._redaction.guard(_LOGGERS, self)
        self._lock = threading.Lock()
        self._made: Any = None

    def fetch(self, request: PageRequest) -> Page:
        """See Vendor. One HTTP request, and a few more where the token has expired."""
        (symbol,) = request.symbols
        now_ns = self._clock.now_ns()
        check_asked(request, now_ns)
        response = self._ask(symbol.replace(".", "/"), request)
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            bars = bars_of(orjson.loads(response.content), symbol, request)
        except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
            reason = error.reason if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            said = shorten(self._redaction.hidden(reason), 200)
            raise self._error(VendorFailed, f"an answer that makes no sense: {said}") from None
        check_shown(request, bars, now_ns)
        return Page({symbol: bars} if len(bars) else {})

    def active_symbols(self) -> Sequence[str]:
        """See Vendor. Schwab says of none."""
        raise self._error(RequestRefused, "Schwab has no list of its symbols", "name the symbols you want")

    def _ask(self, symbol: str, request: PageRequest) -> Response:
        """Ask for a range wide enough for stamps that aren't ours; Schwab may answer with more."""
        from httpx import HTTPError

        margin_ns = 0 if request.interval.is_intraday else request.interval.ns
        start_s = (request.start_ns - margin_ns) // NS_PER_SECOND
        end_s = -(-(request.end_ns + margin_ns) // NS_PER_SECOND)
        try:
            response: Response = getattr(self._client, _METHODS[request.interval])(
                symbol,
                start_datetime=datetime.fromtimestamp(start_s, UTC),
                end_datetime=datetime.fromtimestamp(end_s, UTC),
                need_extended_hours_data=True if request.interval.is_intraday else None,
            )
        except HTTPError as error:
            raise self._error(VendorFailed, f"no answer: {type(error).__name__}") from None
        return response

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                from barray.data_sources.schwab.auth import SchwabAuth
                from barray.data_sources.schwab.http import session

                auth = SchwabAuth(self._keys, self._file, self._clock, self._redaction)
                made = session(auth, self._url, self.limits.timeout_s)
                timeout = made.timeout
                self._made = schwab_py("client").Client(self._keys.key, made)
                self._made.set_timeout(timeout)  # it has set its own
            return self._made

    def _refusal(self, response: Response) -> BarrayError:
        from barray.data_sources.schwab.http import said_by, throttled

        status, said = response.status_code, said_by(response, self._redaction)
        if status == 429:
            return throttled(said, response, self._clock.now_ns() / 1e9)
        if status == 401:
            return self._error(AccessDenied, said, self._file.how_to_log_in)
        if status == 403:
            return self._error(AccessDenied, said, CHECK_KEYS)
        if 400 <= status < 500 and status != 408:
            return self._error(RequestRefused, said, "check the symbol")
        return self._error(VendorFailed, said)

    def _error(self, kind: type[E], reason: str, remedy: str | None = None) -> E:
        return kind(reason, source="schwab", remedy=remedy)


@dataclass(frozen=True)
class SchwabAccount:
    """See VendorAccount. `token_file`: what schwab-py's login wrote. `file` holds the app's key and secret where the
    environment does not. `url`: asked instead of Schwab.
    """

    dataset: ClassVar = DATASET
    native: ClassVar = NATIVE
    token_file: Path
    per_minute: int = LIMITS.per_minute
    file: Path | None = None
    url: str | None = None

    def secret(self) -> KeyPair:
        """See VendorAccount. From the environment (`SCHWAB_API_KEY`, `SCHWAB_APP_SECRET`) or the file."""
        return key_pair(KEY_NAME, SECRET_NAME, file=self.file)

    def vendor(self, secret: KeyPair) -> SchwabVendor:
        """See VendorAccount."""
        return SchwabVendor(secret, self.token_file, url=self.url, limits=replace(LIMITS, per_minute=self.per_minute))

    def live(self, secret: KeyPair) -> NoReturn:
        """See VendorAccount; always a ConfigError."""
        raise ConfigError(
            "Schwab's stream is not supported", source="schwab", remedy="put an alpaca source first for live sessions"
        )
