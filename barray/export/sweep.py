"""A sweep's table for a spreadsheet: a row a parameter set, best first."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from barray.data_sources.atomic_file import replacing
from barray.trading.sweeps.result import SweepResult


def write_sweep_csv(result: SweepResult, path: Path) -> Path:
    """Write the table to `path`, whole or not at all, and give the path; ConfigError where it cannot be written."""
    rows = set_rows(result)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def set_rows(result: SweepResult) -> list[dict[str, Any]]:
    """Parameters and figures of every set, best first; sets without a rank come last, `error` in place of figures."""
    ranked = [{**row.parameters, **row.figures(result.capital), "error": ""} for row in result.ranked]
    return [*ranked, *({**row.parameters, "error": why} for row in result.rows if (why := result.problem(row)))]
