"""A strategy given as a class, in a form that travels to every node."""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.source import StrategySource

MOST_BYTES = 32_000_000


@dataclass(frozen=True)
class ClassSource(StrategySource):
    """A class of the caller's own program: from a script, a notebook's cell, or a module beside them.

    It travels as a pickle of the class by value: its methods, and the functions, classes and values of the caller's own
    modules that they name, at the moment of the call. Nothing else carries a cell of a notebook, whose helpers stand in
    other cells; a script's text would run the script again in every worker; and what a method finds there is what it
    would find here. Ray sends functions and classes the same way, between processes of one user's session: no pickle
    ever comes from a file or from anybody else. Modules that are installed are named, and imported where it runs.

    `text` is the code by which a sweep knows itself again: the file's; of a cell, for which there is none, a digest of
    the pickle. In the process that made it the class is used itself.
    """

    pickled: bytes = field(default=b"", repr=False)
    kind: type[Strategy] | None = field(default=None, compare=False, repr=False)

    def load(self) -> type[Strategy]:
        """The class; ConfigError where a module that it needs is not there."""
        return self.kind or _unpickled(self.where, self.pickled)

    def load_anew(self) -> type[Strategy]:
        """The class: the code it comes from has been run by the caller."""
        return self.load()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kind": None}


def class_source(kind: type[Strategy], pickled_by_value: Callable[[object], bytes]) -> ClassSource:
    """The source of a class; ConfigError where it has no form, or holds what can't leave this process."""
    if not kind.forms():
        raise ConfigError(
            f"{kind.__name__} has no form", remedy="write on_bar, signals or on_window; see barray.Strategy"
        )
    where = f"{kind.__module__}.{kind.__qualname__}"
    try:
        pickled = pickled_by_value(kind)
    except Exception as error:  # of any kind: whatever the user's objects raise
        raise ConfigError(
            f"strategy {where} can't be sent to where the bars are: {type(error).__name__}: {error}",
            remedy="make locks, files and connections inside its methods, not in the class or beside it",
        ) from error
    if len(pickled) > MOST_BYTES:
        raise ConfigError(
            f"strategy {where} names {len(pickled) / 1e6:,.0f} MB of values, which every symbol would be sent",
            remedy="read big data from a file in on_start",
        )
    text = _text(kind) or hashlib.sha256(pickled).hexdigest()
    return ClassSource(where, text, kind.__name__, pickled=pickled, kind=kind)


@functools.lru_cache(maxsize=64)
def _unpickled(where: str, pickled: bytes) -> type[Strategy]:
    try:
        kind: type[Strategy] = pickle.loads(pickled)  # noqa: S301  # the user's own class, from this session
    except Exception as error:
        raise ConfigError(
            f"strategy {where} can't be made where the bars are: {type(error).__name__}: {error}",
            remedy="install the modules it imports on every node",
        ) from error
    return kind


def _text(kind: type[Strategy]) -> str | None:
    """The text of the file that defines the class."""
    module = inspect.getmodule(kind)
    try:
        return inspect.getsource(module) if module is not None and getattr(module, "__file__", None) else None
    except (OSError, TypeError):
        return None
