"""Conditions on parameters, such as `fast < slow and stop > 0.01`: arithmetic and comparisons, nothing else."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Set
from typing import Any

from barray.market.errors import ConfigError

_LONGEST = 1_000
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.Name, ast.Load,
    ast.Constant,
)  # fmt: skip
_REMEDY = "write names of parameters, numbers, < <= > >= == !=, and, or, not, + - * / and parentheses"


def parse_condition(text: str, names: Set[str]) -> Callable[[Mapping[str, Any]], bool]:
    """A function that tells whether values by name satisfy `text`; ConfigError where it is more than arithmetic and
    comparisons on `names`. A division by zero satisfies nothing.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ConfigError("the condition is no text, or too long a one", remedy=_REMEDY)
    try:
        tree = ast.parse(text.strip(), mode="eval")
        code = compile(tree, "<condition>", "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"condition {text!r}: {error}", remedy=_REMEDY) from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ConfigError(f"condition {text!r} has a {type(node).__name__}", remedy=_REMEDY)
        if isinstance(node, ast.Constant) and type(node.value) not in (int, float):
            raise ConfigError(f"condition {text!r} has {node.value!r}, no number", remedy=_REMEDY)
        if isinstance(node, ast.Name) and node.id not in names:
            listed = ", ".join(sorted(names)) or "none"
            raise ConfigError(f"condition {text!r} names {node.id!r}", remedy=f"numbers to compare are: {listed}")

    def holds(values: Mapping[str, Any]) -> bool:
        try:
            return bool(eval(code, {"__builtins__": {}}, dict(values)))  # noqa: S307  # checked node by node above
        except (ZeroDivisionError, OverflowError):
            return False

    return holds
