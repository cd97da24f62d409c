"""What is looked at across symbols: bars and indicators as matrices, a row a bar, a column a symbol.

A row is a bar that the calendar expects; a symbol that has none there has NaN. Where symbols' own finest intervals
differ, rows are those of the finest, and a coarser bar stands in the row in which it closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import getitem
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, FloatArray, IntArray, floats
from barray.market.calendar import Sessions
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.known_table import TableMatrix, Values
from barray.market.series import IntervalBars
from barray.trading.strategy.data import SymbolData, laid_names
from barray.trading.strategy.needs import Needs

Rows = slice | NDArray[np.intp]
Floats = Any
"""A memoryview: `floats[row, column]` is a float, which an array's is only after it was made one."""


@dataclass(frozen=True, eq=False)
class _Grid:
    """The bars of one interval that the calendar expects, by starts and ends. `rows`: by symbol, where its bars stand,
    and which they are; None for a symbol that has none of this interval.
    """

    start_ns: IntArray
    end_ns: IntArray
    rows: Sequence[tuple[Rows, slice] | None]

    @cached_property
    def whole(self) -> bool:
        """Whether every symbol has every bar."""
        return all(
            place is not None and isinstance(place[0], slice) and place[0] == slice(0, len(self.end_ns))
            for place in self.rows
        )


class PanelBlock:
    """Several symbols over consecutive sessions. Matrices are made when they are first looked at, and read-only; in
    memory each symbol's values lie side by side.

    `data`: the symbols' own columns, by symbol. `first`, `last`: rows, in the data's sessions, of the first session
    that is looked at and of the last; `first_day`: of the first whose days and weeks are, None where that is `first`.
    `base`: the finest interval that any of them has.
    """

    def __init__(
        self, data: Mapping[str, SymbolData], first: int, last: int, base: Interval, first_day: int | None = None
    ) -> None:
        self.symbols: tuple[str, ...] = tuple(sorted(data))
        self.index = {symbol: column for column, symbol in enumerate(self.symbols)}
        self.data = [data[symbol] for symbol in self.symbols]
        self.base = base
        self._first, self._last = first, last
        self._first_day = first if first_day is None else first_day
        self._grids: dict[Interval | None, _Grid] = {}
        self._matrices: dict[tuple[str, Interval | None], FloatArray] = {}
        self._latest: dict[str, FloatArray] = {}
        self._last_values: dict[str, FloatArray] = {}
        self._tables: dict[tuple[str, str], TableMatrix] = {}
        self._whole: PanelBlock | None = None
        self._columns: dict[str, list[FloatArray]] = {}
        self._values: dict[str, list[Floats]] = {}
        self._laid_as: dict[str, str] = {}

    def seen_with(self, needs: Needs) -> PanelBlock:
        """What a strategy with these needs sees of a block laid out for many, see SymbolData.seen_with: what is stacked
        for one of them is there for all. KeyError where it lacks any of these.
        """
        names = laid_names(self.data[0].specs, needs) if self.data else {}
        data = {symbol: one.seen_with(needs, names) for symbol, one in zip(self.symbols, self.data, strict=True)}
        seen = PanelBlock(data, self._first, self._last, self.base, self._first_day)
        seen._whole, seen._tables, seen._laid_as = self, self._tables, names
        return seen

    @property
    def end_ns(self) -> IntArray:
        """When each row of the base interval closes, UTC ns, int64 (rows,)."""
        return self._grid(None).end_ns

    @property
    def start_ns(self) -> IntArray:
        """When each row of the base interval begins, UTC ns, int64 (rows,)."""
        return self._grid(None).start_ns

    def closed_by(self, now_ns: int, interval: Interval | None = None) -> int:
        """How many rows of an interval, by default the base, have closed by `now_ns`."""
        return int(self._grid(interval).end_ns.searchsorted(now_ns, "right"))

    def column(self, name: str, interval: Interval | None = None) -> FloatArray:
        """A column of bars, float64 (rows, symbols); of the base interval, or of one that the strategy named.

        ConfigError where there is no such column, or no symbol has that interval.
        """
        if (name, interval) not in self._matrices:
            if name not in COLUMNS:
                raise ConfigError(f"there is no column {name!r}", remedy=f"use one of {', '.join(COLUMNS)}")
            series = self._series(interval)
            if self._whole is not None:
                self._matrices[name, interval] = self._whole.column(name, interval)
            else:
                columns = [None if one is None else getattr(one.bars, name) for one in series]
                self._matrices[name, interval] = self._stacked(columns, self._grid(interval))
        return self._matrices[name, interval]

    def last(self, name: str) -> FloatArray:
        """Each row's newest value of a column of bars, float64 (rows, symbols); NaN before a symbol's first bar."""
        if self._whole is not None:
            return self._whole.last(name)
        if name not in self._last_values:
            matrix = self.column(name)
            whole = self._grid(None).whole
            self._last_values[name] = matrix if whole else _filled(matrix, ~np.isnan(self.column("close")))
        return self._last_values[name]

    @cached_property
    def last_close(self) -> FloatArray:
        """The last close known in each row."""
        return self.last("close")

    @cached_property
    def last_close_floats(self) -> Floats:
        """The same, for looking at one at a time."""
        return self.last_close.data

    @cached_property
    def is_even(self) -> bool:
        """Whether the base interval is every symbol's."""
        return all(one.base.interval == self.base for one in self.data)

    @property
    def is_whole(self) -> bool:
        """Whether every symbol has every bar of the base interval."""
        return self._grid(None).whole

    def row_of(self, name: str, columns: Sequence[int], row: int) -> list[float]:
        """One row of a column of bars, of some symbols alone, NaN where one has no bar; stacks no matrix."""
        if (name, None) in self._matrices:
            by_row: list[float] = self._matrices[name, None][row, columns].tolist()
            return by_row
        values, offsets = self._values_of(name), self._offsets
        if offsets is None:
            return [self.part(name, column, row, row + 1).item() for column in columns]
        return [values[column][offsets[column] + row] for column in columns]

    def _values_of(self, name: str) -> list[Floats]:
        if name not in self._values:
            self._values[name] = [floats(one) for one in self._columns_of(name)]
        return self._values[name]

    def _columns_of(self, name: str) -> list[FloatArray]:
        if name not in self._columns:
            self._columns[name] = [np.ascontiguousarray(getattr(data.base.bars, name)) for data in self.data]
        return self._columns[name]

    @cached_property
    def _offsets(self) -> list[int] | None:
        """By symbol, which of its base bars stands in the first row; None unless each has all."""
        return [own[0] for own in self._own_bars if own is not None] if self.is_whole else None

    def over(self, names: Sequence[str], columns: IntArray, first: IntArray, stop: IntArray) -> list[FloatArray]:
        """Columns of bars over runs of rows, each of a symbol, one run after another, NaN where it has no bar; or
        `last_close`, which alone is stacked. Int64 (runs,).
        """
        of = columns.tolist()
        before = np.array(self._offsets, np.int64)[columns] if self._offsets is not None else 0
        rows = [*map(slice, (first + before).tolist(), (stop + before).tolist())]
        return [np.frombuffer(bytearray().join(self._runs(name, of, rows)), np.float64) for name in names]

    def _runs(self, name: str, columns: Sequence[int], rows: Sequence[slice]) -> Iterable[Floats]:
        """Them, `rows` being those of symbols' own base bars where each has all. As memory: to take a few bars of a
        matrix, and to join many such, takes NumPy three times as long.
        """
        if self._offsets is not None:
            own = self._values_of("close" if name == "last_close" else name)
        elif name == "last_close":
            own = [floats(one) for one in np.ascontiguousarray(self.last_close.T)]
        else:
            parts = [self.part(name, column, at.start, at.stop) for column, at in zip(columns, rows, strict=True)]
            return [floats(np.ascontiguousarray(one)) for one in parts]
        return map(getitem, map(own.__getitem__, columns), rows)

    def part(self, name: str, column: int, first: int, stop: int) -> FloatArray:
        """Rows from `first` to `stop` of a symbol's column of bars: float64 (rows,), NaN where it has no bar."""
        if (name, None) in self._matrices:
            return self._matrices[name, None][first:stop, column]
        own, values = self._own_bars[column], self._columns_of(name)[column]
        if own is not None and own[1] <= own[0] + first and own[0] + stop <= own[2]:
            return values[own[0] + first : own[0] + stop]
        found = np.full(stop - first, np.nan)
        bars = self.own_rows(column, first, stop - 1)
        found[self.end_ns[first:stop].searchsorted(self.data[column].base.end_ns[bars.start : bars.stop])] = values[
            bars.start : bars.stop
        ]
        return found

    def bars_before(self, column: int, rows: IntArray) -> IntArray:
        """How many of a symbol's base bars stand before each of these rows, those before the block among them."""
        own = self._own_bars[column]
        if own is not None:
            return np.clip(own[0] + rows, own[1], own[2])
        before = np.searchsorted(self.data[column].base.end_ns, self.end_ns[np.maximum(rows - 1, 0)], side="right")
        return np.where(rows > 0, before, 0)

    @cached_property
    def _own_bars(self) -> list[tuple[int, int, int] | None]:
        """By symbol, how far its base bars are from the rows that they stand in, and which these are; None where it has
        holes.
        """
        places = self._grid(None).rows
        return [
            (place[1].start - place[0].start, place[1].start, place[1].stop)
            if place is not None and isinstance(place[0], slice)
            else None
            for place in places
        ]

    def own_rows(self, column: int, first: int, last: int) -> range:
        """Which of a symbol's base bars stand in the rows from `first` to `last`."""
        own = self._own_bars[column]
        if own is not None:
            offset, start, stop = own
            first, end = offset + first, offset + last + 1
            return range(first if first > start else start, end if end < stop else stop)
        end_ns, base = self.end_ns, self.data[column].base
        return range(base.closed_by(int(end_ns[first - 1])) if first else 0, base.closed_by(int(end_ns[last])))

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the strategy's indicators."""
        return tuple(self.data[0].indicators) if self.data else ()

    def indicator_interval(self, name: str) -> Interval:
        """The interval that an indicator is computed on."""
        return self.data[0].specs[name].interval

    def indicator(self, name: str) -> FloatArray:
        """Each row's newest value of an indicator, on rows of its own interval; NaN until warm."""
        if self._whole is not None:
            return self._whole.indicator(self._laid_as[name])
        if name not in self._latest:
            interval = self.indicator_interval(name)
            grid = self._grid(interval)
            matrix = self._stacked([data.indicators.get(name) for data in self.data], grid)
            if not grid.whole:
                present = self._stacked([np.ones(len(data.series[interval])) for data in self.data], grid)
                matrix = _filled(matrix, present == 1.0)
            self._latest[name] = matrix
        return self._latest[name]

    def table(self, name: str, column: str) -> TableMatrix:
        """A column of a table of the config; ConfigError where there is no such table or column."""
        if (name, column) not in self._tables:
            first = int(self.data[0].sessions.open_ns[self._first])
            self._tables[name, column] = TableMatrix([data.tables for data in self.data], name, column, first)
        return self._tables[name, column]

    def _series(self, interval: Interval | None) -> list[IntervalBars | None]:
        if interval is None:
            return [data.base for data in self.data]
        found = [data.series.get(interval) for data in self.data]
        if not any(found):
            raise ConfigError(
                f"bars of {interval} are not loaded", remedy=f'name it in the strategy: intervals = ("{interval}",)'
            )
        return found

    def _grid(self, interval: Interval | None) -> _Grid:
        if interval not in self._grids:
            series = self._series(interval)
            if self._whole is not None:
                self._grids[interval] = self._whole._grid(interval)
                return self._grids[interval]
            sessions = self.data[0].sessions
            first = self._first if (interval or self.base).is_intraday else self._first_day
            start_ns, end_ns = _expected(sessions, first, self._last, interval or self.base)
            opens_ns = int(sessions.open_ns[first])
            places = [None if one is None else _place(one.end_ns, end_ns, opens_ns) for one in series]
            self._grids[interval] = _Grid(start_ns, end_ns, places)
        return self._grids[interval]

    def _stacked(self, columns: Sequence[FloatArray | None], grid: _Grid) -> FloatArray:
        shape = len(columns), len(grid.end_ns)
        by_symbol = np.empty(shape) if grid.whole else np.full(shape, np.nan)
        for number, (values, place) in enumerate(zip(columns, grid.rows, strict=True)):
            if values is not None and place is not None:
                by_symbol[number, place[0]] = values[place[1]]
        matrix = by_symbol.T
        matrix.flags.writeable = False
        return matrix


class Panel:
    """One session, with its history, of the symbols that it is run for. Float64 (bars, symbols), read-only, no copies
    where these are all symbols. `history_ns`: open of the first session whose bars are to be seen (UTC ns); `days_ns`:
    of the first whose days and weeks are, where daily bars reach back further.
    """

    def __init__(self, block: PanelBlock, symbols: Sequence[str], history_ns: int, days_ns: int | None = None) -> None:
        self.block = block
        self.symbols: tuple[str, ...] = tuple(sorted(symbols))
        self.index, self._chosen = block.index, None
        if self.symbols != block.symbols:
            self.index = {symbol: number for number, symbol in enumerate(self.symbols)}
            self._chosen = np.array([block.index[symbol] for symbol in self.symbols], np.intp)
        self._history_ns = history_ns
        self._days_ns = history_ns if days_ns is None else days_ns
        self._kept: dict[tuple[str, Interval | None], FloatArray] = {}
        self._first: dict[Interval | None, int] = {}

    def bars(self, name: str, now_ns: int, n: int | None = None, interval: Interval | None = None) -> FloatArray:
        """The last `n` rows (None: all there are) of a column that have closed by `now_ns`, oldest first; fewer where
        session and history have no more. ConfigError as for `PanelBlock.column`.
        """
        matrix = self._of_symbols(name, interval)
        stop = self.block.closed_by(now_ns, interval)
        if interval not in self._first:
            self._first[interval] = self.block.closed_by(self.since_ns(interval), interval)
        first = self._first[interval]
        return matrix[max(first, stop - n) if n is not None else first : stop]

    def since_ns(self, interval: Interval | None = None) -> int:
        """When the first session opens whose bars of an interval, by default the base, are to be seen, UTC ns."""
        return self._history_ns if (interval or self.block.base).is_intraday else self._days_ns

    def row(self, matrix: Values, row: int) -> Values:
        """One row of a block's matrix, of this panel's symbols, as a copy; NaN for row -1, of texts None."""
        if row < 0:
            return np.full(len(self.symbols), None if matrix.dtype == object else np.nan)
        values: Values = matrix[row].copy() if self._chosen is None else matrix[row][self._chosen]
        return values

    def _of_symbols(self, name: str, interval: Interval | None) -> FloatArray:
        matrix = self.block.column(name, interval)
        if self._chosen is None:
            return matrix
        if (name, interval) not in self._kept:
            kept = matrix[:, self._chosen]
            kept.flags.writeable = False
            self._kept[name, interval] = kept
        return self._kept[name, interval]


def _expected(sessions: Sessions, first: int, last: int, interval: Interval) -> tuple[IntArray, IntArray]:
    """Starts and ends of the bars of these sessions."""
    rows = range(first, last + 1)
    bars = [sessions.expected_starts(row, interval, int(sessions.close_ns[row])) for row in rows]
    if interval.unit == "w":  # one at the close of a week's last session, which may be none of these
        week = sessions.week[first : last + 1]
        following = sessions.week[last + 1] if last + 1 < len(sessions) else None
        is_last = np.append(np.diff(week) != 0, following != week[-1])
        bars = [bar for bar, wanted in zip(bars, is_last.tolist(), strict=True) if wanted]
    starts, ends = (
        (np.concatenate([*column, np.empty(0, np.int64)]) for column in zip(*bars, strict=True))
        if bars
        else (np.empty(0, np.int64),) * 2
    )
    return starts, ends


def _place(own_ns: IntArray, end_ns: IntArray, opens_ns: int) -> tuple[Rows, slice]:
    """Where a symbol's bars stand among rows that end at `end_ns`, and which of its bars these are."""
    if not len(end_ns):
        return slice(0, 0), slice(0, 0)
    chosen = slice(int(own_ns.searchsorted(opens_ns, "right")), int(own_ns.searchsorted(end_ns[-1], "right")))
    own = own_ns[chosen]
    first = int(end_ns.searchsorted(own[0])) if len(own) else 0
    stop = first + len(own)
    if first == stop or (stop <= len(end_ns) and own[-1] == end_ns[stop - 1]):  # a bar of its own ends with each row
        return slice(first, stop), chosen
    return np.searchsorted(end_ns, own), chosen


def _filled(matrix: FloatArray, present: NDArray[np.bool_]) -> FloatArray:
    """Each column with the value of its last present row."""
    first = int(np.argmax(present.any(axis=1)))
    if present[first:].all():  # there is nothing before the first bars, and no hole after
        return matrix
    rows = np.where(present, np.arange(len(matrix))[:, None], 0)
    filled: FloatArray = np.take_along_axis(matrix, np.maximum.accumulate(rows, axis=0), axis=0)
    filled.flags.writeable = False
    return filled
