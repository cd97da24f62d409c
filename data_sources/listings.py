"""Reads tables of what was listed when."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from barray.market.errors import ConfigError
from barray.market.listings import Listings


def read_listings(path: Path, told: str = "listings") -> Listings:
    """A CSV or Parquet table with the columns symbol, start, end, renamed_to, or a file of symbols, one a line;
    ConfigError where it can't be read, DataError where its rows can't be right.
    """
    try:
        if path.suffix in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            return Listings.of(pq.read_table(path).to_pydict(), str(path))
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: {reason}", remedy=f"check the path of {told}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines and not lines[0].startswith("symbol") and "," not in lines[0]:
        return Listings.of({"symbol": lines}, str(path))
    if lines and "," not in lines[0] and lines[0] != "symbol":
        raise ConfigError(
            f"{path}: its columns are not separated by commas", remedy="write symbol,start,end,renamed_to"
        )
    rows = list(csv.DictReader(lines))
    columns: dict[str, list[Any]] = {
        name: [row.get(name) for row in rows] for name in (rows[0] if rows else ("symbol",))
    }
    return Listings.of(columns, str(path))
