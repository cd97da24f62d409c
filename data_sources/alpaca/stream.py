"""Bars as minutes close, from Alpaca's stream through its own client, and how the connection fares."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.stream import Heard
from barray.market.bars import Bar, Bars, value_problem
from barray.market.clock import monotonic_s
from barray.market.interval import NS_PER_SECOND

_STOP_S = 5.0
_AGAIN_S = 2.0
_LAST_NS = 2**62
_ALL = "*"
MOST_NAMED = 1_000
"""Symbols beyond which the bars of all that trade are asked for, and those of others left out here. Alpaca's minute
bars have no limit, and one message then asks for them (its page on real-time data, 2026-11-28).
"""
_CLOSED = "closed"
_FATAL = (_CLOSED, "auth failed", "not authenticated", "insufficient subscription")


class AlpacaStream:
    """See BarStream. Listens in a thread of its own until it is closed; reconnects by itself. Threads may share it.

    `url`: another address than Alpaca's, `ws://…`.
    """

    def __init__(self, keys: KeyPair, feed: str, *, url: str | None = None) -> None:
        self._keys = keys
        self._feed, self._url = feed, url
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._acknowledged: set[str] = set()
        self._bars: dict[str, list[Bar]] = {}
        self._refused: list[str] = []
        self._connections = 0
        self._problem = ""
        self._heard_s = self._asked_s = monotonic_s()
        self._stream: Any = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Listen to these too."""
        with self._lock:
            new = set(symbols) - self._wanted
            self._wanted |= new
            if not new:
                return
            if self._stream is None:
                self._heard_s = monotonic_s()
                self._stream = self._made()
                self._ask_for(sorted(self._lacking()))
                self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
                self._thread.start()
            elif lacking := self._lacking():
                self._ask_beside(lacking)

    def drain(self) -> Heard:
        """What came since the last time. A subscription that was lost on the way is made again."""
        with self._lock:
            connected = bool(self._stream is not None and self._stream._running)
            lost = self._lacking()
            if connected and lost and not self._problem and monotonic_s() > self._asked_s + _AGAIN_S:
                self._ask_beside(lost)
            bars, self._bars = self._bars, {}
            refused, self._refused = self._refused, []
            return Heard(
                {symbol: Bars.of(own) for symbol, own in bars.items()},
                connected,
                self._connections,
                monotonic_s() - self._heard_s,
                tuple(refused),
                self._problem,
            )

    def close(self) -> None:
        """End the connection and the thread."""
        self._closed = True
        stream, thread = self._stream, self._thread
        if stream is None or thread is None:
            return
        loop = stream._loop
        if loop is not None and loop.is_running():
            with suppress(Exception):  # it ends anyway, a daemon
                asyncio.run_coroutine_threadsafe(_end(stream), loop).result(_STOP_S)
        thread.join(_STOP_S)

    def _lacking(self) -> set[str]:
        """What is still to be subscribed to, or acknowledged."""
        if _ALL in self._acknowledged:
            return set()
        return {_ALL} if len(self._wanted) > MOST_NAMED else self._wanted - self._acknowledged

    def _ask_beside(self, symbols: Iterable[str]) -> None:
        """Subscribe in a thread: the client waits for its loop, which may be waiting for our lock."""
        self._asked_s = monotonic_s()
        threading.Thread(target=self._ask_for, args=(sorted(symbols),), daemon=True).start()

    def _ask_for(self, symbols: Sequence[str]) -> None:
        with suppress(Exception):  # the connection has just gone: on the next all of them are subscribed to
            self._stream.subscribe_bars(self._on_bar, *symbols)
            self._stream.subscribe_updated_bars(self._on_bar, *symbols)

    async def _on_bar(self, told: Mapping[str, Any]) -> None:
        """A bar, or the correction of one; the dispatcher has looked at it already."""

    def _note(self, told: Mapping[str, Any]) -> None:
        kind = told.get("T")
        if kind in ("b", "u"):
            self._note_bar(told)
        elif kind == "subscription":
            self._acknowledged = set(told.get("bars") or ()) & set(told.get("updatedBars") or ())
        elif kind == "error":
            self._problem = self._keys.hidden(f"{told.get('msg')} ({told.get('code')})")

    def _note_bar(self, told: Mapping[str, Any]) -> None:
        symbol = str(told.get("S"))
        self._heard_s = monotonic_s()
        try:
            stamp = told["t"]
            start_ns = stamp.seconds * NS_PER_SECOND + stamp.nanoseconds
            if not 0 < start_ns < _LAST_NS:
                raise ValueError("a time that cannot be")
            bar = Bar(start_ns, *(float(told[name]) for name in ("o", "h", "l", "c", "v")))
            problem = value_problem(bar)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            bar, problem = None, f"{type(error).__name__}: {error}"
        with self._lock:
            if bar is None or problem:
                self._refused.append(f"{symbol}: {problem}")
            elif symbol in self._wanted:
                self._bars.setdefault(symbol, []).append(bar)

    def _made(self) -> Any:
        from alpaca.data.enums import DataFeed
        from alpaca.data.live.stock import StockDataStream

        feed = self

        class Stream(StockDataStream):
            """Alpaca's own, watched."""

            async def _start_ws(self) -> None:
                feed._acknowledged = set()
                try:
                    if feed._closed:  # before it began: beginning, the client forgets that it was told to stop
                        raise ValueError(_CLOSED)
                    await super()._start_ws()
                except ValueError as error:
                    feed._problem = feed._keys.hidden(str(error))
                    if any(text in str(error) for text in _FATAL):
                        self._should_run = False  # it would try again for ever
                        if self._stop_stream_event is not None:
                            self._stop_stream_event.set()
                    raise
                feed._connections += 1
                feed._problem = ""

            async def _dispatch(self, msg: dict[str, Any]) -> None:
                feed._note(msg)
                await super()._dispatch(msg)

        logging.getLogger("alpaca.data.live.websocket").setLevel(logging.CRITICAL)  # what it says is in `Heard`
        return Stream(
            self._keys.key, self._keys.secret, raw_data=True, feed=DataFeed(self._feed), url_override=self._url
        )

    def _run(self) -> None:
        with suppress(Exception):  # its problem has been noted
            asyncio.run(self._stream._run_forever())


async def _end(stream: Any) -> None:
    await stream.stop_ws()
    if stream._ws is not None:
        await stream._ws.close()
