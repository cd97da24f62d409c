"""Arithmetic of half-open ranges `[start, end)`, whole numbers."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def subtracted(whole: Range, taken: Iterable[Range]) -> list[Range]:
    """What of `whole` is in none of `taken`, in order."""
    left: list[Range] = []
    position, end = whole
    for taken_start, taken_end in sorted((first, last) for first, last in taken if first < last):
        if taken_start >= end:
            break
        if taken_start > position:
            left.append((position, taken_start))
        position = max(position, taken_end)
    if position < end:
        left.append((position, end))
    return left
