"""A Parquet dump as the JSON dump would say it, so that both are checked the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from barray.dump.digest import dumps
from barray.dump.objects.parquet import digest_of, header_of, read_tables, symbols_of
from barray.dump.readers.json import DumpText, UnreadableDump
from barray.dump.schema import SCHEMA
from barray.dump.violations import Findings, Violation
from barray.dump.writers.json import symbol_json
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
    return DumpText({**header, "digest": total}, _laid_out(symbols))


def _laid_out(symbols: dict[str, SymbolSessionData]) -> Iterator[tuple[str, Any]]:
    for name, data in symbols.items():
        try:
            entry = orjson.loads(dumps(symbol_json(data)))
        except _UNMEANT as error:
            place, expected = f"symbols.{name}", "a symbol as a dump has it"
            raise UnreadableDump(Violation(place, "unreadable", str(error), expected)) from error
        yield name, entry
