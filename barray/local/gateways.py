"""Vendor sources where there is no Ray: their gateways live in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from barray.data_sources.failover import Fetch, Needs, V
from barray.data_sources.fetching.gateway import Gateway, secrets_of
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.requirements import SymbolRequirements
from barray.market.validation import Reason


class LocalGatewayPool:
    """As barray.coordinator.gateway_pool.GatewayPool, with credentials from this process's environment.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, Any] = {}
        self._gateways: dict[str, Gateway] = {}
        self._lock = Lock()

    def fetch_for(self, requirements: SymbolRequirements, needs: Needs[V]) -> Fetch[V]:
        """What has a source fetch the sessions that it is to serve."""

        async def ensure(
            source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int
        ) -> Mapping[str, Reason]:
            return await asyncio.to_thread(self.ensure, source, symbols, wanted, needed_ns)

        return Fetch(requirements, needs, ensure)

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
