"""Fetches and listens for every source that is read with one credential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

from barray.data_sources.fetching.fetcher import Fetcher, FetchProgress
from barray.data_sources.fetching.rate_limiter import RateLimiter
from barray.data_sources.fetching.stream import BarStream, Heard
from barray.data_sources.fetching.vendor import Vendor
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.clock import monotonic_s
from barray.market.errors import BarrayError
from barray.market.validation import Reason

Failures = dict[str, Reason]
REST_S = 300.0
"""How long a vendor that is down, or lets nobody in, is left alone: the next session need not wait for it again."""


class Gateway:
    """Fetches with one credential: an actor in a session, an object where there is no Ray.

    Its methods may be called side by side.

    It alone spends the credential's rate limit, and it alone holds the secret, which comes by a call: what an actor is
    made with is kept by Ray.
    """

    def __init__(self) -> None:
        self._secret: Any = None
        self._lock = Lock()
        self._limiter: RateLimiter | None = None
        self._fetchers: dict[tuple[object, ...], Fetcher] = {}
        self._running: dict[object, FetchProgress] = {}
        self._feeds: dict[str, BarStream] = {}
        self._down: dict[tuple[object, ...], tuple[float, Reason]] = {}

    def set_credentials(self, secret: Any) -> None:
        """Take the credential; without one nothing can be fetched."""
        with self._lock:
            self._secret = self._secret or secret

    def ensure(self, source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int) -> Failures:
        """Fetch what the source's store lacks of `wanted`; returns why bars up to `needed_ns` are not all there.

        No trouble raises: what concerns the whole source is every symbol's reason.
        """
        call = object()
        try:
            fetcher = self.fetcher(source)
            if down := self._down_since(source):
                failures: Mapping[str, Reason] = dict.fromkeys(symbols, down)
            else:
                result = fetcher.ensure(
                    symbols, wanted.interval, wanted.start_ns, wanted.end_ns, partial(self._running.__setitem__, call)
                )
                failures = result.failures
                if result.stopped is not None:
                    self._down[_key(source)] = (monotonic_s() + REST_S, result.stopped)
        except BarrayError as error:
            return dict.fromkeys(symbols, Reason.of(error, source.name))
        finally:
            self._running.pop(call, None)
        return {
            symbol: replace(reason, source=source.name)
            for symbol, reason in failures.items()
            if reason.code == "bad_symbol" or self._lacks(source, symbol, wanted, needed_ns)
        }

    def _down_since(self, source: VendorSource) -> Reason | None:
        until_s, reason = self._down.get(_key(source), (0.0, None))
        return reason if monotonic_s() < until_s else None

    def listen(self, listener: str, source: VendorSource, symbols: Sequence[str]) -> None:
        """Have bars of these symbols collected for `listener`, as minutes close, beside those listened to before.

        ConfigError where the source has no stream.
        """
        with self._lock:
            if listener not in self._feeds:
                self._feeds[listener] = source.account.live(self._secret)
            feed = self._feeds[listener]
        feed.subscribe(symbols)

    def hear(self, listener: str) -> Heard | None:
        """What came for `listener` since it was last asked for; None where nobody listens for it."""
        feed = self._feeds.get(listener)
        return feed.drain() if feed else None

    def hang_up(self, listener: str) -> None:
        """Listen no more."""
        with self._lock:
            feed = self._feeds.pop(listener, None)
        if feed is not None:
            feed.close()

    def progress(self) -> FetchProgress | None:
        """How far all that is being fetched is, together; None where nothing is."""
        running = list(self._running.values())
        if not running:
            return None
        return FetchProgress(
            sum(part.requests for part in running),
            sum(part.planned_requests for part in running),
            sum(part.rows for part in running),
        )

    def requests(self) -> int:
        """How many requests it has made, for whomever."""
        return self._limiter.taken if self._limiter else 0

    def fetcher(self, source: VendorSource) -> Fetcher:
        """The fetcher of a source's dataset into its store, made at the first call.

        BarrayError (`no_credentials`) before `set_credentials`.
        """
        with self._lock:
            if self._secret is None:
                raise BarrayError("the gateway was given no credential", code="no_credentials")
            key = _key(source)
            if key not in self._fetchers:
                vendor: Vendor = source.account.vendor(self._secret)
                self._limiter = self._limiter or RateLimiter(vendor.limits.per_minute)
                self._fetchers[key] = Fetcher(
                    vendor, source.store, clock=source.clock, deadline_s=source.give_up_s, limiter=self._limiter
                )
            return self._fetchers[key]

    @staticmethod
    def _lacks(source: VendorSource, symbol: str, wanted: Wanted, needed_ns: int) -> bool:
        try:
            return bool(source.store.missing(symbol, wanted.interval, wanted.start_ns, needed_ns))
        except BarrayError:
            return True


def _key(source: VendorSource) -> tuple[object, ...]:
    return source.account, source.root, source.give_up_s, source.clock


def secrets_of(sources: Mapping[str, VendorSource]) -> dict[str, Any]:
    """The credential of each source, or the Reason why there is none."""
    found: dict[str, Any] = {}
    for name, source in sources.items():
        try:
            found[name] = source.account.secret()
        except BarrayError as error:
            found[name] = Reason.of(error, name)
    return found
