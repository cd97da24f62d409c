"""A session's vendor sources: each credential's gateway actor, found or started, and what it is to fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ray.exceptions import RayActorError

from barray.actors.handles import gather
from barray.actors.options import gateway_actor
from barray.data_sources.failover import Fetch, Needs, V
from barray.data_sources.fetching.fetcher import FetchProgress
from barray.data_sources.fetching.stream import Heard
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.errors import BarrayError
from barray.market.requirements import SymbolRequirements
from barray.market.validation import Reason

_POLL_S = 0.5
_CALL_S = 30.0
_TRIES = 3
"""A gateway dies with the session that started it, and another session may be using it: that one starts its own."""


class GatewayPool:
    """Fetches for vendor sources. `connect` brings their credentials; without, their symbols fail for that reason."""

    def __init__(self) -> None:
        self._secrets: dict[str, Any] = {}
        self._actors: dict[str, Any] = {}  # held: an actor that nobody has a handle of is ended
        self.progress: FetchProgress | None = None

    def set_credentials(self, secrets: Mapping[str, Any]) -> None:
        """Credentials by the name of their source, or the Reason why there is none."""
        self._secrets.update(secrets)

    def fetch_for(self, requirements: SymbolRequirements, needs: Needs[V]) -> Fetch[V]:
        """What has a source fetch the sessions that it is to serve."""
        return Fetch(requirements, needs, self.ensure)

    async def ensure(
        self, source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int
    ) -> Mapping[str, Reason]:
        """See Gateway."""
        fetching = self._call(source, "ensure", source, tuple(symbols), wanted, needed_ns, timeout_s=None)
        call = asyncio.ensure_future(fetching)
        try:
            while not (await asyncio.wait([call], timeout=_POLL_S))[0]:
                found = await self._call(source, "progress", timeout_s=_POLL_S)
                self.progress = found if isinstance(found, FetchProgress) else self.progress
        finally:
            self.progress = None
        answer = call.result()
        return answer if isinstance(answer, dict) else dict.fromkeys(symbols, _reason(answer, source))

    async def listen(self, listener: str, source: VendorSource, symbols: Sequence[str]) -> Reason | None:
        """See Gateway. Why it can't be listened to, if so."""
        answer = await self._call(source, "listen", listener, source, tuple(symbols))
        return None if answer is None else _reason(answer, source)

    async def hear(self, listener: str, source: VendorSource) -> Heard | None:
        """What came since the last time; None where nobody listens any more: listen again."""
        answer = await self._call(source, "hear", listener)
        return answer if isinstance(answer, Heard) else None

    async def hang_up(self, listener: str, source: VendorSource) -> None:
        """See Gateway."""
        await self._call(source, "hang_up", listener)

    async def requests(self) -> int:
        """How many requests the gateways that were used have made, for whomever."""
        calls = [partial(gateway.requests.remote) for gateway in self._actors.values()]
        return sum(made for made in await gather(calls, _CALL_S) if isinstance(made, int))

    async def _call(self, source: VendorSource, method: str, *arguments: Any, timeout_s: float | None = _CALL_S) -> Any:
        """The gateway's answer, or the error or Reason that came instead."""
        secret = self._secrets.get(source.name, _no_credentials(source))
        if isinstance(secret, Reason):
            return secret
        answer: Any = None
        for _ in range(_TRIES):
            gateway = await self._gateway(secret)
            if isinstance(gateway, Exception):
                answer = gateway
                continue
            try:
                answer = (await gather([partial(getattr(gateway, method).remote, *arguments)], timeout_s))[0]
            except BarrayError as error:
                return error
            if not isinstance(answer, RayActorError):
                break
            self._actors.pop(secret.id, None)
        return answer

    async def _gateway(self, secret: Any) -> Any:
        """The gateway of a credential, which it has; or what went wrong."""
        if secret.id not in self._actors:
            gateway: Any = gateway_actor(secret.id)
            failure = (await gather([partial(gateway.set_credentials.remote, secret)], _CALL_S))[0]
            if failure is not None:
                return failure
            self._actors[secret.id] = gateway
        return self._actors[secret.id]


def _no_credentials(source: VendorSource) -> Reason:
    return Reason("no_credentials", "was given no credentials", "set them where the session starts", source.name)


def _reason(answer: object, source: VendorSource) -> Reason:
    if isinstance(answer, Reason):
        return answer
    if isinstance(answer, BarrayError):
        return Reason.of(answer, source.name)
    return Reason("gateway_lost", f"its gateway was lost: {type(answer).__name__}", "look into Ray's logs", source.name)
