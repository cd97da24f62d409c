"""Bars of many symbols at once from several sources: of each symbol from the first that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.parquet.stack import read_stack
from barray.data_sources.protocol import DataSource
from barray.market.bars import Bars, Prices
from barray.market.calendar import Sessions
from barray.market.errors import ConfigError, DataError, NoDataError
from barray.market.interval import Interval
from barray.market.universe.stack import Stack
from barray.market.validation import Reason


@dataclass(frozen=True)
class StackSources:
    """See barray.trading.scans.commands.StackReader. `sources`: in order of priority; of a vendor's, what was fetched
    before is read, and nothing is fetched. Like each of them it is settings alone, and can be pickled.
    """

    sources: tuple[DataSource, ...]

    def __reduce__(self) -> tuple[object, ...]:
        return StackSources, (self.sources,)

    @property
    def name(self) -> str:
        """All sources' names."""
        return " + ".join(source.name for source in self.sources)

    @property
    def prices(self) -> Prices:
        """Whether any of them has prices that need not be positive."""
        return "any" if any(getattr(source, "prices", None) == "any" for source in self.sources) else "positive"

    def intervals(self, symbols: Sequence[str], sessions: Sessions) -> tuple[Interval, ...]:
        """Intervals that the first source to have any has, of these symbols or of files of many; finest first."""
        for source in self._trees:
            if not source.layout.has_symbol:
                found = source.shared_intervals()
            else:
                found = next((one for one in source.available_intervals(symbols, sessions).values() if one), ())
            if found:
                return found
        return ()

    def names(self, most: int) -> tuple[str, ...]:
        """Some of the symbols that files or folders are named for, where they are."""
        found = (name for source in self._trees if source.layout.has_symbol for name in source.symbols())
        return tuple(islice(found, most))

    def stored(self, interval: Interval, sessions: Sessions) -> tuple[str, ...]:
        """All symbols of which there may be bars of these sessions, sorted; SourceUnavailable."""
        found: set[str] = set()
        for source in self._trees:
            if source.layout.has_symbol:
                found |= source.symbols()
                continue
            for row in range(len(sessions)):
                with suppress(NoDataError, DataError):  # told of when the session is read
                    files = source.shared_files(interval, sessions.take(slice(row, row + 1)))
                    found.update(name for parts in files for file in parts for name in file.symbols if name is not None)
        return tuple(sorted(found))

    def read_stack(
        self,
        interval: Interval,
        sessions: Sessions,
        *,
        symbols: tuple[str, ...],
        columns: tuple[str, ...],
        first_ns: int | None = None,
    ) -> tuple[Stack, Mapping[str, Reason]]:
        """Bars of the symbols that have any, and why others' can't be read; see StackReader. SourceUnavailable, and
        DataError where a file of many symbols can't be right.
        """
        left = symbols
        found: list[Stack] = []
        faults: dict[str, Reason] = {}
        for source in self._trees:
            if not left:
                break
            try:
                stack, reasons = read_stack(source, interval, sessions, left, columns, first_ns=first_ns)
            except NoDataError:
                continue
            found.append(stack)
            faults |= {symbol: reason for symbol, reason in reasons.items() if reason.code != "no_data"}
            there = frozenset(stack.symbols)
            left = tuple(symbol for symbol in left if symbol not in there)
        missing = frozenset(left)
        told = {symbol: reason for symbol, reason in faults.items() if symbol in missing}
        if len(found) == 1:
            return found[0], told
        bars: dict[str, Bars] = {symbol: stack.bars_of(symbol) for stack in found for symbol in stack.symbols}
        return Stack.of(bars, columns), told

    @cached_property
    def _trees(self) -> tuple[ParquetSource, ...]:
        return tuple(map(_tree, self.sources))


def _tree(source: DataSource) -> ParquetSource:
    if isinstance(source, ParquetSource):
        return source
    if isinstance(source, VendorSource):
        return source.store.tree(source.name)
    raise ConfigError(f"{source.name} can't be scanned", source=source.name, remedy="name a Parquet source")
