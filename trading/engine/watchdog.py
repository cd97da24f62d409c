"""Ending a strategy's call that does not come back."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable

from barray.trading.strategy.failure import DidNotReturn


class watched:  # noqa: N801  # reads as a verb where it is used
    """A block in which `progress()` has to change: where it stays the same for `limit_s` (wall clock), or up to
    twice as long, `DidNotReturn` is raised in this thread, wherever it is in Python. None: never.
    """

    def __init__(self, progress: Callable[[], object], limit_s: float | None) -> None:
        self._progress, self._limit_s = progress, limit_s

    def __enter__(self) -> None:
        if self._limit_s is not None:
            _watchdog(self._limit_s).watch(_Watch(self._progress))

    def __exit__(self, *_: object) -> None:
        if self._limit_s is not None:
            _watchdog(self._limit_s).watch(None)


class _Watch:
    """A block that is watched: by what it shows that it goes on, and how often it showed the same."""

    def __init__(self, progress: Callable[[], object]) -> None:
        self.thread = threading.get_ident()
        self.progress = progress
        self.state: object = None
        self.same = -1

    def stands_still(self) -> bool:
        state = self.progress()
        self.same, self.state = (self.same + 1, state) if state == self.state else (0, state)
        return self.same >= 2


class _Watchdog:
    """Looks twice in `limit_s`, from a thread of its own, so that what is watched costs nothing a bar."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._watch: _Watch | None = None
        self._begun = threading.Event()
        text = f"the call did not come back within {limit_s:g} s, actors.call_timeout_s"
        own = {"__str__": lambda _: text, "__module__": DidNotReturn.__module__}
        self._error = type(DidNotReturn.__name__, (DidNotReturn,), own)
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    def watch(self, watch: _Watch | None) -> None:
        self._watch = watch
        if watch is not None:
            self._begun.set()

    def _look(self) -> None:
        pause = threading.Event()
        while self._begun.wait():
            watch = self._watch
            pause.wait(self._limit_s / 2)  # even where nothing is watched just now: blocks are short, and come often
            if watch is None:
                self._rest()
            elif watch is self._watch and watch.stands_still() and watch is self._watch:
                _raise_in(watch.thread, self._error)

    def _rest(self) -> None:
        """Wait for the next block, unless one has begun by now."""
        self._begun.clear()
        if self._watch is not None:
            self._begun.set()


_watchdog = functools.cache(_Watchdog)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise in another thread; it takes effect between two steps of its Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))
