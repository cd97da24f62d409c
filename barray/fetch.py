"""Fetching a vendor's bars into its store, without a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import PreparedSessions, prepare_sessions, session_range_for
from barray.coordinator.prepare_scans import prepare_scan, with_scans
from barray.data_sources.fetching.fetcher import Fetcher, FetchProgress
from barray.data_sources.fetching.months import EXCHANGE, midnight_ns
from barray.data_sources.fetching.plan import FetchPlan
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

    def __init__(self, source: VendorSource, symbols: Sequence[str] | None, *wanted: Wanted) -> None:
        for one in wanted:
            if one.interval not in source.account.native:
                known = ", ".join(map(str, sorted(source.account.native)))
                raise ConfigError(
                    f"it does not serve {one.interval}",
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
        plans = [self._fetcher.plan(self.symbols, one.interval, one.start_ns, one.end_ns) for one in self._wanted]
        chains = tuple(chain for plan in plans for chain in plan.chains)
        return FetchPlan(chains, sum(plan.requests for plan in plans), sum(plan.minutes for plan in plans))

    def run(self, progress: Callable[[FetchProgress], None] | None = None) -> Fetched:
        """Fetch what is missing. Broken off, it goes on from there the next time."""
        begun_s = monotonic_s()
        found = [
            self._fetcher.ensure(self.symbols, one.interval, one.start_ns, one.end_ns, progress) for one in self._wanted
        ]
        capped_ns = next((one.capped_ns for one in found if one.capped_ns), None)
        until = datetime.fromtimestamp(capped_ns // NS_PER_SECOND, EXCHANGE) if capped_ns else None
        return Fetched(
            len(self.symbols),
            sum(one.requests for one in found),
            sum(one.rows for one in found),
            monotonic_s() - begun_s,
            self._source.store.shown,
            {symbol: reason for one in found for symbol, reason in one.failures.items()},
            until.isoformat() if until else None,
        )


def all_wanted_by(config: SessionConfig, source: VendorSource) -> tuple[Wanted, ...]:
    """What the config's runs need of the source, with the history before its sessions: see `prepare_sessions`. Its
    scans need all that they look at of sessions before.

    Of the source of daily history its days, and base bars only where no other source comes first. ConfigError where the
    source can't serve them, or the config's strategy can't be read.
    """
    if source.name != config.history.daily:
        return (wanted_by(config, source),)
    run = _prepared(config)
    days = run.session_range.daily_sessions
    wanted = _meant(source.wanted_days(days), source) if len(days) else None
    if wanted is not None and config.sources[0].name != source.name:
        return (wanted,)
    return (wanted_by(config, source), *((wanted,) if wanted else ()))


def wanted_by(config: SessionConfig, source: VendorSource, interval: Interval | None = None) -> Wanted:
    """The same of base bars alone. `interval`: these bars, over the same time."""
    run = _prepared(config)
    requirements = run.requirements
    if interval:
        requirements = replace(requirements, intervals=(interval,), indicators=(), daily=None)
    if config.is_live:
        source = replace(source, only=Interval(1, "m"))
    wanted = _meant(source.wanted(requirements, run.session_range.loaded, 0), source)
    return replace(wanted, interval=interval) if interval else wanted


def scanned_symbols(config: SessionConfig) -> list[str]:
    """Symbols that the universes of the config's scans name, sorted; none where one is everything that is stored.
    ConfigError as for `prepare_scan`.
    """
    return sorted(prepare_scan(config, load_calendar).named() or ()) if config.scans else []


def _prepared(config: SessionConfig) -> PreparedSessions:
    whole, scans = with_scans(config, load_calendar)
    run = prepare_sessions(whole, load_calendar)
    if scans is None:
        return run
    required = run.requirements
    back = max(required.trailing_days, scans.needs.sessions_back)
    wide = replace(required, trailing_days=back)
    return PreparedSessions(whole, wide, session_range_for(whole, wide, load_calendar))


def _meant(wanted: Wanted | Reason, source: VendorSource) -> Wanted:
    if isinstance(wanted, Reason):
        raise ConfigError(wanted.message, source=source.name, remedy=wanted.remedy, code=wanted.code)
    return wanted


def days_wanted(interval: Interval, first: date, last: date) -> Wanted:
    """The bars of the dates `first` to `last`, both included; ConfigError where they are reversed."""
    if last < first:
        raise ConfigError(f"the range ends on {last}, before it begins on {first}", remedy="exchange them")
    return Wanted(interval, midnight_ns(first), midnight_ns(last + timedelta(days=1)))
