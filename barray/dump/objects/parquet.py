"""The three Parquet tables of a session as its symbols again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from barray.dump.checks.schema import parse_stamp
from barray.dump.digest import TableDigest, digest_of_tables
from barray.dump.writers.parquet import (
    DIGEST_KEY,
    HEADER_KEY,
    SYMBOLS_SCHEMA,
    SYMBOLS_SCHEMA_1,
    SYMBOLS_SCHEMA_DAILY,
    TABLES,
)
from barray.market.bars import COLUMNS, Bar, Bars
from barray.market.indicators import IndicatorData, parse_indicator
from barray.market.interval import DAY, Interval
from barray.market.quality import Gap, Quality
from barray.market.series import IntervalBars
from barray.market.symbol_data import AdhocConflict, Lineage, SymbolSessionData
from barray.market.validation import Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS = -(2**63)


MAX_ROWS = 50_000_000
"""How many rows a table may have. A few megabytes of Parquet can hold more than a machine: the footer tells."""


def read_tables(folder: Path, max_rows: int = MAX_ROWS) -> dict[str, Any]:
    """The three tables by the names of their files; ValueError naming one that is missing, broken, too long or has
    other columns.
    """
    return {name: _read(folder / name, schema, max_rows) for name, schema in TABLES.items()}


def header_of(tables: Mapping[str, Any]) -> tuple[bytes, str] | None:
    """The header as it stands in the file, and the digest; None where there is none, as in the first layout."""
    metadata = tables["symbols.parquet"].schema.metadata or {}
    if HEADER_KEY not in metadata:
        return None
    return metadata[HEADER_KEY], metadata.get(DIGEST_KEY, b"").decode("ascii", "replace")


def digest_of(tables: Mapping[str, Any], header: bytes) -> str:
    """The digest of what the tables hold."""
    digests = []
    for name, plain in TABLES.items():
        digests.append(TableDigest(_schema(plain, tables[name])))
        digests[-1].add(tables[name])
    return digest_of_tables(header, digests)


def symbols_of(tables: Mapping[str, Any]) -> dict[str, SymbolSessionData]:
    """The symbols in order. ValueError or one of our errors where a name or a number can't be meant."""
    if tables["symbols.parquet"].column("symbol").null_count:
        raise ValueError("symbols.parquet: symbol: has a row without one")
    bars, indicators = (_split(tables[name], "symbol") for name in ("bars.parquet", "indicators.parquet"))
    ends = [int(_numbers(table, "end").max(initial=_LAST_NS)) for table in bars.values()]
    now_ns = _now_ns(tables) or max(ends, default=0)
    symbols: dict[str, SymbolSessionData] = {}
    for row in _plain(tables["symbols.parquet"]):
        name: str = row["symbol"]
        try:
            symbols[name] = _symbol(row, bars.get(name), indicators.get(name), now_ns)
        except (TypeError, KeyError, IndexError, AttributeError) as error:  # a null, or a field that is not there
            raise ValueError(f"symbols.{name}: a value is missing: {error}") from error
    return symbols


def _now_ns(tables: Mapping[str, Any]) -> int | None:
    found = header_of(tables)
    header = orjson.loads(found[0]) if found else None
    session = header.get("session") if isinstance(header, dict) else None
    return parse_stamp(str(session.get("now"))) if isinstance(session, dict) else None


def _read(path: Path, schema: Any, max_rows: int) -> Any:
    try:
        footer = pa.parquet.read_metadata(path)
        if footer.num_rows > max_rows:
            raise ValueError(
                f"{path.name}: has {footer.num_rows:,} rows, the bound is {max_rows:,}; max_rows raises it"
            )
        table = pa.parquet.read_table(path).replace_schema_metadata(footer.metadata)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path.name}: is no table of a dump: {' '.join(str(error).split())}") from error
    if schema is SYMBOLS_SCHEMA and table.schema.equals(SYMBOLS_SCHEMA_1):
        missing = [field for field in schema if field.name not in table.schema.names]
        for field in missing:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        table = table.select(schema.names)
    schema = _schema(schema, table)
    if not table.schema.equals(schema):
        different = next((f.name for f in schema if f not in table.schema), None) or "more columns than it should have"
        raise ValueError(f"{path.name}: {different}: is not as a dump has it")
    return table.combine_chunks()


def _schema(plain: Any, table: Any) -> Any:
    """What the table should have: a column more where it has daily bars of another source."""
    has_daily = plain is SYMBOLS_SCHEMA and table.schema.names == SYMBOLS_SCHEMA_DAILY.names
    return SYMBOLS_SCHEMA_DAILY if has_daily else plain


def _split(table: Any, column: str) -> dict[str, Any]:
    """The rows of each value of a column, in which equal ones stand together."""
    parts: dict[str, Any] = {}
    if not table.num_rows:
        return parts
    runs = pa.compute.run_end_encode(table.column(column).combine_chunks())
    start = 0
    for value, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        parts[value] = table.slice(start, end - start)
        start = end
    return parts


def _plain(table: Any) -> list[dict[str, Any]]:
    """Rows as Python values, stamps as integers."""
    stamp, whole = pa.timestamp("ns", "UTC"), pa.int64()
    for place, column in enumerate(table.schema):
        if column.type == stamp:
            table = table.set_column(place, column.name, table.column(place).cast(whole))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _symbol(row: Mapping[str, Any], bars: Any, indicators: Any, now_ns: int) -> SymbolSessionData:
    base = Interval.parse(row["base_interval"]) if row["base_interval"] else None
    daily = _daily_lineage(row.get("daily_lineage"))
    parts = {} if bars is None else _split(bars, "interval")
    series = {name: _series(name, part, base, daily) for name, part in parts.items()}
    for name in row["intervals"] or ():
        series.setdefault(name, _empty(Interval.parse(name), base, daily))
    by_key = {} if indicators is None else _split(indicators, "key")
    values = {key: _indicator(key, part, series) for key, part in by_key.items()}
    for key in row["indicators"] or ():
        values.setdefault(key, _without_values(key))
    starts = {name: _numbers(part, "timestamp")[_flags(part, "adhoc")] for name, part in parts.items()}
    return SymbolSessionData(
        symbol=row["symbol"],
        meets_session_config_requirements=row["meets_session_config_requirements"],
        added_by=row["added_by"],
        auto_provisioned=row["auto_provisioned"],
        added_at=None if row["added_at"] is None else _EPOCH + timedelta(microseconds=row["added_at"] // 1_000),
        added_mid_session=row["added_mid_session"],
        provisioned_reason=row["provisioned_reason"],
        upgraded_from_adhoc=row["upgraded_from_adhoc"],
        now_ns=now_ns,
        base_interval=base,
        bars={name: series[name] for name in row["intervals"] or series},
        indicators={key: values[key] for key in row["indicators"] or values},
        quality=_qualities(row["quality"]),
        history_quality=_qualities(row["history_quality"]),
        adhoc_bars={name: tuple(found.tolist()) for name, found in starts.items() if len(found)},
        adhoc_indicators=tuple(row["adhoc_indicators"] or ()),
        conflicts=tuple(map(_conflict, row["conflicts"] or ())),
        lineage=_lineage(row),
        daily_lineage=daily,
        warnings=tuple(Reason(**warning) for warning in row["warnings"] or ()),
    )


def _series(name: str, table: Any, base: Interval | None, daily: Lineage | None) -> IntervalBars:
    """`session` counts the sessions there are bars of, by the days they start on in UTC."""
    interval = Interval.parse(name)
    starts = _numbers(table, "timestamp")
    days = np.unique(starts // Interval(1, "d").ns, return_inverse=True)[1]
    return IntervalBars(
        interval,
        Bars(starts, *(_numbers(table, column) for column in COLUMNS)),
        _numbers(table, "end"),
        days.astype(np.int32),
        _numbers(table, "expected"),
        _numbers(table, "actual"),
        int(np.count_nonzero(_flags(table, "history"))),
        _origin(interval, base, daily),
        daily.bars if daily and interval == DAY else 0,
    )


def _origin(interval: Interval, base: Interval | None, daily: Lineage | None) -> Interval | None:
    if base is None or interval == base or not base.derives(interval):
        return None
    return DAY if daily and interval.unit == "w" else base


def _empty(interval: Interval, base: Interval | None, daily: Lineage | None) -> IntervalBars:
    nothing = np.empty(0, np.int32)
    return IntervalBars(
        interval, Bars.empty(), np.empty(0, np.int64), nothing, nothing, nothing, 0, _origin(interval, base, daily)
    )


def _without_values(key: str) -> IndicatorData:
    spec = parse_indicator(key)
    return IndicatorData(spec, {output: np.empty(0) for output in spec.outputs})


def _conflict(row: Mapping[str, Any]) -> AdhocConflict:
    start_ns, record = _ns(row["timestamp"]), row["record"]
    overruled = Bar(start_ns, **row["adhoc"])
    return AdhocConflict(Interval.parse(row["interval"]), overruled, Bar(start_ns, **record) if record else None)


def _indicator(key: str, table: Any, series: Mapping[str, IntervalBars]) -> IndicatorData:
    """ValueError where the values are not those of the bars."""
    spec = parse_indicator(key)
    values = {output: _numbers(part, "value") for output, part in _split(table, "output").items()}
    bars = series.get(str(spec.interval))
    if bars is None or any(len(column) != len(bars) for column in values.values()):
        raise ValueError(f"{key} has values of another number of bars than there are")
    return IndicatorData(spec, values)


def _numbers(table: Any, name: str) -> NDArray[Any]:
    """A column as NumPy, of stamps their nanoseconds, of null NaN."""
    column = table.column(name).combine_chunks()
    plain = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    values: NDArray[Any] = plain.to_numpy(zero_copy_only=False)
    return values


def _flags(table: Any, name: str) -> NDArray[np.bool_]:
    return _numbers(table, name).astype(np.bool_)


def _qualities(entries: list[dict[str, Any]]) -> dict[str, Quality]:
    return {
        one["interval"]: Quality(
            one["expected"],
            one["actual"],
            tuple(Gap(_ns(gap["start"]), _ns(gap["end"]), gap["missing"]) for gap in one["gaps"]),
        )
        for one in entries
    }


def _ns(stamp: Any) -> int:
    """Of what Arrow makes of a stamp inside a list: a datetime, of whole seconds here."""
    seconds: int = round(stamp.timestamp())
    return seconds * 1_000_000_000


def _daily_lineage(row: Mapping[str, Any] | None) -> Lineage | None:
    if row is None:
        return None
    first, last = (None if row[edge] is None else _ns(row[edge]) for edge in ("first", "last"))
    return Lineage(row["source"], DAY, first, last, row["bars"], row["dataset"])


def _lineage(row: Mapping[str, Any]) -> Lineage | None:
    if row["lineage_source"] is None:
        return None
    interval = Interval.parse(row["lineage_interval"])
    return Lineage(
        row["lineage_source"],
        interval,
        row["lineage_first"],
        row["lineage_last"],
        row["lineage_bars"],
        row["lineage_dataset"],
    )
