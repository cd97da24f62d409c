"""A trading day as Alpaca's stream tells it: each minute's bars when the minute is over, with mishaps as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from barray.market.bars import Bar, Bars
from barray.market.clock import PracticeClock
from barray.market.interval import NS_PER_SECOND
from tests.vendors.alpaca_stream import StreamServer

MINUTE_NS = 60 * NS_PER_SECOND
Mishap = Callable[[str, int], str | None]


def _none(symbol: str, start_ns: int) -> str | None:
    return None


@dataclass
class Day:
    """`mishap`: what befalls a bar: `lost`, `late` (a minute), `twice`, or `wrong` (and corrected a minute later).

    `cuts`: minutes, by their start, at whose end all connections are cut before anything is sent.
    """

    stream: StreamServer
    bars: Mapping[str, Bars]
    clock: PracticeClock
    mishap: Mishap = _none
    cuts: frozenset[int] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)
    _later: list[tuple[str, Bar, bool]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Every minute from now on, until the last bar or the end of the block."""
        by_minute: dict[int, list[tuple[str, Bar]]] = {}
        for symbol, series in sorted(self.bars.items()):
            for row in range(len(series)):
                by_minute.setdefault(int(series.start_ns[row]), []).append((symbol, series[row]))
        for start_ns in sorted(stamp for stamp in by_minute if stamp + MINUTE_NS > self.clock.now_ns()):
            while (left_ns := start_ns + MINUTE_NS - self.clock.now_ns()) > 0:
                if self._over.wait(min(left_ns / 1e9 / self.clock.speed, 0.002 if self.clock.jumps else 0.2)):
                    return
            self._tell(start_ns, by_minute[start_ns])
        self._tell(0, [])

    def _tell(self, start_ns: int, bars: list[tuple[str, Bar]]) -> None:
        if start_ns in self.cuts:
            self._count("cut")
            self.stream.cut()
        before, self._later = self._later, []
        for symbol, bar in bars:
            what = self.mishap(symbol, start_ns)
            if what:
                self._count(what)
            if what == "wrong":
                self.stream.publish(symbol, replace(bar, volume=bar.volume + 1))
                self._later.append((symbol, bar, True))
            elif what == "late":
                self._later.append((symbol, bar, False))
            elif what != "lost":
                for _ in range(2 if what == "twice" else 1):
                    self.stream.publish(symbol, bar)
        for symbol, bar, updated in before:
            self.stream.publish(symbol, bar, updated=updated)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def end(self) -> None:
        """Stop telling."""
        self._over.set()


@contextmanager
def playing(day: Day) -> Iterator[Day]:
    """The day goes on in a thread of its own."""
    thread = threading.Thread(target=day.run, daemon=True)
    thread.start()
    try:
        yield day
    finally:
        day.end()
        thread.join(10)
