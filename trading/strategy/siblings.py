"""Modules that lie beside a strategy: found by what its code imports, sent as text, imported wherever it runs."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from barray.market.errors import ConfigError


@dataclass(frozen=True)
class Sibling:
    """A module's text, by the name it is imported by. `file`: where it was read."""

    name: str
    file: str
    text: str
    is_package: bool = False


def siblings_of(code: str, folder: Path) -> tuple[Sibling, ...]:
    """Modules in `folder` that the code imports, and all in there that these import in turn, by name.

    Import statements count, wherever they stand. What is installed, or Python's own, goes before what lies in the
    folder. ConfigError for a file that can't be read.
    """
    found: dict[str, Sibling] = {}
    wanted = list(_imported(code))
    while wanted:
        name = wanted.pop()
        if name in found or not _is_local(name.partition(".")[0], folder):
            continue
        sibling = _read(name, folder)
        if sibling is None:
            continue
        found[name] = sibling
        package = name if sibling.is_package else name.rpartition(".")[0]
        wanted += [*_parents(name), *_imported(sibling.text, package)]
    return tuple(found[name] for name in sorted(found))


def _imported(code: str, package: str = "") -> Iterator[str]:
    """Names that import statements may mean; none of code that is no Python, which importing it will say."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            if module:
                yield from (module, *(f"{module}.{alias.name}" for alias in node.names))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    return ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])]) if parts else ""


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:many]) for many in range(1, len(parts))]


def _is_local(top: str, folder: Path) -> bool:
    """Whether a module of that name is nowhere but in the folder."""
    if top in sys.stdlib_module_names or top == "barray" or not top.isidentifier():
        return False
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or isinstance(spec.loader, _Finder):
        return True
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    here = folder.resolve()
    return any(
        Path(place).resolve() in (here / f"{top}.py", here / top, here / top / "__init__.py") for place in places
    )


def _read(name: str, folder: Path) -> Sibling | None:
    """The module's file; of a package without an `__init__.py`, an empty text; None where there is none."""
    place = folder.joinpath(*name.split("."))
    for file, is_package in ((place / "__init__.py", True), (place.with_name(f"{place.name}.py"), False)):
        if file.is_file():
            try:
                return Sibling(name, str(file), file.read_text(encoding="utf-8"), is_package)
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{file}, which the strategy imports: {error}", remedy="check the file") from error
    return Sibling(name, str(place), "", is_package=True) if place.is_dir() else None


class _Finder(MetaPathFinder, InspectLoader):
    """Imports modules from their texts."""

    def __init__(self, siblings: tuple[Sibling, ...]) -> None:
        self.siblings = siblings
        self._by_name = {sibling.name: sibling for sibling in siblings}

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        sibling = self._by_name.get(fullname)
        if sibling is None:
            return None
        spec = ModuleSpec(fullname, self, origin=sibling.file, is_package=sibling.is_package)
        spec.has_location = True
        return spec

    def get_source(self, fullname: str) -> str:
        return self._by_name[fullname].text

    def exec_module(self, module: ModuleType) -> None:
        sibling = self._by_name[module.__name__]
        exec(compile(sibling.text, sibling.file, "exec"), vars(module))  # noqa: S102  # the user's own code


def serve(siblings: tuple[Sibling, ...]) -> None:
    """Have this process import these, before all others of their names, and none that were served before."""
    before = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    if [finder.siblings for finder in before] == [siblings] or not (before or siblings):
        return
    for finder in before:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if getattr(getattr(module, "__spec__", None), "loader", None) is finder:
                del sys.modules[name]
    if siblings:
        sys.meta_path.insert(0, _Finder(siblings))
