"""Forked Ray workers: a process imports Ray and our packages once, then forks each worker a raylet asks for.

    with worker_executable():
        ray.init(num_cpus=2)

starts a Ray whose workers are forked. On any doubt Ray starts them its own way, after one warning.
"""

import contextlib
import functools
import glob
import logging
import os
import py_compile
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from barray.actors.forkserver import launcher

__all__ = [
    "DEFAULT_PRELOAD",
    "FIRST_JOB",
    "TESTED_RAY_VERSIONS",
    "dismiss",
    "prewarm",
    "ray_start",
    "worker_executable",
]

TESTED_RAY_VERSIONS = frozenset({"2.60.0"})
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
FIRST_JOB = "01000000"  # of a new cluster; they are counted in little-endian hex
_RAYLET_OPTIONS = {
    # Workers that a raylet starts ahead belong to no job: they would need a server of their own, and a fork is quick.
    "--num_prestart_python_workers": "0",
    # Ray's one at a time a core is for starts that import for a second. 100 forked actors: 5.6 s, and with this 3.0 s.
    "--maximum_startup_concurrency": "100",
}
_PACKAGE = Path(__file__).resolve().parent
_PROJECT = Path(__file__).absolute().parents[3]  # where `import barray` finds it: not resolved, there may be links
_logger = logging.getLogger("barray.forkserver")


@contextlib.contextmanager
def worker_executable(preload: Sequence[str] = DEFAULT_PRELOAD) -> Iterator[None]:
    """Raylets started within, by this process, get their Python workers from a forkserver that has imported `preload`.

    They keep doing so after the block ends, for their whole life.
    """
    if reason := objection():
        _warn(reason)
        yield
        return
    from ray._private import services

    start: Callable[..., Any] = services.start_ray_process

    def start_with_launcher(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        if process_type != "raylet":
            return start(command, process_type, *args, **kwargs)
        try:
            command = _with_launcher(command, preload)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            _warn(str(error))
            return start(command, process_type, *args, **kwargs)
        info = start(command, process_type, *args, **kwargs)
        if "--head" in command:
            prewarm(info.process.pid, FIRST_JOB)
        return info

    services.start_ray_process = start_with_launcher
    try:
        yield
    finally:
        services.start_ray_process = start


def ray_start(arguments: Sequence[str], preload: Sequence[str] = DEFAULT_PRELOAD) -> int:
    """Runs `ray start ARGUMENTS` in this process, with forked workers on the new node; returns the exit status."""
    from ray.scripts.scripts import cli

    with worker_executable(preload):
        try:
            cli.main(["start", *arguments], prog_name="ray")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def objection() -> str | None:
    """Why this Ray, on this machine, is better not tampered with; None if it may be."""
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return "forked workers need Linux with pidfd_open"
    import ray

    if ray.__version__ not in TESTED_RAY_VERSIONS:
        tested = ", ".join(sorted(TESTED_RAY_VERSIONS))
        return f"forked workers are tested with Ray {tested}, not with {ray.__version__}"
    return None


@functools.cache
def _warn(reason: str) -> None:
    _logger.warning("%s. Workers start Ray's own, slower way.", reason)


def _with_launcher(command: Sequence[str], preload: Sequence[str]) -> list[str]:
    """The raylet's command with the launcher in place of the interpreter of its Python workers."""
    before = f"--python_worker_command={subprocess.list2cmdline([sys.executable])} "
    position = next((i for i, argument in enumerate(command) if argument.startswith(before)), None)
    if position is None:
        raise ValueError("the raylet's command is not the one expected")
    session = launcher.option(command, "--session_dir")
    stub = _write_stub(Path(session, "forkserver"), preload)
    _sweep(os.path.dirname(session))
    after = f"--python_worker_command={subprocess.list2cmdline([str(stub)])} "
    changed = [_changed(argument) for argument in command]
    changed[position] = after + command[position].removeprefix(before)
    return changed


def _sweep(sessions: str) -> None:
    """Removes what forkservers that were killed have left in the directories of Rays that have ended."""
    for path in glob.glob(f"{glob.escape(sessions)}/session_*/forkserver/*.sock*"):
        raylet = os.path.basename(path).partition("-")[0]
        if not os.path.exists(f"/proc/{raylet}"):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _changed(argument: str) -> str:
    name = argument.partition("=")[0]
    return f"{name}={_RAYLET_OPTIONS[name]}" if name in _RAYLET_OPTIONS else argument


def prewarm(raylet_pid: int, job_id: str) -> None:
    """Starts the forkserver of a job to come (`job_id`: 8 hex digits) on a raylet started within `worker_executable`.

    It is a guess at what the job's first worker will ask for; where it is wrong, or fails, that starts its own.
    """
    _order(launcher.PREWARM, raylet_pid, job_id)


def dismiss(raylet_pid: int, job_id: str) -> None:
    """Ends that forkserver, once it has no workers: the job is over. Used or not, it would wait for others for long."""
    _order(launcher.DISMISS, raylet_pid, job_id)


def _order(order: str, raylet_pid: int, job_id: str) -> None:
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        command = Path(f"/proc/{raylet_pid}/cmdline").read_text().split("\0")
        _call_launcher(order, command, raylet_pid, job_id)


def _call_launcher(order: str, command: Sequence[str], raylet_pid: int, job_id: str) -> None:
    words = shlex.split(launcher.option(command, "--python_worker_command"))
    (script,) = [word for word in words if word.endswith(launcher.WORKER_SCRIPT)]
    arguments = [f"{name}={launcher.option(words, name)}" for name in ("--temp-dir", "--session-name")]
    # The raylet's environment, changed as it changes that for its workers.
    pairs = Path(f"/proc/{raylet_pid}/environ").read_bytes().split(b"\0")
    environment = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
    if environment.get(b"RAY_LD_PRELOAD_ON_WORKERS") == b"0":
        environment.pop(b"LD_PRELOAD", None)
    environment |= {b"RAY_JOB_ID": job_id.encode(), b"RAY_RAYLET_PID": b"%d" % raylet_pid, b"SPT_NOENV": b"1"}
    subprocess.run([words[0], order, script, *arguments], check=False, env=environment, timeout=10)


def _write_stub(directory: Path, preload: Sequence[str]) -> Path:
    """Writes the executable that stands in for the interpreter, and tries it. Raises OSError or SubprocessError.

    It lives in Ray's session directory, with a compiled launcher beside it: they last as long as the raylet, whatever
    becomes of this process.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    launcher.check_private(str(directory))
    node = (sys.executable, str(directory), str(_PACKAGE / "server.py"), tuple(preload), (str(_PROJECT),))
    # -I and -S: nothing that the user's environment or site-packages add can slow or break it.
    text = (
        f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(directory)!r})\n"
        f"from launcher import Node, main\nmain(Node{node!r})\n"
    )
    stub = directory / f"python-{crc32(text.encode()):08x}"
    if not stub.exists():
        py_compile.compile(str(_PACKAGE / "launcher.py"), cfile=str(directory / "launcher.pyc"), doraise=True)
        draft = directory / f"{stub.name}.{os.getpid()}"
        draft.write_text(text)
        draft.chmod(0o700)
        draft.rename(stub)
    subprocess.run([stub, "-ISc", "pass"], check=True, timeout=30)
    return stub
