"""The universe of a scan: which symbols are looked at on a day. What it is declared to be, and what that comes to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from typing import Literal

from barray.market.errors import ConfigError
from barray.market.listings import LISTINGS, Listings
from barray.market.symbols import symbol_problem

Kind = Literal["everything", "symbols", "file", "table"]


@dataclass(frozen=True)
class Universe:
    """`everything` in the store; these `symbols`; those in a `file`, one a line; or those that a `table` has on the
    day. `name`: the file's or the table's name or path.
    """

    kind: Kind
    symbols: tuple[str, ...] = ()
    name: str | None = None

    def on(self, day: date, stored: Collection[str], table: Callable[[str], Listings] | None = None) -> Members:
        """Who is looked at on a day, of the symbols `stored`. `table`: gives a file's or a table's rows by its name.

        ConfigError where that is needed and not given.
        """
        if self.kind == "everything":
            return Members(tuple(sorted(stored)), (), self, day)
        if self.kind == "symbols":
            wanted, listings = self.symbols, None
        else:
            if table is None:
                raise ConfigError(f"{self.text} needs a table", remedy="name it under scans")
            listings = table(str(self.name))
            wanted = listings.on(day)
        held = set(stored)
        return Members(
            tuple(sorted(held.intersection(wanted))),
            tuple(sorted(set(wanted) - held)),
            self,
            day,
            listings,
        )

    @property
    def text(self) -> str:
        """How it is written."""
        if self.kind == "symbols":
            return f"symbols({len(self.symbols)} of them)"
        return {"everything": "everything()", "file": f"symbols_in({self.name!r})"}.get(
            self.kind, f"listed({'' if self.name == LISTINGS else repr(self.name)})"
        )


@dataclass(frozen=True)
class Members:
    """The symbols looked at on a day, sorted, and those `missing`: in the universe, without bars in the store."""

    symbols: tuple[str, ...]
    missing: tuple[str, ...]
    universe: Universe
    day: date
    listings: Listings | None = None

    def why_not(self, symbol: str) -> str | None:
        """Why a symbol is not looked at, None where it is."""
        if symbol in self.symbols:
            return None
        if symbol in self.missing:
            return "the store has no bars of it"
        if self.listings is not None:
            return self.listings.why_not(symbol, self.day)
        if self.universe.kind == "everything":
            return "the store does not have it"
        return f"{self.universe.text} does not name it"


def everything() -> Universe:
    """All symbols in the store."""
    return Universe("everything")


def symbols(*names: str) -> Universe:
    """These symbols; ConfigError for none, or one that can't name an instrument."""
    if not names:
        raise ConfigError("symbols() names none", remedy='write symbols("AAPL", "MSFT")')
    for name in names:
        if problem := symbol_problem(name):
            raise ConfigError(f"symbols({name!r}): {problem}", remedy="name them as their bars do", code="bad_symbol")
    return Universe("symbols", tuple(sorted(set(names))))


def symbols_in(file: str) -> Universe:
    """The symbols in a file, one a line."""
    return Universe("file", name=file)


def listed(table: str = LISTINGS) -> Universe:
    """What the table of listings has on the day, or another of that form: a CSV of an index's members with dates."""
    return Universe("table", name=table)
