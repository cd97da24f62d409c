"""Bars that come while a session runs: new ones, late ones, and others in place of those that were there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, Prices
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions


@dataclass(frozen=True, eq=False)
class Taken:
    """Base bars with those that came. `fresh`: those of them that change anything, oldest first; `is_new`: which of
    these stand where none stood before, bool (len(fresh),).
    """

    base: IntervalBars
    fresh: Bars
    is_new: NDArray[np.bool_]


def taken_in(
    base: IntervalBars, bars: Bars, context: SessionContext, symbol: str, source: str, prices: Prices
) -> Taken | None:
    """Base bars with those of the session among `bars`, in any order; None where they change nothing.

    DataError where they can't be right.
    """
    held = base.bars
    today = (bars.start_ns >= context.open_ns) & (bars.start_ns < context.close_ns)
    fresh, is_new = _changed(held, bars.take(today))
    if not len(fresh):
        return None
    both = by_time(held.take(~np.isin(held.start_ns, fresh.start_ns)), fresh)
    sessions, row = context.sessions, context.row
    laid = lay_on_sessions(both, base.interval, sessions, row, symbol=symbol, source=source, prices=prices)
    return Taken(laid, fresh, is_new)


def _changed(held: Bars, bars: Bars) -> tuple[Bars, NDArray[np.bool_]]:
    """Those of `bars` that are not held as they are, and which of them are new. Of two for a stamp the last counts."""
    stamps, from_end = np.unique(bars.start_ns[::-1], return_index=True)
    last = bars.take(len(bars) - 1 - from_end)
    present = np.isin(stamps, held.start_ns)
    old, new = held.take(np.searchsorted(held.start_ns, stamps[present])), last.take(present)
    differs = np.zeros(len(new), np.bool_)
    for name in COLUMNS:
        differs |= getattr(old, name) != getattr(new, name)
    changed = ~present
    changed[present] = differs
    return last.take(changed), ~present[changed]


def by_time(some: Bars, others: Bars) -> Bars:
    """All of them, oldest first."""
    both = Bars.concat([some, others])
    return both.take(np.argsort(both.start_ns, kind="stable"))
