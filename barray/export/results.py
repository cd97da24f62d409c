"""A backtest's trades, orders, equity and figures as Parquet, CSV and JSON, for whoever goes on in a data frame.

| file | holds |
|---|---|
| `trades.parquet`, `trades.csv`, `trades.json` | all symbols' trades: by symbol, then entry |
| `orders.parquet`, `orders.csv`, `orders.json` | all orders, what became of each and why; ResultTables.orders |
| `fills.parquet`, `fills.csv`, `fills.json` | their fills: by symbol, then time |
| `equity.parquet`, `equity.csv`, `equity.json` | the account: `timestamp`, `session`, `equity` |
| `exposure.parquet`, `exposure.csv`, `exposure.json` | gross, net, positions, cash, leverage; ResultTables.exposure |
| `events.parquet`, `events.csv`, `events.json` | what the strategy added or removed, and hits of limits |
| `equity_by_symbol.parquet` | long: `symbol`, `timestamp`, `equity`, `exposure`, negative short; by symbol, then time |
| `summary.json` | statistics in total and by symbol, parameters, settings, what was dropped, skipped, refused, raised |

`summary.json` also counts orders by what they came to, and has the events, and how each symbol came into the run.

Stamps are UTC. Trades carry the starts of the bars they were filled in; `exit_time` is null while one is open, and
`exit_price` then the last close. Equity stands at the ends of bars. In JSON, null is what has no value, NaN and ∞ too;
trades are rows there, and the other tables columns by name.
Long and not wide, as a symbol may be called `timestamp`, and as a column a symbol is slow to write from a thousand on.

The same result gives the same bytes, whatever was measured while it was made: no timings, no wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from barray.data_sources.atomic_folder import replacing_folder
from barray.dump.files import FORMATS
from barray.market.arrow_arrays import arrow_numbers, arrow_texts
from barray.market.bars import IntArray, format_ns
from barray.market.errors import ConfigError
from barray.market.interval import NS_PER_SECOND
from barray.market.symbol_data import Lineage
from barray.market.table import Column, Table
from barray.trading.orders.order_columns import STATUSES
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.events import RunEvent
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import SymbolResult

SCHEMA = "barray.backtest/1"
_TABLES = ("trades", "orders", "fills", "equity", "exposure", "events")
FILES = {
    "parquet": (*(f"{name}.parquet" for name in _TABLES), "equity_by_symbol.parquet"),
    "csv": tuple(f"{name}.csv" for name in _TABLES),
    "json": (*(f"{name}.json" for name in _TABLES), "summary.json"),
}
_ROWS_A_GROUP = 262_144
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_result(
    result: BacktestResult,
    directory: str | Path,
    formats: Sequence[str] = ("parquet", "json", "csv"),
) -> list[Path]:
    """Write the files of `formats` into `directory`, made if it is not there, all or none; their paths.

    ConfigError for an unknown format, and where nothing can be written; then what stood there is untouched.
    """
    if unknown := [entry for entry in formats if entry not in FORMATS]:
        raise ConfigError(f"{unknown[0]!r} is no export format", remedy=f"choose from {', '.join(FORMATS)}")
    with replacing_folder(Path(directory), table_names(formats)) as draft:
        write_tables(result, draft, formats)
    return [Path(directory) / name for name in table_names(formats)]


def table_names(formats: Sequence[str]) -> list[str]:
    """Names of the files of `formats`, in the order they are written."""
    return [name for entry in FILES for name in FILES[entry] if entry in formats]


def write_tables(result: BacktestResult, folder: Path, formats: Sequence[str]) -> None:
    """Write the files of `formats` into a folder that is there. OSError where that fails: some are then there."""
    with ThreadPoolExecutor(1) as beside:
        largest = None
        if "parquet" in formats:
            largest = beside.submit(_write_by_symbol, folder / "equity_by_symbol.parquet", result)
        _write_others(result, folder, formats)
        if largest is not None:
            largest.result()


def _write_others(result: BacktestResult, folder: Path, formats: Sequence[str]) -> None:
    tables = _tables(result)
    if {"parquet", "csv"} & set(formats):
        for name, table in tables.items():
            written = table.to_arrow()
            if "parquet" in formats:
                _write_parquet(folder / f"{name}.parquet", written)
            if "csv" in formats:
                _write_csv(folder / f"{name}.csv", written)
    if "json" in formats:
        (folder / "trades.json").write_bytes(_rows_json(tables["trades"]))
        for name in _TABLES[1:]:
            _write_json(folder / f"{name}.json", _columns_json(tables[name]))
        _write_json(folder / "summary.json", summary(result, result.tables.numbers), orjson.OPT_INDENT_2)


def _tables(result: BacktestResult) -> dict[str, Table]:
    """What is written, by name."""
    left_out = {"trades": "return_pct", "equity": "drawdown_pct"}
    return {name: getattr(result.tables, name).without(left_out.get(name, "")) for name in _TABLES}


def summary(result: BacktestResult, numbers: ResultNumbers) -> dict[str, Any]:
    """What `summary.json` holds."""
    return {
        "schema": SCHEMA,
        "name": result.name,
        "strategy": result.strategy,
        "source": result.source,
        "form": result.form,
        "parameters": dict(result.parameters),
        "settings": dict(result.settings),
        "calendar": result.calendar,
        "timezone": result.timezone,
        "base_interval": result.base_interval,
        "dates": list(result.dates),
        "shared": result.shared,
        "capital": result.capital,
        "error": result.error,
        "statistics": numbers.total.as_dict(),
        "monthly_returns_pct": dict(numbers.months),
        "dropped": {symbol: list(reasons) for symbol, reasons in result.dropped.items()},
        **({"degraded": list(result.lost)} if result.degraded else {}),
        "orders": order_counts(result.symbols.values()),
        "events": [event_json(event) for event in result.events.lines],
        "symbols": {part.symbol: _symbol(part, numbers) for part in result.symbols.values()},
    }


def event_json(event: RunEvent) -> dict[str, Any]:
    """An event in JSON types."""
    said = asdict(event)
    return {"at": format_ns(said.pop("at_ns")), **said}


def order_counts(parts: Iterable[SymbolResult]) -> dict[str, int]:
    """How many orders came to what, by status; those that none came to are left out."""
    counts = sum((np.bincount(part.orders.status, minlength=len(STATUSES)) for part in parts), np.zeros(len(STATUSES)))
    return {status: int(count) for status, count in zip(STATUSES, counts, strict=True) if count}


def _symbol(part: SymbolResult, numbers: ResultNumbers) -> dict[str, Any]:
    return {
        "capital": part.capital,
        "statistics": numbers.symbols[part.symbol].as_dict(),
        "cash": part.cash,
        "position": part.position,
        "last_price": part.last_price,
        "bars": part.bars,
        "skipped": dict(part.skipped),
        "error": part.error,
        "error_at": format_ns(part.error_ns) if part.error_ns is not None else None,
        "refused": [
            {"bar": format_ns(entry.bar_ns), "quantity": entry.quantity, "code": entry.code, "reason": entry.reason}
            for entry in part.refusals
        ],
        "metadata": part.metadata.metadata_dict(),
        "lineage": _lineage(part.lineage) if part.lineage else None,
        **({"daily": _lineage(part.daily)} if part.daily else {}),
        **({"sources": [_lineage(one) for one in part.sources]} if part.sources else {}),
        **({"warnings": [str(warning) for warning in part.warnings]} if part.warnings else {}),
    }


def _lineage(lineage: Lineage) -> dict[str, Any]:
    return {
        "source": lineage.source,
        **({"dataset": lineage.dataset} if lineage.dataset else {}),
        "interval": str(lineage.interval),
        "first": format_ns(lineage.first_ns) if lineage.first_ns is not None else None,
        "last": format_ns(lineage.last_ns) if lineage.last_ns is not None else None,
        "bars": lineage.bars,
    }


def _names(parts: Sequence[SymbolResult], counts: Sequence[int]) -> Any:
    import pyarrow as pa

    rows = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    return pa.DictionaryArray.from_arrays(arrow_numbers(rows), arrow_texts([part.symbol for part in parts]))


def _stamps(stamps_ns: IntArray) -> Any:
    import pyarrow as pa

    return arrow_numbers(stamps_ns).cast(pa.timestamp("ns", "UTC"))


def _write_parquet(path: Path, table: Any) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path, compression="zstd")


def _write_by_symbol(path: Path, result: BacktestResult) -> None:
    """Many symbols a row group, gathered as they come: never all in memory twice."""
    import pyarrow as pa
    import pyarrow.parquet

    parts, grid = list(result.symbols.values()), len(result.grid_ns)
    together = max(1, _ROWS_A_GROUP // max(1, grid))
    names = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        {"symbol": names, "timestamp": pa.timestamp("ns", "UTC"), "equity": pa.float64(), "exposure": pa.float64()}
    )
    # stamps repeat from symbol to symbol and steps are even: as differences they take no room
    options: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": ["symbol"],
        "column_encoding": {"timestamp": "DELTA_BINARY_PACKED"},
    }
    with pyarrow.parquet.ParquetWriter(path, schema, **options) as file:
        for first in range(0, len(parts), together):
            group = parts[first : first + together]
            columns = [
                _names(group, [grid] * len(group)),
                _stamps(np.tile(result.grid_ns, len(group))),
                arrow_numbers(np.concatenate([part.equity for part in group])),
                arrow_numbers(np.concatenate([part.exposure for part in group])),
            ]
            file.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=grid * len(group) or None)


def _write_csv(path: Path, table: Any) -> None:
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.csv

    for place, column in enumerate(table.schema):
        values = table.column(place)
        if pa.types.is_timestamp(column.type):
            values = pa.compute.strftime(values.cast(pa.timestamp("s", "UTC")), format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_dictionary(column.type):
            values = values.cast(pa.string())
        table = table.set_column(place, column.name, values)
    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _rows_json(table: Table) -> bytes:
    """An array, one row a line. Columns are encoded whole and their values dealt out, which takes a quarter of the
    time that a dict a row does.
    """
    columns = [_values_json(column) for column in table.columns.values()]
    row = b",".join(b"%b:%%b" % orjson.dumps(name).replace(b"%", b"%%") for name in table.columns)
    return b"[\n" + b",\n".join(map((b"{%b}" % row).__mod__, zip(*columns, strict=True))) + b"\n]\n"


def _values_json(column: Column) -> list[bytes]:
    """Each value of a column, in JSON. Numbers and stamps hold no comma."""
    if column.kind == "text" and column.unknown is None:
        labels = [orjson.dumps(label) for label in column.labels]
        return [labels[code] for code in column.values.tolist()]
    values = _column_json(column)
    if column.kind == "text":
        return [orjson.dumps(value) for value in values]
    return orjson.dumps(values, option=_JSON)[1:-1].split(b",") if len(values) else []


def _texts(stamps_ns: IntArray) -> list[str | None]:
    texts = np.datetime_as_string((stamps_ns // NS_PER_SECOND).astype("datetime64[s]"))
    return [None if stamp < 0 else f"{text}Z" for stamp, text in zip(stamps_ns.tolist(), texts.tolist(), strict=True)]


def _columns_json(table: Table) -> dict[str, Any]:
    """A table's columns by name, in what JSON knows."""
    return {name: _column_json(column) for name, column in table.columns.items()}


def _column_json(column: Column) -> Any:
    values: Any = column.values
    match column.kind:
        case "stamp":
            values = _texts(values)
        case "day":
            values = np.datetime_as_string(values.astype("datetime64[D]")).tolist()
        case "text":
            labels = column.labels or ("",)  # of texts that are all unknown
            values = [labels[code] for code in values.tolist()]
    if column.unknown is None:
        return values
    if column.kind == "number" and values.dtype.kind == "f":
        return np.where(column.unknown, np.nan, values)  # which JSON has null for, too
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    return [None if unknown else value for value, unknown in zip(listed, column.unknown.tolist(), strict=True)]


def _write_json(path: Path, content: dict[str, Any], options: int = 0) -> None:
    path.write_bytes(orjson.dumps(content, option=_JSON | options) + b"\n")
