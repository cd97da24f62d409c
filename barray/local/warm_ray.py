"""A local Ray that stays warm between runs: `barray up`, `barray down`. Loopback only, this user only."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from barray.data_sources.atomic_file import replacing, writing
from barray.data_sources.environment import take_credentials
from barray.local.sessions import is_alive
from barray.local.user_folder import OTHER, notes_folder
from barray.market.errors import BarrayError

logger = logging.getLogger(__name__)
_START_S = 60.0
_STOP_S = 30.0
_SERVER_STOP_S = 6.0  # a second more than it gives its commands


@dataclass(frozen=True)
class LocalRay:
    """The warm Ray: its address, `host:port`, and the process that holds it.

    `began`: when that started, in the kernel's clock ticks; 0 where the system doesn't tell. A pid alone may be
    another's by now. `installation`: whose code its processes run, see `installation`.
    """

    address: str
    pid: int
    began: int
    installation: str


def find() -> LocalRay | None:
    """The warm Ray of this user, if one is up."""
    try:
        found = LocalRay(**json.loads(_note().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if _is_up(found) else None


def find_ours() -> LocalRay | None:
    """The same, if its processes run this code; where they run another's that is said, and nothing joins it."""
    found = find()
    if found is None or found.installation == installation():
        return found
    logger.warning("the Ray that is up runs the code of %s, not this: it is not used", found.installation)
    return None


def installation() -> str:
    """Where this process has its code from: barray's folder, and the environment's where packages are."""
    return f"{Path(__file__).resolve().parents[1]} in {Path(sys.prefix).resolve()}"


def up(num_cpus: int | None = None, metrics_port: int | None = None) -> tuple[LocalRay, bool]:
    """The warm Ray, and whether it was started now. BarrayError, with what it said, if it doesn't come up, and where
    one is up that runs the code of another installation.
    """
    from barray.coordinator import runtime

    with _alone() as lock:
        if found := find():
            if found.installation != installation():
                raise BarrayError(f"a Ray is up with the code of {found.installation}", remedy="`barray down` ends it")
            return found, False
        runtime.require_room(metrics_port)
        return _start((num_cpus, metrics_port), lock), True


def down() -> bool:
    """End the warm Ray and all that runs on it; False if there is none."""
    with _alone():
        found = find()
        if found is None:
            return False
        _stop(found)
        _note().unlink(missing_ok=True)
        return True


@contextmanager
def _alone() -> Iterator[int]:
    """One `up` or `down` at a time: waits for another. The lock's descriptor, to inherit."""
    path = notes_folder() / "ray.lock"
    with writing(path, OTHER):
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _start(options: tuple[int | None, int | None], lock: int) -> LocalRay:
    log = notes_folder() / "ray.log"
    command = [*_python("barray.local.warm_ray"), str(lock), *(str(option or "") for option in options)]
    with writing(log, OTHER), log.open("wb") as output:
        holder = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[lock],  # held until there is a note, even if this process is killed
        )
    end = time.monotonic() + _START_S
    while time.monotonic() < end and holder.poll() is None:
        if found := find():
            return found
        time.sleep(0.05)
    _stop(LocalRay("", holder.pid, _began(holder.pid), installation()))
    said = log.read_text(errors="replace").strip().splitlines()[-1:]
    raise BarrayError(f"the local Ray did not start: {' '.join(said)}", remedy=f"see {log}")


def _note() -> Path:
    return notes_folder() / "ray.note"


def _is_up(ray: LocalRay) -> bool:
    return is_alive(ray.pid) and _began(ray.pid) == ray.began


def _began(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _stop(ray: LocalRay) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        _send(ray, kind)
        end = time.monotonic() + _STOP_S
        while _is_up(ray) and time.monotonic() < end:
            with suppress(ChildProcessError):
                os.waitpid(ray.pid, os.WNOHANG)
            time.sleep(0.05)
        if not _is_up(ray):
            return


def _send(ray: LocalRay, kind: signal.Signals) -> None:
    """To that process alone: what a descriptor stands for doesn't change between look and signal."""
    with suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):
            os.kill(ray.pid, kind)
            return
        process = os.pidfd_open(ray.pid)
        try:
            if _is_up(ray):
                signal.pidfd_send_signal(process, kind)
        finally:
            os.close(process)


def _hold(lock: int, num_cpus: int | None, metrics_port: int | None) -> None:
    """Start Ray and hold it until SIGTERM; runs in a process of its own, which has `lock` until others can find it."""
    from barray.coordinator import runtime

    os.set_inheritable(lock, False)
    take_credentials()  # whoever comes with a session has his own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    environment = dict(os.environ)  # before Ray changes it
    server = None
    try:
        runtime.start_ray(num_cpus, metrics_port=metrics_port)
        ray = LocalRay(runtime.ray_address(), os.getpid(), _began(os.getpid()), installation())
        with replacing(_note(), OTHER) as temporary:
            temporary.write_text(json.dumps(asdict(ray)))
        os.close(lock)
        if hasattr(os, "pidfd_open"):
            command = _python("barray.warm_commands.server")
            server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        runtime.hold_ray()
    finally:
        signal.alarm(0)  # by which Ray's handler of SIGTERM aborts this process after 3 s, whatever it still has to end
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
    _hold(int(sys.argv[1]), *(int(option) if option else None for option in sys.argv[2:4]))
