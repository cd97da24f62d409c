"""Ways in which a sample symbol's files can be wrong, so that people see what a session makes of bad data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from barray.market.errors import ConfigError, shorten

FAULTS: Mapping[str, str] = {
    "no_data": "nothing is written for the symbol",
    "no_history": "only the last session is there",
    "missing_session": "the last session is not there",
    "empty": "the last file has columns and no rows",
    "truncated": "the last file breaks off in the middle",
    "not_parquet": "the last file is text",
    "wrong_columns": "the last file calls close `last` and has no volume",
    "wrong_types": "the last file has its prices as text",
    "naive_stamps": "the last file's stamps have no time zone",
    "unsorted": "two rows of the last session are exchanged",
    "duplicate_stamps": "one row of the last session stands twice",
    "nan": "a close of the last session is NaN",
    "infinite": "a high of the last session is infinite",
    "high_below_low": "a high of the last session is below its low",
    "negative_volume": "a volume of the last session is negative",
    "negative_price": "a low of the last session is negative",
    "other_symbol": "the last file's symbol column names another symbol",
    "directory": "a directory stands where the last file should be",
    "one_bad_day": "the file of the middle session breaks off, the others are good",
}


def name_faults(broken: Mapping[str, str] | Sequence[str], *, shared_files: bool) -> dict[str, str]:
    """Fault by symbol. A mapping names the symbols; a sequence of faults gets a symbol each, such as `BAD_TRUNCATED`.

    ConfigError for an unknown fault, and for one that spoils a whole file where `shared_files` hold many symbols.
    """
    faults = dict(broken) if isinstance(broken, Mapping) else {f"BAD_{fault.upper()}": fault for fault in broken}
    for symbol, fault in faults.items():
        if fault not in FAULTS:
            raise ConfigError(
                f"{shorten(fault)!r} is not a fault", symbol=symbol, remedy=f"choose from {', '.join(FAULTS)}"
            )
        if shared_files and fault not in _DAYS and fault not in _ROWS:
            raise ConfigError(
                f"{fault} spoils a whole file, and here a file holds many symbols",
                symbol=symbol,
                remedy=f"use a layout with {{symbol}}, or one of {', '.join(map(str, [*_DAYS, *_ROWS]))}",
            )
    return faults


def days_written(fault: str | None, days: Sequence[date]) -> Sequence[date]:
    """Those of the sessions that a symbol with this fault has at all."""
    return _DAYS[fault](days) if fault in _DAYS else days


def fault_day(fault: str, days: Sequence[date]) -> date:
    """The session whose file the fault hits."""
    return days[len(days) // 2] if fault == "one_bad_day" else days[-1]


def spoil_table(fault: str, table: pa.Table, symbol: str) -> pa.Table:
    """The rows with the fault in them; unchanged where it is one of the file itself.

    ConfigError where the fault needs more rows than there are.
    """
    if fault in _ROWS:
        if table.num_rows < 2:
            raise ConfigError(
                f"{fault} needs two bars a file", symbol=symbol, remedy="use a finer interval or larger files"
            )
        return _ROWS[fault](table)
    match fault:
        case "empty":
            return table.slice(0, 0)
        case "wrong_columns":
            return table.rename_columns({"close": "last"}).drop_columns(["volume"])
        case "wrong_types":
            text = pa.schema(
                [field.with_type(pa.string()) if pa.types.is_floating(field.type) else field for field in table.schema]
            )
            return table.cast(text)
        case "naive_stamps":
            naive = table["timestamp"].cast(pa.timestamp("us"))
            return table.set_column(0, pa.field("timestamp", naive.type), naive)
        case "other_symbol":
            return table.append_column("symbol", pa.array(["OTHER" if symbol != "OTHER" else "ANOTHER"] * len(table)))
    return table


def spoil_file(fault: str, path: Path) -> None:
    """Spoil what was written at `path`, where the fault is one of the file itself."""
    match fault:
        case "truncated" | "one_bad_day":
            content = path.read_bytes()
            path.write_bytes(content[: len(content) * 3 // 5])
        case "not_parquet":
            path.write_text("timestamp,open,high,low,close,volume\nthis is no Parquet file\n", encoding="utf-8")
        case "directory":
            path.unlink()
            path.mkdir()


def _with_value(table: pa.Table, column: str, value: float) -> pa.Table:
    """The table with one value near its end replaced."""
    values = table[column].to_numpy().copy()
    values[_spoiled_row(table)] = value
    return table.set_column(table.column_names.index(column), table.schema.field(column), pa.array(values))


def _spoiled_row(table: pa.Table) -> int:
    """A row of the last session that is not its first or last bar, where there are enough."""
    return int(table.num_rows - min(30, (table.num_rows + 1) // 2))


def _exchanged(table: pa.Table) -> pa.Table:
    order = np.arange(table.num_rows)
    row = max(_spoiled_row(table), 1)
    order[[row - 1, row]] = order[[row, row - 1]]
    return table.take(order)


def _doubled(table: pa.Table) -> pa.Table:
    order = np.arange(table.num_rows)
    return table.take(np.insert(order, _spoiled_row(table), _spoiled_row(table)))


def _high_below_low(table: pa.Table) -> pa.Table:
    low: float = table["low"][_spoiled_row(table)].as_py()
    return _with_value(table, "high", round(low / 2, 2))


_DAYS: Mapping[str | None, Callable[[Sequence[date]], Sequence[date]]] = {
    "no_data": lambda days: [],
    "no_history": lambda days: days[-1:],
    "missing_session": lambda days: days[:-1],
}
_ROWS: Mapping[str, Callable[[pa.Table], pa.Table]] = {
    "unsorted": _exchanged,
    "duplicate_stamps": _doubled,
    "nan": lambda table: _with_value(table, "close", np.nan),
    "infinite": lambda table: _with_value(table, "high", np.inf),
    "high_below_low": _high_below_low,
    "negative_volume": lambda table: _with_value(table, "volume", -100),
    "negative_price": lambda table: _with_value(table, "low", -0.01),
}
