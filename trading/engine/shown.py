"""What a view over all symbols shows of the session that is gone through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from barray.market.bars import FloatArray
from barray.market.known_table import Values
from barray.trading.engine.open_session import OpenSession
from barray.trading.engine.order_manager import OrderManager


class Shown:
    """See barray.trading.strategy.view.Viewed."""

    def __init__(self, order_manager: OrderManager) -> None:
        self._order_manager = order_manager

    def latest(self, column: str) -> FloatArray:
        """See Viewed; ConfigError where there is no such column."""
        here = self._here()
        if column == "position":
            return self._order_manager.positions
        if column == "session_volume":
            return here.volume()
        values = here.latest(column)
        if column == "close" and np.isnan(values).any():
            values = np.array([self._order_manager.price(symbol) for symbol in here.symbols], np.float64)
        return values

    def indicator_values(self) -> Mapping[str, FloatArray]:
        """See Viewed."""
        return self._here().indicators()

    def table_values(self, name: str, column: str) -> Values:
        """See Viewed; ConfigError where there is no such table or column."""
        return self._here().table(name, column)

    def _here(self) -> OpenSession:
        return self._order_manager.gone_through
