"""Raylets whose Python workers are forked: their command, and orders to their forkservers.

What the command names is the interpreter and this package; nothing that is run lies in a folder of Ray's, which others
can write to.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from barray.actors.forking.private_folder import private_folder, user_folder
from barray.actors.forking.workers import launcher
from barray.actors.ray_start import early_server

DEFAULT_PRELOAD = (
    # What a Ray 2.60 worker imports late: when it connects, and when it returns its first result (0.1 s of CPU).
    "ray._common.usage.usage_lib",
    "ray._common.pydantic_compat",
    "ray._private.arrow_serialization",
    "pydantic.v1",
    "pyarrow.json",
    "numpy",
    "pyarrow.parquet",  # not pyarrow.dataset, which imports pandas
    "pyarrow.compute",  # 80 ms at the first cast
    "barray.market.talib_light",
    "barray.actors.symbol_actor",
    "barray.actors.backtest_actor",
    "barray.actors.validation",
    "barray.data_sources.parquet.source",
)
_RAYLET_OPTIONS = {
    # A fork is quick.
    "--num_prestart_python_workers": "0",
    # Ray's one at a time a core is for starts that import for a second. 100 forked actors: 5.6 s, and with this 3.0 s.
    "--maximum_startup_concurrency": "100",
}
_ACTORS = Path(__file__).absolute().parents[1]  # not resolved: there may be links
# -I and -S: nothing that the user's environment or site-packages add can slow or break it.
_LAUNCHER = [
    sys.executable,
    "-ISc",
    f"import sys; sys.path.insert(0, {str(_ACTORS)!r}); from forking.workers.launcher import main; main()",
]


def with_launcher(command: Sequence[str], preload: Sequence[str]) -> list[str]:
    """The raylet's command with the launcher in place of the interpreter of its Python workers.

    OSError, ValueError or SubprocessError where that would not work.
    """
    before = f"--python_worker_command={subprocess.list2cmdline([sys.executable])} "
    position = next((i for i, argument in enumerate(command) if argument.startswith(before)), None)
    if position is None:
        raise ValueError("the raylet's command is not the one expected")
    after = f"--python_worker_command={_launcher_command(workers_folder(), preload)} "
    changed = [_changed(argument) for argument in command]
    changed[position] = after + command[position].removeprefix(before)
    return changed


def workers_folder() -> Path:
    """Where forkservers have their sockets, locks and logs; OSError if there is no safe place.

    What those that were killed have left there is removed.
    """
    folder = Path(private_folder(user_folder(), "workers"))
    for path in folder.iterdir():
        if not os.path.exists(f"/proc/{path.name.partition('-')[0]}"):
            path.unlink(missing_ok=True)
    return folder


def _launcher_command(folder: Path, preload: Sequence[str]) -> str:
    """As one text, tried."""
    words = [*_LAUNCHER, str(folder), ",".join(preload)]
    text = subprocess.list2cmdline(words)
    if shlex.split(text) != words:
        raise ValueError(f"a raylet would misread the path {str(_ACTORS)!r} or {sys.executable!r}")
    subprocess.run([*words, "-ISc", "pass"], check=True, timeout=30)
    return text


def _changed(argument: str) -> str:
    name = argument.partition("=")[0]
    return f"{name}={_RAYLET_OPTIONS[name]}" if name in _RAYLET_OPTIONS else argument


def prewarm(raylet_pid: int) -> None:
    """Starts the forkserver of a raylet started within `altered_ray`.

    It is a guess at what the first worker will ask for; where it is wrong, or fails, that starts its own.
    """
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        command = Path(f"/proc/{raylet_pid}/cmdline").read_text().split("\0")
        words = shlex.split(launcher.option(command, "--python_worker_command"))
        if words[: len(_LAUNCHER)] == _LAUNCHER:
            (script,) = [word for word in words if word.endswith(launcher.WORKER_SCRIPT)]
            launch = words[: len(_LAUNCHER) + 2]
            environment = _worker_environment(raylet_pid)
            channel = early_server.taken(environment)
            order, passed = launcher.PREWARM, [channel.fileno()] if channel is not None else []
            with channel or contextlib.nullcontext():
                order += "".join(f"={number}" for number in passed)
                subprocess.run([*launch, order, script], check=False, env=environment, timeout=10, pass_fds=passed)


def _worker_environment(raylet_pid: int) -> dict[bytes, bytes]:
    """The raylet's environment, changed as it changes that for its workers."""
    pairs = Path(f"/proc/{raylet_pid}/environ").read_bytes().split(b"\0")
    environment = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
    if environment.get(b"RAY_LD_PRELOAD_ON_WORKERS") == b"0":
        environment.pop(b"LD_PRELOAD", None)
    return environment | {b"RAY_RAYLET_PID": b"%d" % raylet_pid, b"SPT_NOENV": b"1"}
