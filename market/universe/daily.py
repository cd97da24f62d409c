"""Daily bars of many symbols that a source gives, beside those that base bars make."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import Bars
from barray.market.calendar import Sessions
from barray.market.interval import DAY
from barray.market.universe.bars import UniverseBars
from barray.market.universe.derive import derive_universe


def days_beside(
    base: UniverseBars, daily: UniverseBars, sessions: Sessions, session_row: int, base_row: int
) -> UniverseBars:
    """What `derive_beside` gives of 1d for each symbol alone, stacked: `daily` bars of sessions before `base_row`, the
    position of the first session with base bars, then the days that these make. Both have the same symbols.
    """
    before = rows_taken(daily, np.flatnonzero(daily.session < base_row))
    return joined(before, derive_universe(base, DAY, sessions, session_row))


def joined(some: UniverseBars, others: UniverseBars) -> UniverseBars:
    """Bars of one interval and the same symbols as one, each symbol's in order of their sessions."""
    owner = np.concatenate([np.repeat(np.arange(len(one.symbols)), np.diff(one.offsets)) for one in (some, others)])
    order = np.lexsort((np.concatenate((some.session, others.session)), owner))

    def both(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate((one, other))[order]

    return replace(
        others,
        offsets=some.offsets + others.offsets,
        bars=Bars(*(both(getattr(some.bars, one.name), getattr(others.bars, one.name)) for one in fields(Bars))),
        end_ns=both(some.end_ns, others.end_ns),
        session=both(some.session, others.session),
        expected=both(some.expected, others.expected),
        actual=both(some.actual, others.actual),
    )


def aligned(stack: UniverseBars, symbols: tuple[str, ...]) -> UniverseBars:
    """The bars of these symbols, sorted, and of no others; one that has none stands there without."""
    if symbols == stack.symbols:
        return stack
    where = np.array([stack.position.get(symbol, -1) for symbol in symbols], np.int64)
    first, stop = (np.where(where < 0, 0, edge[where]) for edge in (stack.offsets[:-1], stack.offsets[1:]))
    counts = stop - first
    offsets = np.concatenate(([0], np.cumsum(counts)))
    rows = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts)
    return replace(rows_taken(stack, rows), symbols=symbols, offsets=offsets)


def rows_taken(stack: UniverseBars, rows: NDArray[np.intp]) -> UniverseBars:
    """Some bars of a stack, by their rows, ascending."""
    return replace(
        stack,
        offsets=np.searchsorted(rows, stack.offsets),
        bars=stack.bars.take(rows),
        end_ns=stack.end_ns[rows],
        session=stack.session[rows],
        expected=stack.expected[rows],
        actual=stack.actual[rows],
    )
