"""Parameters that a strategy or a scan declares: their types, defaults and limits."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from barray.market.errors import ConfigError

_TYPES = (int, float, bool, str)


@dataclass(frozen=True)
class Parameter:
    """A parameter that a class declares: `low` and `high` are inclusive, `choices` lists all values allowed."""

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
    """A default with limits, to stand where a class declares a parameter: see Strategy and Scan."""
    return Declared(default, low, high, tuple(choices) if choices is not None else None)


def type_of(annotation: Any) -> Any:
    """int, float, bool or str, ClassVar, or None for anything else; read, not evaluated, where it is text."""
    if isinstance(annotation, str):
        head = annotation.partition("[")[0].rpartition(".")[2].strip()
        return {"ClassVar": ClassVar, **{one.__name__: one for one in _TYPES}}.get(head)
    if annotation is ClassVar or typing.get_origin(annotation) is ClassVar:
        return ClassVar
    return annotation if annotation in _TYPES else None


class Parameterized:
    """Base of what declares parameters: a strategy, a scan. Subclasses of these annotate theirs, with defaults."""

    _told: ClassVar[Collection[str]] = ()
    """Attributes that are no parameters, however a subclass annotates them."""

    def __init__(self, **parameters: Any) -> None:
        """With these parameters; ConfigError for one that isn't declared, or a value that it can't have."""
        declared = self.parameters()
        if unknown := sorted(parameters.keys() - declared.keys()):
            listed = ", ".join(declared) or "none"
            raise ConfigError(f"{type(self).__name__} has no parameter {unknown[0]!r}", remedy=f"it has: {listed}")
        for name, one in declared.items():
            setattr(self, name, one.parse(parameters.get(name, one.default)))

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The declared parameters by name, base classes' first. A plain value in a subclass is a new default.

        ConfigError where one has no type, or another than int, float, bool and str.
        """
        found: dict[str, Parameter] = {}
        for kind in reversed(cls.__mro__):
            if kind is object or kind is Parameterized or Parameterized in kind.__bases__:
                continue
            annotated = inspect.get_annotations(kind)
            for name, value in vars(kind).items():
                if name not in annotated and name not in found:
                    if isinstance(value, Declared):
                        raise ConfigError(
                            f"{cls.__name__}.{name} has no type", remedy=f"write {name}: int = parameter(…)"
                        )
                    continue
                type_ = type_of(annotated[name]) if name in annotated else found[name].type
                if type_ is ClassVar or name.startswith("_") or name in cls._told:
                    continue
                if type_ is None:
                    raise ConfigError(
                        f"{cls.__name__}.{name} is annotated {annotated[name]}",
                        remedy="declare int, float, bool or str",
                    )
                if name not in annotated and not isinstance(value, Declared):
                    found[name] = replace(found[name], default=value)
                    continue
                declared = value if isinstance(value, Declared) else Declared(value, None, None, None)
                found[name] = Parameter(name, type_, declared.default, declared.low, declared.high, declared.choices)
        return found

    def values(self) -> dict[str, Any]:
        """The parameters' values of this object."""
        return {name: getattr(self, name) for name in self.parameters()}
