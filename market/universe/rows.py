"""Some bars of a stack, some symbols' of it, and those of several stacks as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, IntArray
from barray.market.universe.bars import UniverseBars


def rows_of(first: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
    """The rows from each `first` to before its `stop`, one after another, and where each one's begin: (n + 1,)."""
    counts = np.maximum(stop - first, 0)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts), offsets


def kept(stack: UniverseBars, keep: NDArray[np.bool_]) -> UniverseBars:
    """The bars for which `keep`, bool (n_bars,), is true; of some symbols maybe none."""
    offsets = np.concatenate(([0], np.cumsum(keep)))[stack.offsets]
    return _taken(stack, stack.symbols, np.flatnonzero(keep), offsets)


def chosen(stack: UniverseBars, who: NDArray[np.intp], columns: Sequence[str] = COLUMNS) -> UniverseBars:
    """The bars of some symbols (positions, ascending), of these columns alone; nothing is copied where that is all."""
    if len(who) == len(stack.symbols):
        return stack
    rows, offsets = rows_of(stack.offsets[who], stack.offsets[who + 1])
    return _taken(stack, tuple(stack.symbols[i] for i in who.tolist()), rows, offsets, columns)


def aligned(stack: UniverseBars, symbols: Sequence[str]) -> UniverseBars:
    """The bars of just these symbols, sorted; one that the stack doesn't have stands there without any."""
    wanted = tuple(symbols)
    if stack.symbols == wanted:
        return stack
    nobody = len(stack.symbols)
    at = np.array([stack.position.get(symbol, nobody) for symbol in wanted], np.intp)
    rows, offsets = rows_of(np.append(stack.offsets[:-1], 0)[at], np.append(stack.offsets[1:], 0)[at])
    return _taken(stack, wanted, rows, offsets)


def gathered(
    stack: UniverseBars, symbols: Sequence[str], spans: Mapping[str, Sequence[tuple[str, int, int]]]
) -> UniverseBars:
    """The bars of just these symbols, sorted. `spans`: of some, which of the stack's symbols have their bars from one
    session (its position) to before another, in order of time; the others have their own.
    """
    nobody = len(stack.symbols)
    begin, end = np.append(stack.offsets[:-1], 0), np.append(stack.offsets[1:], 0)
    owners: list[int] = []
    edges: list[tuple[int, int]] = []
    for i, symbol in enumerate(symbols):
        if symbol not in spans:
            at = stack.position.get(symbol, nobody)
            owners.append(i)
            edges.append((int(begin[at]), int(end[at])))
            continue
        for name, first, stop in spans[symbol]:
            at = stack.position.get(name, nobody)
            own = stack.session[begin[at] : end[at]]
            owners.append(i)
            edges.append(tuple((begin[at] + np.searchsorted(own, (first, stop))).tolist()))
    both = np.array(edges, np.int64).reshape(-1, 2)
    rows, offsets = rows_of(both[:, 0], both[:, 1])
    ends = offsets[np.searchsorted(np.array(owners, np.int64), np.arange(len(symbols)), side="right")]
    return _taken(stack, tuple(symbols), rows, np.concatenate(([0], ends)))


def appended(first: UniverseBars, then: UniverseBars) -> UniverseBars:
    """Bars of the same symbols, in each those of `first` before those of `then`; the columns that both have."""
    offsets = first.offsets + then.offsets
    before = np.arange(len(first)) + np.repeat(then.offsets[:-1], np.diff(first.offsets))
    after = np.arange(len(then)) + np.repeat(first.offsets[1:], np.diff(then.offsets))

    def both(one: NDArray[Any], other: NDArray[Any]) -> Any:
        made = np.empty(len(before) + len(after), other.dtype)
        made[before], made[after] = one, other
        return made

    columns = tuple(name for name in then.columns if name in first.columns)
    values = {name: both(getattr(first.bars, name), getattr(then.bars, name)) for name in columns}
    return replace(
        then,
        offsets=offsets,
        bars=Bars.partial(both(first.bars.start_ns, then.bars.start_ns), values),
        end_ns=both(first.end_ns, then.end_ns),
        session=both(first.session, then.session),
        expected=both(first.expected, then.expected),
        actual=both(first.actual, then.actual),
        columns=columns,
    )


def merged(one: UniverseBars, other: UniverseBars) -> UniverseBars:
    """Bars of two sets of symbols that have none in common."""
    symbols = tuple(sorted((*one.symbols, *other.symbols)))
    return appended(aligned(one, symbols), aligned(other, symbols))


def _taken(
    stack: UniverseBars, symbols: tuple[str, ...], rows: IntArray, offsets: IntArray, columns: Sequence[str] = COLUMNS
) -> UniverseBars:
    present = tuple(name for name in stack.columns if name in columns)
    return replace(
        stack,
        symbols=symbols,
        offsets=offsets,
        bars=Bars.partial(stack.bars.start_ns[rows], {name: getattr(stack.bars, name)[rows] for name in present}),
        end_ns=stack.end_ns[rows],
        session=stack.session[rows],
        expected=stack.expected[rows],
        actual=stack.actual[rows],
        columns=present,
    )
