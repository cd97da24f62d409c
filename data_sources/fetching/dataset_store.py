"""What the gateway needs of a store of one vendor's series."""

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
        """`bars` are all there are from `start_ns` on: they replace the rows in the range, which is covered then.

        No bars: that there are none is remembered. Bars at `end_ns` or later may still change: they replace rows up to
        the last of them but are not covered, so that they are fetched again. `start_ns == end_ns` covers nothing.
        """
        ...

    def forget(self, symbol: str, interval: Interval, start_ns: int, end_ns: int) -> None:
        """What is known of `[start_ns, end_ns)` is in doubt: it is covered no more. Its rows stay until replaced."""
        ...
