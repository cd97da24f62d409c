"""What is wrong with a dump, and where exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

LISTED = 5
_MISSING = "nothing"


@dataclass(frozen=True)
class Violation:
    """One thing wrong: the place (`symbols.AAPL.bars.5m[17].high`), a code, what was found and what was expected.

    `more`: how many of the same kind follow in the same array that are not listed.
    """

    place: str
    code: str
    found: str
    expected: str
    more: int = 0

    def __str__(self) -> str:
        tail = f" … and {self.more} more" if self.more else ""
        text = f"{self.place}: {self.code}: found {self.found}, expected {self.expected}{tail}"
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)  # a cell may hold line ends


def count_violations(violations: list[Violation]) -> int:
    """How many there are, those included that are not listed."""
    return sum(1 + violation.more for violation in violations)


class Findings:
    """Collects violations, of each array only the first few."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def __len__(self) -> int:
        return len(self.violations)

    def add(self, place: str, code: str, found: object, expected: object, more: int = 0) -> None:
        """One violation; values other than text are shown as JSON would."""
        self.violations.append(Violation(place, code, _shown(found), _shown(expected), more))

    def rows(
        self,
        bad: NDArray[np.bool_],
        place: Callable[[int], str],
        code: str,
        found: Callable[[int], object],
        expected: Callable[[int], object],
    ) -> None:
        """One violation for each true element of `bad` (n,); the callables get its row."""
        self.each([int(row) for row in np.flatnonzero(bad)], place, code, found, expected)

    def each(
        self,
        rows: list[int],
        place: Callable[[int], str],
        code: str,
        found: Callable[[int], object],
        expected: Callable[[int], object],
    ) -> None:
        """One violation for each of these rows."""
        for nth, row in enumerate(rows[:LISTED], start=1):
            more = len(rows) - LISTED if nth == LISTED else 0
            self.add(place(row), code, found(row), expected(row), max(more, 0))

    def values(
        self,
        found: NDArray[Any],
        expected: NDArray[Any],
        place: Callable[[int], str],
        code: str,
        shown: Callable[[Any], object],
    ) -> None:
        """Compare two columns of one length element by element; NaN equals NaN, everything else only itself."""
        bad = found != expected
        if expected.dtype.kind == "f":
            bad &= ~(np.isnan(found) & np.isnan(expected))
        if bad.any():
            self.rows(bad, place, code, lambda row: shown(found[row].item()), lambda row: shown(expected[row].item()))

    def in_order(self, names: list[str], place: str) -> None:
        """Names have to increase strictly."""
        for before, name in pairwise(names):
            if name == before:
                self.add(f"{place}.{name}", "duplicate", f"{name} twice", "once")
            elif name < before:
                self.add(f"{place}.{name}", "order", f"{name} after {before}", "sorted names")

    def tree(self, found: Any, expected: Any, place: str, code: str) -> None:
        """Compare two JSON values down to the leaves that differ."""
        if isinstance(found, dict) and isinstance(expected, dict):
            for key in expected | found:
                self.tree(found.get(key, _MISSING), expected.get(key, _MISSING), f"{place}.{key}", code)
        elif isinstance(found, list) and isinstance(expected, list):
            self._lists(found, expected, place, code)
        elif found != expected or isinstance(found, bool) != isinstance(expected, bool):
            self.add(place, code, found, expected)

    def _lists(self, found: list[Any], expected: list[Any], place: str, code: str) -> None:
        before = len(self)
        differing = [row for row, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b]
        for row in differing[:LISTED]:
            self.tree(found[row], expected[row], f"{place}[{row}]", code)
        if len(self) > before and len(differing) > LISTED:
            last = self.violations.pop()
            self.add(last.place, last.code, last.found, last.expected, len(differing) - LISTED)
        if len(found) != len(expected):
            self.add(place, code, f"{len(found)} entries", f"{len(expected)} entries")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
