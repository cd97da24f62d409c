"""What was meant where code that should hold a strategy holds none, or one with a method that nothing calls."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy

FORMS = ("on_bar", "signals", "on_window")
HOOKS = (*FORMS, "on_start", "on_session", "on_fill", "indicators")
_ALIKE = 0.85
"""Share of two names, as difflib measures it, from which on one is held to be the other misspelt."""


def check_hooks(kind: type[Strategy], where: str) -> None:
    """ConfigError where a method's name begins with `on` and is nearly that of one that is called.

    Other methods of a strategy that has a form are its own: `signal` may be a helper of `on_bar`.
    """
    if found := _misspelt(kind, "on"):
        raise _not_called(kind, *found, where)


def no_strategy(where: str, namespace: Mapping[str, Any], module: str) -> ConfigError:
    """Why a module has no strategy: the first of its classes that was to be one."""
    own = [one for one in namespace.values() if inspect.isclass(one) and one.__module__ == module]
    for kind in own:
        methods = [name for name in HOOKS if name in vars(kind)]
        if not issubclass(kind, Strategy) and methods:
            return ConfigError(
                f"{where}: {kind.__name__} has {methods[0]} but is no Strategy",
                remedy=f"write class {kind.__name__}(Strategy), after from barray import Strategy",
            )
        if issubclass(kind, Strategy) and (found := _misspelt(kind)):
            return _not_called(kind, *found, where)
    return ConfigError(
        f"{where} defines 0 strategies (none)",
        remedy=f"define a class that is a Strategy and has one of {', '.join(FORMS)}",
    )


def _misspelt(kind: type, prefix: str = "") -> tuple[str, str] | None:
    """The first method whose name is nearly that of one that is called, and what that is."""
    for name, value in vars(kind).items():
        if name in HOOKS or hasattr(Strategy, name) or not inspect.isfunction(value) or not name.startswith(prefix):
            continue
        if close := get_close_matches(name, HOOKS, 1, _ALIKE):
            return name, close[0]
    return None


def _not_called(kind: type, name: str, meant: str, where: str) -> ConfigError:
    return ConfigError(
        f"{where}: {kind.__name__} has {name}, which nothing calls",
        remedy=f"name it {meant} if that is meant, else less like it",
    )
