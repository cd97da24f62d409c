"""Vendor sources where there is no Ray: their gateways live in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from barray.data_sources.failover import Fetch
from barray.data_sources.fetching.gateway import Gateway, secrets_of
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.session_range import SessionRange
from barray.market.validation import Reason


class LocalGatewayPool:
    """As barray.coordinator.gateway_pool.GatewayPool, with credentials from this process's environment.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, Any] = {}
        self._gateways: dict[str, Gateway] = {}
        self._lock = Lock()

    def fetch_for(
        self, requirements: SymbolRequirements, run: SessionContext | SessionRange, until_ns: int = 0
    ) -> Fetch:
        """What has a source fetch all that a run's sessions need, and ahead of time what comes up to `until_ns`."""

        async def fetch(source: VendorSource, symbols: Sequence[str], *, daily: bool = False) -> Mapping[str, Reason]:
            sessions = run.daily_sessions if daily else run.loaded
            if not len(sessions):
                return {}
            wanted = source.wanted_days(sessions) if daily else source.wanted(requirements, sessions, until_ns)
            if isinstance(wanted, Reason):
                return dict.fromkeys(symbols, wanted)
            needed_ns = int(sessions.close_ns[-1])
            return await asyncio.to_thread(self.ensure, source, symbols, wanted, needed_ns)

        return fetch

    def ensure(
        self, source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int
    ) -> Mapping[str, Reason]:
        """See Gateway."""
        gateway = self.gateway(source)
        if isinstance(gateway, Reason):
            return dict.fromkeys(symbols, gateway)
        return gateway.ensure(source, symbols, wanted, needed_ns)

    def gateway(self, source: VendorSource) -> Gateway | Reason:
        """The gateway of a source's credential; the Reason where there is none."""
        with self._lock:
            if source.name not in self._secrets:
                self._secrets |= secrets_of({source.name: source})
            secret = self._secrets[source.name]
            if isinstance(secret, Reason):
                return secret
            if secret.id not in self._gateways:
                self._gateways[secret.id] = Gateway()
                self._gateways[secret.id].set_credentials(secret)
            return self._gateways[secret.id]
