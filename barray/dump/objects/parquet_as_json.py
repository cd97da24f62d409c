"""A Parquet dump as the JSON dump would say it, so that both are checked the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet

from barray.dump.digest import dumps
from barray.dump.objects.parquet import digest_of, header_of, read_tables, symbols_of
from barray.dump.readers.json import DumpText, UnreadableDump
from barray.dump.schema import SCHEMA
from barray.dump.violations import Findings, Violation
from barray.dump.writers.further_tables import further_tables
from barray.dump.writers.json import symbol_json
from barray.dump.writers.parquet import TABLES_KEY
from barray.market.bars import format_ns
from barray.market.errors import BarrayError
from barray.market.symbol_data import SymbolSessionData

_UNMEANT = (BarrayError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What names, numbers and nulls raise that no dump has."""


def parquet_as_json(folder: Path, max_rows: int, out: Findings) -> DumpText:
    """Header and symbols; a digest that is not the tables' goes to `out`.

    UnreadableDump where there are no three tables of a dump.
    """
    try:
        tables = read_tables(folder, max_rows)
        found = header_of(tables)
        if found is None:
            raise UnreadableDump(Violation("symbols.parquet", "schema", "no header", f"that of {SCHEMA}"))
        header = orjson.loads(found[0])
        symbols = symbols_of(tables)
    except _UNMEANT as error:
        raise UnreadableDump(Violation("file", "unreadable", str(error), "the tables of a dump")) from error
    if not isinstance(header, dict):
        raise UnreadableDump(Violation("symbols.parquet", "schema", "a header that is no object", "a header"))
    total = digest_of(tables, found[0])
    if found[1] != total:
        out.add("digest", "digest", found[1], f"{total}, computed from all that the tables hold")
    _check_further(folder, header, tables["symbols.parquet"].schema.metadata, out)
    return DumpText({**header, "digest": total}, _laid_out(symbols))


def _check_further(folder: Path, header: dict[str, Any], metadata: dict[bytes, bytes], out: Findings) -> None:
    """The tables of what a strategy did and scans found say what the header says; older dumps have none."""
    named = metadata.get(TABLES_KEY)
    if named is None:
        return
    try:
        expected = further_tables(header)
    except _UNMEANT:  # the header's own check says what is wrong with it
        return
    if (text := ",".join(expected)) != named.decode("utf-8", "replace"):
        out.add("symbols.parquet", "tables", named.decode("utf-8", "replace"), text)
    for name, table in expected.items():
        try:
            found = pa.parquet.read_table(folder / name)
        except (OSError, pa.ArrowException) as error:
            out.add(name, "unreadable", " ".join(str(error).split()), "a table of the dump")
            continue
        if not found.schema.equals(table.schema):
            out.add(name, "schema", ", ".join(found.schema.names), ", ".join(table.schema.names))
        elif not found.equals(table):
            out.tree(_rows(found), _rows(table), name, "table")


def _rows(table: Any) -> list[dict[str, Any]]:
    """As Python values, stamps as texts."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            stamps = [
                None if one is None else format_ns(one) for one in table.column(place).cast(pa.int64()).to_pylist()
            ]
            table = table.set_column(place, field.name, pa.array(stamps, pa.string()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _laid_out(symbols: dict[str, SymbolSessionData]) -> Iterator[tuple[str, Any]]:
    for name, data in symbols.items():
        try:
            entry = orjson.loads(dumps(symbol_json(data)))
        except _UNMEANT as error:
            place, expected = f"symbols.{name}", "a symbol as a dump has it"
            raise UnreadableDump(Violation(place, "unreadable", str(error), expected)) from error
        yield name, entry
