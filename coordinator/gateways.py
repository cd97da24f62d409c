"""A session's vendor sources: each credential's gateway actor, found or started, and what it is to fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from actors.handles import gather
from actors.options import gateway_actor
from data_sources.failover import Fetch
from data_sources.gateway import FetchProgress
from data_sources.vendor_source import VendorSource, Wanted
from market.calendar import Sessions
from market.requirements import SymbolRequirements
from market.validation import Reason

_POLL_S = 0.5
_TRIES = 3
"""A gateway dies with the session that started it, and another session may be using it: that one starts its own."""


class Gateways:
    """Fetches for vendor sources. `connect` brings their credentials; without, their symbols fail for that reason."""

    def __init__(self) -> None:
        self._secrets: dict[str, Any] = {}
        self.progress: FetchProgress | None = None

    def connect(self, secrets: Mapping[str, Any]) -> None:
        """Credentials by the name of their source, or the Reason why there is none."""
        self._secrets.update(secrets)

    def fetcher(self, requirements: SymbolRequirements, sessions: Sessions, until_ns: int = 0) -> Fetch:
        """What has a source fetch all that these sessions need, and ahead of time what comes up to `until_ns`."""

        async def fetch(source: VendorSource, symbols: Sequence[str]) -> Mapping[str, Reason]:
            wanted = source.wanted(requirements, sessions, until_ns)
            if isinstance(wanted, Reason):
                return dict.fromkeys(symbols, wanted)
            return await self._fetch(source, symbols, wanted, int(sessions.close_ns[-1]))

        return fetch

    async def _fetch(
        self, source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int
    ) -> Mapping[str, Reason]:
        none = Reason("no_credentials", "was given no credentials", "set them where the session starts", source.name)
        secret = self._secrets.get(source.name, none)
        if isinstance(secret, Reason):
            return dict.fromkeys(symbols, secret)
        failure: object = None
        try:
            for _ in range(_TRIES):
                gateway = gateway_actor(secret.id)
                failure = (await gather([gateway.connect.remote(secret)], None))[0]
                if failure is not None:
                    continue
                call = asyncio.ensure_future(
                    gather([gateway.ensure.remote(source, tuple(symbols), wanted, needed_ns)], None)
                )
                while not (await asyncio.wait([call], timeout=_POLL_S))[0]:
                    found = (await gather([gateway.progress.remote()], _POLL_S))[0]
                    self.progress = found if isinstance(found, FetchProgress) else self.progress
                failure = call.result()[0]
                if isinstance(failure, dict):
                    return failure
        finally:
            self.progress = None
        message = f"its gateway was lost: {type(failure).__name__}"
        return dict.fromkeys(symbols, Reason("gateway_lost", message, "look into Ray's logs", source.name))
