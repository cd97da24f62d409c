"""Where a strategy's class comes from, in a form that travels to every node."""

from __future__ import annotations

import functools
import hashlib
import linecache
import sys
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy, strategies_in
from barray.trading.strategy.mistakes import check_hooks, no_strategy
from barray.trading.strategy.siblings import Sibling, serve


@dataclass(frozen=True)
class Code:
    """Code of the user's: the text of a file, or a module that is installed wherever it runs or among the siblings.

    `where`: the file's path or the module's name. `text`: the file's content, None for a module. `name`: of the class,
    None where the code defines just one. `siblings`: modules that it imports and that are not installed.
    """

    told_as: ClassVar[str] = "code"
    where: str
    text: str | None = None
    name: str | None = None
    siblings: tuple[Sibling, ...] = field(default=(), repr=False)

    def load(self) -> type[Any]:
        """The class; ConfigError where the code can't be run, or has no such class."""
        raise NotImplementedError

    def module(self) -> ModuleType:
        """The module, run where it is a file's text; ConfigError, with file and line, where it can't be.

        What it imports of its siblings must be served.
        """
        try:
            return import_module(self.where) if self.text is None else _run(self.where, self.text)
        except Exception as error:
            line = _line_of(error, self.where)
            raise ConfigError(
                f"{self.told_as} {self.where}{line}: {type(error).__name__}: {error}", remedy=_remedy(error, self)
            ) from error


@dataclass(frozen=True)
class StrategySource(Code):
    """A strategy's code."""

    told_as = "strategy"

    def load(self) -> type[Strategy]:
        """The class; ConfigError where the code can't be run, has no such class, or one with a misspelt method."""
        serve(self.siblings)
        return _load(self)

    def load_anew(self) -> type[Strategy]:
        """The class from a file's code run once more, whatever was loaded before; errors as in `load`."""
        return _load.__wrapped__(self)


@functools.lru_cache(maxsize=64)
def _load(source: StrategySource) -> type[Strategy]:
    chosen = _chosen(source, source.module())
    check_hooks(chosen, source.where)
    return chosen


def _chosen(source: StrategySource, module: ModuleType) -> type[Strategy]:
    found = strategies_in(vars(module), module.__name__)
    listed = ", ".join(found) or "none"
    named = getattr(module, source.name, None) if source.name is not None else None
    if isinstance(named, type) and issubclass(named, Strategy) and named.forms():
        return named
    if not found and (source.name is None or named is not None):
        raise no_strategy(source.where, vars(module), module.__name__)
    if source.name is not None:
        raise ConfigError(f"{source.where} has no strategy {source.name!r}", remedy=f"it defines: {listed}")
    if len(found) != 1:
        raise ConfigError(
            f"{source.where} defines {len(found)} strategies ({listed})", remedy="name one under strategy.class"
        )
    return next(iter(found.values()))


def _run(where: str, text: str) -> ModuleType:
    name = "barray_strategy_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    module = ModuleType(name)
    module.__file__ = where
    sys.modules[name] = module  # annotations are looked up there
    linecache.cache[where] = (len(text), None, text.splitlines(keepends=True), where)
    exec(compile(text, where, "exec"), vars(module))  # noqa: S102  # the user's own code
    return module


def _remedy(error: Exception, source: Code) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None:
        return f"mend the {source.told_as}'s code"
    if source.text is None and missing == source.where.partition(".")[0]:
        return "install it, or begin in the folder that it lies in"
    return f"install {missing}, or put {missing.replace('.', '/')}.py beside the code"


def _line_of(error: Any, where: str) -> str:
    if isinstance(error, SyntaxError) and error.filename == where:
        return f" line {error.lineno}"
    trace = error.__traceback__
    lines = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == where:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" line {lines[-1]}" if lines else ""
