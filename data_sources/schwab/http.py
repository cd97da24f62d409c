"""Schwab's HTTP below the client: where requests go, what refusals say. Imports httpx: only for those who have it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

import httpx
import orjson

from barray.data_sources.fetching.redaction import Redaction
from barray.data_sources.fetching.vendor import VendorThrottled
from barray.market.clock import monotonic_s
from barray.market.errors import shorten

_CONNECT_S = 10.0


def session(auth: httpx.Auth, url: str | None, timeout_s: float) -> httpx.Client:
    """What schwab-py's client sends through; `url` is asked instead of Schwab, if given."""

    def limit(response: httpx.Response) -> None:
        if isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _InTime(response.stream, monotonic_s() + timeout_s)

    timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))  # of each read, however little it brings
    hooks = {"response": [limit]}
    if url is None:
        return httpx.Client(auth=auth, timeout=timeout, event_hooks=hooks)
    return httpx.Client(auth=auth, timeout=timeout, event_hooks=hooks, transport=_Elsewhere(url), trust_env=False)


class _InTime(httpx.SyncByteStream):
    """A body that has to be there at some time."""

    def __init__(self, stream: httpx.SyncByteStream, until_s: float) -> None:
        self._stream, self._until_s = stream, until_s

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if monotonic_s() > self._until_s:
                raise httpx.ReadTimeout("the body takes too long")
            yield part

    def close(self) -> None:
        """See httpx.SyncByteStream."""
        self._stream.close()


class _Elsewhere(httpx.HTTPTransport):
    """Sends everything to one address, whatever host stands in it: the client knows Schwab's alone."""

    def __init__(self, url: str) -> None:
        super().__init__(trust_env=False)
        self._url = httpx.URL(url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx.BaseTransport."""
        request.url = request.url.copy_with(scheme=self._url.scheme, host=self._url.host, port=self._url.port)
        request.headers["Host"] = request.url.netloc.decode("ascii")
        return super().handle_request(request)


def said_by(response: httpx.Response, redaction: Redaction) -> str:
    """`HTTP 400: unsupported_token_type`, with what the body says, if it is one of Schwab's."""
    message = redaction.hidden(_message(response.content))  # before it is cut
    return f"HTTP {response.status_code}" + (f": {shorten(message, 200)}" if message else "")


def throttled(said: str, response: httpx.Response, now_s: float) -> VendorThrottled:
    """The error of a 429."""
    error = VendorThrottled(said, source="schwab")
    error.retry_at_s = _retry_at_s(response.headers.get("Retry-After", ""), now_s)
    return error


def _retry_at_s(header: str, now_s: float) -> float | None:
    """When to come again, from a header of seconds to wait or of a date; None of anything else."""
    try:
        wait_s = float(header)
    except ValueError:
        try:
            return parsedate_to_datetime(header).timestamp()
        except (ValueError, OverflowError):
            return None
    return now_s + wait_s if math.isfinite(wait_s) and wait_s >= 0 else None


def _message(body: bytes) -> str:
    """What the body says, in one line; nothing of the pages of HTML that gateways on the way send."""
    try:
        held = orjson.loads(body)
    except ValueError:
        return ""
    if not isinstance(held, Mapping):
        return ""
    errors = held.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], Mapping):
        held = errors[0]
    names = ("error", "error_description", "title", "detail", "message")
    return ": ".join(held[name] for name in names if isinstance(held.get(name), str) and held[name])
