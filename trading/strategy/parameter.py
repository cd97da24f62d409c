"""Parameters that a strategy declares: their types, defaults and limits."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from barray.market.errors import ConfigError

_TYPES = (int, float, bool, str)


@dataclass(frozen=True)
class Parameter:
    """A parameter that a strategy declares: `low` and `high` are inclusive, `choices` lists all values allowed."""

    name: str
    type: Any
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None

    def parse(self, value: Any) -> Any:
        """`value` as this parameter's type; ConfigError where it is none, or out of range."""
        plain = value.item() if isinstance(value, np.generic) else value  # as a sweep's np.arange gives them
        converted: Any = plain
        if self.type is float and isinstance(plain, int) and not isinstance(plain, bool):
            converted = float(plain)
        if self.type is int and isinstance(plain, float) and plain.is_integer():
            converted = int(plain)
        if type(converted) is not self.type or (isinstance(converted, float) and not math.isfinite(converted)):
            raise ConfigError(
                f"parameter {self.name} is {value!r}", remedy=f"give a value of type {self.type.__name__}"
            )
        if self.choices is not None and converted not in self.choices:
            raise ConfigError(f"parameter {self.name} is {value!r}", remedy=f"choose from {list(self.choices)}")
        if self.low is not None and converted < self.low:
            raise ConfigError(f"parameter {self.name} is {value!r}", remedy=f"give at least {self.low}")
        if self.high is not None and converted > self.high:
            raise ConfigError(f"parameter {self.name} is {value!r}", remedy=f"give at most {self.high}")
        return converted


@dataclass(frozen=True)
class Declared:
    """A default with limits, as it stands in a class; see `parameter`."""

    default: Any
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None


def parameter(
    default: Any, *, low: float | None = None, high: float | None = None, choices: Sequence[Any] | None = None
) -> Any:
    """A default with limits, to stand where a strategy declares a parameter: see Strategy."""
    return Declared(default, low, high, tuple(choices) if choices is not None else None)


def type_of(annotation: Any) -> Any:
    """int, float, bool or str, ClassVar, or None for anything else; read, not evaluated, where it is text."""
    if isinstance(annotation, str):
        head = annotation.partition("[")[0].rpartition(".")[2].strip()
        return {"ClassVar": ClassVar, **{one.__name__: one for one in _TYPES}}.get(head)
    if annotation is ClassVar or typing.get_origin(annotation) is ClassVar:
        return ClassVar
    return annotation if annotation in _TYPES else None
