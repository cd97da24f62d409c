"""A session's bars of many symbols, as they come: new ones, late ones, and others in place of those before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, FloatArray, IntArray, Prices, sane_rows
from barray.market.calendar import Sessions
from barray.market.errors import DataError
from barray.market.interval import Interval
from barray.market.series import ends_of, in_hours, lay_on_sessions, off_grid
from barray.market.universe.bars import UniverseBars
from barray.market.validation import Reason

SOURCE = "stream"


@dataclass(frozen=True, eq=False)
class Tape:
    """Bars of several symbols in the order in which they came. `who` int64 (n,): each one's symbol, by its position
    among symbols that both sides know.
    """

    who: IntArray
    bars: Bars

    @classmethod
    def of(cls, bars: Mapping[str, Bars], position: Mapping[str, int]) -> Tape:
        """Those of symbols that have a position."""
        own = {position[symbol]: some for symbol, some in bars.items() if symbol in position}
        counts = [len(some) for some in own.values()]
        return cls(np.repeat(np.array(list(own), np.int64), counts), Bars.concat([*own.values()]))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Tape:
        """The chosen bars."""
        return Tape(self.who[rows], self.bars.take(rows))


class GrowingUniverse:
    """The bars of one session (`row`), as far as they have come: of each the last version. However they came, it is
    what `lay_universe` makes of these.

    `symbols` sorted; `columns`: those that are kept. All columns are judged, as a full symbol's are: of a symbol, a bar
    that can't be right refuses those that came with it, and those before stay.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        interval: Interval,
        sessions: Sessions,
        row: int,
        *,
        prices: Prices = "positive",
        columns: tuple[str, ...] = COLUMNS,
    ) -> None:
        self.symbols, self.interval = tuple(symbols), interval
        self._sessions, self._row, self._prices, self._columns = sessions, row, prices, columns
        self._open_ns, self._close_ns = int(sessions.open_ns[row]), int(sessions.close_ns[row])
        slots = -(-(self._close_ns - self._open_ns) // interval.ns)
        self._there = np.zeros((len(self.symbols), slots), np.bool_)
        self._values: dict[str, FloatArray] = {name: np.full(self._there.shape, np.nan) for name in columns}
        self._stop = 0  # no slot from here on has a bar
        self._starts = self._open_ns + np.arange(slots, dtype=np.int64) * interval.ns
        self._ends = ends_of(self._starts, np.full(slots, row), interval, sessions)

    def take_in(self, tape: Tape) -> dict[str, Reason]:
        """Take bars in; whose were refused, and why."""
        starts = tape.bars.start_ns
        today = (starts >= self._open_ns) & (starts < self._close_ns)
        tape = _last_versions(tape.take(today & in_hours(starts, self._rows(starts), self.interval, self._sessions)))
        wrong = ~sane_rows(tape.bars, self._prices)
        wrong |= off_grid(tape.bars.start_ns, self._rows(tape.bars.start_ns), self.interval, self._sessions)
        refused: dict[str, Reason] = {}
        if wrong.any():
            refused = {self.symbols[i]: self._why(tape, i) for i in np.unique(tape.who[wrong]).tolist()}
            tape = tape.take(~np.isin(tape.who, tape.who[wrong]))
        if len(tape.who):
            slot = (tape.bars.start_ns - self._open_ns) // self.interval.ns
            self._there[tape.who, slot] = True
            for name, matrix in self._values.items():
                matrix[tape.who, slot] = getattr(tape.bars, name)
            self._stop = max(self._stop, int(slot.max()) + 1)
        return refused

    def stack(self, who: IntArray | None = None) -> UniverseBars:
        """Bars of some symbols, by their positions, ascending; of all where None."""
        names = self.symbols if who is None else tuple(self.symbols[i] for i in who.tolist())
        chosen = slice(None) if who is None else who
        there = self._there[chosen, : self._stop]
        counts = there.sum(axis=1)
        offsets = np.concatenate(([0], np.cumsum(counts)))
        if offsets[-1] == there.size:  # as in most of a universe's minutes
            place: NDArray[np.intp] | None = None
            slot = np.tile(np.arange(self._stop), len(names))
        else:
            place = np.flatnonzero(there)
            slot = place % max(self._stop, 1)
        columns = {name: _taken(matrix[chosen, : self._stop], place) for name, matrix in self._values.items()}
        n, ones = len(slot), np.ones(len(slot), np.int32)
        session = np.full(n, self._row, np.int32)
        bars = Bars.partial(self._starts[slot], columns)
        return UniverseBars(
            self.interval,
            names,
            offsets,
            bars,
            self._ends[slot],
            session,
            ones,
            ones,
            self._open_ns,
            None,
            self._columns,
        )

    def _rows(self, starts: IntArray) -> NDArray[np.int64]:
        return np.full(len(starts), self._row)

    def _why(self, tape: Tape, i: int) -> Reason:
        own, symbol = tape.bars.take(tape.who == i), self.symbols[i]
        try:
            lay_on_sessions(
                own, self.interval, self._sessions, self._row, symbol=symbol, source=SOURCE, prices=self._prices
            )
        except DataError as error:
            return Reason.of(error)
        raise ValueError(f"{symbol}'s bars are right")


def _last_versions(tape: Tape) -> Tape:
    """Of bars of one symbol and stamp the one that came last; by symbol and stamp."""
    came = np.arange(len(tape.who))
    order = np.lexsort((came, tape.bars.start_ns, tape.who))
    who, starts = tape.who[order], tape.bars.start_ns[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (np.diff(who) != 0) | (np.diff(starts) != 0)
    return tape.take(order[last])


def _taken(matrix: FloatArray, place: NDArray[np.intp] | None) -> FloatArray:
    flat = np.ascontiguousarray(matrix).reshape(-1)
    if place is None:
        return flat.copy() if flat.base is not None else flat
    return flat[place]


def last_versions(tapes: Iterable[Tape]) -> Tape:
    """All bars of some tapes, one after another, each in its last version."""
    parts = list(tapes)
    whos = np.concatenate([np.empty(0, np.int64), *(one.who for one in parts)])
    return _last_versions(Tape(whos, Bars.concat([one.bars for one in parts])))
