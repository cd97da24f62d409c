"""What symbols were last worth in sessions that are over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from barray.trading.engine.open_session import OpenSession


class LastCloses:
    """Last closes by symbol. They are read from the bars when somebody asks, which few do: a block's later session
    knows all that its earlier ones knew.
    """

    def __init__(self, known: Mapping[str, float] | None = None) -> None:
        self._known: Mapping[str, float] = dict(known or {})
        self._newest: OpenSession | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What is known, and no bars."""
        return {"_known": self.known, "_newest": None}

    def note(self, over: OpenSession) -> None:
        """Know of a session that is over."""
        if self._newest is not None and self._newest.block is not over.block:
            self._read()
        self._newest = over

    @property
    def known(self) -> Mapping[str, float]:
        """All of them; what was given before stays as it was."""
        self._read()
        return self._known

    def forget(self, symbol: str) -> None:
        """Know nothing of a symbol any more."""
        self._known = {other: price for other, price in self.known.items() if other != symbol}

    def _read(self) -> None:
        newest, self._newest = self._newest, None
        if newest is not None:
            self._known = {**self._known, **newest.closes()}
