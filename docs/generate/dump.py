"""Every key of the JSON dump, from the types that its validator enforces."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints

from barray.dump import schema
from docs.generate.markdown import code, prose, table

_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "anything"}


def dump_reference() -> str:
    """A section of the page for each object in a dump: the header's keys first, then a symbol's."""
    known: dict[str, Any] = {}
    for root in (schema.HeaderJson, schema.SymbolJson):
        known.update(_reached(root))
    return "\n\n".join(_section(kind) for kind in known.values())


def _reached(kind: Any) -> Iterator[tuple[str, Any]]:
    yield kind.__name__, kind
    for annotation in get_type_hints(kind).values():
        for inner in _objects(annotation):
            yield from _reached(inner)


def _objects(annotation: Any) -> list[Any]:
    if hasattr(annotation, "__total__"):
        return [annotation]
    return [found for part in get_args(annotation) for found in _objects(part)]


def title(kind: Any) -> str:
    """What an object is called on the page: HeaderJson is the header."""
    return str(kind.__name__).removesuffix("Json")


def _section(kind: Any) -> str:
    hints = get_type_hints(kind, include_extras=True)
    rows = [(code(key), _holds(annotation)) for key, annotation in hints.items()]
    return f"## {title(kind)}\n\n{prose(kind)}\n\n{table(('key', 'holds'), rows)}"


def _holds(annotation: Any) -> str:
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is NotRequired:
        return f"{_holds(arguments[0])}; not in every one"
    if origin is Literal:
        return " or ".join(map(code, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(map(_holds, arguments))
    if origin is list:
        return f"list of: {_holds(arguments[0])}"
    if origin is dict:
        return f"object of {_holds(arguments[1])} by name"
    return f"[{title(annotation)}](#{title(annotation).lower()})"
