"""What a run is made of, in plain values by name: enough to tell that what goes on is what was begun."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from barray.coordinator.config.model import SessionConfig
from barray.data_sources.parquet.source import ParquetSource
from barray.market.errors import ConfigError, shorten
from barray.market.session_range import SessionRange
from barray.trading.scans.source import ScanSource
from barray.trading.strategy.source import Code

_ELSEWHERE: dict[str, Any] = {
    **dict.fromkeys(("actors", "export", "live", "log_level", "placement", "ray", "report"), True),
    "run": {"pause_s"},
}
"""What says where, how wide and how fast a run runs, and where it writes: none of it changes what comes out."""
_LIBRARIES = ("barray", "numpy", "ta-lib", "exchange-calendars")
_SHOWN = 6

Made = dict[str, Any]


def made_of(config: SessionConfig, session_range: SessionRange, code: Mapping[str, str]) -> Made:
    """Of a run: the config's values, versions, sessions, files of bars, and digests of code by what it is."""
    settings = _nameless(config.model_dump(mode="json", by_alias=True, exclude=_ELSEWHERE))
    return {
        **dict(_leaves("", settings)),
        **{f"the code of {name}": digest for name, digest in code.items()},
        **{f"the version of {name}": version(name) for name in _LIBRARIES},
        "the version of Python": ".".join(platform.python_version_tuple()[:2]),
        "the calendar's sessions": _of_sessions(session_range),
        **{f"the listings {name}": _of_file(path) for name, path in config.listings.items()},
        **_of_bars(config, session_range),
    }


def code_of_scans(scans: Sequence[ScanSource]) -> dict[str, str]:
    """Digests of scans' code, by what each is; those that a config writes out are in its values."""
    return {f"the scan in {one.code.where}": _of_code(one.code) for one in scans if one.code is not None}


def _of_code(code: Code) -> str:
    texts = [code.where if code.text is None else code.text]
    texts += [text for sibling in code.siblings for text in (sibling.name, str(sibling.text))]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def require_same(begun: Made, now: Made, where: str) -> None:
    """ConfigError (`checkpoint_differs`) that names what differs, unless nothing does."""
    names = [name for name in {**begun, **now} if begun.get(name) != now.get(name)]
    if not names:
        return
    told = [_difference(name, begun.get(name), now.get(name)) for name in names[:_SHOWN]]
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    raise ConfigError(
        f"{where} is of another run: {'; '.join(told)}{more}",
        remedy="put back what it began with, or give --checkpoint another folder",
        code="checkpoint_differs",
    )


def _difference(name: str, begun: Any, now: Any) -> str:
    if name.startswith("the "):
        is_version = name.startswith("the version")
        return f"{name} was {begun} and is {now}" if is_version else f"{name} changed"
    return f"{name} was {_shown(begun)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    return "not there" if value is None else str(shorten(orjson.dumps(value).decode(), 60))


def _leaves(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Single values by their dotted names; lists are values."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else key, inner)
    elif value is not None:
        yield name, value


def _nameless(settings: dict[str, Any]) -> dict[str, Any]:
    """The same without where code lies: what it is counts, and a job has it in a folder of its own."""
    parts = [settings.get("strategy") or {}, *settings.get("scans", ())]
    for part in parts:
        part.pop("path", None)
    return settings


def _of_sessions(session_range: SessionRange) -> str:
    loaded = session_range.loaded
    columns = (loaded.dates.astype("datetime64[D]").astype("int64"), loaded.open_ns, loaded.close_ns)
    return hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()[:16]


def _of_file(path: str) -> str | None:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError:  # whoever reads it says so
        return None


def _of_bars(config: SessionConfig, session_range: SessionRange) -> Made:
    """Digests of how files of bars stand, by source, and by symbol or file; a vendor's store is only ever added to."""
    first, last = session_range.first_day_row, int(session_range.rows[-1])
    sessions = session_range.sessions.take(slice(first, last + 1))
    made: Made = {}
    for source in config.data_sources:
        if isinstance(source, ParquetSource):
            names = set(config.renames.every_name(config.symbols))
            if config.scans or not names:  # whoever there is may be found
                names |= source.symbols() if source.layout.has_symbol else {""}
            symbols = sorted(names)
            kind = "files of bars of" if source.layout.has_symbol else "file of bars"
            for name, states in source.stated(symbols, sessions).items():
                digest = hashlib.sha256(orjson.dumps([list(state) for state in states])).hexdigest()[:16]
                made[f"the {kind} {name} in {source.name}"] = digest
    return made
