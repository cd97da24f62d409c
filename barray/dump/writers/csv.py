"""A session date as CSV: one row a base timestamp, and a block of columns a symbol.

`timestamp` is the start of a bar (UTC, `2024-07-01T13:30:00Z`). The rows are the stamps at which a symbol has a bar of
its base interval (of its finest interval with bars where nothing was loaded for it). Then, for every symbol in order:

- `{symbol}_open`, `_high`, `_low`, `_close`, `_volume`: empty where the symbol has no bar at that stamp;
- `{symbol}_{indicator key}`, or `{symbol}_{key}.{output}` where an indicator has several outputs: the value known when
  this symbol's bar closed, so that a value of a coarser interval first stands in the row of the bar that ends with it;
  empty where the symbol has no bar, or the indicator no value yet;
- `{symbol}_quality`: share of the session's expected bars present up to the end of the row's bar, also where that one
  is missing; empty where the symbol has no bars at all and no interval was loaded;
- `{symbol}_meets_config_req`, `_added_by`, `_auto_provisioned` (`true`, `false`), the same in every row.

At last come columns that say the same in every row of what the file is: `schema`, `calendar`, `hours` (`regular`,
`extended`, or `extended 04:00 20:00 17:00` with the open, close and close of half days that a config gives),
`degraded`, the symbols that are missing because the machine failed, `warnings`, those whose prices are suspected (both
with spaces between, empty where there are none), and `digest`, SHA-256 over all other cells (see `barray.dump.digest`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from barray.coordinator.summary import SessionSummary
from barray.data_sources.atomic_file import replacing
from barray.dump.digest import digest_of_texts
from barray.dump.schema import SCHEMA
from barray.dump.writers.json import in_order
from barray.local.calendar_cache import cached_sessions
from barray.market.bars import COLUMNS, FloatArray, IntArray
from barray.market.calendar import ExtendedHours, Sessions, load_calendar
from barray.market.interval import Interval
from barray.market.series import IntervalBars
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbols import is_symbol

METADATA_COLUMNS = ("meets_config_req", "added_by", "auto_provisioned")
FILE_COLUMNS = ("schema", "calendar", "hours", "degraded", "warnings", "digest")


@dataclass(frozen=True)
class _Block:
    """One symbol's rows: `start_ns`, `end_ns` int64 (n,) of its bars; `columns` float64 (n,) by name, in order."""

    symbol: str
    interval: Interval | None
    start_ns: IntArray
    end_ns: IntArray
    columns: dict[str, FloatArray]
    metadata: tuple[bool, str, bool]
    warned: bool


def write_csv(path: str | Path, summary: SessionSummary, symbols: Iterable[SymbolSessionData]) -> Path:
    """Write the session date to `path` and give the path; same demands on `symbols`, same errors as `write_json`."""
    target, day = Path(path), summary.session_date
    with replacing(target) as temporary:
        blocks = [_block(data, summary.open_ns) for data in in_order(symbols, summary.now_ns)]
        hours, extended = summary.hours, summary.extended_hours
        calendar = load_calendar(summary.calendar, day, day, hours=hours, extended=extended, source=cached_sessions)
        sessions, row = calendar.sessions, calendar.session(day)
        stamps = np.unique(np.concatenate([np.empty(0, np.int64), *(block.start_ns for block in blocks)]))
        names, arrays = ["timestamp"], [_stamp_texts(stamps)]
        for block in blocks:
            for name, array in _expand(block, stamps, sessions, row).items():
                names.append(f"{block.symbol}_{name}")
                arrays.append(array)
        arrays = [array.cast(pa.string()) for array in arrays]
        warned = " ".join(block.symbol for block in blocks if block.warned)
        said = (
            SCHEMA,
            summary.calendar,
            hours_text(hours, extended),
            " ".join(filter(is_symbol, summary.lost)),
            warned,
        )
        for name, text in zip(FILE_COLUMNS, said, strict=False):
            names.append(name)
            arrays.append(pa.repeat(text, len(stamps)))
        arrays.append(pa.repeat(digest_of_texts(names, arrays), len(stamps)))
        names.append(FILE_COLUMNS[-1])
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(names)
        table = pa.Table.from_arrays(arrays, names=[str(nth) for nth in range(len(names))])
        with temporary.open("wb") as file:
            file.write(header.getvalue().encode())
            options = pa.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=64)
            pa.csv.write_csv(table, file, options)
    return target


def hours_text(hours: str, extended: ExtendedHours | None) -> str:
    """The hours of a session in one text: their kind, and the three times where a config gives its own."""
    times = (extended.open, extended.close, extended.half_day_close) if extended else ()
    return " ".join((hours, *(time.isoformat("minutes") for time in times)))


def quality_so_far(stamps: IntArray, end_ns: IntArray, interval: Interval, sessions: Sessions, row: int) -> FloatArray:
    """Share of the bars expected in session `row` that is present, at the end of a bar starting at each of `stamps`.

    `end_ns` (n,): ends of the bars present, sorted. float64 (len(stamps),), NaN before the first bar is expected.
    """
    close_ns = int(sessions.close_ns[row])
    until = np.minimum(stamps + interval.ns, close_ns) if interval.is_intraday else np.full(len(stamps), close_ns)
    _, expected_ends = sessions.expected_starts(row, interval, close_ns)
    expected = np.searchsorted(expected_ends, until, side="right")
    actual = np.searchsorted(end_ns, until, side="right")
    share: FloatArray = np.divide(actual, expected, out=np.full(len(stamps), np.nan), where=expected > 0)
    return share


def _block(data: SymbolSessionData, open_ns: int) -> _Block:
    metadata = (data.meets_session_config_requirements, data.added_by, data.auto_provisioned)
    series = _base_series(data, open_ns)
    if series is None:
        nothing = np.empty(0, np.int64)
        columns = dict.fromkeys((*COLUMNS, *_outputs(data)), np.empty(0))
        return _Block(data.symbol, data.base_interval, nothing, nothing, columns, metadata, bool(data.warnings))
    columns = {name: getattr(series.bars, name) for name in COLUMNS}
    for key, indicator in data.indicators.items():
        known = np.searchsorted(data.bars[str(indicator.spec.interval)].end_ns, series.end_ns, side="right")
        for output, values in indicator.values.items():
            name = key if len(indicator.values) == 1 else f"{key}.{output}"
            columns[name] = np.concatenate((np.array([np.nan]), values))[known]
    stamps, ends = series.bars.start_ns, series.end_ns
    return _Block(data.symbol, series.interval, stamps, ends, columns, metadata, bool(data.warnings))


def _base_series(data: SymbolSessionData, open_ns: int) -> IntervalBars | None:
    """Bars of the session date: of the base interval, or of the finest that has any where nothing was loaded."""
    names = [str(data.base_interval)] if data.base_interval else list(data.bars)
    for name in names:
        series = data.bars[name]
        today = series.take(slice(int(np.searchsorted(series.bars.start_ns, open_ns)), len(series)))
        if len(today):
            return today
    return None


def _outputs(data: SymbolSessionData) -> list[str]:
    return [
        key if len(indicator.values) == 1 else f"{key}.{output}"
        for key, indicator in data.indicators.items()
        for output in indicator.values
    ]


def _expand(block: _Block, stamps: IntArray, sessions: Sessions, row: int) -> dict[str, Any]:
    """The block's columns as Arrow arrays over all rows of the table."""
    at = np.searchsorted(block.start_ns, stamps)
    absent = np.ones(len(stamps), bool)
    if len(block.start_ns):
        absent = block.start_ns[np.minimum(at, len(block.start_ns) - 1)] != stamps
    rows = pa.array(at, mask=absent)
    columns = {name: _finite(values).take(rows) for name, values in block.columns.items()}
    if block.interval is None:
        columns["quality"] = pa.nulls(len(stamps), pa.float64())
    else:
        columns["quality"] = _finite(quality_so_far(stamps, block.end_ns, block.interval, sessions, row))
    for name, value in zip(METADATA_COLUMNS, block.metadata, strict=True):
        columns[name] = pa.repeat(pa.scalar(value), len(stamps))
    return columns


def _finite(values: FloatArray) -> Any:
    return pa.array(values, mask=~np.isfinite(values))


def _stamp_texts(stamps: IntArray) -> Any:
    return pa.array(
        np.char.add(np.datetime_as_string(stamps.view("datetime64[ns]"), unit="s"), "Z").tolist(), pa.string()
    )
