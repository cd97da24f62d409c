"""Results as bytes and back: JSON that says what is what, and arrays as they lie in memory. There is no code in it.

Only the kinds that are asked for come back; what is equal has equal bytes. float64 comes back bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any

import numpy as np
import orjson

from barray.market.errors import DataError

_LENGTH = Struct("<Q")
_ALIGNED = 8
_PLAIN = (str, bool, type(None))
_MOST = frozenset((*_PLAIN, int))
_UNREADABLE = (StructError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)

_Kinds = Mapping[str, tuple[type, tuple[str, ...]]]
"""By name, with what an object of it is made with."""


class Codec:
    """Writes and reads values made of `kinds` (frozen dataclasses and named tuples), and of what Python and NumPy have.

    A list is told from a tuple, a float from a whole number; an array may have any type but objects.
    """

    def __init__(self, kinds: Iterable[type]) -> None:
        self._kinds = {kind.__name__: (kind, _names(kind)) for kind in kinds}

    def encode(self, value: Any) -> bytes:
        """The value as bytes; TypeError where something in it is of another kind."""
        parts: list[bytes] = []
        told = orjson.dumps(_Writer(self._kinds, parts).tell(value))
        head = _LENGTH.pack(len(told)) + told
        return b"".join((head, bytes(-len(head) % _ALIGNED), *parts))

    def decode(self, content: bytes) -> Any:
        """The value in bytes that `encode` gave; DataError where they are others. Arrays can't be written to."""
        try:
            (length,) = _LENGTH.unpack_from(content)
            begin = _LENGTH.size + length
            told = orjson.loads(content[_LENGTH.size : begin])
            return _Reader(self._kinds, memoryview(content)[begin + -begin % _ALIGNED :]).value(told)
        except _UNREADABLE as error:
            raise DataError(
                f"a record can't be meant: {error!r}", remedy="begin anew in another folder", code="checkpoint_damaged"
            ) from error


class _Writer:
    def __init__(self, kinds: _Kinds, parts: list[bytes]) -> None:
        self._kinds, self._parts, self._size = kinds, parts, 0

    def tell(self, value: Any) -> Any:
        if type(value) in _MOST:
            return value
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, _PLAIN) or type(value) is int:
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, bytes):
            return {"bytes": self._place(value), "size": len(value)}
        if type(value).__name__ in self._kinds:
            return self._of_kind(value)
        if type(value) is tuple:
            return [self.tell(one) for one in value]
        if isinstance(value, list):
            return {"list": [self.tell(one) for one in value]}
        if isinstance(value, frozenset):
            return {"set": [self.tell(one) for one in sorted(value)]}
        if isinstance(value, Mapping):
            return {"map": [[self.tell(name), self.tell(one)] for name, one in value.items()]}
        if isinstance(value, datetime | date):
            return {type(value).__name__: value.isoformat()}
        raise TypeError(f"{type(value).__name__} is no kind that is kept")

    def _of_kind(self, value: Any) -> Any:
        kind, names = type(value).__name__, self._kinds[type(value).__name__][1]
        return {"kind": kind, "values": [self.tell(getattr(value, name)) for name in names]}

    def _array(self, value: np.ndarray[Any, Any]) -> Any:
        if value.dtype.hasobject:
            raise TypeError("an array of objects is not kept")
        place = self._place(np.ascontiguousarray(value).tobytes())
        return {"array": place, "shape": list(value.shape), "type": value.dtype.str}

    def _place(self, content: bytes) -> int:
        place, rest = self._size, -len(content) % _ALIGNED
        self._parts += [content, bytes(rest)]
        self._size += len(content) + rest
        return place


class _Reader:
    def __init__(self, kinds: _Kinds, arrays: memoryview) -> None:
        self._kinds, self._arrays = kinds, arrays

    def value(self, told: Any) -> Any:
        if isinstance(told, list):
            return tuple(map(self.value, told))
        if not isinstance(told, dict):
            return told
        if "kind" in told:
            kind, names = self._kinds[told["kind"]]
            return kind(**dict(zip(names, map(self.value, told["values"]), strict=True)))
        if "array" in told:
            return self._array(told)
        if "bytes" in told:
            return bytes(self._arrays[told["bytes"] : told["bytes"] + told["size"]])
        [(name, inner)] = told.items()
        match name:
            case "float":
                return float(inner)
            case "list":
                return [self.value(one) for one in inner]
            case "set":
                return frozenset(self.value(one) for one in inner)
            case "map":
                return {self.value(key): self.value(one) for key, one in inner}
            case "datetime":
                return datetime.fromisoformat(inner)
            case "date":
                return date.fromisoformat(inner)
        raise ValueError(f"{name} is unknown")

    def _array(self, told: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        kind, shape = np.dtype(told["type"]), tuple(told["shape"])
        count = math.prod(shape)
        return (
            np.frombuffer(self._arrays, kind, count, told["array"]).reshape(shape) if count else np.empty(shape, kind)
        )


def _names(kind: type[Any]) -> tuple[str, ...]:
    """What an object of the kind is made with, in order."""
    if is_dataclass(kind):
        return tuple(one.name for one in fields(kind) if one.init)
    names: tuple[str, ...] = kind._fields
    return names
