"""What was listed on a day: symbols with the first and the last day on which they could be traded under that name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from barray.market.errors import ConfigError, DataError
from barray.market.symbols import symbol_problem

LISTINGS = "listings"
"""The table that tells what was listed, and called what: the one that a config names so."""
_COLUMNS = ("symbol", "start", "end", "renamed_to")
_MOST_TOLD = 5


@dataclass(frozen=True)
class Listing:
    """A symbol from `start` to `end`, both included; None where that is open. `renamed_to`: what it is called after."""

    symbol: str
    start: date | None = None
    end: date | None = None
    renamed_to: str | None = None

    def on(self, day: date) -> bool:
        """Whether it is listed that day."""
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)


@dataclass(frozen=True)
class Listings:
    """Rows of a table of listings, or of an index's members, checked; `where`: its file, for messages."""

    rows: tuple[Listing, ...]
    where: str

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]], where: str) -> Listings:
        """From columns `symbol` and, where the table has them, `start`, `end`, `renamed_to`; further ones are ignored.

        Dates are dates or text such as 2024-06-05; empty, None and NaN mean open. ConfigError where there is no column
        `symbol`; DataError, naming the rows, where a symbol or date is none, an end lies before its start, rows of one
        symbol overlap or stand twice, or one is renamed without an end or to itself.
        """
        if "symbol" not in columns:
            listed = ", ".join(columns) or "none"
            raise ConfigError(f"{where} has no column symbol (it has: {listed})", remedy=f"name them {_COLUMNS}")
        n = len(columns["symbol"])
        blank = [None] * n
        given = [columns.get(name, blank) for name in _COLUMNS]
        problems: list[str] = []
        rows: list[tuple[int, Listing]] = []
        for number, values in enumerate(zip(*given, strict=True), 1):
            try:
                rows.append((number, _listing(values)))
            except ValueError as error:
                problems.append(f"row {number}: {error}")
        problems += _overlaps(rows)
        if problems:
            more = f" (and {len(problems) - _MOST_TOLD} more)" if len(problems) > _MOST_TOLD else ""
            raise DataError(
                f"{where}: {'; '.join(problems[:_MOST_TOLD])}{more}",
                remedy="one row a symbol and span of days: symbol,start,end,renamed_to with dates such as 2024-06-05",
                code="bad_dates",
            )
        return cls(tuple(sorted((row for _, row in rows), key=_order)), where)

    @classmethod
    def of_lines(cls, lines: Iterable[str], where: str) -> Listings:
        """From a file of symbols, one a line, listed for ever; blank lines and what follows a # are ignored. DataError
        as for `of`.
        """
        names = (line.partition("#")[0].strip() for line in lines)
        return cls.of({"symbol": [name for name in names if name]}, where)

    def on(self, day: date) -> tuple[str, ...]:
        """Symbols listed that day, sorted."""
        return tuple(sorted({row.symbol for row in self.rows if row.on(day)}))

    def why_not(self, symbol: str, day: date) -> str:
        """Why a symbol is not listed that day, for a person to read."""
        rows = self._by_symbol.get(symbol, ())
        if not rows:
            return f"{self.where} does not list it"
        past = [row for row in rows if row.end is not None and row.end < day]
        if past:
            last = max(past, key=_order)
            renamed = f", renamed to {last.renamed_to}" if last.renamed_to else ""
            return f"listed until {last.end}{renamed}"
        return f"listed from {min(row.start for row in rows if row.start is not None)} on"

    @cached_property
    def _by_symbol(self) -> dict[str, list[Listing]]:
        return _grouped((row.symbol, row) for row in self.rows)


def _grouped(pairs: Iterable[tuple[str, Listing]]) -> dict[str, list[Listing]]:
    found: dict[str, list[Listing]] = defaultdict(list)
    for key, row in pairs:
        found[key].append(row)
    return found


def _order(row: Listing) -> tuple[str, date, date]:
    return row.symbol, row.start or date.min, row.end or date.max


def _listing(values: Sequence[Any]) -> Listing:
    symbol, start, end, renamed_to = values
    symbol = symbol.strip() if isinstance(symbol, str) else symbol
    if problem := symbol_problem(symbol):
        raise ValueError(problem)
    first, last = _day(start, "start"), _day(end, "end")
    if first is not None and last is not None and last < first:
        raise ValueError(f"{symbol} ends on {last}, before it starts on {first}")
    new = None if _is_blank(renamed_to) else str(renamed_to).strip()
    if new is not None:
        if problem := symbol_problem(new):
            raise ValueError(f"renamed_to: {problem}")
        if last is None or new == symbol:
            raise ValueError(f"{symbol} is renamed to {new} {'without an end' if last is None else 'itself'}")
    return Listing(symbol, first, last, new)


def _is_blank(value: Any) -> bool:
    return value is None or (not value.strip() if isinstance(value, str) else value != value)  # noqa: PLR0124  # NaN, NaT


def _day(value: Any, name: str) -> date | None:
    if _is_blank(value):
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise ValueError(f"{name} is {value!r}, no date") from None


def _overlaps(rows: Sequence[tuple[int, Listing]]) -> list[str]:
    found = []
    ordered = sorted(rows, key=lambda row: _order(row[1]))
    for (number, one), (other_number, other) in pairwise(ordered):
        if one.symbol == other.symbol and (other.start or date.min) <= (one.end or date.max):
            same = one == other
            what = "stands twice" if same else "is listed twice at a time"
            found.append(f"{one.symbol} {what}, in rows {number} and {other_number}")
    return found
