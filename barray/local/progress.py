"""How far a run is, in words; and a line below a notebook's cell that says so by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Told:
    """A status as a line shows it: `done` of `total` steps, None where nobody knows how many there are."""

    description: str
    detail: str
    done: int
    total: int | None

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Told:
        """Read a coordinator's status."""
        done, total = status["progress"]
        detail = f"{done}/{total} {status.get('steps', 'symbols')}" if total else ""
        if status["phase"] == "running" and status["now"]:
            detail = str(status["now"])
        description = f"{status['session_date'] or ''} {status['phase']}"
        if fetching := status.get("fetching"):
            description += ", fetching"
            done, total = fetching["requests"], max(fetching["planned_requests"], fetching["requests"])
            detail = f"{done}/{total} requests, {fetching['rows']:,} bars"
        return cls(description, detail, done, total or None)


@contextmanager
def shown(progress: Progress | None) -> Iterator[Progress | None]:
    """The caller's own progress; without one, in a notebook, a line that is there as long as the block lasts."""
    if progress is not None or not _in_notebook():
        yield progress
        return
    line = NotebookLine()
    try:
        yield line
    finally:
        line.clear()


def _in_notebook() -> bool:
    """Whether this process is a notebook's kernel: then somebody sees what it displays."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython.get_ipython(), "kernel", None) is not None if ipython else False


class NotebookLine:
    """A line below the cell, written anew with every status that says something new."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._text = ""

    def __call__(self, status: Mapping[str, Any]) -> None:
        """Show a status."""
        told = Told.of(status)
        bar = f'<progress value="{told.done}" max="{told.total}"></progress> ' if told.total else ""
        self._write(f"{bar}{escape(told.description.strip())} {escape(told.detail)}")

    def clear(self) -> None:
        """Leave nothing of it."""
        if self._handle is not None:
            self._write("")

    def _write(self, text: str) -> None:
        if text == self._text:
            return
        self._text = text
        display: Any = import_module("IPython.display")  # ships no types
        if self._handle is None:
            self._handle = display.display(display.HTML(text), display_id=True)
        else:
            self._handle.update(display.HTML(text))
