"""Checks of the CSV of orders and fills: columns, stamps and digest. What follows from bars JSON alone can tell."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from barray.dump.checks.schema import STAMP_FORM, parse_stamp
from barray.dump.digest import digest_of_texts
from barray.dump.violations import Findings
from barray.dump.writers.trading_csv import COLUMNS


def is_trading_csv(path: Path) -> bool:
    """Whether the first line is that of orders and fills."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n").split(",") == [*COLUMNS, "digest"]
    except (OSError, UnicodeDecodeError):
        return False


def check_trading_csv(path: Path, out: Findings) -> None:
    """Add everything wrong with it to `out`."""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    width = len(COLUMNS) + 1
    out.each(
        [number for number, row in enumerate(rows) if len(row) != width],
        lambda number: f"line {number + 2}",
        "length",
        lambda number: f"{len(rows[number])} cells",
        lambda _: f"{width}, as in the header",
    )
    out.each(
        [number for number, row in enumerate(rows) if not row or parse_stamp(row[0]) is None],
        lambda number: f"at[line {number + 2}]",
        "bad_stamp",
        lambda number: rows[number][0] if rows[number] else "nothing",
        lambda _: STAMP_FORM,
    )
    if len(out):
        return
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(COLUMNS))]
    digest = digest_of_texts(COLUMNS, columns)
    wrong = [number for number, row in enumerate(rows) if row[-1] != digest]
    out.each(
        wrong,
        lambda number: f"digest[line {number + 2}]",
        "digest",
        lambda number: rows[number][-1],
        lambda _: f"{digest}, computed from all other cells",
    )
