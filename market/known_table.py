"""Values by symbol that are known from a time on: fundamentals, sectors, others' signals."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import ConfigError, shorten
from barray.market.session_range import SessionRange
from barray.market.table import Column

Known = float | str | None
"""A value: NaN where a number is not known, None where a text is not."""
Values = NDArray[Any]
"""float64 (n,), or object (n,) of texts."""


@dataclass(frozen=True, eq=False)
class SymbolTable:
    """The rows of one symbol. `known_ns` int64 (n,): from when on each is known, UTC ns, ascending; of equal ones the
    last counts. `columns`: their values, float64 (n,), NaN where there is none, or texts, object (n,), None there.
    """

    name: str
    known_ns: IntArray
    columns: Mapping[str, Values]

    def column(self, name: str) -> Values:
        """A column's values; ConfigError where there is no such column."""
        if name not in self.columns:
            raise _unknown(f"the table {self.name} has no column", name, tuple(self.columns))
        return self.columns[name]

    def value(self, column: str, now_ns: int) -> Known:
        """What is known at a time (UTC ns), of the newest row; ConfigError where there is no such column."""
        values = self.column(column)
        row = int(np.searchsorted(self.known_ns, now_ns, side="right")) - 1
        if row < 0:
            return _nothing(values)
        found: Known = values[row] if values.dtype == object else float(values[row])
        return found

    def at(self, column: str, times_ns: IntArray) -> Values:
        """What is known at each of these times (UTC ns), (n,); ConfigError where there is no such column."""
        values = self.column(column)
        rows = np.searchsorted(self.known_ns, times_ns, side="right") - 1
        return np.append(values, np.array([_nothing(values)], values.dtype))[rows]  # row -1 is the last one

    def until(self, cut_ns: int) -> SymbolTable:
        """As it was known at a time (UTC ns)."""
        return self._take(slice(0, int(np.searchsorted(self.known_ns, cut_ns, side="right"))))

    def within(self, first_ns: int, last_ns: int) -> SymbolTable:
        """What is needed from one time to another, both included, UTC ns."""
        first, stop = np.searchsorted(self.known_ns, (first_ns, last_ns), side="right").tolist()
        return self._take(slice(max(first - 1, 0), stop))

    def with_other_future(self, cut_ns: int, factor: float, rng: np.random.Generator) -> SymbolTable:
        """The same up to a time (UTC ns); what is known later in another order, numbers times `factor`."""
        known = int(np.searchsorted(self.known_ns, cut_ns, side="right"))
        order = np.concatenate((np.arange(known), known + rng.permutation(len(self.known_ns) - known)))
        scale = np.where(np.arange(len(order)) < known, 1.0, factor)
        columns = {
            name: values[order] if values.dtype == object else values[order] * scale
            for name, values in self.columns.items()
        }
        return replace(self, columns=columns)

    def _take(self, rows: slice) -> SymbolTable:
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, known_ns=self.known_ns[rows], columns=columns)

    @property
    def digest(self) -> bytes:
        """What tells these rows from others."""
        digest = blake2b(self.known_ns.tobytes(), digest_size=16)
        for name, values in self.columns.items():
            digest.update(f"{name} {values.dtype}".encode())
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
        return digest.digest()


SymbolTables = Mapping[str, SymbolTable]
"""Tables by name, of one symbol."""


def table_of(tables: SymbolTables, name: str) -> SymbolTable:
    """The table of that name; ConfigError where there is none."""
    if name not in tables:
        raise _unknown("there is no table", name, tuple(tables))
    return tables[name]


def _unknown(what: str, name: str, there: Sequence[str]) -> ConfigError:
    close = difflib.get_close_matches(str(name), there, 1)
    listed = f"there are {', '.join(there)}" if there else "declare it in the config, under tables"
    remedy = f"did you mean {close[0]!r}?" if close else listed
    return ConfigError(f"{what} {shorten(str(name))!r}", remedy=remedy)


def _nothing(values: Values) -> float | None:
    return None if values.dtype == object else float("nan")


@dataclass(frozen=True, eq=False)
class KnownTable:
    """All rows, by symbol and time. `rows`: each symbol's. `known` int64 (n,): from when on, UTC ns; with `by_day` days
    since 1970, which mean the open of that day's session, or of the first after it. `columns`: numbers or texts.
    """

    name: str
    rows: Mapping[str, slice]
    known: IntArray
    by_day: bool
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.known)

    @cached_property
    def digest(self) -> str:
        """What tells it from others: 32 hex digits over all rows."""
        digest = blake2b(
            f"{self.by_day} {[(s, r.start, r.stop) for s, r in self.rows.items()]}".encode(), digest_size=16
        )
        digest.update(self.known.tobytes())
        for name, column in self.columns.items():
            digest.update(f"{name} {column.kind} {column.labels}".encode())
            digest.update(column.values.tobytes())
        return digest.hexdigest()

    def of(self, symbol: str, session_range: SessionRange) -> SymbolTable:
        """What a symbol's process needs for a range of sessions."""
        rows = self.rows.get(symbol, slice(0, 0))
        columns = {name: _values(column, rows) for name, column in self.columns.items()}
        whole = SymbolTable(self.name, self._known_ns(rows, session_range.sessions), columns)
        opens_ns, closes_ns = session_range.sessions.open_ns, session_range.sessions.close_ns
        return whole.within(int(opens_ns[session_range.first_day_row]), int(closes_ns[session_range.rows[-1]]))

    def _known_ns(self, rows: slice, sessions: Sessions) -> IntArray:
        known = self.known[rows]
        if not self.by_day:
            return known
        later = np.iinfo(np.int64).max
        days = known.astype("datetime64[D]")
        return np.append(sessions.open_ns, later)[np.searchsorted(sessions.dates, days)]


KnownTables = Mapping[str, KnownTable]
"""Tables by name, of all symbols."""


def tables_of(tables: KnownTables, symbol: str, session_range: SessionRange) -> SymbolTables:
    """What a symbol's process needs of all tables."""
    return {name: table.of(symbol, session_range) for name, table in tables.items()}


def _values(column: Column, rows: slice) -> Values:
    if column.kind != "text":
        values: FloatArray = column.values[rows]
        return values
    texts: Values = np.array((*column.labels, None), object)[column.values[rows]]  # -1: no text
    return texts


class TableMatrix:
    """A column of several symbols' tables: a row a time from which on something new is known, a column a symbol.

    `since_ns`: nothing earlier is asked for. ConfigError where there is no such table or column.
    """

    def __init__(self, tables: Sequence[SymbolTables], name: str, column: str, since_ns: int) -> None:
        own = [table_of(some, name) for some in tables]
        times = [np.maximum(table.known_ns, since_ns) for table in own]
        self.times_ns: IntArray = np.unique(np.concatenate([*times, np.empty(0, np.int64)]))
        columns = [table.at(column, self.times_ns) for table in own]
        self.values: Values = np.stack(columns, axis=1) if columns else np.empty((0, 0))

    def row(self, now_ns: int) -> int:
        """The newest row at a time (UTC ns), -1 where there is none."""
        return int(np.searchsorted(self.times_ns, now_ns, side="right")) - 1
