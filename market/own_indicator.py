"""Indicators that are a user's own functions of bars."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from barray.market.bars import COLUMNS, FloatArray
from barray.market.errors import ConfigError, shorten
from barray.market.function_digest import around, function_digest
from barray.market.interval import Interval
from barray.market.series import IntervalBars

Value = float | str
Params = tuple[tuple[str, Value], ...]
TAKEN = (*COLUMNS, "end_ns", "session")
"""What a function may take of the bars, by these names."""


@dataclass(frozen=True)
class OwnFunction:
    """A function as it is computed. `columns`: what it takes of the bars; `place`: file and line, for messages;
    `around`: plain values that it has from the functions it is written in; see `indicator` for the rest.

    It travels without the function itself, which travels with the strategy's code: whoever only has to know what is
    needed has no such code. By `digest` it is known again in any process.
    """

    name: str
    bars: int
    columns: tuple[str, ...]
    outputs: tuple[str, ...]
    windowed: bool
    place: str
    around: Params
    digest: str
    function: Callable[..., Any] | None = field(repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "function": None}

    def compute(self, params: Params, series: IntervalBars) -> dict[str, FloatArray]:
        """Values by output, float64 (n,), NaN for the first `bars`. ConfigError where the function raises, or returns
        anything but that; where the bars are no more than the warm-up, it isn't called.
        """
        if self.function is None:
            raise self.error("its function is not in this process", "use it in a strategy's indicators()")
        if len(series) <= self.bars:
            return {name: np.full(len(series), np.nan) for name in self.outputs}
        columns = {name: getattr(series.bars if name in COLUMNS else series, name) for name in self.columns}
        try:
            result = self.function(**columns, **dict(params))
        except Exception as error:  # the user's code
            text = f"{type(error).__name__}: {error} ({self._line_of(error)})"
            raise self.error(text, "mend the function", placed=False) from error
        return {name: self._checked(name, values, len(series)) for name, values in self._named(result).items()}

    def _named(self, result: Any) -> Mapping[str, Any]:
        names = self.outputs
        if isinstance(result, Mapping):
            if set(result) != set(names):
                returned = ", ".join(map(str, result))
                raise self.error(
                    f"it returns {returned or 'nothing'}, and declares {', '.join(names)}",
                    f"declare outputs={tuple(map(str, result))!r}, or return these",
                )
            return {name: result[name] for name in names}
        if len(names) == 1:
            return {names[0]: result}
        if not isinstance(result, tuple | list) or len(result) != len(names):
            raise self.error(
                f"it returns {_told(result)}, not its outputs {', '.join(names)}",
                "return a dict of them by name, or a tuple in their order",
            )
        return dict(zip(names, result, strict=True))

    def _checked(self, name: str, given: Any, n: int) -> FloatArray:
        output = f" as {name}" if len(self.outputs) > 1 else ""
        try:
            values = np.asarray(given)
        except ValueError:  # a list of lists of different lengths
            values = np.empty((0, 0))
        if values.shape != (n,):
            told = _told(given if values.ndim == 0 else values)
            raise self.error(
                f"it returns {told}{output} for {n} bars", "return one value a bar, NaN where there is none"
            )
        if values.dtype.kind not in "fiub":
            raise self.error(f"it returns values of type {values.dtype}{output}", "return numbers")
        column = values.astype(np.float64)
        column[: self.bars] = np.nan
        return column

    def _line_of(self, error: Exception) -> str:
        file = self.place.rpartition(" line ")[0]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        return f"{file} line {lines[-1]}" if lines else self.place

    def error(self, reason: str, remedy: str, *, placed: bool = True) -> ConfigError:
        """An error of it, with its name and where it stands."""
        place = f" ({self.place})" if placed else ""
        return ConfigError(f"indicator {self.name}{place}: {reason}", remedy=remedy, code="bad_indicator")


@dataclass(frozen=True)
class OwnIndicator:
    """A function declared as an indicator by `indicator`, with the values of its parameters.

    `spread(fast=30)` has other values, `spread @ "5m"` is computed on bars of that interval, by default on those of the
    strategy's own; `spread.function` is what was declared.
    """

    name: str
    function: Callable[..., Any] = field(repr=False)
    bars: int | Callable[..., int] = field(repr=False)
    params: Params
    outputs: tuple[str, ...]
    windowed: bool
    interval: Interval | None = None

    def __call__(self, *unnamed: Any, **parameters: Any) -> OwnIndicator:
        """The same with these values; ConfigError for a parameter that it doesn't have, or a value it can't have."""
        defaults = dict(self.params)
        listed = ", ".join(f"{name}={value}" for name, value in defaults.items()) or "none"
        if unnamed:
            raise _bad(
                f"{self.name} takes its parameters by name", f"they are: {listed}; {self.name}.function computes"
            )
        for name in parameters.keys() - defaults.keys():
            raise _bad(f"{self.name} has no parameter {shorten(name)!r}", f"its parameters are: {listed}")
        given = {name: _fitting(self.name, name, value, defaults[name]) for name, value in parameters.items()}
        return replace(self, params=tuple({**defaults, **given}.items()))

    def __matmul__(self, interval: str | Interval) -> OwnIndicator:
        """The same on bars of `interval`; ConfigError where bars can't have it."""
        return replace(self, interval=Interval.parse(interval))

    def as_computed(self) -> OwnFunction:
        """The function with its warm-up for these parameters; ConfigError where that can't be told."""
        function, place = self.function, _place(self.function)
        try:
            digest, values = function_digest(function), around(function)
        except TypeError as error:
            raise _bad(
                f"{self.name} ({place}): {error}",
                "write a plain function outside of any class, and have it take what varies as parameters",
            ) from None
        shown = tuple((name, value) for name, value in values.items() if isinstance(value, int | float | str))
        columns = tuple(name for name in inspect.signature(function).parameters if name in TAKEN)
        return OwnFunction(
            self.name, self._warmup(), columns, self.outputs, self.windowed, place, shown, digest, function
        )

    def _warmup(self) -> int:
        bars: Any = self.bars
        if callable(bars):
            params = dict(self.params)
            try:
                wanted = inspect.signature(bars).parameters
                bars = bars(**{name: params[name] for name in wanted})
            except Exception as error:  # the user's code
                told = f"no parameter {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
                raise _bad(
                    f"{self.name} can't say its bars: {told}",
                    f"bars is a function of some of {', '.join(params) or 'its parameters'}",
                ) from error
        if isinstance(bars, bool) or not isinstance(bars, int | np.integer) or bars < 0:
            raise _bad(f"{self.name}: bars is {bars!r}", "give how many bars come before the first value, 0 or more")
        return int(bars)


@overload
def indicator(
    function: Callable[..., Any],
    *,
    bars: int | Callable[..., int],
    outputs: Sequence[str] = (),
    windowed: bool = False,
    name: str | None = None,
) -> OwnIndicator: ...
@overload
def indicator(
    *,
    bars: int | Callable[..., int],
    outputs: Sequence[str] = (),
    windowed: bool = False,
    name: str | None = None,
) -> Callable[[Callable[..., Any]], OwnIndicator]: ...
def indicator(
    function: Callable[..., Any] | None = None,
    *,
    bars: int | Callable[..., int],
    outputs: Sequence[str] = (),
    windowed: bool = False,
    name: str | None = None,
) -> OwnIndicator | Callable[[Callable[..., Any]], OwnIndicator]:
    """Declare a function of bars as an indicator, for a strategy's `indicators()`:

        @indicator(bars=lambda slow: slow - 1)
        def spread(close, *, fast=10, slow=30):
            return talib.SMA(close, fast) - talib.SMA(close, slow)

    Its arguments are columns of the bars (`open`, `high`, `low`, `close`, `volume` float64 (n,), read-only; `end_ns`
    int64: when each closes, UTC ns; `session` int32: grows by session) and parameters, which have defaults: int, float,
    bool or text. It returns float64 (n,), value i of bars 0 to i alone; where it declares `outputs`, a dict of such
    arrays by these names, or a tuple in their order.

    `bars`: how many bars come before the first that has a value, or a function of parameters that tells it. So much
    history is loaded; the values before are NaN. It is called for every session, with its own history before it. With
    `windowed`, which says that no value depends on what lies before those `bars` bars, or before the open of its own
    session, it is called once for all sessions. `name`: by default the function's. ConfigError where it is none.
    """
    if function is None:
        return lambda given: indicator(given, bars=bars, outputs=outputs, windowed=windowed, name=name)
    if not callable(function):
        raise _bad(f"indicator({function!r}) is no function", "write indicator(my_function, bars=50)")
    name = str(name or getattr(function, "__name__", type(function).__name__))
    if not name.isidentifier():
        raise _bad(f"an indicator is called {name!r}", 'give it a name: indicator(…, bars=…, name="spread")')
    names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if len(set(names)) < len(names) or not all(isinstance(one, str) and one.isidentifier() for one in names):
        raise _bad(f"{name}: outputs are {outputs!r}", 'name them once each, such as outputs=("upper", "lower")')
    params = tuple(_parameters(name, function).items())
    declared = OwnIndicator(name, function, bars, params, names or (name,), windowed)
    declared.as_computed()
    return declared


def _parameters(name: str, function: Callable[..., Any]) -> dict[str, Value]:
    """Parameters with their defaults; ConfigError where the function takes what it can't be given."""
    try:
        arguments = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise _bad(f"{name} doesn't tell its arguments", "wrap it in a function of your own") from None
    place = _place(function)
    defaults: dict[str, Value] = {}
    for argument in arguments.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD, argument.POSITIONAL_ONLY):
            raise _bad(f"{name} ({place}) takes {argument}", "give each argument a name of its own")
        if argument.name in TAKEN:
            continue
        if argument.default is argument.empty:
            raise _bad(
                f"{name} ({place}): {argument.name} is no column of bars, and as a parameter it has no default",
                f"columns are {', '.join(TAKEN)}; a plain function is meant, outside of any class",
            )
        defaults[argument.name] = _plain(name, argument.name, argument.default)
    if len(defaults) == len(arguments):
        raise _bad(f"{name} ({place}) takes no column of bars", f"name its arguments {', '.join(TAKEN)}")
    return defaults


def _fitting(owner: str, name: str, value: Any, default: Value) -> Value:
    """The value as one of the default's type."""
    plain = _plain(owner, name, value)
    kind = type(default)
    if kind is float and type(plain) is int:
        return float(plain)
    if kind is int and isinstance(plain, float) and plain.is_integer():
        return int(plain)
    if type(plain) is not kind:
        raise _bad(f"{owner}: {name} is {shorten(str(value))!r}", f"give a value such as {default!r}")
    return plain


def _plain(owner: str, name: str, value: Any) -> Value:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, int | float | str) or (isinstance(plain, float) and not math.isfinite(plain)):
        raise _bad(f"{owner}: {name} is {shorten(str(value))!r}", "give a number, true or false, or text")
    return plain


def _place(function: Any) -> str:
    """File and line of a function's code; of what has none, its type's name."""
    plain = inspect.unwrap(function)
    code = getattr(getattr(plain, "__func__", getattr(plain, "func", plain)), "__code__", None)
    return f"{code.co_filename} line {code.co_firstlineno}" if code is not None else type(function).__name__


def _told(result: Any) -> str:
    if isinstance(result, np.ndarray):
        return f"{len(result)} values" if result.ndim == 1 else f"an array of shape {result.shape}"
    return "None" if result is None else type(result).__name__


def _bad(reason: str, remedy: str) -> ConfigError:
    return ConfigError(reason, remedy=remedy, code="bad_indicator")
