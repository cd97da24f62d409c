"""How requests to Schwab are signed, and the token renewed. Imports httpx: only for those who have it."""

from __future__ import annotations

from collections.abc import Generator

import httpx
import orjson

from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.redaction import Redaction
from barray.data_sources.fetching.vendor import AccessDenied, VendorFailed
from barray.data_sources.schwab.http import said_by, throttled
from barray.data_sources.schwab.token import CHECK_KEYS, Token, TokenFile
from barray.market.clock import Clock
from barray.market.errors import BarrayError, ConfigError

TOKEN_URL = "https://api.schwabapi.com/v1/oauth/token"  # noqa: S105 - an address
_TRIES = 3
_LEEWAY_S = 60.0
_LOGIN_LASTS_S = 7 * 86_400.0

Flow = Generator[httpx.Request, httpx.Response, Token]


class SchwabAuth(httpx.Auth):
    """Signs each request with the access token; of all that find it expired one renews it, the others wait.

    Raises VendorThrottled, VendorFailed and AccessDenied where it can't be renewed.
    """

    def __init__(self, keys: KeyPair, file: TokenFile, clock: Clock, redaction: Redaction) -> None:
        self._keys, self._file, self._clock, self._redaction = keys, file, clock, redaction
        self._token: Token | None = None

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth. A token that the server calls expired is renewed, and so is the next one: it may be late."""
        rejected: str | None = None
        for _ in range(_TRIES):
            token = yield from self._good_token(request, rejected)
            request.headers["Authorization"] = f"Bearer {token.access}"
            response = yield request
            if response.status_code != 401:
                return
            rejected = token.access

    def _good_token(self, request: httpx.Request, rejected: str | None) -> Flow:
        """The one at hand, the one in the file, or a new one."""
        if self._token is not None and self._is_good(self._token, rejected):
            return self._token
        try:
            with self._file.turn():
                token = self._file.read()  # maybe another thread, process or login was faster
                self._redaction.add(*token.secrets)
                if not self._is_good(token, rejected):
                    token = yield from self._renewed(token, request)
                    self._file.write(token)
                self._token = token
                return token
        except ConfigError as error:
            raise AccessDenied(error.reason, source="schwab", remedy=error.remedy) from None

    def _is_good(self, token: Token, rejected: str | None) -> bool:
        return token.access != rejected and token.is_fresh(self._now_s() + _LEEWAY_S)

    def _renewed(self, token: Token, request: httpx.Request) -> Flow:
        if self._now_s() - token.login_s >= _LOGIN_LASTS_S:
            raise self._denied("the login is more than seven days old", self._file.how_to_log_in)
        form = {"grant_type": "refresh_token", "refresh_token": token.refresh}
        renewal = httpx.Request("POST", TOKEN_URL, data=form, extensions=request.extensions)  # they hold the timeout
        response = yield next(httpx.BasicAuth(self._keys.key, self._keys.secret).auth_flow(renewal))
        response.read()
        if response.status_code != 200:
            raise self._refusal(response)
        try:
            new = token.renewed(orjson.loads(response.content), self._now_s())
        except (ValueError, KeyError, TypeError, OverflowError):
            raise VendorFailed("the answer holds no new token", source="schwab") from None
        self._redaction.add(*new.secrets)
        return new

    def _refusal(self, response: httpx.Response) -> BarrayError:
        said = f"the token was not renewed: {said_by(response, self._redaction)}"
        status = response.status_code
        if status == 429:
            return throttled(said, response, self._now_s())
        if status == 400:  # invalid_grant, unsupported_token_type: the refresh token is good no more
            return self._denied(said, self._file.how_to_log_in)
        if status in (401, 403):
            return self._denied(said, CHECK_KEYS)
        return VendorFailed(said, source="schwab")

    def _denied(self, reason: str, remedy: str) -> AccessDenied:
        return AccessDenied(reason, source="schwab", remedy=remedy)

    def _now_s(self) -> float:
        return self._clock.now_ns() / 1e9
