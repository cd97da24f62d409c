"""Values of terms that look across symbols: at each time, over those that are left at that stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from barray.market.bars import FloatArray
from barray.trading.scans.bars import Positions
from barray.trading.scans.operators import BoolArray, Truth, Value, combined, constant, is_known
from barray.trading.scans.terms import Across, Constant, Term


class Met:
    """Symbols at some times, with the values of local terms, as several shards may have given them.

    `symbols` sorted; `left` bool (times, symbols): who is still there; `values` by the terms' texts.
    """

    def __init__(self, symbols: tuple[str, ...], left: BoolArray, values: Mapping[str, Value]) -> None:
        self.symbols = symbols
        self.left = left
        self._given = values
        self._values = dict(values)

    def value(self, term: Term) -> Value:
        """A term's values, (times or 1, symbols); KeyError for a local one that is not given."""
        if isinstance(term, Constant):
            return constant(term.value)
        if term.text not in self._values:
            if isinstance(term, Across):
                self._values[term.text] = self._across(term)
            elif not term.operands:
                raise KeyError(term.text)
            else:
                self._values[term.text] = combined(term, [self.value(one) for one in term.operands])
        return self._values[term.text]

    def through(self, conditions: Sequence[Term]) -> Met:
        """The same, at each time with those that pass all of the conditions alone; each condition sees all."""
        left = self.left
        for term in conditions:
            left = left & self.value(term).yes
        return Met(self.symbols, left, self._given) if conditions else self

    def _across(self, term: Across) -> Value:
        values = np.broadcast_to(self.value(term.of), self.left.shape)
        known = self.left & is_known(values)
        groups = None if term.groupby is None else np.broadcast_to(self.value(term.groupby), self.left.shape)
        found = np.full(self.left.shape, np.nan)
        for k in range(len(self.left)):
            for rows in _groups(np.flatnonzero(known[k]), None if groups is None else groups[k]):
                found[k, rows] = _computed(term, values[k, rows])
        if term.kind != "truth":
            return found
        return Truth((found == 1.0) & known, (found == 0.0) & known)


def _groups(rows: Positions, labels: Value | None) -> Iterator[Positions]:
    """All rows, or those of each label; those that have none belong to no group."""
    if labels is None:
        yield rows
        return
    rows = rows[is_known(labels[rows])]
    if len(rows):
        _, inverse = np.unique(
            labels[rows].astype(str) if labels.dtype == object else labels[rows], return_inverse=True
        )
        order = np.argsort(inverse, kind="stable")
        yield from np.split(rows[order], np.flatnonzero(np.diff(inverse[order])) + 1)


def _computed(term: Across, values: FloatArray) -> FloatArray:
    """Of known values, in alphabetical order of their symbols."""
    if term.op == "zscore":
        deviation = values.std() if len(values) else 0.0
        return (values - values.mean()) / deviation if deviation > 0 else np.full(len(values), np.nan)
    if term.op == "demean":
        return values - values.mean() if len(values) else values
    if term.op == "percentile":
        ordered = np.sort(values)
        below, upto = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
        return 100.0 * ((below + 1 + upto) / 2.0) / max(len(values), 1)
    lowest_first = term.ascending or term.op == "bottom"
    places = places_of(values, lowest_first=lowest_first)
    return places if term.op == "rank" else (places <= term.n).astype(np.float64)


def places_of(values: FloatArray, *, lowest_first: bool = False) -> FloatArray:
    """The place of each value, 1 the highest (or lowest); the first of equal ones comes first."""
    order = np.argsort(values if lowest_first else -values, kind="stable")
    places = np.empty(len(values))
    places[order] = np.arange(1.0, len(values) + 1.0)
    return places
