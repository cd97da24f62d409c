"""A user's function is known again in any process, and told from every other."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barray.market.errors import ConfigError
from barray.market.function_digest import function_digest
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.own_indicator import indicator

MODULE = """
import numpy as np

def helper(x):
    return x in {"a", "b", "c"}

def make(weights, also=helper):
    def weighted(close, *, n=3, kind="plain"):
        def inner(x):
            return [y for y in x if also(y)]
        return np.convolve(close, weights) if kind in {"plain", "wild", "other"} else inner(close)
    return weighted

one = make(np.arange(3.0))
"""


def made(value: Any) -> Callable[..., Any]:
    def function(close: np.ndarray) -> np.ndarray:
        return close * value

    return function


@pytest.mark.long
def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "written.py").write_text(MODULE)
    code = f"from written import one; from {function_digest.__module__} import *; print(function_digest(one))"
    digests = {
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(digests) == 1
    names: dict[str, Any] = {}
    exec(compile(MODULE, "elsewhere.py", "exec", dont_inherit=True), names)
    assert function_digest(names["one"]) == digests.pop().strip()


def test_functions_that_do_something_else_are_others() -> None:
    values = (
        1,
        2,
        1.0,
        "1",
        None,
        (1,),
        [1],
        {"a": 1},
        {"a": 2},
        np.arange(3),
        np.arange(4),
        np.float32(1),
        math,
        np.log,
    )
    functions = [made(value) for value in (*values, made(1), made(2), np.ndarray, functools.partial(made, 3))]
    functions += [
        lambda close: close + 1,
        lambda close: close + 2,
        lambda close, n=1: close + n,
        lambda close, n=2: close + n,
    ]
    assert len({function_digest(function) for function in functions}) == len(functions)
    assert function_digest(made(7)) == function_digest(made(7))


def test_one_that_calls_itself_is_one_too() -> None:
    def again(n: int) -> int:
        return again(n - 1) if n else 0

    assert len(function_digest(again)) == 16


class Holder:
    def method(self, close: np.ndarray) -> np.ndarray:
        return close


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (made(Holder()), r"made \(.* line \d+\): it uses value, a Holder from around it; write a plain function"),
        (Holder().method, "it is a method of Holder"),
        (made(Holder().method), "it uses value, a method from around it"),
    ],
)
def test_what_is_not_known_again_is_refused(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        indicator(function, bars=1, name="made")


def test_what_a_function_has_from_around_it_is_in_its_key() -> None:
    minute = Interval.parse("1m")
    specs = [parse_indicator(indicator(made(value), bars=0, name="made"), minute) for value in (1, 2.5)]
    assert [spec.key for spec in specs] == ["made(value=1)@1m", "made(value=2.5)@1m"]
