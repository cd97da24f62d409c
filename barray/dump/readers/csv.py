"""Reads a CSV dump: its header as blocks of columns, its cells as text."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from barray.dump.readers.json import UnreadableDump
from barray.dump.violations import Findings, Violation
from barray.dump.writers.csv import FILE_COLUMNS, METADATA_COLUMNS
from barray.market.bars import COLUMNS
from barray.market.errors import BarrayError
from barray.market.indicators import parse_indicator
from barray.market.symbols import symbol_problem


@dataclass(frozen=True)
class SymbolColumns:
    """Where a symbol's columns stand in the file; `indicators` from `first + 5` to before `quality`."""

    symbol: str
    first: int
    last: int

    @property
    def indicators(self) -> range:
        """Positions of the indicator columns."""
        return range(self.first + len(COLUMNS), self.quality)

    @property
    def quality(self) -> int:
        """Position of the quality column."""
        return self.last - len(METADATA_COLUMNS) - 1


def read_csv(path: Path, out: Findings) -> tuple[list[str], list[SymbolColumns], list[Any]]:
    """Names of the columns, the symbols' blocks, and the text cells of each column (Arrow arrays of one length).

    The last columns are those of the file as a whole, but for a file of the first layout.
    Columns and lines that don't fit go to `out`; UnreadableDump where the file is no table at all.
    """
    data = _read(path)
    names = _header(data)
    return names, _layout(names, out), _cells(data, len(names), out)


def _read(path: Path) -> bytes:
    """The file, ASCII throughout as symbols and indicator keys are."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableDump(
            Violation("file", "unreadable", error.strerror or str(error), "a readable file")
        ) from error
    if not data.isascii():
        at = next(nth for nth, byte in enumerate(data) if byte > 127)
        line = data.count(b"\n", 0, at) + 1
        raise UnreadableDump(Violation(f"line {line}", "not_csv", f"byte {data[at]:#x}", "ASCII text"))
    return data


def _header(data: bytes) -> list[str]:
    try:
        header = next(csv.reader([data.partition(b"\n")[0].decode("ascii")], strict=True), None)
    except csv.Error as error:
        raise UnreadableDump(Violation("line 1", "not_csv", str(error), "a header")) from error
    if not header:
        raise UnreadableDump(Violation("line 1", "not_csv", "an empty line", "a header"))
    return header


def _layout(names: list[str], out: Findings) -> list[SymbolColumns]:
    """The blocks of columns; the first column that doesn't fit is named, and ends the reading."""
    if names[0] != "timestamp":
        out.add("line 1, column 1", "header", names[0], "timestamp")
        return []
    blocks: list[SymbolColumns] = []
    at, end = 1, len(names) - len(FILE_COLUMNS) if says_what_it_is(names) else len(names)
    while at < end:
        symbol = names[at].removesuffix("_open")
        last = _block_end(names, at, symbol, out)
        if last is None:
            return blocks
        blocks.append(SymbolColumns(symbol, at, last))
        at = last
    out.in_order([block.symbol for block in blocks], "line 1")
    for block in blocks:
        if problem := symbol_problem(block.symbol):
            out.add(f"line 1, column {block.first + 1}", "bad_symbol", block.symbol, problem)
        for column in block.indicators:
            _check_key(names[column].removeprefix(f"{block.symbol}_"), column, out)
    return blocks


def says_what_it_is(names: list[str]) -> bool:
    """Whether the file has the columns that say what it is, FILE_COLUMNS of the writer; those of the first don't."""
    return tuple(names[-len(FILE_COLUMNS) :]) == FILE_COLUMNS


def _block_end(names: list[str], at: int, symbol: str, out: Findings) -> int | None:
    wanted = [f"{symbol}_{name}" for name in COLUMNS]
    end = at + len(wanted)
    while end < len(names) and names[end] != f"{symbol}_quality" and names[end].startswith(f"{symbol}_"):
        wanted.append(names[end])
        end += 1
    wanted += [f"{symbol}_{name}" for name in ("quality", *METADATA_COLUMNS)]
    found = names[at : at + len(wanted)]
    if found == wanted:
        return at + len(wanted)
    nth = next((nth for nth, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), len(found))
    out.add(f"line 1, column {at + nth + 1}", "header", found[nth] if nth < len(found) else "nothing", wanted[nth])
    return None


def _check_key(key: str, column: int, out: Findings) -> None:
    """The rest of an indicator column's name is a key, with `.output` after it where there are several."""
    shorthand, _, tail = key.rpartition("@")
    interval = tail.partition(".")[0]
    try:
        spec = parse_indicator(f"{shorthand}@{interval}")
        names = [spec.key] if len(spec.outputs) == 1 else [f"{spec.key}.{name}" for name in spec.outputs]
    except BarrayError:
        names = []
    if key not in names:
        out.add(f"line 1, column {column + 1}", "header", key, " or ".join(names) or "the key of an indicator")


def _cells(data: bytes, width: int, out: Findings) -> list[Any]:
    """All cells as text, by column. Lines with another number of cells are named and left out."""
    wrong: list[tuple[int, int]] = []

    def skip(row: Any) -> str:
        wrong.append((row.number, row.actual_columns))
        return "skip"

    names = [str(nth) for nth in range(width)]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            # rows of thousands of symbols are long: one must not straddle two blocks
            pa.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1, block_size=2**30),
            pa.csv.ParseOptions(invalid_row_handler=skip, ignore_empty_lines=False),
            pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return [pa.array([], pa.string())] * width
        raise UnreadableDump(Violation("file", "not_csv", str(error), "a table")) from error
    out.each(
        list(range(len(wrong))),
        lambda nth: f"line {wrong[nth][0]}",
        "length",
        lambda nth: f"{wrong[nth][1]} cells",
        lambda _: f"{width}, as in the header",
    )
    return [column.combine_chunks() for column in table.columns]
