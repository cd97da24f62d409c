"""Which requests to make for what is missing: as few as can be, and some of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil

from barray.data_sources.fetching.vendor import Limits, PageRequest
from barray.market.interval import NS_PER_DAY, Interval

IN_FLIGHT = 4
_SPARE = 0.1  # of the fewest requests: what running side by side may cost

Expected = Callable[[str, Interval, int, int], float]
Chain = PageRequest
"""The request for the first page of symbols, in order, that are asked for together, page after page."""


@dataclass(frozen=True)
class FetchPlan:
    """`requests` and `minutes` are estimates: what the vendor has is known when it has been asked."""

    chains: tuple[Chain, ...]
    requests: int
    minutes: float


def expected_bars(symbol: str, interval: Interval, start_ns: int, end_ns: int) -> float:
    """Bars of a symbol that trades in every minute of the regular session, five days in seven."""
    sessions = (end_ns - start_ns) / NS_PER_DAY * 5 / 7
    if interval.is_intraday:
        return sessions * max(1.0, 390 * 60e9 / interval.ns)
    return sessions * NS_PER_DAY / interval.ns


def plan_fetch(
    missing: Mapping[str, Iterable[tuple[int, int]]],
    interval: Interval,
    limits: Limits,
    expected: Expected = expected_bars,
) -> FetchPlan:
    """Chains that hold every missing range once. `missing`: ranges by symbol, those of a symbol apart.

    Symbols that miss the same range share chains. Each chain ends with a page that is not full, so there are no more
    of them than a tenth of the fewest requests pays for, whatever each symbol turns out to have.
    """
    groups: dict[tuple[int, int], list[str]] = {}
    for symbol in sorted(missing):
        for span in missing[symbol]:
            groups.setdefault(span, []).append(symbol)
    most = limits.symbols if limits.page_rows is not None else 1
    parts = [
        _Part(span, tuple(chunk), tuple(expected(symbol, interval, *span) for symbol in chunk))
        for span, symbols in sorted(groups.items())
        for chunk in (symbols[at : at + most] for at in range(0, len(symbols), most))
    ]
    if limits.page_rows is not None:
        fewest = sum(part.pages(limits.page_rows) for part in parts)
        for _ in range(min(int(fewest * _SPARE), IN_FLIGHT - len(parts))):
            largest = max((part for part in parts if len(part.symbols) > 1), key=lambda part: part.bars, default=None)
            if largest is None:
                break
            parts.remove(largest)
            parts += largest.halves()
    parts.sort(key=lambda part: (-part.bars, part.span, part.symbols))  # the longest first: none is left to the end
    requests = sum(part.pages(limits.page_rows) for part in parts)
    chains = tuple(Chain(part.symbols, interval, *part.span) for part in parts)
    return FetchPlan(chains, requests, requests / limits.per_minute)


@dataclass(frozen=True)
class _Part:
    span: tuple[int, int]
    symbols: tuple[str, ...]
    weights: tuple[float, ...]

    @property
    def bars(self) -> float:
        return sum(self.weights)

    def pages(self, page_rows: int | None) -> int:
        return 1 if page_rows is None else max(1, ceil(self.bars / page_rows))

    def halves(self) -> list[_Part]:
        """Two parts of about as many bars, both with symbols."""
        half, cut, before = self.bars / 2, 1, self.weights[0]
        while cut < len(self.symbols) - 1 and before + self.weights[cut] / 2 <= half:
            before += self.weights[cut]
            cut += 1
        return [
            _Part(self.span, self.symbols[:cut], self.weights[:cut]),
            _Part(self.span, self.symbols[cut:], self.weights[cut:]),
        ]
