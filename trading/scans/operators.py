"""What operators do to values: matrices of float64, truths that know what isn't known, and labels."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray
from barray.trading.scans.terms import Binary, IsIn, Term, Unary

BoolArray = NDArray[np.bool_]


class Truth(NamedTuple):
    """What passes and what doesn't, bool (times, symbols); neither where it isn't known."""

    yes: BoolArray
    no: BoolArray


Value = Any
"""float64 or object (labels, None for none) of shape (times, symbols), or a Truth of such; times may be 1 for all."""

_COMPARE: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "gt": (operator.gt, operator.le),
    "ge": (operator.ge, operator.lt),
    "lt": (operator.lt, operator.ge),
    "le": (operator.le, operator.gt),
}
_COMPUTE: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
}


def constant(value: object) -> Value:
    """A number or a label for all, of shape (1, 1)."""
    if isinstance(value, bool):
        return Truth(np.array([[value]]), np.array([[not value]]))
    if isinstance(value, str):
        return np.array([[value]], object)
    return np.array([[value]], np.float64)


def combined(term: Term, values: list[Value]) -> Value:
    """The value of an operator's term of those of its operands."""
    if isinstance(term, Unary):
        return _unary(term, values[0])
    if isinstance(term, IsIn):
        return _is_in(term, values[0])
    if not isinstance(term, Binary):
        raise TypeError(term.text)
    left, right = values
    if term.op == "and":
        return Truth(left.yes & right.yes, left.no | right.no)
    if term.op == "or":
        return Truth(left.yes | right.yes, left.no & right.no)
    with np.errstate(all="ignore"):
        if term.op in _COMPUTE:
            result: FloatArray = _COMPUTE[term.op](left, right)
            return np.where(np.isfinite(result), result, np.nan)
        if term.op in _COMPARE:
            yes, no = _COMPARE[term.op]
            return Truth(yes(left, right), no(left, right))
        same = np.asarray(left == right, np.bool_)
        known = is_known(left) & is_known(right)
    return Truth(same & known, ~same & known) if term.op == "eq" else Truth(~same & known, same & known)


def is_known(value: Value) -> BoolArray:
    """Where there is a value."""
    if isinstance(value, Truth):
        return value.yes | value.no
    if value.dtype == object:
        return np.array(value != None, np.bool_)  # noqa: E711  # element by element
    known: BoolArray = ~np.isnan(value)
    return known


def _unary(term: Unary, value: Value) -> Value:
    if term.op == "not":
        return Truth(value.no, value.yes)
    if term.op == "known":
        known = is_known(value)
        return Truth(known, ~known)
    return -value if term.op == "neg" else np.abs(value)


def _is_in(term: IsIn, value: Value) -> Truth:
    known = is_known(value)
    found = np.zeros(value.shape, np.bool_)
    for one in term.values:
        found |= np.asarray(value == one, np.bool_)
    return Truth(found & known, ~found & known)
