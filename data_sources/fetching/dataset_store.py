"""What a fetcher needs of the store of one dataset."""

from __future__ import annotations

from typing import Protocol

from barray.market.bars import Bars
from barray.market.interval import Interval


class DatasetStore(Protocol):
    """Keeps bars, and which ranges of them are known. Several threads write at once, never the same series."""

    def missing(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """The parts of `[start_ns, end_ns)` not covered yet, in order and apart."""
        ...

    def write(self, symbol: str, interval: Interval, start_ns: int, end_ns: int, bars: Bars, fetched_ns: int) -> None:
        """Put `bars`, all there are from `start_ns` on, in the place of the rows in the range, which is covered then.

        No bars: that there are none is remembered. Bars at `end_ns` or later may still change: they replace rows up to
        the last of them but are not covered, so that they are fetched again. `start_ns == end_ns` covers nothing.
        """
        ...

    def forget(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> None:
        """Mark `[start_ns, end_ns)` as covered no more. Its rows stay until they are replaced."""
        ...
