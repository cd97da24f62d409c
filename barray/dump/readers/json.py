"""Reads a JSON dump symbol by symbol, so that a big one takes the memory of one symbol."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from barray.dump.schema import SCHEMA, SCHEMA_1
from barray.dump.violations import Findings, Violation

_SYMBOLS_BEGIN = b'"symbols":{'


class UnreadableDump(Exception):
    """The file is no JSON object, or none that can be read; carries the one violation that says so."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation


@dataclass(frozen=True)
class DumpText:
    """A parsed header (everything but the symbols), and the symbols as they stand in the file, parsed when asked for.

    Iterating `symbols` may raise UnreadableDump. A symbol that the file holds twice comes twice. `version` of the
    layout; what is older stands here as today's layout would have it, with an empty digest.
    """

    header: Any
    symbols: Iterator[tuple[str, Any]]
    version: int = 2


def read_dump(path: Path, out: Findings) -> DumpText:
    """Open a dump. Keys that stand twice in one object are added to `out`.

    A dump laid out as `write_json` does (one symbol a line) is streamed, any other layout is read whole.
    """
    try:
        file = path.open("rb")
        with file:
            header = _read_header(file)
            start = file.tell()
        tree = _loads_object(header, "", out) if header else None
        return DumpText(tree, _stream(path, start, out)) if tree else _read_whole(path, out)
    except OSError as error:
        raise UnreadableDump(
            Violation("file", "unreadable", error.strerror or str(error), "a readable file")
        ) from error


def read_session(path: Path, out: Findings) -> DumpText | None:
    """As `read_dump`, a dump of the first layout brought up to today's; None, with a violation, for any other."""
    dump = read_dump(path, out)
    schema = dump.header.get("schema")
    if schema == SCHEMA:
        return dump
    if schema != SCHEMA_1 or "digest" in dump.header:
        out.add("schema", "schema", schema, f"{SCHEMA}, or {SCHEMA_1} without a digest")
        return None
    header = {**dump.header, "schema": SCHEMA, "digest": ""}
    for reasons in _reason_lists(header):
        for reason in reasons if isinstance(reasons, list) else ():
            if isinstance(reason, dict) and "mend" in reason:
                reason["remedy"] = reason.pop("mend")
    return DumpText(header, ((name, _with_dataset(entry)) for name, entry in dump.symbols), version=1)


def _reason_lists(header: dict[str, Any]) -> Iterator[Any]:
    step0, dropped = header.get("step0"), header.get("dropped")
    for entry in step0.values() if isinstance(step0, dict) else ():
        yield entry.get("reasons") if isinstance(entry, dict) else None
    yield from dropped.values() if isinstance(dropped, dict) else ()


def _with_dataset(entry: Any) -> Any:
    lineage = entry.get("lineage") if isinstance(entry, dict) else None
    return {**entry, "lineage": {**lineage, "dataset": None}} if isinstance(lineage, dict) else entry


def _read_header(file: BinaryIO) -> bytes | None:
    """The text before the symbols as a JSON object of its own; None where the file is laid out otherwise."""
    lines: list[bytes] = []
    for line in iter(file.readline, b""):
        if line.rstrip() == _SYMBOLS_BEGIN:
            return b"".join(lines).rstrip().removesuffix(b",") + b"}"
        lines.append(line)
    return None


def _stream(path: Path, start: int, out: Findings) -> Iterator[tuple[str, Any]]:
    given = 0
    with path.open("rb") as file:
        file.seek(start)
        line = file.readline().strip()
        while line != b"}}":
            following = file.readline().strip()
            entry = _one_symbol(line, last=following == b"}}", out=out)
            if entry is None:
                break
            yield entry
            given += 1
            line = following
        else:
            if not file.read().strip():
                return
    symbols = _read_whole(path, out).symbols  # not our layout after all, or broken: the whole file tells
    yield from (entry for nth, entry in enumerate(symbols) if nth >= given)


def _one_symbol(line: bytes, *, last: bool, out: Findings) -> tuple[str, Any] | None:
    if line.endswith(b",") == last or not line:
        return None
    entry = _loads_object(b"{" + line.removesuffix(b",") + b"}", "symbols.", out)
    return next(iter(entry.items())) if entry and len(entry) == 1 else None


def _read_whole(path: Path, out: Findings) -> DumpText:
    data = path.read_bytes()
    try:
        tree = _loads(data, "", out)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UnreadableDump(Violation(place, "not_json", error.msg.partition(":")[0], "JSON")) from error
    except orjson.JSONEncodeError as error:
        raise UnreadableDump(Violation("file", "not_json", "values nested too deep", "at most 250 levels")) from error
    if not isinstance(tree, dict):
        raise UnreadableDump(Violation("file", "not_json", type(tree).__name__, "a JSON object"))
    symbols = tree.pop("symbols", None)
    if not isinstance(symbols, dict):
        raise UnreadableDump(Violation("symbols", "missing", type(symbols).__name__, "an object of symbols"))
    return DumpText(tree, iter(symbols.items()))


class _Object(dict[str, Any]):
    """An object that remembers which keys stood twice in its text."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        counts = Counter(names) if len(self) < len(names) else {}
        self.repeated = sorted(name for name, count in counts.items() if count > 1)


def _loads_object(text: bytes, prefix: str, out: Findings) -> dict[str, Any] | None:
    """The object that `text` is, or None where it is none."""
    try:
        tree = _loads(text, prefix, out)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return tree if isinstance(tree, dict) else None


def _loads(text: bytes, prefix: str, out: Findings) -> Any:
    """Parse; where the text is not what the value would be written as, look for repeated keys."""
    tree = orjson.loads(text)
    if orjson.dumps(tree) != text.replace(b"\n", b""):
        with suppress(RecursionError, ValueError):  # too deep or too long a number: the schema refuses those
            _report_repeated(json.loads(text, object_pairs_hook=_Object), prefix, out)
    return tree


def _report_repeated(tree: Any, prefix: str, out: Findings) -> None:
    if isinstance(tree, _Object):
        for name in tree.repeated:
            out.add(f"{prefix}{name}", "duplicate_key", "the key twice", "once")
        for name, value in tree.items():
            _report_repeated(value, f"{prefix}{name}.", out)
    elif isinstance(tree, list):
        for row, value in enumerate(tree):
            if isinstance(value, _Object | list):
                _report_repeated(value, f"{prefix.removesuffix('.')}[{row}].", out)
