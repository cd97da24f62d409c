"""The source of barray as its own tests read it: modules, what they import, what they define, what they raise."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ("actors", "coordinator", "data_sources", "market", "trading")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def files() -> Mapping[str, Path]:
    """Every module's file, by the module's name; the floors behind their links included."""
    paths = [
        Path(folder, file)
        for folder, _, files in os.walk(ROOT / "barray", followlinks=True)
        for file in files
        if file.endswith(".py")
    ]
    return {module_name(path): path for path in sorted(paths)}


@cache
def modules() -> Mapping[str, ast.Module]:
    """Every module of the package by its name, parsed."""
    return {name: ast.parse(path.read_text()) for name, path in files().items()}


def module_name(path: Path) -> str:
    """How a file below the root is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def packages() -> list[str]:
    """The modules that are folders."""
    return [name for name in files() if any(other.startswith(f"{name}.") for other in files())]


def children(package: str) -> list[str]:
    """The last names of the files and folders that stand in a package."""
    inside = [name.removeprefix(f"{package}.") for name in files() if name.startswith(f"{package}.")]
    return sorted({name.partition(".")[0] for name in inside})


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the package that one imports anywhere in it, for type checkers alone or in functions too."""
    found: set[str] = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            longer = {f"{node.module}.{name.name}" for name in node.names}
            found |= (longer & modules().keys()) or {node.module}
    return frozenset(found & modules().keys() - {module})


def circle(graph: Mapping[str, set[str] | frozenset[str]]) -> list[str]:
    """One circle of a graph, its nodes in order and the first one again at the end; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def defined(module: str) -> set[str]:
    """The names at the top of a module: definitions, assignments, imports."""
    return {name for node in _top_level(modules()[module].body) for name in _bound(node)}


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top_level([*node.body, *node.orelse])


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | Function):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(name.asname or name.name).partition(".")[0] for name in node.names}
    stored = [name for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
    return {name.id for name in stored}


def project_files() -> list[Path]:
    """Everything that belongs to the project and is text, each file where it is and not behind a link."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    paths = [ROOT / name for name in done.stdout.splitlines()]
    paths = paths or [path for path in sorted(ROOT.rglob("*.py")) if ".venv" not in path.parts]  # an unpacked sdist
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def public_functions() -> Iterator[tuple[str, Function, str]]:
    """Functions and methods that others call: dotted name, definition, docstring; of `__init__` the class's too."""
    for module, tree in modules().items():
        yield from _public(module, tree.body, "")


def _public(where: str, body: list[ast.stmt], class_docstring: str) -> Iterator[tuple[str, Function, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(f"{where}.{node.name}", node.body, ast.get_docstring(node) or "")
        elif isinstance(node, Function):
            is_magic = node.name.startswith("__")
            if is_magic or not node.name.startswith("_"):
                docstring = ast.get_docstring(node) or ""
                yield f"{where}.{node.name}", node, f"{docstring}\n{class_docstring}" if is_magic else docstring


def raised(function: Function) -> set[str]:
    """Names of what a function's own `raise` statements raise."""
    raises = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc]
    kinds = [node.func if isinstance(node, ast.Call) else node for node in raises]
    return {node.id for node in kinds if isinstance(node, ast.Name)}


@cache
def errors() -> Mapping[str, tuple[str, ...]]:
    """The errors of barray by name, each with its bases up to BarrayError and itself."""
    from barray.market.errors import BarrayError

    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def line(name: str) -> tuple[str, ...]:
        return (name, *(above for base in bases.get(name, ()) for above in line(base)))

    return {name: line(name) for name in bases if BarrayError.__name__ in line(name)}
