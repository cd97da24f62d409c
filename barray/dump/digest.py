"""The digest of a whole dump: SHA-256 over its content, however that is laid out.

It finds damage and edits anywhere, in texts too that nothing else in the dump depends on. It is no signature: whoever
means to deceive computes it anew, and then only what follows from something else is still found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
SORTED = orjson.OPT_SORT_KEYS
DIGITS = 64


class SessionDigest:
    """Of a JSON dump: its header without `digest`, then each symbol as `{name: entry}` after a line feed.

    Both as JSON with sorted keys, without spaces.
    """

    def __init__(self, header: Mapping[str, Any]) -> None:
        without = {key: value for key, value in header.items() if key != "digest"}
        self._total = hashlib.sha256(dumps(without, SORTED))

    def add(self, name: str, entry: Any) -> None:
        """The next symbol."""
        self._total.update(b"\n" + dumps({name: entry}, SORTED))

    def over(self, symbols: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """The symbols as they come, each added."""
        for name, entry in symbols:
            self.add(name, entry)
            yield name, entry

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._total.hexdigest()


def digest_of_texts(names: Sequence[str], columns: Sequence[Any]) -> str:
    """Of a CSV: for each column its name and its cells, a line feed after each. `columns`: Arrow arrays of strings."""
    total = hashlib.sha256()
    for name, column in zip(names, columns, strict=True):
        cells = column.fill_null("").to_pylist()
        total.update("".join(f"{cell}\n" for cell in (name, *cells)).encode())
    return total.hexdigest()


class TableDigest:
    """Of a table that comes in pieces: for each column its name, type and, over all pieces, validity and values."""

    def __init__(self, schema: Any) -> None:
        self._columns = {field.name: hashlib.sha256(f"{field.name}\n{field.type}\n".encode()) for field in schema}

    def add(self, table: Any) -> None:
        """The next rows."""
        for name, total in self._columns.items():
            for chunk in table.column(name).chunks:
                total.update(_values(chunk))

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256("".join(one.hexdigest() for one in self._columns.values()).encode()).hexdigest()


def digest_of_tables(header: bytes, tables: Sequence[TableDigest]) -> str:
    """Of a header (JSON with sorted keys) and the tables that belong to it."""
    return hashlib.sha256(header + b"".join(b"\n" + one.hexdigest().encode() for one in tables)).hexdigest()


def _values(column: Any) -> bytes:
    """Each value of an Arrow array, what lies behind a null left out; rows may be cut in two anywhere."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_struct(kind):
        return b"".join(_nested(column.slice(row, 1)) for row in range(len(column)))
    if pa.types.is_string(kind):
        coded = column.dictionary_encode()
        texts = [orjson.dumps(text) for text in coded.dictionary.to_pylist()]
        return b"".join((b"" if at is None else texts[at]) + b"\n" for at in coded.indices.to_pylist())
    whole = column.cast(pa.int64()) if pa.types.is_timestamp(kind) else column
    known = np.asarray(whole.is_valid())
    numbers = np.asarray(whole.fill_null(pa.scalar(0).cast(whole.type)))
    paired = np.zeros((len(numbers), 1 + numbers.itemsize), np.uint8)
    paired[:, 0] = known
    paired[:, 1:] = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(numbers), numbers.itemsize)
    return paired.tobytes()


def _nested(row: Any) -> bytes:
    """A list's length and its values, or the fields of a structure."""
    if row.null_count:
        return b"null\n"
    inner = row.flatten()
    parts = inner if pa.types.is_struct(row.type) else [inner]
    return f"{len(parts[0])}\n".encode() + b"".join(map(_values, parts))


def dumps(value: Any, options: int = 0) -> bytes:
    """JSON of Python and NumPy values. What a user typed may be no Unicode, or a number without end: it is escaped."""
    try:
        return orjson.dumps(value, option=_OPTIONS | options)
    except orjson.JSONEncodeError:
        return orjson.dumps(_writable(value), option=_OPTIONS | options)


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_writable(str(key)): _writable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(entry) for entry in value]
    if isinstance(value, bool | float | np.ndarray | None) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
