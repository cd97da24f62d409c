"""Which sessions run on this machine: a note each, so that a second terminal finds them by name."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from barray.data_sources.atomic_file import replacing
from barray.local.user_folder import OTHER, notes_folder
from barray.market.errors import ConfigError


@dataclass(frozen=True)
class RunningSession:
    """A session, the Ray it runs on (`host:port`) and the process that drives it."""

    name: str
    address: str
    pid: int


def announce(name: str, address: str) -> Path:
    """Note that this process drives session `name`; the note's path, to remove at the end. ConfigError if it can't."""
    path = notes_folder() / f"{name}.{os.getpid()}.json"
    with replacing(path, OTHER) as temporary:
        temporary.write_text(json.dumps(asdict(RunningSession(name, address, os.getpid()))))
    return path


def running_sessions() -> list[RunningSession]:
    """Sessions driven by processes of this user that are alive, by name; notes of dead ones are removed."""
    found = []
    for path in sorted(notes_folder().glob("*.json")):
        try:
            session = RunningSession(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if is_alive(session.pid):
            found.append(session)
        else:
            path.unlink(missing_ok=True)
    return found


def find_session(name: str | None) -> RunningSession:
    """The running session of that name (None: the only one); ConfigError, listing what runs, if it can't be told."""
    sessions = [session for session in running_sessions() if name in (None, session.name)]
    if len(sessions) == 1:
        return sessions[0]
    listed = ", ".join(session.name for session in running_sessions())
    wanted = f"no session {name!r} runs" if name else f"{len(sessions) or 'no'} sessions run"
    known = f"running: {listed}" if listed else "begin one"
    raise ConfigError(f"{wanted} on this machine", remedy=f"{known}; or give its cluster's address")


def is_alive(pid: int) -> bool:
    """Whether there is such a process; a zombie counts as dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
