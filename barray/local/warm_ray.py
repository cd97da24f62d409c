"""A local Ray that stays warm between runs: `barray up`, `barray down`. Loopback only, this user only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from barray.data_sources.atomic_file import replacing
from barray.local.sessions import is_alive
from barray.local.user_folder import notes_folder
from barray.market.errors import BarrayError

_START_S = 60.0
_STOP_S = 30.0
_SERVER_STOP_S = 10.0


@dataclass(frozen=True)
class LocalRay:
    """The warm Ray: its address, `host:port`, and the process that holds it."""

    address: str
    pid: int


def find() -> LocalRay | None:
    """The warm Ray of this user, if one is up."""
    path = _note()
    try:
        found = LocalRay(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    if is_alive(found.pid):
        return found
    path.unlink(missing_ok=True)
    return None


def up(num_cpus: int | None = None) -> tuple[LocalRay, bool]:
    """The warm Ray, and whether it was started now. BarrayError, with what it said, if it doesn't come up."""
    if found := find():
        return found, False
    log = notes_folder() / "ray.log"
    command = [*_python("barray.local.warm_ray"), *([str(num_cpus)] if num_cpus else [])]
    with log.open("wb") as output:
        holder = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    end = time.monotonic() + _START_S
    while time.monotonic() < end and holder.poll() is None:
        if found := find():
            return found, True
        time.sleep(0.05)
    _stop(holder.pid)
    said = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise BarrayError(f"the local Ray did not start: {' '.join(said)}", remedy=f"see {log}")


def down() -> bool:
    """End the warm Ray and all that runs on it; False if there is none."""
    found = find()
    if found is None:
        return False
    _stop(found.pid)
    _note().unlink(missing_ok=True)
    return True


def _note() -> Path:
    return notes_folder() / "ray.note"


def _stop(pid: int) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, kind)
        end = time.monotonic() + _STOP_S
        while is_alive(pid) and time.monotonic() < end:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        if not is_alive(pid):
            return


def _hold(num_cpus: int | None) -> None:
    """Start Ray and hold it until SIGTERM; runs in a process of its own."""
    from barray.coordinator import runtime

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    environment = dict(os.environ)  # before Ray changes it
    server = None
    try:
        runtime.start_ray(num_cpus)
        with replacing(_note()) as temporary:
            temporary.write_text(json.dumps(asdict(LocalRay(runtime.ray_address(), os.getpid()))))
        if hasattr(os, "pidfd_open"):
            command = _python("barray.warm_commands.server")
            server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        runtime.keep_next_job_warm()
    finally:
        runtime.leave_ray()  # commands end, for want of it
        if server is not None:
            _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(_SERVER_STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()


def _python(module: str) -> list[str]:
    return [sys.executable, "-P", "-m", module]  # -P: what lies in the working directory is not meant


if __name__ == "__main__":
    _hold(int(sys.argv[1]) if len(sys.argv) > 1 else None)
