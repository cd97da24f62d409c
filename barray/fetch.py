"""Fetching a vendor's bars into its store, without a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import prepare_sessions
from barray.data_sources.fetching.fetcher import Fetcher, FetchProgress
from barray.data_sources.fetching.plan import FetchPlan
from barray.data_sources.fetching.store import EXCHANGE, midnight_ns
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.local.connection import load_calendar
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
    """Bars of symbols, all hours; ConfigError where they can't be meant.

    `symbols` None: all that the vendor has that trade now. Credentials come from the environment, or the source's file.
    """

    def __init__(self, source: VendorSource, symbols: Sequence[str] | None, wanted: Wanted) -> None:
        if wanted.interval not in source.account.native:
            known = ", ".join(map(str, sorted(source.account.native)))
            raise ConfigError(
                f"it does not serve {wanted.interval}",
                source=source.name,
                remedy=f"fetch one of {known}; others are derived from these",
            )
        gateway = LocalGatewayPool().gateway(source)
        if isinstance(gateway, Reason):
            raise ConfigError(gateway.message, source=source.name, remedy=gateway.remedy, code=gateway.code)
        self._fetcher: Fetcher = gateway.fetcher(source)
        self._source, self._wanted = source, wanted
        self.symbols = self._fetcher.active_symbols() if symbols is None else sorted(set(symbols))
        if not self.symbols:
            raise ConfigError("there are no symbols to fetch", remedy="name some, or fetch all")

    def plan(self) -> FetchPlan:
        """What is missing, in how many requests and minutes; asks nobody."""
        wanted = self._wanted
        return self._fetcher.plan(self.symbols, wanted.interval, wanted.start_ns, wanted.end_ns)

    def run(self, progress: Callable[[FetchProgress], None] | None = None) -> Fetched:
        """Fetch what is missing. Broken off, it goes on from there the next time."""
        begun_s, wanted = monotonic_s(), self._wanted
        found = self._fetcher.ensure(self.symbols, wanted.interval, wanted.start_ns, wanted.end_ns, progress)
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


def wanted_by(config: SessionConfig, source: VendorSource, interval: Interval | None = None) -> Wanted:
    """What the config's runs need of the source, with the history before its sessions: see `prepare_sessions`.

    `interval`: these bars, over the same time. ConfigError where the source can't serve them, or the config's strategy
    can't be read.
    """
    run = prepare_sessions(config, load_calendar)
    requirements = replace(run.requirements, intervals=(interval,), indicators=()) if interval else run.requirements
    if config.is_live:
        source = replace(source, only=Interval(1, "m"))
    wanted = source.wanted(requirements, run.session_range.loaded, 0)
    if isinstance(wanted, Reason):
        raise ConfigError(wanted.message, source=source.name, remedy=wanted.remedy, code=wanted.code)
    return replace(wanted, interval=interval) if interval else wanted


def days_wanted(interval: Interval, first: date, last: date) -> Wanted:
    """The bars of the dates `first` to `last`, both included; ConfigError where they are reversed."""
    if last < first:
        raise ConfigError(f"the range ends on {last}, before it begins on {first}", remedy="exchange them")
    return Wanted(interval, midnight_ns(first), midnight_ns(last + timedelta(days=1)))
