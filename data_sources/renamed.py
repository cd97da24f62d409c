"""Bars of companies that were renamed, each day's under the name of that day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

import numpy as np

from barray.data_sources.protocol import DataSource
from barray.market.bars import Bars, Prices
from barray.market.calendar import Sessions
from barray.market.commands import prices_of
from barray.market.errors import BarrayError, NoDataError
from barray.market.interval import Interval
from barray.market.renames import Renames
from barray.market.validation import Coverage, Reason

T = TypeVar("T")


@dataclass(frozen=True)
class RenamedSource:
    """See DataSource. `source`: what has the bars, as they were called then.

    A symbol means who is called so on `day`; where that is None, on the last of the sessions that are asked for.
    `meant`: symbols that mean who is called so on another day.
    """

    source: DataSource
    renames: Renames
    meant: Mapping[str, date]
    day: date | None = None

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    @property
    def prices(self) -> Prices:
        """The source's."""
        return prices_of(self.source)

    @property
    def copied(self) -> bool:
        """The source's."""
        return bool(getattr(self.source, "copied", False))

    def on(self, day: date) -> RenamedSource:
        """The same for a session of that day."""
        return replace(self, day=day)

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> Mapping[str, bool]:
        """See DataSource."""
        return self._asked(self.source.has_symbols, symbols, sessions, any)

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> Mapping[str, tuple[Interval, ...]]:
        """See DataSource: those that there are under each name that there is anything of."""
        return self._asked(self.source.available_intervals, symbols, sessions, _in_all)

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> Mapping[str, Coverage]:
        """See DataSource."""

        def ask(some: Sequence[str], own: Sessions) -> Mapping[str, Coverage]:
            return self.source.historical_coverage(some, interval, own)

        found = dict(self._asked(ask, symbols, sessions, _together))
        for symbol in symbols:
            if symbol in self.renames.of:
                nobodys = set(_days(sessions)).difference(*(_days(own) for _, own in self._shares(symbol, sessions)))
                missing = tuple(sorted(nobodys.union(found[symbol].missing)))
                found[symbol] = replace(found[symbol], missing=missing)
        return found

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> Mapping[str, Reason | None]:
        """See DataSource."""

        def ask(some: Sequence[str], own: Sessions) -> Mapping[str, Reason | None]:
            return self.source.session_problems(some, interval, own)

        [day] = _days(session)
        nobody = Reason("no_session_data", f"nobody was called so on {day}", "check the listings", self.name)
        return self._asked(ask, symbols, session, lambda found: next(iter(found), nobody))

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        """See DataSource; errors name the symbol as it was asked for."""
        if symbol not in self.renames.of:
            return self.source.read_bars(symbol, interval, sessions)
        parts: list[Bars] = []
        nothing = NoDataError("nobody was called so", symbol=symbol, interval=str(interval), source=self.name)
        for name, own in self._shares(symbol, sessions):
            try:
                parts.append(self.source.read_bars(name, interval, own))
            except NoDataError as error:
                nothing = error
            except BarrayError as error:
                error.symbol = symbol
                raise
        if not parts:
            nothing.symbol = symbol
            raise nothing
        return Bars.concat(parts)

    def _asked(
        self,
        ask: Callable[[Sequence[str], Sessions], Mapping[str, T]],
        symbols: Sequence[str],
        sessions: Sessions,
        together: Callable[[list[T]], T],
    ) -> Mapping[str, T]:
        """Answers about symbols: of one that was renamed, what there is of each of its names, `together`."""
        plain = [symbol for symbol in symbols if symbol not in self.renames.of]
        found: dict[str, T] = dict(ask(plain, sessions)) if plain else {}
        for symbol in symbols:
            if symbol in self.renames.of:
                try:
                    found[symbol] = together([ask([name], own)[name] for name, own in self._shares(symbol, sessions)])
                except BarrayError as error:
                    error.symbol = None if error.symbol is None else symbol
                    raise
        return found

    def _shares(self, symbol: str, sessions: Sessions) -> list[tuple[str, Sessions]]:
        """Its names in these sessions, each with its own; of no session at all, its last."""
        days = sessions.dates
        day = self.meant.get(symbol, self.day) or (days[-1].item() if len(days) else date.max)
        names = self.renames.names(symbol, day)
        if not len(days):
            return [(names[-1].name, sessions)]
        shares = []
        for one in names:
            first = 0 if one.first is None else int(np.searchsorted(days, np.datetime64(one.first), side="left"))
            stop = len(days) if one.last is None else int(np.searchsorted(days, np.datetime64(one.last), side="right"))
            if first < stop:
                shares.append((one.name, sessions.take(slice(first, stop))))
        return shares


def _days(sessions: Sessions) -> list[date]:
    found: list[date] = sessions.dates.tolist()
    return found


def _in_all(found: Iterable[tuple[Interval, ...]]) -> tuple[Interval, ...]:
    held = [one for one in found if one]
    return tuple(interval for interval in held[-1] if all(interval in one for one in held)) if held else ()


def _together(found: Sequence[Coverage]) -> Coverage:
    """What there is under all names."""
    first, last = ([day for one in found if (day := getattr(one, edge))] for edge in ("first", "last"))
    missing = tuple(day for one in found for day in one.missing)
    return Coverage(min(first, default=None), max(last, default=None), missing)
