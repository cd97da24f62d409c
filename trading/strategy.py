"""What a strategy is: declared parameters, what it needs, and the forms it may be written in."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from market.errors import ConfigError
from market.indicators import IndicatorSpec, parse_indicator
from market.interval import Interval

if TYPE_CHECKING:
    from trading.context import Context
    from trading.data import SymbolData
    from trading.fills import Fill
    from trading.signals import Signals
    from trading.window import WindowView

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
            raise ConfigError(f"parameter {self.name} is {value!r}", mend=f"give a value of type {self.type.__name__}")
        if self.choices is not None and converted not in self.choices:
            raise ConfigError(f"parameter {self.name} is {value!r}", mend=f"choose from {list(self.choices)}")
        if self.low is not None and converted < self.low:
            raise ConfigError(f"parameter {self.name} is {value!r}", mend=f"give at least {self.low}")
        if self.high is not None and converted > self.high:
            raise ConfigError(f"parameter {self.name} is {value!r}", mend=f"give at most {self.high}")
        return converted


@dataclass(frozen=True)
class _Declared:
    default: Any
    low: float | None
    high: float | None
    choices: tuple[Any, ...] | None


def parameter(
    default: Any, *, low: float | None = None, high: float | None = None, choices: Sequence[Any] | None = None
) -> Any:
    """A default with limits, to stand where a strategy declares a parameter: see Strategy."""
    return _Declared(default, low, high, tuple(choices) if choices is not None else None)


def _type_of(annotation: Any) -> Any:
    """int, float, bool or str, ClassVar, or None for anything else; read, not evaluated, where it is text."""
    if isinstance(annotation, str):
        head = annotation.partition("[")[0].rpartition(".")[2].strip()
        return {"ClassVar": ClassVar, **{one.__name__: one for one in _TYPES}}.get(head)
    if annotation is ClassVar or typing.get_origin(annotation) is ClassVar:
        return ClassVar
    return annotation if annotation in _TYPES else None


class Strategy:
    """Base of all strategies. Subclasses annotate their parameters, with defaults, and write at least one form.

        class SmaCross(Strategy):
            fast: int = parameter(10, low=2)
            slow: int = 30

            def indicators(self):
                return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

            def on_bar(self, ctx):
                ...

    One object runs one symbol from the first session to the last (`on_window`: one object for all symbols). `interval`
    is the one whose bars `on_bar` and `signals` see; `intervals` names more that they look at. Orders always fill on
    the bars of the base interval, the finest loaded.

    Forms: `on_bar(ctx)` is called once for every bar that closes; `signals(data)` gives the same decisions as arrays,
    without a call per bar; `on_window(view)` sees all symbols at a cadence. A strategy that has both `on_bar` and
    `signals` is run by the form that the config names, `signals` by default.
    """

    interval: ClassVar[str] = "1m"
    intervals: ClassVar[Sequence[str]] = ()

    def __init__(self, **parameters: Any) -> None:
        declared = self.parameters()
        if unknown := sorted(parameters.keys() - declared.keys()):
            listed = ", ".join(declared) or "none"
            raise ConfigError(f"{type(self).__name__} has no parameter {unknown[0]!r}", mend=f"it has: {listed}")
        for name, one in declared.items():
            setattr(self, name, one.parse(parameters.get(name, one.default)))

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The declared parameters by name, base classes' first. A plain value in a subclass is a new default."""
        found: dict[str, Parameter] = {}
        for kind in reversed(cls.__mro__):
            if kind is object or kind is Strategy:
                continue
            annotated = inspect.get_annotations(kind)
            for name, value in vars(kind).items():
                if name not in annotated and name not in found:
                    if isinstance(value, _Declared):
                        raise ConfigError(
                            f"{cls.__name__}.{name} has no type", mend=f"write {name}: int = parameter(…)"
                        )
                    continue
                type_ = _type_of(annotated[name]) if name in annotated else found[name].type
                if type_ is ClassVar or name.startswith("_"):
                    continue
                if type_ is None:
                    raise ConfigError(
                        f"{cls.__name__}.{name} is annotated {annotated[name]}", mend="declare int, float, bool or str"
                    )
                if name not in annotated and not isinstance(value, _Declared):
                    found[name] = replace(found[name], default=value)
                    continue
                declared = value if isinstance(value, _Declared) else _Declared(value, None, None, None)
                found[name] = Parameter(name, type_, declared.default, declared.low, declared.high, declared.choices)
        return found

    def values(self) -> dict[str, Any]:
        """The parameters' values of this object."""
        return {name: getattr(self, name) for name in self.parameters()}

    def indicators(self) -> Mapping[str, str]:
        """Indicators it needs, by a name of its own: `{"rsi": "RSI(14)"}`, or `"RSI(14)@5m"` on another interval."""
        return {}

    def on_start(self, ctx: Context) -> None:
        """Called once, at the open of the first session; history is there to be seen."""

    def on_session(self, ctx: Context) -> None:
        """Called at the open of every session that has bars; orders placed here fill from its first bar on."""

    def on_bar(self, ctx: Context) -> None:
        """Event form: called when a bar of `interval` has closed."""
        raise NotImplementedError

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Called after one of the symbol's orders was filled, before that bar is seen and `on_bar` is called for it.
        Orders placed here fill from the next base bar on.
        """

    def signals(self, data: SymbolData) -> Signals:
        """Array form: the decisions of all bars at once."""
        raise NotImplementedError

    def on_window(self, view: WindowView) -> None:
        """Cross-symbol form: called at every window's end. `on_start` and `on_session` are given the view too."""
        raise NotImplementedError

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """Which forms the class has, of on_bar, signals, on_window."""
        return tuple(n for n in ("on_bar", "signals", "on_window") if getattr(cls, n) is not getattr(Strategy, n))

    def needs(self) -> Needs:
        """Intervals and indicators as Step 0 requires them; ConfigError where one can't be read."""
        main = Interval.parse(self.interval)
        named: dict[str, IndicatorSpec] = {}
        for name, text in self.indicators().items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ConfigError(f"{type(self).__name__}: an indicator is named {name!r}", mend="use a Python name")
            named[name] = parse_indicator(f"{text}@{main}" if isinstance(text, str) and "@" not in text else text)
        further = (self.intervals,) if isinstance(self.intervals, str) else self.intervals
        return Needs(main, tuple(sorted({main, *map(Interval.parse, further)})), named)


@dataclass(frozen=True)
class Needs:
    """What a strategy object needs of every symbol. `interval`: its main one; `indicators` by the strategy's names."""

    interval: Interval
    intervals: tuple[Interval, ...]
    indicators: Mapping[str, IndicatorSpec]


def strategies_in(namespace: Mapping[str, Any], module: str) -> dict[str, type[Strategy]]:
    """Strategy classes that a module defines itself, by name."""
    return {
        name: value
        for name, value in namespace.items()
        if inspect.isclass(value) and issubclass(value, Strategy) and value.__module__ == module and value.forms()
    }
