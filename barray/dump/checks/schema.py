"""Checks that the keys and types of a dump are those of `barray.dump.schema`; reads its texts of times."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from barray.dump.schema import HeaderJson, SymbolJson
from barray.dump.violations import Findings
from barray.market.bars import IntArray

HEADER: TypeAdapter[HeaderJson] = TypeAdapter(HeaderJson)
SYMBOL: TypeAdapter[SymbolJson] = TypeAdapter(SymbolJson)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{9}))?Z", re.ASCII)
STAMP_FORM = "a UTC time such as 2024-07-01T13:30:00Z"
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
# (14, 6): what each digit adds to year, month, day, hour, minute, second
_PLACES = np.zeros((14, 6), np.int64)
_PLACES[range(14), (0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)] = (1000, 100, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 10, 1)
_Checked = TypeVar("_Checked")


def conforming(adapter: TypeAdapter[_Checked], value: Any, place: str, out: Findings) -> _Checked | None:
    """The value if its keys and types are right; else None, with every deviation added to `out`."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    by_array: dict[tuple[object, ...], list[ErrorDetails]] = defaultdict(list)
    for detail in errors:
        location = detail["loc"]
        by_array[location[:-1] if location and isinstance(location[-1], int) else location].append(detail)
    for details in by_array.values():
        _report(details, place, out)
    return None


def _report(details: list[ErrorDetails], place: str, out: Findings) -> None:
    out.each(
        list(range(len(details))),
        lambda row: (place + _path(details[row]["loc"])).lstrip(".") or "file",
        details[0]["type"].replace("extra_forbidden", "unknown_key"),
        lambda row: _found(details[row]),
        lambda row: _expected(details[row]),
    )


def _path(location: tuple[int | str, ...]) -> str:
    if location and location[0] == "bars" and isinstance(location[-1], int):
        location = (*location[:-2], location[-1], location[-2])  # bars are named row first: bars.5m[17].high
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _found(detail: ErrorDetails) -> object:
    if detail["type"] == "missing":
        return "nothing"
    value = detail["input"]
    return value if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "no such key"
    return {"missing": "this key"}.get(detail["type"], detail["msg"].removeprefix("Input should be "))


def parse_stamp(text: str) -> int | None:
    """UTC nanoseconds of `2024-07-01T13:30:00Z` (nine digits of fraction at most once), or None."""
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]}+00:00")
    except ValueError:
        return None
    if not 1900 <= moment.year < 2250:  # int64 nanoseconds end in 2262
        return None
    return int(moment.timestamp()) * 1_000_000_000 + int(match[2] or 0)


def parse_stamps(texts: list[str]) -> IntArray | None:
    """UTC nanoseconds int64 (n,) of whole-second stamps; None where one is malformed (see `bad_stamps`).

    The digits are added up here: NumPy's own cast of such texts to datetime64 crashes on a bad one among 500 or more
    (2.4.6: it raises its ValueError without the interpreter lock).
    """
    if not texts:
        return np.empty(0, np.int64)
    if set(map(len, texts)) != {20}:
        return None
    return _parse_joined("".join(texts))


@functools.lru_cache(maxsize=16)  # many symbols have the same stamps
def _parse_joined(joined: str) -> IntArray | None:
    if not joined.isascii():
        return None
    letters = np.frombuffer(joined.encode(), np.uint8).reshape(-1, 20)
    if (letters[:, (4, 7, 10, 13, 16, 19)] != np.frombuffer(b"--T::Z", np.uint8)).any():
        return None
    digits = letters[:, _DIGITS] - ord("0")  # unsigned: what is no digit comes out above 9
    if (digits > 9).any():
        return None
    year, month, day, hour, minute, second = (digits @ _PLACES).T
    months = (year - 1970) * 12 + month - 1
    first, following = _days(months), _days(months + 1)
    sane = (month >= 1) & (month <= 12) & (day >= 1) & (first + day <= following) & (year >= 1900) & (year < 2250)
    if not (sane & (hour < 24) & (minute < 60) & (second < 60)).all():
        return None
    stamps: IntArray = (((first + day - 1) * 24 + hour) * 3_600 + minute * 60 + second) * 1_000_000_000
    stamps.flags.writeable = False
    return stamps


def _days(months: IntArray) -> IntArray:
    """Days since 1970 of the first of each month, counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def bad_stamps(texts: list[str], place: Callable[[int], str], out: Findings) -> None:
    """Add every malformed stamp of a column; `place` names that of a row."""
    rows = [row for row, text in enumerate(texts) if parse_stamps([text]) is None]
    out.each(rows, place, "bad_stamp", lambda row: texts[row], lambda _: STAMP_FORM)
