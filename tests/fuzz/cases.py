"""Seeded cases, each of a kind: what is spoiled, and what became of it."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import barray
from barray.coordinator.config.file import read_config
from barray.dump.validate import validate_session_dump
from barray.dump.writers.csv import write_csv
from barray.dump.writers.parquet import write_parquet
from barray.market.errors import BarrayError
from tests.barray.dump_builder import build, laid_out, tree_of
from tests.data_sources.files import MONDAY, TUESDAY, local_source, outcomes, write_days
from tests.fuzz.mutations import STRANGE, spoil, spoil_bytes, spoil_cell, spoil_table
from tests.market.builders import require

CONFIG: dict[str, Any] = {
    "name": "fuzzed",
    "session": {"start": "2024-07-01", "end": "2024-07-03", "calendar": "XNYS", "hours": "regular"},
    "symbols": ["AAPL", "SPY"],
    "intervals": ["1m", "5m"],
    "indicators": ["RSI(14)@5m", "SMA(5)@1d"],
    "history": {"trailing_days": 5, "max_missing_days": 1},
    "sources": [
        {
            "type": "parquet",
            "root": "bars",
            "layout": "{symbol}/{interval}/{date}.parquet",
            "columns": {"stamp": "end"},
        },
        {"type": "alpaca", "feed": "iex", "adjustment": "raw"},
    ],
    "export": {"directory": "out", "formats": ["json", "csv"]},
    "validation": {"per_symbol": True, "deadline_s": 5.0},
    "schedule": [{"at": "10:00", "add_symbol": "MSFT", "by": "scanner"}],
}
TABLES = ("bars.parquet", "indicators.parquet", "symbols.parquet")


class Wrong(Exception):
    """A case ended as none may: without a word of what was changed, or with an error that doesn't help."""


class Fuzzer:
    """Cases by seed, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, built = folder, build(minutes=61, trailing_days=1)
        self.tree = tree_of(built.write(folder / "true.json"))
        self.csv = write_csv(folder / "true.csv", built.summary, built.symbols).read_bytes()
        tables = write_parquet(folder / "true", built.summary, built.symbols)
        write_days(folder / "bars", "AAPL", MONDAY, TUESDAY)
        self.bars = [folder / "bars/AAPL/1m" / f"{day}.parquet" for day in (MONDAY, TUESDAY)]
        self.good_bars = self.bars[0].read_bytes(), self.bars[1].read_bytes()
        self.parquet = {name: (tables / name).read_bytes() for name in TABLES}
        self.kinds: list[Callable[[random.Random], str]] = [
            self.config, self.yaml, self.json_tree, self.json_bytes, self.csv_cell, self.csv_bytes, self.parquet_cell,
            self.parquet_bytes, self.bars_table, self.bars_bytes,
        ]  # fmt: skip

    def run(self, number: int, seed: int = 0) -> tuple[str, str]:
        """Kind and outcome of one case; Wrong, or whatever the product raised, where it ended as none may."""
        kind = self.kinds[number % len(self.kinds)]
        return kind.__name__, kind(random.Random(f"{seed} {number}"))

    def config(self, chance: random.Random) -> str:
        """A valid configuration, spoiled in a place or three."""
        tree = orjson.loads(orjson.dumps(CONFIG))
        for _ in range(chance.randint(1, 3)):
            spoil(tree, chance)
        return self._read_config(yaml.safe_dump(tree, allow_unicode=True).encode())

    def yaml(self, chance: random.Random) -> str:
        """Random YAML, or the text of a valid configuration with bytes changed."""
        if chance.randrange(2):
            return self._read_config(spoil_bytes(yaml.safe_dump(CONFIG).encode(), chance))
        words = ["a: ", "- ", "[", "]", "{", "}", "&x ", "*x", "\n", "  ", "!!int ", "? ", "<<: ", '"', "'", "|\n", "#"]
        words += [str(value) for value in STRANGE]
        return self._read_config("".join(chance.choices(words, k=chance.randint(1, 40))).encode())

    def json_tree(self, chance: random.Random) -> str:
        """A dump with another value, key or number of entries somewhere."""
        tree = orjson.loads(orjson.dumps(self.tree))
        spoil(tree, chance)
        return self._check("spoiled.json", laid_out(_plain(tree)), _json_changed(self.tree))

    def json_bytes(self, chance: random.Random) -> str:
        """A dump with other bytes somewhere."""
        return self._check("spoiled.json", spoil_bytes(laid_out(self.tree), chance), _json_changed(self.tree))

    def csv_cell(self, chance: random.Random) -> str:
        """A CSV with another cell, or with cells or rows too many or too few."""
        rows = list(csv.reader(io.StringIO(self.csv.decode())))
        spoil_cell(rows, chance)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return self._check("spoiled.csv", text.getvalue().encode(), _csv_changed(self.csv))

    def csv_bytes(self, chance: random.Random) -> str:
        """A CSV with other bytes somewhere."""
        return self._check("spoiled.csv", spoil_bytes(self.csv, chance), _csv_changed(self.csv))

    def parquet_cell(self, chance: random.Random) -> str:
        """A table with another value somewhere, its metadata kept."""
        name = chance.choice(TABLES)
        table = pq.read_table(pa.BufferReader(self.parquet[name]))
        footer = pq.read_metadata(pa.BufferReader(self.parquet[name]))
        row, column = chance.randrange(table.num_rows), chance.choice(table.schema.names)
        values = table.column(column).to_pylist()
        values[row] = chance.choice([None, *values[:50]])
        place, kind = table.schema.get_field_index(column), table.schema.field(column)
        changed = table.set_column(place, kind, pa.array(values, kind.type)).replace_schema_metadata(footer.metadata)
        sink = pa.BufferOutputStream()
        pq.write_table(changed, sink)
        return self._check_tables(name, sink.getvalue().to_pybytes())

    def parquet_bytes(self, chance: random.Random) -> str:
        """A table's file with other bytes somewhere."""
        name = chance.choice(TABLES)
        return self._check_tables(name, spoil_bytes(self.parquet[name], chance))

    def bars_table(self, chance: random.Random) -> str:
        """A file of bars, of the session or of its history, with another cell, type, name or order somewhere."""
        nth = chance.randrange(2)
        sink = pa.BufferOutputStream()
        pq.write_table(spoil_table(pq.read_table(pa.BufferReader(self.good_bars[nth])), chance), sink)
        return self._load_bars(nth, sink.getvalue().to_pybytes())

    def bars_bytes(self, chance: random.Random) -> str:
        """A file of bars with other bytes somewhere."""
        nth = chance.randrange(2)
        return self._load_bars(nth, spoil_bytes(self.good_bars[nth], chance))

    def _load_bars(self, nth: int, data: bytes) -> str:
        """Step 0 and load, as a session has them: the bars that there are, or why not, with file or stamp."""
        self.bars[nth].write_bytes(data)
        try:
            found = outcomes(
                local_source(self.folder / "bars"), "AAPL", requirements=require("1m", "5m", trailing_days=1)
            )
        finally:
            self.bars[nth].write_bytes(self.good_bars[nth])
        outcome = found["AAPL"]
        if outcome.data is not None:
            return "loaded"
        if not outcome.codes or "\n" in outcome.text or not re.search(r"2024-0|1970-|AAPL", outcome.text):
            raise Wrong(f"an error that does not help: {outcome.text}")
        return "refused on load" if outcome.on_load else "refused by Step 0"

    def _read_config(self, text: bytes) -> str:
        path = self.folder / "fuzzed.yaml"
        path.write_bytes(text)
        try:
            read_config(path)
        except BarrayError as error:
            return _helpful(error, path, text)
        return "read"

    def _check_tables(self, name: str, data: bytes) -> str:
        folder = self.folder / "spoiled"
        folder.mkdir(exist_ok=True)
        for other in TABLES:
            (folder / other).write_bytes(data if other == name else self.parquet[other])
        return self._outcome(folder, data, lambda: _table_changed(self.parquet[name], data))

    def _check(self, name: str, data: bytes, changed: Callable[[bytes], bool]) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return self._outcome(path, data, lambda: changed(data))

    def _outcome(self, path: Path, data: bytes, changed: Callable[[], bool]) -> str:
        violations = validate_session_dump(path)
        try:
            barray.read_dump(path)
        except BarrayError as error:
            _helpful(error, path, data)
        if any("\n" in str(violation) for violation in violations):
            raise Wrong(f"a violation of several lines: {violations}")
        if violations:
            return "violation named"
        if changed():
            raise Wrong(f"a change of {path.name} that nothing tells")
        return "nothing changed"


def _helpful(error: BarrayError, path: Path, text: bytes) -> str:
    """`refused`; Wrong where the error doesn't name the file, or where more is said than a line a problem."""
    lines = str(error).splitlines()
    if str(path) not in lines[0] or any(not line.startswith("  ") for line in lines[1:]):
        raise Wrong(f"{text[:200]!r}: {error}") from error
    return "refused"


def _json_changed(tree: Any) -> Callable[[bytes], bool]:
    def changed(data: bytes) -> bool:
        return orjson.dumps(orjson.loads(data), option=orjson.OPT_SORT_KEYS) != before

    before = orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)
    return changed


def _csv_changed(text: bytes) -> Callable[[bytes], bool]:
    def cells(data: bytes) -> list[list[str]]:
        return list(csv.reader(io.StringIO(data.decode())))

    return lambda data: cells(data) != cells(text)


def _table_changed(before: bytes, after: bytes) -> bool:
    one, other = (pq.read_table(pa.BufferReader(data)) for data in (before, after))
    return not one.equals(other)


def _plain(value: Any) -> Any:
    """The tree with what JSON can't hold as text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value
