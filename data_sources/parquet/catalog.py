"""Finds files: walks down the layout, lists each directory once, and only those a question needs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from barray.data_sources.parquet.layout import Layout
from barray.market.errors import ConfigError, DataError
from barray.market.interval import Interval

Lister = Callable[[str], Mapping[str, bool]]
"""Lists a directory, relative to the root: name → whether it is a directory. Empty where there is no such directory."""
_Found = tuple[str, dict[str, str], bool]
_SUFFIXES = (".parquet", ".pq")
_ANY = "\0"
"""Stands for a symbol in a path."""
_LOOKED_AT = 200
"""Most directories listed to say what a tree holds that doesn't fit its layout."""


@dataclass(frozen=True)
class FileEntry:
    """A place where the layout expects a file: its path below the root, and its period's text (see Layout.period_of).

    `more`: paths of its other parts, where the layout has a `*`. `directories`: those of the paths that are one.
    """

    path: str
    period: str
    more: tuple[str, ...] = ()
    directories: frozenset[str] = frozenset()

    @property
    def paths(self) -> tuple[str, ...]:
        """All parts, in order of their names."""
        return (self.path, *self.more)


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
    _listed: dict[str, Mapping[str | None, list[_Found]]] = field(default_factory=dict)
    _entries: dict[str | None, Entries] = field(default_factory=dict)
    _intervals: dict[str, Interval | None] = field(default_factory=dict)
    _periods: dict[tuple[str, ...], str | None] = field(default_factory=dict)

    def entries(self, symbol: str | None) -> Entries:
        """Files of `symbol` (None: of a layout with many symbols a file) by interval and period, periods in order.

        DataError where two places hold the same interval, or two files the same period and are no parts of one.
        """
        if symbol not in self._entries:
            known = {} if symbol is None else {"symbol": symbol}
            found: defaultdict[Interval, dict[str, list[_Found]]] = defaultdict(dict)
            for path, values, is_directory in sorted(self._walk("", 0, known), key=lambda place: place[0]):
                interval, period = self._interval(values.get("interval")), self._period(values)
                if interval is not None and period is not None:
                    found[interval].setdefault(period, []).append((path, values, is_directory))
            self._entries[symbol] = {
                interval: {period: self._entry(period, files) for period, files in sorted(periods.items())}
                for interval, periods in sorted(found.items())
                if _named_once(interval, periods)
            }
        return self._entries[symbol]

    def symbols(self) -> set[str]:
        """Those named by the tree, of a layout that names them; no deeper than that is listed."""
        depth = next(i for i, component in enumerate(self.layout.components) if "{symbol}" in component)
        return {values["symbol"] for _, values, _ in self._walk("", 0, {}, depth)}

    def like(self, entry: FileEntry) -> Callable[[str], FileEntry] | None:
        """Where the file of another symbol lies that is called as this one; None where a listing is needed to tell."""
        components = self.layout.components
        if "{" not in components[-1] or self.layout.has_parts or not self.layout.has_symbol:
            return None
        values: dict[str, str] = {}
        for pattern, name in zip(self.layout.patterns, entry.path.split("/"), strict=True):
            match = pattern.fullmatch(name)
            values |= match.groupdict() if match else {}
        values["symbol"] = _ANY
        path = "/".join(str(self.layout.known(depth, values)) for depth in range(len(components)))
        return lambda symbol: FileEntry(path.replace(_ANY, symbol), entry.period)

    def misfit(self) -> str | None:
        """What lies in the tree instead of files that fit the layout: a path; None where one fits, or none is found."""
        if any(self._fits(path) for path in self._some_files(guided=True)):
            return None
        return next(self._some_files(guided=False), None)

    def _some_files(self, *, guided: bool) -> Iterator[str]:
        """Parquet files in the first directories of the tree; `guided`: files of any name, where the layout leads."""
        waiting = [("", 0)]
        for _ in range(_LOOKED_AT):
            if not waiting:
                return
            directory, depth = waiting.pop()
            names = sorted(self.lister(directory).items())
            files = [name for name, is_dir in names if not is_dir and (guided or name.endswith(_SUFFIXES))]
            yield from (f"{directory}{name}" for name in files)
            below = [name for name, is_dir in names if is_dir and (not guided or self._leads(name, depth))]
            waiting += [(f"{directory}{name}/", depth + 1) for name in reversed(below)]

    def _leads(self, name: str, depth: int) -> bool:
        """Whether files that fit may lie below a directory of that name, so many levels below the root."""
        if depth >= len(self.layout.components) - 1:
            return False
        match = self.layout.patterns[depth].fullmatch(name)
        interval = match.groupdict().get("interval") if match else None
        return match is not None and (interval is None or self._interval(interval) is not None)

    def _fits(self, path: str) -> bool:
        names = path.split("/")
        matches = [p.fullmatch(name) for p, name in zip(self.layout.patterns, names, strict=False)]
        if len(names) != len(self.layout.components) or not all(matches):
            return False
        values = {key: text for match in matches if match for key, text in match.groupdict().items()}
        return self._interval(values.get("interval")) is not None and self._period(values) is not None

    def _entry(self, period: str, files: list[_Found]) -> FileEntry:
        paths = [path for path, _, _ in files]
        if len(paths) > 1 and not self.layout.has_parts:
            raise DataError(
                f"{paths[0]} and {paths[1]} are two files for {period}", remedy="remove one", code="two_files"
            )
        return FileEntry(paths[0], period, tuple(paths[1:]), frozenset(path for path, _, is_dir in files if is_dir))

    def _walk(self, directory: str, depth: int, values: dict[str, str], until: int | None = None) -> Iterator[_Found]:
        """What fits the layout down to the level `until`; None for the files."""
        until = len(self.layout.components) - 1 if until is None else until
        last = depth == until
        name = self.layout.known(depth, values)
        if name is not None and not last:
            yield from self._walk(f"{directory}{name}/", depth + 1, values, until)
            return
        for name, read, is_directory in self._list(directory, depth, values.get("symbol")):
            if last:
                yield f"{directory}{name}", {**values, **read}, is_directory
            elif is_directory:
                yield from self._walk(f"{directory}{name}/", depth + 1, {**values, **read}, until)

    def _list(self, directory: str, depth: int, symbol: str | None) -> list[_Found]:
        """Entries of a directory that fit the layout's component; where it names a symbol those of `symbol`, if any."""
        if directory not in self._listed:
            by_symbol: defaultdict[str | None, list[_Found]] = defaultdict(list)
            names = self.lister(directory)
            self._no_other_parts(directory, depth, names)
            for name, is_directory in names.items():
                match = self.layout.patterns[depth].fullmatch(name)
                if match is not None:
                    read = match.groupdict()
                    by_symbol[read.get("symbol")].append((name, read, is_directory))
            self._listed[directory] = by_symbol
        if symbol is None:
            return [found for some in self._listed[directory].values() for found in some]
        key = symbol if "{symbol}" in self.layout.components[depth] else None
        return self._listed[directory].get(key, [])

    def _no_other_parts(self, directory: str, depth: int, names: Mapping[str, bool]) -> None:
        """DataError where a file called `part-0.parquet` in the layout has a brother: it would be left out."""
        name = self.layout.components[-1]
        if depth < len(self.layout.components) - 1 or "{" in name or "*" in name:
            return
        general = re.sub(r"\d+", "*", name)
        alike = sorted(other for other in names if other != name and re.sub(r"\d+", "*", other) == general)
        if alike and name in names:
            raise DataError(
                f"{directory}{name} lies beside {alike[0]}, which the layout leaves out",
                remedy=f"write {general} in the place of {name} in the source's layout",
                code="other_parts",
            )

    def _interval(self, text: str | None) -> Interval | None:
        if text is None:
            return self.interval
        if text not in self._intervals:
            try:
                self._intervals[text] = Interval.parse(self.aliases.get(text, text))
            except ConfigError:
                self._intervals[text] = None  # a folder of something else
        return self._intervals[text]

    def _period(self, values: Mapping[str, str]) -> str | None:
        """The period that the values name; None where the calendar has no such: 2024-02-30 is somebody's own file."""
        times = tuple(values.get(name, "") for name in ("date", "year", "month", "day"))
        if times not in self._periods:
            try:
                self._periods[times] = self.layout.read_period(values)
            except ValueError:
                self._periods[times] = None
        return self._periods[times]


def _named_once(interval: Interval, periods: Mapping[str, list[_Found]]) -> bool:
    """True; DataError where an interval's files lie under two names of it, `1m` and `60s`: which would be meant?"""
    by_name = {values.get("interval"): path for files in periods.values() for path, values, _ in files}
    if len(by_name) > 1:
        first, second = sorted(map(str, by_name))[:2]
        raise DataError(
            f"has {interval} bars under two names, {first} ({by_name[first]}) and {second} ({by_name[second]})",
            interval=str(interval),
            remedy="keep one of them",
            code="two_files",
        )
    return True
