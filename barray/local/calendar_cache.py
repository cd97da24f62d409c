"""Calendar sessions kept on disk: exchange_calendars and its pandas take half a second to import, a file a millisecond.

The file may be removed at any time. BARRAY_NO_CACHE=1 leaves it unread and unwritten.
"""

from __future__ import annotations

import os
import sys
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from barray.data_sources.atomic_file import replacing
from barray.market.calendar import RegularSessions, Sessions, exchange_sessions
from barray.market.errors import ConfigError

_FORMAT = 1
_LIBRARY = "exchange_calendars"


def cached_sessions(name: str, first: date, last: date) -> RegularSessions:
    """What `exchange_sessions` gives, from the file of this calendar if it can be; whole years are added to it.

    Errors are those of `exchange_sessions`. No file, a spoilt one, a place that can't be written: it only takes longer.
    """
    if os.environ.get("BARRAY_NO_CACHE") or _library_is_loaded():  # then it is quick, and may hold other calendars
        return exchange_sessions(name, first, last)
    with suppress(ConfigError, RuntimeError):  # the calendar may not have whole years, the user no home
        path = _folder() / f"{quote(name, safe='')}.json"
        kept = _read(path)
        if kept is None or first < kept.first or kept.last < last:
            kept = _whole_years(name, min(first, kept.first if kept else first), max(last, kept.last if kept else last))
            _write(path, kept)
        if len((found := kept.sessions.between(first, last)).sessions):
            return found
    return exchange_sessions(name, first, last)


@dataclass(frozen=True, eq=False)
class _Kept:
    """All sessions from `first` to `last`."""

    first: date
    last: date
    sessions: RegularSessions


def _whole_years(name: str, first: date, last: date) -> _Kept:
    begin, end = date(first.year, 1, 1), date(last.year, 12, 31)
    return _Kept(begin, end, exchange_sessions(name, begin, end))


def _library_is_loaded() -> bool:
    return _LIBRARY in sys.modules


def _folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "barray"


def _key() -> str:
    """What is kept is true of these versions only."""
    return f"{_FORMAT} {version(_LIBRARY)}"


def _read(path: Path) -> _Kept | None:
    """What a file keeps; None if there is none, it is spoilt, or of another version."""
    try:
        checksum, _, body = path.read_bytes().partition(b"\n")
        if checksum != _checksum(body):
            return None
        kept: dict[str, Any] = orjson.loads(body)
        if kept["key"] != _key():
            return None
        arrays = {name: np.array(values, np.int64) for name, values in kept["sessions"].items()}
        sessions = Sessions(**{**arrays, "dates": arrays["dates"].astype("datetime64[D]")})
        half_days = frozenset(map(date.fromisoformat, kept["half_days"]))
        found = RegularSessions(kept["name"], kept["timezone"], sessions, half_days)
        return _Kept(date.fromisoformat(kept["first"]), date.fromisoformat(kept["last"]), found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _write(path: Path, kept: _Kept) -> None:
    found = kept.sessions
    content = {
        "key": _key(),
        "first": kept.first,
        "last": kept.last,
        "name": found.name,
        "timezone": found.timezone,
        "half_days": sorted(found.half_days),
        "sessions": {name: array.astype(np.int64) for name, array in asdict(found.sessions).items()},
    }
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    with suppress(ConfigError, OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(_checksum(body) + b"\n" + body)


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)
