"""Bars of many symbols read at once: of files that hold many, or of one file a symbol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from barray.data_sources.parquet.file import BarFile
from barray.data_sources.parquet.source import ParquetSource, reach
from barray.data_sources.parquet.stamps import at_other_edge, starts_of, within
from barray.market.bars import COLUMNS, Bars, FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.symbols import symbol_problem
from barray.market.universe.stack import Stack
from barray.market.validation import Reason

_THREADS = 2
_NO_RUNS = np.empty(0, np.int64), np.empty(0, np.int32)
_Read = tuple[Stack, dict[str, Reason], Sequence[str]]
"""Bars, reasons, and the symbols that are left to be read each by itself."""


def read_stack(
    source: ParquetSource,
    interval: Interval,
    sessions: Sessions,
    symbols: Collection[str] | None = None,
    columns: tuple[str, ...] = COLUMNS,
    *,
    first_ns: int | None = None,
    threads: int = _THREADS,
) -> tuple[Stack, dict[str, Reason]]:
    """What `ParquetSource.read_bars` gives for each of the symbols, stacked, and the Reason of each that it raises for.

    `symbols`: None for all that the files of these sessions hold. One without a bar in the sessions, and without a
    Reason, is left out. Of each session only the bars that start within `first_ns` of its open are given, where that is
    not None. What is wrong with a file of many symbols concerns all, and is raised: NoDataError, DataError,
    SourceUnavailable.
    """
    if source.layout.has_symbol:
        chosen = sorted(source.symbols() if symbols is None else set(symbols))
        stack, reasons, left = _alike(source, interval, sessions, chosen, columns, threads)
    else:
        stack, reasons, left = _shared(source, interval, sessions, symbols, columns, first_ns, threads)
    alone, refused = _each(source, interval, sessions, left, columns, threads)
    if alone:
        stack = Stack.of({**{symbol: stack.bars_of(symbol) for symbol in stack.symbols}, **alone}, columns)
    return _early(stack, interval, sessions, first_ns), {**reasons, **refused}


def _shared(
    source: ParquetSource,
    interval: Interval,
    sessions: Sessions,
    symbols: Collection[str] | None,
    columns: tuple[str, ...],
    first_ns: int | None,
    threads: int,
) -> _Read:
    """Of files of many symbols."""
    low_ns, high_ns = reach(interval, sessions)
    if first_ns is not None and interval.is_intraday:
        high_ns = min(high_ns, int(sessions.open_ns[-1]) + first_ns + interval.ns)
    asked = None if symbols is None else frozenset(symbols)
    rows = _Rows.read(source.shared_files(interval, sessions), asked, low_ns, high_ns, columns, threads)
    names = rows.named(asked)
    reasons = {
        name: Reason("bad_symbol", problem, "correct the symbol in the files", source.name)
        for name in names
        if (problem := symbol_problem(name))
    }
    left = sorted({str(rows.names[code]) for code in rows.untold} & set(names) - reasons.keys())
    stamped = rows.sorted(tuple(name for name in names if name not in reasons and name not in left))
    stack, refused = _started(stamped, source, interval, sessions)
    return stack, {**reasons, **refused}, left


def _alike(
    source: ParquetSource,
    interval: Interval,
    sessions: Sessions,
    symbols: Sequence[str],
    columns: tuple[str, ...],
    threads: int,
) -> _Read:
    """Of files that are called and made as another symbol's, so that none is listed, and their rows are one table."""
    found = source.places(symbols, interval, sessions)
    if found is None:
        return Stack.of({}, columns), {}, symbols
    places, example = found
    tables: list[list[pa.Table]] = [[] for _ in symbols]
    bounds = reach(interval, sessions)

    def work(nth: int, step: int) -> None:
        for i in range(nth, len(symbols), step):
            with suppress(BarrayError):  # whatever it is: it is read again by itself, and then told
                tables[i] = source.stored(places(symbols[i]), example, *bounds, columns)

    _in_threads(work, min(threads, len(symbols)))
    held = [i for i, own in enumerate(tables) if own]
    try:
        bars = example.bars(pa.concat_tables(chain(*tables)), columns) if held else Bars.empty()
    except BarrayError:  # a stamp that can't be one, of whichever
        return Stack.of({}, columns), {}, symbols
    offsets = np.cumsum([0, *(sum(table.num_rows for table in tables[i]) for i in held)])
    stamped = Stack(tuple(symbols[i] for i in held), offsets, bars, columns)
    stack, reasons = _started(stamped, source, interval, sessions)
    return stack, reasons, [symbols[i] for i, own in enumerate(tables) if not own]


def _each(
    source: ParquetSource,
    interval: Interval,
    sessions: Sessions,
    symbols: Sequence[str],
    columns: tuple[str, ...],
    threads: int,
) -> tuple[dict[str, Bars], dict[str, Reason]]:
    """Bars of each symbol that has some, read by itself, and the Reasons of those that can't be."""
    found: list[Bars | Reason | None] = [None] * len(symbols)

    def work(nth: int, step: int) -> None:
        for i in range(nth, len(symbols), step):
            try:
                found[i] = source.read_columns(symbols[i], interval, sessions, columns)
            except BarrayError as error:
                found[i] = Reason.of(error, source.name)

    _in_threads(work, min(threads, len(symbols)))
    pairs = list(zip(symbols, found, strict=True))
    bars = {symbol: one for symbol, one in pairs if isinstance(one, Bars) and len(one)}
    return bars, {symbol: one for symbol, one in pairs if isinstance(one, Reason)}


def _started(
    stamped: Stack, source: ParquetSource, interval: Interval, sessions: Sessions
) -> tuple[Stack, dict[str, Reason]]:
    """The bars of these sessions with the starts that their stamps mean; the Reasons of symbols stamped otherwise."""
    at_end, offsets = source.columns.stamp == "end", stamped.offsets
    reasons: dict[str, Reason] = {}
    if not interval.is_intraday:
        stamps = stamped.bars.start_ns
        wrong = np.flatnonzero(at_other_edge(stamps, interval, sessions, at_end=at_end))
        good = np.ones(len(stamps), np.bool_)
        for i in np.flatnonzero(np.bincount(np.searchsorted(offsets, wrong, side="right") - 1)).tolist():
            own = slice(int(offsets[i]), int(offsets[i + 1]))
            try:
                starts_of(stamps[own], interval, sessions, at_end=at_end)
            except BarrayError as error:
                reasons[stamped.symbols[i]] = Reason.of(error, source.name)
                good[own] = False
        stamped = stamped.take(good)
    starts = starts_of(stamped.bars.start_ns, interval, sessions, at_end=at_end)
    if starts is not stamped.bars.start_ns:
        stamped = replace(stamped, bars=replace(stamped.bars, start_ns=starts))
    if interval.is_intraday and len(starts):
        ends = np.array([starts.min(), starts.max()])
        if within(ends, interval, sessions).all():  # as files of a session hold no others, as a rule
            return stamped.without_empty(), reasons
    return stamped.take(within(starts, interval, sessions)), reasons


def _early(stack: Stack, interval: Interval, sessions: Sessions, first_ns: int | None) -> Stack:
    """The bars that start within `first_ns` of their session's open."""
    if first_ns is None or not interval.is_intraday:
        return stack
    starts = stack.bars.start_ns
    return stack.take(starts < sessions.open_ns[np.searchsorted(sessions.open_ns, starts, side="right") - 1] + first_ns)


def _in_threads(work: Callable[[int, int], None], threads: int) -> None:
    """Do `work(nth, step)` for each nth of `threads`; raises what one of them raises."""
    if threads <= 1:
        work(0, 1)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, nth, threads) for nth in range(threads)]:
            done.result()


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of files of many symbols as they stand there. `names`: of the symbols, by code.

    `starts` int64 (n_runs + 1,): where runs of rows of one symbol start, and where the last one ends; `codes` and
    `periods` int32 (n_runs,): their symbols, and which of the files they are of. `stamps` int64 and `values` float64 by
    column: (n_rows,) each. `untold`: codes of symbols that may have a row whose stamp can't be one. `in_parts`: whether
    a file has several.
    """

    names: list[str | None]
    starts: IntArray
    codes: NDArray[np.int32]
    periods: NDArray[np.int32]
    stamps: IntArray
    values: dict[str, FloatArray]
    untold: set[int]
    in_parts: bool

    @classmethod
    def read(
        cls,
        files: Sequence[Sequence[BarFile]],
        symbols: frozenset[str] | None,
        low_ns: int,
        high_ns: int,
        columns: Collection[str],
        threads: int,
    ) -> _Rows:
        """All rows of the row groups that may hold bars of the symbols with stamps from `low_ns` to `high_ns`."""
        parts = [(file, number) for number, several in enumerate(files) for file in several]
        groups = [
            (place, group) for place, (file, _) in enumerate(parts) for group in file.groups(symbols, low_ns, high_ns)
        ]
        counts = [parts[place][0].metadata.row_group(group).num_rows for place, group in groups]
        edges = [0, *np.cumsum(counts, dtype=np.int64).tolist()]
        stamps, values = np.empty(edges[-1], np.int64), {name: np.empty(edges[-1]) for name in columns}
        runs: list[tuple[IntArray, NDArray[np.int32]]] = [_NO_RUNS] * len(groups)
        code_of: dict[str | None, int] = {}
        untold: set[int] = set()
        lock = Lock()

        def work(nth: int, step: int) -> None:
            own = {} if nth else {place: file for place, (file, _) in enumerate(parts)}
            for i in range(nth, len(groups), step):
                place, group = groups[i]
                file = own[place] if place in own else own.setdefault(place, parts[place][0].again())
                found, rows = file.read_group(group, columns), slice(edges[i], edges[i + 1])
                with lock:
                    table = np.array([code_of.setdefault(name, len(code_of)) for name in found.symbols], np.int32)
                first = np.flatnonzero(np.diff(found.codes, prepend=-1))
                runs[i] = first + edges[i], table[found.codes[first]]
                for name, column in found.values.items():
                    values[name][rows] = column
                if found.stamps is None:
                    untold.update(table.tolist())
                stamps[rows] = 0 if found.stamps is None else found.stamps

        _in_threads(work, min(threads, len(groups)))
        starts, codes = (np.concatenate(column) for column in zip(_NO_RUNS, *runs, strict=True))
        periods = np.repeat(np.array([parts[place][1] for place, _ in groups], np.int32), [len(own) for own, _ in runs])
        in_parts = any(len(several) > 1 for several in files)
        return cls(list(code_of), np.append(starts, edges[-1]), codes, periods, stamps, values, untold, in_parts)

    def named(self, asked: frozenset[str] | None) -> tuple[str, ...]:
        """The symbols, sorted; of those that are asked for."""
        return tuple(sorted(name for name in self.names if name is not None and (asked is None or name in asked)))

    def sorted(self, symbols: tuple[str, ...]) -> Stack:
        """The rows of these symbols with their stamps, of each in order of the files; of a file's parts by stamp."""
        place = {symbol: i for i, symbol in enumerate(symbols)}
        rank_of = np.array([place.get(name, -1) if name is not None else -1 for name in self.names], np.int32)
        rank, counts = rank_of[self.codes], np.diff(self.starts)
        offsets = np.append(
            0, np.cumsum(np.bincount(rank[rank >= 0], counts[rank >= 0], len(symbols)).astype(np.int64))
        )
        if not self.in_parts and (rank >= 0).all() and (np.diff(rank) >= 0).all():
            return Stack(symbols, offsets, Bars.partial(self.stamps, self.values), tuple(self.values))
        runs = np.argsort(rank, kind="stable")
        runs = runs[np.searchsorted(rank[runs], 0) :]
        before = np.cumsum(counts[runs]) - counts[runs]
        order = np.repeat(self.starts[runs] - before, counts[runs]) + np.arange(offsets[-1])
        if self.in_parts:
            keys = (np.repeat(column[runs], counts[runs]) for column in (self.periods, rank))
            order = order[np.lexsort((self.stamps[order], *keys))]
        columns = {name: column[order] for name, column in self.values.items()}
        return Stack(symbols, offsets, Bars.partial(self.stamps[order], columns), tuple(columns))
