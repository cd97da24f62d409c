"""What companies were called from when to when: which name has the bars of a day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from barray.market.listings import Listing, Listings

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Named:
    """A company's name from `first` to `last`, both included; None where that is open."""

    name: str
    first: date | None
    last: date | None

    def on(self, day: date) -> bool:
        """Whether it was called so that day."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


Names = tuple[Named, ...]
"""A company's names, the oldest first."""


@dataclass(frozen=True)
class Renames:
    """Companies that were renamed, and those whose symbol another one had before or after. Of all other symbols there
    is nothing: their bars are those that are stored under the symbol.

    `of`: by symbol, in order of time, from when to when each company had it, and all its names.
    """

    of: Mapping[str, tuple[tuple[Named, Names], ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.of)

    @classmethod
    def in_listings(cls, listings: Listings) -> Renames:
        """As rows of a table say. What a row is renamed to goes on from the day after its end, also where the table has
        no row of that name. One that is renamed to what another company is called by then ends; where two are renamed
        to one row, the one that ended last goes on.
        """
        rows = [*listings.rows, *_implied(listings.rows)]
        by_symbol = _grouped(rows)
        into: dict[Listing, Listing] = {}
        for row in sorted(rows, key=_end):
            if (successor := _successor(row, by_symbol)) is not None:
                into[successor] = row
        after = {row: successor for successor, row in into.items()}
        found: dict[str, tuple[tuple[Named, Names], ...]] = {}
        for symbol, own in by_symbol.items():
            lives = [_life(row, into, after, by_symbol) for row in own]
            if any(names != (Named(symbol, None, None),) for _, names in lives):
                found[symbol] = tuple(lives)
        return cls(found)

    def names(self, symbol: str, as_of: date) -> Names:
        """All names of the company that is called `symbol` on a day; none where it is no renamed one. Where nobody is,
        who was last called so; or else who is next.
        """
        lives = self.of.get(symbol, ())
        if not lives:
            return ()
        past = [names for had, names in lives if had.first is None or had.first <= as_of]
        return past[-1] if past else lives[0][1]

    def name_on(self, day: date, symbol: str, as_of: date) -> str | None:
        """Under which name the bars of a day are stored; None where the company had none."""
        names = self.names(symbol, as_of)
        return next((one.name for one in names if one.on(day)), None) if names else symbol

    def every_name(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """These symbols and all names of companies that were ever called so, sorted."""
        found = set(symbols)
        for symbol in found & self.of.keys():
            found = found.union(one.name for _, names in self.of[symbol] for one in names)
        return tuple(sorted(found))


def _implied(rows: Collection[Listing]) -> list[Listing]:
    """Rows of names that something is renamed to, and that the table has nobody of the day after."""
    by_symbol = _grouped(rows)
    lacking = [
        row
        for row in rows
        if row.renamed_to is not None
        and _successor(row, by_symbol) is None
        and not any(one.on(_end(row) + _DAY) for one in by_symbol.get(row.renamed_to, ()))
    ]
    latest = {row.renamed_to: row for row in sorted(lacking, key=_end)}
    return [Listing(str(name), _end(row) + _DAY) for name, row in latest.items()]


def _successor(row: Listing, by_symbol: Mapping[str, list[Listing]]) -> Listing | None:
    """The row of what another one is renamed to."""
    if row.renamed_to is None:
        return None
    later = (one for one in by_symbol.get(row.renamed_to, ()) if _end(one) > _end(row))
    return next((one for one in later if one.start is None or one.start > _end(row)), None)


def _life(
    row: Listing,
    into: Mapping[Listing, Listing],
    after: Mapping[Listing, Listing],
    by_symbol: Mapping[str, list[Listing]],
) -> tuple[Named, Names]:
    """What a row tells of among all names of its company, and these."""
    chain = [row]
    while chain[0] in into:
        chain.insert(0, into[chain[0]])
    at = len(chain) - 1
    while chain[-1] in after:
        chain.append(after[chain[-1]])
    names: list[Named] = []
    for number, one in enumerate(chain):
        others = by_symbol[one.symbol]
        first, last = one.start, one.end
        if number:
            first = max(_end(chain[number - 1]) + _DAY, one.start or date.min)
        elif others[0] is one:
            first = None  # nobody had the name before, so that all that is stored is this company's
        if number == len(chain) - 1 and others[-1] is one and one.renamed_to is None:
            last = None
        names.append(Named(one.symbol, first, last))
    return names[at], tuple(names)


def _grouped(rows: Iterable[Listing]) -> dict[str, list[Listing]]:
    found: dict[str, list[Listing]] = defaultdict(list)
    for row in sorted(rows, key=lambda one: (one.start or date.min, _end(one))):
        found[row.symbol].append(row)
    return found


def _end(row: Listing) -> date:
    return row.end or date.max
