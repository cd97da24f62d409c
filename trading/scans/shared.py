"""Values that several scans of a session look at, each computed once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.scans.bars import Positions

Compute = Callable[[Positions], FloatArray]
"""Values of some symbols, by their places among those that are asked for: float64 (times or 1, symbols)."""


class SharedValues:
    """Values of one session's bars by terms' texts. Each is a symbol's own, so it does not matter who else is looked at
    when it is made.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[IntArray, Positions, FloatArray]] = {}

    def value(self, text: str, times_ns: IntArray, who: Positions, compute: Compute) -> FloatArray:
        """A term's values at some times (UTC ns, ascending), of symbols by their positions in the bars, ascending.

        `compute`: is asked for those alone that are not known yet; of all where the times are others.
        """
        times, known, values = self._held.get(text, (times_ns, who[:0], np.empty((1, 0))))
        if not np.isin(times_ns, times).all():
            times, known, values = times_ns, who[:0], np.empty((1, 0))
        new = np.flatnonzero(~np.isin(who, known))
        if len(new):
            if not np.array_equal(times, times_ns):
                return compute(np.arange(len(who)))
            made = compute(new)
            rows = max(len(made), len(values)) if len(known) else len(made)
            both = [np.broadcast_to(one, (rows, one.shape[1])) for one in (values, made)]
            known = np.concatenate((known, who[new]))
            order = np.argsort(known)
            known, values = known[order], np.concatenate(both, axis=1)[:, order]
            self._held[text] = times, known, values
        found = values if len(values) == 1 else values[np.searchsorted(times, times_ns)]
        return found[:, np.searchsorted(known, who)]
