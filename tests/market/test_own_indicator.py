"""A user's own function as an indicator: what it is declared with, what it must return, and how errors name it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from barray.market.bars import Bars
from barray.market.errors import ConfigError
from barray.market.indicators import compute, parse_indicator
from barray.market.interval import Interval
from barray.market.own_indicator import indicator
from barray.market.requirements import SymbolRequirements
from barray.market.series import IntervalBars

MINUTE = Interval.parse("1m")


def series(n: int) -> IntervalBars:
    """Closes 1, 2, … in two sessions, the second from bar 4 on."""
    close = np.arange(1.0, n + 1)
    zeros = np.zeros(n, np.int32)
    bars = Bars(np.arange(n), close, close + 2, close - 1, close, close * 10)
    return IntervalBars(MINUTE, bars, np.arange(n) + 60, (np.arange(n) >= 4).astype(np.int32), zeros, zeros, 0)


@indicator(bars=lambda back: back)
def change(close: np.ndarray, *, back: int = 2, scale: float = 1.0, kind: str = "plain") -> np.ndarray:
    """How much a close is above an earlier one."""
    moved = np.full(len(close), -1.0)
    moved[back:] = close[back:] - close[:-back]
    return moved * scale


def test_a_function_gets_its_columns_and_parameters_and_is_nan_until_warm() -> None:
    spec = parse_indicator(change(back=3, scale=2), MINUTE)
    assert (spec.key, spec.lookback, spec.outputs) == ("change(back=3,scale=2,kind=plain)@1m", 3, ("change",))
    assert spec.convention.startswith("own function, ")
    assert __file__ in spec.convention
    values = compute(spec, series(6)).values["change"]
    np.testing.assert_array_equal(values, [np.nan] * 3 + [6.0] * 3)
    assert compute(spec, series(3)).values["change"].tolist() != [-2.0] * 3, "it is not called before it is warm"
    assert parse_indicator(change, MINUTE).lookback == 2
    assert parse_indicator(change @ "5m", MINUTE).interval == Interval.parse("5m")


def test_it_may_take_sessions_and_closes_too() -> None:
    @indicator(bars=0)
    def since_open(open: np.ndarray, volume: np.ndarray, session: np.ndarray, end_ns: np.ndarray) -> np.ndarray:
        assert volume.dtype == np.float64
        assert end_ns[0] == 60
        _, first, which = np.unique(session, return_index=True, return_inverse=True)
        return open - open[first][which]

    assert compute(parse_indicator(since_open, MINUTE), series(6)).values["since_open"].tolist() == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("as_dict", [True, False])
def test_several_outputs_have_names(as_dict: bool) -> None:
    def band(high: np.ndarray, low: np.ndarray) -> Any:
        return {"lower": low, "upper": high} if as_dict else (high, low)

    spec = parse_indicator(indicator(band, bars=1, outputs=("upper", "lower")), MINUTE)
    values = compute(spec, series(3)).values
    assert list(values) == ["upper", "lower"]
    np.testing.assert_array_equal(values["upper"], [np.nan, 4, 5])
    np.testing.assert_array_equal(values["lower"], [np.nan, 1, 2])


def test_specs_are_equal_where_function_and_parameters_are() -> None:
    assert parse_indicator(change(back=3), MINUTE) == parse_indicator(change(back=np.int64(3)), MINUTE)
    assert len({parse_indicator(one, MINUTE) for one in (change, change(), change(back=2), change(back=3))}) == 2
    other = indicator(lambda close: close, bars=2, name="change")
    assert parse_indicator(other, MINUTE) != parse_indicator(indicator(lambda close: 0, bars=2, name="change"), MINUTE)


def test_what_is_needed_travels_without_the_function() -> None:
    spec = parse_indicator(indicator(lambda close: close, bars=5, name="local"), MINUTE)
    there = pickle.loads(pickle.dumps(SymbolRequirements((MINUTE,), (spec,)))).indicators[0]
    assert (there.key, there.lookback, there.outputs) == (spec.key, 5, ("local",))
    assert there == spec
    assert hash(there) == hash(spec)
    with pytest.raises(ConfigError, match="not in this process"):
        compute(there, series(9))


def raises(close: np.ndarray) -> np.ndarray:
    missing: Any = None
    return close + missing  # the line that is named


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (raises, rf"indicator made: TypeError: .* \({__file__} line {raises.__code__.co_firstlineno + 2}\)"),
        (lambda close: close[1:], r"returns 8 values for 9 bars; return one value a bar"),
        (lambda close: close.reshape(3, 3), r"returns an array of shape \(3, 3\) for 9 bars"),
        (lambda close: 1.0, "returns float for 9 bars"),
        (lambda close: None, "returns None for 9 bars"),
        (lambda close: [[1], [1, 2]], "for 9 bars"),
        (lambda close: close.astype(str), "returns values of type <U32; return numbers"),
        (lambda close: {"a": close, "b": close}, r"returns a, b, and declares made; declare outputs=\('a', 'b'\)"),
        (lambda close: close.sort(), "read-only"),
    ],
)
def test_what_a_function_does_wrong_is_named_with_its_place(function: Callable[..., Any], told: str) -> None:
    spec = parse_indicator(indicator(function, bars=1, name="made"), MINUTE)
    with pytest.raises(ConfigError, match=told) as error:
        compute(spec, series(9))
    assert f"{__file__} line" in str(error.value)
    assert error.value.code == "bad_indicator"


def test_an_output_too_few_is_named() -> None:
    spec = parse_indicator(indicator(lambda close: (close,), bars=0, name="made", outputs=("a", "b")), MINUTE)
    with pytest.raises(ConfigError, match="returns tuple, not its outputs a, b"):
        compute(spec, series(3))


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: indicator(lambda price: price, bars=1, name="x"), "price is no column of bars"),
        (lambda: indicator(lambda *close: close, bars=1, name="x"), r"takes \*close"),
        (lambda: indicator(lambda fast=3: fast, bars=1, name="x"), "takes no column of bars"),
        (lambda: indicator(lambda close, fast=None: close, bars=1, name="x"), "fast is 'None'; give a number"),
        (lambda: indicator(lambda close: close, bars=1), "called '<lambda>'; give it a name"),
        (lambda: indicator(lambda close: close, bars=-1, name="x"), "bars is -1"),
        (lambda: indicator(lambda close: close, bars=True, name="x"), "bars is True"),
        (lambda: indicator(lambda close: close, bars=lambda slow: slow, name="x"), "no parameter 'slow'"),
        (lambda: indicator(lambda close, n=0: close, bars=lambda n: 9 // n, name="x"), "ZeroDivisionError"),
        (lambda: indicator(lambda close: close, bars=1, name="x", outputs=("a", "a")), "name them once each"),
        (lambda: indicator(7, bars=1), "is no function"),  # type: ignore[call-overload]
        (lambda: change(3), r"takes its parameters by name; they are: back=2, scale=1.0, kind=plain"),
        (lambda: change(bakc=3), "has no parameter 'bakc'; its parameters are: back=2"),
        (lambda: change(back=1.5), "back is '1.5'; give a value such as 2"),
        (lambda: change(kind=1), "kind is '1'; give a value such as 'plain'"),
        (lambda: change(scale=float("nan")), "scale is 'nan'; give a number"),
        (lambda: parse_indicator(change), 'change names no interval; write change @ "5m"'),
        (lambda: parse_indicator(change.function, MINUTE), "declare it: indicator\\(change, bars=50\\)"),  # type: ignore[arg-type]
    ],
)
def test_what_can_not_be_meant_is_refused_when_it_is_declared(declare: Callable[[], Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        declare()
    assert error.value.code == "bad_indicator"
    assert error.value.remedy
