"""Hearing what a strategy prints and logs, wherever it runs."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from barray.trading.results.logs import MOST_LINES, MOST_LINES_OVER_ALL, LogLine, Logs

_LONGEST = 500
_OURS = ("barray", "ray")


class Listener:
    """Takes lines that a strategy prints, or logs at level INFO and above, each stamped with symbol and session time:
    what the thread says in the block that it is entered for, and that goes nowhere else.

    `symbol`: whose strategy it is, or what tells whose it is now, "" for one over all symbols. `now_ns`: tells the
    session time, UTC ns, None where there is none. A symbol's lines from the 200th on are only counted, those over all
    symbols from the 1,000th on; `heard_before`: how many each has said, and says from now on. What a line has beyond
    500 characters is cut off.
    """

    def __init__(
        self,
        symbol: str | Callable[[], str],
        now_ns: Callable[[], int | None] = lambda: None,
        heard_before: Counter[str] | None = None,
    ) -> None:
        self._symbol = symbol
        self._now_ns = now_ns
        self._counts = Counter() if heard_before is None else heard_before
        self._lines: list[LogLine] = []
        self._left_out = 0
        self._begun = ""
        self._handler = _Handler(self)
        self._out, self._err = _Stream(self), _Stream(self)

    def __enter__(self) -> Self:
        self._handler.thread = self._out.thread = self._err.thread = threading.get_ident()
        self._out.original, self._err.original = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._out, self._err
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        sys.stdout, sys.stderr = self._out.original, self._err.original

    def hear(self, text: str) -> None:
        """Take text as it is printed: a line is one when it ends."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self.add(line)
        self._begun = self._begun[: 2 * _LONGEST]

    def add(self, line: str) -> None:
        """Take a line that is whole."""
        symbol = self._symbol if isinstance(self._symbol, str) else self._symbol()
        self._counts[symbol] += 1
        if self._counts[symbol] > (MOST_LINES if symbol else MOST_LINES_OVER_ALL):
            self._left_out += 1
            return
        cut = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
        self._lines.append(LogLine(self._now_ns(), symbol, cut))

    def heard(self) -> Logs:
        """All that was said since this was last asked; of a line that has not ended, what there is."""
        if self._begun:
            self.hear("\n")
        logs = Logs(tuple(self._lines), self._left_out)
        self._lines, self._left_out = [], 0
        return logs


class _Handler(logging.Handler):
    def __init__(self, listener: Listener) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        self._listener = listener
        self.thread = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread and record.name.partition(".")[0] not in _OURS:
            for line in self.format(record).splitlines():
                self._listener.add(line)


class _Stream(io.TextIOBase):
    """In place of a standard stream, for one thread; to all others it is what it was."""

    original: Any = None
    thread = 0

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread:
            return int(self.original.write(text))
        self._listener.hear(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def hear_info() -> None:
    """In a process that runs strategies: have loggers pass INFO on, which Python drops by default."""
    logging.getLogger().setLevel(logging.INFO)
