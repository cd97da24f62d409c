"""What a source of bars must answer, so that Step 0 and the symbols can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from barray.market.calendar import Sessions
from barray.market.commands import BarReader
from barray.market.interval import Interval
from barray.market.validation import Coverage, Reason


@runtime_checkable
class DataSource(BarReader, Protocol):
    """A source of bars: a BarReader, its name unique in a config. Picklable: it travels to Step 0 tasks and symbol
    actors, so it holds settings, not connections.

    The four questions take many symbols at once, because a remote source answers a batch at the price of one. An answer
    lists every symbol asked. Where the source can't be asked at all, a question raises SourceUnavailable, once for all;
    an error that carries a `symbol` concerns that one only, and the others are asked again.

    A source whose prices may be zero or less says so by an attribute `prices` that is `any`; see barray.market.bars.
    One whose symbols' files a node keeps copies of says so by an attribute `copied`: a symbol goes back to its node.
    """

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> Mapping[str, bool]:
        """Does the source have anything of these symbols? `sessions` is where the session will look."""
        ...

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> Mapping[str, tuple[Interval, ...]]:
        """Intervals held natively, finest first."""
        ...

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> Mapping[str, Coverage]:
        """First and last day held, and which of `sessions` (consecutive, maybe none) have no bar at all."""
        ...

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> Mapping[str, Reason | None]:
        """Why bars of this one session can't be served, judged without reading them all; None where they can."""
        ...
