"""Which processes came of those that a measurement has started, whatever they do to their names and variables.

A mark in /proc/PID/environ does not tell: Ray's titles are written over the variables, keys that are taken out leave
zeros there, at which psutil stops to read, and the order of a worker's variables is another each time. Nor do parents:
a process whose parent has died has another. The kernel's session, made by `start_new_session`, stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import psutil


def started_by(leaders: Collection[int], *titles: str) -> list[psutil.Process]:
    """Living processes of the sessions that these began, they too; only those with one of `titles` in their command
    line, if any is named.
    """
    found = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if os.getsid(pid) in leaders:
                process = psutil.Process(pid)
                line = " ".join(process.cmdline()) if titles else ""
                if process.status() != psutil.STATUS_ZOMBIE and (not titles or any(one in line for one in titles)):
                    found.append(process)
    return found


def send(process: psutil.Process, number: int) -> None:
    """A signal, if it is there still."""
    with suppress(psutil.Error):
        process.send_signal(number)


def left_of(members: Callable[[], Sequence[object]], patience_s: float) -> int:
    """How many of them are left once they have had time to go."""
    until = time.monotonic() + patience_s
    while (left := members()) and time.monotonic() < until:
        time.sleep(0.2)
    return len(left)
