"""Whether an own indicator's values depend on the future, whatever the strategy makes of them."""

from __future__ import annotations

import numpy as np

from barray.market.indicators import IndicatorSpec
from barray.trading.checks.lookahead_report import Difference, Future
from barray.trading.strategy.data import SymbolData

_ROUNDING = 1e-9


def called(name: str, spec: IndicatorSpec) -> str:
    """An indicator for people, with the place of its code where it is an own function."""
    return f"{name} ({spec.key}, {spec.own.place})" if spec.own else f"{name} ({spec.key})"


def peeking(data: SymbolData, other: SymbolData, cut_ns: int, future: Future) -> Difference | None:
    """The first own indicator whose values known at `cut_ns` (UTC ns) are others where the future after it is, and its
    first such value; None where there is none. Rounding is no difference.
    """
    for name, spec in data.specs.items():
        if spec.own is None:
            continue
        ends_ns = data.series[spec.interval].end_ns
        known = data.series[spec.interval].closed_by(cut_ns)
        ours, theirs = data.indicators[name][:known], other.indicators[name][:known]
        n = min(len(ours), len(theirs))
        size = float(np.abs(ours[np.isfinite(ours)]).max(initial=0.0))
        changed = np.flatnonzero(~np.isclose(ours[:n], theirs[:n], _ROUNDING, _ROUNDING * size, equal_nan=True))
        if len(changed):
            at = int(changed[0])
            true, instead = (f"{name} is {values[at]:g}" for values in (ours, theirs))
            return Difference(data.symbol, cut_ns, int(ends_ns[at]), future, true, instead, (called(name, spec),))
    return None
