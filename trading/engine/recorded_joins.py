"""Base bars that symbols of a recorded day had whenever they joined it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from barray.market.bars import Bars
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions


class RecordedJoins:
    """`columns`: by symbol, as Recording has them, oldest first. A symbol that joins oftener than that has the last."""

    def __init__(self, columns: Mapping[str, Sequence[Bars]], context: SessionContext, base: Interval) -> None:
        self._left = {symbol: deque(joined) for symbol, joined in columns.items()}
        self._context, self._base = context, base

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._left

    def next(self, symbol: str) -> IntervalBars:
        """Laid on the sessions, with history; DataError where they can't be meant, KeyError where it never joined."""
        joined, context = self._left[symbol], self._context
        bars = joined.popleft() if len(joined) > 1 else joined[0]
        return lay_on_sessions(
            bars, self._base, context.sessions, context.row, symbol=symbol, source="recording", prices=context.prices
        )
