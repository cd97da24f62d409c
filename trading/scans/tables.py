"""What tables of the user's say of symbols, each row known from a time on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.errors import ConfigError
from barray.market.table import Column


class KnownRows(Protocol):
    """Rows by symbol and time. `rows`: each symbol's. `known` int64 (n,): from when on, UTC ns, or with `by_day` days
    since 1970, which mean the open of that day's session. `columns`: numbers or texts.
    """

    @property
    def rows(self) -> Mapping[str, slice]:
        """Each symbol's."""
        ...

    @property
    def known(self) -> IntArray:
        """From when on, ascending in each symbol; of equal ones the last counts."""
        ...

    @property
    def by_day(self) -> bool:
        """Whether these are days."""
        ...

    @property
    def columns(self) -> Mapping[str, Column]:
        """By name."""
        ...


def known_column(
    tables: Mapping[str, KnownRows], table: str, column: str, symbols: Sequence[str], times_ns: IntArray, day: date
) -> Column:
    """The newest value of each symbol known at each time (UTC ns, in the session labelled `day`), as a column of
    (times, symbols) or, of a table by days, (1, symbols). ConfigError where there is no such table or column.
    """
    if table not in tables:
        raise _unknown(f"there is no table {table!r}", table, tables)
    known = tables[table]
    if column not in known.columns:
        raise _unknown(f"the table {table} has no column {column!r}", column, known.columns)
    times = np.array([np.datetime64(day, "D").astype(np.int64)]) if known.by_day else times_ns
    places = np.full((len(times), len(symbols)), -1, np.int64)
    for i, symbol in enumerate(symbols):
        rows = known.rows.get(symbol)
        if rows is not None:
            at = np.searchsorted(known.known[rows], times, side="right") - 1
            places[:, i] = np.where(at < 0, -1, at + rows.start)
    return _taken(known.columns[column], places)


def numbers_of(column: Column, name: str) -> FloatArray:
    """A column's numbers, NaN for none; ConfigError where they are texts."""
    if column.kind == "text":
        raise ConfigError(f"{name} has texts", remedy='compare them with == or is_in, or leave out kind="number"')
    return np.asarray(column.values, np.float64)


def labels_of(column: Column) -> NDArray[Any]:
    """A column's values as labels, object, None for none: texts, or numbers as they are written."""
    if column.kind == "text":
        labels: NDArray[Any] = np.array((*column.labels, None), object)[column.values]
        return labels
    found = np.empty(column.values.shape, object)
    for at, value in np.ndenumerate(column.values):
        found[at] = None if np.isnan(value) else f"{value:g}"
    return found


def _taken(column: Column, places: NDArray[np.int64]) -> Column:
    nothing = -1 if column.kind == "text" else np.nan
    values = np.append(column.values, np.array([nothing], column.values.dtype if column.kind == "text" else np.float64))
    return Column(values[places], column.kind, labels=column.labels)


def _unknown(what: str, name: str, there: Mapping[str, Any]) -> ConfigError:
    close = get_close_matches(name, there, 1)
    listed = f"there are: {', '.join(there)}" if there else "declare it in the config, under tables"
    return ConfigError(what, remedy=f"did you mean {close[0]!r}?" if close else listed)
