"""Pickles that carry the code of the caller's own modules, for processes that don't have those."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

INSTALLED = ("site-packages", "dist-packages")


def pickled_by_value(kind: object) -> bytes:
    """A class or function with all that it names of modules beside its own; others are imported where it is read.

    Any error that an object raises which can't be pickled.
    """
    from ray import cloudpickle as untyped

    cloudpickle: Any = untyped
    registered = cloudpickle.list_registry_pickle_by_value()
    with ExitStack() as after:
        for module in _own_modules(getattr(kind, "__module__", "__main__")):
            if module.__name__ in registered:
                continue
            cloudpickle.register_pickle_by_value(module)
            after.callback(cloudpickle.unregister_pickle_by_value, module)
        pickled: bytes = cloudpickle.dumps(kind)
    return pickled


def _own_modules(name: str) -> list[ModuleType]:
    """Loaded modules that lie in the folder which `name` is imported from; none where that is an installed package.

    `__main__` is left out: a script's or a notebook's own code is always carried.
    """
    folder = _folder(sys.modules.get(name), name)
    if folder is None:
        return []
    return [
        module
        for other, module in list(sys.modules.items())
        if other.partition(".")[0] not in ("__main__", "barray")
        and getattr(module, "__name__", None) == other
        and _is_below(module, folder)
    ]


def _folder(module: ModuleType | None, name: str) -> Path | None:
    """Where the module's top package, or the script, lies; of a notebook, where it runs."""
    file = getattr(module, "__file__", None)
    if file is None:
        return Path.cwd() if name == "__main__" else None
    place = Path(file).resolve()
    if place.name == "__init__.py":
        place = place.parent
    folder = place.parents[name.count(".")]
    return None if set(INSTALLED) & set(folder.parts) else folder


def _is_below(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or set(INSTALLED) & set(Path(file).parts):
        return False
    place = Path(file).resolve()
    standard = Path(sys.base_prefix).resolve() / sys.platlibdir
    return place.is_relative_to(folder) and not place.is_relative_to(standard)
