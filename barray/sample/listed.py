"""Thousands of symbols to scan: minutes of a few sessions, days further back, who was listed when, and sectors."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from barray.data_sources.atomic_file import made, replacing, writing
from barray.market.bars import Bars
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.sample.faults import spoil_file, spoil_table
from barray.sample.universe import SCHEMA, bars_table
from barray.sample.walks import KNOWN_SYMBOLS, Market, Walk, sample_symbols, seeded

_LONG_AGO = "2000-01-03"
_SECTORS = ("energy", "materials", "industrials", "consumer", "health", "financials", "technology", "utilities")
_AT_ONCE = 250
"""Symbols a row group: a reader of one skips the others'."""
_ROW_FAULTS = ("nan", "unsorted", "duplicate_stamps", "high_below_low", "negative_price")
_FILE_FAULTS = ("truncated", "wrong_columns", "wrong_types")
_FEWEST = 50


@dataclass(frozen=True)
class Listing:
    """A symbol from its first day to its last one, both included; None where that is open."""

    symbol: str
    walk: str
    start: date | None = None
    end: date | None = None
    renamed_to: str = ""

    def held(self, days: Sequence[date]) -> slice:
        """Which of the days, ascending, it is listed on."""
        low = bisect_left(days, self.start) if self.start else 0
        return slice(low, bisect_left(days, self.end + timedelta(1)) if self.end else len(days))


@dataclass(frozen=True)
class ListedUniverse:
    """What was written below `root`. `sessions`: those with minutes; `days`: those with daily bars. `broken`: fault by
    symbol, in the last session's minutes. `bars`: rows of minutes; `bytes`: size of all `files`.
    """

    root: Path
    listings: tuple[Listing, ...]
    broken: Mapping[str, str]
    sessions: tuple[date, ...]
    days: tuple[date, ...]
    file_per_symbol: bool
    files: int = 0
    bars: int = 0
    bytes: int = 0

    @property
    def sources(self) -> str:
        """The part of a config that reads it, as YAML."""
        minutes, days = ("{symbol}/{date}", "{symbol}") if self.file_per_symbol else ("{date}", "{month}")
        return (
            f"history: {{daily: days}}\n"
            f"sources:\n"
            f'  - {{name: minutes, root: {self.root / "minutes"}, layout: "{minutes}.parquet", interval: 1m}}\n'
            f'  - {{name: days, root: {self.root / "days"}, layout: "{days}.parquet", interval: 1d}}\n'
        )


def write_listed_universe(
    root: Path,
    *,
    symbols: int,
    end: date,
    sessions: int = 2,
    days: int = 60,
    seed: int = 7,
    file_per_symbol: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ListedUniverse:
    """Write minutes of the last `sessions` up to `end`, daily bars of those and of `days` before, listings and sectors.

    Some symbols are listed in between, some are delisted or renamed, a few are broken in the last session. Files hold
    many symbols, minutes a session, days a month; or one symbol each. `listings.csv` has symbol, start, end,
    renamed_to; `sectors.csv` symbol, known_at, sector. ConfigError for what cannot be meant or written.
    """
    if sessions < 1 or days < 0:
        raise ConfigError(f"{sessions} sessions and {days} days", remedy="give 1 session or more, and 0 days or more")
    if not symbols >= _FEWEST:
        raise ConfigError(f"a universe of {symbols} symbols", remedy=f"ask for {_FEWEST} or more")
    names = sample_symbols(symbols)
    back = timedelta(days=7 * (sessions + days) // 5 + 20)
    trading = Market(seed, "XNYS", "regular", end - back, end, Interval(1, "m"))
    every = tuple(trading.days)[-(sessions + days) :]
    random = seeded(seed, "listings")
    listings = _listings(names, every, sessions, random)
    broken = _faults(listings, random, file_per_symbol)
    found = ListedUniverse(Path(root), listings, broken, every[-sessions:], every, file_per_symbol)
    output = _Output(found)
    with ExitStack() as files:
        for done, listing in enumerate(listings, 1):
            walk = Walk(listing.walk, trading, in_play=True)
            output.add(listing, walk, files)
            if progress:
                progress(done, len(listings))
        output.close()
    _write_tables(found)
    return output.written()


def _listings(
    names: Sequence[str], days: Sequence[date], sessions: int, random: np.random.Generator
) -> tuple[Listing, ...]:
    """Of a hundred symbols one comes and one goes, of three hundred one is renamed; half of that happens in the last
    sessions.
    """
    others = [str(name) for name in random.permutation(names[len(KNOWN_SYMBOLS) :])]
    share = max(1, len(names) // 100)
    gone, new, renamed = others[:share], others[share : 2 * share], others[2 * share : 2 * share + (share + 2) // 3]

    def turn(nth: int) -> tuple[date, date]:
        """The last day of the old and the first of the new."""
        first = max(len(days) - sessions, 0) if nth % 2 else 0
        row = int(random.integers(first, len(days) - 1)) if first < len(days) - 1 else len(days) - 2
        return days[row], days[row + 1]

    rows = {name: [Listing(name, name)] for name in names}
    if len(days) > 1:
        for nth, name in enumerate(gone):
            rows[name] = [Listing(name, name, end=turn(nth)[0])]
        for nth, name in enumerate(new):
            rows[name] = [Listing(name, name, start=turn(nth)[1])]
        for nth, name in enumerate(renamed):
            (last, first), after = turn(nth), f"NEW{name[3:]}"
            rows[name] = [Listing(name, name, end=last, renamed_to=after), Listing(after, name, start=first)]
    return tuple(sorted((row for some in rows.values() for row in some), key=lambda row: row.symbol))


def _faults(listings: Sequence[Listing], random: np.random.Generator, file_per_symbol: bool) -> dict[str, str]:
    lasting = [row.symbol for row in listings if row.start == row.end and row.symbol not in KNOWN_SYMBOLS]
    faults = (*_ROW_FAULTS, *(_FILE_FAULTS if file_per_symbol else ()))
    return dict(sorted(zip(random.permutation(lasting).tolist(), faults, strict=False)))


def _write_tables(universe: ListedUniverse) -> None:
    rows = [
        ",".join((row.symbol, *(day.isoformat() if day else "" for day in (row.start, row.end)), row.renamed_to))
        for row in universe.listings
    ]
    sectors = [
        f"{row.symbol},{_LONG_AGO},{_SECTORS[sum(row.walk.encode()) % len(_SECTORS)]}" for row in universe.listings
    ]
    for name, lines in {
        "listings": ["symbol,start,end,renamed_to", *rows],
        "sectors": ["symbol,known_at,sector", *sectors],
    }.items():
        path = universe.root / f"{name}.csv"
        with replacing(path) as part, writing(path):
            part.write_text("\n".join([*lines, ""]), encoding="utf-8")


@dataclass
class _SharedFile:
    """A file of many symbols while it is written, `at_once` symbols a row group."""

    writer: pq.ParquetWriter
    at_once: int
    waiting: list[tuple[str, Bars, str | None]] = field(default_factory=list)
    rows: int = 0

    def add(self, symbol: str, bars: Bars, fault: str | None) -> None:
        self.waiting.append((symbol, bars, fault))
        if len(self.waiting) >= self.at_once:
            self.flush()

    def flush(self) -> None:
        """Write those that wait as one row group."""
        tables = []
        for fault, some in groupby(self.waiting, key=lambda entry: entry[2]):
            own = list(some)
            table = bars_table(Bars.concat([bars for _, bars, _ in own]))
            names = np.repeat(np.array([symbol for symbol, _, _ in own]), [len(bars) for _, bars, _ in own])
            if fault:
                table = spoil_table(fault, table, own[0][0])
                names = np.repeat(names[:1], table.num_rows)
            tables.append(table.add_column(0, "symbol", pa.array(names)))
        if tables:
            whole = pa.concat_tables(tables)
            self.writer.write_table(whole, row_group_size=max(whole.num_rows, 1))
            self.rows += whole.num_rows
        self.waiting = []


class _Output:
    """Writes the files and counts."""

    def __init__(self, universe: ListedUniverse) -> None:
        self._universe = universe
        self._shared: dict[Path, _SharedFile] = {}
        self._paths: set[Path] = set()
        self._bars = 0

    def add(self, listing: Listing, walk: Walk, files: ExitStack) -> None:
        """All bars of one listing; `files` ends the files that are open."""
        universe = self._universe
        sessions = universe.sessions[listing.held(universe.sessions)]
        days = universe.days[listing.held(universe.days)]
        minutes = {day: walk.bars([day]) for day in sessions}
        earlier = [day for day in days if day not in minutes]
        daily = Bars.concat([*([walk.daily(earlier)] if earlier else []), *map(_day_of, minutes.values())])
        fault = universe.broken.get(listing.symbol)
        root, each = universe.root, universe.file_per_symbol
        for day, bars in minutes.items():
            self._bars += len(bars)
            here = fault if day == universe.sessions[-1] else None
            folder = root / "minutes" / listing.symbol if each else root / "minutes"
            self._put(folder / f"{day}.parquet", listing.symbol, bars, here, files, _AT_ONCE)
        if each and days:
            self._put(root / "days" / f"{listing.symbol}.parquet", listing.symbol, daily, None, files, _AT_ONCE)
            return
        at = 0
        for month, some in groupby(days, key=lambda day: f"{day:%Y-%m}"):
            count = len(list(some))
            own = daily.take(slice(at, at + count))
            self._put(root / "days" / f"{month}.parquet", listing.symbol, own, None, files, 10 * _AT_ONCE)
            at += count

    def _put(self, path: Path, symbol: str, bars: Bars, fault: str | None, files: ExitStack, at_once: int) -> None:
        if path.parent not in self._paths:
            self._paths.add(made(path.parent))
        if self._universe.file_per_symbol:
            table = bars_table(bars)
            with replacing(path) as part:
                pq.write_table(spoil_table(fault, table, symbol) if fault else table, part)
                if fault:
                    spoil_file(fault, part)
            self._paths.add(path)
            return
        if path not in self._shared:
            part = files.enter_context(replacing(path))
            schema = SCHEMA.insert(0, pa.field("symbol", pa.string()))
            writer = files.enter_context(pq.ParquetWriter(part, schema))
            self._shared[path] = _SharedFile(writer, at_once)
            self._paths.add(path)
        self._shared[path].add(symbol, bars, fault)

    def close(self) -> None:
        """Write what still waits."""
        for file in self._shared.values():
            file.flush()

    def written(self) -> ListedUniverse:
        """What was written, counted."""
        files = [path for path in self._paths if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        return replace(self._universe, files=len(files), bars=self._bars, bytes=size)


def _day_of(bars: Bars) -> Bars:
    """The daily bar of a session's minutes, the first of which is the opening auction."""
    prices = (bars.open[:1], bars.high.max(keepdims=True), bars.low.min(keepdims=True), bars.close[-1:])
    return Bars(bars.start_ns[:1], *prices, bars.volume.sum(keepdims=True))
