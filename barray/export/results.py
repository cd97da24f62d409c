"""A backtest's trades, equity and figures as Parquet, CSV and JSON, for whoever goes on in a data frame.

| file | holds |
|---|---|
| `trades.parquet`, `trades.csv`, `trades.json` | all symbols' trades: by symbol, then entry |
| `equity.parquet`, `equity.csv`, `equity.json` | the account: `timestamp`, `session`, `equity` |
| `equity_by_symbol.parquet` | long: `symbol`, `timestamp`, `equity`, `exposure`; by symbol, then time |
| `summary.json` | statistics in total and by symbol, parameters, settings, what was dropped, skipped, refused, raised |

Stamps are UTC. Trades carry the starts of the bars they were filled in; `exit_time` is null while one is open, and
`exit_price` then the last close. Equity stands at the ends of bars. In JSON, null is what has no value, NaN and ∞ too.
Long and not wide, as a symbol may be called `timestamp`, and as a column a symbol is slow to write from a thousand on.

The same result gives the same bytes, whatever was measured while it was made: no timings, no wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import SymbolResult
from barray.trading.results.tables import TRADE_VALUES

SCHEMA = "barray.backtest/1"
FILES = {
    "parquet": ("trades.parquet", "equity.parquet", "equity_by_symbol.parquet"),
    "csv": ("trades.csv", "equity.csv"),
    "json": ("trades.json", "equity.json", "summary.json"),
}
_ROWS_A_GROUP = 262_144
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_result(
    result: BacktestResult,
    directory: str | Path,
    formats: Sequence[str] = ("parquet", "json", "csv"),
    numbers: ResultNumbers | None = None,
) -> list[Path]:
    """Write the files of `formats` into `directory`, made if it is not there, all or none; their paths.

    `numbers`: `ResultNumbers.of(result)`, where they are at hand already. ConfigError for an unknown format, and where
    nothing can be written; then what stood there is untouched.
    """
    if unknown := [entry for entry in formats if entry not in FORMATS]:
        raise ConfigError(f"{unknown[0]!r} is no export format", remedy=f"choose from {', '.join(FORMATS)}")
    with replacing_folder(Path(directory), table_names(formats)) as draft:
        write_tables(result, draft, formats, numbers)
    return [Path(directory) / name for name in table_names(formats)]


def table_names(formats: Sequence[str]) -> list[str]:
    """Names of the files of `formats`, in the order they are written."""
    return [name for entry in FILES for name in FILES[entry] if entry in formats]


def write_tables(
    result: BacktestResult, folder: Path, formats: Sequence[str], numbers: ResultNumbers | None = None
) -> None:
    """Write the files of `formats` into a folder that is there. OSError where that fails: some are then there."""
    trades, equity = (_trades(result), _equity(result)) if {"parquet", "csv"} & set(formats) else (None, None)
    if "parquet" in formats:
        _write_parquet(folder / "trades.parquet", trades)
        _write_parquet(folder / "equity.parquet", equity)
        _write_by_symbol(folder / "equity_by_symbol.parquet", result)
    if "csv" in formats:
        _write_csv(folder / "trades.csv", trades)
        _write_csv(folder / "equity.csv", equity)
    if "json" in formats:
        figures = numbers or ResultNumbers.of(result)
        _write_trades_json(folder / "trades.json", result)
        _write_json(folder / "equity.json", _equity_json(result))
        _write_json(folder / "summary.json", summary(result, figures), orjson.OPT_INDENT_2)


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
        "symbols": {part.symbol: _symbol(part, numbers) for part in result.symbols.values()},
    }


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
            {"bar": format_ns(entry.bar_ns), "quantity": entry.quantity, "reason": entry.reason}
            for entry in part.refusals
        ],
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


def _trades(result: BacktestResult) -> Any:
    return result.tables.trades.without("return_pct").to_arrow()


def _equity(result: BacktestResult) -> Any:
    return result.tables.equity.without("drawdown_pct").to_arrow()


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


def _write_trades_json(path: Path, result: BacktestResult) -> None:
    """An array, one trade a line."""
    rows = (
        {
            "symbol": part.symbol,
            "entry_time": entry,
            "exit_time": leave,
            **{name: row[name] for name in (*TRADE_VALUES, "bars")},
        }
        for part in result.symbols.values()
        for entry, leave, row in zip(
            _texts(part.trades.entry_ns), _texts(part.trades.exit_ns), part.trades.rows(), strict=True
        )
    )
    path.write_bytes(b"[\n" + b",\n".join(orjson.dumps(row) for row in rows) + b"\n]\n")


def _texts(stamps_ns: IntArray) -> list[str | None]:
    texts = np.datetime_as_string((stamps_ns // NS_PER_SECOND).astype("datetime64[s]"))
    return [None if stamp < 0 else f"{text}Z" for stamp, text in zip(stamps_ns.tolist(), texts.tolist(), strict=True)]


def _equity_json(result: BacktestResult) -> dict[str, Any]:
    sessions = [result.dates[row] for row in result.grid_session.tolist()]
    return {"timestamp": _texts(result.grid_ns), "session": sessions, "equity": result.account_equity}


def _write_json(path: Path, content: dict[str, Any], options: int = 0) -> None:
    path.write_bytes(orjson.dumps(content, option=_JSON | options) + b"\n")
