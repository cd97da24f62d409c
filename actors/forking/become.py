"""How a forked process turns into what was asked for."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Mapping

from .request import Request, close_all

YOUNG = 10_000
"""Objects made since, that are not gone, at which the collector looks through them. Python's 700 costs a process that
reads bars 3 % of its time.
"""


def become(request: Request, environment: Mapping[bytes, bytes]) -> None:
    """Makes this process what the one that asked would have been.

    Of the variables, those change that differ from `environment`: what else an import has changed stays. OSError.
    """
    os.setpgid(0, request.group)
    set_oom_score(request.oom_score_adj)
    *standard, directory = request.descriptors
    for target, descriptor in enumerate(standard):
        os.dup2(descriptor, target)
    os.fchdir(directory)
    close_all(request.descriptors)
    os.umask(request.umask)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)
    for name in differing(environment, request.environment):
        os.environb.pop(name, None)
        if name in request.environment:
            os.environb[name] = request.environment[name]
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()  # `random` reseeds itself after a fork, uuid and secrets ask the kernel
    gc.set_threshold(YOUNG)
    gc.enable()


def differing(ours: Mapping[bytes, bytes], theirs: Mapping[bytes, bytes]) -> list[bytes]:
    """Names of the variables whose values differ."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def set_oom_score(value: int) -> None:
    """How readily the kernel kills this process when memory is short; -1000 never, 1000 first."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(value))
