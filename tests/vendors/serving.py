"""Runs a vendor's server on a free port of loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from aiohttp import web


class Answering(Protocol):
    """What can be served: it adds its routes, and is told where it is."""

    url: str

    def routes(self, app: web.Application) -> None:
        """Add what it answers."""
        ...


S = TypeVar("S", bound=Answering)
Call = Callable[[Awaitable[Any]], Any]


@contextmanager
def serving(server: S, port: int = 0) -> Iterator[S]:
    """`server.url` says where."""
    with _loop() as run:
        app = web.Application()
        server.routes(app)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        run(runner.setup())
        run(web.TCPSite(runner, "127.0.0.1", port).start())
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield server
        finally:
            run(runner.cleanup())


@contextmanager
def _loop() -> Iterator[Call]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def waited(work: Awaitable[Any]) -> Any:
        return await work

    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(waited(work), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
