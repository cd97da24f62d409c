"""Modules that a library imports and seldom uses, loaded at their first use.

Ray 2.60 imports requests and jsonschema, a quarter of the time that it takes to import: for cloud machines and plugins.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

NAMES = ("requests", "jsonschema")


class _LateModule(ModuleType):
    """Stands for a module until something of it is asked for. (Python 3.11's LazyLoader loads it as soon as it is
    imported a second time.)
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def load_late(names: tuple[str, ...] = NAMES) -> None:
    """Have these modules, where they are not loaded yet, loaded at their first use."""
    for name in names:
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            module = _LateModule(name)
            module.__spec__ = spec
            sys.modules[name] = module
