"""A CSV dump's columns as a table a symbol, and its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from barray.dump.checks.schema import bad_stamps, parse_stamps
from barray.dump.readers.csv import SymbolColumns, read_csv
from barray.dump.violations import Findings
from barray.market.bars import IntArray
from barray.market.symbol_data import SymbolSessionData
from barray.market.table import Table, floats_known, stamps


def read_csv_dump(path: Path, out: Findings) -> tuple[dict[str, SymbolSessionData], dict[str, Table]]:
    """Symbols with their metadata, and a table each: `timestamp`, the five values of a bar, indicators by their key,
    `quality`, all null where the symbol has none. What is wrong goes to `out`; UnreadableDump where it is no table.
    """
    names, blocks, cells = read_csv(path, out)
    texts: list[str] = cells[0].to_pylist()
    starts = parse_stamps(texts)
    if starts is None:
        bad_stamps(texts, lambda row: f"timestamp[line {row + 2}]", out)
    if starts is None or len(out):
        return {}, {}
    symbols = {block.symbol: _metadata(block, cells) for block in blocks}
    tables = {block.symbol: _table(block, names, cells, starts, out) for block in blocks}
    return symbols, tables


def _table(block: SymbolColumns, names: list[str], cells: list[Any], starts: IntArray, out: Findings) -> Table:
    columns = {"timestamp": stamps(starts)}
    for place in range(block.first, block.quality + 1):
        name = names[place].removeprefix(f"{block.symbol}_")
        columns[name] = floats_known(_floats(names[place], cells[place], out))
    return Table(columns)


def _floats(name: str, texts: Any, out: Findings) -> NDArray[np.float64]:
    """float64 (n,), NaN where the cell is empty."""
    numbers = pa.compute.if_else(pa.compute.equal(texts, ""), None, texts)
    try:
        values: NDArray[np.float64] = numbers.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as error:
        out.add(name, "not_a_number", str(error), "a number")
        return np.full(len(texts), np.nan)
    return values


def _metadata(block: SymbolColumns, cells: list[Any]) -> SymbolSessionData:
    """As the first row has it; the defaults where there is no row."""
    found = [cells[place][0].as_py() for place in range(block.quality + 1, block.last)] if len(cells[0]) else []
    if not found:
        return SymbolSessionData(symbol=block.symbol)
    meets, added_by, auto = found
    return SymbolSessionData(
        symbol=block.symbol,
        meets_session_config_requirements=meets == "true",
        added_by=added_by,
        auto_provisioned=auto == "true",
    )
