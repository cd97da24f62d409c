"""Finds the shared data folder, which the product may not depend on: tests that use it skip where it is absent."""

from __future__ import annotations

import csv
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from barray.market.bars import COLUMNS, Bars

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BARRAY_SHARED", REPO.parent / "shared"))

skip_without_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(),
    reason=f"no shared data at {SHARED}: set BARRAY_SHARED to the folder that holds data/bars and data/indicators",
)


def bar_files(source: str, symbol: str, interval: str = "1m") -> list[Path]:
    """The Parquet files of one symbol, one a session date, oldest first."""
    return sorted((SHARED / "data" / "bars" / source / symbol / interval).glob("*.parquet"))


@functools.cache
def load_bars(source: str, symbol: str, interval: str = "1m", month: str = "") -> Bars:
    """All bars of one symbol and interval (of one month, `2011-03`), read by plain pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [path for path in bar_files(source, symbol, interval) if path.stem.startswith(month)]
    table = pa.concat_tables([pq.read_table(path, columns=["timestamp", *COLUMNS]) for path in files])
    stamps = table["timestamp"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).combine_chunks()
    return Bars(
        stamps.to_numpy(zero_copy_only=False).copy(),
        *(table[name].cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False).copy() for name in COLUMNS),
    )


def daily_quotes() -> tuple[list[str], dict[str, np.ndarray]]:
    """Dates and columns of the 502 daily quotes that the published indicator series were computed on."""
    with (SHARED / "data" / "indicators" / "quotes_default.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    return [row["date"] for row in rows], {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS}


@functools.cache
def published(name: str) -> dict[str, np.ndarray]:
    """Columns of one published indicator series, float64 (502,), NaN where it has no value."""
    rows = json.loads((SHARED / "data" / "indicators" / f"{name}.standard.json").read_text())
    keys = [key for key in rows[-1] if key != "timestamp"]
    return {key: np.array([np.nan if row[key] is None else float(row[key]) for row in rows]) for key in keys}
