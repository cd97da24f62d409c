"""What a run's coordinator logs, as JSON lines in a file of its node, which outlives the run and its Ray.

Below `$XDG_STATE_HOME/barray/logs` (`~/.local/state/barray/logs`), mode 0700: a file a process, made when
it first logs.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from barray.market.errors import ActorFailed, ConfigError

LEVELS = ("debug", "info", "warning", "error")
_MOST_FILES, _MOST_BYTES = 200, 16 << 20
_OF_SYMBOL = "%s: "
"""What a message begins with that is about a symbol, or several: they are its first argument."""


def logs_folder() -> Path:
    """Where this machine's logs of this user lie."""
    states = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(states) / "barray" / "logs"


class JsonLines(logging.Formatter):
    """A record as a line of JSON: when (UTC), level, session, what `context` says just now, who, where, what."""

    def __init__(self, session: str, context: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._session = session
        self._context = context
        self._host = socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"at": at.replace("+00:00", "Z"), "level": record.levelname.lower(), "session": self._session}
        arguments = record.args if isinstance(record.args, tuple) else ()
        about = {"symbol": arguments[0]} if arguments and str(record.msg).startswith(_OF_SYMBOL) else {}
        where = {"node": getattr(record, "node", self._host), "pid": record.process, "logger": record.name}
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return json.dumps({**told, **self._context(), **about, **where, "message": text}, default=str)


class _OwnFile(logging.FileHandler):
    """A file that is made with the first record, this user's alone, and grows no further than 16 MB."""

    def _open(self) -> Any:
        folder = Path(self.baseFilename).parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_old(folder)
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write it; what can't be written is left out, for a log is no reason to fail."""
        with suppress(OSError):
            if self.stream is None or self.stream.tell() < _MOST_BYTES:
                super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full disk, say."""


def begin_log(session: str, level: str, context: Callable[[], Mapping[str, Any]]) -> logging.Handler:
    """Have this process's loggers of ours write to a file of the session's, from `level` on. Returns the handler."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    handler = _OwnFile(logs_folder() / f"{session}.{stamp}.{os.getpid()}.jsonl", delay=True)
    handler.setFormatter(JsonLines(session, context))
    handler.setLevel(level.upper())
    logger = logging.getLogger("barray")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    return handler


def _forget_old(folder: Path) -> None:
    files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    for path in files[: max(0, len(files) - _MOST_FILES + 1)]:
        path.unlink(missing_ok=True)


def read_logs(session: str | None) -> list[dict[str, Any]]:
    """What this machine's files have of a session (None: of all), oldest first, with `file` added."""
    files = [path for path in logs_folder().glob("*.jsonl") if session is None or run_of(path.name)[0] == session]
    return _in_order(line for path in files for line in _lines(path))


def run_of(file: str) -> tuple[str, str]:
    """Name and beginning of the run that wrote a file of that name; two of one name may have begun at once."""
    name, stamp, *_ = file.rsplit(".", 3)
    return name, stamp


def collect_logs(session: str | None, timeout_s: float = 60.0) -> list[dict[str, Any]]:
    """The same of every machine that has a node of the Ray that this process has joined. ActorFailed where one does not
    answer in time.
    """
    import ray

    from barray.actors.options import on_each_host

    try:
        found: list[list[dict[str, Any]]] = ray.get(on_each_host(read_logs, session), timeout=timeout_s)
    except ray.exceptions.RayError as error:
        raise ActorFailed(
            f"a node did not hand over its logs: {type(error).__name__}", remedy="ask again without it"
        ) from error
    return _in_order(line for lines in found for line in lines)


def _in_order(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(lines, key=lambda one: str(one["at"]))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            with suppress(ValueError):  # the last line of a process that was killed
                yield {**json.loads(text), "file": path.name}


def level_number(name: str) -> int:
    """A level's number; ConfigError where there is no such level."""
    if name not in LEVELS:
        raise ConfigError(f"there is no level {name!r}", remedy=f"one of {', '.join(LEVELS)}")
    return int(logging.getLevelNamesMapping()[name.upper()])
