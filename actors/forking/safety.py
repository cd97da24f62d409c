"""Whether a process may be forked."""

from __future__ import annotations

import contextlib
import gc
import os


def thread_count() -> int:
    """All threads of this process, the ones Python does not know included."""
    return len(os.listdir("/proc/self/task"))


def keep_pages_shared() -> None:
    """Keeps the collector from writing to, and so copying, the pages that forked processes share; call it at the end
    of the imports. Each of them turns its collector on again.
    """
    gc.collect()
    gc.freeze()


def draw_alike() -> bool:
    """Whether forked processes would draw the same Ray ids, and so fall over each other: an import has drawn one here,
    as `ray.remote` does, and Ray's generator does not notice a fork.
    """
    return _drawn_by_fork() == _drawn_by_fork()


def _drawn_by_fork() -> bytes:
    """What the first id would be that a forked process draws."""
    import ray

    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            os.write(writing, ray.ObjectID.from_random().binary())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read()
