"""What a strategy is: declared parameters, what it needs, and the forms it may be written in."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
        converted: Any = value
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            converted = float(value)
        if self.type is int and isinstance(value, float) and value.is_integer():
            converted = int(value)
        if type(converted) is not self.type or (isinstance(converted, float) and not math.isfinite(converted)):
            raise ConfigError(f"parameter {self.name} is {value!r}", mend=f"give a {self.type.__name__}")
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
        """The declared parameters by name, base classes' first."""
        found: dict[str, Parameter] = {}
        for kind in reversed(cls.__mro__):
            if kind is object or kind is Strategy:
                continue
            try:
                hints = typing.get_type_hints(kind)
            except NameError as error:
                raise ConfigError(
                    f"{cls.__name__}: {error}", mend="annotate parameters with int, float, bool or str"
                ) from None
            for name in vars(kind).get("__annotations__", {}):
                hint = hints[name]
                if typing.get_origin(hint) is ClassVar or name.startswith("_") or name not in vars(kind):
                    continue
                value = vars(kind)[name]
                if hint not in _TYPES:
                    raise ConfigError(f"{cls.__name__}.{name} is a {hint}", mend="declare int, float, bool or str")
                declared = value if isinstance(value, _Declared) else _Declared(value, None, None, None)
                found[name] = Parameter(name, hint, declared.default, declared.low, declared.high, declared.choices)
        return found

    def values(self) -> dict[str, Any]:
        """The parameters' values of this object."""
        return {name: getattr(self, name) for name in self.parameters()}

    def indicators(self) -> Mapping[str, str]:
        """Indicators it needs, by a name of its own: `{"rsi": "RSI(14)"}`, or `"RSI(14)@5m"` on another interval."""
        return {}

    def on_start(self, ctx: Context) -> None:
        """Called once, before the first bar of the first session."""

    def on_session(self, ctx: Context) -> None:
        """Called at every session's open, before its first bar."""

    def on_bar(self, ctx: Context) -> None:
        """Event form: called when a bar of `interval` has closed."""
        raise NotImplementedError

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Called after one of the symbol's orders was filled, before `on_bar` of the bar it filled in."""

    def signals(self, data: SymbolData) -> Signals:
        """Array form: the decisions of all bars at once."""
        raise NotImplementedError

    def on_window(self, view: WindowView) -> None:
        """Cross-symbol form: called at every window's end."""
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
        return Needs(main, tuple(sorted({main, *map(Interval.parse, self.intervals)})), named)


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
