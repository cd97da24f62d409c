"""Rows of texts as CSV, each with a digest over all cells of the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from barray.data_sources.atomic_file import replacing
from barray.dump.digest import digest_of_texts


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write rows under `names` and `digest` to `path`, and give it; ConfigError where it can't be written."""
    cells = [["" if cell is None else str(cell) for cell in column] for column in zip(*rows, strict=True)]
    columns = cells or [[] for _ in names]
    digest = digest_of_texts(names, [pa.array(column, pa.string()) for column in columns])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*names, "digest"))
    writer.writerows((*row, digest) for row in zip(*columns, strict=True))
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path
