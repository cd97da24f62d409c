"""Checks of the CSVs beside a session's own, of orders and fills and of what scans found: columns, stamps and digest.

What follows from bars JSON alone can tell.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa

from barray.dump.checks.schema import STAMP_FORM, parse_stamp
from barray.dump.digest import digest_of_texts
from barray.dump.violations import Findings
from barray.dump.writers import scans_csv, trading_csv


def columns_of_rows(path: Path) -> tuple[str, ...] | None:
    """The columns, where the first line is that of orders and fills, or of what scans found; else None."""
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline().rstrip("\n").split(",")
    except (OSError, UnicodeDecodeError):
        return None
    known = (trading_csv.COLUMNS, scans_csv.COLUMNS)
    return next((columns for columns in known if first == [*columns, "digest"]), None)


def check_rows_csv(path: Path, columns: tuple[str, ...], out: Findings) -> None:
    """Add everything wrong with it to `out`."""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    width = len(columns) + 1
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
    cells = [pa.array([row[at] for row in rows], pa.string()) for at in range(len(columns))]
    digest = digest_of_texts(columns, cells)
    wrong = [number for number, row in enumerate(rows) if row[-1] != digest]
    out.each(
        wrong,
        lambda number: f"digest[line {number + 2}]",
        "digest",
        lambda number: rows[number][-1],
        lambda _: f"{digest}, computed from all other cells",
    )
