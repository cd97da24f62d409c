"""A session as three long Parquet tables, for whoever goes on in a data frame.

- `bars.parquet`: symbol, interval, timestamp (start, ns UTC), open, high, low, close, volume, end, expected, actual,
  complete, history (closed before the session opened), adhoc (added by hand);
- `indicators.parquet`: symbol, key, output, timestamp (of the bar), value (null before warm-up);
- `symbols.parquet`: a row a symbol with metadata, lineage, and quality by interval (of the session, of the history);
  `intervals` and `indicators` that it has, those without rows too; `adhoc_indicators` and the overruled `conflicts`.
  The file's metadata hold, as `barray:header`, the header of the JSON dump, and as `barray:digest` SHA-256 over that
  header and the three tables (see `barray.dump.digest`).

Where a strategy traded, or scans looked for symbols, further tables have what they did: see
`barray.dump.writers.further_tables`; `barray:tables` in the same metadata names them.

Rows are ordered by symbol, interval (finest first) and time. Unlike JSON, all rows are written, of derived bars too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet

from barray.coordinator.summary import SessionSummary
from barray.data_sources.atomic_folder import replacing_folder
from barray.dump.digest import SORTED, TableDigest, digest_of_tables, dumps
from barray.dump.writers.further_tables import NAMES, further_tables
from barray.dump.writers.json import bar_json, header_json, in_order, reason_json
from barray.market.bars import COLUMNS, IntArray
from barray.market.quality import Quality
from barray.market.symbol_data import AdhocConflict, Lineage, SymbolSessionData

_STAMP = pa.timestamp("ns", "UTC")
_QUALITY = pa.list_(
    pa.struct(
        {
            "interval": pa.string(),
            "share": pa.float64(),
            "expected": pa.int64(),
            "actual": pa.int64(),
            "gaps": pa.list_(pa.struct({"start": _STAMP, "end": _STAMP, "missing": pa.int64()})),
        }
    )
)
_BAR = pa.struct(dict.fromkeys(COLUMNS, pa.float64()))
_CONFLICT = pa.struct({"interval": pa.string(), "timestamp": _STAMP, "adhoc": _BAR, "record": _BAR})
_REASON = pa.struct(dict.fromkeys(("code", "message", "remedy", "source"), pa.string()))
BARS_SCHEMA = pa.schema(
    {
        "symbol": pa.string(),
        "interval": pa.string(),
        "timestamp": _STAMP,
        **dict.fromkeys(COLUMNS, pa.float64()),
        "end": _STAMP,
        "expected": pa.int32(),
        "actual": pa.int32(),
        **dict.fromkeys(("complete", "history", "adhoc"), pa.bool_()),
    }
)
INDICATORS_SCHEMA = pa.schema(
    {"symbol": pa.string(), "key": pa.string(), "output": pa.string(), "timestamp": _STAMP, "value": pa.float64()}
)
SYMBOLS_SCHEMA = pa.schema(
    {
        "symbol": pa.string(),
        "meets_session_config_requirements": pa.bool_(),
        "added_by": pa.string(),
        "auto_provisioned": pa.bool_(),
        "added_at": _STAMP,
        "added_mid_session": pa.bool_(),
        "provisioned_reason": pa.string(),
        "upgraded_from_adhoc": pa.bool_(),
        "base_interval": pa.string(),
        "lineage_source": pa.string(),
        "lineage_dataset": pa.string(),
        "lineage_interval": pa.string(),
        "lineage_first": _STAMP,
        "lineage_last": _STAMP,
        "lineage_bars": pa.int64(),
        "quality": _QUALITY,
        "history_quality": _QUALITY,
        **dict.fromkeys(("intervals", "indicators", "adhoc_indicators"), pa.list_(pa.string())),
        "conflicts": pa.list_(_CONFLICT),
        "warnings": pa.list_(_REASON),
    }
)
_DAILY = pa.field(
    "daily_lineage",
    pa.struct(
        {
            **dict.fromkeys(("source", "dataset"), pa.string()),
            **dict.fromkeys(("first", "last"), _STAMP),
            "bars": pa.int64(),
        }
    ),
)
SYMBOLS_SCHEMA_DAILY = SYMBOLS_SCHEMA.append(_DAILY)
"""Of sessions in which a source gives daily bars of the sessions before those with base bars."""
_SINCE_2 = ("lineage_dataset", "intervals", "indicators", "adhoc_indicators", "conflicts", "warnings")
SYMBOLS_SCHEMA_1 = pa.schema([field for field in SYMBOLS_SCHEMA if field.name not in _SINCE_2])
"""Of dumps without a header."""
TABLES = {"bars.parquet": BARS_SCHEMA, "indicators.parquet": INDICATORS_SCHEMA, "symbols.parquet": SYMBOLS_SCHEMA}
HEADER_KEY, DIGEST_KEY, TABLES_KEY = b"barray:header", b"barray:digest", b"barray:tables"
_ROWS_A_GROUP = 262_144


class _Writer:
    """Gathers small tables into row groups of a useful size."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._file = pa.parquet.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self.digest = TableDigest(schema)
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, table: Any) -> None:
        self.digest.add(table)
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= _ROWS_A_GROUP:
            self._flush()

    def describe(self, metadata: dict[bytes, bytes]) -> None:
        """Put this into the file's metadata."""
        self._file.add_key_value_metadata(metadata)

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.concat_tables(self._waiting).combine_chunks(), row_group_size=self._rows)
        self._waiting, self._rows = [], 0


def write_parquet(directory: str | Path, summary: SessionSummary, symbols: Iterable[SymbolSessionData]) -> Path:
    """Write the tables into `directory` (made if it is not there) and give it.

    `symbols` come sorted by name, each standing at `summary.now_ns`; ValueError otherwise. ConfigError where
    `directory` cannot be written; all files are replaced at the end, or none.
    """
    folder = Path(directory)
    header = dumps(header_json(summary), SORTED)
    schemas = TABLES | ({"symbols.parquet": SYMBOLS_SCHEMA_DAILY} if summary.daily_first else {})
    with replacing_folder(folder, (*TABLES, *NAMES)) as draft, ExitStack() as files:
        bars, indicators, rows = (_open(draft / name, schema, files) for name, schema in schemas.items())
        for data in in_order(symbols, summary.now_ns):
            for table in _bars(data):
                bars.write(table)
            for table in _indicators(data):
                indicators.write(table)
            rows.write(pa.Table.from_pylist([_symbol(data)], schemas["symbols.parquet"]))
        digest = digest_of_tables(header, [one.digest for one in (bars, indicators, rows)])
        further = further_tables(orjson.loads(header))
        for name, table in further.items():
            pa.parquet.write_table(table, draft / name, compression="zstd")
        named = {TABLES_KEY: ",".join(further).encode()} if further else {}
        rows.describe({HEADER_KEY: header, DIGEST_KEY: digest.encode(), **named})
    return folder


def _open(path: Path, schema: Any, files: ExitStack) -> _Writer:
    writer = _Writer(path, schema)
    files.callback(writer.close)
    return writer


def _bars(data: SymbolSessionData) -> Iterator[Any]:
    for name, series in data.bars.items():
        rows = len(series)
        columns = [
            pa.repeat(data.symbol, rows),
            pa.repeat(name, rows),
            _stamps(series.bars.start_ns),
            *(getattr(series.bars, column) for column in COLUMNS),
            _stamps(series.end_ns),
            series.expected,
            series.actual,
            series.complete,
            np.arange(rows) < series.history,
            np.isin(series.bars.start_ns, data.adhoc_bars.get(name, ())),
        ]
        yield pa.Table.from_arrays([pa.array(column) for column in columns], schema=BARS_SCHEMA)


def _indicators(data: SymbolSessionData) -> Iterator[Any]:
    ordered = sorted(data.indicators.items(), key=lambda entry: (entry[1].spec.interval.ns, entry[0]))
    for key, indicator in ordered:
        stamps = _stamps(data.bars[str(indicator.spec.interval)].bars.start_ns)
        for output, values in indicator.values.items():
            named = (pa.repeat(text, len(values)) for text in (data.symbol, key, output))
            yield pa.Table.from_arrays([*named, stamps, pa.array(values, from_pandas=True)], schema=INDICATORS_SCHEMA)


def _symbol(data: SymbolSessionData) -> dict[str, Any]:
    lineage = data.lineage
    return {
        "symbol": data.symbol,
        **data.metadata_dict(),
        "added_at": data.added_at,
        "base_interval": str(data.base_interval) if data.base_interval else None,
        "lineage_source": lineage.source if lineage else None,
        "lineage_dataset": lineage.dataset if lineage else None,
        "lineage_interval": str(lineage.interval) if lineage else None,
        "lineage_first": lineage.first_ns if lineage else None,
        "lineage_last": lineage.last_ns if lineage else None,
        "lineage_bars": lineage.bars if lineage else None,
        "daily_lineage": _daily_lineage(data.daily_lineage) if data.daily_lineage else None,
        "quality": [_quality(name, quality) for name, quality in data.quality.items()],
        "history_quality": [_quality(name, quality) for name, quality in data.history_quality.items()],
        "intervals": list(data.bars),
        "indicators": list(data.indicators),
        "adhoc_indicators": list(data.adhoc_indicators),
        "conflicts": [_conflict(conflict) for conflict in data.conflicts],
        "warnings": [reason_json(warning) for warning in data.warnings],
    }


def _daily_lineage(lineage: Lineage) -> dict[str, Any]:
    return {
        "source": lineage.source,
        "dataset": lineage.dataset,
        "first": lineage.first_ns,
        "last": lineage.last_ns,
        "bars": lineage.bars,
    }


def _conflict(conflict: AdhocConflict) -> dict[str, Any]:
    return {
        "interval": str(conflict.interval),
        "timestamp": conflict.adhoc.start_ns,
        "adhoc": bar_json(conflict.adhoc),
        "record": bar_json(conflict.record) if conflict.record else None,
    }


def _quality(name: str, quality: Quality) -> dict[str, Any]:
    return {
        "interval": name,
        "share": quality.share,
        "expected": quality.expected,
        "actual": quality.actual,
        "gaps": [{"start": gap.start_ns, "end": gap.end_ns, "missing": gap.missing} for gap in quality.gaps],
    }


def _stamps(stamps_ns: IntArray) -> Any:
    return pa.array(stamps_ns).cast(_STAMP)
