"""Indicators by TA-Lib's names and conventions, the session VWAP it lacks, and users' own functions."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, Bars, FloatArray
from barray.market.errors import ConfigError, shorten
from barray.market.interval import Interval
from barray.market.own_indicator import OwnFunction, OwnIndicator, Params
from barray.market.series import IntervalBars

SESSION_VWAP = "SESSION_VWAP"
_SHORTHAND = re.compile(r"(?P<name>\w+)\s*(?:\((?P<params>[^()]*)\))?\s*@\s*(?P<interval>\w+)")
_CONVENTIONS = {
    SESSION_VWAP: "typical price (high + low + close) / 3 weighted by volume, from the session open; NaN at volume 0",
    "RSI": "Wilder smoothing, first value from the mean of the first `timeperiod` changes",
    "ATR": "Wilder smoothing of the true range, first value a simple mean, the first bar's range left out",
    "NATR": "Wilder ATR in per cent of the close",
    "ADX": "Wilder smoothing of DX",
    "EMA": "alpha 2 / (timeperiod + 1), seeded with the simple mean of the first `timeperiod` values",
    "MACD": "EMAs seeded with simple means, both starting at the slow one's first value",
    "BBANDS": "population standard deviation (ddof 0)",
    "STDDEV": "population standard deviation (ddof 0)",
    "STOCH": "slow %K and %D by the `matype`s given, simple means by default",
    "STOCHRSI": "fast stochastic of Wilder RSI, %D a simple mean by default",
    "OBV": "starts at the first bar's volume; depends on the first bar loaded",
}


@dataclass(frozen=True)
class IndicatorSpec:
    """An indicator with all its parameters, on one interval. Equal specs compute equal values.

    `params` in TA-Lib's order, defaults filled in; `inputs` names the bar column of each series the function takes
    where that is not TA-Lib's own choice. `own`: the user's function, where it is one. Made by `parse_indicator`.
    """

    name: str
    interval: Interval
    params: Params = ()
    inputs: tuple[tuple[str, str], ...] = ()
    own: OwnFunction | None = None

    @property
    def key(self) -> str:
        """`RSI(14)@5m`: the name it is found by everywhere; `parse_indicator` reads it back. Of an own function
        `spread(fast=10)@5m`, which it doesn't.
        """
        if self.own:
            values = [f"{name}={_shown(value)}" for name, value in (*self.params, *self.own.around)]
        else:
            values = [_shown(value) for _, value in self.params]
        values += [f"{name}={column}" for name, column in self.inputs]
        return f"{self.name}({','.join(values)})@{self.interval}" if values else f"{self.name}@{self.interval}"

    @property
    def convention(self) -> str:
        """What the formula follows where conventions differ."""
        if self.own:
            return f"own function, {self.own.place}"
        text = _CONVENTIONS.get(self.name)
        if self.name == SESSION_VWAP:
            return str(text)
        return f"TA-Lib {self.name}" + (f": {text}" if text else "")

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the series it gives, in order."""
        if self.own:
            return self.own.outputs
        return ("vwap",) if self.name == SESSION_VWAP else _prepared(self).outputs

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of bars that it is computed from."""
        if self.own:
            return COLUMNS
        return ("high", "low", "close", "volume") if self.name == SESSION_VWAP else _prepared(self).columns

    @property
    def lookback(self) -> int:
        """Bars before the first value: bar number `lookback` (from 0) is the first that has one.

        Enough bars is not the same as converged: recursive ones (EMA, RSI, ATR …) still depend on where they began,
        which is why every symbol computes them over the same history.
        """
        if self.own:
            return self.own.bars
        return 0 if self.name == SESSION_VWAP else _prepared(self).lookback


@dataclass(frozen=True)
class _Prepared:
    """What TA-Lib has to be asked once only: it takes as long to tell as to compute a thousand values."""

    function: Callable[..., Any]
    columns: tuple[str, ...]
    params: tuple[float, ...]
    outputs: tuple[str, ...]
    lookback: int


@functools.lru_cache(maxsize=4096)
def _prepared(spec: IndicatorSpec) -> _Prepared:
    from barray.market.talib_light import Function

    asked = Function(spec.name, **dict(spec.params))
    if spec.inputs:
        asked.input_names = dict(spec.inputs)
    columns = [[name] if isinstance(name, str) else name for name in asked.input_names.values()]
    function = inspect.unwrap(asked.func_object)  # where pandas is loaded, TA-Lib looks for its series in every call
    params = tuple(asked.parameters.values())
    return _Prepared(function, tuple(chain(*columns)), params, tuple(asked.output_names), int(asked.lookback))


@dataclass(frozen=True, eq=False)
class IndicatorData:
    """Values of one indicator: float64 (n,) for each output name, aligned with the bars of its interval.

    NaN for the first `spec.lookback` bars. Value i uses bars 0 to i only. Read-only.
    """

    spec: IndicatorSpec
    values: dict[str, FloatArray]

    def __post_init__(self) -> None:
        for column in self.values.values():
            column.flags.writeable = False

    def take(self, rows: slice) -> IndicatorData:
        """The chosen rows."""
        return IndicatorData(self.spec, {name: column[rows] for name, column in self.values.items()})


def parse_indicator(
    config: str | Mapping[str, Any] | IndicatorSpec | OwnIndicator, main: Interval | None = None
) -> IndicatorSpec:
    """Read `"RSI(14)@5m"`, `"MACD(fastperiod=5)@1m"`, or a mapping with `name`, `interval`, and `params` (or the
    parameters beside them) and `inputs`; or an own function. `main`: the interval of what names none. Raises
    ConfigError naming what is wrong and what would be right.
    """
    if isinstance(config, IndicatorSpec):
        return config
    if isinstance(config, str):
        return _parse_shorthand(config if main is None or "@" in config else f"{config}@{main}")
    if isinstance(config, OwnIndicator):
        return _of_own(config, config.interval or main)
    if inspect.isroutine(config):
        raise _bad(f"{config.__name__} is a plain function", f"declare it: indicator({config.__name__}, bars=50)")
    if not isinstance(config, Mapping):
        raise _bad(f"{config!r} is not an indicator", 'write "RSI(14)@5m", or a mapping with name, interval and params')
    entries = dict(config)
    name, interval = entries.pop("name", None), entries.pop("interval", main)
    if not isinstance(name, str) or interval is None:
        raise _bad(f"{dict(config)!r} lacks name or interval", "give both, such as name: RSI, interval: 5m")
    inputs, params = ({} if (given := entries.pop(key, None)) is None else given for key in ("inputs", "params"))
    if not isinstance(inputs, Mapping) or not isinstance(params, Mapping):
        raise _bad(f"{name}: params and inputs are mappings", "write them as names and values, such as timeperiod: 14")
    return _build(name, interval, [], {**params, **entries}, inputs)


def _of_own(own: OwnIndicator, interval: Interval | None) -> IndicatorSpec:
    if interval is None:
        raise _bad(f"{own.name} names no interval", f'write {own.name} @ "5m"')
    return IndicatorSpec(own.name, interval, own.params, own=own.as_computed())


@functools.lru_cache(maxsize=4096)
def _parse_shorthand(text: str) -> IndicatorSpec:
    match = _SHORTHAND.fullmatch(text.strip())
    if match is None:
        raise _bad(
            f"{shorten(text)!r} is not an indicator", 'write it as NAME(parameters)@interval, such as "RSI(14)@5m"'
        )
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in (match["params"] or "").split(","))):
        name, equals, value = part.partition("=")
        if equals:
            named[name.strip()] = value.strip()
        else:
            positional.append(part)
    return _build(match["name"], match["interval"], positional, named, {})


def _build(
    name: str, interval: Any, positional: list[Any], named: Mapping[str, Any], inputs: Mapping[str, Any]
) -> IndicatorSpec:
    name = name.upper()
    defaults, series = _signature(name)
    if len(positional) > len(defaults):
        raise _bad(f"{name} takes {len(defaults)} parameters, not {len(positional)}", f"they are: {_listed(defaults)}")
    inputs = {**{key: named[key] for key in named if key in series}, **inputs}  # price=low stands among the parameters
    if twice := [key for key, _ in zip(defaults, positional, strict=False) if key in named]:
        raise _bad(f"{name}: {twice[0]} is given twice", f"its parameters are: {_listed(defaults)}")
    given = dict(zip(defaults, positional, strict=False)) | {key: named[key] for key in named if key not in series}
    for unknown in given.keys() - defaults.keys():
        raise _bad(f"{name} has no parameter {shorten(str(unknown))!r}", f"its parameters are: {_listed(defaults)}")
    params = tuple((key, _number(name, key, given.get(key, default), default)) for key, default in defaults.items())
    columns = {**series, **inputs}
    for key, column in columns.items():
        if key not in series or not isinstance(column, str) or column not in COLUMNS:
            raise _bad(
                f"{name} cannot take {key} from {column!r}",
                f"its inputs are: {_listed(series)}; a column is one of {', '.join(COLUMNS)}",
            )
    changed = tuple((key, column) for key, column in columns.items() if column != series[key])
    spec = IndicatorSpec(name, Interval.parse(interval), params, changed)
    _check_runs(spec)
    return spec


@functools.cache
def _signature(name: str) -> tuple[dict[str, float], dict[str, str]]:
    """Parameters with their defaults, and the single-column inputs with the column TA-Lib takes by itself."""
    if name == SESSION_VWAP:
        return {}, {}
    from barray.market.talib_light import Function, get_functions

    if name not in get_functions():
        import difflib

        close = difflib.get_close_matches(name, [*get_functions(), SESSION_VWAP], 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"use a TA-Lib function name or {SESSION_VWAP}"
        raise _bad(f"{shorten(name)!r} is not an indicator", hint)
    function = Function(name)
    series = {key: column for key, column in function.input_names.items() if isinstance(column, str)}
    return dict(function.parameters), series


def _number(name: str, key: str, value: Any, default: float) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (isinstance(default, int) and number != int(number)):
            raise ValueError
        return int(number) if isinstance(default, int) else number
    except (TypeError, ValueError, OverflowError):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise _bad(f"{name}: {key} is {shorten(str(value))!r}", f"give {kind}, such as {default}") from None


@functools.lru_cache(maxsize=4096)
def _check_runs(spec: IndicatorSpec) -> None:
    """Let TA-Lib judge the parameters' ranges, on a few bars."""
    if spec.name == SESSION_VWAP:
        return
    ramp = np.arange(1.0, 9.0)
    try:
        if spec.lookback < 0:
            raise ValueError("a parameter is out of range")
        prepared = _prepared(spec)
        prepared.function(*(ramp for _ in prepared.columns), *prepared.params)
    except Exception as error:  # TA-Lib raises bare Exception
        defaults, _ = _signature(spec.name)
        raise _bad(f"{spec.key}: {error}", f"the defaults are: {_listed(defaults)}") from None


def _shown(value: float | str) -> str:
    if isinstance(value, str | bool):
        return str(value)
    return repr(int(value)) if value == int(value) else repr(value)


def _listed(entries: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in entries.items()) or "none"


def _bad(reason: str, remedy: str) -> ConfigError:
    return ConfigError(reason, remedy=remedy, code="bad_indicator")


def compute(spec: IndicatorSpec, series: IntervalBars) -> IndicatorData:
    """Values over the whole series, each of its own and earlier bars. ConfigError where an own function fails."""
    if spec.own:
        return IndicatorData(spec, spec.own.compute(spec.params, series))
    if spec.name == SESSION_VWAP:
        return IndicatorData(spec, {"vwap": session_vwap(series.bars, session_spans(series.session))})
    return IndicatorData(spec, talib_values(spec, series.bars, [(0, len(series))]))


def talib_values(spec: IndicatorSpec, bars: Bars, spans: Iterable[tuple[int, int]]) -> dict[str, FloatArray]:
    """What TA-Lib gives for each span of bars (start, stop) by itself: float64 (n,) by output, NaN elsewhere."""
    prepared, lookback = _prepared(spec), _prepared(spec).lookback
    function, params = prepared.function, prepared.params
    inputs = [np.ascontiguousarray(getattr(bars, name)) for name in prepared.columns]
    outputs = [np.full(len(bars), np.nan) for _ in prepared.outputs]
    for start, stop in spans:
        if stop - start <= lookback:
            continue
        result = function(*[column[start:stop] for column in inputs], *params)
        for output, array in zip(outputs, result if isinstance(result, tuple) else (result,), strict=True):
            output[start + lookback : stop] = array[lookback:]  # candlesticks and indexes are 0 there, until warm
    return dict(zip(prepared.outputs, outputs, strict=True))


def session_vwap(bars: Bars, spans: Iterable[tuple[int, int]]) -> FloatArray:
    """The VWAP of each of the spans of bars (start, stop), which are a session each: float64 (n,), NaN elsewhere."""
    paid = (bars.high + bars.low + bars.close) / 3.0 * bars.volume
    traded, spent = np.zeros((2, len(bars)))
    for start, stop in spans:  # sums begin anew in every session, so that earlier ones leave no rounding behind
        np.cumsum(bars.volume[start:stop], out=traded[start:stop])
        np.cumsum(paid[start:stop], out=spent[start:stop])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(traded > 0, spent / traded, np.nan)


def session_spans(session: NDArray[np.integer]) -> list[tuple[int, int]]:
    """Where each session's bars start and stop; `session` (n,): that of each bar, ascending."""
    edges = [*np.flatnonzero(np.diff(session, prepend=-1)).tolist(), len(session)]
    return list(pairwise(edges))
