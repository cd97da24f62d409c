"""Fetching a vendor's bars into its store, without a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from barray.data_sources.fetching.fetcher import Fetcher, FetchProgress
from barray.data_sources.fetching.plan import FetchPlan
from barray.data_sources.fetching.store import EXCHANGE
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.local.gateways import LocalGatewayPool
from barray.market.clock import monotonic_s
from barray.market.errors import ConfigError
from barray.market.interval import NS_PER_SECOND, Interval
from barray.market.validation import Reason


@dataclass(frozen=True)
class Fetched:
    """What a fetch did. `failures`: why a symbol's bars are not all there; what came of it before is kept.

    `folder`: where the bars lie. `until`: where the vendor ended the range, as too recent for this account.
    """

    symbols: int
    requests: int
    bars: int
    seconds: float
    folder: str
    failures: dict[str, Reason]
    until: str | None


class Fetch:
    """Bars of symbols on the dates `first` to `last`, both included, all hours; ConfigError where they can't be meant.

    `symbols` None: all that the vendor has that trade now. Credentials come from the environment, or the source's file.
    """

    def __init__(
        self, source: VendorSource, symbols: Sequence[str] | None, interval: Interval, first: date, last: date
    ) -> None:
        if last < first:
            raise ConfigError(f"the range ends on {last}, before it begins on {first}", remedy="exchange them")
        if interval not in source.account.native:
            known = ", ".join(map(str, sorted(source.account.native)))
            raise ConfigError(
                f"it does not serve {interval}",
                source=source.name,
                remedy=f"fetch one of {known}; others are derived from these",
            )
        gateway = LocalGatewayPool().gateway(source)
        if isinstance(gateway, Reason):
            raise ConfigError(gateway.message, source=source.name, remedy=gateway.remedy, code=gateway.code)
        self._fetcher: Fetcher = gateway.fetcher(source)
        self._source, self._interval = source, interval
        self._start_ns, self._end_ns = midnight_ns(first), midnight_ns(last + timedelta(days=1))
        self.symbols = self._fetcher.active_symbols() if symbols is None else sorted(set(symbols))
        if not self.symbols:
            raise ConfigError("there are no symbols to fetch", remedy="name some, or fetch all")

    def plan(self) -> FetchPlan:
        """What is missing, in how many requests and minutes; asks nobody."""
        return self._fetcher.plan(self.symbols, self._interval, self._start_ns, self._end_ns)

    def run(self, progress: Callable[[FetchProgress], None] | None = None) -> Fetched:
        """Fetch what is missing. Broken off, it goes on from there the next time."""
        begun_s = monotonic_s()
        found = self._fetcher.ensure(self.symbols, self._interval, self._start_ns, self._end_ns, progress)
        until = datetime.fromtimestamp(found.capped_ns // NS_PER_SECOND, EXCHANGE) if found.capped_ns else None
        return Fetched(
            len(self.symbols),
            found.requests,
            found.rows,
            monotonic_s() - begun_s,
            str(self._source.store.folder),
            dict(found.failures),
            until.isoformat() if until else None,
        )


def midnight_ns(day: date) -> int:
    """The instant at which a New York day begins, UTC nanoseconds."""
    return int(datetime.combine(day, time(), EXCHANGE).timestamp()) * NS_PER_SECOND
