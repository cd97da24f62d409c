"""What tells a user's function from others, in any process: its code, and the values that it has from around it."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, str, bytes, type(None), np.generic)


def function_digest(function: Callable[..., Any]) -> str:
    """A digest of a function: 16 hex digits, the same wherever its module is loaded. What it finds in its module, or
    imports, is not in it. TypeError, naming it, for a value around it that can't be told from another.
    """
    digest = blake2b(digest_size=8)
    for part in _parts(function, set()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def around(function: Callable[..., Any]) -> dict[str, Any]:
    """Values that a function has from the functions that it is written in, and arguments that it was given before."""
    if isinstance(function, functools.partial):
        given = {f"argument {at}": value for at, value in enumerate(function.args)}
        return {**around(function.func), **given, **function.keywords}
    plain = _with_code(function)
    found = {}
    for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not yet there
            continue
    return found


def _with_code(function: Any) -> types.FunctionType:
    """The function that was written; TypeError where there is none."""
    while not hasattr(function, "__code__") and hasattr(function, "__wrapped__"):  # a compiled one has it there
        function = function.__wrapped__
    if hasattr(function, "__self__"):
        raise TypeError(f"it is a method of {type(function.__self__).__name__}")
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"it is a {type(function).__name__}, no function in Python")
    return function


def _parts(function: Callable[..., Any], seen: set[int]) -> Iterator[str]:
    if id(function) in seen:
        return
    seen.add(id(function))
    plain = _with_code(function.func if isinstance(function, functools.partial) else function)
    yield from _of_code(plain.__code__)
    for name, value in {**around(function), **_defaults(plain)}.items():
        yield name
        yield from _of_value(name, value, seen)


def _defaults(function: types.FunctionType) -> dict[str, Any]:
    positional = {f"default {at}": value for at, value in enumerate(function.__defaults__ or ())}
    return {**positional, **(function.__kwdefaults__ or {})}


def _of_code(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _of_code(constant)
        elif isinstance(constant, frozenset):  # its order is another in each process
            yield repr(sorted(map(repr, constant)))
        else:
            yield repr(constant)


def _of_value(name: str, value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, (*_PLAIN, np.dtype)):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    elif isinstance(value, list | tuple | Mapping):
        items = value.items() if isinstance(value, Mapping) else value
        yield f"{type(value).__name__} {len(value)}"
        for item in items:
            yield from _of_value(name, item, seen)
    elif isinstance(value, types.ModuleType):
        yield value.__name__
    elif isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
        yield f"{getattr(value, '__module__', '')}.{value.__name__}"
    elif callable(value) and not hasattr(value, "__self__"):
        yield from _parts(value, seen)
    else:
        raise TypeError(f"it uses {name}, a {type(value).__name__} from around it")
