"""Which processes came of those that a measurement has started, whatever they do to their names and variables.

A mark in /proc/PID/environ does not tell: Ray's titles are written over the variables, keys that are taken out leave
zeros there, at which psutil stops to read, and the order of a worker's variables is another each time. Nor do parents:
a process whose parent has died has another. The kernel's session, made by `start_new_session`, stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_REAPER = """
import ctypes, json, os, resource, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
begun = time.perf_counter()
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
status = command.wait()
wall_s = time.perf_counter() - begun
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
spent = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"status": status, "wall_s": wall_s, "cpu_s": spent.ru_utime + spent.ru_stime}))
"""


@dataclass(frozen=True)
class Spent:
    """What a command took till its end, and the CPU of all processes that came of it, to the end of their last."""

    wall_s: float
    cpu_s: float


def reaped(command: Sequence[object], environment: Mapping[str, str]) -> Spent:
    """What a command takes, by a process that has all its orphans come to itself (Linux); SystemExit with what it said
    where it fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", _REAPER, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)
    if told["status"]:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
    return Spent(told["wall_s"], told["cpu_s"])


def started_by(leaders: Collection[int], *titles: str) -> list[psutil.Process]:
    """Living processes of the sessions that these began, they too; only those with one of `titles` in their command
    line, if any is named.
    """
    found = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if os.getsid(pid) in leaders:
                process = psutil.Process(pid)
                fits = not titles or any(title in " ".join(process.cmdline()) for title in titles)
                if fits and process.status() != psutil.STATUS_ZOMBIE:
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
        time.sleep(0.3)
    return len(left)
