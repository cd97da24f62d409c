"""What there is to be seen in a session that a portfolio goes through, as of now, and what bars have to reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray
from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec
from barray.market.known_table import Values
from barray.market.series import IntervalBars
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.panel import Panel, PanelBlock
from barray.trading.strategy.range_bars import RangeBars

LOOKED_AHEAD = 16
"""Rows that are looked through at once for one that reaches an order; a strategy may order before that comes."""


@dataclass(frozen=True, eq=False)
class AddedIndicator:
    """An output of an indicator that a strategy added as `name`; seen from the window after `added_ns` on."""

    name: str
    spec: IndicatorSpec
    added_ns: int
    series: IntervalBars
    values: FloatArray

    def latest(self, now_ns: int) -> float:
        """Its newest value, NaN until there is one."""
        closed = self.series.closed_by(now_ns)
        return float(self.values[closed - 1]) if closed else nan


class OpenSession:
    """A session at `now_ns`, when the block's row `row` has closed (-1: none). All times UTC ns.

    `number`: its row in the block's sessions. `history_ns`, `days_ns`: see Panel. `symbols`: those that it is run for,
    sorted. `low`, `high` float64, by the block's columns: what a bar has to reach for an order to fill; see
    WindowBroker.reach. `unseen` bool: which columns are of none of the symbols, None for none. `added`: indicators, by
    name and symbol.
    """

    def __init__(
        self,
        number: int,
        open_ns: int,
        close_ns: int,
        history_ns: int,
        days_ns: int,
        block: PanelBlock,
        symbols: Sequence[str],
        now_ns: int | None = None,
    ) -> None:
        self.number, self.open_ns, self.close_ns = number, open_ns, close_ns
        self.history_ns, self.days_ns = history_ns, days_ns
        self.now_ns = open_ns if now_ns is None else now_ns
        self.added: dict[str, dict[str, AddedIndicator]] = {}
        self.look_at(block, symbols)

    def look_at(self, block: PanelBlock, symbols: Iterable[str]) -> None:
        """Show these symbols from now on, of this block."""
        self.block, self.symbols = block, sorted(symbols)
        self.panel = Panel(block, self.symbols, self.history_ns, self.days_ns)
        self.row = block.closed_by(self.now_ns) - 1
        self.low, self.high = np.full(len(block.symbols), -inf), np.full(len(block.symbols), inf)
        self._volumes: FloatArray | None = None
        self.unseen: NDArray[np.bool_] | None = None
        if len(self.symbols) < len(block.symbols):
            self.unseen = np.array([symbol not in self.panel.index for symbol in block.symbols], np.bool_)

    @property
    def closing(self) -> bool:
        """Whether it ends now."""
        return self.now_ns >= self.close_ns

    def latest(self, column: str) -> FloatArray:
        """Last bars' values of a column, float64 (symbols,)."""
        return self.panel.row(self.block.last(column), self.row)

    def volume(self) -> FloatArray:
        """Volumes of the session so far, float64 (symbols,)."""
        first = self.block.closed_by(self.open_ns)
        if self._volumes is None:
            self._volumes = np.nancumsum(self.block.column("volume")[first:], axis=0)
        row = self.row - first
        return self.panel.row(self._volumes, row) if row >= 0 else np.zeros(len(self.symbols))

    def add_indicator(
        self, name: str, spec: IndicatorSpec, data: SymbolData, history: Mapping[int, int], added_ns: int
    ) -> None:
        """Compute an indicator on a symbol's bars, to be seen as `name`. `history`: see RangeBars. ConfigError where an
        own function fails.
        """
        made_of = RangeBars(data.base, data.sessions, history, data.past)
        series = data.series.get(spec.interval) or made_of.series(spec.interval, self.number)
        columns = made_of.values(spec, series, np.array([self.number]))
        for number, (output, values) in enumerate(columns.items()):
            named = self.added.setdefault(name if number == 0 else f"{name}.{output}", {})
            named[data.symbol] = AddedIndicator(name, spec, added_ns, series, values)

    def renew_added(self, data: SymbolData, history: Mapping[int, int]) -> None:
        """Compute what was added of a symbol anew, on other bars; where an own function fails, values stay."""
        there = [one for by_symbol in self.added.values() if (one := by_symbol.get(data.symbol)) is not None]
        for one in {one.name: one for one in there}.values():
            with suppress(ConfigError):
                self.add_indicator(one.name, one.spec, data, history, one.added_ns)

    def indicators(self) -> Mapping[str, FloatArray]:
        """Newest values by name, of the strategy's indicators and of those added, float64 (symbols,) each."""
        panel, block, now_ns = self.panel, self.block, self.now_ns
        found = {}
        for name in block.indicators:
            interval = block.indicator_interval(name)
            closed = block.closed_by(now_ns, interval)
            known = closed > block.closed_by(panel.since_ns(interval), interval)
            found[name] = panel.row(block.indicator(name), closed - 1 if known else -1)
        for name, by_symbol in sorted(self.added.items()):
            shown = {symbol: one.latest(now_ns) for symbol, one in by_symbol.items() if one.added_ns < now_ns}
            if shown:
                found[name] = np.array([shown.get(symbol, nan) for symbol in self.symbols], np.float64)
        return found

    def table(self, name: str, column: str) -> Values:
        """What a table's column says of each symbol now; ConfigError where there is no such table or column."""
        matrix = self.block.table(name, column)
        return self.panel.row(matrix.values, matrix.row(self.now_ns))

    def reached(self, first: int, last: int) -> set[str]:
        """Symbols whose orders the bars of these rows can reach."""
        found = self._reaches(first, last + 1).any(axis=0)
        return {self.block.symbols[column] for column in np.flatnonzero(found).tolist()}

    def first_reached(self, first: int, stop: int) -> int:
        """The first of these rows whose bars can reach an order; `stop` for none."""
        found = self._reaches(first, stop).any(axis=1)
        return first + int(found.argmax()) if found.any() else stop

    def _reaches(self, first: int, stop: int) -> NDArray[np.bool_]:
        """Which bars of these rows can reach an order, bool (rows, symbols of the block)."""
        low, high = self.block.column("low")[first:stop], self.block.column("high")[first:stop]
        found: NDArray[np.bool_] = (low <= self.low) | (high >= self.high)
        return found
