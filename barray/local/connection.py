"""What every run needs before it begins: the exchange calendar, and a Ray to run on."""

from __future__ import annotations

from barray.coordinator import runtime
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.remote import Remote
from barray.data_sources.fetching.gateway import secrets_of
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.local import warm_ray
from barray.local.calendar_cache import cached_sessions
from barray.market.calendar import TradingCalendar
from barray.market.errors import ConfigError
from barray.market.requirements import SymbolRequirements, calendar_for


def load_calendar(config: SessionConfig, requirements: SymbolRequirements) -> TradingCalendar:
    """The config's calendar, from far enough back for `requirements`; ConfigError, naming file and key, where it has no
    such sessions.
    """
    section = config.session
    try:
        return calendar_for(
            requirements,
            section.calendar,
            section.start,
            section.end,
            hours=section.hours,
            extended=section.extended,
            source=cached_sessions,
        )
    except ConfigError as error:
        key = "session.calendar" if error.code == "bad_calendar" else "session.start"
        raise ConfigError(f"{config.where}: {key}: {error.reason}", remedy=error.remedy, code=error.code) from error


def hand_over_credentials(config: SessionConfig, remote: Remote) -> None:
    """Give the coordinator the credentials of the config's vendor sources, as this process finds them.

    By a call, after everything else: what an actor is made with is kept by Ray.
    """
    vendors = {source.name: source for source in config.data_sources if isinstance(source, VendorSource)}
    if vendors:
        remote.call("set_credentials", secrets_of(vendors))  # and wait: an async actor's calls may overtake one another


def ensure_ray(config: SessionConfig) -> None:
    """Join the Ray that the config names or `barray up` keeps, or start one here on loopback."""
    address = config.ray.address
    if address is None and (warm := warm_ray.find_ours()):
        address = warm.address
    if address is None:
        actors, ray = config.actors, config.ray
        fork = actors.spawn == "fork"
        runtime.start_ray(
            ray.num_cpus, fork=fork, preload=actors.preload, keep_logs=ray.keep_logs, metrics_port=ray.metrics_port
        )
    else:
        runtime.join_ray(address)
