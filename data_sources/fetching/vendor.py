"""What a vendor of bars over the network does for the gateway: it serves one page, or says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from barray.data_sources.fetching.stream import BarStream
from barray.market.bars import Bars, check_order, check_values
from barray.market.errors import BarrayError, SourceUnavailable
from barray.market.interval import Interval
from barray.market.reason_codes import ReasonCode


@dataclass(frozen=True)
class Dataset:
    """Names a vendor's feed and adjustment: what bars are besides symbol and interval. Two are never put together.

    `feed`: which venues they come from (`iex`, `sip`; empty where the vendor has one). `adjustment`: `raw`, `split`,
    `dividend`, `all`.
    """

    vendor: str
    feed: str = ""
    adjustment: str = "raw"

    @property
    def folder(self) -> str:
        """The name of its folder in a store: `alpaca-iex-raw`."""
        return "-".join(part for part in (self.vendor, self.feed, self.adjustment) if part)


@dataclass(frozen=True)
class PageRequest:
    """Bars of `symbols` that start in `[start_ns, end_ns)`, UTC; `token` is the last page's `next_token`, if any."""

    symbols: tuple[str, ...]
    interval: Interval
    start_ns: int
    end_ns: int
    token: str | None = None

    def checked(self, bars: Bars, symbol: str, source: str) -> Bars:
        """Those of a symbol's bars that lie in the range; DataError where they cannot be right."""
        names = {"symbol": symbol, "interval": str(self.interval), "source": source}
        check_order(bars.start_ns, **names)
        check_values(bars, **names)
        inside = (bars.start_ns >= self.start_ns) & (bars.start_ns < self.end_ns)
        return bars if inside.all() else bars.take(inside)


@dataclass(frozen=True)
class RateLimit:
    """What the vendor said of its rate limit: requests left until `reset_s` (seconds since 1970), of `limit`."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True)
class Page:
    """One answer. `bars` by symbol, oldest first, stamped with their start; a symbol without bars is left out.

    Symbols come in order, each whole before the next, over all the pages of a request. `next_token` None: it was the
    last. A page is checked on arrival: only symbols asked for, stamps in the range and increasing, values that can be
    a bar's.
    """

    bars: Mapping[str, Bars]
    next_token: str | None = None
    rate: RateLimit | None = None


class VendorThrottled(BarrayError):
    """Too many requests. `retry_at_s`: when to come again, seconds since 1970, where the vendor says so."""

    default_code = "throttled"
    retry_at_s: float | None = None


class VendorFailed(BarrayError):
    """The request failed in a way that may pass: 5xx, reset, timeout, or an answer that makes no sense."""

    default_code = "vendor_failed"


class RequestRefused(BarrayError):
    """The vendor will never serve this request as it stands: a symbol it can't read, a range it doesn't have.

    In a batch one symbol may be the cause: its halves are tried.
    """

    default_code: ClassVar[ReasonCode] = "request_refused"


class TooRecent(RequestRefused):
    """The end is too recent for this account; one `Limits.settled` ago would do."""

    default_code: ClassVar[ReasonCode] = "too_recent"


class AccessDenied(SourceUnavailable):
    """Key or token are not accepted, for anything. Retrying is no use; `remedy` says what to do."""

    default_code: ClassVar[ReasonCode] = "access_denied"


class Vendor(Protocol):
    """Talks to one vendor with one credential; threads may share it. It holds the secret: it stays in the gateway."""

    @property
    def dataset(self) -> Dataset:
        """What its bars are."""
        ...

    @property
    def limits(self) -> Limits:
        """How much a request takes and how many there may be."""
        ...

    def fetch(self, request: PageRequest) -> Page:
        """One page: one HTTP request, no retry, within `limits.timeout_s`.

        Raises VendorThrottled, VendorFailed, RequestRefused, AccessDenied; their texts and attributes hold no secret.
        """
        ...

    def active_symbols(self) -> Sequence[str]:
        """All symbols traded there now, sorted. Raises as `fetch`."""
        ...


class VendorAccount(Protocol):
    """How to reach a vendor: settings alone, which may travel and stand in a config. The secret does not."""

    @property
    def dataset(self) -> Dataset:
        """What its bars are."""
        ...

    @property
    def native(self) -> Mapping[Interval, timedelta | None]:
        """Intervals it serves itself, each with how far back it goes (None: as far as there is anything)."""
        ...

    def secret(self) -> Any:
        """The credential, read where this process finds it. Its `id` names it and tells nobody anything.

        ConfigError where there is none, or others may read it.
        """
        ...

    def vendor(self, secret: Any) -> Vendor:
        """The vendor, to be asked with that credential."""
        ...

    def live(self, secret: Any) -> BarStream:
        """Its stream of bars; ConfigError where it has none."""
        ...


@dataclass(frozen=True)
class Limits:
    """`page_rows`: most bars in a page, all symbols together (None: no pages). `symbols`: most symbols in a request.

    `per_minute`: requests, until the vendor's own headers say otherwise. `settled`: younger bars may still change.
    """

    page_rows: int | None
    symbols: int
    per_minute: int
    timeout_s: float = 30.0
    settled: timedelta = timedelta(minutes=20)
