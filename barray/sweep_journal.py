"""What a sweep has done so far, in a file that survives it: one of its own, or its checkpoint's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from barray.checkpoint.checkpoint import Checkpoint
from barray.data_sources.atomic_file import writing
from barray.data_sources.object_store.publish import Place
from barray.trading.results.logs import NO_LOGS
from barray.trading.sweeps.table import SetRow


class Rows:
    """Sets that earlier runs did. `path`: where they are written down; `where`: the same in words. Of two rows that say
    what a set made of the same bars, the later one counts.
    """

    def __init__(self, path: Path, rows: Sequence[SetRow]) -> None:
        self.path, self.where = path, str(path)
        self._rows = rows

    def done(self, data: Mapping[str, str]) -> dict[str, SetRow]:
        """Sets that earlier runs did of just these symbols and bars (digests by symbol), by key."""
        return {row.key: row for row in self._rows if row.data == data}

    def outdated(self, data: Mapping[str, str]) -> frozenset[str]:
        """Keys of the sets that earlier runs did, but only of other symbols or bars."""
        return frozenset(row.key for row in self._rows) - self.done(data).keys()

    def add(self, rows: Sequence[SetRow]) -> None:
        """Write sets down, on disk before this returns."""
        raise NotImplementedError


class KeptRows(Rows):
    """Sets in a sweep's checkpoint."""

    def __init__(self, place: Place, kept: Checkpoint) -> None:
        super().__init__(Path(place), [row for row in kept.done if isinstance(row, SetRow)])
        self._kept, self.where = kept, str(place).partition("?")[0]

    def add(self, rows: Sequence[SetRow]) -> None:
        """See Rows; errors as of Checkpoint."""
        self._kept.add([replace(row, logs=NO_LOGS) for row in rows])


class Journal(Rows):
    """A JSON line for every set done, with what it was made of. Lines are whole or the last one is ignored; nothing is
    ever rewritten.

    ConfigError where its directory cannot be written.
    """

    def __init__(self, directory: Path, name: str, fingerprint: str, *, fresh: bool = False) -> None:
        path = directory / f"{name}-{fingerprint}.sweep.jsonl"
        with writing(path):
            directory.mkdir(parents=True, exist_ok=True)
            if fresh:
                path.unlink(missing_ok=True)
            super().__init__(path, _read(path))

    def add(self, rows: Sequence[SetRow]) -> None:
        """See Rows; ConfigError where they can't be written."""
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
