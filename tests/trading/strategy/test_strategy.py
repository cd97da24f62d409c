"""What a strategy declares: parameters, needs and forms."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy, strategies_in
from barray.trading.strategy.context import Context
from barray.trading.strategy.parameter import parameter


class Cross(Strategy):
    interval = "5m"
    intervals = ("1h",)
    fast: int = parameter(10, low=2, high=50)
    width: float = 1.5
    mode: str = parameter("a", choices=["a", "b"])
    live: bool = True
    shared: ClassVar[int] = 3
    note: str  # no value: not a parameter
    _inner: int = 4
    plain = 5

    def indicators(self) -> dict[str, str]:
        return {"fast": f"SMA({self.fast})", "rsi": "RSI(14)@1h"}

    def on_bar(self, ctx: Context) -> None:
        pass


class Wider(Cross):
    fast = 20  # a new default; the limits stay
    extra: int = 1


def test_parameters_are_the_annotated_values() -> None:
    assert list(Cross.parameters()) == ["fast", "width", "mode", "live"]
    assert Cross().values() == {"fast": 10, "width": 1.5, "mode": "a", "live": True}
    assert Cross(fast=3, width=2, mode="b", live=False).values() == {
        "fast": 3,
        "width": 2.0,
        "mode": "b",
        "live": False,
    }


def test_parameters_are_inherited_and_defaults_can_be_replaced() -> None:
    assert Wider().values() == {"fast": 20, "width": 1.5, "mode": "a", "live": True, "extra": 1}
    assert Wider.parameters()["fast"].high == 50
    assert Cross().fast == 10


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("width", 2, 2.0),
        ("fast", 7.0, 7),
        ("fast", np.int64(7), 7),
        ("width", np.float64(0.5), 0.5),
        ("width", np.int32(2), 2.0),
    ],
)
def test_numbers_become_the_declared_type(name: str, given: Any, kept: Any) -> None:
    value = getattr(Cross(**{name: given}), name)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("fast", 1, "at least 2"),
        ("fast", 51, "at most 50"),
        ("fast", 2.5, "int"),
        ("fast", "3", "int"),
        ("fast", True, "int"),
        ("fast", None, "int"),
        ("width", float("nan"), "float"),
        ("width", float("inf"), "float"),
        ("width", True, "float"),
        ("live", 1, "bool"),
        ("mode", "c", "choose from ['a', 'b']"),
        ("slow", 3, "it has: fast, width, mode, live"),
        ("interval", "1m", "it has"),
    ],
)
def test_wrong_values_say_what_would_be_right(name: str, given: Any, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        Cross(**{name: given})
    assert name in str(error.value)
    assert told in str(error.value)


def test_a_default_outside_its_own_limits_is_an_error() -> None:
    class Wrong(Strategy):
        fast: int = parameter(1, low=2)

    with pytest.raises(ConfigError, match="at least 2"):
        Wrong()


def test_a_type_that_is_no_parameters_is_an_error() -> None:
    class Wrong(Strategy):
        sizes: list[int] = []  # noqa: RUF012  # just what is wrong with it

    class Untyped(Strategy):
        fast = parameter(3)

    with pytest.raises(ConfigError, match=r"Wrong\.sizes"):
        Wrong()
    with pytest.raises(ConfigError, match=r"Untyped\.fast"):
        Untyped()


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_strategies_of_code_that_came_as_text(future: str) -> None:
    module = ModuleType("strategy_from_text")
    sys.modules[module.__name__] = module
    try:
        code = (
            "from typing import TYPE_CHECKING, ClassVar\nfrom barray import Strategy, parameter\n"
            "class A(Strategy):\n    fast: int = parameter(3, low=1)\n    seen: ClassVar[int] = 0\n"
            "    def on_bar(self, ctx): pass\n"
            "class Formless(Strategy):\n    pass\n"
        )
        exec(future + code, vars(module))
        found = strategies_in(vars(module), module.__name__)
        assert list(found) == ["A"]
        assert found["A"](fast=4).values() == {"fast": 4}
    finally:
        del sys.modules[module.__name__]


def test_an_annotation_that_exists_for_type_checkers_alone_harms_nothing() -> None:
    class Local(Strategy):
        seen: list[OnlyForTypeCheckers]  # type: ignore[name-defined]  # noqa: F821
        fast: int = 3

    assert Local().values() == {"fast": 3}


def test_needs_are_intervals_and_indicators() -> None:
    needs = Cross(fast=7).needs()
    assert str(needs.interval) == "5m"
    assert [str(interval) for interval in needs.intervals] == ["5m", "1h"]
    assert {name: spec.key for name, spec in needs.indicators.items()} == {"fast": "SMA(7)@5m", "rsi": "RSI(14)@1h"}


@pytest.mark.parametrize("named", [{"a b": "SMA(3)"}, {"x": "NOPE(3)"}, {"x": 3}, {"x": "SMA(3)@1y"}, {1: "SMA(3)"}])
def test_indicators_that_cannot_be_read_are_config_errors(named: Any) -> None:
    class Wrong(Strategy):
        def indicators(self) -> Any:
            return named

    with pytest.raises(ConfigError):
        Wrong().needs()


def test_one_further_interval_may_be_a_text() -> None:
    class Further(Strategy):
        intervals = "15m"

    assert [str(interval) for interval in Further().needs().intervals] == ["1m", "15m"]


def test_forms_are_the_methods_written() -> None:
    class Both(Cross):
        def signals(self, data: Any) -> Any:
            return None

    class Window(Strategy):
        def on_window(self, view: Any) -> None:
            pass

    assert Strategy.forms() == ()
    assert Cross.forms() == ("on_bar",)
    assert Both.forms() == ("on_bar", "signals")
    assert Window.forms() == ("on_window",)
