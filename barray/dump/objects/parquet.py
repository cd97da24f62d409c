"""The three Parquet tables of a session as its symbols again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from barray.dump.writers.parquet import BARS_SCHEMA, INDICATORS_SCHEMA, SYMBOLS_SCHEMA
from barray.market.bars import COLUMNS, Bars
from barray.market.indicators import IndicatorData, parse_indicator
from barray.market.interval import Interval
from barray.market.quality import Gap, Quality
from barray.market.series import IntervalBars
from barray.market.symbol_data import Lineage, SymbolSessionData

_LAST_NS = -(2**63)


def read_parquet_dump(folder: Path) -> dict[str, SymbolSessionData]:
    """The symbols in order; ValueError naming the file that is missing, broken, or has other columns."""
    bars = _split(_read(folder / "bars.parquet", BARS_SCHEMA), "symbol")
    indicators = _split(_read(folder / "indicators.parquet", INDICATORS_SCHEMA), "symbol")
    rows = _plain(_read(folder / "symbols.parquet", SYMBOLS_SCHEMA))
    ends = [int(_numbers(table, "end").max(initial=_LAST_NS)) for table in bars.values()]
    now_ns = max(ends, default=0)
    return {row["symbol"]: _symbol(row, bars.get(row["symbol"]), indicators.get(row["symbol"]), now_ns) for row in rows}


def _read(path: Path, schema: Any) -> Any:
    try:
        table = pa.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path.name}: is no table of a dump: {error}") from error
    if not table.schema.equals(schema):
        different = next((f.name for f in schema if f not in table.schema), None) or "more columns than it should have"
        raise ValueError(f"{path.name}: {different}: is not as a dump has it")
    return table.combine_chunks()


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
        if column.type == stamp and column.name != "added_at":
            table = table.set_column(place, column.name, table.column(place).cast(whole))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _symbol(row: Mapping[str, Any], bars: Any, indicators: Any, now_ns: int) -> SymbolSessionData:
    base = Interval.parse(row["base_interval"]) if row["base_interval"] else None
    series = (
        {} if bars is None else {name: _series(name, part, base) for name, part in _split(bars, "interval").items()}
    )
    by_key = {} if indicators is None else _split(indicators, "key")
    adhoc = {} if bars is None else _split(bars, "interval")
    starts = {name: _numbers(part, "timestamp")[_flags(part, "adhoc")] for name, part in adhoc.items()}
    return SymbolSessionData(
        symbol=row["symbol"],
        meets_session_config_requirements=row["meets_session_config_requirements"],
        added_by=row["added_by"],
        auto_provisioned=row["auto_provisioned"],
        added_at=row["added_at"].to_pydatetime() if hasattr(row["added_at"], "to_pydatetime") else row["added_at"],
        added_mid_session=row["added_mid_session"],
        provisioned_reason=row["provisioned_reason"],
        upgraded_from_adhoc=row["upgraded_from_adhoc"],
        now_ns=now_ns,
        base_interval=base,
        bars=series,
        indicators={key: _indicator(key, part, series) for key, part in by_key.items()},
        quality=_qualities(row["quality"]),
        history_quality=_qualities(row["history_quality"]),
        adhoc_bars={name: tuple(found.tolist()) for name, found in starts.items() if len(found)},
        lineage=_lineage(row),
    )


def _series(name: str, table: Any, base: Interval | None) -> IntervalBars:
    """`session` counts the sessions there are bars of, by the days they start on in UTC."""
    interval = Interval.parse(name)
    starts = _numbers(table, "timestamp")
    days = np.unique(starts // Interval(1, "d").ns, return_inverse=True)[1]
    derived = base is not None and interval != base and base.derives(interval)
    return IntervalBars(
        interval,
        Bars(starts, *(_numbers(table, column) for column in COLUMNS)),
        _numbers(table, "end"),
        days.astype(np.int32),
        _numbers(table, "expected"),
        _numbers(table, "actual"),
        int(np.count_nonzero(_flags(table, "history"))),
        base if derived else None,
    )


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


def _lineage(row: Mapping[str, Any]) -> Lineage | None:
    if row["lineage_source"] is None:
        return None
    interval = Interval.parse(row["lineage_interval"])
    return Lineage(row["lineage_source"], interval, row["lineage_first"], row["lineage_last"], row["lineage_bars"])
