"""Coarser bars of many symbols at once."""

from __future__ import annotations

import numpy as np

from barray.market.calendar import Sessions
from barray.market.interval import Interval
from barray.market.series import aggregate
from barray.market.universe.bars import UniverseBars


def derive_universe(base: UniverseBars, target: Interval, sessions: Sessions, session_row: int) -> UniverseBars:
    """What `derive` gives for each symbol alone, stacked. ValueError where `target` doesn't derive from the base."""
    if not base.interval.derives(target):
        raise ValueError(f"{target} does not derive from {base.interval}")
    if target == base.interval:
        return base
    begin = base.offsets[:-1]
    begin = begin[(begin > 0) & (begin < len(base))]
    made = aggregate(
        base.bars, base.session, base.interval, target, sessions, symbol_starts=begin, columns=base.columns
    )
    return UniverseBars(
        target,
        base.symbols,
        np.searchsorted(made.first, base.offsets),
        made.bars,
        made.end_ns,
        made.session,
        made.expected,
        made.actual,
        int(sessions.open_ns[session_row]),
        base.interval,
        base.columns,
    )
