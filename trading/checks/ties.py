"""Decisions that hang on rounding: two values that are compared are equal, and their last bits decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from barray.market.bars import Bars, IntArray
from barray.trading.checks.decisions import Decisions, changed_ns
from barray.trading.checks.history import known_at, median_size, run_with
from barray.trading.checks.subject import Subject
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import BoolArray

_ROUNDING, _JITTER = 1e-9, 1e-10
"""Relative differences of values up to which they count as equal, and by which prices are changed to find ties."""
_JITTERS = 8


@dataclass(frozen=True, eq=False)
class Ties:
    """Which of the decisions over the history asked for hang on rounding."""

    subject: Subject
    data: Sequence[SymbolData]
    decided: Decisions

    def among(self, changed: IntArray, other: Sequence[SymbolData]) -> IntArray:
        """Those of the times `changed` at which `other`, with another history, has the same indicators but for
        rounding, and changed prices change the decision too.
        """
        same = changed[self._alike(changed, other)]
        return np.intersect1d(same, self._shaky) if len(same) else same

    def _alike(self, ns: IntArray, other: Sequence[SymbolData]) -> BoolArray:
        alike = np.ones(len(ns), np.bool_)
        for own, another, name in (
            (one, two, name) for one, two in zip(self.data, other, strict=True) for name in one.specs
        ):
            ours, theirs = known_at(name, own, ns), known_at(name, another, ns)
            alike &= np.isclose(ours, theirs, rtol=_ROUNDING, atol=_ROUNDING * median_size(ours), equal_nan=True)
        return alike

    @cached_property
    def _shaky(self) -> IntArray:
        """The times of decisions that prices changed by less than counts change, ascending."""
        rng = np.random.default_rng(0)
        found = np.empty(0, np.int64)
        for _ in range(_JITTERS):
            shaken = replace(self.subject, loaded=tuple(_shaken(one, rng) for one in self.subject.loaded))
            found = np.union1d(found, changed_ns(self.decided, run_with(shaken)[1]))
        return found


def _shaken(loaded: LoadedRange, rng: np.random.Generator) -> LoadedRange:
    bars = loaded.base.bars
    by = 1 + rng.uniform(-_JITTER, _JITTER, len(bars))
    prices = (bars.open * by, bars.high * by, bars.low * by, bars.close * by)
    return replace(loaded, base=replace(loaded.base, bars=Bars(bars.start_ns, *prices, bars.volume)))
