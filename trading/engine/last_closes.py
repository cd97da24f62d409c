"""What symbols were last worth in sessions that are over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isnan
from typing import Any

from barray.trading.strategy.panel import PanelBlock


class LastCloses:
    """Last closes by symbol. They are read from the bars when somebody asks, which few do: a block's later session
    knows all that its earlier ones knew.
    """

    def __init__(self, known: Mapping[str, float] | None = None) -> None:
        self._known: Mapping[str, float] = dict(known or {})
        self._newest: tuple[PanelBlock, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is known, and no bars."""
        return {"_known": self.known, "_newest": None}

    def note(self, block: PanelBlock, row: int) -> None:
        """Know of a session that was over with this row of a block, -1 where none had closed."""
        if self._newest is not None and self._newest[0] is not block:
            self.read()
        self._newest = block, row

    @property
    def known(self) -> Mapping[str, float]:
        """All of them; what was given before stays as it was."""
        self.read()
        return self._known

    def forget(self, symbols: Collection[str]) -> None:
        """Know nothing of these any more."""
        if symbols:
            self._known = {symbol: price for symbol, price in self.known.items() if symbol not in symbols}

    def read(self) -> None:
        """Read them, and let go of the bars."""
        newest, self._newest = self._newest, None
        if newest is None:
            return
        block, row = newest
        last = block.last_close[row].tolist() if row >= 0 else []
        there = {symbol: price for symbol, price in zip(block.symbols, last, strict=False) if not isnan(price)}
        self._known = {**self._known, **there}
