"""What scans found as Parquet, CSV and JSON.

| file | holds |
|---|---|
| `hits.parquet`, `hits.csv` | who was kept at each time, with place, score and the numbers compared |
| `history.parquet`, `history.csv` | who was kept from when to when, and why no longer |
| `left_out.parquet`, `left_out.csv` | symbols of a universe that could not be looked at, with the reason |
| `returns.parquet`, `returns.csv` | where it was asked for: what each hit earned, a column a horizon |
| `returns_by_place.parquet`, `returns_by_place.csv` | mean, median and share above 0 of these, by scan and places |
| `factor.parquet`, `factor.csv` | scores by scan, session and symbol, for alphalens-reloaded, and `prices`: closes |
| `scan.json` | sessions, skipped ones with the reason, scans that failed, how many symbols were looked at and found |

Stamps are UTC. The same result gives the same bytes: no timings, no wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from barray.data_sources.atomic_folder import replacing_folder
from barray.market.table import Table
from barray.trading.scans.result import ScannedSession, ScanResult

SCHEMA = "barray.scan/1"
_TABLES = ("hits", "history", "left_out")
_FORWARD = ("returns", "returns_by_place", "factor", "prices")
_ROWS_A_GROUP = 262_144


def write_scan(result: ScanResult, directory: Path, formats: Sequence[str] = ("parquet", "json")) -> list[Path]:
    """Write the files of `formats` (parquet, csv, json) into `directory`, made if it is not there, all or none; their
    paths. ConfigError where nothing can be written; then what stood there is untouched.
    """
    tables = tables_of(result)
    with replacing_folder(directory, names_of(("parquet", "csv", "json"), (*_TABLES, *_FORWARD))) as draft:
        for name, table in tables.items():
            if "parquet" in formats:
                _write_parquet(draft / f"{name}.parquet", table)
            if "csv" in formats:
                _write_csv(draft / f"{name}.csv", table)
        if "json" in formats:
            (draft / "scan.json").write_bytes(orjson.dumps(summary(result), option=orjson.OPT_INDENT_2) + b"\n")
    return [directory / name for name in names_of(formats, tuple(tables))]


def tables_of(result: ScanResult) -> dict[str, Table]:
    """All tables, by the names of their files."""
    found: dict[str, Table] = {name: getattr(result, name) for name in _TABLES}
    if (forward := result.forward) is not None:
        own = forward.table, forward.places, forward.factor_table, forward.price_table
        found |= dict(zip(_FORWARD, own, strict=True))
    return found


def names_of(formats: Sequence[str], tables: Sequence[str]) -> list[str]:
    """Names of the files of `formats`, in the order they are listed."""
    names = [f"{name}.{kind}" for kind in ("parquet", "csv") if kind in formats for name in tables]
    return [*names, "scan.json"] if "json" in formats else names


def summary(result: ScanResult) -> dict[str, Any]:
    """What `scan.json` holds."""
    return {
        "schema": SCHEMA,
        "name": result.name,
        "scans": list(result.scans),
        "timezone": result.timezone,
        "dates": list(result.dates),
        "skipped": dict(result.skipped),
        "failures": [{"scan": one.scan, "reason": one.reason} for one in result.failures],
        **({} if result.forward is None else {"forward": [asdict(one) for one in result.forward.by_place]}),
        "sessions": {one.day.isoformat(): _session(one) for one in result.sessions},
    }


def _session(one: ScannedSession) -> dict[str, Any]:
    return {
        "universe": dict(one.universe),
        "left_out": len(one.missing) + len(one.faults),
        "bars": one.bars,
        "kept": {name: len({row.symbol for row in one.kept if row.scan == name}) for name in one.universe},
    }


def _write_parquet(path: Path, table: Table) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table.to_arrow(), path, compression="zstd", row_group_size=_ROWS_A_GROUP)


def _write_csv(path: Path, table: Table) -> None:
    from pyarrow import csv

    csv.write_csv(_plain(table), path)


def _plain(table: Table) -> Any:
    """Texts as texts: Arrow writes no dictionaries to a CSV."""
    import pyarrow as pa

    arrow = table.to_arrow()
    columns = {
        name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(arrow.column_names, arrow.columns, strict=True)
    }
    return pa.table(columns)
