"""How a strategy's own error is told: its traceback, and in one line where and when it came."""

from __future__ import annotations

import inspect
import sys
import traceback
from datetime import datetime


class DidNotReturn(BaseException):
    """A strategy's call took too long. No Exception, so that no `except Exception` of the strategy keeps it going."""


def failure_text(file: str | None, *where: str | datetime) -> str:
    """The traceback of the error being handled, its last line followed by `where` and the line of `file` it came from.

    `file`: that of the strategy; `where`: what tells the place, such as symbol and time. Of a call that did not return
    also which.
    """
    error = sys.exception()
    frames = traceback.extract_tb(error.__traceback__ if error is not None else None)
    own = [frame for frame in frames if frame.filename == file]
    call = f"in {own[0].name}" if own and isinstance(error, DidNotReturn) else ""
    line = [f"{own[-1].filename} line {own[-1].lineno}"] if own else []
    times = [f"{one:%Y-%m-%d %H:%M %Z}" if isinstance(one, datetime) else one for one in where]
    told = ", ".join([*filter(None, (call, *times)), *line])
    return f"{traceback.format_exc(limit=-6).rstrip()} ({told})\n" if told else traceback.format_exc(limit=-6)


def place_in(file: str, error: Exception) -> str:
    """The file, and the line of it that an error came through last, if any."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file} line {lines[-1]}" if lines else file


def file_of(strategy: object) -> str | None:
    """The file that a strategy's class is defined in, as its code names it; else its module's; None where it has none.

    A class that travels by value has the code of a module that is not here.
    """
    methods = filter(inspect.isfunction, vars(type(strategy)).values())
    file = next((method.__code__.co_filename for method in methods), None)
    return file or getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
