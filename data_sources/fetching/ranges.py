"""Arithmetic of half-open ranges `[start, end)`, whole numbers."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same set as the fewest ranges, in order."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def subtracted(whole: Range, taken: Iterable[Range]) -> list[Range]:
    """What of `whole` is in none of `taken`, in order."""
    left: list[Range] = []
    position, end = whole
    for taken_start, taken_end in merged(taken):
        if taken_start >= end:
            break
        if taken_start > position:
            left.append((position, taken_start))
        position = max(position, taken_end)
    if position < end:
        left.append((position, end))
    return left
