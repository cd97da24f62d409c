"""The one place that reaches into how Ray starts a node.

    with altered_ray(DEFAULT_PRELOAD, lean=True):
        ray.init(num_cpus=2)

starts a Ray whose workers are forked. On any doubt Ray starts its own way, after one warning.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from barray.actors.ray_start.forked_workers import DEFAULT_PRELOAD, prewarm, with_launcher
from barray.actors.ray_start.idle_agents import with_idle_agents
from barray.actors.ray_start.room import require_room
from barray.actors.ray_start.session_folder import with_private_session

__all__ = [
    "DEFAULT_PRELOAD",
    "TESTED_RAY_VERSIONS",
    "altered_ray",
    "objection",
    "own_sigterm",
    "quick_exports",
    "ray_start",
]

TESTED_RAY_VERSIONS = frozenset({"2.60.0"})
Change = Callable[[list[str]], list[str]]
"""Of a raylet's command. OSError, KeyError, ValueError, SubprocessError: it is not what was expected."""
_logger = logging.getLogger("barray.forkserver")


@contextlib.contextmanager
def altered_ray(
    preload: Sequence[str] | None = DEFAULT_PRELOAD, *, lean: bool = False, agent: bool = False
) -> Iterator[None]:
    """Raylets started within, by this process, get their Python workers from a forkserver that has imported `preload`.

    They keep doing so after the block ends, for their whole life. None: no forked workers. `lean`: a node that is
    started here, by `ray.init`, is a `LeanNode`, and its raylet's agents wait until they are wanted; `agent`: but for
    the one that exports metrics. The session's folder is this user's alone.
    """
    if reason := objection():
        _warn(reason)
        yield
        return
    from ray._common.utils import try_to_create_directory
    from ray._private import node, services, utils

    changes: list[Change] = [with_idle_agents] if lean else []
    if preload is not None:
        changes.append(lambda command: with_launcher(command, preload))
    with contextlib.ExitStack() as patches:
        patches.enter_context(_replaced(services, "start_ray_process", _altering(services.start_ray_process, changes)))
        create = with_private_session(try_to_create_directory)
        patches.enter_context(_replaced(node, "try_to_create_directory", create))
        if lean:
            from barray.actors.ray_start.lean_node import LeanNode

            patches.enter_context(_replaced(node, "Node", LeanNode))
            if not agent:
                patches.enter_context(_replaced(utils, "get_dashboard_dependency_error", _no_dashboard))
        yield


@contextlib.contextmanager
def own_sigterm() -> Iterator[None]:
    """For a block in which this process starts or joins Ray: SIGTERM goes on to whoever had it before.

    Ray would take it, and print its C++ stack at the end. Where nobody had it Ray's end stays, without the stack.
    """
    from ray._private import utils

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.ExitStack() as patches:
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            patches.enter_context(_replaced(utils, "set_sigterm_handler", lambda _: None))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # again, for C has it by now


@contextlib.contextmanager
def quick_exports() -> Iterator[None]:
    """For a block in which this process starts an actor: its class goes to the workers without being disassembled.

    Of that, 60 ms for a coordinator's class, Ray 2.60 makes a mark that nothing reads.
    """
    if objection():
        yield
        return
    from ray._private.function_manager import FunctionActorManager

    with _replaced(FunctionActorManager, "compute_collision_identifier", _mark_of):
        yield


def _mark_of(_: object, kind: type) -> bytes:
    return f"{kind.__module__}.{kind.__qualname__}".encode()


def ray_start(arguments: Sequence[str], preload: Sequence[str] = DEFAULT_PRELOAD) -> int:
    """Runs `ray start ARGUMENTS` in this process, with forked workers on the new node; returns the exit status.

    ConfigError where the machine has no room for it.
    """
    from ray.scripts.scripts import cli

    require_room(next((word.partition("=")[2] for word in arguments if word.startswith("--temp-dir=")), None))
    with altered_ray(preload):
        try:
            cli.main(["start", *arguments], prog_name="ray")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def forget_current_cluster(arguments: Sequence[str]) -> None:
    """Have Ray no longer name a cluster none of whose nodes is here any more, after `ray start ARGUMENTS` has ended.

    Ray 2.60 forgets it only in `ray stop`; until then each `ray.init()` on this machine wants to join it.
    """
    from ray._common.utils import get_ray_address_file
    from ray._private import services
    from ray._private.utils import read_ray_address

    words = [part for word in arguments for part in word.split("=", 1)]
    folder = next((value for name, value in pairwise(words) if name == "--temp-dir"), None)
    find: Any = services.find_gcs_addresses
    find.cache_clear()
    with contextlib.suppress(OSError):
        if read_ray_address(folder) not in find():
            os.unlink(get_ray_address_file(folder))


def objection() -> str | None:
    """Why this Ray, on this machine, is better not tampered with; None if it may be."""
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        return "forked workers need Linux with pidfd_open"
    import ray

    if ray.__version__ not in TESTED_RAY_VERSIONS:
        tested = ", ".join(sorted(TESTED_RAY_VERSIONS))
        return f"forked workers are tested with Ray {tested}, not with {ray.__version__}"
    return None


def _altering(start: Callable[..., Any], changes: Sequence[Change]) -> Callable[..., Any]:
    """Ray's `start`, for a raylet with a changed command. A change that fails is left out."""

    def start_altered(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        if process_type != "raylet":
            return start(command, process_type, *args, **kwargs)
        for change in changes:
            command = _changed(command, change)
        info = start(command, process_type, *args, **kwargs)
        if "--head" in command:
            prewarm(info.process.pid)
        return info

    return start_altered


def _changed(command: list[str], change: Change) -> list[str]:
    try:
        return change(command)
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        _warn(str(error))
        return command


def _no_dashboard() -> ImportError:
    """What Ray finds out by importing aiohttp and more, for a quarter of a second, only to start a lesser agent."""
    return ImportError("a Ray of one machine has no dashboard")


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@functools.cache
def _warn(reason: str) -> None:
    _logger.warning("%s. Ray starts its own, slower way.", reason)
