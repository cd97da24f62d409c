"""A seeded, realistic sample universe as Parquet files, so that everything can be tried without a data vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from barray.data_sources.atomic_file import replacing
from barray.data_sources.parquet.layout import Layout
from barray.market.bars import PRICE_COLUMNS, Bars
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.symbols import symbol_problem
from barray.sample.faults import FAULTS, days_written, fault_day, name_faults, spoil_file, spoil_table
from barray.sample.walks import EPOCH, KNOWN_SYMBOLS, MAX_SYMBOLS, Market, Walk, sample_symbols

__all__ = ["EPOCH", "FAULTS", "KNOWN_SYMBOLS", "MAX_SYMBOLS", "SampleData", "sample_symbols", "write_sample_data"]

_ROW_GROUP = 20_000  # rows; in a file of many symbols a reader of one skips the other groups
_STAMP = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([("timestamp", _STAMP), *((name, pa.float64()) for name in PRICE_COLUMNS), ("volume", pa.int64())])


@dataclass(frozen=True)
class SampleData:
    """What was written. `broken`: fault by symbol. `bars`: rows, broken ones too; `bytes`: size of the `files`."""

    root: Path
    symbols: tuple[str, ...]
    broken: Mapping[str, str]
    sessions: tuple[date, ...]
    files: int
    bars: int
    bytes: int


def write_sample_data(
    root: Path,
    *,
    symbols: Sequence[str] | int,
    start: date | str,
    end: date | str,
    interval: str | Interval = "1m",
    seed: int = 7,
    calendar: str = "XNYS",
    hours: str = "regular",
    layout: str = "{symbol}/{interval}/{date}.parquet",
    broken: Mapping[str, str] | Sequence[str] = (),
    missing_share: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SampleData:
    """Write bars of all sessions from `start` to `end`, both included, below `root`.

    A symbol's bars of a day depend on seed, symbol, day, calendar, hours and interval alone, not on what else there is.
    Intervals of whole minutes are derived from the minutes, so they agree with the 1m files of the same seed. `layout`
    is a template (see barray.data_sources.parquet.layout); without {symbol} a file holds many symbols, sorted by
    `symbol` and time. `broken` maps symbols to faults or lists faults (see `name_faults`). `missing_share`: share
    of the regular hours' minutes (bars, if shorter) without a trade, 0 to below 1; by default next to none in liquid
    symbols, up to 4 % in others. `progress` is told how many of how many symbol-days are done. Files of an earlier
    call for the same symbols and days are replaced. ConfigError for what cannot be meant or written.
    """
    template, bar = Layout(layout), Interval.parse(interval)
    start, end = (date.fromisoformat(day) if isinstance(day, str) else day for day in (start, end))
    faults = name_faults(broken, shared_files=not template.has_symbol)
    chosen = sample_symbols(symbols) if isinstance(symbols, int) else symbols
    names = tuple(dict.fromkeys([*chosen, *faults]))
    _check(names, template, bar, start, end, missing_share)
    market = Market(seed, calendar, hours, start, end, bar)
    output = _Output(Path(root), template, market, faults, len(names) * len(market.days), progress)
    walks = (Walk(name, market, missing_share) for name in names)
    if template.has_symbol:
        for walk in walks:
            output.write_symbol(walk)
    else:
        output.write_shared(sorted(walks, key=lambda walk: walk.symbol))
    return SampleData(output.root, names, faults, tuple(market.days), output.files, output.bars, output.bytes)


def _check(
    names: Sequence[str], layout: Layout, bar: Interval, start: date, end: date, missing_share: float | None
) -> None:
    if layout.has_parts:
        raise ConfigError(
            f"layout {layout.template!r} has a *, which is no name to write", remedy="write a name in its place"
        )
    if not names:
        raise ConfigError("no symbols to write", remedy="give symbols, or how many")
    for name in names:
        if problem := symbol_problem(name):
            raise ConfigError(problem, symbol=str(name), remedy="give symbols such as AAPL or BRK.B", code="bad_symbol")
    if start > end:
        raise ConfigError(
            f"the dates are reversed: {start} to {end}", remedy=f"write {end} to {start}", code="bad_dates"
        )
    if bar.unit == "w":
        raise ConfigError("weekly bars are not written: a range of days cuts weeks", remedy="write 1d and derive 1w")
    if missing_share is not None and not 0 <= missing_share < 1:
        raise ConfigError(f"missing_share is {missing_share}", remedy="give a share from 0 to below 1, such as 0.01")


@dataclass
class _Output:
    """Writes the files and counts them."""

    root: Path
    layout: Layout
    market: Market
    faults: Mapping[str, str]
    total: int
    progress: Callable[[int, int], None] | None
    done: int = 0
    files: int = 0
    bars: int = 0
    bytes: int = 0

    def write_symbol(self, walk: Walk) -> None:
        """All files of one symbol."""
        for path, days in self._places(walk.symbol):
            table = self._rows(walk, days)
            if table is None:
                _remove(path)
            else:
                self._write(path, table.schema, [table], self._fault(walk.symbol, days))

    def write_shared(self, walks: Sequence[Walk]) -> None:
        """Files that hold all symbols, sorted by symbol."""
        schema = SCHEMA.insert(0, pa.field("symbol", pa.string()))
        for path, days in self._places(""):
            tables = ((walk.symbol, self._rows(walk, days)) for walk in walks)
            named = (
                table.add_column(0, "symbol", pa.repeat(symbol, table.num_rows))
                for symbol, table in tables
                if table is not None
            )
            self._write(path, schema, named, None)

    def _places(self, symbol: str) -> Iterator[tuple[Path, list[date]]]:
        """Each file with the sessions it holds."""

        def path(day: date) -> Path:
            values = {"symbol": symbol, "interval": str(self.market.bar), **self.layout.values_of(day)}
            return self.root.joinpath(*(str(self.layout.known(i, values)) for i in range(len(self.layout.components))))

        return ((place, list(days)) for place, days in groupby(self.market.days, path))

    def _rows(self, walk: Walk, days: Sequence[date]) -> pa.Table | None:
        """One symbol's part of a file, spoiled where it is to be; None where it has none of these sessions."""
        written = set(days_written(self.faults.get(walk.symbol), tuple(self.market.days)))
        present = [day for day in days if day in written]
        table = bars_table(walk.bars(present)) if present else None
        fault = self._fault(walk.symbol, days)
        self.done += len(days)
        if self.progress:
            self.progress(self.done, self.total)
        return spoil_table(fault, table, walk.symbol) if fault and table is not None else table

    def _fault(self, symbol: str, days: Sequence[date]) -> str | None:
        """The symbol's fault, if it hits the file of these sessions."""
        fault = self.faults.get(symbol)
        return fault if fault and fault_day(fault, tuple(self.market.days)) in days else None

    def _write(self, path: Path, schema: pa.Schema, tables: Iterable[pa.Table], fault: str | None) -> None:
        with replacing(path) as part:
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(part, schema, compression="zstd") as writer:
                for group in _row_groups(tables):
                    writer.write_table(group, row_group_size=max(group.num_rows, 1))
                    self.bars += group.num_rows
            if fault:
                spoil_file(fault, part)
            if part.is_dir() or path.is_dir():
                _remove(path)  # a directory neither replaces a file nor is replaced by one
        self.files += 1
        self.bytes += path.stat().st_size if path.is_file() else 0


def bars_table(bars: Bars) -> pa.Table:
    """The bars as files have them."""
    stamps = pa.array(bars.start_ns // 1_000, pa.int64()).cast(_STAMP)
    prices = (getattr(bars, name) for name in PRICE_COLUMNS)
    return pa.Table.from_arrays([stamps, *map(pa.array, prices), pa.array(bars.volume.astype(np.int64))], schema=SCHEMA)


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables put together to groups of at least `_ROW_GROUP` rows, the last one aside."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(part.num_rows for part in waiting) >= _ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()  # what the fault `directory` left; a folder with content is somebody's and stays
    else:
        path.unlink(missing_ok=True)
