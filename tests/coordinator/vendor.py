"""A vendor in this process: a history in a real store, and a stream that says what the session's clock has closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from barray.data_sources.failover import Fetch, Needs, V
from barray.data_sources.fetching.stream import Heard
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.bars import Bars
from barray.market.clock import PracticeClock
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
from barray.market.validation import Reason
from tests.market.builders import MINUTE_NS, with_bar

MINUTE = Interval(1, "m")


def _well(symbol: str, start_ns: int) -> str:
    return ""


class Vendor:
    """See GatewayPool. `bars`: what was traded, by symbol.

    `mishap`: what befalls a symbol's bar of a minute: `lost`, `late` or `wrong` (and corrected) by a minute, `twice`.
    `cut`: minutes at whose end there is no connection; `mute`: minutes whose bars nobody is told; `gone`: minutes after
    which nobody listens any more; `down`: minutes in which history does not answer.
    """

    def __init__(self, bars: Mapping[str, Bars], clock: PracticeClock, open_ns: int) -> None:
        self.bars, self.clock = bars, clock
        self.progress = None
        self.mishap: Callable[[str, int], str] = _well
        self.cut, self.mute, self.gone, self.down = (set[int]() for _ in range(4))
        self.wanted: set[str] = set()
        self.asked: list[tuple[tuple[str, ...], Wanted]] = []
        self.hung_up = False
        self._told_ns = open_ns
        self._heard_ns = clock.now_ns()
        self._connections, self._connected = 1, True
        self._later: list[tuple[str, Bars]] = []

    def set_credentials(self, secrets: Mapping[str, Any]) -> None:
        pass

    def fetch_for(self, requirements: SymbolRequirements, needs: Needs[V]) -> Fetch[V]:
        async def ensure(
            source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int
        ) -> Mapping[str, Reason]:
            return self._store(source, symbols, wanted)

        return Fetch(requirements, needs, ensure)

    async def ensure(
        self, source: VendorSource, symbols: Sequence[str], wanted: Wanted, needed_ns: int
    ) -> Mapping[str, Reason]:
        self.asked.append((tuple(symbols), wanted))
        if any(start <= self.clock.now_ns() < start + MINUTE_NS for start in self.down):
            return dict.fromkeys(symbols, Reason("unreachable", "is down"))
        return self._store(source, symbols, wanted)

    def _store(self, source: VendorSource, symbols: Iterable[str], wanted: Wanted) -> dict[str, Reason]:
        now_ns = self.clock.now_ns()
        for symbol in set(symbols) & set(self.bars):
            own = self.bars[symbol]
            known = own.take((own.start_ns >= wanted.start_ns) & (own.start_ns + MINUTE_NS <= now_ns))
            source.store.write(symbol, MINUTE, wanted.start_ns, min(wanted.end_ns, now_ns), known, now_ns)
        return {s: Reason("bad_symbol", f"has no data for {s}") for s in symbols if s not in self.bars}

    async def listen(self, listener: str, source: VendorSource, symbols: Sequence[str]) -> Reason | None:
        self.wanted |= set(symbols)
        return None

    async def hang_up(self, listener: str, source: VendorSource) -> None:
        self.hung_up = True

    async def hear(self, listener: str, source: VendorSource) -> Heard | None:
        bars: dict[str, list[Bars]] = {}
        while self._told_ns + MINUTE_NS <= self.clock.now_ns():
            if self._told_ns in self.gone:
                self.gone.remove(self._told_ns)
                self.wanted, self._connections, self._connected = set(), 1, True
                return None
            self._tell(self._told_ns, bars)
            self._told_ns += MINUTE_NS
        silent_s = (self.clock.now_ns() - self._heard_ns) / 1e9
        return Heard(
            {symbol: Bars.concat(parts) for symbol, parts in bars.items()},
            self._connected,
            self._connections,
            silent_s,
        )

    def _tell(self, start_ns: int, bars: dict[str, list[Bars]]) -> None:
        """The minute is over."""
        is_cut = start_ns in self.cut
        self._connections += self._connected < (not is_cut)
        self._connected = not is_cut
        told, self._later = ([], []) if is_cut else (self._later, [])
        for symbol in sorted(self.wanted & set(self.bars)):
            own = self.bars[symbol]
            bar = own.take(own.start_ns == start_ns)
            if is_cut or start_ns in self.mute or not len(bar):
                continue
            match self.mishap(symbol, start_ns):
                case "late":
                    self._later.append((symbol, bar))
                case "wrong":
                    told.append((symbol, with_bar(bar, 0, volume=bar[0].volume + 1)))
                    self._later.append((symbol, bar))
                case "lost":
                    pass
                case what:
                    told += [(symbol, bar)] * (2 if what == "twice" else 1)
        for symbol, bar in told:
            bars.setdefault(symbol, []).append(bar)
            self._heard_ns = start_ns + MINUTE_NS
