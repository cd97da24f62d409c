"""Bars of many symbols laid on the trading sessions at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, IntArray, Prices, sane_rows
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.series import ends_of, in_hours, lay_on_sessions, off_grid
from barray.market.universe.bars import UniverseBars
from barray.market.validation import Reason

_AT_ONCE = 32_768
"""Rows: what is made of them on the way stays in the processor's cache."""


def lay_universe(
    bars: Bars,
    offsets: IntArray,
    symbols: tuple[str, ...],
    interval: Interval,
    sessions: Sessions,
    session_row: int,
    *,
    source: str,
    prices: Prices = "positive",
    columns: tuple[str, ...] = COLUMNS,
) -> tuple[UniverseBars, dict[str, Reason]]:
    """What `lay_on_sessions` gives for each symbol alone, stacked, and the Reason of each that it refuses.

    `bars` of all symbols, one after another as `offsets` says (see UniverseBars), in each in order of the source.
    `columns`: those that are there, and that are checked.
    """
    row, end_ns = np.empty(len(bars), np.int32), np.empty(len(bars), np.int64)
    inside, wrong = np.empty((2, len(bars)), np.bool_)
    for first in range(0, len(bars), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        some = bars.take(part)
        at = np.searchsorted(sessions.open_ns, some.start_ns, side="right") - 1
        row[part], inside[part] = at, in_hours(some.start_ns, at, interval, sessions)
        bad = ~sane_rows(some, prices, columns)
        bad |= off_grid(some.start_ns, at, interval, sessions)
        wrong[part], end_ns[part] = bad & inside[part], ends_of(some.start_ns, at, interval, sessions)
    unordered = np.diff(bars.start_ns) <= 0
    edges = offsets[1:-1]
    unordered[edges[(edges > 0) & (edges < len(bars))] - 1] = False
    wrong[1:] |= unordered
    reasons: dict[str, Reason] = {}
    for i in _owners(offsets, np.flatnonzero(wrong)):
        own = bars.take(slice(int(offsets[i]), int(offsets[i + 1])))
        try:
            lay_on_sessions(
                own, interval, sessions, session_row, symbol=symbols[i], source=source, prices=prices, columns=columns
            )
        except BarrayError as error:
            reasons[symbols[i]] = Reason.of(error)
            inside[offsets[i] : offsets[i + 1]] = False
    if not inside.all():
        bars, row, end_ns = bars.take(inside), row[inside], end_ns[inside]
        offsets = np.concatenate(([0], np.cumsum(inside)))[offsets]
    if reasons:
        left = [i for i, symbol in enumerate(symbols) if symbol not in reasons]
        symbols, offsets = tuple(symbols[i] for i in left), np.append(offsets[left], offsets[-1])
    ones = np.ones(len(bars), np.int32)
    open_ns = int(sessions.open_ns[session_row])
    laid = UniverseBars(interval, symbols, offsets, bars, end_ns, row, ones, ones, open_ns, columns=columns)
    return laid, reasons


def _owners(offsets: IntArray, rows: NDArray[np.intp]) -> Iterable[int]:
    """Positions of the symbols that have these bars, each once."""
    owners = np.searchsorted(offsets, rows, side="right") - 1
    found: list[int] = np.flatnonzero(np.bincount(owners)).tolist()
    return found
