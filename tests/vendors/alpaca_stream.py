"""Alpaca's stream on loopback: msgpack over a websocket, bars published as told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgpack
from aiohttp import WSCloseCode, WSMsgType, web

from barray.data_sources.fetching.credentials import KeyPair
from barray.market.bars import Bar
from barray.market.interval import NS_PER_SECOND


@dataclass
class StreamServer:
    """Everybody connected hears what they subscribed to. Its methods may be called from any thread.

    `mute`: bars are not sent, the connection stays. `limit`: most symbols a connection may subscribe to.
    """

    keys: KeyPair
    mute: bool = False
    limit: int | None = None
    connections: int = 0
    sent: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    _open: dict[web.WebSocketResponse, dict[str, set[str]]] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, until either side ends it."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        await _say(socket, {"T": "success", "msg": "connected"})
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    await self._answer(socket, msgpack.unpackb(message.data))
        finally:
            self._open.pop(socket, None)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, asked: Mapping[str, Any]) -> None:
        if asked["action"] == "auth":
            if (asked["key"], asked["secret"]) != (self.keys.key, self.keys.secret):
                await _say(socket, {"T": "error", "code": 402, "msg": f"auth failed {asked['secret']}"})
                return
            self._open[socket] = {"bars": set(), "updatedBars": set()}
            await _say(socket, {"T": "success", "msg": "authenticated"})
        elif socket not in self._open:
            await _say(socket, {"T": "error", "code": 401, "msg": "not authenticated"})
        else:
            await self._subscribe(socket, asked)

    async def _subscribe(self, socket: web.WebSocketResponse, asked: Mapping[str, Any]) -> None:
        held = self._open[socket]
        together = {symbol for channel in held for symbol in asked.get(channel, ())} | held["bars"]
        if self.limit is not None and len(together) > self.limit:
            await _say(socket, {"T": "error", "code": 405, "msg": "symbol limit exceeded"})
            return
        for channel in held:
            named = set(asked.get(channel, ()))
            held[channel] = held[channel] | named if asked["action"] == "subscribe" else held[channel] - named
        others: dict[str, list[str]] = {"trades": [], "quotes": [], "dailyBars": [], "statuses": [], "lulds": []}
        shown = {channel: sorted(symbols) for channel, symbols in held.items()}
        await _say(socket, {"T": "subscription", **others, **shown})

    def subscribed(self) -> set[str]:
        """Symbols that anybody listens to."""
        return {symbol for held in list(self._open.values()) for symbol in held["bars"]}

    def publish(self, symbol: str, bar: Bar, *, updated: bool = False) -> None:
        """Send a bar, or the correction of one."""
        self._run(self._publish(symbol, bar, updated))

    def send(self, told: Mapping[str, Any]) -> None:
        """Send anything, to everybody."""
        self._run(self._send(told, "", ""))

    def cut(self) -> None:
        """End all connections, as a network does."""
        self._run(self._cut())

    def _run(self, work: Any) -> None:
        if self.loop is None:
            raise RuntimeError("the stream is not served")
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _publish(self, symbol: str, bar: Bar, updated: bool) -> None:
        told = {"T": "u" if updated else "b", "S": symbol, "n": 1, "vw": bar.close}
        values = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close, "v": int(bar.volume)}
        stamp = msgpack.Timestamp(bar.start_ns // NS_PER_SECOND, bar.start_ns % NS_PER_SECOND)
        await self._send({**told, **values, "t": stamp}, "updatedBars" if updated else "bars", symbol)

    async def _send(self, told: Mapping[str, Any], channel: str, symbol: str) -> None:
        if self.mute:
            return
        for socket, held in list(self._open.items()):
            if not channel or {symbol, "*"} & held[channel]:
                await _say(socket, told)
                self.sent += 1

    async def _cut(self) -> None:
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY)


async def _say(socket: web.WebSocketResponse, told: Mapping[str, Any]) -> None:
    with suppress(ConnectionError):  # it is closing
        if not socket.closed:
            await socket.send_bytes(msgpack.packb([told]))
