"""What tells one state of a strategy's code from another."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path

from barray.trading.strategy.source import Code

_OURS = __name__.partition(".")[0]


def code_digest(source: Code) -> str:
    """A digest of a strategy's or a scan's code and of the user's modules that it imports, however far: 64 hex digits.

    Installed libraries are left out, but for the strategy's own package. What a file or the network says is not code.
    ConfigError where the code can't be loaded.
    """
    module = source.load().__module__
    text = source.text if source.text is not None else _text_of(_spec(module))
    root = source.where.partition(".")[0] if source.text is None else _OURS
    digest = hashlib.sha256(text.encode())
    for sibling in source.siblings:
        digest.update(f"\n{sibling.name}\n{sibling.text}".encode())
    own = _imported(text, _package(module), root)
    for name in sorted(own):
        digest.update(f"\n{name}\n{own[name]}".encode())
    return digest.hexdigest()


def _imported(text: str, package: str, root: str) -> dict[str, str]:
    """The text of every module of the user's own that is imported, by name."""
    found: dict[str, str] = {}
    todo = list(_names(text, package))
    while todo:
        name = todo.pop()
        spec = _spec(name)
        if name in found or spec is None or not _is_own(spec, root):
            continue
        found[name] = _text_of(spec)
        todo.extend(_names(found[name], _package(name)))
    return found


def _names(text: str, package: str) -> Iterator[str]:
    """Modules that a module's code may import, parent packages too."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:  # compiled code, or a notebook's
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:  # a relative import where there is no package
                continue
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _spec(name: str) -> ModuleSpec | None:
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__spec__", None)
    try:
        return find_spec(name)
    except (ImportError, ValueError, AttributeError):  # no module: a class or function that is imported from one
        return None


def _package(name: str) -> str:
    spec = _spec(name)
    return (spec.parent or "") if spec is not None else ""


def _is_own(spec: ModuleSpec, root: str) -> bool:
    top = spec.name.partition(".")[0]
    if top == _OURS or not spec.has_location or spec.origin is None:
        return False
    file = spec.origin
    installed = "site-packages" in file or "dist-packages" in file or file.startswith(sysconfig.get_path("stdlib"))
    return top == root or not installed


def _text_of(spec: ModuleSpec | None) -> str:
    """A module's file as text, bytes that are none escaped."""
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    return Path(spec.origin).read_text(encoding="utf-8", errors="backslashreplace")
