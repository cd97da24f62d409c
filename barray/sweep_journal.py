"""What a sweep has done so far, in a file that survives it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from barray.data_sources.atomic_file import writing
from barray.trading.sweeps.table import SetRow


class Journal:
    """A JSON line for every set done, with what it was made of. Lines are whole or the last one is ignored; nothing is
    ever rewritten: of two lines that say what a set made of the same bars, the later one counts.

    ConfigError where its directory cannot be written.
    """

    def __init__(self, directory: Path, name: str, fingerprint: str, *, fresh: bool = False) -> None:
        self.path = directory / f"{name}-{fingerprint}.sweep.jsonl"
        with writing(self.path):
            directory.mkdir(parents=True, exist_ok=True)
            if fresh:
                self.path.unlink(missing_ok=True)
            self._rows = _read(self.path)  # what earlier runs did

    def done(self, data: Mapping[str, str]) -> dict[str, SetRow]:
        """Sets that earlier runs did of just these symbols and bars (digests by symbol), by key."""
        return {row.key: row for row in self._rows if row.data == data}

    def outdated(self, data: Mapping[str, str]) -> frozenset[str]:
        """Keys of the sets that earlier runs did, but only of other symbols or bars."""
        return frozenset(row.key for row in self._rows) - self.done(data).keys()

    def add(self, rows: Sequence[SetRow]) -> None:
        """Write sets down, on disk before this returns. ConfigError where they can't be."""
        lines = b"".join(orjson.dumps(row.as_json(), option=orjson.OPT_SERIALIZE_NUMPY) + b"\n" for row in rows)
        with writing(self.path), self.path.open("ab") as file:
            if file.tell() and not _ends_whole(self.path):
                file.write(b"\n")
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> list[SetRow]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().splitlines():
        try:
            rows.append(SetRow.from_json(orjson.loads(line)))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue  # the line that a crash cut short: its sets are evaluated again
    return rows


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
