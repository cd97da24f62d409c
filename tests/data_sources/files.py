"""Makers of small Parquet trees, by plain pyarrow, and the way a symbol goes from Step 0 to being loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.protocol import DataSource
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession
from tests.market.builders import MINUTE_NS, context_for, new_york_ns, require, run
from tests.market.builders import load_command as _load_command

MONDAY, TUESDAY, WEDNESDAY = date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 3)  # Wednesday closes at 13:00
MINUTE = Interval.parse("1m")
DAILY = Interval.parse("1d")
UTC_US = pa.timestamp("us", tz="UTC")


def local_source(root: str | Path) -> ParquetSource:
    """A source over a local folder in the default layout."""
    return ParquetSource(str(root))


def minutes(day: date, *, first: str = "09:30", count: int = 5, price: float = 100.0, volume: int = 10) -> pa.Table:
    """`count` minutes from `first` (New York), each a cent higher than the one before; volume `volume` a bar."""
    open_ns = new_york_ns(day, first)
    return table([open_ns + i * MINUTE_NS for i in range(count)], price=price, volume=volume)


def table(start_ns: Sequence[int], *, price: float = 100.0, volume: int = 10) -> pa.Table:
    """Flat bars with these stamps (UTC ns), each a cent higher than the one before."""
    prices = [round(price + i / 100, 2) for i in range(len(start_ns))]
    columns = {name: pa.array(prices, pa.float64()) for name in ("open", "high", "low", "close")}
    stamps = pa.array(start_ns, pa.int64()).cast(pa.timestamp("ns", tz="UTC")).cast(UTC_US)
    return pa.table({"timestamp": stamps, **columns, "volume": pa.array([volume] * len(prices), pa.int64())})


def named(symbol: str, bars: pa.Table) -> pa.Table:
    """The bars with a symbol column."""
    return bars.add_column(0, "symbol", pa.array([symbol] * len(bars), pa.string()))


def changed(bars: pa.Table, column: str, values: pa.Array) -> pa.Table:
    """The bars with one column replaced."""
    return bars.set_column(bars.column_names.index(column), column, values)


def write(path: Path, bars: pa.Table, **options: object) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(bars, path, **options)
    return path


def write_days(root: Path, symbol: str, *days: date, interval: str = "1m") -> None:
    """Good minutes of a symbol in the default layout."""
    for day in days:
        write(root / symbol / interval / f"{day}.parquet", minutes(day))


@dataclass(frozen=True)
class Outcome:
    """What became of a symbol: the codes and sentence it was stopped with, in Step 0 or on load, or its data."""

    codes: tuple[str, ...] = ()
    text: str = ""
    on_load: bool = False
    data: SymbolSessionData | None = None


def outcomes(
    source: DataSource,
    *symbols: str,
    day: date = TUESDAY,
    requirements: SymbolRequirements | None = None,
    context: SessionContext | None = None,
) -> dict[str, Outcome]:
    """Step 0 for all symbols in one call, then the load of those that passed, as a session would."""
    requirements = requirements or require("1m")
    context = context or context_for(requirements, day)
    results = DataManager((source,)).validate(symbols, requirements, context)
    found = {}
    for symbol, result in results.items():
        if not result.can_proceed:
            found[symbol] = Outcome(tuple(reason.code for reason in result.reasons), result.reason)
            continue
        assert result.base_interval is not None
        try:
            bars = source.read_bars(symbol, result.base_interval, context.loaded)
            command = _load_command(requirements, context, bars, base=str(result.base_interval), at_ns=context.close_ns)
            found[symbol] = Outcome(data=run(SymbolSession(symbol), command).snapshot())
        except BarrayError as error:
            found[symbol] = Outcome((error.code,), str(error), on_load=True)
    return found
