"""A vendor in memory that pages over known bars and misbehaves as told, a store in memory, a clock that jumps."""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from barray.data_sources.fetching.ranges import subtracted
from barray.data_sources.fetching.vendor import (
    Dataset,
    Limits,
    Page,
    PageRequest,
    RequestRefused,
    VendorFailed,
    VendorThrottled,
)
from barray.market.bars import Bars
from barray.market.interval import Interval

MINUTE = Interval(1, "m")
MIN_NS = MINUTE.ns
NOW_NS = 1_720_000_000_000_000_000 // MIN_NS * MIN_NS
START_NS = NOW_NS - 10_000 * MIN_NS
END_NS = NOW_NS - 1_000 * MIN_NS
SOURCE = "fake-raw"


class JumpClock:
    """Sleeping makes it later, at once."""

    def __init__(self, now_ns: int = NOW_NS) -> None:
        self._now_ns = now_ns
        self._lock = Lock()

    def now_ns(self) -> int:
        with self._lock:
            return self._now_ns

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now_ns += max(1, round(seconds * 1e9))


def bars_of(count: int, start_ns: int = START_NS, step: int = 1, price: float = 10.0) -> Bars:
    stamps = start_ns + np.arange(count, dtype=np.int64) * (step * MIN_NS)
    closes = price + np.arange(count, dtype=np.float64)
    return Bars(stamps, closes.copy(), closes + 1, closes - 1, closes.copy(), closes * 100)


@dataclass
class FakeVendor:
    """`spoilt`: symbols that get a batch refused. `faults`: share of requests that go wrong, each kind as likely."""

    truth: Mapping[str, Bars]
    page_rows: int | None = 100
    symbols: int = 1_000
    per_minute: int = 1_000_000
    spoilt: frozenset[str] = frozenset()
    faults: float = 0.0
    seed: int = 0
    raises: list[Exception] = field(default_factory=list)
    always: Exception | None = None
    failing: frozenset[str] = frozenset()
    asked: list[PageRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = Lock()
        self.dataset = Dataset("fake")
        self.limits = Limits(self.page_rows, self.symbols, self.per_minute)

    def active_symbols(self) -> Sequence[str]:
        return sorted(self.truth)

    def fetch(self, request: PageRequest) -> Page:
        with self._lock:
            self.asked.append(request)
            if self.raises:
                raise self.raises.pop(0)
            if self.always is not None:
                raise self.always
            if self.spoilt.intersection(request.symbols):
                raise RequestRefused("invalid symbol", source=SOURCE)
            if self.failing.intersection(request.symbols):
                raise VendorFailed("500", source=SOURCE)
            page = self._page(request)
            return self._spoil(request, page) if self._random.random() < self.faults else page

    def _page(self, request: PageRequest) -> Page:
        after, after_ns = base64.b64decode(request.token or "").decode().split("|") if request.token else ("", "0")
        left = self.page_rows or 1_000_000_000
        bars: dict[str, Bars] = {}
        for symbol in sorted(request.symbols):
            if symbol < after or symbol not in self.truth:
                continue
            stamps = self.truth[symbol].start_ns
            chosen = (stamps >= request.start_ns) & (stamps < request.end_ns)
            if symbol == after:
                chosen &= stamps > int(after_ns)
            rows = self.truth[symbol].take(chosen)
            if left == 0 and len(rows):
                last = list(bars)[-1]
                token = base64.b64encode(f"{last}|{bars[last].start_ns[-1]}".encode()).decode()
                return Page(bars, token)
            if len(rows) > left:
                bars[symbol] = rows.take(slice(0, left))
                token = base64.b64encode(f"{symbol}|{bars[symbol].start_ns[-1]}".encode()).decode()
                return Page(bars, token)
            if len(rows):
                bars[symbol] = rows
                left -= len(rows)
        return Page(bars)

    def _spoil(self, request: PageRequest, page: Page) -> Page:
        kind = self._random.choice(["500", "429", "429 at", "same token", "same page", "backwards", "not asked"])
        if kind == "429":
            raise VendorThrottled("slow down", source=SOURCE)
        if kind == "429 at":
            error = VendorThrottled("slow down", source=SOURCE)
            error.retry_at_s = NOW_NS / 1e9 + self._random.uniform(-10, 400)
            raise error
        if kind == "same token" and request.token is not None and page.next_token is not None:
            return Page(page.bars, request.token)
        if kind == "same page" and request.token is not None:
            first = self._page(PageRequest(request.symbols, request.interval, request.start_ns, request.end_ns))
            return Page(first.bars, page.next_token)
        if kind == "backwards" and len(page.bars) > 1:
            return Page(dict(reversed(page.bars.items())), page.next_token)
        if kind == "not asked":
            return Page({**page.bars, "ZZZZ": bars_of(1)}, page.next_token)
        raise VendorFailed("500", source=SOURCE)


class MemoryStore:
    """Bars and covered ranges, minute by minute."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, float]] = {}
        self.covered: dict[str, list[tuple[int, int]]] = {}
        self.twice = 0
        self._lock = Lock()

    def missing(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        with self._lock:
            at, gaps = start_ns, []
            for first, last in sorted(self.covered.get(symbol, [])):
                if last <= at or first >= end_ns:
                    continue
                if first > at:
                    gaps.append((at, first))
                at = max(at, last)
            return gaps + ([(at, end_ns)] if at < end_ns else [])

    def write(self, symbol: str, interval: Interval, start_ns: int, end_ns: int, bars: Bars, fetched_ns: int) -> None:
        with self._lock:
            rows = self.rows.setdefault(symbol, {})
            stop_ns = max(end_ns, int(bars.start_ns[-1]) + 1) if len(bars) else end_ns
            for stamp in [stamp for stamp in rows if start_ns <= stamp < stop_ns]:
                del rows[stamp]
                self.twice += 1
            assert all(stamp >= start_ns for stamp in bars.start_ns.tolist())
            rows.update(zip(bars.start_ns.tolist(), bars.close.tolist(), strict=True))
            if end_ns > start_ns:
                self.covered.setdefault(symbol, []).append((start_ns, end_ns))

    def forget(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> None:
        with self._lock:
            held = self.covered.get(symbol, [])
            cut = [part for span in held for part in subtracted(span, [(start_ns, end_ns)])]
            self.covered[symbol] = cut

    def holds(self, symbol: str, truth: Bars) -> bool:
        found = sorted(self.rows.get(symbol, {}).items())
        return found == list(zip(truth.start_ns.tolist(), truth.close.tolist(), strict=True))
