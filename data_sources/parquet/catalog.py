"""Finds files: walks down the layout, lists each directory once, and only those a question needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from barray.data_sources.parquet.layout import Layout
from barray.market.errors import ConfigError
from barray.market.interval import Interval

Lister = Callable[[str], Mapping[str, bool]]
"""Lists a directory, relative to the root: name → whether it is a directory. Empty where there is no such directory."""


@dataclass(frozen=True)
class FileEntry:
    """A place where the layout expects a file: its path below the root, and its period's text (see Layout.period_of).

    `is_directory`: a directory lies in the file's place.
    """

    path: str
    period: str
    is_directory: bool = False


Entries = Mapping[Interval, Mapping[str, FileEntry]]


@dataclass
class Catalog:
    """Files of a tree by symbol, interval and period. `interval` is used where the layout names none.

    `aliases` maps a tree's own names of intervals (`1Min`) to ours.
    """

    layout: Layout
    lister: Lister
    interval: Interval | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    _listed: dict[str, Mapping[str | None, list[tuple[str, dict[str, str], bool]]]] = field(default_factory=dict)
    _entries: dict[str | None, Entries] = field(default_factory=dict)
    _intervals: dict[str, Interval | None] = field(default_factory=dict)
    _periods: dict[str, bool] = field(default_factory=dict)

    def entries(self, symbol: str | None) -> Entries:
        """Files of `symbol` (None: of a layout with many symbols a file) by interval and period, periods in order."""
        if symbol not in self._entries:
            known = {} if symbol is None else {"symbol": symbol}
            found: defaultdict[Interval, dict[str, FileEntry]] = defaultdict(dict)
            for path, values, is_directory in sorted(self._walk("", 0, known)):
                interval, period = self._interval(values.get("interval")), values.get(self.layout.period or "", "")
                if interval is not None and self._is_period(period):
                    found[interval][period] = FileEntry(path, period, is_directory)
            self._entries[symbol] = dict(sorted(found.items()))
        return self._entries[symbol]

    def _walk(self, directory: str, depth: int, values: dict[str, str]) -> Iterator[tuple[str, dict[str, str], bool]]:
        last = depth == len(self.layout.components) - 1
        name = self.layout.known(depth, values)
        if name is not None and not last:
            yield from self._walk(f"{directory}{name}/", depth + 1, values)
            return
        for name, read, is_directory in self._list(directory, depth, values.get("symbol")):
            if last:
                yield f"{directory}{name}", {**values, **read}, is_directory
            elif is_directory:
                yield from self._walk(f"{directory}{name}/", depth + 1, {**values, **read})

    def _list(self, directory: str, depth: int, symbol: str | None) -> list[tuple[str, dict[str, str], bool]]:
        """Entries of a directory that fit the layout's component; those of `symbol` where the component names one."""
        if directory not in self._listed:
            by_symbol: defaultdict[str | None, list[tuple[str, dict[str, str], bool]]] = defaultdict(list)
            for name, is_directory in self.lister(directory).items():
                match = self.layout.patterns[depth].fullmatch(name)
                if match is not None:
                    read = match.groupdict()
                    by_symbol[read.get("symbol")].append((name, read, is_directory))
            self._listed[directory] = by_symbol
        key = symbol if "{symbol}" in self.layout.components[depth] else None
        return self._listed[directory].get(key, [])

    def _interval(self, text: str | None) -> Interval | None:
        if text is None:
            return self.interval
        if text not in self._intervals:
            try:
                self._intervals[text] = Interval.parse(self.aliases.get(text, text))
            except ConfigError:
                self._intervals[text] = None  # a folder of something else
        return self._intervals[text]

    def _is_period(self, text: str) -> bool:
        if text not in self._periods:
            try:
                self.layout.days_of(text)
                self._periods[text] = True
            except ValueError:
                self._periods[text] = False  # 2024-02-30: somebody's own file
        return self._periods[text]
